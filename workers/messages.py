"""Messages as files, for installations without a server: kombu's file-system transport, made safe.

A message appears under its name when it is whole, and is taken by a rename, so that no reader sees half of one. What is
no message (a damaged disk, a stray file) is set aside in the folder ``damaged`` and the worker goes on; the dispatcher
sends again what got lost.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any, Final

from kombu.exceptions import ChannelError
from kombu.transport import filesystem

__all__ = ["FileChannel", "FileTransport"]

_LOG = logging.getLogger(__name__)
_FORM: Final = ("base64", "application/json", "utf-8")
_LARGEST: Final = 1 << 20  # bytes; ours have one thousand


class FileChannel(filesystem.Channel):
    """Channel whose queues are files of a folder."""

    def _put(self, queue: str, payload: Any, **_: Any) -> None:
        folder = Path(self.data_folder_out)
        name = f"{time.time_ns()}_{uuid.uuid4()}.{queue}.msg"
        draft = folder / f".{name}"
        try:
            draft.write_text(json.dumps(payload))
            draft.rename(folder / name)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise ChannelError(f"the message cannot be written to {folder}: {error}") from error

    def _get(self, queue: str) -> Any:
        folder = Path(self.data_folder_in)
        for name in sorted(os.listdir(folder)):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            taken = folder / f".{name}.{os.getpid()}"
            try:
                (folder / name).rename(taken)
            except OSError:  # another worker was faster
                continue
            try:
                payload = _message(taken)
            except Exception as error:  # whatever it holds
                _set_aside(taken, name, error)
                continue
            taken.unlink()
            return payload
        raise Empty


class FileTransport(filesystem.Transport):
    """Transport for ``filesystem://``."""

    Channel = FileChannel

    @property
    def default_connection_params(self) -> dict[str, Any]:
        """None: a folder has no host."""
        return {}


def _message(path: Path) -> dict[str, Any]:
    """The message in a file; raises what reading something else raises."""
    if path.stat().st_size > _LARGEST:
        raise ValueError("it is too long")
    payload: dict[str, Any] = json.loads(path.read_bytes())
    properties, headers = payload["properties"], payload["headers"]
    arguments, keywords, _ = json.loads(base64.b64decode(payload["body"], validate=True))
    texts = (headers["task"], headers["id"], properties["delivery_tag"], properties["delivery_info"]["exchange"])
    form = (properties["body_encoding"], payload["content-type"], payload["content-encoding"])
    if form != _FORM or not all(isinstance(text, str) for text in texts):
        raise ValueError("it has not the form of a task")
    if not isinstance(arguments, list) or not isinstance(keywords, dict):
        raise ValueError("its arguments are none")
    return payload


def _set_aside(path: Path, name: str, error: Exception) -> None:
    place = path.parent / "damaged"
    _LOG.error("message %s is damaged (%s: %s): set aside in %s", name, type(error).__name__, error, place)
    try:
        place.mkdir(exist_ok=True)
        path.rename(place / name)
    except OSError as reason:
        _LOG.error("message %s cannot be set aside and stays as %s: %s", name, path, reason)
