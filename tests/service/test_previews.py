"""The pictures that are kept on disk."""

from __future__ import annotations

import logging
import os
import shutil
import time
from pathlib import Path

import httpx
import pytest

from service.previews import PreviewCache


def names(folder: Path) -> set[str]:
    return {path.stem for path in folder.rglob("*.png")}


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def age(folder: Path, name: str, seconds: float) -> None:
    path = folder / name[:2] / f"{name}.png"
    when = time.time() - seconds
    os.utime(path, (when, when))


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache = PreviewCache(tmp_path, 1000)
    for number in range(10):
        cache.put(f"{number}0", b"x" * 100)
        age(tmp_path, f"{number}0", 3600 - number)
    assert len(names(tmp_path)) == 10
    assert cache.get("00") == b"x" * 100  # the oldest, but just used
    cache.put("new", b"y" * 100)
    assert names(tmp_path) == {"00", "new"} | {f"{number}0" for number in range(3, 10)}
    assert cache.get("10") is None
    assert cache.get("new") == b"y" * 100


def test_the_directory_stays_within_its_limit_however_much_is_looked_at(tmp_path: Path) -> None:
    caches = [PreviewCache(tmp_path, 20_000) for _ in range(2)]  # of two processes
    largest = 0
    for number in range(400):
        caches[number % 2].put(f"{number:03d}", bytes(200))
        largest = max(largest, size(tmp_path))
    assert largest < 20_000 * 1.15
    assert size(tmp_path) > 15_000


def test_a_cache_of_an_earlier_process_counts(tmp_path: Path) -> None:
    PreviewCache(tmp_path, 10**6).put("old", bytes(5000))
    age(tmp_path, "old", 100)
    PreviewCache(tmp_path, 1000).put("new", bytes(100))
    assert names(tmp_path) == {"new"}


def test_what_a_dead_process_left_half_written_is_removed(tmp_path: Path) -> None:
    cache = PreviewCache(tmp_path, 1000)
    cache.put("aa", b"x")
    for name, seconds in (("dead.part", 7200), ("alive.part", 1)):
        path = tmp_path / "aa" / name
        path.write_bytes(b"half")
        os.utime(path, (time.time() - seconds,) * 2)
    cache.put("ab", bytes(100))
    assert not (tmp_path / "aa" / "dead.part").exists()
    assert (tmp_path / "aa" / "alive.part").exists()


def test_a_disk_that_takes_nothing_is_said_and_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no directory")
    cache = PreviewCache(tmp_path / "file", 1000)
    with caplog.at_level(logging.WARNING):
        cache.put("aa", b"x")
    assert "cannot be kept" in caplog.text
    assert cache.get("aa") is None


def test_a_preview_that_was_removed_is_made_again(client: httpx.Client, settings: object, real_product: int) -> None:
    folder = settings.data_dir / "previews"  # type: ignore[attr-defined]
    address = f"/api/products/{real_product}/preview.png"
    first = client.get(address)
    assert first.status_code == 200
    shutil.rmtree(folder)
    assert client.get(address).content == first.content
    assert names(folder)
