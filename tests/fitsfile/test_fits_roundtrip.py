"""What is written is read back bit for bit, by us and by an independent reader (astropy)."""

from __future__ import annotations

import hashlib
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
    ProductStoreError,
)
from core.fitsfile.checksum import encode_checksum, ones_complement_sum
from core.fitsfile.header import Card, Header
from core.fitsfile.keywords import set_key
from core.fitsfile.scan import scan_fits
from core.fitsfile.writer import FitsWriter
from core.formats.image import MuseImage, open_image, read_image, write_image
from core.formats.merge import merge_products, merged_name
from core.formats.raw import open_raw, write_raw
from core.formats.tables import (
    LINE_CATALOG,
    TRACE_TABLE,
    MuseTable,
    read_table,
    trace_table_format,
    write_table,
)
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


def make_image(ifu: int) -> MuseImage:
    rng = np.random.default_rng(ifu)
    header = Header()
    set_key(header, "INSTRUME", "MUSE")
    set_key(header, "DET.CHIP.NAME", f"CHAN{ifu:02d}")
    set_key(header, "QC.BIAS.MASTER1.RON", np.float32(2.4567891), "[count] read-out noise")
    set_key(header, "PRO.CATG", "MASTER_BIAS")
    return MuseImage(
        rng.normal(size=(40, 50)).astype(np.float32),
        rng.integers(0, 8192, (40, 50)).astype(np.int32),
        rng.random((40, 50)).astype(np.float32),
        header,
        "adu",
    )


def test_product_images_round_trip(tmp_path: Path) -> None:
    image = make_image(7)
    path = write_image(tmp_path / "MASTER_BIAS-07.fits", image, 7)
    back = read_image(path, 7)
    np.testing.assert_array_equal(back.data, image.data)
    np.testing.assert_array_equal(back.dq, image.dq)
    np.testing.assert_array_equal(back.stat, image.stat)
    assert back.unit == "adu"
    data, dq, stat = open_image(path, 7).rows(10, 13)
    np.testing.assert_array_equal(data, image.data[10:13])
    np.testing.assert_array_equal(dq, image.dq[10:13])
    np.testing.assert_array_equal(stat, image.stat[10:13])
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["CHAN07", "DATA", "DQ", "STAT"]
        assert hdus["STAT"].header["BUNIT"] == "(adu)**2"
        assert hdus["DQ"].header["QUALMASK"] == 4294967295
        assert hdus[0].header["ESO QC BIAS MASTER1 RON"] == 2.456789  # 7 significant digits


def test_datamd5_is_the_md5_of_the_padded_data_units(tmp_path: Path) -> None:
    path = write_image(tmp_path / "X-01.fits", make_image(1), 1)
    raw = path.read_bytes()
    digest = hashlib.md5(usedforsecurity=False)
    with fits.open(path) as hdus:
        for hdu in hdus[1:]:
            info = hdu.fileinfo()
            digest.update(raw[info["datLoc"] : info["datLoc"] + info["datSpan"]])
        assert hdus[0].header["DATAMD5"] == digest.hexdigest()


def test_merged_products_hold_the_same_pixels_and_split_the_keywords(tmp_path: Path) -> None:
    paths = [write_image(tmp_path / f"MASTER_BIAS-{ifu:02d}.fits", make_image(ifu), ifu) for ifu in (12, 3)]
    assert merged_name(paths[0]) == "MASTER_BIAS.fits"
    merged = merge_products(paths, tmp_path / "MASTER_BIAS.fits")
    for ifu in (3, 12):
        back = read_image(merged, ifu)
        np.testing.assert_array_equal(back.stat, make_image(ifu).stat)
        assert back.header["ESO DET CHIP NAME"] == f"CHAN{ifu:02d}"
        assert "ESO QC BIAS MASTER1 RON" in back.header
    with fits.open(merged, checksum=True) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus[1:4]] == ["CHAN03.DATA", "CHAN03.DQ", "CHAN03.STAT"]
        assert hdus["CHAN12.DATA"].header["ERRDATA"] == "CHAN12.STAT"
        assert "ESO QC BIAS MASTER1 RON" not in hdus[0].header
        assert "EXTNAME" not in hdus[0].header
        assert hdus[0].header["ESO PRO CATG"] == "MASTER_BIAS"
    with pytest.raises(MissingInputError, match=r"CHAN05\.DATA"):
        read_image(merged, 5)


def test_merging_copies_cards_that_we_would_not_write(tmp_path: Path) -> None:
    odd = ["HIERARCH ESO DET CHIP NAME#1 = 1.50 / of another writer", "HIERARCH ESO QC NAN = NaN"]
    paths = []
    for ifu in (3, 12):
        image = make_image(ifu)
        image.header.extend(Card.from_image(text.ljust(80)) for text in odd)
        paths.append(write_image(tmp_path / f"MASTER_BIAS-{ifu:02d}.fits", image, ifu))
    merged = scan_fits(merge_products(paths, tmp_path / "MASTER_BIAS.fits"))
    cards = {card.image.rstrip() for card in merged.hdus[4].header.cards}
    assert cards >= set(odd)


def test_a_writer_that_cannot_finish_closes_its_file_once(tmp_path: Path) -> None:
    target = tmp_path / "X.fits"
    target.mkdir()
    writer = FitsWriter(target)
    writer.primary(Header())
    with pytest.raises(ProductStoreError, match="cannot finish"):
        writer.close()
    with (tmp_path / "other").open("wb") as other:  # gets the number that is free now
        writer.abort()
        other.write(b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["X.fits", "other"]


def test_a_header_that_changed_leaves_nothing_behind(tmp_path: Path) -> None:
    header = Header()
    writer = FitsWriter(tmp_path / "X.fits")
    writer.image(header, np.zeros((2, 2), np.float32))
    writer._hdus[0][2]["COMMENT"] = "x" * 60
    for number in range(40):
        writer._hdus[0][2][f"KEY{number}"] = number
    with pytest.raises(ProductStoreError, match="changed its length"):
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_extension_names_are_read_like_all_values(tmp_path: Path) -> None:
    path = tmp_path / "x.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 3), np.int16), name="O'B")]).writeto(path)
    assert scan_fits(path).hdus[1].extname == "O'B"


def test_a_table_of_text_does_not_hide_a_binary_one(tmp_path: Path) -> None:
    path = write_table(tmp_path / "T-01.fits", trace_table_format(2), MuseTable(_columns()), 1)
    with fits.open(path) as hdus:
        text = fits.TableHDU.from_columns([fits.Column("n", "I6", array=np.arange(3), ascii=True)])
        fits.HDUList([hdus[0], text, hdus[1]]).writeto(tmp_path / "both.fits")
    assert [hdu.kind for hdu in scan_fits(tmp_path / "both.fits").hdus[1:]] == ["ascii", "table"]
    assert read_table(tmp_path / "both.fits", TRACE_TABLE, 1).n_rows == 48


def test_a_raw_frame_without_port_keywords_is_named(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "raw.fits", Header(), [(5, Header(), raw_pixels(5))])
    with pytest.raises(MissingKeywordError) as failure:
        _ = open_raw(path).channel(5).detector
    assert failure.value.context == {"keyword": "DET.OUT1.X", "file": str(path), "ifu": "5"}


def test_an_image_of_another_ifu_is_refused(tmp_path: Path) -> None:
    path = write_image(tmp_path / "X-01.fits", make_image(1), 1)
    with pytest.raises(MissingInputError, match="of IFU 1, not 2"):
        read_image(path, 2)


def test_nothing_half_written_has_the_final_name(tmp_path: Path) -> None:
    target = tmp_path / "X.fits"

    def fail_in_between() -> None:
        with FitsWriter(target) as writer:
            writer.primary(Header())
            assert not target.exists()
            raise RuntimeError("something fails in between")

    with pytest.raises(RuntimeError, match="in between"):
        fail_in_between()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_not_there_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(ProductStoreError, match="cannot write"):
        FitsWriter(tmp_path / "nowhere" / "X.fits")


def test_tables_round_trip_with_null_cells(tmp_path: Path) -> None:
    fmt = trace_table_format(5)
    columns = {column.name: np.arange(48.0) for column in fmt.columns}
    columns["tc0_00"][9] = np.nan  # a slice that failed
    path = write_table(tmp_path / "TRACE_TABLE-01.fits", fmt, MuseTable(columns), 1)
    back = read_table(path, TRACE_TABLE, 1)
    assert list(back) == [column.name for column in fmt.columns]
    assert np.isnan(back["tc0_00"][9])
    np.testing.assert_array_equal(back["SliceNo"], np.arange(48))
    with fits.open(path, checksum=True) as hdus:
        hdus.verify("exception")
        assert hdus[0].header["EXTNAME"] == "CHAN01"
        assert hdus[1].name == ""
        assert hdus[1].columns["Width"].format == "1E"
        assert hdus[1].columns["tc2_05"].unit == "pix"
    with pytest.raises(MissingInputError):
        read_table(path, TRACE_TABLE, 2)


def test_merged_tables_are_found_by_ifu(tmp_path: Path) -> None:
    fmt = trace_table_format(2)
    paths = []
    for ifu in (4, 9):
        columns = {column.name: np.full(48, float(ifu)) for column in fmt.columns}
        paths.append(write_table(tmp_path / f"TRACE_TABLE-{ifu:02d}.fits", fmt, MuseTable(columns), ifu))
    merged = merge_products(paths, tmp_path / "TRACE_TABLE.fits")
    assert read_table(merged, TRACE_TABLE, 9)["Width"][0] == 9.0
    with pytest.raises(MissingInputError, match="no table of IFU 5"):
        read_table(merged, TRACE_TABLE, 5)


def test_a_table_lacking_a_column_is_refused_by_name(tmp_path: Path) -> None:
    path = write_table(tmp_path / "T-01.fits", trace_table_format(2), MuseTable(_columns()), 1)
    with pytest.raises(BadFitsError, match="LINE_CATALOG lacks the column lambda"):
        read_table(path, LINE_CATALOG)


def _columns() -> dict[str, np.ndarray]:
    return {column.name: np.zeros(48) for column in trace_table_format(2).columns}


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


@pytest.mark.parametrize(
    ("value", "back"),
    [
        ("a" * 43 + ".fits", "a" * 43 + ".fits"),
        ("b" * 90 + ".fits", "b" * 90 + ".fits"),
        ("it's d'Alembert's own raw frame of the night.fits", "it's d'Alembert's own raw frame of the night.fits"),
        ("Flat_für_Müller_α.fits", "Flat_f?r_M?ller_?.fits"),
        ("tab\tand\nline", "tab?and?line"),
    ],
)
def test_texts_of_any_length_and_alphabet_give_valid_cards(tmp_path: Path, value: str, back: str) -> None:
    header = Header()
    set_key(header, "PRO.REC1.RAW1.NAME", value, "File name of raw frame, größer als Platz ist")
    set_key(header, "OBS.NAME", "next")
    with FitsWriter(tmp_path / "a.fits", datamd5=True) as writer:
        writer.primary(header)
    with fits.open(tmp_path / "a.fits", checksum=True) as hdus:
        hdus.verify("exception")
        assert hdus[0].header["ESO PRO REC1 RAW1 NAME"] == back
        assert hdus[0].header["ESO OBS NAME"] == "next"
    assert scan_fits(tmp_path / "a.fits").primary["ESO PRO REC1 RAW1 NAME"] == back


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


def compressed_copy(path: Path, target: Path) -> Path:
    with fits.open(path) as hdus:
        packed = [fits.PrimaryHDU(header=hdus[0].header)]
        for hdu in hdus[1:]:
            options = {"compression_type": "RICE_1"} if hdu.data.dtype.kind == "i" else {"compression_type": "GZIP_2"}
            packed.append(fits.CompImageHDU(hdu.data, header=hdu.header, quantize_level=0, **options))
        fits.HDUList(packed).writeto(target)
    return target


def test_compressed_products_are_read_like_plain_ones(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    shape = (600, 70)
    image = MuseImage(
        rng.normal(0, 3, shape).astype(np.float32),
        rng.integers(-(2**31), 2**31, shape).astype(np.int32),
        rng.random(shape).astype(np.float32),
        Header(),
        "adu",
    )
    plain = write_image(tmp_path / "plain.fits", image, 5)
    opened = open_image(compressed_copy(plain, tmp_path / "packed.fits.fz"), 5)
    assert opened.unit == "adu"
    for y0, y1 in ((0, 600), (3, 4), (590, 600), (10, 300)):
        data, dq, stat = opened.rows(y0, y1)
        np.testing.assert_array_equal(data, image.data[y0:y1])
        np.testing.assert_array_equal(dq, image.dq[y0:y1])
        np.testing.assert_array_equal(stat, image.stat[y0:y1])
        assert data.dtype == np.float32
        assert dq.dtype == np.int32
        assert data.dtype.isnative
    merged = merge_products([plain, write_image(tmp_path / "other.fits", image, 6)], tmp_path / "m.fits")
    twice = read_image(compressed_copy(merged, tmp_path / "m.fits.fz"), 6)
    np.testing.assert_array_equal(twice.data, image.data)
