"""Commands as a person can paste them into any shell of this machine."""

from __future__ import annotations

import shlex

from core.settings import Settings

__all__ = ["command_line"]


def command_line(settings: Settings, command: str) -> str:
    """A command with the data directory of this installation.

    Examples
    --------
    >>> command_line(Settings(data_dir="/data/my archive"), "cascade up")
    "cascade up --data-dir '/data/my archive'"
    """
    return f"{command} --data-dir {shlex.quote(str(settings.data_dir))}"
