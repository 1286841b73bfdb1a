"""Whether the numerical kernels are compiled, without loading the compiler."""

from __future__ import annotations

import os
from pathlib import Path

import core

__all__ = ["kernels_compiled"]


def kernels_compiled() -> bool:
    """Whether numba's cache has kernels of this package, in any of the places where it looks."""
    package = Path(core.__file__).parent
    named = os.environ.get("NUMBA_CACHE_DIR")
    places = [Path(named)] if named else [package, Path.home() / ".cache" / "numba"]
    return any(next(place.rglob("*.nbi"), None) is not None for place in places)
