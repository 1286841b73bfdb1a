"""The first thing that the process of a recipe imports, before numpy.

* It limits the threads of numerical libraries (`core.recipes.threads`).
* It lets all threads take their memory from one heap: with a heap each, what one thread has freed is no use to another,
  and the peak grows with the number of frames.
* Freed memory stays with the process, large arrays too: a page that comes from the system anew costs as much time as
  some passes over it, and the next exposure or IFU needs as many.
"""

from __future__ import annotations

import contextlib
import ctypes

import core.recipes.threads  # noqa: F401  (before numpy)

__all__: list[str] = []

# of mallopt(3)
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_SETTINGS = {_M_ARENA_MAX: 1, _M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1}

with contextlib.suppress(AttributeError):  # a C library of another kind
    for _setting, _value in _SETTINGS.items():
        ctypes.CDLL(None).mallopt(_setting, _value)
