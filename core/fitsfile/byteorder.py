"""Pixels of FITS files in the byte order of the processor, changed in place and without the interpreter's lock."""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["pixels_from_disk", "pixels_to_disk", "unsigned_from_disk"]


@njit(cache=True, nogil=True)
def _swap_16(words, mask):  # type: ignore[no-untyped-def]
    for i in range(words.size):
        w = words[i]
        words[i] = ((w << np.uint16(8)) | (w >> np.uint16(8))) ^ mask


@njit(cache=True, nogil=True)
def _swap_32(words):  # type: ignore[no-untyped-def]
    for i in range(words.size):
        w = words[i]
        words[i] = ((w & 0xFF) << 24) | ((w & 0xFF00) << 8) | ((w >> 8) & 0xFF00) | ((w >> 24) & 0xFF)


def unsigned_from_disk(pixels: npt.NDArray[np.uint16], offset: bool) -> None:
    """Big-endian 16-bit pixels become native ones, in place.

    Parameters
    ----------
    pixels : ndarray, uint16, contiguous
    offset : bool
        Whether they were stored as signed integers with ``BZERO = 32768``.
    """
    if sys.byteorder == "little":
        _swap_16(pixels.reshape(-1), np.uint16(0x8000 if offset else 0))
    elif offset:
        pixels ^= np.uint16(0x8000)


def pixels_from_disk(pixels: npt.NDArray[np.float32] | npt.NDArray[np.int32]) -> None:
    """Big-endian 32-bit pixels, contiguous, become native ones, in place."""
    if sys.byteorder == "little":
        _swap_32(pixels.reshape(-1).view(np.uint32))


def pixels_to_disk(pixels: npt.NDArray[np.float32] | npt.NDArray[np.int32]) -> None:
    """Native 32-bit pixels, contiguous, become big-endian ones, in place."""
    pixels_from_disk(pixels)
