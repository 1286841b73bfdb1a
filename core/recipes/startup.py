"""The first thing that the process of a recipe imports, before numpy.

* It limits the threads of numerical libraries (`core.recipes.threads`).
* It lets all threads take their memory from one heap: with a heap each, what one thread has freed is no use to another,
  and the peak grows with the number of frames.
"""

from __future__ import annotations

import contextlib
import ctypes

import core.recipes.threads  # noqa: F401  (before numpy)

__all__: list[str] = []

_M_ARENA_MAX = -8  # of mallopt(3)

with contextlib.suppress(AttributeError):  # a C library of another kind
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
