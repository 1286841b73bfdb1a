"""The entry point of the command ``cascade``."""

from __future__ import annotations

from functools import partial

from core.launch import launch

__all__ = ["cascade"]

cascade = partial(launch, "cascade", "service.cli.main:main")
