from __future__ import annotations

from pathlib import Path

import pytest

from core.recipes.kernels import kernels_compiled


def test_kernels_in_the_cache_that_is_named_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert not kernels_compiled()
    (tmp_path / "ccd_ab12").mkdir()
    (tmp_path / "ccd_ab12" / "combine._median-1.py311.nbi").touch()
    assert kernels_compiled()
