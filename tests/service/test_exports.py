"""Series as files: the same values in every format, with units, nulls, limits and provenance; bounded and told."""

from __future__ import annotations

import asyncio
import csv
import io
import socket
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table
from astropy.io.votable.tree import TableElement
from astropy.time import Time

import service.api.qc1
import service.series
from core.archive.pages.qc1_rows import ReadingStopped
from core.instruments.catalogue import qc1_definitions
from service.columns import CHUNK_ROWS
from service.heavy import BusyError, HeavyTurns, export

ADDRESS = "/api/qc1/muse_bias/series"
QUERY = {"y": "master_ron", "quadrant": "1"}


def rows_of(client: httpx.Client, **query: Any) -> list[dict[str, str]]:
    text = client.get(f"{ADDRESS}.csv", params={**QUERY, **query}).text
    return list(csv.DictReader(io.StringIO(text)))


def fits_of(client: httpx.Client, **query: Any) -> tuple[fits.FITS_rec, fits.Header]:
    answer = client.get(f"{ADDRESS}.fits", params={**QUERY, **query})
    assert answer.headers["content-type"] == "application/fits"
    with fits.open(io.BytesIO(answer.content)) as file:
        file.verify("exception")
        assert len(answer.content) % 2880 == 0
        return file[1].data.copy(), file[1].header


def votable_of(client: httpx.Client, tmp_path: Path, **query: Any) -> TableElement:
    answer = client.get(f"{ADDRESS}.vot", params={**QUERY, **query})
    assert answer.headers["content-type"] == "application/x-votable+xml"
    path = tmp_path / "table.vot"
    path.write_bytes(answer.content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the validator tells by warnings
        return parse_single_table(path, verify="exception")


def test_all_formats_have_the_same_rows(client: httpx.Client, tmp_path: Path) -> None:
    series = client.get(ADDRESS, params=QUERY).json()
    rows, (table, _), votable = rows_of(client), fits_of(client), votable_of(client, tmp_path)
    assert [float(row["value"]) for row in rows] == pytest.approx(series["v"], rel=1e-6)
    for name in ("mjd_obs", "value", "low", "high"):
        assert [float(row[name]) for row in rows] == table[name].tolist() == votable.array[name].tolist()
    for name in ("parameter", "date_obs", "value_unit", "night", "mode", "block", "recipe_version"):
        assert [row[name] for row in rows] == table[name].tolist() == votable.array[name].tolist()
    for name in ("score", "unit", "quadrant", "product"):
        assert [int(row[name]) for row in rows] == table[name].tolist() == votable.array[name].tolist()
    assert np.flatnonzero(table["outlier"]).tolist() == series["outliers"]
    assert [row["outlier"] == "1" for row in rows] == table["outlier"].tolist() == votable.array["outlier"].tolist()
    assert Time(rows[0]["date_obs"], scale="utc").mjd == pytest.approx(float(rows[0]["mjd_obs"]), abs=1e-8)


def test_what_is_missing_is_declared(client: httpx.Client, tmp_path: Path) -> None:
    assert {row["slice"] for row in rows_of(client)} == {""}
    table, header = fits_of(client)
    number = table.names.index("slice") + 1
    assert header[f"TNULL{number}"] == -1
    assert set(table["slice"]) == {-1}
    votable = votable_of(client, tmp_path)
    assert votable.array["slice"].mask.all()
    assert not votable.array["quadrant"].mask.any()


def test_columns_say_what_they_are(client: httpx.Client, tmp_path: Path) -> None:
    table, header = fits_of(client)
    columns = {header[f"TTYPE{number}"]: number for number in range(1, header["TFIELDS"] + 1)}
    assert (header[f"TUNIT{columns['mjd_obs']}"], header[f"TUNIT{columns['value']}"]) == ("d", "count")
    assert header["TIMESYS"] == "UTC"
    assert all(header[f"TUCD{number}"] and header[f"TCOMM{number}"] for number in columns.values())
    assert table.dtype["block"].itemsize == max(len(name) for name in table["block"])
    votable = votable_of(client, tmp_path)
    fields = {field.name: field for field in votable.fields}
    assert fields["mjd_obs"].ref == "utc"
    assert fields["value"].unit.to_string() == "ct"
    assert fields["block"].utype == "prov:Activity.id"
    assert all(field.ucd for field in fields.values())


def test_values_of_several_units_have_each_its_own(client: httpx.Client, tmp_path: Path) -> None:
    query = {"y": ["master_ron", "master_median"]}
    units = {row["parameter"]: row["value_unit"] for row in rows_of(client, **query)}
    assert units == {"master_ron": "count", "master_median": "adu"}
    assert votable_of(client, tmp_path, **query).get_field_by_id_or_name("value").unit is None


def test_every_unit_is_one_of_the_standards() -> None:
    from astropy import units

    from service.exports import _standard_unit

    for unit in {parameter.unit for parameter in qc1_definitions()} - {"", "%"}:
        above, *below = unit.split("/")
        expected = units.Unit(above) / units.Unit(".".join(below))
        for standard in ("fits", "vounit"):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                parsed = units.Unit(_standard_unit(unit, standard), format=standard)
            assert parsed == expected
    assert _standard_unit("%", "vounit") == "%"


def test_nothing_is_a_table_too(client: httpx.Client, tmp_path: Path) -> None:
    query = {"from": "1999-01-01", "to": "1999-01-02"}
    assert rows_of(client, **query) == []
    assert len(fits_of(client, **query)[0]) == 0
    assert len(votable_of(client, tmp_path, **query).array) == 0
    assert client.get(ADDRESS, params={**QUERY, **query}).json()["v"] == []


def test_pieces_join_without_a_seam(client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = client.get(f"{ADDRESS}.vot", params=QUERY).content, client.get(ADDRESS, params=QUERY).content
    monkeypatch.setattr("service.columns.CHUNK_ROWS", 7)
    monkeypatch.setattr("service.series._PIECE", 7)
    monkeypatch.setattr("core.archive.pages.qc1_rows._CHUNK", 7)
    pieces = client.get(f"{ADDRESS}.vot", params=QUERY).content, client.get(ADDRESS, params=QUERY).content
    assert (CHUNK_ROWS, whole) == (8192, pieces)


def test_a_file_of_a_part_of_the_values_is_refused_unless_asked_for(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.series, "MAX_POINTS", 10)
    address = f"{ADDRESS}.csv?y=master_ron&limit="
    assert len(client.get(f"{address}9").text.splitlines()) == 1 + 9
    for kind in ("csv", "vot", "fits"):
        refused = client.get(f"{address}10".replace("csv", kind))
        assert (refused.status_code, refused.json()["error_type"]) == (422, "parameter")
        assert "from, to" in refused.json()["detail"]


def test_who_finds_no_turn_is_told_when_to_come_again(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(_: HeavyTurns) -> None:
        raise BusyError("too many")

    monkeypatch.setattr(HeavyTurns, "take", none)
    answer = client.get(f"{ADDRESS}.csv", params=QUERY)
    assert (answer.status_code, answer.json()["error_type"]) == (429, "busy")
    assert int(answer.headers["Retry-After"]) > 0
    assert client.get("/api/nights").status_code == 200


def test_turns_are_given_in_order_and_not_waited_for_without_end(run_async: Callable[..., Any], tmp_path: Path) -> None:
    async def story() -> None:
        turns = HeavyTurns(tmp_path, 1, patience=0.01)
        turn = await turns.take()
        with pytest.raises(BusyError):
            await turns.take()
        turns.give_back(turn)
        turns.give_back(await turns.take())
        turns.close()

    run_async(story())


def test_processes_share_the_turns(run_async: Callable[..., Any], tmp_path: Path) -> None:
    async def story() -> None:
        # Each opens the files for itself, as two processes do.
        one, other = HeavyTurns(tmp_path, 2, patience=0.2), HeavyTurns(tmp_path, 2, patience=0.2)
        first, _ = await one.take(), await other.take()
        for turns in (one, other):
            with pytest.raises(BusyError):
                await turns.take()
        waiting = asyncio.create_task(other.take())
        one.give_back(first)
        await waiting
        one.close()
        other.close()

    run_async(story())


def test_reading_ends_when_the_client_closes_its_connection(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def read(_session: Any, _wanted: Any, stopped: Callable[[], bool], **_: Any) -> Any:
        begun.set()
        while not stopped():
            time.sleep(0.01)
        ended.set()
        raise ReadingStopped

    monkeypatch.setattr(service.api.qc1, "read_series", read)
    address = urlsplit(f"{client.base_url}")
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(f"GET {ADDRESS}.csv?y=master_ron HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert begun.wait(60)
        assert not ended.is_set()
    assert ended.wait(60)


def test_nothing_is_read_for_a_client_that_has_gone() -> None:
    gone = threading.Event()
    gone.set()

    def read(stopped: Any) -> Any:
        assert stopped()
        raise ReadingStopped

    assert export(gone.is_set, "csv", read).status_code == 499


def test_a_turn_ends_with_its_request(client: httpx.Client) -> None:
    for _ in range(5):  # more than there are turns
        assert client.get(f"{ADDRESS}.csv", params={**QUERY, "limit": 3}).status_code == 200
        assert client.get(f"{ADDRESS}.csv", params={"y": "nope"}).status_code == 404
