"""FITS checksums (FITS standard 4.0, appendix J) over byte buffers of any size."""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

__all__ = ["add_sums", "encode_checksum", "ones_complement_sum"]

_EXCLUDE = (0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 0x40, 0x5B, 0x5C, 0x5D, 0x5E, 0x5F, 0x60)


@nb.njit(cache=True, nogil=True)
def _sum_words(words: npt.NDArray[np.uint32]) -> np.uint64:
    total = np.uint64(0)
    for i in range(words.size):
        w = words[i]
        total += np.uint64(((w & 0xFF) << 24) | ((w & 0xFF00) << 8) | ((w >> 8) & 0xFF00) | ((w >> 24) & 0xFF))
    return total


def ones_complement_sum(data: npt.ArrayLike | bytes | bytearray | memoryview, start: int = 0) -> int:
    """32-bit ones' complement sum of big-endian words; a short last word is padded with zeros.

    Parameters
    ----------
    data : bytes-like or contiguous array
        Bytes as they are on disk.
    start : int
        Sum so far. Parts but the last must be multiples of 4 bytes long.
    """
    buffer = np.frombuffer(data, np.uint8) if isinstance(data, bytes | bytearray | memoryview) else np.asarray(data)
    buffer = buffer.reshape(-1).view(np.uint8)
    if buffer.size % 4:
        buffer = np.concatenate([buffer, np.zeros(-buffer.size % 4, np.uint8)])
    total = start + int(_sum_words(buffer.view(np.uint32)))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def add_sums(first: int, second: int) -> int:
    """Ones' complement sum of two sums."""
    total = first + second
    return (total & 0xFFFFFFFF) + (total >> 32)


def encode_checksum(total: int) -> str:
    """ASCII encoding of the complement of a sum, as the value of ``CHECKSUM``."""
    value = ~total & 0xFFFFFFFF
    ascii_ = [0] * 16
    for i in range(4):
        byte = (value >> (24 - 8 * i)) & 0xFF
        quotient, remainder = byte // 4 + 0x30, byte % 4
        ch = [quotient + remainder, quotient, quotient, quotient]
        check = True
        while check:
            check = False
            for j in (0, 2):
                if ch[j] in _EXCLUDE or ch[j + 1] in _EXCLUDE:
                    ch[j] += 1
                    ch[j + 1] -= 1
                    check = True
        for j in range(4):
            ascii_[4 * j + i] = ch[j]
    return "".join(chr(ascii_[(i + 15) % 16]) for i in range(16))
