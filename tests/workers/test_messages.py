from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.archive.records import Work
from core.settings import Settings
from workers.broker import EXECUTE_TASK, QUEUE, make_app, send_work


@pytest.fixture
def broker(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def _folder(broker: Settings) -> Path:
    return broker.broker_dir / "messages"


def _taken(broker: Settings) -> list[tuple[int, str]]:
    """Arguments of all tasks that a worker would get, oldest first."""
    found = []
    with make_app(broker).connection_for_read() as connection:
        queue = connection.SimpleQueue(QUEUE)
        while True:
            try:
                message = queue.get(block=False)
            except queue.Empty:
                return found
            if message.headers["task"] == EXECUTE_TASK:  # Celery itself refuses what it does not know
                found.append(tuple(message.payload[0]))
            message.ack()


def test_messages_come_in_the_order_in_which_they_were_sent(broker: Settings) -> None:
    app = make_app(broker)
    for number in range(1, 12):
        send_work(app, Work(number, ""))
    assert _taken(broker) == [(number, "") for number in range(1, 12)]
    assert list(_folder(broker).iterdir()) == []


DAMAGED = {
    "empty": b"",
    "half": b'{"body": "W1',
    "zeros": bytes(512),
    "bytes": bytes(range(256)),
    "list": b"[]",
    "number": b"17",
    "null": b"null",
    "no parts": b"{}",
    "deep": b"[" * 200_000,
    "long": b" " * 2_000_000,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_message_is_set_aside_and_the_others_are_taken(broker: Settings, content: bytes) -> None:
    app = make_app(broker)
    send_work(app, Work(1, ""))
    name = f"1_first.{QUEUE}.msg"
    (_folder(broker) / name).write_bytes(content)
    (_folder(broker) / f"2_a_folder.{QUEUE}.msg").mkdir()
    send_work(app, Work(2, "slab-001"))
    assert _taken(broker) == [(1, ""), (2, "slab-001")]
    assert (_folder(broker) / "damaged" / name).read_bytes() == content
    assert _taken(broker) == []


KEYS = ("body", "properties", "headers", "content-type", "content-encoding")


@given(
    key=st.sampled_from((*KEYS, "properties.delivery_tag", "properties.delivery_info", "headers.task", "headers.id")),
    value=st.sampled_from((None, 0, "", "W10=", [], {}, [1], "Ã©")),
)
@settings(max_examples=60, deadline=None)
def test_a_message_of_which_a_part_is_another_thing_stops_nobody(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: object
) -> None:
    broker = Settings(data_dir=tmp_path_factory.mktemp("broker"))
    send_work(make_app(broker), Work(1, ""))
    (path,) = _folder(broker).glob("*.msg")
    message = json.loads(path.read_bytes())
    *above, last = key.split(".")
    place = message[above[0]] if above else message
    place[last] = value
    path.write_text(json.dumps(message))
    send_work(make_app(broker), Work(2, ""))
    assert (2, "") in _taken(broker)
