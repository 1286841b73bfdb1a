"""Bytes between memory and a place in a file, all of them; several threads may use one descriptor."""

from __future__ import annotations

import os

__all__ = ["read_at", "write_at"]


def read_at(number: int, view: memoryview, position: int) -> bool:
    """Fill a buffer from a place in a file.

    Parameters
    ----------
    number : int
        File descriptor.
    view : memoryview
        Writable bytes.
    position : int
        Place of the first byte.

    Returns
    -------
    bool
        False if the file ends before.
    """
    while view:
        done = os.preadv(number, [view], position)
        if not done:
            return False
        view, position = view[done:], position + done
    return True


def write_at(number: int, view: memoryview, position: int) -> None:
    """Write a buffer to a place in a file.

    Parameters
    ----------
    number : int
        File descriptor.
    view : memoryview
        Bytes.
    position : int
        Place of the first byte.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    while view:
        done = os.pwrite(number, view, position)
        view, position = view[done:], position + done
