"""What is refused at the door: names and pages of others, bodies without end."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from service.guard import MAX_BODY_BYTES, host_is_known


@pytest.mark.parametrize(
    "host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "10.0.0.7:80", "muse.localhost", "", "Muse.Example.ORG:8000"]
)
def test_addresses_this_machine_and_names_that_are_allowed_are_known(host: str) -> None:
    assert host_is_known(host, {"muse.example.org"})


def test_the_name_of_the_machine_is_known() -> None:
    assert host_is_known(f"{socket.gethostname()}:8000", ())


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8000", "[", "a@b"])
def test_other_names_are_not_known(host: str) -> None:
    assert not host_is_known(host, {"muse.example.org"})
    assert host_is_known(host, {"*"}) or host == "["


@pytest.mark.parametrize("address", ["/", "/api/nights", "/static/style.css"])
def test_a_name_that_somebody_points_here_reads_nothing(client: httpx.Client, address: str) -> None:
    answer = client.get(address, headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()["error_type"]) == (421, "unknown_host")
    assert "CASCADE_ALLOWED_HOSTS" in answer.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
def test_orders_from_pages_of_other_sites_are_refused(own: httpx.Client, headers: dict[str, str]) -> None:
    name = own.get("/api/blocks", params={"state": "done"}).json()["items"][0]["name"]
    answer = own.post(f"/api/blocks/{name}/rerun", json={}, headers=headers)
    assert (answer.status_code, answer.json()["error_type"]) == (403, "foreign_request")
    assert own.get(f"/api/blocks/{name}").json()["state"] == "done"


def test_orders_from_the_own_pages_are_taken(own: httpx.Client) -> None:
    name = own.get("/api/blocks", params={"state": "done"}).json()["items"][0]["name"]
    origin = f"http://{urlsplit(str(own.base_url)).netloc}"
    assert own.post(f"/api/blocks/{name}/rerun", json={}, headers={"Origin": origin}).status_code == 200


def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_read(client: httpx.Client) -> None:
    address = client.base_url
    head = (
        f"POST /api/blocks/any/rerun HTTP/1.1\r\nHost: {address.host}:{address.port}\r\n"
        "Content-Type: application/json\r\nContent-Length: 400000000\r\n\r\n"
    )
    with socket.create_connection((address.host, address.port), timeout=60) as connection:
        connection.sendall(head.encode())  # and not one byte of the body
        assert connection.recv(200).startswith(b"HTTP/1.1 413")


def test_a_body_that_does_not_say_how_long_it_is_is_read_no_further_than_allowed(client: httpx.Client) -> None:
    sent = 0

    def long() -> Iterator[bytes]:
        nonlocal sent
        yield b'{"reason": "'
        while sent < 3 * MAX_BODY_BYTES:
            sent += 50_000
            yield b"x" * 50_000
        yield b'"}'

    answer = client.post("/api/blocks/any/rerun", content=long(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error_type"]) == (413, "too_large")
