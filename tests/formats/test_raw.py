"""Raw frames, plain and compressed, written and read by rows."""

from __future__ import annotations

import gzip
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import (
    BadFitsError,
    ChipNotLiveError,
    DataError,
    MissingInputError,
    MissingKeywordError,
)
from core.fitsfile import unpack
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.fitsfile.scan import scan_fits
from core.fitsfile.unpack import Descriptor
from core.fitsfile.writer import FitsWriter
from core.formats.raw import open_raw, write_raw
from core.instruments.muse.facts import PORT_X, PORT_Y


def channel_header(nx: int = 30, ny: int = 20) -> Header:
    header = Header()
    for port in range(1, 5):
        values = {"X": PORT_X[port - 1], "Y": PORT_Y[port - 1], "NX": nx, "NY": ny, "GAIN": 1.1, "RON": 2.5}
        for key, value in values.items():
            set_key(header, f"DET.OUT{port}.{key}", value)
    set_key(header, "DET.CHIP.LIVE", True)
    return header


def raw_pixels(ifu: int) -> np.ndarray:
    shape = (2 * (20 + 64), 2 * (30 + 64))
    return np.random.default_rng(ifu).integers(0, 65536, shape).astype(np.uint16)


@pytest.mark.parametrize("ending", [".gz", ".Z"])
def test_a_frame_that_is_compressed_as_a_whole_is_unpacked_once(
    tmp_path: Path, ending: str, lzw: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = write_raw(tmp_path / "raw.fits", Header(), ((ifu, channel_header(), raw_pixels(ifu)) for ifu in (3, 24)))
    packed = tmp_path / f"raw.fits{ending}"
    packed.write_bytes({".gz": gzip.compress, ".Z": lzw}[ending](plain.read_bytes()))
    assert open_raw(packed).ifus == (3, 24)
    monkeypatch.setattr(unpack, "scan_packed", lambda *_: pytest.fail("it is unpacked again"))
    for ifu in (24, 3):
        channel = open_raw(packed).channel(ifu)
        np.testing.assert_array_equal(channel.read_rows(60, 75), raw_pixels(ifu)[60:75])
        assert channel.header.to_bytes() == open_raw(plain).channel(ifu).header.to_bytes()
        assert channel.path == packed


def test_tiles_in_a_packed_file_are_refused(tmp_path: Path) -> None:
    tiles = write_raw(tmp_path / "a.fits.fz", Header(), [(3, channel_header(), raw_pixels(3))], compress=True)
    packed = tmp_path / "a.fits.fz.gz"
    packed.write_bytes(gzip.compress(tiles.read_bytes()))
    with pytest.raises(BadFitsError, match="unpack it"):
        open_raw(packed).channel(3)


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def raw_path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    primary = Header()
    set_key(primary, "DPR.TYPE", "BIAS")
    name = "raw.fits.fz" if request.param else "raw.fits"
    channels = ((ifu, channel_header(), raw_pixels(ifu)) for ifu in (3, 24))
    return write_raw(tmp_path / name, primary, channels, compress=request.param)


def test_raw_frames_are_read_by_rows_and_wholly(raw_path: Path) -> None:
    raw = open_raw(raw_path)
    assert raw.ifus == (3, 24)
    channel = raw.channel(24)
    np.testing.assert_array_equal(channel.read(), raw_pixels(24))
    np.testing.assert_array_equal(channel.read_rows(60, 75), raw_pixels(24)[60:75])
    assert channel.detector.gain == (1.1, 1.1, 1.1, 1.1)
    assert channel.header["ESO DPR TYPE"] == "BIAS"
    assert not [key for key in channel.header if key.startswith("Z") or key == "BZERO"]


def test_files_are_opened_for_each_read_when_descriptors_run_out(
    raw_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2, 2))
    before = Descriptor.open_now
    channels = [open_raw(raw_path).channel(24) for _ in range(5)]
    for channel in channels:
        np.testing.assert_array_equal(channel.read_rows(60, 75), raw_pixels(24)[60:75])
    kept = Descriptor.open_now - before
    assert kept <= 1 if raw_path.suffix == ".fits" else kept == 5  # unpacked ones have no file to be opened again
    del channel, channels
    assert Descriptor.open_now == before


def test_astropy_reads_our_raw_frames_and_verifies_the_checksums(raw_path: Path) -> None:
    with fits.open(raw_path, checksum=True) as hdus:  # a wrong checksum warns, and warnings are errors
        hdus.verify("exception")
        np.testing.assert_array_equal(hdus["CHAN03"].data, raw_pixels(3))


def test_rows_outside_the_image_are_refused(raw_path: Path) -> None:
    with pytest.raises(DataError, match="outside the image"):
        open_raw(raw_path).channel(3).read_rows(160, 169)


def test_a_missing_channel_is_named(raw_path: Path) -> None:
    with pytest.raises(MissingInputError, match="CHAN07"):
        open_raw(raw_path).channel(7)


def test_a_dead_detector_is_told_apart_from_a_broken_file(tmp_path: Path) -> None:
    header = Header()
    header["EXTNAME"] = "CHAN05"
    set_key(header, "DET.CHIP.LIVE", False)
    path = tmp_path / "dead.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(header=fits.Header.fromstring(header.to_bytes()))]).writeto(path)
    with pytest.raises(ChipNotLiveError, match="CHAN05"):
        open_raw(path).channel(5)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "truncated"), (b"this is no FITS file", "not_fits"), (b"SIMPLE  =                    T", "truncated")],
)
def test_broken_files_give_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.fits"
    path.write_bytes(content)
    with pytest.raises(BadFitsError) as caught:
        open_raw(path)
    assert caught.value.context["reason"] == reason


def test_a_cut_file_is_seen_before_pixels_are_read(raw_path: Path) -> None:
    content = raw_path.read_bytes()
    cut = raw_path.with_name("cut.fits" + (".fz" if raw_path.name.endswith("fz") else ""))
    cut.write_bytes(content[: len(content) - 20000])
    raw = open_raw(cut)
    assert raw.scan.truncated
    with pytest.raises(BadFitsError, match="cut inside extension CHAN24"):
        raw.channel(24)


def test_damaged_tiles_are_no_accident_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_raw(tmp_path / "raw.fits", Header(), [(5, channel_header(), raw_pixels(5))], compress=True)
    hdu = scan_fits(path).hdus[1]
    content = bytearray(path.read_bytes())
    content[hdu.data_offset : hdu.data_offset + 4] = (1).to_bytes(4, "big")  # bytes of the first tile
    damaged = tmp_path / "damaged.fits"
    damaged.write_bytes(content)
    with pytest.raises(BadFitsError, match="the tiles of extension CHAN05 cannot be unpacked") as failure:
        open_raw(damaged).channel(5).read()
    assert failure.value.context["file"] == str(damaged)

    def no_memory(*rest: object) -> None:
        raise MemoryError

    monkeypatch.setattr("core.fitsfile.unpack.np.asarray", no_memory)
    with pytest.raises(MemoryError):
        open_raw(path).channel(5).read()


def test_wrong_port_positions_are_named(tmp_path: Path) -> None:
    header = channel_header()
    set_key(header, "DET.OUT3.X", 1)
    path = write_raw(tmp_path / "ports.fits", Header(), [(1, header, raw_pixels(1))])
    with pytest.raises(DataError, match="port 3 lies at"):
        _ = open_raw(path).channel(1).detector


def test_a_raw_frame_without_port_keywords_is_named(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "raw.fits", Header(), [(5, Header(), raw_pixels(5))])
    with pytest.raises(MissingKeywordError) as failure:
        _ = open_raw(path).channel(5).detector
    assert failure.value.context == {"keyword": "DET.OUT1.X", "file": str(path), "ifu": "5"}


def test_a_header_with_forbidden_bytes_can_be_copied(tmp_path: Path) -> None:
    primary = Header()
    set_key(primary, "OBS.TARG.NAME", "Sgr A X", "Messier X")
    path = write_raw(tmp_path / "raw.fits", primary, [(3, channel_header(), raw_pixels(3))])
    content = path.read_bytes().replace(b"Sgr A X", b"Sgr A \xb0").replace(b"Messier X", b"Messier \x07")
    path.write_bytes(content)
    header = open_raw(path).channel(3).header
    with FitsWriter(tmp_path / "copy.fits") as writer:
        writer.primary(header)
    assert fits.getval(tmp_path / "copy.fits", "ESO OBS TARG NAME") == "Sgr A ?"


def test_threads_unpack_tiles_of_a_decoder_with_global_state_one_after_the_other(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).normal(1200, 2.5, (1024, 4224)).round().astype(np.uint16)
    tiles = fits.CompImageHDU(
        pixels, name="CHAN03", compression_type="HCOMPRESS_1", tile_shape=(64, 4224), hcomp_scale=0
    )
    fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(tmp_path / "raw.fits.fz")

    def read(_: int) -> bool:
        return np.array_equal(open_raw(tmp_path / "raw.fits.fz").channel(3).read(), pixels)

    with ThreadPoolExecutor(3) as threads:  # without turns it breaks off, or kills the process
        assert list(threads.map(read, range(6))) == [True] * 6
