"""The server ends although somebody connects while it does, and keeps asking."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any

import uvicorn

from service.patience import PatientProtocol
from service.server import PagesServer

REQUEST = b"GET / HTTP/1.1\r\nHost: local\r\n\r\n"


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def never(scope: Any, receive: Any, send: Any) -> None:
    """Never answers."""
    await asyncio.sleep(3600)


class TakesOneMore(PagesServer):
    """A server whose loop had accepted a connection that is made only after the others were told."""

    late: socket.socket

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, with one more connection on the way."""
        loop = asyncio.get_running_loop()
        taking = loop.call_later(0.05, lambda: loop.create_task(self._take()))
        await super().shutdown(sockets)
        assert taking.when() < loop.time()

    async def _take(self) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: PatientProtocol(config=self.config, server_state=self.server_state, app_state={}), self.late
        )


def ends(server: uvicorn.Server, seconds: float) -> bool:
    """Whether a running server that is told to end does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            thread.join(0.01)
        server.should_exit = True
        thread.join(seconds)
        return not thread.is_alive()


def test_who_connects_while_the_server_ends_is_sent_away_however_often_he_asks() -> None:
    here, there = socket.socketpair()
    server = TakesOneMore(uvicorn.Config(answer, http=PatientProtocol, log_config=None, lifespan="off"))
    server.late = there
    answers = []

    def ask() -> None:
        with here, suppress(ConnectionError):
            here.sendall(REQUEST)
            while received := here.recv(1000):
                answers.append(received)
                here.sendall(REQUEST)

    client = threading.Thread(target=ask, daemon=True)
    client.start()
    assert ends(server, 20)
    client.join(20)
    assert not client.is_alive()
    assert answers


def test_an_answer_that_takes_for_ever_is_broken_off() -> None:
    here, there = socket.socketpair()
    config = uvicorn.Config(never, http=PatientProtocol, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = TakesOneMore(config)
    server.late = there
    with here:
        here.sendall(REQUEST)
        assert ends(server, 20)
        here.settimeout(20)
        while here.recv(1000):  # an answer that says so, or none; then the end
            pass
