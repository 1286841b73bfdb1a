"""The tables of the IFUs of an exposure read as one, as the reference does it."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.errors import DataError, MissingKeywordError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, has_key
from core.formats.pixtable_header import PixtableLimits
from core.formats.pixtable_origin import PREFIX, read_offsets
from core.formats.pixtable_read import PixelTable, open_pixtable
from core.recipes.muse.exposure_tables import list_exposures
from tests.recipes.muse.sky.exposures import DATE, EVERYTHING, FLUXES, opened, write

LOG = logging.getLogger(__name__)


def everything(table: PixelTable) -> dict[str, np.ndarray]:
    return table.read(0, table.n_rows)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("exposure")
    return [write(folder, ifu, fluxes) for ifu, fluxes in FLUXES.items()]


@pytest.mark.esorex
@pytest.mark.skipif(shutil.which("esorex") is None, reason="esorex is not installed")
@pytest.mark.parametrize("limits", [EVERYTHING, (5500.0, 7000.0)])
def test_the_reference_loads_the_same_rows(paths: list[Path], tmp_path: Path, limits: tuple[float, float]) -> None:
    (tmp_path / "in.sof").write_text("".join(f"{path} PIXTABLE_OBJECT\n" for path in paths))
    options = ["--weight=none", f"--lambdamin={limits[0]}", f"--lambdamax={limits[1]}"]
    command = ["esorex", f"--output-dir={tmp_path}", "muse_scipost_combine_pixtables", *options, "in.sof"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    theirs, mine = open_pixtable(tmp_path / "PIXTABLE_COMBINED.fits"), opened(paths, limits)
    expected = everything(theirs)
    for name, values in everything(mine).items():
        if name == "stat":  # a few in a million differ in the last bit
            np.testing.assert_allclose(values, expected[name], rtol=2e-7)
        else:
            np.testing.assert_array_equal(values, expected[name], err_msg=name)
    for card in mine.header.cards:
        name = card.keyword.removeprefix("ESO DRS MUSE PIXTABLE ")
        if name != card.keyword or name.startswith("ESO DRS"):
            assert theirs.header[card.keyword] == card.value, name


def test_ifus_are_brought_to_the_flux_of_the_first_in_the_twilight(paths: list[Path]) -> None:
    mine = opened(paths)
    plain = [everything(open_pixtable(path)) for path in paths]
    count = len(plain[0]["data"])
    assert mine.lamps is not None
    wave = np.concatenate([cells["lambda"] for cells in plain])
    factor = np.interp(wave, mine.lamps.wave, mine.lamps.values)
    factor[count:] *= 3.3 / 3.1
    found = everything(mine)
    np.testing.assert_allclose(found["data"], np.concatenate([c["data"] for c in plain]) * factor, rtol=3e-7)
    np.testing.assert_allclose(found["stat"], np.concatenate([c["stat"] for c in plain]) * factor**2, rtol=3e-7)
    for name in ("xpos", "ypos", "lambda", "dq", "origin"):
        np.testing.assert_array_equal(found[name], np.concatenate([c[name] for c in plain]))


def test_the_header_is_of_all_ifus(paths: list[Path]) -> None:
    mine = opened(paths, (5500.0, 7000.0))
    assert get_key(mine.header, f"{PREFIX}.MERGED", int) == get_key(mine.header, f"{PREFIX}.FFCORR", int) == 2
    assert not [key for key in ("EXTNAME", f"{PREFIX}.ILLUM1", "DRS.MUSE.FLAT.FLUX.SKY") if has_key(mine.header, key)]
    assert np.count_nonzero(read_offsets(mine.header)) == 4
    limits = Header()
    PixtableLimits.of(everything(mine)).write(limits)
    assert all(mine.header[card.keyword] == card.value for card in limits.cards)
    assert mine.exact_limits == PixtableLimits.of(everything(mine))  # to the last bit, unlike those of the header
    assert mine.flat_field() is None


def test_limits_of_rows_that_were_looked_at_are_exact(paths: list[Path]) -> None:
    table = opened(paths)
    rows, limits = everything(table), table.exact_limits
    assert limits is not None
    for name, found in (("xpos", limits.x), ("ypos", limits.y), ("lambda", limits.wave)):
        assert found == (rows[name].min(), rows[name].max()), name


def test_all_forms_are_read_alike_and_piece_by_piece(paths: list[Path], tmp_path: Path) -> None:
    mixed = [write(tmp_path, ifu, FLUXES[ifu], form) for ifu, form in ((3, "compact"), (5, "table"))]  # type: ignore[arg-type]
    expected, mine = everything(opened(paths, (5500.0, 7000.0))), opened(mixed, (5500.0, 7000.0))
    pieces = [mine.read(first, min(first + 7, mine.n_rows)) for first in range(0, mine.n_rows, 7)]
    for name, values in expected.items():
        np.testing.assert_array_equal(np.concatenate([piece[name] for piece in pieces]), values)
        np.testing.assert_array_equal(mine.read(3, 50, [name])[name], values[3:50])
    slab = np.concatenate([part.columns["data"] for part in pickle.loads(pickle.dumps(mine)).rows(6000.0, 6500.0)])
    inside = (expected["lambda"] >= 6000) & (expected["lambda"] <= 6500)
    np.testing.assert_array_equal(slab, expected["data"][inside])


def test_without_twilight_the_flux_of_the_lamps_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = [write(tmp_path, ifu, {"LAMP": fluxes["LAMP"]}, flat=False) for ifu, fluxes in FLUXES.items()]
    mine = opened(paths)
    assert mine.scales == pytest.approx((1.0, 4.1 / 4.2))
    assert "scaled by the flux of the lamps" in caplog.text
    assert "has no pixel table of IFU 1, 2, 4, 6" in caplog.text
    assert not has_key(mine.header, f"{PREFIX}.FFCORR")


def test_what_is_merged_already_is_taken_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = [write(tmp_path, ifu, {}, flat=False) for ifu in (3, 5)]
    mine = opened(paths, (5500.0, 7000.0))
    assert "it is taken to be merged" in caplog.text
    assert set((everything(mine)["origin"] >> 6) & 31) == {3}
    assert get_key(mine.header, f"{PREFIX}.LIMITS.LAMBDA.LOW", float) >= 5500


def test_one_spectrum_that_is_missing_is_told(tmp_path: Path) -> None:
    paths = [write(tmp_path, ifu, fluxes, flat=ifu == 3) for ifu, fluxes in FLUXES.items()]
    with pytest.raises(DataError, match="this has not") as told:
        opened(paths)
    assert told.value.context["file"].endswith("-05.fits")


def test_a_flux_of_nothing_is_no_scale(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = [write(tmp_path, 3, FLUXES[3]), write(tmp_path, 5, {"LAMP": 0.0, "SKY": 0.0})]
    assert opened(paths).scales == (1.0, 1.0)
    assert "not scaled, as they have no flux of a flat field: PIXTABLE_OBJECT_0-05.fits" in caplog.text


@pytest.mark.parametrize("key", ["DATE-OBS", "HIERARCH ESO DRS MUSE PIXTABLE LIMITS LAMBDA LOW"])
def test_a_missing_keyword_is_named_with_its_file(tmp_path: Path, key: str) -> None:
    path = write(tmp_path, 3, FLUXES[3])
    with fits.open(path, mode="update") as hdus:
        del hdus[0].header[key]
    with pytest.raises(MissingKeywordError) as told:
        opened([path])
    assert told.value.context["file"] == str(path)
    assert told.value.context["keyword"] in ("DATE-OBS", f"{PREFIX}.LIMITS.LAMBDA.LOW")


def test_tables_of_other_units_do_not_go_together(tmp_path: Path) -> None:
    paths = [write(tmp_path, ifu, fluxes) for ifu, fluxes in FLUXES.items()]
    with fits.open(paths[1], mode="update") as hdus:
        hdus["xpos"].header["BUNIT"] = "deg"
    with pytest.raises(DataError, match="columns or units are not those of PIXTABLE_OBJECT_0-03"):
        opened(paths)


def test_an_empty_spectrum_is_told(tmp_path: Path) -> None:
    paths = [write(tmp_path, ifu, fluxes) for ifu, fluxes in FLUXES.items()]
    with fits.open(paths[1], memmap=False) as hdus:
        hdus["PIXTABLE_FLAT_FIELD"].data = hdus["PIXTABLE_FLAT_FIELD"].data[:0]
        hdus.writeto(paths[1], overwrite=True)
    with pytest.raises(DataError, match="is empty"):
        opened(paths)


def test_exposures_are_listed_by_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    later = write(tmp_path, 3, FLUXES[3], date="2026-11-01T02:00:00.001")
    first = [write(tmp_path, ifu, FLUXES[ifu]) for ifu in (5, 3)]
    again = tmp_path / "again.fits"
    shutil.copy(first[0], again)
    found = list_exposures([later, *first, again], LOG)
    assert [files.date for files in found] == [DATE, "2026-11-01T02:00:00.001"]
    assert found[0].units == {3: first[1], 5: first[0]}
    assert found[0].merged is None
    assert "again.fits is not used" in caplog.text
