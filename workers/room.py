"""Room on the disks that an installation writes to: below what is kept free, work waits instead of failing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.settings import Settings
from core.sqliteurl import sqlite_path

__all__ = ["Disk", "disks", "full_disks", "lacking_room"]

_MB: Final = 1_000_000
_DATABASE, _PRODUCTS = "database", "products"


@dataclass(frozen=True)
class Disk:
    """A file system, by the directory through which it is written to, with what is free and what it holds [byte]."""

    path: Path
    what: str
    free: int
    size: int

    @property
    def holds_database(self) -> bool:
        """Whether the database is a file on it."""
        return _DATABASE in self.what

    @property
    def told(self) -> str:
        """In words."""
        return f"{self.free // _MB} of {self.size // _MB} MB are free on the disk of {self.path}"


def disks(settings: Settings) -> tuple[Disk, ...]:
    """The file systems of the database (if it is a file), products and logs, each once."""
    found: dict[int, Disk] = {}
    for path, what in _written(settings):
        place = next((folder for folder in (path, *path.parents) if folder.exists()), None)
        if place is None:
            continue
        state = os.statvfs(place)
        disk = Disk(path, what, state.f_bavail * state.f_frsize, state.f_blocks * state.f_frsize)
        device = os.stat(place).st_dev
        if device in found:
            disk = Disk(found[device].path, f"{found[device].what}, {what}", disk.free, disk.size)
        found[device] = disk
    return tuple(found.values())


def full_disks(settings: Settings) -> tuple[Disk, ...]:
    """Those with less room than is kept free."""
    return tuple(disk for disk in disks(settings) if disk.free < settings.free_mb * _MB)


def lacking_room(settings: Settings, needed: int = 0) -> str:
    """Why nothing can be written now; empty if there is room.

    Parameters
    ----------
    needed : int
        Bytes of products to come, besides what is kept free.
    """
    for disk in disks(settings):
        of_products = needed if _PRODUCTS in disk.what else 0
        if disk.free < settings.free_mb * _MB + of_products:
            wanted = settings.free_mb + -(-of_products // _MB)
            return f"waits for room on disk: {disk.told}, {wanted} MB are needed"
    return ""


def _written(settings: Settings) -> Iterable[tuple[Path, str]]:
    database = sqlite_path(settings.database_url)
    if database is not None:
        yield Path(database).parent, _DATABASE
    yield settings.product_dir, _PRODUCTS
    yield settings.log_dir, "logs"
