"""Pixel tables written by parts, in both forms, and what the reference pipeline makes of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import DataError, ProductStoreError
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.pixtable import (
    PixtableFile,
    PixtableForm,
    PixtablePart,
    default_form,
    flat_field_table,
    write_pixtable,
)
from core.formats.pixtable_header import FLUX_UNIT, PixtableLimits, merged_header_of_ifus, pixtable_units
from core.formats.pixtable_read import open_pixtable

Columns = dict[str, np.ndarray]
Rows = Callable[..., Columns]
Headers = Callable[[int], Header]
Sums = Callable[[Path], list[tuple[int, int]]]
N_ROWS = 2400  # of an IFU
UNITS = pixtable_units()


def fill(path: Path, number: int, columns: Columns) -> None:
    with PixtableFile.open(path) as table:
        table.put(number * N_ROWS, columns)


def joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def exposure(path: Path, rows: Rows, headers: Headers, form: PixtableForm) -> Columns:
    parts = [rows(ifu) for ifu in (1, 2, 3)]
    header = merged_header_of_ifus([headers(ifu) for ifu in (1, 2, 3)], [PixtableLimits.of(part) for part in parts])
    PixtableFile.create(path, header, [N_ROWS] * 3, UNITS, form=form).close()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for future in [pool.submit(fill, path, number, parts[number]) for number in (2, 0, 1)]:
            future.result()
    with PixtableFile.open(path) as table:
        changed = table.header
        set_key(changed, "QC.SCIPOST.TEST", 1.0)
        table.finish(changed)
    return joined(parts)


@pytest.mark.parametrize("form", ["image", "table"])
def test_parts_filled_by_processes_make_the_table(
    tmp_path: Path, pixel_rows: Rows, pixtable_header: Headers, form: PixtableForm, cfitsio_sums: Sums
) -> None:
    path = tmp_path / "PIXTABLE_OBJECT.fits"
    columns = exposure(path, pixel_rows, pixtable_header, form)
    with fits.open(path, checksum=True) as hdus:  # a wrong checksum warns, and warnings are errors
        hdus.verify("exception")
        assert hdus[0].header["ESO QC SCIPOST TEST"] == 1.0
        if form == "image":
            assert [hdu.name for hdu in hdus[1:]] == list(columns)
            assert hdus["data"].shape == (3 * N_ROWS, 1)
            units = {hdu.name: hdu.header["BUNIT"] for hdu in hdus[1:] if "BUNIT" in hdu.header}
            found = {hdu.name: hdu.data[:, 0] for hdu in hdus[1:]}
        else:
            units = {column.name: column.unit for column in hdus[1].columns if column.unit}
            found = {name: hdus[1].data[name] for name in hdus[1].columns.names}
        assert units == UNITS
        for name, values in columns.items():
            np.testing.assert_array_equal(found[name], values)
    assert cfitsio_sums(path) == [(1, 1)] * (8 if form == "image" else 2)


@pytest.mark.parametrize("form", ["image", "table"])
def test_rows_may_be_appended_by_pieces(
    tmp_path: Path, pixel_rows: Rows, pixtable_header: Headers, form: PixtableForm
) -> None:
    contents = []
    for pieces in ([0, N_ROWS], [0, 1, 700, N_ROWS]):
        with PixtableFile.create(tmp_path / "a.fits", pixtable_header(1), [N_ROWS], UNITS, form=form) as table:
            with table.part(0) as part:
                for first, last in pairwise(pieces):
                    part.append({name: values[first:last] for name, values in pixel_rows(1).items()})
            contents.append(table.finish().read_bytes())
    assert contents[0] == contents[1]


def test_a_part_that_lacks_rows_is_not_filled(tmp_path: Path, pixel_rows: Rows, pixtable_header: Headers) -> None:
    columns = pixel_rows(1)
    with PixtableFile.create(tmp_path / "a.fits", pixtable_header(1), [N_ROWS, N_ROWS], UNITS) as table:
        with pytest.raises(DataError, match="part 0 of the pixel table lacks 2300 rows"), table.part(0) as part:
            part.append({name: values[:100] for name, values in columns.items()})
        with (
            pytest.raises(DataError, match="part 1 of the pixel table has room for 2400 more rows"),
            table.part(1) as part,
        ):
            part.append(joined([columns, columns]))
        with pytest.raises(RuntimeError, match="on the way"), table.part(1) as part:
            _append_and_fail(part, columns)
        assert table.missing() == [0, 1]
        with pytest.raises(ProductStoreError, match="never written: part 0-1"):
            table.finish()
    assert not (tmp_path / "a.fits").exists()


def _append_and_fail(part: PixtablePart, columns: Columns) -> None:
    part.append(columns)
    raise RuntimeError("on the way")


def test_only_whole_parts_are_put(tmp_path: Path, pixel_rows: Rows, pixtable_header: Headers) -> None:
    columns = pixel_rows(1)
    with PixtableFile.create(tmp_path / "a.fits", pixtable_header(1), [N_ROWS, N_ROWS], UNITS) as table:
        with pytest.raises(DataError, match="rows 100 to 2499 are not whole parts"):
            table.put(100, columns)
        with pytest.raises(DataError, match="rows 2400 to 7199 are not whole parts"):
            table.put(N_ROWS, joined([columns, columns]))
        with pytest.raises(DataError, match="part 2 is none of the 2"):
            table.part(2)
        table.put(0, joined([columns, columns]))
        table.finish()


def test_columns_of_another_type_or_length_are_refused(
    tmp_path: Path, pixel_rows: Rows, pixtable_header: Headers
) -> None:
    columns = pixel_rows(1)
    with PixtableFile.create(tmp_path / "a.fits", pixtable_header(1), [N_ROWS], UNITS) as table:
        with pytest.raises(DataError, match="column data of a pixel table is float64"):
            table.put(0, {**columns, "data": columns["data"].astype(np.float64)})
        with pytest.raises(DataError, match="different lengths"):
            table.put(0, {**columns, "data": columns["data"][1:]})
        with pytest.raises(DataError, match="are not those of the pixel table"):
            table.put(0, {"data": columns["data"]})
        table.discard()
    with pytest.raises(DataError, match="column weight of a pixel table is float64"):
        PixtableFile.create(tmp_path / "a.fits", Header(), [1], UNITS, columns={"weight": np.float64})


def test_the_spectrum_of_the_flat_field_follows(tmp_path: Path, pixel_rows: Rows, pixtable_header: Headers) -> None:
    wave, values = 4750 + 1.25 * np.arange(10), np.linspace(1, 2, 10)
    with PixtableFile.create(tmp_path / "a.fits", pixtable_header(1), [N_ROWS], UNITS) as table:
        table.put(0, pixel_rows(1))
        table.finish(more=[flat_field_table(wave, values)])
    with fits.open(tmp_path / "a.fits", checksum=True) as hdus:
        np.testing.assert_array_equal(hdus["PIXTABLE_FLAT_FIELD"].data["data"], values)
    found = open_pixtable(tmp_path / "a.fits").flat_field()
    assert found is not None
    np.testing.assert_array_equal(found, (wave, values))


@pytest.mark.parametrize(("value", "form"), [(None, "image"), ("0", "image"), ("1", "table"), ("yes", "image")])
def test_the_form_is_chosen_as_in_the_reference(
    monkeypatch: pytest.MonkeyPatch, value: str | None, form: PixtableForm
) -> None:
    monkeypatch.delenv("MUSE_PIXTABLE_SAVE_AS_TABLE", raising=False)
    if value is not None:
        monkeypatch.setenv("MUSE_PIXTABLE_SAVE_AS_TABLE", value)
    assert default_form() == form


def test_a_table_in_memory_is_written_at_once(tmp_path: Path, pixel_rows: Rows, pixtable_header: Headers) -> None:
    columns = {**pixel_rows(1), "orig": pixel_rows(1)["data"]}
    write_pixtable(tmp_path / "a.fits", pixtable_header(1), columns, 1)
    with fits.open(tmp_path / "a.fits", checksum=True) as hdus:
        assert hdus[0].header["EXTNAME"] == "CHAN01"
        assert hdus["orig"].header["BUNIT"] == "count"
        np.testing.assert_array_equal(hdus["orig"].data[:, 0], columns["orig"])
    with pytest.raises(DataError, match="different lengths"):
        write_pixtable(tmp_path / "b.fits", pixtable_header(1), {**columns, "orig": columns["orig"][1:]}, 1)
    assert os.listdir(tmp_path) == ["a.fits"]


def test_a_table_in_memory_is_written_as_a_binary_table_too(
    tmp_path: Path, pixel_rows: Rows, pixtable_header: Headers
) -> None:
    columns = {**pixel_rows(1), "orig": pixel_rows(1)["data"]}
    write_pixtable(tmp_path / "t.fits", pixtable_header(1), columns, 1, form="table")
    with fits.open(tmp_path / "t.fits", checksum=True) as hdus:
        np.testing.assert_array_equal(hdus[1].data["orig"], columns["orig"])


@pytest.mark.esorex
@pytest.mark.skipif(shutil.which("esorex") is None, reason="esorex is not installed")
@pytest.mark.parametrize("form", ["image", "table"])
def test_the_reference_reads_our_tables_and_we_read_its(
    tmp_path: Path, pixel_rows: Rows, pixtable_header: Headers, form: PixtableForm
) -> None:
    columns = exposure(tmp_path / "PIXTABLE_OBJECT.fits", pixel_rows, pixtable_header, form)
    (tmp_path / "in.sof").write_text(f"{tmp_path}/PIXTABLE_OBJECT.fits PIXTABLE_OBJECT\n")
    environment = {**os.environ, "MUSE_PIXTABLE_SAVE_AS_TABLE": "1" if form == "table" else "0", "OMP_NUM_THREADS": "1"}
    # Without reference wavelength the table is loaded, passed through and saved.
    command = ["esorex", f"--output-dir={tmp_path}", "muse_scipost_correct_dar", "--lambdaref=-1", "in.sof"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    theirs = open_pixtable(next(tmp_path.glob("PIXTABLE_REDUCED*.fits")))
    assert (theirs.form, theirs.units, theirs.n_rows) == (form, UNITS, 3 * N_ROWS)
    found = theirs.read(0, theirs.n_rows)
    assert list(found) == list(columns)
    for name, values in columns.items():
        np.testing.assert_array_equal(found[name], values)


def test_a_calibrated_table_tells_its_units(tmp_path: Path, pixel_rows: Rows, pixtable_header: Headers) -> None:
    units = pixtable_units("deg", FLUX_UNIT)
    kinds = {name: values.dtype for name, values in pixel_rows(1).items()} | {"weight": np.dtype(np.float32)}
    with PixtableFile.create(tmp_path / "a.fits", pixtable_header(1), [N_ROWS], units, columns=kinds) as table:
        table.put(0, {**pixel_rows(1), "weight": np.ones(N_ROWS, np.float32)})
        table.finish()
    found = open_pixtable(tmp_path / "a.fits")
    assert found.units == units
    assert list(found.columns)[-1] == "weight"
