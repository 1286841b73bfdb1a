"""Lists in pieces that are followed by ``next`` or by ``Link``, and what else belongs to an answer."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

LISTS = (
    ("/api/nights", "night"),
    ("/api/frames?night=2026-11-19&tag=ARC", "id"),
    ("/api/blocks?state=done", "id"),
    ("/api/products?tag=MASTER_BIAS", "id"),
    ("/api/quarantine", "id"),
)


def follow(client: httpx.Client, address: str, rel: str) -> list[list[Any]]:
    """Items of all pieces, from an address on."""
    pieces = []
    while address:
        answer = client.get(address)
        pieces.append(answer.json()["items"])
        target = answer.links.get(rel, {}).get("url", "")
        address = urljoin(str(answer.url), target) if target else ""
    return pieces


@pytest.mark.parametrize(("address", "key"), LISTS)
def test_every_list_is_walked_by_next_and_back_by_prev(client: httpx.Client, address: str, key: str) -> None:
    joint = "&" if "?" in address else "?"
    whole = [item[key] for item in client.get(f"{address}{joint}limit=400").json()["items"]]
    assert whole == sorted(set(whole), reverse=True)
    limit = max(2, len(whole) // 3)
    pieces = follow(client, f"{address}{joint}limit={limit}", "next")
    assert [item[key] for piece in pieces for item in piece] == whole
    assert all(len(piece) == limit for piece in pieces[:-1])
    assert pieces[-1]  # no empty piece at the end, also where the last one is full
    last = pieces[-2][-1][key] if len(pieces) > 1 else None
    back = follow(client, f"{address}{joint}limit={limit}" + (f"&after={last}" if last else ""), "prev")
    assert back == pieces[::-1]


@pytest.mark.parametrize(("address", "key"), LISTS)
def test_the_envelope_and_the_header_say_the_same(client: httpx.Client, address: str, key: str) -> None:
    answer = client.get(address, params={**dict(httpx.URL(address).params), "limit": 1})
    body = answer.json()
    assert set(body) == {"items", "next"}
    assert httpx.URL(answer.links["first"]["url"]).params.get("after") is None
    if body["next"] is None:
        assert "next" not in answer.links
        return
    assert body["next"] == body["items"][-1][key]
    asked = httpx.URL(answer.links["next"]["url"]).params
    assert dict(asked) == {**dict(httpx.URL(address).params), "limit": "1", "after": str(body["next"])}


@pytest.mark.parametrize("address", [address.partition("?")[0] for address, _ in LISTS])
@pytest.mark.parametrize("forged", ["0", "-1", "abc", "1.5", "2026-13-01", "9" * 30, "'; drop table frames"])
def test_a_forged_key_is_refused(client: httpx.Client, address: str, forged: str) -> None:
    answer = client.get(address, params={"after": forged})
    assert (answer.status_code, answer.json()["error_type"]) == (422, "validation")
    assert "after" in answer.json()["context"]


@pytest.mark.parametrize(("address", "after"), [("/api/nights", "0001-01-01"), ("/api/frames", "1")])
def test_behind_the_last_there_is_nothing_but_a_way_back(client: httpx.Client, address: str, after: str) -> None:
    answer = client.get(address, params={"after": after, "limit": 5})
    assert answer.json() == {"items": [], "next": None}
    last = client.get(urljoin(str(answer.url), answer.links["prev"]["url"]))
    assert len(last.json()["items"]) == 5


def test_a_page_and_its_json_name_each_other(client: httpx.Client, bias_block: str) -> None:
    block = client.get(f"/api/blocks/{bias_block}")
    page = client.get(f"/blocks/{bias_block}")
    found = block.links["alternate"]
    assert client.get(found["url"]).headers["content-type"].startswith(found["type"])
    assert urljoin(str(block.url), found["url"]) == str(page.url)
    assert urljoin(str(page.url), page.links["alternate"]["url"]) == str(block.url)
    assert page.links["alternate"]["type"] == "application/json"
    assert client.get("/api/recipes").links == {}


def test_a_file_names_what_describes_it_and_a_thing_its_list(client: httpx.Client, real_product: int) -> None:
    file = client.get(f"/api/products/{real_product}/file", headers={"Range": "bytes=0-9"})
    assert file.links["describedby"]["url"] == f"/api/products/{real_product}"
    assert client.get(f"/api/products/{real_product}").links["collection"]["url"] == "/api/products"
    assert client.head(f"/api/products/{real_product}/file").links["describedby"]
    assert client.get("/api/products/9999999").links == {}


def test_an_answer_that_is_known_keeps_its_links(client: httpx.Client) -> None:
    first = client.get("/api/frames?limit=3")
    again = client.get("/api/frames?limit=3", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.links) == (304, first.links)


def test_a_series_names_its_tables(client: httpx.Client) -> None:
    series = client.get("/api/qc1/muse_bias/series?y=master_ron&unit=1&limit=5")
    kinds = {}
    for value in series.headers.get_list("link", split_commas=True):
        target, _, rest = value.strip().partition(";")
        if "series." in target:
            kinds[target.strip("<>")] = rest
    assert len(kinds) == 3
    for target, rest in kinds.items():
        answer = client.get(target)
        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] in rest


def test_the_table_of_nights_goes_on_by_next(client: httpx.Client) -> None:
    assert client.get("/nights?after=2026-11-10").text.count('href="/nights/2026-11-09"') >= 1
    assert client.get("/nights?after=yesterday").status_code == 422
