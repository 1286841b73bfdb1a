"""The engine spreads parts over processes and a part over threads: numerical libraries must start none on top.

Importing this module before numpy keeps the user's limit (``OMP_NUM_THREADS``) for the engine and sets the libraries to
one thread each.
"""

from __future__ import annotations

import os

__all__ = ["thread_limit"]

_LIMIT = "MUSE_NUM_PROCESSES"

if _LIMIT not in os.environ and os.environ.get("OMP_NUM_THREADS"):
    os.environ[_LIMIT] = os.environ["OMP_NUM_THREADS"]
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"


def thread_limit() -> int:
    """Processes or threads that may work at once: ``OMP_NUM_THREADS`` as the user set it, else one per processor."""
    text = os.environ.get(_LIMIT, "")
    if text.isdigit() and int(text) > 0:
        return int(text)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
