"""The forms of a cube: tables of spectra, and ESO's science data products."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from core.cubes.collapse import WHITE
from core.errors import MissingKeywordError, ProductStoreError
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats import euro3d
from core.formats.cube import open_cube
from core.formats.cube_forms import CUBE_FORMS
from core.formats.pixtable import write_pixtable
from core.formats.pixtable_header import FLUX_UNIT, PixtableLimits, pixtable_units
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import open_pixtable
from core.formats.science_check import check_science_cube
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.cube_products import CubeMaker
from core.recipes.muse.cubes import CubeOptions, write_cube
from core.recipes.muse.pixel_source import source_of_table
from core.recipes.registry import get_recipe
from core.recipes.results import RecipeFailedError
from tests.recipes.muse.test_cubes import CENTRE, PIXEL, header, rows

TELESCOPE = {
    "TEL.AIRM.START": 1.2, "TEL.AIRM.END": 1.3, "TEL.PARANG.START": 80.0, "TEL.PARANG.END": 82.0,
    "TEL.AMBI.TEMP": 11.0, "TEL.AMBI.RHUM": 14.0, "TEL.AMBI.PRES.START": 743.0, "TEL.AMBI.PRES.END": 743.0,
    "TEL.IA.FWHMLIN": 0.8, "TEL.AMBI.FWHM.START": 0.7, "TEL.AMBI.FWHM.END": 0.9, "OBS.PROG.ID": "60.A-9100(B)",
}  # fmt: skip


def described(number: int = 0) -> Header:
    """Header of an exposure with all that the forms tell."""
    cards = header(sky=True)
    for key, value in {**TELESCOPE, "OBS.ID": 7 - number, f"{PREFIX}.DAR.CORRECT": 7000.0}.items():
        set_key(cards, key, value)
    cards["DATE-OBS"], cards["MJD-OBS"] = f"2026-11-01T0{number + 1}:00:00.000", 61345.04 + number / 24
    for key, value in {"ORIGIN": "ESO", "TELESCOP": "ESO-VLT-U4", "EQUINOX": 2000.0, "SPECSYS": "BARYCENT"}.items():
        cards[key] = value
    cards["ARCFILE"] = f"MUSE.{cards['DATE-OBS']}.fits"
    return cards


def save(path: Path, number: int = 0, unit: str = "deg") -> Path:
    """An exposure of 20 x 15 pixels, with a corner and some planes that have none, in fluxes."""
    columns, cards = rows(), described(number)
    empty = (columns["xpos"] < -8) & (columns["ypos"] < -5) | (columns["xpos"] > 7) & (columns["lambda"] < 5010)
    columns = {name: cells[~empty] for name, cells in columns.items()}
    east, north = -columns["xpos"] * PIXEL, columns["ypos"] * PIXEL
    if unit == "deg":
        columns |= {
            "xpos": (east / np.cos(np.radians(CENTRE[1]))).astype(np.float32),
            "ypos": north.astype(np.float32),
        }
    else:
        places = np.arctan2(east, -north) % (2 * np.pi), np.arctan(180 / np.pi / np.hypot(east, north)) - np.pi / 2
        columns |= {name: cells.astype(np.float32) for name, cells in zip(("xpos", "ypos"), places, strict=True)}
        set_key(cards, f"{PREFIX}.FLUXCAL", True)
        set_key(cards, f"{PREFIX}.RVCORR", 1.0)
    PixtableLimits.of(columns).write(cards, CENTRE if unit == "deg" else (0.0, 0.0))
    return write_pixtable(path, cards, columns, units=pixtable_units(unit, FLUX_UNIT))


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("placed") / "PIXTABLE_OBJECT.fits")


@pytest.fixture(scope="module")
def exposures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("exposures")
    return [save(folder / f"{number}.fits", number, "rad") for number in (0, 1)]


def make_cube(table: Path, folder: Path, wcs: Path | None = None, **values: object) -> dict[str, Path]:
    recipe = get_recipe("muse_scipost_make_cube")
    folder.mkdir(exist_ok=True)
    frames = [Frame(table, "PIXTABLE_OBJECT"), *([] if wcs is None else [Frame(wcs, "OUTPUT_WCS")])]
    result = run_recipe(recipe, FrameSet(tuple(frames)), recipe.Params(**values), folder)
    return {product.tag: product.path for product in result.products}


def combine(tables: list[Path], folder: Path, **values: object) -> dict[str, Path]:
    recipe = get_recipe("muse_exp_combine")
    folder.mkdir(exist_ok=True)
    frames = FrameSet(tuple(Frame(table, "PIXTABLE_REDUCED") for table in tables))
    result = run_recipe(recipe, frames, recipe.Params.parse({"format": "sdpCube", **values}), folder)
    return {product.tag: product.path for product in result.products}


def test_spectra_are_those_of_the_cube(placed: Path, tmp_path: Path) -> None:
    made = make_cube(placed, tmp_path, format="Euro3D")
    assert set(made) == {"DATACUBE_FINAL", "IMAGE_FOV"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["DATACUBE_FINAL.fits", "IMAGE_FOV_0001.fits"]
    source = source_of_table(open_pixtable(placed))
    plain = write_cube(tmp_path / "cube.fits", source, CubeOptions(), filters=[WHITE])
    plain.finish(plain.header)
    cube = open_cube(tmp_path / "cube.fits")
    nz, ny, nx = cube.shape
    data, stat, _ = cube.read(0, nz)
    with fits.open(made["DATACUBE_FINAL"], checksum=True) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "E3D_DATA", "E3D_GRP"]
        assert (hdus[0].header["EURO3D"], hdus[0].header["E3D_ADC"]) == ("T", "T")
        spectra = hdus["E3D_DATA"].data
        assert (hdus["E3D_DATA"].header["CRVALS"], hdus["E3D_DATA"].header["CDELTS"]) == (
            plain.grid.spectral.crval,
            1.25,
        )
        group = hdus["E3D_GRP"].data[0]
    used = np.isfinite(data).any(axis=0)
    assert len(spectra) == used.sum() < nx * ny
    x, y = np.divmod(spectra["SPEC_ID"] - 1, ny)
    assert used[y, x].all()
    assert (np.diff(spectra["SPEC_ID"]) > 0).all()
    sky = WCS(fits.getheader(tmp_path / "cube.fits", "DATA")).celestial.all_pix2world(x, y, 0)
    np.testing.assert_allclose([spectra["XPOS"], spectra["YPOS"]], sky, atol=1e-9)
    assert spectra["SPEC_STA"].max() > 1  # of spaxels that begin with nothing
    for row in spectra[:: len(spectra) // 40]:
        column, line = divmod(row["SPEC_ID"] - 1, ny)
        start, length = row["SPEC_STA"] - 1, row["SPEC_LEN"]
        assert start + length == nz
        values, errors = data[start:, line, column], np.sqrt(stat[start:, line, column])
        lost = np.isnan(values)
        assert not lost[0]
        np.testing.assert_array_equal(row["QUAL_SPE"][:length] != 0, lost)
        np.testing.assert_array_equal(row["DATA_SPE"][:length], np.where(lost, 0, values))
        np.testing.assert_array_equal(row["STAT_SPE"][:length], np.where(lost, 0, errors))
        assert np.isnan(row["DATA_SPE"][length:]).all()
    assert group["G_SIZE1"] == pytest.approx(0.2)
    assert [group[name] for name in ("G_AIRMAS", "G_PARANG", "G_PRESSU", "G_TEMPER", "G_HUMID")] == pytest.approx(
        [1.25, 81.0, 743.0, 284.15, 14.0]
    )


def test_images_go_with_the_spectra(placed: Path, tmp_path: Path) -> None:
    made = make_cube(placed, tmp_path, format="xEuro3D")
    assert list(made) == ["DATACUBE_FINAL"]
    with fits.open(made["DATACUBE_FINAL"]) as hdus:
        assert [hdu.name.lower() for hdu in hdus[3:]] == ["white", "white_dq"]
        np.testing.assert_array_equal(np.isnan(hdus[3].data), hdus[4].data != 0)
        assert hdus[4].header["OBJECT"] == "a field (white, DQ)"


def test_a_table_that_is_not_whole_is_not_seen(placed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise ProductStoreError("no space left")

    monkeypatch.setattr(euro3d, "_fill", stop)
    with pytest.raises(RecipeFailedError, match="no space left"):
        make_cube(placed, tmp_path, format="Euro3D")
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []


def test_the_archive_is_told_what_it_wants(exposures: list[Path], tmp_path: Path) -> None:
    made = combine(exposures, tmp_path)
    with fits.open(made["DATACUBE_FINAL"], checksum=True) as hdus, fits.open(made["IMAGE_FOV"]) as image:
        cards, axes = hdus[0].header, hdus["DATA"].header
        found = {key: cards[key] for key in ("NCOMBINE", "TEXPTIME", "PROG_ID", "OBID1", "OBID2", "ASSON1", "PRODCATG")}
        assert found == {
            "NCOMBINE": 2, "TEXPTIME": 200.0, "PROG_ID": "60.A-9100(B)", "OBID1": 6, "OBID2": 7,
            "ASSON1": "IMAGE_FOV_0001.fits", "PRODCATG": "SCIENCE.CUBE.IFS",
        }  # fmt: skip
        assert [cards[f"PROV{k}"] for k in (1, 2)] == [f"MUSE.2026-11-01T0{k}:00:00.000.fits" for k in (1, 2)]
        assert cards["EXPTIME"] == pytest.approx(200 * 90000 / np.isfinite(image["DATA"].data).sum())
        assert cards["MJD-END"] - cards["MJD-OBS"] == pytest.approx(1 / 24 + 100 / 86400)
        middle = WCS(image["DATA"].header).all_pix2world(axes["NAXIS1"] / 2, axes["NAXIS2"] / 2, 1)
        assert (cards["RA"], cards["DEC"]) == pytest.approx(tuple(map(float, middle)))
        assert (cards["WAVELMIN"], cards["SKY_RERR"]) == pytest.approx((axes["CRVAL3"] / 10, np.hypot(0.1, 0.3)))
        assert (axes["CUNIT3"], axes["CRDER3"], axes["CSYER1"]) == ("angstrom", 0.026, -1)
        assert axes["BUNIT"] == "10**(-20)erg.s**(-1).cm**(-2).angstrom**(-1)"
        stat = hdus["STAT"].data
        assert np.nanpercentile(stat, 1) < (cards["PIXNOISE"] * 1e20) ** 2 < np.nanpercentile(stat, 99)
        assert 20 < cards["ABMAGLIM"] < 30
        assert image[0].header["PRODCATG"] == "ANCILLARY.IMAGE"
        assert image["DATA"].header["BUNIT"] == axes["BUNIT"]


def test_the_archive_would_take_it(exposures: list[Path], tmp_path: Path) -> None:
    made = combine(exposures, tmp_path)
    assert check_science_cube(made["DATACUBE_FINAL"]) == []
    plain = combine(exposures, tmp_path / "plain", format="Cube")
    assert "PRODCATG" in {finding.rule for finding in check_science_cube(plain["DATACUBE_FINAL"])}


def test_an_exposure_that_lacks_something_is_told_before_the_cube_is_filled(
    exposures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CubeMaker, "fill", lambda *_: pytest.fail("the cube is filled"))
    tables = [Path(shutil.copy(path, tmp_path / path.name)) for path in exposures]
    with fits.open(tables[1], mode="update") as hdus:
        del hdus[0].header["MJD-OBS"]
    with pytest.raises(MissingKeywordError, match="MJD-OBS"):
        combine(tables, tmp_path / "made")
    assert [path.name for path in (tmp_path / "made").iterdir() if not path.name.startswith(".")] == []


def reference(
    recipe: str, tag: str, tables: list[Path], folder: Path, form: str, *more: str, wcs: Path | None = None
) -> Path:
    folder.mkdir()
    frames = [(table, tag) for table in tables] + ([] if wcs is None else [(wcs, "OUTPUT_WCS")])
    (folder / "in.sof").write_text("".join(f"{path} {kind}\n" for path, kind in frames))
    done = subprocess.run(
        ["esorex", "--log-dir=.", recipe, f"--format={form}", *more, "in.sof"],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    return folder / "DATACUBE_FINAL.fits"


@pytest.mark.esorex
@pytest.mark.skipif(shutil.which("esorex") is None, reason="esorex is not installed")
def test_the_reference_makes_the_same_spectra(placed: Path, tmp_path: Path) -> None:
    theirs = reference("muse_scipost_make_cube", "PIXTABLE_OBJECT", [placed], tmp_path / "reference", "xEuro3D")
    mine = make_cube(placed, tmp_path / "ours", format="xEuro3D")["DATACUBE_FINAL"]
    with fits.open(mine) as ours, fits.open(theirs) as other:
        assert [hdu.name for hdu in ours] == [hdu.name for hdu in other]
        found, expected = ours["E3D_DATA"].data, other["E3D_DATA"].data
        assert found.names == expected.names
        for name in found.names:
            if expected[name].dtype.kind == "f":
                np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, err_msg=name)
            else:
                np.testing.assert_array_equal(found[name], expected[name], name)
        np.testing.assert_array_equal(ours["white_DQ"].data, other["white_DQ"].data)
        good = ours["white_DQ"].data == 0
        np.testing.assert_allclose(ours["white"].data[good], other["white"].data[good], rtol=1e-6)


@pytest.mark.esorex
@pytest.mark.skipif(shutil.which("esorex") is None, reason="esorex is not installed")
def test_the_reference_tells_the_archive_the_same(exposures: list[Path], tmp_path: Path) -> None:
    theirs = reference("muse_exp_combine", "PIXTABLE_REDUCED", exposures, tmp_path / "reference", "sdpCube")
    assert check_science_cube(theirs) == []  # nor has it anything against the reference's
    mine = combine(exposures, tmp_path / "ours")["DATACUBE_FINAL"]
    own = {"DATE", "DATAMD5", "CHECKSUM", "DATASUM", "PROCSOFT", "COMMENT", ""}
    with fits.open(mine) as ours, fits.open(theirs) as other:
        for found, expected in zip(ours, other, strict=True):
            keys = [key for key in expected.header if key not in own and not key.startswith(("ESO PRO", "ESO QC"))]
            for key in keys:
                wanted = expected.header[key]
                close = {"rel": 1e-6, "abs": 0.05 if key == "ABMAGLIM" else 1e-30}  # other bins
                assert found.header[key] == (pytest.approx(wanted, **close) if isinstance(wanted, float) else wanted), (
                    key
                )


@pytest.mark.esorex
@pytest.mark.skipif(shutil.which("esorex") is None, reason="esorex is not installed")
@pytest.mark.parametrize(
    ("axis", "step", "unit", "size"),
    [
        ("AWAV", 1.5, "nm", 10),
        ("AWAV-LOG", 1.0, "Angstrom", 1),
        ("WAVE", 1.5, "Angstrom", 1),
        ("WAVE-LOG", 1.0, "um", 1e4),
    ],
)
def test_the_reference_takes_the_same_grid(
    placed: Path, tmp_path: Path, axis: str, step: float, unit: str, size: float
) -> None:
    hdu = fits.ImageHDU(np.zeros((10, 12, 14), np.float32))
    hdu.header.update({
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": axis, "CUNIT1": "deg", "CUNIT2": "deg", "CUNIT3": unit,
        "CRVAL1": CENTRE[0], "CRVAL2": CENTRE[1], "CRVAL3": 5001.5 / size, "CRPIX1": 7.5, "CRPIX2": 6.25, "CRPIX3": 1.0,
        "CD1_1": -0.25 / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.25 / 3600, "CD3_3": step / size,
    })  # fmt: skip
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "wcs.fits")
    wcs = tmp_path / "wcs.fits"
    # Without rejection: pixels beyond the grid are no neighbours here.
    table = "muse_scipost_make_cube", "PIXTABLE_OBJECT", [placed], tmp_path / "reference", "Cube", "--crsigma=0"
    theirs = reference(*table, wcs=wcs)
    mine = make_cube(placed, tmp_path / "ours", wcs, crsigma=0.0)["DATACUBE_FINAL"]
    with fits.open(mine) as ours, fits.open(theirs) as other:
        for name in ("DATA", "STAT"):
            np.testing.assert_allclose(ours[name].data, other[name].data, rtol=1e-6)
            assert ours[name].header["CTYPE3"] == other[name].header["CTYPE3"] == axis
            assert ours[name].header["CRVAL3"] == pytest.approx(other[name].header["CRVAL3"])


def test_each_form_is_a_choice_of_the_recipes() -> None:
    for name, forms in (
        ("muse_scipost", set(CUBE_FORMS)),
        ("muse_exp_combine", set(CUBE_FORMS)),
        ("muse_scipost_make_cube", set(CUBE_FORMS) - {"sdpCube"}),
    ):
        (info,) = [info for info in get_recipe(name).Params.listing() if info.name == "format"]
        assert set(info.choices) == forms
