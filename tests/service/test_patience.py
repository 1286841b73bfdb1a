"""Connections on which no request comes are closed."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from service.patience import PatientProtocol


class Hasty(PatientProtocol):
    head_seconds = 0.5


async def slow_answer(scope: Any, receive: Any, send: Any) -> None:
    """Takes longer than a head may."""
    if scope["path"] == "/slow":
        await asyncio.sleep(1.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(slow_answer, http=Hasty, log_config=None, lifespan="off", timeout_keep_alive=60)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()
    server.should_exit = True
    thread.join()


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(60)
    return connection.recv(100) == b""


def drip(connection: socket.socket, text: bytes) -> None:
    for byte in text:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: local"])
def test_a_connection_without_a_whole_head_is_closed(address: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(sent)
        assert is_closed(connection)


def test_a_head_that_comes_byte_by_byte_is_not_waited_for(address: tuple[str, int]) -> None:
    with socket.create_connection(address) as connection:
        connection.settimeout(60)
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            drip(connection, b"GET / HTTP/1.1\r\nX: " + b"x" * 10_000)


def test_a_second_request_is_not_waited_for_either_and_slow_answers_are(address: tuple[str, int]) -> None:
    request = b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(address) as connection:
        connection.sendall(request)
        connection.settimeout(60)
        received = b""
        while not received.endswith(b"ok"):
            received += connection.recv(1000)
        assert received.startswith(b"HTTP/1.1 200")
        connection.sendall(request[:10])
        assert is_closed(connection)
