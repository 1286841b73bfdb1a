"""muse_scipost: exposures with a star become a cube without sky."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.errors import MissingInputError, ParameterError
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.fitsfile.writer import FitsWriter
from core.formats.onsky_tables import OFFSET_LIST, SKY_CONTINUUM, SKY_LINES, SKY_SPECTRUM
from core.formats.pixtable import write_pixtable
from core.formats.pixtable_header import FLUX_UNIT, PixtableLimits
from core.formats.pixtable_origin import PREFIX, encode_origin, set_offset
from core.formats.pixtable_read import open_pixtable
from core.formats.science_check import check_science_cube
from core.formats.tables import MuseTable, write_table
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.registry import get_recipe
from core.recipes.results import RecipeFailedError
from tests.recipes.muse.sky.night import GUESS, TRUE, continuum, write_exposure, write_lsf

DATES = ("2026-11-01T01:00:00.000", "2026-11-01T02:00:00.000")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("scipost")
    header = Header()
    for key, value in {"CD1_1": -0.2 / 3600, "CD2_2": 0.2 / 3600, "CRPIX1": 0.0, "CRPIX2": 0.0}.items():
        header[key] = value
    with FitsWriter(folder / "wcs.fits") as writer:
        writer.primary(header)
    columns = {"name": TRUE.name, "group": TRUE.group, "lambda": TRUE.wave, "flux": GUESS, "dq": np.zeros(3, int)}
    return {
        "PIXTABLE_OBJECT": write_exposure(folder / "table.fits", DATES[0]),
        "ASTROMETRY_WCS": folder / "wcs.fits",
        "SKY_LINES": write_table(folder / "lines.fits", SKY_LINES, MuseTable(columns), extension="LINES"),
        "LSF_PROFILE": write_lsf(folder / "lsf.fits"),
    }


def scipost(
    inputs: dict[str, Path], folder: Path, more: tuple[tuple[Path, str], ...] = (), **values: Any
) -> dict[str, list[Path]]:
    recipe = get_recipe("muse_scipost")
    frames = [Frame(path, tag) for tag, path in inputs.items()] + [Frame(path, tag) for path, tag in more]
    params = recipe.Params.parse({"skymodel_fraction": 0.6, **values})
    found: dict[str, list[Path]] = {}
    for product in run_recipe(recipe, FrameSet(tuple(frames)), params, folder).products:
        found.setdefault(product.tag, []).append(product.path)
    return found


def only(inputs: dict[str, Path], *tags: str) -> dict[str, Path]:
    return {tag: inputs[tag] for tag in ("PIXTABLE_OBJECT", "ASTROMETRY_WCS", *tags)}


def test_the_sky_is_gone_and_the_star_stays(inputs: dict[str, Path], tmp_path: Path) -> None:
    made = scipost(inputs, tmp_path)
    assert set(made) == {
        "DATACUBE_FINAL",
        "IMAGE_FOV",
        "SKY_MASK",
        "SKY_IMAGE",
        "SKY_SPECTRUM",
        "SKY_LINES",
        "SKY_CONTINUUM",
    }
    with fits.open(made["DATACUBE_FINAL"][0], checksum=True) as hdus:
        cube, header = hdus["DATA"].data, hdus["DATA"].header
        assert (header["CTYPE1"], header["BUNIT"]) == ("RA---TAN", FLUX_UNIT)
        assert hdus[0].header["SPECSYS"] == "BARYCENT"
        assert hdus[0].header["ESO QC SCIPOST NDET"] >= 1
    image = np.nanmedian(cube, axis=0)
    away = image[:, 12:]  # of the star
    assert abs(np.nanmedian(away)) < 1
    assert np.nanmax(image) > 300
    lines = [fits.getheader(path)["ESO QC SCIPOST LINE1 FLUX"] for path in made["SKY_LINES"]]
    assert lines == pytest.approx([4000], rel=0.01)


def test_the_sky_of_another_exposure_may_be_subtracted(inputs: dict[str, Path], tmp_path: Path) -> None:
    wave = np.arange(6200.0, 6700.0, 0.5)
    columns = {"name": TRUE.name, "group": TRUE.group, "lambda": TRUE.wave, "flux": TRUE.flux, "dq": np.zeros(3, int)}
    lines = write_table(tmp_path / "l.fits", SKY_LINES, MuseTable(columns), extension="LINES")
    spectrum = MuseTable({"lambda": wave, "flux": continuum(wave)})
    more = (
        (lines, "SKY_LINES"),
        (write_table(tmp_path / "c.fits", SKY_CONTINUUM, spectrum), "SKY_CONTINUUM"),
    )
    made = scipost(only(inputs, "LSF_PROFILE"), tmp_path, more, skymethod="subtract-model", save="individual,cube")
    assert set(made) == {"DATACUBE_FINAL", "IMAGE_FOV", "PIXTABLE_REDUCED"}
    table = open_pixtable(made["PIXTABLE_REDUCED"][0])
    rows = table.read(0, table.n_rows, ("data", "dq", "origin"))
    plain = (rows["dq"] == 0) & (rows["origin"] >> 24 > 11)  # columns without the star
    assert abs(np.median(rows["data"][plain])) < 1


@pytest.mark.parametrize(("method", "level"), [("simple", 0), ("none", 50)])
def test_simpler_ways(inputs: dict[str, Path], tmp_path: Path, method: str, level: float) -> None:
    made = scipost(only(inputs), tmp_path, skymethod=method, save="cube")
    cube = fits.getdata(made["DATACUBE_FINAL"][0], "DATA")
    assert np.nanmedian(cube[:, :, 12:]) == pytest.approx(level, abs=3)


def test_a_cube_for_the_archive_and_a_picture_of_all_spectra(inputs: dict[str, Path], tmp_path: Path) -> None:
    made = scipost(only(inputs), tmp_path, skymethod="none", save="cube,stacked", format="sdpCube", lambdamax=6400.0)
    assert set(made) == {"DATACUBE_FINAL", "IMAGE_FOV", "OBJECT_RESAMPLED"}
    broken = {finding.rule for finding in check_science_cube(made["DATACUBE_FINAL"][0])}
    # What the header of the exposure does not have, and only that.
    assert broken == {"ORIGIN", "TELESCOP", "OBJECT", "PROG_ID", "OBID1", "PROV1", "provenance"}
    with fits.open(made["OBJECT_RESAMPLED"][0], checksum=True) as hdus:
        assert hdus["DATA"].header["BUNIT"] == FLUX_UNIT
        assert np.nanmedian(hdus["DATA"].data) == pytest.approx(50, abs=3)


def test_exposures_are_combined_on_one_sky(inputs: dict[str, Path], tmp_path: Path) -> None:
    second = write_exposure(tmp_path / "second.fits", DATES[1])
    offsets = write_table(
        tmp_path / "offsets.fits",
        OFFSET_LIST,
        MuseTable(
            {
                "DATE_OBS": np.array(DATES),
                "MJD_OBS": np.zeros(2),
                "RA_OFFSET": np.zeros(2),
                "DEC_OFFSET": np.array([0.0, -0.4 / 3600]),
                "FLUX_SCALE": np.full(2, np.nan),
            }
        ),
    )
    more = ((second, "PIXTABLE_OBJECT"), (offsets, "OFFSET_LIST"))
    made = scipost(only(inputs), tmp_path, more, skymethod="none", save="positioned,combined,cube")
    assert [path.name for path in made["PIXTABLE_POSITIONED"]] == [
        "PIXTABLE_POSITIONED_0001.fits",
        "PIXTABLE_POSITIONED_0002.fits",
    ]
    combined, parts = (
        open_pixtable(made["PIXTABLE_COMBINED"][0]),
        [open_pixtable(p) for p in made["PIXTABLE_POSITIONED"]],
    )
    assert combined.n_rows == sum(part.n_rows for part in parts)
    assert parts[1].header["CRVAL2"] - parts[0].header["CRVAL2"] == pytest.approx(0.4 / 3600)
    y = combined.read(0, combined.n_rows, ("ypos",))["ypos"]
    assert y[parts[0].n_rows] - y[0] == pytest.approx(0.4 / 3600, abs=1e-8)


def test_a_mask_on_the_sky_is_that_in_pixels(inputs: dict[str, Path], tmp_path: Path) -> None:
    hdu = fits.PrimaryHDU(np.ones((30, 40), np.int16))
    hdu.data[:, 20:] = 0  # the first columns are in the east, which is where x is large
    for key, value in {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": -30.0, "CRPIX1": 20.5, "CRPIX2": 15.5,
        "CD1_1": -0.2 / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.2 / 3600,
    }.items():  # fmt: skip
        hdu.header[key] = value
    hdu.writeto(tmp_path / "mask.fits")
    more = ((tmp_path / "mask.fits", "SKY_MASK"),)
    values = {"skymethod": "simple", "save": "skymodel", "skymodel_fraction": 1.0, "skymodel_ignore": 0.0}
    mask = fits.getdata(scipost(only(inputs), tmp_path, more, **values)["SKY_MASK"][0])
    half = mask.shape[1] // 2
    assert (mask[:, : half - 2].any(), mask[:, half + 2 :].any()) in ((True, False), (False, True))


def write_levels(path: Path, levels: np.ndarray) -> Path:
    """An empty field of eight slices of 30 columns whose levels differ."""
    header, (y, x) = Header(), (axis.ravel() for axis in np.mgrid[1:201, 1:31])
    for key, value in {
        "INSTRUME": "MUSE", "RA": 150.0, "DEC": -30.0, "DATE-OBS": DATES[0], "MJD-OBS": 61345.0, "EXPTIME": 600.0,
        "EXTNAME": "CHAN07", "INS.MODE": "WFM-NOAO-N", "INS.DROT.POSANG": 0.0, "INS.DROT.MODE": "SKY",
        f"{PREFIX}.TYPE": "GEOFULL", f"{PREFIX}.DAR.CORRECT": 7000.0,
    }.items():  # fmt: skip
        set_key(header, key, value)
    rng = np.random.default_rng(2)
    parts = []
    for number, level in enumerate(levels.tolist(), start=1):
        set_offset(header, 0, 7, number, 0)
        data = (level * (100 + rng.normal(0, 1, x.size))).astype(np.float32)
        parts.append(
            {
                "xpos": x.astype(np.float32),
                "ypos": np.full(x.size, number, np.float32),
                "lambda": (6300 + 1.25 * (y + rng.uniform(0, 1, 31)[x])).astype(np.float32),
                "data": data,
                "dq": np.zeros(x.size, np.int32),
                "stat": data.copy(),
                "origin": encode_origin(x, y, 7, number, 0),
            }
        )
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    PixtableLimits.of(columns).write(header)
    return write_pixtable(path, header, columns)


def columns_of(path: Path) -> dict[str, np.ndarray]:
    table = open_pixtable(path)
    return table.read(0, table.n_rows, ("data", "stat"))


def test_slices_are_brought_to_one_level(tmp_path: Path) -> None:
    levels = 1 + 0.02 * np.random.default_rng(4).normal(size=8)
    given = {"PIXTABLE_OBJECT": write_levels(tmp_path / "table.fits", levels)}
    values: dict[str, Any] = {"skymethod": "none", "save": "autocal,individual", "astrometry": False, "rvcorr": "none"}
    made = scipost(given, tmp_path, autocalib="deepfield", **values)
    assert set(made) == {"AUTOCAL_MASK", "AUTOCAL_FACTORS", "PIXTABLE_REDUCED"}
    header = fits.getheader(made["PIXTABLE_REDUCED"][0])
    assert header["ESO DRS MUSE PIXTABLE AUTOCAL"] == "slice-median"
    assert header.comments["ESO DRS MUSE PIXTABLE AUTOCAL"].startswith("15")
    levelled = columns_of(made["PIXTABLE_REDUCED"][0])
    assert np.median(levelled["data"].reshape(8, -1), axis=1) == pytest.approx(100 * levels.mean(), rel=1e-3)
    assert np.median(levelled["stat"].reshape(8, -1), axis=1) == pytest.approx(
        1e2 * levels.mean() ** 2 / levels, rel=2e-3
    )
    mask = made["AUTOCAL_MASK"][0]
    assert fits.getdata(mask).mean() > 0.9
    assert fits.getheader(mask)["ESO QC SCIPOST LOWLIMIT"] < 100 < fits.getheader(mask)["ESO QC SCIPOST THRESHOLD"]

    again = {"PIXTABLE_OBJECT": made["PIXTABLE_REDUCED"][0]}
    (tmp_path / "again").mkdir()
    twice = scipost(again, tmp_path / "again", autocalib="deepfield", **values)
    np.testing.assert_array_equal(columns_of(twice["PIXTABLE_REDUCED"][0])["data"], levelled["data"])

    factors = ((made["AUTOCAL_FACTORS"][0], "AUTOCAL_FACTORS"),)
    (tmp_path / "user").mkdir()
    by_user = scipost(given, tmp_path / "user", factors, autocalib="user", **values)
    assert fits.getheader(by_user["PIXTABLE_REDUCED"][0])["ESO DRS MUSE PIXTABLE AUTOCAL"] == "user"
    for name, cells in columns_of(by_user["PIXTABLE_REDUCED"][0]).items():
        np.testing.assert_array_equal(cells, levelled[name])


def test_a_given_mask_tells_where_slices_are_measured(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    levels = np.linspace(0.97, 1.03, 8)
    given = {"PIXTABLE_OBJECT": write_levels(tmp_path / "table.fits", levels)}
    hdu = fits.PrimaryHDU(np.ones((8, 30), np.int16))
    hdu.data[3] = 0  # the fourth slice
    hdu.header.update(CRPIX1=1.0, CRPIX2=1.0, CRVAL1=1.0, CRVAL2=1.0, CD1_1=1.0, CD2_2=1.0, CD1_2=0.0, CD2_1=0.0)
    hdu.writeto(tmp_path / "mask.fits")
    more = ((tmp_path / "mask.fits", "SKY_MASK"),)
    made = scipost(given, tmp_path, more, skymethod="subtract-model", save="autocal", autocalib="user", rvcorr="none")
    assert set(made) == {"AUTOCAL_FACTORS"}
    assert "without AUTOCAL_FACTORS" in caplog.text
    table = fits.getdata(made["AUTOCAL_FACTORS"][0])
    bin_7 = table[(table["ifu"] == 7) & (table["quad"] == 7) & (table["sli"] <= 8)]
    assert (bin_7["npts"] == 0).tolist() == [number == 4 for number in range(1, 9)]
    assert bin_7["corr"][0] == pytest.approx(np.delete(levels, 3).mean() / levels[0], rel=1e-3)


def step(name: str, folder: Path, *frames: tuple[Path, str], **values: Any) -> dict[str, Path]:
    recipe = get_recipe(f"muse_scipost_{name}")
    folder.mkdir(exist_ok=True)
    given = FrameSet(tuple(Frame(path, tag) for path, tag in frames))
    return {p.tag: p.path for p in run_recipe(recipe, given, recipe.Params.parse(values), folder).products}


def test_single_steps_lead_to_the_same_cube(inputs: dict[str, Path], tmp_path: Path) -> None:
    whole = scipost(inputs, tmp_path, save="cube,skymodel", rvcorr="geo")
    with fits.open(inputs["PIXTABLE_OBJECT"]) as hdus:
        hdus[0].header["HIERARCH ESO DRS MUSE PIXTABLE FLUXCAL"] = True
        hdus.writeto(tmp_path / "fluxes.fits")
    sky = [(whole[tag][0], tag) for tag in ("SKY_LINES", "SKY_CONTINUUM")]
    given = ((tmp_path / "fluxes.fits", "PIXTABLE_REDUCED"), *sky, (inputs["LSF_PROFILE"], "LSF_PROFILE"))
    made = step("subtract_sky", tmp_path / "1", *given, orig="counts")["PIXTABLE_REDUCED"]
    assert "counts" in open_pixtable(made).columns
    made = step("correct_rv", tmp_path / "2", (made, "PIXTABLE_OBJECT"), rvcorr="geo")["PIXTABLE_REDUCED"]
    wcs = (inputs["ASTROMETRY_WCS"], "ASTROMETRY_WCS")
    made = step("apply_astrometry", tmp_path / "3", (made, "PIXTABLE_OBJECT"), wcs)["PIXTABLE_REDUCED"]
    cube = step("make_cube", tmp_path / "4", (made, "PIXTABLE_OBJECT"))["DATACUBE_FINAL"]
    with fits.open(whole["DATACUBE_FINAL"][0]) as expected, fits.open(cube) as found:
        assert found["DATA"].shape == expected["DATA"].shape
        np.testing.assert_allclose(found["DATA"].data, expected["DATA"].data, rtol=1e-3, atol=0.05)


def test_what_has_no_sky_is_not_subtracted_again(inputs: dict[str, Path], tmp_path: Path) -> None:
    wave = np.arange(6200.0, 6700.0, 0.5)
    columns = {"lambda": wave, "data": continuum(wave), "stat": wave * 0, "dq": np.zeros(wave.size, int)}
    spectrum = write_table(tmp_path / "s.fits", SKY_SPECTRUM, MuseTable(columns))
    first = (inputs["PIXTABLE_OBJECT"], "PIXTABLE_REDUCED")
    made = step("subtract_sky_simple", tmp_path / "1", first, (spectrum, "SKY_SPECTRUM"))["PIXTABLE_REDUCED"]
    others = [(inputs[tag], tag) for tag in ("SKY_LINES", "LSF_PROFILE")]
    with pytest.raises(RecipeFailedError, match="no fluxes"):
        step("subtract_sky", tmp_path / "2", first, *others)
    with fits.open(made, mode="update") as hdus:
        hdus[0].header["HIERARCH ESO DRS MUSE PIXTABLE FLUXCAL"] = True
    with pytest.raises(RecipeFailedError, match="subtracted already"):
        step("subtract_sky", tmp_path / "3", (made, "PIXTABLE_REDUCED"), *others)


def test_one_exposure_is_merged_as_it_is(inputs: dict[str, Path], tmp_path: Path) -> None:
    made = step("combine_pixtables", tmp_path, (inputs["PIXTABLE_OBJECT"], "PIXTABLE_OBJECT"))["PIXTABLE_COMBINED"]
    table = open_pixtable(made)
    assert (table.units["xpos"], "weight" in table.columns) == ("pix", False)


def test_the_model_needs_lines_and_profiles(inputs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="SKY_LINES"):
        scipost(only(inputs, "LSF_PROFILE"), tmp_path)
    with pytest.raises(MissingInputError, match="LSF_PROFILE"):
        scipost(only(inputs, "SKY_LINES"), tmp_path)
    with pytest.raises(MissingInputError, match="PIXTABLE_OBJECT"):
        scipost({}, tmp_path)


@pytest.mark.parametrize(
    "values", [{"save": "autocalib"}, {"autocalib": "shallow"}, {"sky_crsigma": "x,y"}, {"lambdamax": 1.0}]
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any]) -> None:
    recipe = get_recipe("muse_scipost")
    with pytest.raises(ParameterError):
        recipe.check_parameters(FrameSet(()), recipe.Params.parse(values))
