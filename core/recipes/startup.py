"""The first thing that the process of a recipe imports, so that it starts in half the time and takes less memory.

Importing this module before numpy and numba

* limits the threads of numerical libraries (`core.recipes.threads`);
* loads the compiler's tables without its search for BLAS, for which numba would import ``scipy.linalg``: no kernel
  computes covariances, the only thing that depends on what is found (products of matrices ask again);
* lets all threads take their memory from one heap: with a heap each, what one thread has freed is no use to another,
  and the peak grows with the number of frames;
* rests the garbage collector, which would go through all modules again and again while they are being loaded, until
  `done` is called.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import sys

import core.recipes.threads  # noqa: F401  (before numpy)

__all__ = ["done"]

_BLAS = "scipy.linalg.cython_blas"
_M_ARENA_MAX = -8  # of mallopt(3)


def done() -> None:
    """All modules are loaded: the garbage collector goes on, and leaves what they made alone."""
    gc.freeze()
    gc.enable()


def _share_heap() -> None:
    with contextlib.suppress(AttributeError):  # a C library of another kind
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _load_compiler() -> None:
    if _BLAS in sys.modules:
        return
    sys.modules[_BLAS] = None  # type: ignore[assignment]  # importing it fails at once
    try:
        with contextlib.suppress(ImportError):  # numba may be arranged otherwise one day
            importlib.import_module("numba.np.arraymath")
    finally:
        del sys.modules[_BLAS]


gc.disable()
_share_heap()
_load_compiler()
