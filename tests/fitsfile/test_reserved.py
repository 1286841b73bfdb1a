"""Files that are reserved, filled in any order, and finished once."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import DataError, ProductStoreError
from core.fitsfile.checksum import add_sums
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.fitsfile.reserved import ReservedFile, ReservedHdu
from core.fitsfile.scan import scan_fits
from core.fitsfile.structure import image_cards

Sums = Callable[[Path], list[tuple[int, int]]]
BOUNDS = np.array([0, 2, 5, 6])


def layout() -> list[ReservedHdu]:
    hdus = []
    for name, dtype in (("A", np.float32), ("B", np.int32)):
        header = image_cards(dtype, (6, 5))
        header["EXTNAME"] = name
        hdus.append(ReservedHdu(header, 20))
    return hdus


def reserve(path: Path, room: int = 10) -> ReservedFile:
    primary = Header()
    primary["OBJECT"] = "a field"
    return ReservedFile.create(path, primary, layout(), BOUNDS, room)


VALUES = (np.arange(30, dtype=np.float32).reshape(6, 5) / 7, np.arange(30, dtype=np.int32).reshape(6, 5) - 15)


def put(file: ReservedFile, unit: int) -> None:
    rows = slice(int(BOUNDS[unit]), int(BOUNDS[unit + 1]))
    sums = [file.write(number, rows.start, values[rows]) for number, values in enumerate(VALUES, 1)]
    file.mark(unit, add_sums(*sums))


def filled(path: Path, room: int = 10) -> ReservedFile:
    file = reserve(path, room)
    for unit in (2, 0, 1):
        put(file, unit)
    return file


def test_what_was_written_is_there_with_right_sums(tmp_path: Path, cfitsio_sums: Sums) -> None:
    path = filled(tmp_path / "a.fits").finish()
    with fits.open(path, checksum=True) as hdus:  # a wrong checksum warns, and warnings are errors
        hdus.verify("exception")
        assert hdus[0].header["OBJECT"] == "a field"
        for name, values in zip("AB", VALUES, strict=True):
            np.testing.assert_array_equal(hdus[name].data, values)
        told = hdus[0].header["DATAMD5"]
    assert cfitsio_sums(path) == [(1, 1)] * 3
    content, scan = path.read_bytes(), scan_fits(path)
    units = b"".join(content[hdu.data_offset :][:2880] for hdu in scan.hdus[1:])
    assert told == hashlib.md5(units).hexdigest()
    assert os.listdir(tmp_path) == ["a.fits"]


def test_the_file_has_its_name_only_when_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    with filled(path):
        assert not path.exists()
    assert not path.exists()
    with ReservedFile(path) as again:  # by somebody else
        again.finish()
    assert path.exists()


def test_a_unit_that_nobody_wrote_is_named(tmp_path: Path) -> None:
    with reserve(tmp_path / "a.fits") as file:
        put(file, 1)
        assert file.missing() == [0, 2]
        with pytest.raises(ProductStoreError, match="never written: part 0, 2"):
            file.finish(noun="part")
        assert not (tmp_path / "a.fits").exists()
        put(file, 0)
        put(file, 2)
        file.finish()


def test_bytes_that_are_not_those_that_were_marked_are_found(tmp_path: Path) -> None:
    # A host that loses power may keep the mark and lose the bytes.
    with filled(tmp_path / "a.fits") as file:
        file.write(1, 2, np.zeros((1, 5), np.float32))
        with pytest.raises(ProductStoreError, match="not as written: unit 1"):
            file.finish()


def test_the_same_unit_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    once = filled(tmp_path / "a.fits").finish().read_bytes()
    twice = filled(tmp_path / "a.fits")
    put(twice, 1)
    assert twice.finish().read_bytes() == once


def test_cards_come_into_the_room_that_was_left(tmp_path: Path, cfitsio_sums: Sums) -> None:
    with filled(tmp_path / "a.fits", room=100) as file:
        header = file.primary
        for number in range(100):
            set_key(header, f"QC.TEST{number}", float(number))
        path = file.finish(header)
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert hdus[0].header["ESO QC TEST99"] == 99.0
    assert cfitsio_sums(path) == [(1, 1)] * 3


def test_a_header_that_outgrows_its_room_is_refused_and_can_be_cut(tmp_path: Path) -> None:
    with filled(tmp_path / "a.fits", room=0) as file:
        header = file.primary
        for number in range(36):
            set_key(header, f"QC.TEST{number}", number)
        with pytest.raises(ProductStoreError, match="the header needs 5760 bytes, 2880 are reserved"):
            file.finish(header)
        assert file.finish().exists()


def test_extensions_follow_what_was_reserved_once_however_often_it_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cfitsio_sums: Sums
) -> None:
    path, image = tmp_path / "a.fits", np.arange(6, dtype=np.float32).reshape(2, 3)
    white = image_cards(image.dtype, image.shape)
    white["EXTNAME"] = "white"
    with filled(path) as file, monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise OSError(errno.EIO, "broken")

        patch.setattr(os, "replace", full)
        with pytest.raises(ProductStoreError, match="cannot finish: broken"):
            file.finish(more=[(white, image)])
    with ReservedFile(path) as again:
        again.finish(more=[(white, image)])
    with fits.open(path, checksum=True) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "A", "B", "white"]
        np.testing.assert_array_equal(hdus["white"].data, image)
    assert cfitsio_sums(path) == [(1, 1)] * 4


def test_a_full_disk_is_told_when_the_file_is_reserved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ProductStoreError, match=r"cannot reserve \d+ bytes: No space left"):
        reserve(tmp_path / "a.fits")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(("free", "fits_in"), [(10_000_000, True), (1, False)])
def test_where_space_cannot_be_taken_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, fits_in: bool
) -> None:
    def never(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    class State:
        f_bavail, f_frsize = free, 1

    monkeypatch.setattr(os, "posix_fallocate", never)
    monkeypatch.setattr(os, "fstatvfs", lambda _: State)
    if fits_in:
        filled(tmp_path / "a.fits").finish()
    else:
        with pytest.raises(ProductStoreError, match="No space left"):
            reserve(tmp_path / "a.fits")


def test_a_late_writer_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    filled(path).close()
    late = ReservedFile(path)
    with ReservedFile(path) as other:
        other.finish()
    before = path.read_bytes()
    put(late, 2)
    late.close()
    assert path.read_bytes() == before


def test_reserving_anew_forgets_what_was_there(tmp_path: Path) -> None:
    filled(tmp_path / "a.fits").close()
    with reserve(tmp_path / "a.fits") as file:
        assert file.missing() == [0, 1, 2]
        file.discard()
    assert not os.listdir(tmp_path)


def test_nothing_is_written_where_nothing_is_reserved(tmp_path: Path) -> None:
    with pytest.raises(ProductStoreError, match="nothing is reserved"):
        ReservedFile(tmp_path / "a.fits")


@pytest.mark.parametrize(("item", "rows"), [(5, 2), (-1, 1), (7, 1)])
def test_items_outside_the_file_are_refused(tmp_path: Path, item: int, rows: int) -> None:
    with reserve(tmp_path / "a.fits") as file, pytest.raises(DataError, match="do not fit A"):
        file.write(1, item, np.zeros((rows, 5), np.float32))


WRITER = """
import sys, time
import numpy as np
from core.fitsfile.reserved import ReservedFile
with ReservedFile(sys.argv[1]) as file:
    first = file.write(1, 2, np.full((3, 5), 9, np.float32))
    print("half", flush=True)
    time.sleep(60)
    file.mark(1, first)
"""


def test_a_killed_writer_leaves_its_unit_to_be_written_again(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    with reserve(path) as file:
        put(file, 0)
        put(file, 2)
        with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE) as killed:
            assert killed.stdout is not None
            killed.stdout.readline()
            killed.send_signal(signal.SIGKILL)
        assert file.missing() == [1]
        assert not path.exists()
        put(file, 1)
        file.finish()
    reference = filled(tmp_path / "b.fits").finish()
    assert path.read_bytes() == reference.read_bytes()
