"""What CFITSIO, the library that most programs read FITS with, thinks of a file."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from pathlib import Path

__all__ = ["cfitsio_sums"]


def cfitsio_sums(path: Path) -> list[tuple[int, int]] | None:
    """State of DATASUM and CHECKSUM of every HDU: 1 is right, 0 missing, -1 wrong; None without CFITSIO.

    Raises
    ------
    RuntimeError
        If CFITSIO cannot read the file.
    """
    name = ctypes.util.find_library("cfitsio")
    if name is None:
        return None
    library = ctypes.CDLL(name)
    fptr, status, count = ctypes.c_void_p(), ctypes.c_int(0), ctypes.c_int(0)
    library.ffdkopn(ctypes.byref(fptr), os.fsencode(path), 0, ctypes.byref(status))
    library.ffthdu(fptr, ctypes.byref(count), ctypes.byref(status))
    found = []
    for number in range(1, count.value + 1):
        data, whole = ctypes.c_int(), ctypes.c_int()
        library.ffmahd(fptr, number, None, ctypes.byref(status))
        library.ffvcks(fptr, ctypes.byref(data), ctypes.byref(whole), ctypes.byref(status))
        found.append((data.value, whole.value))
    library.ffclos(fptr, ctypes.byref(status))
    if status.value:
        raise RuntimeError(f"CFITSIO ends with status {status.value}: {path}")
    return found
