"""Does the broker answer."""

from __future__ import annotations

import os
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from core.settings import Settings
from service.commands import command_line

__all__ = ["broker_state"]


def broker_state(settings: Settings) -> dict[str, Any]:
    """Kind of the broker and whether it takes messages, with the reason if it does not."""
    url = settings.broker_url
    if url.startswith("filesystem:"):
        folder = settings.broker_dir
        ok = folder.is_dir() and os.access(folder, os.W_OK)
        return {
            "kind": "filesystem",
            "ok": ok,
            "text": "" if ok else f"{folder} cannot be written: run {command_line(settings, 'cascade up')}",
        }
    kind = url.split(":", 1)[0]
    if kind not in ("redis", "rediss"):
        return {"kind": kind, "ok": True, "text": "not checked: only Redis and the file system are"}
    try:
        with Redis.from_url(url, socket_connect_timeout=1.0, socket_timeout=1.0) as client:
            client.ping()
    except RedisError as error:
        return {"kind": kind, "ok": False, "text": f"Redis does not answer: {error}"}
    return {"kind": kind, "ok": True, "text": ""}
