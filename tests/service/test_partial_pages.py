"""A block that is done but for some IFUs is shown as such everywhere, and every IFU with plots can be chosen."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from sqlalchemy import select

from core.archive.models import Block, Product, Qc1Value, Score, unit_mask
from core.archive.sessions import Archive
from service.cli.look import run_status
from service.text import qc1_number

WHY = "no slice was found on the flat [unit=7]"
LEFT_OUT = "there is no TRACE_TABLE of this IFU, as of block f: IFU 7 failed: no slice was found"


@pytest.fixture
def lossy(own: httpx.Client, tmp_path: Path, factory: ModuleType) -> tuple[httpx.Client, str, str]:
    """The newest flat that is done lost IFU 7, and so did the arc of its night; client, name of flat and of arc."""
    archive = Archive(f"sqlite:///{tmp_path / 'cascade.sqlite'}")
    folder = tmp_path / "plots"
    folder.mkdir()
    with archive.write() as session:
        flat = session.scalars(
            select(Block).where(Block.tag == "FLAT", Block.score.is_not(None)).order_by(Block.mjd_mid.desc()).limit(1)
        ).one()
        arc = session.scalars(select(Block).where(Block.tag == "ARC", Block.night == flat.night)).one()
        for block in (flat, arc):
            block.unit_mask, block.score, block.n_outliers = unit_mask((1, 2, 7)), 0, 0
        flat.failed_unit_mask = arc.skipped_unit_mask = unit_mask((7,))
        flat.lost_units = [{"unit": 7, "failed": True, "error_type": "tracing", "message": WHY}]
        arc.lost_units = [{"unit": 7, "failed": False, "error_type": "missing_input", "message": LEFT_OUT}]
        flat.plots = []
        for name, unit in (("lampflat1", None), ("lampflat0-01", 1), ("lampflat0-02", 2), ("lampflat0-07", 7)):
            path = folder / f"{name}.png"
            path.write_bytes(b"\x89PNG\r\n\x1a\n")
            flat.plots.append({"name": name, "title": name, "caption": "", "path": str(path), "unit": unit})
        names = flat.name, arc.name
    archive.dispose()
    return own, *names


def test_the_block_says_which_ifu_failed_and_why(lossy: tuple[httpx.Client, str, str]) -> None:
    client, flat, arc = lossy
    page = client.get(f"/blocks/{flat}").text
    assert "2 of 3 IFUs good, IFU 7 failed, all scores good" in page
    assert WHY in page
    assert 'data-g="✕"' in page
    page = client.get(f"/blocks/{arc}").text
    assert "2 of 3 IFUs good, IFU 7 left out" in page
    assert LEFT_OUT in page


def test_the_plots_of_every_ifu_can_be_chosen_and_those_of_the_failed_one_come_first(
    lossy: tuple[httpx.Client, str, str],
) -> None:
    client, flat, _ = lossy

    def shown(query: str) -> list[str]:
        text = client.get(f"/blocks/{flat}{query}").text
        return [name for name in ("lampflat0-01", "lampflat0-02", "lampflat0-07", "lampflat1") if f"{name}.png" in text]

    assert shown("") == ["lampflat0-07", "lampflat1"]
    assert shown("?unit=2") == ["lampflat0-02", "lampflat1"]
    assert shown("?unit=24") == ["lampflat0-07", "lampflat1"]  # it has none
    text = client.get(f"/blocks/{flat}?unit=2").text
    assert [f'href="?unit={unit}#plots"' in text for unit in (1, 2, 7)] == [True, True, True]
    assert 'data-g="✕">7</span>' in text
    assert client.get(f"/blocks/{flat}?unit=25").status_code == 422


def test_now_and_night_show_it_in_red(lossy: tuple[httpx.Client, str, str]) -> None:
    client, flat, _ = lossy
    detail = client.get(f"/api/blocks/{flat}").json()
    night = client.get(f"/nights/{detail['night']}").text
    assert "1 block with failed units, 1 block with units left out" in night
    assert "done, IFU 7 failed" in night
    assert "done, IFU 7 left out" in night
    now = client.get("/").text
    assert f"IFU 7: {WHY}" in now
    summary = client.get(f"/api/nights/{detail['night']}").json()
    assert (summary["failed_units"], summary["skipped_units"], summary["verdict"]) == (1, 1, "bad")


def test_rest_has_the_lost_ifus(lossy: tuple[httpx.Client, str, str]) -> None:
    client, flat, arc = lossy
    detail = client.get(f"/api/blocks/{flat}").json()
    assert (detail["state"], detail["failed_units"], detail["skipped_units"]) == ("done", [7], [])
    assert detail["lost_units"] == [{"unit": 7, "failed": True, "error_type": "tracing", "message": WHY}]
    assert client.get(f"/api/blocks/{arc}").json()["skipped_units"] == [7]
    listed = client.get("/api/blocks", params={"recipe": "muse_flat"}).json()["items"]
    assert [block["name"] for block in listed if block["failed_units"]] == [flat]


def test_status_in_the_terminal_names_it(
    lossy: tuple[httpx.Client, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client, flat, _ = lossy
    detail = client.get(f"/api/blocks/{flat}").json()
    archive = Archive(f"sqlite:///{tmp_path / 'cascade.sqlite'}")
    with archive.write() as session:  # its night becomes the last one
        for block in session.scalars(select(Block).where(Block.night == detail["night"])):
            block.night += timedelta(days=3)
    archive.dispose()
    run_status(tmp_path, as_json=False)
    text = " ".join(capsys.readouterr().out.split())
    assert "1 done with failed units" in text
    assert "1 block with failed units" in text
    assert "IFU 7 failed" in text
    assert "no slice was found on the" in text


def test_a_product_shows_its_values_with_scores_and_five_digits(own: httpx.Client, tmp_path: Path) -> None:
    archive = Archive(f"sqlite:///{tmp_path / 'cascade.sqlite'}")
    with archive.write() as session:
        product = session.scalars(
            select(Product).where(Product.tag == "MASTER_BIAS").order_by(Product.id.desc()).limit(1)
        ).one()
        score = session.scalars(select(Score).where(Score.product_id == product.id).order_by(Score.id).limit(1)).one()
        value = session.scalars(
            select(Qc1Value).where(
                Qc1Value.product_id == product.id,
                Qc1Value.parameter_id == score.parameter_id,
                Qc1Value.quadrant == score.quadrant,
            )
        ).one()
        score.score, value.value, score.low, score.high = 1, 5.123456, 1.0, 5.0
        number = product.id
    archive.dispose()
    page = own.get(f"/products/{number}").text
    row = page[page.index("5.1235") :].split("</tr>")[0]
    assert 'data-g="✕">outlier' in row
    assert "1 to 5" in row
    assert page.count('data-g="✓">good') > 1  # the other quadrants
    assert "not scored" in page  # values without rule


def test_values_are_written_with_five_digits() -> None:
    assert [qc1_number(value) for value in (2.4587312, 1201.0, None)] == ["2.4587", "1201", "–"]
