"""Random streams that depend on what they are for, not on the order of the calls."""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["stream"]


def stream(seed: int, *purpose: object) -> np.random.Generator:
    """Random generator of a purpose.

    Parameters
    ----------
    seed : int
        Seed of the whole simulation, not negative.
    *purpose
        Anything with a stable text form: the same seed and purpose always give the same numbers.

    Returns
    -------
    numpy.random.Generator
    """
    words = [zlib.crc32(str(word).encode()) for word in purpose]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *words])))
