"""The REST interface."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import numpy as np
import pytest

from core.settings import Settings

LAST = "2026-11-19"


def test_a_night_tells_frames_blocks_and_quarantine(client: httpx.Client) -> None:
    night = client.get(f"/api/nights/{LAST}").json()
    assert night["frames_by_tag"] == {"BIAS": 11, "FLAT": 11, "ARC": 15}
    assert [block["state"] for block in night["block_list"]] == ["done", "running", "waiting"]
    assert {item["reason"] for item in night["quarantine"]} == {"truncated", "not_fits"}
    assert (night["blocks"], night["done"], night["open"]) == (3, 1, 2)


def test_frames_are_filtered_and_paged_by_key(client: httpx.Client) -> None:
    seen: list[str] = []
    after = None
    while True:
        page = client.get("/api/frames", params={"night": LAST, "tag": "ARC", "limit": 4, "after": after or 10**9})
        body = page.json()
        seen += [frame["dp_id"] for frame in body["items"]]
        after = body["next"]
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 15
    frame = client.get(f"/api/frames/{seen[0]}").json()
    assert frame["tag"] == "ARC"
    assert frame["header"]["INS.MODE"] == "WFM-NOAO-N"
    assert len(frame["blocks"]) == 1


def test_a_block_explains_its_inputs(client: httpx.Client) -> None:
    arc = client.get("/api/blocks", params={"recipe": "muse_wavecal", "state": "done"}).json()["items"][0]
    block = client.get(f"/api/blocks/{arc['name']}").json()
    inputs = {item["role"]: item for item in block["inputs"] if item["kind"] != "raw"}
    assert set(inputs) == {"MASTER_BIAS", "TRACE_TABLE"}
    assert all(item["reason"] and len(item["refused"]) == 2 for item in inputs.values())
    assert any(
        "MASTER_BIAS comes from" in sentence and "closest in time" in sentence for sentence in block["explanation"]
    )
    assert block["events"][-1]["to_state"] == "done"


def test_progress_is_told_by_ifu(client: httpx.Client) -> None:
    (running,) = client.get("/api/blocks/running/progress").json()
    assert running["parts"]["01"] == {"label": "IFU 1", "state": "running", "phase": "combining rows", "fraction": 0.75}
    assert running["fraction"] == pytest.approx(0.5)
    # the median of the last runs with two IFUs, all between 35 and 60 s
    assert 35 <= running["expected"] <= 60


def test_the_log_is_served_whole_in_parts_and_from_its_end(client: httpx.Client, bias_block: str) -> None:
    address = f"/api/blocks/{bias_block}/log"
    whole = client.get(address).text
    assert whole.count("\n") == 9
    assert client.get(address, params={"tail": 2}).text == "".join(whole.splitlines(keepends=True)[-2:])
    part = client.get(address, headers={"Range": "bytes=10-19"})
    assert part.status_code == 206
    assert part.text == whole[10:20]


def test_a_block_is_cancelled_and_run_again_with_who_and_why(own: httpx.Client) -> None:
    name = own.get("/api/blocks", params={"state": "waiting"}).json()["items"][0]["name"]
    cancelled = own.post(f"/api/blocks/{name}/cancel", json={"reason": "lamp was off"}).json()
    assert cancelled["state"] == "cancelled"
    again = own.post(f"/api/blocks/{name}/cancel", json={})
    assert (again.status_code, again.json()["error_type"]) == (409, "state_conflict")
    assert own.post(f"/api/blocks/{name}/rerun", json={}).json()["state"] == "waiting"
    events = own.get(f"/api/blocks/{name}").json()["events"]
    assert (events[-2]["actor"], events[-2]["text"], events[-2]["to_state"]) == (
        "anonymous",
        "lamp was off",
        "cancelled",
    )
    assert events[-1]["actor"] == "anonymous"
    forged = own.post(f"/api/blocks/{name}/cancel", json={"actor": "Ada"})
    assert (forged.status_code, forged.json()["context"]) == (422, {"actor": "Extra inputs are not permitted"})


def test_what_is_wanted_of_a_night_is_kept_and_checked(own: httpx.Client) -> None:
    night = own.get("/api/nights").json()["items"][0]["night"]
    usual = {"with_recipes": [], "with_inputs": [], "older_only": False}
    assert own.get(f"/api/nights/{night}/request").json() == usual
    wanted = {"with_recipes": ["muse_lsf"], "with_inputs": ["MASTER_DARK"], "older_only": True}
    assert own.put(f"/api/nights/{night}/request", json=wanted).json() == wanted
    assert own.get(f"/api/nights/{night}/request").json() == wanted
    refused = own.put(f"/api/nights/{night}/request", json={"with_recipes": ["muse_bias"]})
    assert refused.status_code == 422
    assert "there are: muse_lsf" in refused.json()["detail"]
    assert own.put("/api/nights/1999-01-01/request", json=usual).status_code == 404
    assert own.put(f"/api/nights/{night}/request", json={}).json() == usual


def test_a_product_is_downloaded_in_ranges(client: httpx.Client, settings: Settings, real_product: int) -> None:
    product = client.get(f"/api/products/{real_product}").json()
    assert [item["name"] for item in product["extensions"]][1:] == ["DATA", "DQ", "STAT"]
    content = (settings.product_dir / product["file_name"]).read_bytes()
    whole = client.get(f"/api/products/{real_product}/file")
    assert whole.content == content
    assert "content-encoding" not in whole.headers
    part = client.get(f"/api/products/{real_product}/file", headers={"Range": "bytes=2880-5759"})
    assert part.status_code == 206
    assert part.content == content[2880:5760]
    assert client.get(f"/api/products/{real_product}/file", headers={"Range": "bytes=99999999-"}).status_code == 416


def test_the_head_of_a_product_is_that_of_its_download(client: httpx.Client, real_product: int) -> None:
    address = f"/api/products/{real_product}/file"
    head, whole = client.head(address), client.get(address)
    assert (head.status_code, head.content) == (200, b"")
    same = ("content-length", "etag", "last-modified", "accept-ranges", "content-type", "content-disposition")
    assert [head.headers[name] for name in same] == [whole.headers[name] for name in same]
    assert int(head.headers["content-length"]) == len(whole.content)


def test_who_has_the_file_already_is_told_so(client: httpx.Client, real_product: int) -> None:
    address = f"/api/products/{real_product}/file"
    tag = client.head(address).headers["etag"]
    for known in (tag, f'"x", W/{tag}', "*"):
        answer = client.get(address, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert client.get(address, headers={"If-None-Match": '"x"'}).status_code == 200
    # before the range is looked at
    both = {"If-None-Match": tag, "Range": "bytes=0-9"}
    assert client.get(address, headers=both).status_code == 304


def test_a_download_that_is_resumed_mixes_no_versions(own: httpx.Client, tmp_path: Path) -> None:
    address, path = file_of_a_product(own, tmp_path)
    path.write_bytes(b"old" * 1000)
    first = own.get(address, headers={"Range": "bytes=0-999"})
    tag = first.headers["etag"]
    rest = own.get(address, headers={"Range": "bytes=1000-", "If-Range": tag})
    assert (rest.status_code, first.content + rest.content) == (206, b"old" * 1000)
    # Run again: the file is renamed into place, of the same size, within the same second; the row is still the old one.
    (tmp_path / "new").write_bytes(b"new" * 1000)
    stat = path.stat()
    os.utime(tmp_path / "new", ns=(stat.st_atime_ns, stat.st_mtime_ns // 10**9 * 10**9))
    (tmp_path / "new").rename(path)
    again = own.get(address, headers={"Range": "bytes=1000-", "If-Range": tag})
    assert (again.status_code, again.content) == (200, b"new" * 1000)
    assert again.headers["etag"] != tag
    dated = {"Range": "bytes=1000-", "If-Range": first.headers["last-modified"]}
    assert own.get(address, headers=dated).content == b"new" * 1000
    assert own.get(address, headers={"If-None-Match": tag}).status_code == 200


def test_what_is_sent_is_of_the_file_that_was_there_at_the_beginning(own: httpx.Client, tmp_path: Path) -> None:
    address, path = file_of_a_product(own, tmp_path)
    size = 50_000_000  # more than the buffers of a connection take
    path.write_bytes(b"o" * size)
    with own.stream("GET", address) as answer:
        parts = answer.iter_raw(1 << 16)
        seen = {next(parts)[0]}
        (tmp_path / "new").write_bytes(b"n" * 1000)
        (tmp_path / "new").rename(path)
        count = 1 << 16
        for part in parts:
            seen |= {part[0], part[-1]}
            count += len(part)
    assert (seen, count) == ({ord("o")}, size)


def test_a_product_that_is_gone_is_said_to_be_gone(own: httpx.Client, tmp_path: Path) -> None:
    address, _ = file_of_a_product(own, tmp_path)
    answer = own.get(address)
    assert (answer.status_code, answer.json()["error_type"]) == (404, "file_gone")


def file_of_a_product(client: httpx.Client, folder: Path) -> tuple[str, Path]:
    """Address and path of a product whose file a test may write."""
    product = client.get("/api/products").json()["items"][0]
    path = folder / "product.fits"
    with closing(sqlite3.connect(folder / "cascade.sqlite")) as database, database:
        database.execute("UPDATE products SET path = ? WHERE id = ?", (str(path), product["id"]))
    return f"/api/products/{product['id']}/file", path


def test_slow_downloads_keep_nobody_from_the_database(own: httpx.Client, tmp_path: Path) -> None:
    product = own.get("/api/products").json()["items"][0]
    with sqlite3.connect(tmp_path / "cascade.sqlite") as database:
        database.execute("UPDATE products SET path = ? WHERE id = ?", (str(tmp_path / "large.fits"), product["id"]))
    with (tmp_path / "large.fits").open("wb") as file:
        file.truncate(200_000_000)  # more than the buffers of a connection take
    with ExitStack() as stack:
        for _ in range(20):  # more than the connections of a pool
            slow = stack.enter_context(socket.create_connection((own.base_url.host, own.base_url.port or 0)))
            slow.sendall(f"GET /api/products/{product['id']}/file HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert slow.recv(12) == b"HTTP/1.1 200"
        assert own.get("/api/blocks", timeout=120).status_code == 200


def test_a_crowd_of_requests_is_answered(own: httpx.Client) -> None:
    # More than threads (40) and connections (15) together: nobody may hold the one and wait for the other.
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: own.get("/nights", timeout=120).status_code, range(100)))
    assert answers == [200] * 100


def test_the_header_is_in_dot_notation(client: httpx.Client, real_product: int) -> None:
    cards = client.get(f"/api/products/{real_product}/header").json()
    assert {"key": "QC.BIAS.MASTER1.RON", "value": 2.46, "comment": "[count] read-out noise"} in cards


def test_previews_are_png_cached_on_disk(client: httpx.Client, settings: Settings, real_product: int) -> None:
    address = f"/api/products/{real_product}/preview.png"
    first = client.get(address, params={"ext": "DATA", "cuts": "minmax"})
    assert first.content[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(first.content[16:20]) == 80  # small images keep their size
    cached = list((settings.data_dir / "previews").rglob("*.png"))
    assert any(path.read_bytes() == first.content for path in cached)
    assert client.get(address, params={"ext": "NOPE"}).status_code == 422
    assert client.get(address, params={"cuts": "guess"}).status_code == 422


def test_a_raw_channel_has_a_preview(client: httpx.Client, settings: Settings) -> None:
    name = next(settings.archive_dirs[0].glob("*.fits")).stem
    assert client.get(f"/api/frames/{name}/preview.png", params={"ext": "CHAN02"}).status_code == 200


def test_plots_are_served_by_name(client: httpx.Client, bias_block: str) -> None:
    (name,) = client.get(f"/api/blocks/{bias_block}").json()["plots"]
    assert client.get(f"/api/blocks/{bias_block}/plots/{name}").headers["content-type"] == "image/png"
    assert client.get(f"/api/blocks/{bias_block}/plots/../../etc/passwd").status_code == 404


def series(client: httpx.Client, **query: object) -> dict[str, object]:
    response = client.get("/api/qc1/muse_bias/series", params={"y": "master_ron", **query})  # type: ignore[dict-item]
    assert response.status_code == 200, response.text
    return dict(response.json())


def test_a_series_is_columnar_and_complete(client: httpx.Client) -> None:
    data = series(client)
    # 31 nights with a bias, 2 IFUs, 4 quadrants
    lengths = {name: len(data[name]) for name in ("p", "b", "t", "v", "product", "unit", "quadrant")}  # type: ignore[arg-type]
    assert set(lengths.values()) == {31 * 2 * 4}
    assert data["t"] == sorted(data["t"])  # type: ignore[type-var, call-overload]
    assert "slice" not in data
    assert data["parameters"][0]["unit"] == "count"  # type: ignore[index]
    assert len(data["blocks"]) == len(data["bands"]) == 31  # type: ignore[arg-type]


def test_outliers_are_the_values_above_the_limit(client: httpx.Client) -> None:
    data = series(client)
    above = [i for i, value in enumerate(data["v"]) if value > 5.0]  # type: ignore[arg-type, operator]
    assert data["outliers"] == above
    assert above, "the story has outliers"


def test_series_are_filtered(client: httpx.Client) -> None:
    assert set(series(client, unit="2", quadrant="1,3-4")["quadrant"]) == {1, 3, 4}  # type: ignore[call-overload]
    assert set(series(client, unit="2")["unit"]) == {2}  # type: ignore[call-overload]
    assert series(client, mode="NFM-AO-N")["v"] == []
    nights = series(client, **{"from": "2026-11-10", "to": "2026-11-12"})["blocks"]
    # morning calibrations: the UT date is a day later than the night
    assert sorted(item["night"] for item in nights) == ["2026-11-09", "2026-11-10", "2026-11-11"]  # type: ignore[index, attr-defined]
    newest = series(client, limit=8)
    assert newest["truncated"] is True
    assert len(newest["v"]) == 8  # type: ignore[arg-type]


def test_the_numbered_names_of_the_observatory_are_columns(client: httpx.Client) -> None:
    plain = series(client, quadrant="2")
    numbered = client.get("/api/qc1/muse_bias/series", params={"y": "master2_ron"}).json()
    assert numbered["parameters"][0]["column"] == "master2_ron"
    assert (numbered["v"], numbered["t"], numbered["outliers"]) == (plain["v"], plain["t"], plain["outliers"])
    assert set(numbered["quadrant"]) == {2}
    assert numbered["words"] == {"unit": "IFU", "quadrant": "quadrant"}
    both = client.get("/api/qc1/muse_bias/series", params={"y": ["master3_ron", "master2_ron", "master_ron"]}).json()
    assert [item["column"] for item in both["parameters"]] == ["master3_ron", "master2_ron", "master_ron"]
    assert [v for v, p in zip(both["v"], both["p"], strict=True) if p == 1] == plain["v"]
    assert both["t"] == sorted(both["t"])
    whole = series(client)
    assert [v for v, p in zip(both["v"], both["p"], strict=True) if p == 2] == whole["v"]
    marked = [row for row in both["outliers"] if both["p"][row] == 1]
    assert [both["v"][row] for row in marked] == [plain["v"][row] for row in plain["outliers"]]
    newest = client.get("/api/qc1/muse_bias/series", params={"y": ["master3_ron", "master2_ron"], "limit": 3}).json()
    assert newest["truncated"]
    assert len(newest["v"]) == 3
    assert newest["t"] == [t for t, p in zip(both["t"], both["p"], strict=True) if p != 2][-3:]
    nothing = client.get("/api/qc1/muse_bias/series", params={"y": "master2_ron", "quadrant": "3"}).json()
    assert nothing["v"] == []
    listed = {item["column"]: item for item in client.get("/api/qc1/muse_bias").json()["parameters"]}
    assert listed["master_ron"]["numbered"] == "master{quadrant}_ron"


def test_the_sparkline_is_the_median_of_each_block(client: httpx.Client) -> None:
    spark = client.get("/api/qc1/muse_bias/master_ron/sparkline", params={"mode": "", "days": 400}).json()
    data = series(client)
    values, blocks = np.array(data["v"]), np.array(data["b"])
    medians = [np.median(values[blocks == block]) for block in dict.fromkeys(blocks)]
    assert spark["v"] == pytest.approx(medians, rel=1e-5)


def test_the_master_list_tells_last_value_and_score(client: httpx.Client) -> None:
    tables = {item["table"]: item["parameters"] for item in client.get("/api/qc1").json()}
    ron = next(item for item in tables["muse_bias"] if item["column"] == "master_ron")
    assert ron["axes"] == ["unit", "quadrant"]
    assert ron["last"]["number"] == 8
    assert ron["last"]["low"] <= ron["last"]["median"] <= ron["last"]["high"]
    assert ron["last"]["score"] in (0, 1)


def test_recipes_are_served_as_declared(client: httpx.Client) -> None:
    names = [item["name"] for item in client.get("/api/recipes").json()]
    assert names[:2] == ["muse_bias", "muse_dark"]
    recipe = client.get("/api/recipes/muse_bias").json()
    assert recipe["inputs"][0]["tag"] == "BIAS"
    assert "nifu" in recipe["parameter_schema"]["properties"]
    assert any(item["keyword"] == "QC.BIAS.MASTER{quadrant}.RON" for item in recipe["qc"])


@pytest.mark.parametrize(
    ("address", "status", "error_type"),
    [
        ("/api/blocks/nope", 404, "not_found"),
        ("/api/nowhere", 404, "not_found"),
        ("/api/frames?limit=0", 422, "validation"),
        ("/api/nights/2026-13-01", 422, "validation"),
        ("/api/qc1/muse_bias/series?y=nope", 404, "not_found"),
        ("/api/qc1/muse_bias/series?y=master_ron&from=yesterday", 422, "parameter"),
        ("/api/qc1/muse_bias/series?y=master_ron&unit=25", 422, "parameter"),
        ("/api/recipes/muse_nothing", 404, "not_found"),
        # more than the databases can compare with or keep
        ("/api/products/9223372036854775808", 422, "validation"),
        ("/api/products?after=9223372036854775808", 422, "validation"),
        ("/api/frames?after=9223372036854775808", 422, "validation"),
        ("/api/blocks?after=9223372036854775808", 422, "validation"),
        ("/api/quarantine?after=9223372036854775808", 422, "validation"),
        ("/api/blocks/a%00b", 400, "validation"),
        ("/api/blocks?recipe=%00", 400, "validation"),
        ("/api/nights/9999-12-31", 404, "not_found"),
    ],
)
def test_errors_are_problems_with_a_request_id(
    client: httpx.Client, address: str, status: int, error_type: str
) -> None:
    response = client.get(address, headers={"X-Request-ID": "abc-123", "Accept": "text/html"})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["error_type"] == error_type
    assert body["status"] == status
    assert body["request_id"] == response.headers["X-Request-ID"] == "abc-123"
    assert len(body["detail"]) > 10


def test_a_file_that_is_gone_is_said_to_be_gone(client: httpx.Client) -> None:
    product = client.get("/api/products", params={"tag": "TRACE_TABLE"}).json()["items"][0]
    body = client.get(f"/api/products/{product['id']}/file").json()
    assert body["error_type"] == "file_gone"
    assert product["file_name"] in body["detail"]


def test_health_is_ok_only_with_living_daemons(client: httpx.Client, empty_client: httpx.Client) -> None:
    body = empty_client.get("/api/health")
    assert body.status_code == 503
    assert "cascade up" in body.json()["alarms"][0]
    assert client.get("/api/health").json()["database"] == "sqlite"


def test_the_documentation_needs_no_other_host(client: httpx.Client) -> None:
    page = client.get("/api/docs").text
    assert "//" not in page.replace("<!doctype", "").replace("/static/", "")
    schema = client.get("/api/openapi.json").json()
    assert {"/api/nights", "/api/blocks/{name}/log", "/api/qc1/{table}/series"} <= set(schema["paths"])
    assert json.dumps(schema).count("application/problem+json") == 0 or "Problem" in schema["components"]["schemas"]


def test_static_files_are_kept_only_under_their_version(client: httpx.Client) -> None:
    page = client.get("/", headers={"Accept": "text/html"}).text
    address = next(part for part in page.split('"') if part.startswith("/static/style.css?v="))
    assert "immutable" in client.get(address).headers["cache-control"]
    assert "immutable" not in client.get("/static/style.css").headers.get("cache-control", "")


def test_vendored_code_keeps_its_licence() -> None:
    vendor = Path(__file__).parents[2] / "service/web/static/vendor"
    assert {path.name for path in vendor.iterdir()} == {"uplot", "swagger-ui"}
    assert all((folder / "LICENSE").read_text() for folder in vendor.iterdir())
