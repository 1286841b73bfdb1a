"""The pages as HTML: what they answer, empty states, links, sizes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import httpx
import numpy as np
import pytest
from astropy.io import fits

from core.archive.models import BlockInput, Frame, Product, WorkerHeartbeat
from core.archive.orders import set_product_state
from core.archive.sessions import Archive
from core.archive.states import InputKind, ProductState, QuarantineReason, WorkerKind
from core.settings import Settings
from service.explain import why_this
from service.status import read_status
from service.web.words import QUARANTINE_CURES

LAST = "2026-11-19"
HTML = {"Accept": "text/html"}


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src", "data-spark", "data-poll", "action") and value:
                self.found.add(value)


def links_of(text: str) -> set[str]:
    parser = _Links()
    parser.feed(text)
    return parser.found


def heading(text: str) -> str:
    found = re.search(r"<h1>(.*?)</h1>", text, re.S)
    assert found is not None
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", found[1])).strip()


def page(client: httpx.Client, address: str) -> str:
    response = client.get(address, headers=HTML)
    assert response.status_code == 200, response.text
    return response.text


def test_now_answers_first_how_the_night_went(client: httpx.Client) -> None:
    text = page(client, "/")
    assert heading(text).startswith(f"Night {LAST}: 1 of 3 blocks done")
    assert "1 running" in heading(text)
    assert "TRACE_TABLE from FLAT running" in text  # what waits, and for what


def test_last_nights_read_out_noise_is_one_click_from_the_first_page(client: httpx.Client) -> None:
    text = page(client, "/")
    link = re.search(r'<a href="([^"]+)">Read-out noise</a>', text)
    assert link is not None
    plot = page(client, link[1])
    assert heading(plot).startswith("master_ron: 2.")
    assert "e⁻ on 2026-11-20" in heading(plot)


def test_nights_have_a_cell_each_and_a_row_each(client: httpx.Client) -> None:
    text = page(client, "/nights")
    assert text.count('<a class="k-') == 31
    assert heading(text).startswith("2026: 31 nights with data, 93 blocks")


def test_a_night_shows_its_cascade_with_reasons(client: httpx.Client) -> None:
    text = page(client, "/nights/2026-11-18")
    assert text.count('class="t"') == 37  # one tick per frame
    assert text.count('class="b ') == 3  # one box per block
    assert "closest in time of 3 that match" in text
    assert 'rel="prev" href="/nights/2026-11-17"' in text
    assert 'rel="next" href="/nights/2026-11-19"' in text


def test_blocks_stand_in_cascade_order(client: httpx.Client) -> None:
    table = page(client, "/nights/2026-11-18").split('id="blocks"')[1].split("</table>")[0]
    recipes = re.findall(r"/docs/recipes/(\w+)", table)
    assert recipes == ["muse_bias", "muse_flat", "muse_wavecal"]


def test_a_block_shows_inputs_refusals_and_parameters(client: httpx.Client, bias_block: str) -> None:
    arc = client.get("/api/blocks", params={"recipe": "muse_wavecal", "state": "done"}).json()["items"][0]["name"]
    text = page(client, f"/blocks/{arc}")
    assert text.count("2 refused candidates") == 2
    assert "farther in time: 24.2 h before" in text
    bias = page(client, f"/blocks/{bias_block}")
    assert "step 8" in bias  # the end of the log
    assert "/docs/recipes/muse_bias#p-nifu" in bias


def test_a_block_shows_the_parameters_that_are_used(client: httpx.Client) -> None:
    """Workers process all IFUs at once and keep the tracing samples for the pictures; both differ from the default."""
    flat = client.get("/api/blocks", params={"recipe": "muse_flat", "state": "done"}).json()["items"][0]["name"]
    text = page(client, f"/blocks/{flat}")
    cell = r'#p-%s"[^>]*>\w+</a></td><td class="n"><span class="s" data-g="●"[^>]*>%s</span>'
    assert re.search(cell % ("nifu", "-1"), text)
    assert re.search(cell % ("samples", "true"), text)


def test_quarantined_files_are_told_with_a_cure(client: httpx.Client) -> None:
    cure = QUARANTINE_CURES[QuarantineReason.NOT_FITS]
    assert cure in page(client, "/quarantine")
    assert client.get("/search", params={"q": "notes.fits"}).headers["location"] == "/quarantine"
    held = client.get("/api/quarantine").json()["items"]
    assert {item["cure"] for item in held if item["reason"] == "not_fits"} == {cure}


def test_a_product_shows_its_header_in_dot_notation(client: httpx.Client, real_product: int) -> None:
    text = page(client, f"/products/{real_product}?ext=0")
    assert "QC.BIAS.MASTER1.RON" in text
    assert "HIERARCH" not in text


def test_a_missing_product_file_says_what_to_do(client: httpx.Client) -> None:
    product = client.get("/api/products", params={"tag": "TRACE_TABLE"}).json()["items"][0]["id"]
    assert "Mount the directory or run its block again" in page(client, f"/products/{product}")


def test_browse_pages_through_all_values(client: httpx.Client) -> None:
    address = "/qc1/muse_bias?y=master_ron&view=browse&mode=all&from=2026-01-01"
    first = page(client, address)
    assert "rows 1 to 200" in first
    second = page(client, address + "&offset=200")
    assert "rows 201 to 248" in second  # 31 nights, 2 IFUs, 4 quadrants


def test_the_default_view_is_the_last_three_months_of_the_newest_setup(client: httpx.Client) -> None:
    text = page(client, "/qc1/muse_bias")
    assert re.search(r'name="from"[^>]* value="2026-08-20"', text)
    assert re.search(r'name="to"[^>]* value="2026-11-20"', text)
    assert "<option selected>WFM-NOAO-N</option>" in text
    assert '<option value="master_ron" selected' in text


def test_documentation_is_generated_from_the_declarations(client: httpx.Client) -> None:
    text = page(client, "/docs/recipes/muse_bias")
    assert 'id="p-nifu"' in text
    assert "/docs/qc/muse_bias#master_ron" in text
    assert 'id="master_ron"' in page(client, "/docs/qc/muse_bias")


def test_search_goes_to_the_only_hit_and_lists_many(client: httpx.Client, bias_block: str) -> None:
    assert client.get("/search", params={"q": LAST}).headers["location"] == f"/nights/{LAST}"
    assert client.get("/search", params={"q": bias_block}).headers["location"] == f"/blocks/{bias_block}"
    assert "read-out noise" in page(client, "/search?q=noise").lower()
    for name in ("QC.BIAS.MASTER4.RON", "qc.bias.master4.ron", "ESO QC BIAS MASTER4 RON", "muse_bias..master4_ron"):
        found = client.get("/search", params={"q": name}).headers["location"]
        assert found == "/qc1/muse_bias?y=master_ron&quadrant=4"
    for name in ("QC.BIAS.MASTERn.RON", "muse_bias..master_ron"):
        assert client.get("/search", params={"q": name}).headers["location"] == "/qc1/muse_bias?y=master_ron"
    assert client.get("/search", params={"q": "arc line width"}).headers["location"] == (
        "/qc1/muse_wave?y=slice_lines_fwhm_mean"
    )
    assert "Nothing is called" in page(client, "/search?q=qqq")


def test_an_error_page_has_cause_cure_and_request_id(client: httpx.Client) -> None:
    response = client.get("/blocks/nope", headers=HTML | {"X-Request-ID": "trace-7"})
    assert response.status_code == 404
    assert "The archive has no block nope" in response.text
    assert "Check the name" in response.text
    assert "trace-7" in response.text


@pytest.mark.parametrize(
    ("address", "command"),
    [("/", "cascade demo"), ("/nights", "cascade ingest"), ("/qc1/muse_bias", "cascade run")],
)
def test_empty_states_say_the_command(empty_client: httpx.Client, address: str, command: str) -> None:
    assert command in page(empty_client, address)


def test_every_page_works_on_an_empty_archive(empty_client: httpx.Client) -> None:
    for address in ("/", "/nights", "/nights?year=2020", "/qc1", "/qc1/muse_wave?view=browse", "/docs", "/quarantine"):
        page(empty_client, address)
    assert empty_client.get("/nights/2026-11-01", headers=HTML).status_code == 404


def test_a_dead_daemon_is_said_on_every_page(sqlite_archive: Archive, factory: ModuleType) -> None:
    now = datetime.now(UTC)
    settings = Settings(database_url=sqlite_archive.database_url)
    with sqlite_archive.write() as session:
        factory.add_daemons(session, now, dead=WorkerKind.EXECUTE)
    with sqlite_archive.read() as session:
        (alarm,) = read_status(session, settings).alarms
    assert "execute fell silent 60 min ago" in alarm.text
    assert "no block is reduced" in alarm.text
    assert "process 4242 on obs1" in alarm.cure
    with sqlite_archive.write() as session:  # a new worker on the same machine took over
        session.add(
            WorkerHeartbeat(
                name="execute@obs1:2", kind=WorkerKind.EXECUTE, host="obs1", pid=1, started_at=now, last_seen=now
            )
        )
    with sqlite_archive.read() as session:
        assert read_status(session, settings).alarms == ()


def test_a_stale_feed_is_said(sqlite_archive: Archive, factory: ModuleType) -> None:
    now = datetime.now(UTC)
    filler = factory.Filler(sqlite_archive, units=(1,), slices=1)
    with sqlite_archive.write() as session:
        filler.night(session, (now - timedelta(days=4)).date())
        factory.add_daemons(session, now)
    with sqlite_archive.read() as session:
        (alarm,) = read_status(session, Settings(database_url=sqlite_archive.database_url)).alarms
    assert alarm.text.startswith("The feed is stale: the last file came")


def test_no_link_of_any_page_is_dead(client: httpx.Client) -> None:
    """Follows every internal link; of many of one kind (frames, products, nights) the first 40."""
    seen: set[str] = set()
    todo = ["/"]
    kinds: dict[str, int] = {}
    while todo:
        address = todo.pop(0)
        if address in seen:
            continue
        kind = re.sub(r"\d+", "0", address.split("?")[0])
        kinds[kind] = kinds.get(kind, 0) + 1
        if kinds[kind] > 40:
            continue
        seen.add(address)
        response = client.get(address, headers=HTML)
        gone = response.status_code == 404 and 'error_type":"file_gone' in response.text
        # rows of the story have no files, but for one; health answers 503 when the feed is stale
        assert response.status_code < 400 or gone, f"{address}: {response.status_code}"
        if "text/html" not in response.headers.get("content-type", "") or address == "/api/docs":
            continue
        assert len(response.content) < 150_000, f"{address} has {len(response.content)} bytes"
        for link in links_of(response.text):
            target = httpx.URL(str(response.url)).join(link)
            if target.host == response.url.host and target.scheme.startswith("http"):
                todo.append(target.raw_path.decode())
    assert len(seen) > 200


def test_a_product_shows_its_own_history(own: httpx.Client, tmp_path: Path) -> None:
    first, second = (item["id"] for item in own.get("/api/products").json()["items"][:2])
    archive = Archive(f"sqlite:///{tmp_path / 'cascade.sqlite'}")
    with archive.write() as session:
        set_product_state(session, first, ProductState.REJECTED, actor="astronomer", text="<b>light leak</b>")
    archive.dispose()
    page = own.get(f"/products/{first}").text
    assert "astronomer" in page
    assert "&lt;b&gt;light leak" in page
    assert "light leak" not in own.get(f"/products/{second}").text


def test_a_cube_opens_with_its_picture(own: httpx.Client, tmp_path: Path) -> None:
    number = own.get("/api/products").json()["items"][0]["id"]
    planes = np.ones((2, 3, 4), np.float32)
    path = tmp_path / "cube.fits"
    fits.HDUList(
        [fits.PrimaryHDU(), fits.ImageHDU(planes, name="DATA"), fits.ImageHDU(planes[0], name="WHITE")]
    ).writeto(path)
    archive = Archive(f"sqlite:///{tmp_path / 'cascade.sqlite'}")
    with archive.write() as session:
        session.get_one(Product, number).path = str(path)
    archive.dispose()
    assert f"/api/products/{number}/preview.png?ext=WHITE" in own.get(f"/products/{number}").text
    text = own.get(f"/products/{number}?ext=1").text
    assert "A cube of 4 × 3 × 2; its pictures are among the extensions." in text
    assert "preview.png" not in text


def test_search_keeps_its_text_and_says_when_it_is_cut(client: httpx.Client) -> None:
    text = page(client, "/search?q=MUSE.2026-11")
    assert 'name="q" type="search" placeholder="Search  /" value="MUSE.2026-11"' in text
    assert "of some kinds only the first 20" in text
    assert "only the first" not in page(client, "/search?q=noise")


def test_a_keyword_as_in_headers_is_found(client: httpx.Client) -> None:
    answer = client.get("/search", params={"q": "ESO QC BIAS MASTER1 RON"})
    assert answer.headers["location"] == "/qc1/muse_bias?y=master_ron&quadrant=1"


def test_why_this_one_says_nothing_twice() -> None:
    def why(reason: str, kind: InputKind = InputKind.PRODUCT, refused: int = 0) -> str:
        many = [{"code": "farther"}] * refused
        return why_this(BlockInput(role="MASTER_BIAS", kind=kind, reason=reason, refused=many))

    said = "MASTER_BIAS of 2026-11-01 10:07, 24.2 h before, level 0, rule bias-1"
    assert why(f"{said}, planned", InputKind.PLANNED) == "the only one that fits"
    assert why(f"{said}, not judged", refused=2) == "the best of 3 that fit"
    assert (
        why(f"{said}, not judged, without IFU 3, which could not be made") == "without IFU 3, which could not be made"
    )
    assert why("no MASTER_BIAS within 20.0 d is known", InputKind.MISSING) == "no MASTER_BIAS within 20.0 d is known"


def test_a_night_tells_frames_that_are_in_no_block(own: httpx.Client, own_archive: Archive) -> None:
    with own_archive.write() as session:
        frame = session.query(Frame).filter(Frame.tag == "BIAS").order_by(Frame.id.desc()).first()
        assert frame is not None
        session.query(BlockInput).filter(BlockInput.frame_id == frame.id).delete()
        frame.tag, night, name = "ILLUM", frame.night, frame.dp_id
    text = page(own, f"/nights/{night}")
    assert "Frames in no block" in text
    assert re.search(rf"<td class=\"l\">ILLUM</td><td class=\"n\">1</td>.*{re.escape(name)}.*used together with", text)
