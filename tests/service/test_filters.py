"""Filters that nothing could fit are refused, by every address of the REST interface, and what is taken is named."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

HUGE = "9" * 5000
SERIES = "/api/qc1/muse_bias/series"


@pytest.fixture(scope="module")
def operations(client: httpx.Client) -> list[tuple[str, list[dict[str, Any]]]]:
    """Addresses that are read, with what they take."""
    paths = client.get("/api/openapi.json").json()["paths"]
    return [(path, methods["get"].get("parameters", [])) for path, methods in paths.items() if "get" in methods]


KNOWN = {"night": "2026-11-19", "table": "muse_bias", "column": "master_ron", "kind": "vot"}


def filled(path: str, value: str = "1") -> str:
    """An address with a value for each name in braces."""
    return re.sub(r"{(\w+)}", lambda name: KNOWN.get(name[1], value), path)


def needed(path: str) -> dict[str, str]:
    return {"y": "master_ron"} if "/series" in path else {}


def test_no_address_takes_a_parameter_that_it_does_not_have(
    client: httpx.Client, operations: list[tuple[str, list[dict[str, Any]]]]
) -> None:
    assert len(operations) > 25
    for path, parameters in operations:
        answer = client.get(
            filled(path), params={"y": "master_ron", "mispelt": "1"} if "series" in path else {"mispelt": "1"}
        )
        assert answer.status_code == 422, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert "there is no parameter 'mispelt' here" in answer.json()["detail"], path
        for parameter in parameters:
            if parameter["in"] == "query":
                assert parameter["name"] in answer.json()["detail"], path


@pytest.mark.parametrize("value", [HUGE, str(1 << 70), "-1", "nan", "inf", "1e999", "x" * 5000, "\u2212\u0663"])
def test_no_value_is_an_error_of_the_service(
    client: httpx.Client, operations: list[tuple[str, list[dict[str, Any]]]], value: str
) -> None:
    for path, parameters in operations:
        names = [item["name"] for item in parameters if item["in"] == "query"]
        for name in names:
            answer = client.get(filled(path), params={**needed(path), name: value})
            assert answer.status_code < 500, (path, name)
            assert len(answer.content) < 2_000_000
        if "{" in path:
            assert client.get(filled(path, value), params=needed(path)).status_code < 500, path


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("unit=99", "is not between 1 and 24"),
        ("unit=1,99", "is not between 1 and 24"),
        ("unit=3-1", "the range 3-1 runs backwards"),
        (f"unit={HUGE}", "is not between 1 and 24"),
        ("unit=0", "is not between 1 and 24"),
        ("unit=two", "is no list like 1,3-6"),
        ("quadrant=9", "is not between 1 and 4"),
        ("slice=3", "muse_bias has no values by slice: it has them by"),
        ("from=yesterday", "is neither a date like 2026-11-01 nor an MJD"),
        ("from=2026-11-02&to=2026-11-01", "from is later than to"),
        ("from=nan", "is no MJD between 0 and 200000"),
        ("unit=1&unit=2", "unit is given 2 times, it takes one value"),
    ],
)
def test_a_series_is_not_asked_for_by_what_it_cannot_have(client: httpx.Client, query: str, words: str) -> None:
    answer = client.get(f"{SERIES}?y=master_ron&{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert words in answer.json()["detail"]
    assert len(answer.text) < 2000


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("/api/frames?tag=FOO", "BIAS, DARK"),
        ("/api/products?tag=FOO", "MASTER_BIAS"),
        ("/api/products?unit=99", "less than or equal to 24"),
        ("/api/blocks?recipe=muse_baking", "muse_bias"),
        ("/api/blocks?state=tired", "'done'"),
    ],
)
def test_a_list_is_not_restricted_to_what_does_not_exist(client: httpx.Client, address: str, words: str) -> None:
    answer = client.get(address)
    assert (answer.status_code, answer.json()["error_type"]) in ((422, "parameter"), (422, "validation"))
    assert words in answer.json()["detail"]


def test_what_exists_may_be_absent(client: httpx.Client) -> None:
    assert client.get("/api/frames", params={"tag": "SKYFLAT"}).json()["items"] == []
