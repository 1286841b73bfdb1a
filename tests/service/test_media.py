"""What answers are: their media types as OpenAPI tells them, and the names under which they are stored."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from core.instruments.setup import Setup
from service.media import disposition, joined_name, stored_name

LAST = "2026-11-19"


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def real_frame(settings: Any) -> str:
    """Name of the frame that is on disk."""
    return str(next(settings.archive_dirs[0].glob("*.fits")).stem)


def addresses(
    client: httpx.Client, document: dict[str, Any], known: dict[str, str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """An address of everything that is read and exists here, with what the document says of it."""
    plot = client.get(f"/api/blocks/{known['block']}").json()["plots"][0]
    of_path = {"blocks": known["block"], "recipes": "muse_bias", "frames": known["frame"]}
    values = {"night": LAST, "table": "muse_bias", "column": "master_ron", "product_id": known["product"]}
    of_ending = {"/view": known["cube"], "/spectrum": known["cube"], "/curves": known["curve"]}
    queries = {
        "/series": "y=master_ron&limit=9",
        "/view/pixels": "factor=1&column=0&row=0",
        "/view": "",
        "/spectrum": "x=1&y=1",
        "preview.png": "ext={ext}",
        "/levels": "ext={ext}",
        "/pixels": "ext={ext}&factor=1&column=0&row=0",
    }
    for path, methods in document["paths"].items():
        if "get" not in methods:
            continue
        kind = path.split("/")[2]
        names = {**values, "name": of_path.get(kind, ""), "dp_id": known["frame"], "file_name": plot}
        names["product_id"] = next((number for part, number in of_ending.items() if part in path), known["product"])
        for ending in ("csv", "vot", "fits") if "{kind}" in path else ("",):
            filled = re.sub(r"{(\w+)}", lambda name: {**names, "kind": ending}[name[1]], path)  # noqa: B023
            query = next((text for part, text in queries.items() if part in filled), "")
            query = query.replace("{ext}", "CHAN02" if kind == "frames" else "DATA")
            yield filled + (f"?{query}" if query else ""), methods["get"]


def kind_of(answer: httpx.Response) -> str:
    return answer.headers["content-type"].partition(";")[0]


def test_every_answer_is_of_a_type_that_the_document_names(
    client: httpx.Client,
    document: dict[str, Any],
    bias_block: str,
    real_product: int,
    real_frame: str,
    cube_product: int,
    curve_product: int,
) -> None:
    known = {"block": bias_block, "product": str(real_product), "frame": real_frame}
    known |= {"cube": str(cube_product), "curve": str(curve_product)}
    seen = set()
    for address, operation in addresses(client, document, known):
        answer = client.get(address)
        assert answer.status_code == 200 or address == "/api/health", (address, answer.text[:300])
        told = operation["responses"][str(answer.status_code)]["content"]
        ending = address.partition("?")[0].rpartition(".")[2]
        assert kind_of(answer) in told, (address, kind_of(answer), set(told))
        assert len(told) == 1 or ending in ("csv", "vot", "fits"), address
        seen |= set(told)
        wrong = client.get(address.partition("?")[0], params={"no-such-parameter": "1"})
        (problem,) = operation["responses"]["4XX"]["content"]
        assert (wrong.status_code, kind_of(wrong)) == (422, problem), address
    assert seen == {
        "application/json",
        "application/fits",
        "application/octet-stream",
        "application/x-votable+xml",
        "image/png",
        "text/csv",
        "text/plain",
    }


def test_whatever_is_ordered_can_be_refused_with_a_problem(client: httpx.Client, document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for verb in methods.keys() - {"get"}:
            told = methods[verb]["responses"]
            assert {status: set(told[status]["content"]) for status in ("4XX", "5XX")} == {
                "4XX": {"application/problem+json"},
                "5XX": {"application/problem+json"},
            }
            address = re.sub(r"{(\w+)}", "nothing", path)
            answer = client.request(verb, address, json={"reason": 7})
            assert 400 <= answer.status_code < 500, address
            assert kind_of(answer) == "application/problem+json", address
    assert document["components"]["schemas"]["Problem"]["properties"]["error_type"]


@pytest.mark.parametrize(("asked", "status"), [("bytes=99999999999-", 416), ("lines=1-2", 400), ("bytes=", 400)])
def test_a_range_that_cannot_be_served_is_a_problem(
    client: httpx.Client, real_product: int, asked: str, status: int
) -> None:
    answer = client.get(f"/api/products/{real_product}/file", headers={"Range": asked})
    assert (answer.status_code, kind_of(answer)) == (status, "application/problem+json")
    assert ("content-range" in answer.headers) == (status == 416)


def test_a_raw_frame_is_downloaded_whole_and_in_ranges(client: httpx.Client, settings: Any, real_frame: str) -> None:
    content = (settings.archive_dirs[0] / f"{real_frame}.fits").read_bytes()
    address = f"/api/frames/{real_frame}/file"
    whole = client.get(address)
    assert whole.content == content
    assert (whole.headers["content-type"], "content-encoding" in whole.headers) == ("application/fits", False)
    part = client.get(address, headers={"Range": "bytes=2880-5759", "If-Range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, content[2880:5760])
    assert client.get(address, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    head = client.head(address)
    assert (head.content, int(head.headers["content-length"])) == (b"", len(content))


def name_of(answer: httpx.Response) -> str:
    return answer.headers["content-disposition"].partition("=")[2].strip('"').removeprefix("utf-8''")


def test_what_is_stored_has_night_and_set_up_in_its_name(
    client: httpx.Client, real_frame: str, real_product: int, bias_block: str
) -> None:
    product = client.get(f"/api/products/{real_product}").json()
    frame = client.get(f"/api/frames/{real_frame}").json()
    names = {
        name_of(client.head(f"/api/products/{real_product}/file")): product,
        name_of(client.head(f"/api/frames/{real_frame}/file")): frame,
        name_of(client.head(f"/api/products/{real_product}/preview.png?ext=DATA")): product,
        name_of(client.head(f"/api/frames/{real_frame}/preview.png?ext=CHAN02")): frame,
    }
    assert len(names) == 4
    for name, thing in names.items():
        assert thing["night"] in name
        assert thing["setup"]["mode"] in name
        assert name.endswith((".fits", ".png"))
    plot = client.get(f"/api/blocks/{bias_block}").json()["plots"][0]
    assert bias_block in name_of(client.head(f"/api/blocks/{bias_block}/plots/{plot}"))
    assert bias_block in name_of(client.head(f"/api/blocks/{bias_block}/log"))
    series = "/api/qc1/muse_bias/series.csv?y=master_ron&mode=WFM-NOAO-N&from=2026-11-18&to=2026-11-19"
    assert name_of(client.head(series)) == "muse_bias_WFM-NOAO-N_2026-11-18_2026-11-19.csv"
    of_block = client.head(f"/api/qc1/muse_bias/series.fits?y=master_ron&block={bias_block}")
    assert name_of(of_block) == f"muse_bias_{bias_block}.fits"


def test_names_keep_what_files_end_with() -> None:
    setup = Setup("MUSE", (), slug="WFM-NOAO-N")
    day = date(2026, 11, 19)
    assert stored_name("MUSE.2026-11-20T01:02:03.456.fits.fz", day, setup) == (
        "MUSE.2026-11-20T01:02:03.456_2026-11-19_WFM-NOAO-N.fits.fz"
    )
    assert stored_name("FRAME", day, Setup("MUSE", ())) == "FRAME_2026-11-19"


@examples(max_examples=50)
@given(st.text(max_size=30))
def test_no_name_ends_the_header_or_leaves_the_directory(text: str) -> None:
    header = disposition(joined_name((text, "x"), ".fits"))
    assert header.isascii()
    assert header.isprintable()
    assert "/" not in header
    assert header.count('"') in (0, 2)


@pytest.fixture
def frame_file(own: httpx.Client, tmp_path: Path) -> tuple[str, Path]:
    """Address of the download of a frame and its path, which a test may write."""
    frame = own.get("/api/frames").json()["items"][0]
    path = tmp_path / "frame.fits"
    change(tmp_path, frame["id"], path=str(path))
    return f"/api/frames/{frame['dp_id']}/file", path


def change(folder: Path, frame: int | None = None, **values: str) -> None:
    columns = ", ".join(f"{name} = ?" for name in values)
    with closing(sqlite3.connect(folder / "cascade.sqlite")) as database, database:
        where = "" if frame is None else f" WHERE id = {frame}"
        database.execute(f"UPDATE frames SET {columns}{where}", tuple(values.values()))


@pytest.mark.parametrize("what", ["nothing", "a directory", "a pipe", "a loop of links"])
def test_a_frame_that_is_no_file_any_more_is_gone(own: httpx.Client, frame_file: tuple[str, Path], what: str) -> None:
    address, path = frame_file
    if what == "a directory":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    elif what == "a loop of links":
        path.symlink_to(path)
    answer = own.get(address)
    assert (answer.status_code, answer.json()["error_type"]) == (404, "file_gone")
    assert path.name in answer.json()["detail"]


def test_a_frame_that_is_set_aside_says_why(own: httpx.Client, frame_file: tuple[str, Path], tmp_path: Path) -> None:
    address, path = frame_file
    path.write_bytes(b"SIMPLE")
    change(tmp_path, state="damaged", state_reason="DATASUM does not fit")
    refused = own.get(address)
    assert (refused.status_code, refused.json()["error_type"]) == (410, "set_aside")
    assert "damaged and not used (DATASUM does not fit)" in refused.json()["detail"]
    assert own.get(address, params={"set_aside": "true"}).content == b"SIMPLE"
    change(tmp_path, state="missing")
    gone = own.get(address, params={"set_aside": "true"})
    assert (gone.status_code, gone.json()["error_type"]) == (404, "file_gone")


def test_no_path_comes_from_the_address(client: httpx.Client) -> None:
    for name in ("..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "....//etc/passwd"):
        assert client.get(f"/api/frames/{name}/file").status_code == 404


def test_a_log_that_grows_while_it_is_sent_is_as_long_as_announced(own: httpx.Client, tmp_path: Path) -> None:
    block = own.get("/api/blocks", params={"state": "done"}).json()["items"][0]["name"]
    path = tmp_path / "block.log"
    size = 30_000_000  # more than the buffers of a connection take
    path.write_bytes(b"a" * size)
    with closing(sqlite3.connect(tmp_path / "cascade.sqlite")) as database, database:
        database.execute("UPDATE blocks SET log_path = ? WHERE name = ?", (str(path), block))
    with own.stream("GET", f"/api/blocks/{block}/log", headers={"Accept-Encoding": "identity"}) as answer:
        parts = answer.iter_raw()
        received = len(next(parts))
        with path.open("ab") as stream:
            stream.write(b"b" * 1_000_000)
        received += sum(map(len, parts))
    assert received == size
