"""Files that are compressed as a whole are read as streams, and no further than their headers announce."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import BadFitsError, RetriableError
from core.fitsfile import scan, unpack
from core.fitsfile.integrity import check_file
from core.fitsfile.packed import Packing, open_content, packing_of
from core.fitsfile.scan import scan_file, scan_fits, scan_packed

Pack = Callable[[bytes], bytes]
PIXELS = np.arange(300 * 500, dtype=np.int16).reshape(500, 300)


@pytest.fixture(scope="module")
def content() -> bytes:
    images = [fits.ImageHDU(PIXELS + number, name=f"CHAN{number:02d}") for number in (1, 2)]
    long = fits.Header([(f"KEY{number}", number) for number in range(900)])  # of several reads
    stream = io.BytesIO()
    hdus = [fits.PrimaryHDU(header=long), *images, fits.ImageHDU(name="EMPTY"), fits.ImageHDU(PIXELS[:1, :9])]
    fits.HDUList(hdus).writeto(stream, checksum=True)
    return stream.getvalue()


@pytest.fixture(params=list(Packing))
def pack(request: pytest.FixtureRequest, lzw: Pack) -> Pack:
    return {Packing.GZIP: gzip.compress, Packing.COMPRESS: lzw}[request.param]


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_the_scan_of_a_packed_file_is_that_of_its_content(tmp_path: Path, content: bytes, pack: Pack) -> None:
    plain, packed = scan_fits(written(tmp_path, "a.fits", content)), scan_file(written(tmp_path, "b", pack(content)))
    assert packed.hdus == plain.hdus
    assert (packed.size, packed.expected_size, packed.truncated) == (len(content), len(content), False)
    assert (plain.packing, packed.packing) == (None, packing_of(packed.path))


def test_the_content_is_kept_if_asked_for(tmp_path: Path, content: bytes, pack: Pack) -> None:
    copy = io.BytesIO()
    scan_packed(written(tmp_path, "a", pack(content)), copy)
    assert copy.getvalue() == content


def test_checksums_are_those_of_the_content(tmp_path: Path, content: bytes, pack: Pack) -> None:
    path = written(tmp_path, "a", pack(content))
    assert check_file(path).faults == ()
    other = content.replace(PIXELS[400].astype(">i2").tobytes(), PIXELS[9].astype(">i2").tobytes(), 1)
    (fault,) = check_file(written(tmp_path, "b", pack(other))).faults
    assert fault.startswith("DATASUM of CHAN01 is ")


@pytest.mark.parametrize("part", [0.02, 0.5, 0.99])
def test_a_cut_gzip_file_is_told_as_cut(tmp_path: Path, content: bytes, part: float) -> None:
    packed = gzip.compress(content)
    with pytest.raises(BadFitsError, match="cut") as caught:
        scan_file(written(tmp_path, "a.fits.gz", packed[: int(len(packed) * part)]))
    assert caught.value.context["reason"] == "truncated"


def test_a_cut_z_file_has_no_mark_of_its_end_but_too_few_bytes(tmp_path: Path, content: bytes, lzw: Pack) -> None:
    packed = lzw(content)
    assert scan_file(written(tmp_path, "a.fits.Z", packed[: len(packed) // 2])).truncated


def test_damage_inside_is_found(tmp_path: Path, content: bytes) -> None:
    packed = bytearray(gzip.compress(content))
    packed[-5] ^= 1  # of the check sum
    path = written(tmp_path, "a.fits.gz", packed)
    with pytest.raises(BadFitsError, match="damaged") as caught:
        scan_file(path)
    assert caught.value.context["reason"] == "damaged"
    assert "damaged" in check_file(path).faults[0]


def test_bytes_that_follow_are_not_unpacked(tmp_path: Path, content: bytes, pack: Pack) -> None:
    bomb = pack(content + bytes(1 << 22))
    copy = io.BytesIO()
    scan_packed(written(tmp_path, "a", bomb), copy)
    assert len(copy.getvalue()) < len(content) + (1 << 17)


def test_no_more_is_unpacked_than_any_file_of_ours_has(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "a", gzip.compress(content))
    monkeypatch.setattr(scan, "_MAX_UNPACKED", len(content) // 2)
    with pytest.raises(BadFitsError, match="announce") as caught:
        scan_file(path)
    assert caught.value.context["reason"] == "not_fits"


def test_memory_does_not_depend_on_what_is_announced(tmp_path: Path) -> None:
    header = fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 1), ("NAXIS1", 64 << 20)]).tostring().encode()
    path = written(tmp_path, "bomb.fits.gz", gzip.compress(header + bytes(64 << 20), 1))
    tracemalloc.start()
    assert not scan_file(path).truncated
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


def test_a_file_that_is_not_packed_is_read_as_it_is(tmp_path: Path) -> None:
    with open_content(written(tmp_path, "a.fits.gz", b"plain")) as stream:
        assert stream.read(99) == b"plain"


def test_readers_that_need_plain_files_say_what_to_do(tmp_path: Path, content: bytes, pack: Pack) -> None:
    with pytest.raises(BadFitsError, match=r"compressed as a whole .*: unpack it"):
        scan_fits(written(tmp_path, "a.fits", pack(content)))


def test_without_the_tool_a_z_file_is_told_and_not_read(
    tmp_path: Path, content: bytes, lzw: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadFitsError, match="no gzip here") as caught:
        scan_file(written(tmp_path, "a.fits.Z", lzw(content)))
    assert caught.value.context["reason"] == "compressed"


def test_a_disk_without_room_is_no_fault_of_the_file(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "a.fits.gz", gzip.compress(content))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unpack, "scan_packed", full)
    with pytest.raises(RetriableError, match="No space left"):
        unpack.unpack_whole(path)
