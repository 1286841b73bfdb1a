"""Checksums of the standard."""

from __future__ import annotations

import numpy as np
import pytest

from core.fitsfile.checksum import encode_checksum, ones_complement_sum


@pytest.mark.parametrize("length", [0, 4, 2880, 5761, 100003])
def test_checksum_agrees_with_the_definition(length: int) -> None:
    data = np.random.default_rng(length).integers(0, 256, length).astype(np.uint8).tobytes()
    padded = data + bytes(-length % 4)
    total = int(np.frombuffer(padded, ">u4").astype(np.uint64).sum())
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    assert ones_complement_sum(data) == total
    # The encoded complement added to the sum gives all ones: the definition of a valid checksum.
    text = encode_checksum(total)
    assert text.isalnum()
    assert len(text) == 16
