"""muse_standard: the response that counts were made with is found again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.onsky_tables import EXTINCT_TABLE, FILTER_LIST, STD_FLUX_TABLE, TELLURIC_REGIONS
from core.formats.pixtable import write_pixtable
from core.formats.pixtable_header import PixtableLimits
from core.formats.pixtable_origin import PREFIX, encode_origin, set_offset
from core.formats.standard_stars import StandardStar
from core.formats.tables import MuseTable, write_table
from core.instruments.muse.facts import EFFECTIVE_AREA, Dq
from core.onsky.apertures import Aperture
from core.onsky.fluxcal import Curve
from core.onsky.fluxes import StarFluxes
from core.onsky.profiles import Profile
from core.onsky.throughput import throughput
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.muse.standard_star import FieldStars
from core.recipes.registry import get_recipe
from core.recipes.results import RecipeFailedError

NX, NY = 35, 33
FIRST, PLANES = 7500.0, 200
EXPTIME, AIRMASS = 20.0, 1.2
RA, DEC = 150.0, -30.0
AIR = 0.05


def flux(wave: np.ndarray) -> np.ndarray:
    return 2e-13 * (wave / 7000) ** -1.5


def response(wave: np.ndarray) -> np.ndarray:
    return 41.5 - 0.3 * ((wave - 7000) / 2000) ** 2


def transmission(wave: np.ndarray) -> np.ndarray:
    return 1 - 0.5 * np.exp(-(((wave - 7630) / 20) ** 2))


def counts(wave: np.ndarray) -> np.ndarray:
    expected = EXPTIME * 1.25 * flux(wave) * 10 ** (0.4 * (response(wave) - AIRMASS * AIR))
    return expected * transmission(wave) ** AIRMASS


def write_exposure(path: Path, mode: str = "WFM-NOAO-N", date: str = "2026-11-01T01:00:00.000", dq: int = 0) -> Path:
    """A star near the middle of a field."""
    rng = np.random.default_rng(5)
    header = Header()
    for key, value in {
        "INSTRUME": "MUSE", "OBJECT": "STD", "RA": RA, "DEC": DEC, "DATE-OBS": date, "MJD-OBS": 61345.0,
        "EXPTIME": EXPTIME, "EXTNAME": "CHAN01", "INS.MODE": mode, "INS.DROT.POSANG": 0.0, "INS.DROT.MODE": "SKY",
        "TEL.AIRM.START": AIRMASS, "TEL.AIRM.END": AIRMASS, "OBS.TARG.NAME": "GD71", f"{PREFIX}.TYPE": "GEOFULL",
        f"{PREFIX}.DAR.CORRECT": 7000.0, "TEL.AMBI.FWHM.START": 0.1, "TEL.AMBI.FWHM.END": 0.1,
    }.items():  # fmt: skip
        set_key(header, key, value)
    star = Profile(0.0, 1.0, 17.3, 16.8, 2.0, 2.0)
    x, plane = (axis.ravel() for axis in np.meshgrid(np.arange(1, NX + 1), np.arange(PLANES)))
    wave = FIRST + 1.25 * plane
    parts = []
    for y in range(1, NY + 1):
        ifu, number = 1 + (y - 1) // 12, 1 + (y - 1) % 12
        set_offset(header, 0, ifu, number, 0)
        data = counts(wave) * star.at("moffat", x, np.full(x.size, y)) + 5.0
        stat = data + 4.0
        parts.append(
            {
                "xpos": x.astype(np.float32),
                "ypos": np.full(x.size, y, np.float32),
                "lambda": wave.astype(np.float32),
                "data": (data + rng.normal(0, np.sqrt(stat))).astype(np.float32),
                "dq": np.full(x.size, dq, np.int32),
                "stat": stat.astype(np.float32),
                "origin": encode_origin(x, plane + 1, ifu, number, 0),
            }
        )
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    PixtableLimits.of(columns).write(header)
    return write_pixtable(path, header, columns)


def tables(folder: Path) -> dict[str, Path]:
    wave = np.arange(3000.0, 11000.0, 20.0)
    place, name = Header(), Header()
    place["RA"], place["DEC"] = RA, DEC + 0.5 / 3600
    name["EXTNAME"] = "Cousins_I"
    through = ((wave > 7540) & (wave < 7730)).astype(float)
    return {
        "EXTINCT_TABLE": write_table(
            folder / "ext.fits", EXTINCT_TABLE, MuseTable({"lambda": wave, "extinction": wave * 0 + AIR})
        ),
        "STD_FLUX_TABLE": write_table(
            folder / "std.fits",
            STD_FLUX_TABLE,
            MuseTable({"lambda": wave, "flux": flux(wave)}, place),
            extension="GD71",
        ),
        "FILTER_LIST": write_table(
            folder / "filters.fits",
            FILTER_LIST,
            MuseTable({"lambda": wave, "throughput": through}),
            extension="Cousins_I",
        ),
    }


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("std")
    return {"PIXTABLE_STD": write_exposure(folder / "table.fits"), **tables(folder)}


def reduce(
    inputs: dict[str, Path], folder: Path, more: tuple[tuple[Path, str], ...] = (), **values: Any
) -> dict[tuple[str, int | None], Path]:
    recipe = get_recipe("muse_standard")
    frames = [Frame(path, tag) for tag, path in inputs.items()] + [Frame(path, tag) for path, tag in more]
    result = run_recipe(recipe, FrameSet(tuple(frames)), recipe.Params(**values), folder)
    return {(product.tag, product.number): product.path for product in result.products}


@pytest.fixture(scope="module")
def made(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int | None], Path]:
    return reduce(inputs, tmp_path_factory.mktemp("made"), filter="white,Johnson_V")


def test_products_are_numbered_by_exposure(made: dict[tuple[str, int | None], Path]) -> None:
    assert sorted(path.name for path in made.values()) == [
        f"{tag}_0001.fits" for tag in ("DATACUBE_STD", "STD_FLUXES", "STD_RESPONSE", "STD_TELLURIC")
    ]


def test_the_response_is_found(made: dict[tuple[str, int | None], Path]) -> None:
    table = fits.getdata(made["STD_RESPONSE", 1], 1)
    inside = (table["lambda"] > 7500) & (table["lambda"] < 7740)
    np.testing.assert_allclose(table["response"][inside], response(table["lambda"][inside]), atol=0.02)
    assert (table["lambda"][0], table["lambda"][-1]) == (4150.0, 9800.0)
    assert not np.array_equal(table["response"], table["response_unsmoothed"])
    header = fits.getheader(made["STD_RESPONSE", 1])
    assert header["ESO QC STANDARD STARNAME"] == "GD71"
    assert (header["OBJECT"], header["SPECSYS"]) == ("STD", "TOPOCENT")
    assert "ESO QC STANDARD NDET" not in header


def test_throughput_and_zero_point_belong_to_the_response(made: dict[tuple[str, int | None], Path]) -> None:
    table, header = fits.getdata(made["STD_RESPONSE", 1], 1), fits.getheader(made["STD_RESPONSE", 1])
    wave = table["lambda"]
    np.testing.assert_allclose(table["throughput"], throughput(wave, table["response"], EFFECTIVE_AREA))
    expected = throughput(np.array([7635.0]), response(np.array([7635.0])), EFFECTIVE_AREA)[0]
    assert header["ESO QC STANDARD ZP I"] == pytest.approx(-2.5 * np.log10(expected), abs=0.02)
    assert "ESO QC STANDARD ZP V" not in header  # the list has no such filter
    assert {f"ESO QC STANDARD THRU{place}" for place in (5000, 6000, 7000, 8000, 9000)} <= set(header)


def test_the_absorption_of_the_air_is_found(made: dict[tuple[str, int | None], Path]) -> None:
    table = fits.getdata(made["STD_TELLURIC", 1], 1)
    inside = (table["lambda"] > 7600) & (table["lambda"] < 7690)
    np.testing.assert_allclose(table["ftelluric"][inside], transmission(table["lambda"][inside]), atol=0.03)
    assert table["ftellerr"].max() <= 0.1


def test_the_fluxes_have_variances(made: dict[tuple[str, int | None], Path]) -> None:
    with fits.open(made["STD_FLUXES", 1]) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == ["DATA", "DQ", "STAT"]
        header, axes = hdus[0].header, hdus["DATA"].header
        wave = axes["CRVAL1"] + (np.arange(axes["NAXIS1"]) + 1 - axes["CRPIX1"]) * axes["CD1_1"]
        pulls = (hdus["DATA"].data[0] - counts(wave)) / np.sqrt(hdus["STAT"].data[0])
    assert header["ESO DRS MUSE FLUX NOBJ"] == header["ESO DRS MUSE FLUX NSEL"] == 1
    assert header["ESO DRS MUSE FLUX OBJ1 X"] == pytest.approx(17.3, abs=0.3)
    assert header["ESO DRS MUSE FLUX OBJ1 DEC"] == pytest.approx(DEC, abs=0.3 / 3600)
    assert 0.7 < np.std(pulls[2:-2]) < 1.4


def test_images_are_in_the_cube_with_qc_of_the_star(made: dict[tuple[str, int | None], Path]) -> None:
    with fits.open(made["DATACUBE_STD", 1]) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == ["DATA", "STAT", "white"]
        header = hdus[0].header
    assert header["ESO QC STANDARD NDET"] == 1
    assert header["ESO QC STANDARD FWHM1 X"] == pytest.approx(0.2 * 2 * 2 * np.sqrt(2 ** (1 / 2.5) - 1), rel=0.1)


def test_a_rough_response_is_left_rough(inputs: dict[str, Path], tmp_path: Path) -> None:
    made = reduce(inputs, tmp_path, profile="circle", smooth="none")
    table = fits.getdata(made["STD_RESPONSE", 1], 1)
    assert table.names == ["lambda", "response", "resperr", "throughput"]
    inside = (table["lambda"] > 7500) & (table["lambda"] < 7740)
    np.testing.assert_allclose(table["response"][inside], response(table["lambda"][inside]), atol=0.06)


def test_the_star_is_chosen() -> None:
    aperture, wave = Aperture(5.0, 5.0, 1.0, 9), np.arange(3.0)
    fluxes = StarFluxes(np.array([[1, 1, 1], [2, 2, 0], [0, 1, 1]], np.float32), np.ones((3, 3), np.float32))
    places = ((RA, DEC), (RA, DEC + 9 / 3600), (RA + 4 / 3600, DEC))
    field = FieldStars(wave, (aperture,) * 3, fluxes, places)
    star = StandardStar("GD71", Path("std.fits"), RA + 5 / 3600, DEC, Curve.of([1.0], [1.0]))
    assert field.select("flux", star) == 1
    assert field.select("distance", star) == 2


def test_exposures_are_handled_for_themselves_by_the_nearest_of_all_stars(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    other = write_exposure(
        tmp_path / "other.fits", date="2026-11-01T02:00:00.000", dq=int(Dq.NOTCH_NAD), mode="WFM-AO-N"
    )
    far = Header()
    far["RA"], far["DEC"] = RA + 1, DEC
    cells = MuseTable({"lambda": np.array([4000.0, 9000.0]), "flux": np.array([1.0, 1.0])}, far)
    star = write_table(tmp_path / "far.fits", STD_FLUX_TABLE, cells, extension="far")
    regions = write_table(
        tmp_path / "regions.fits",
        TELLURIC_REGIONS,
        MuseTable({name: np.array([value]) for name, value in
                   {"lmin": 7590.0, "lmax": 7680.0, "bgmin": 7510.0, "bgmax": 7730.0}.items()}),
    )  # fmt: skip
    more = ((other, "PIXTABLE_STD"), (star, "STD_FLUX_TABLE"), (regions, "TELLURIC_REGIONS"))
    made = reduce(inputs, tmp_path, more, profile="circle", smooth="median")
    assert {number for tag, number in made if tag == "STD_RESPONSE"} == {1, 2}
    for number in (1, 2):
        telluric = fits.getdata(made["STD_TELLURIC", number], 1)
        assert telluric["lambda"].max() <= 7682
        header = fits.getheader(made["STD_RESPONSE", number])
        assert ("ESO QC STANDARD THRU6000" in header) == (number == 1)
        assert "far.fits" not in str(header.get("ESO PRO REC1 CAL2 NAME")) + str(header.get("ESO PRO REC1 CAL3 NAME"))


def test_a_field_without_its_star_is_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    empty = write_exposure(tmp_path / "empty.fits")
    with fits.open(empty, mode="update") as hdus:
        hdus["data"].data[:] = 5.0
    with pytest.raises(RecipeFailedError, match="no star"):
        reduce({**inputs, "PIXTABLE_STD": empty}, tmp_path)
    with fits.open(empty, mode="update") as hdus:
        hdus[0].header["RA"] = 20.0
    with pytest.raises(RecipeFailedError, match="nearest standard star"):
        reduce({**inputs, "PIXTABLE_STD": empty}, tmp_path)
