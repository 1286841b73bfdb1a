from __future__ import annotations

import hashlib
import os
import threading
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from core.archive import store as store_module
from core.archive.store import ProductStore
from core.errors import ProductStoreError

NIGHT = date(2026, 11, 1)


@pytest.fixture
def store(tmp_path: Path) -> ProductStore:
    return ProductStore(tmp_path / "products")


def written(store: ProductStore, content: bytes, name: str = "MASTER_BIAS-01.fits") -> Path:
    path = store.work_directory("block") / name
    path.write_bytes(content)
    return path


def test_a_placed_file_is_where_and_what_it_is_said_to_be(store: ProductStore) -> None:
    placed = store.place(written(store, b"pixels"), night=NIGHT, block="MUSE.2026-11-01T22:00:00_BIAS")
    assert placed.path == store.root / "2026-11-01" / "MUSE.2026-11-01T22_00_00_BIAS" / "MASTER_BIAS-01.fits"
    assert placed.path.read_bytes() == b"pixels"
    assert (placed.size, placed.sha256) == (6, hashlib.sha256(b"pixels").hexdigest())
    assert store.verify(placed.path, placed.size, placed.sha256)
    placed.path.write_bytes(b"pixelx")
    assert not store.verify(placed.path, placed.size, placed.sha256)
    placed.path.unlink()
    assert not store.verify(placed.path, placed.size, placed.sha256)


def test_a_reader_sees_the_old_or_the_new_file_never_a_half(store: ProductStore) -> None:
    contents = (b"a" * 200_000, b"b" * 300_000)
    target = store.place(written(store, contents[0]), night=NIGHT, block="x").path
    stop, seen = threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            seen.add(target.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(20):
        store.place(written(store, contents[turn % 2]), night=NIGHT, block="x")
    stop.set()
    reader.join()
    assert seen <= set(contents)


def test_content_and_directory_are_flushed_before_the_name_is_given_back(
    store: ProductStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def spy_fsync(descriptor: int) -> None:
        steps.append("directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def spy_replace(source: Any, target: Any) -> None:
        steps.append("rename")
        replace(source, target)

    temporary = written(store, b"x")
    store.directory(NIGHT, "b").mkdir(parents=True)
    monkeypatch.setattr(store_module.os, "fsync", spy_fsync)
    monkeypatch.setattr(store_module.os, "replace", spy_replace)
    store.place(temporary, night=NIGHT, block="b")
    assert steps == ["file", "rename", "directory"]


def test_a_full_disk_leaves_the_final_name_alone(store: ProductStore, monkeypatch: pytest.MonkeyPatch) -> None:
    old = store.place(written(store, b"old"), night=NIGHT, block="b").path
    temporary = written(store, b"new")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module.os, "fsync", full)
    with pytest.raises(ProductStoreError, match="No space left") as caught:
        store.place(temporary, night=NIGHT, block="b")
    assert caught.value.retriable
    assert old.read_bytes() == b"old"


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="needs a second file system")
def test_a_file_from_another_file_system_is_copied_and_then_renamed(store: ProductStore) -> None:
    temporary = Path("/dev/shm") / f"cascade-test-{os.getpid()}.fits"
    temporary.write_bytes(b"far away")
    try:
        placed = store.place(temporary, night=NIGHT, block="b")
        assert placed.path.read_bytes() == b"far away"
        assert not temporary.exists()
        assert [path.name for path in placed.path.parent.iterdir()] == [temporary.name]
    finally:
        temporary.unlink(missing_ok=True)


def test_old_work_directories_are_removed_young_and_living_ones_stay(store: ProductStore) -> None:
    dead, alive, young = (store.work_directory(name) for name in ("dead", "alive", "young"))
    for path in (dead, alive):
        (path / "half.fits").write_bytes(b"x")
        for item in (path / "half.fits", path):
            os.utime(item, (1000.0, 1000.0))
    assert store.clean_work(3600, alive=lambda name: name.startswith("alive")) == [dead]
    assert not dead.exists()
    assert alive.exists()
    assert young.exists()
    store.discard_work(alive)
    assert not alive.exists()
    with pytest.raises(ValueError, match="not a work directory"):
        store.discard_work(store.root)


def test_old_files_are_found_by_night(store: ProductStore) -> None:
    old, fresh = (store.place(written(store, b"x", name), night=NIGHT, block="b").path for name in ("o.fits", "f.fits"))
    os.utime(old, (1000.0, 1000.0))
    for name in ("lost+found", "notes.txt"):  # none of ours, though in our directory
        (store.root / name).mkdir()
    ((night, folder),) = store.nights()
    assert (night, folder) == (NIGHT, old.parent.parent)
    assert store.old_files(folder, older_than=3600) == [old]
    assert fresh.exists()


def test_a_file_that_was_renewed_meanwhile_is_not_removed(store: ProductStore) -> None:
    left, adopted = (
        store.place(written(store, b"x", name), night=NIGHT, block="b").path for name in ("l.fits", "a.fits")
    )
    for path in (left, adopted):
        os.utime(path, (1000.0, 1000.0))
    found = store.old_files(store.root / NIGHT.isoformat(), 3600)
    assert store.renew(adopted)
    assert [path for path in found if store.remove_old(path, 3600)] == [left]
    assert (left.exists(), adopted.exists()) == (False, True)
    assert not store.renew(left)
    assert not store.remove_old(left, 3600)
