"""HEAD, and answers that a client has already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from service.conditional import MAX_TAGGED_BYTES, Conditional

READ = ("/", "/nights", "/qc1", "/docs", "/api/nights", "/api/frames", "/api/qc1", "/api/recipes", "/api/openapi.json")


@pytest.mark.parametrize("address", READ)
def test_the_head_has_what_the_answer_has_but_no_body(client: httpx.Client, address: str) -> None:
    head = client.head(address)
    whole = client.get(address)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert head.headers["etag"].startswith('W/"')


def test_what_is_not_there_is_not_there_for_head_either(client: httpx.Client) -> None:
    head = client.head("/api/blocks/nope")
    assert (head.status_code, head.content) == (404, b"")


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_who_has_an_answer_is_told_that_it_is_still_true(client: httpx.Client, encoding: str) -> None:
    first = client.get("/api/recipes", headers={"Accept-Encoding": encoding})
    tag = first.headers["etag"]
    again = client.get("/api/recipes", headers={"If-None-Match": f'"other", {tag}', "Accept-Encoding": encoding})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = client.get("/api/recipes", headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.json()) == (200, first.json())


def test_another_answer_has_another_tag(own: httpx.Client) -> None:
    block = own.get("/api/blocks", params={"state": "waiting"}).json()["items"][0]["name"]
    tag = own.get(f"/api/blocks/{block}").headers["etag"]
    assert own.get(f"/api/blocks/{block}", headers={"If-None-Match": tag}).status_code == 304
    assert own.post(f"/api/blocks/{block}/cancel", json={}).status_code == 200
    changed = own.get(f"/api/blocks/{block}", headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()["state"]) == (200, "cancelled")


@pytest.mark.parametrize(("size", "passed_on"), [(MAX_TAGGED_BYTES, 1), (MAX_TAGGED_BYTES + 1, 2), (None, 2)])
def test_a_long_answer_or_one_of_unknown_length_is_not_kept(
    run_async: Callable[..., Any], size: int | None, passed_on: int
) -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        length = [] if size is None else [(b"content-length", str(size).encode())]
        head = {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"application/json"), *length],
        }
        await send(head)
        await send({"type": "http.response.body", "body": b"[1,", "more_body": True})
        seen.append(len(sent))
        await send({"type": "http.response.body", "body": b"2]"})

    async def send(message: Any) -> None:
        sent.append(message)

    seen: list[int] = []
    run_async(Conditional(app)({"type": "http", "method": "GET", "headers": []}, None, send))
    assert seen == [0 if passed_on == 1 else 2]  # messages that had gone out before the last piece came
    assert len([message for message in sent if message["type"] == "http.response.body"]) == passed_on
    assert b"".join(message.get("body", b"") for message in sent) == b"[1,2]"


def test_an_order_has_no_tag(own: httpx.Client) -> None:
    block = own.get("/api/blocks", params={"state": "waiting"}).json()["items"][0]["name"]
    assert "etag" not in own.post(f"/api/blocks/{block}/cancel", json={}, headers={"If-None-Match": "*"}).headers
