"""Pictures of exposures of the sky: cubes, what is left of the sky, standard stars, astrometric fields, alignment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats import onsky_tables as formats
from core.formats.tables import MuseTable, TableFormat, write_table
from core.previews.cubeview import open_cube_view
from core.procedures.model import PlotFile, ProcedureInput
from core.procedures.run import make_plots
from core.recipes.results import WrittenProduct

FLUX = "10**(-20)*erg/s/cm**2/Angstrom"
PLANE = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 12.0, "CRPIX2": 10.0, "CRVAL1": 150.0, "CRVAL2": -30.0}
CD = {"CD1_1": -5.555e-5, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 5.555e-5}
WAVE = {"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRPIX3": 1.0, "CRVAL3": 5500.0, "CD3_3": 1.25}
ASTROMETRY = {"QC.ASTRO.SCALE.X": 0.2, "QC.ASTRO.SCALE.Y": 0.2, "QC.ASTRO.ANGLE.X": 0.01, "QC.ASTRO.ANGLE.Y": 0.02}


def table(path: Path, fmt: TableFormat, columns: Mapping[str, Any], cards: Mapping[str, Any] | None = None) -> Path:
    header = Header()
    for key, value in (cards or {}).items():
        set_key(header, key, value)
    return write_table(path, fmt, MuseTable(dict(columns), header))


def drawn(
    recipe: str, products: Path, folder: Path, references: tuple[WrittenProduct, ...] = ()
) -> dict[str, PlotFile]:
    """Pictures by name; none may be missing."""
    folder.mkdir(exist_ok=True)
    pictures = make_plots(ProcedureInput.of_run("a-block", recipe, (), products, references), folder)
    assert pictures.missing == ()
    assert all(Path(plot.path).stat().st_size > 8000 for plot in pictures.plots)
    return {plot.name: plot for plot in pictures.plots}


@pytest.fixture(scope="module")
def science(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube of sky of noise 2, of which 3 is left, with a star, and what was taken for sky."""
    folder, rng = tmp_path_factory.mktemp("science"), np.random.default_rng(1)
    data = rng.normal(3.0, 2.0, (160, 20, 24)).astype(np.float32)
    y, x = np.mgrid[1:21, 1:25]
    data += 500 * np.exp(-0.5 * ((x - 15) ** 2 + (y - 7) ** 2) / 1.7**2).astype(np.float32)
    cards = fits.Header({**PLANE, **CD, **WAVE, "BUNIT": FLUX})
    parts = [fits.ImageHDU(part, cards, name) for name, part in (("DATA", data), ("STAT", np.full_like(data, 4.0)))]
    primary = fits.PrimaryHDU()
    qc = {"NDET": 1, "LAMBDA": 5600.0, "POS1 X": 15.0, "POS1 Y": 7.0, "FWHM1 X": 0.8, "FWHM1 Y": 0.82}
    for prefix in ("SCIPOST", "EXPCOMB"):
        for name, value in qc.items():
            primary.header[f"HIERARCH ESO QC {prefix} {name}"] = value
    fits.HDUList([primary, *parts]).writeto(folder / "DATACUBE_FINAL.fits")
    image = fits.Header({**PLANE, **CD, "BUNIT": FLUX})
    for number, name in enumerate(("white", "Johnson_V"), start=1):
        hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data.mean(axis=0), image, "DATA")])
        hdus[0].header["HIERARCH ESO DRS MUSE FILTER NAME"] = name
        hdus.writeto(folder / f"IMAGE_FOV_{number:04d}.fits")
    for tag, what in (("SKY_IMAGE", data.mean(axis=0)), ("SKY_MASK", (x < 9).astype(np.int32))):
        fits.PrimaryHDU(what, image).writeto(folder / f"{tag}_0001.fits")
    wave = np.arange(5500.0, 5700.0, 0.3125)
    line = 5000 * np.exp(-0.5 * ((wave - 5577.3) / 1.1) ** 2)
    spectrum = {"lambda": wave, "data": 80 + line, "stat": np.ones(wave.size), "dq": np.zeros(wave.size, int)}
    table(folder / "SKY_SPECTRUM_0001.fits", formats.SKY_SPECTRUM, spectrum)
    table(folder / "SKY_CONTINUUM_0001.fits", formats.SKY_CONTINUUM, {"lambda": wave, "flux": np.full(wave.size, 80.0)})
    lines = {"name": np.array(["[OI]5577"]), "group": [1], "lambda": [5577.3], "flux": [14000.0], "dq": [0]}
    table(folder / "SKY_LINES_0001.fits", formats.SKY_LINES, {name: np.array(cells) for name, cells in lines.items()})
    return folder


def test_a_science_block_shows_its_cube_what_is_left_of_the_sky_and_the_sky(science: Path, tmp_path: Path) -> None:
    before = WrittenProduct("SKY_SPECTRUM", science / "SKY_SPECTRUM_0001.fits", None)
    plots = drawn("muse_scipost", science, tmp_path / "plots", (before,))
    assert list(plots) == ["DATACUBE_FINAL-view", "cube0", "cube1", "cube2", "sky0", "sky1"]
    assert [plot.view_of for plot in plots.values()] == ["DATACUBE_FINAL.fits", *5 * [""]]  # and no picture
    star = open_cube_view(plots["DATACUBE_FINAL-view"].path).spectrum(15, 7)
    assert np.median(star.values) == pytest.approx(503, abs=1)
    assert plots["cube0"].caption.startswith("1 source found")
    found = re.search(r"Median \+([\d.]+) 10⁻²⁰ erg/s/cm²/Å, scatter over noise ([\d.]+)", plots["cube2"].caption)
    assert found is not None
    assert float(found[1]) == pytest.approx(3.0, abs=0.3)
    assert float(found[2]) == pytest.approx(1.0, abs=0.1)
    assert "orange is sky, 33.3 % of the spaxels" in plots["sky0"].caption
    assert "Grey is the sky before" in plots["sky1"].caption


def test_a_combined_cube_without_sources_still_has_its_view_and_picture(tmp_path: Path) -> None:
    cards, data = fits.Header({**PLANE, **CD, **WAVE, "BUNIT": FLUX}), np.ones((9, 4, 5), np.float32)
    parts = [fits.ImageHDU(data, cards, name) for name in ("DATA", "STAT")]
    fits.HDUList([fits.PrimaryHDU(), *parts]).writeto(tmp_path / "DATACUBE_FINAL.fits")
    plots = drawn("muse_exp_combine", tmp_path, tmp_path / "plots")
    assert list(plots) == ["DATACUBE_FINAL-view", "cube0"]
    assert plots["cube0"].caption.startswith("No sources found")


def test_exposures_of_the_sky_show_where_and_what_it_is(science: Path, tmp_path: Path) -> None:
    for name in ("SKY_IMAGE", "SKY_MASK", "SKY_SPECTRUM"):
        (tmp_path / f"{name}.fits").symlink_to(science / f"{name}_0001.fits")
    plots = drawn("muse_create_sky", tmp_path, tmp_path / "plots")
    assert list(plots) == ["sky0", "sky1"]
    assert "No lines were fitted" in plots["sky1"].caption


def response(folder: Path, throughput: float) -> Path:
    wave, thru = np.arange(4750.0, 9350.0, 20.0), {f"QC.STANDARD.THRU{w}": throughput for w in (5000, 7000)}
    columns = {"lambda": wave, "response": 41 - ((wave - 7000) / 4000) ** 2, "resperr": np.full(wave.size, 0.01)}
    columns |= {"response_unsmoothed": columns["response"] + 0.01, "resperr_unsmoothed": columns["resperr"]}
    columns["throughput"] = np.full(wave.size, throughput)
    table(folder / "STD_TELLURIC_0001.fits", formats.STD_TELLURIC,
          {"lambda": wave[120:160], "ftelluric": np.full(40, 0.8), "ftellerr": np.full(40, 0.01)})  # fmt: skip
    cards = {"QC.STANDARD.STARNAME": "GD71", **thru}
    return table(folder / "STD_RESPONSE_0001.fits", formats.STD_RESPONSE, columns, cards)


def test_a_standard_star_is_compared_with_the_one_before(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    before = WrittenProduct("STD_RESPONSE", response(old, 0.20), None)
    response(new, 0.21)
    plots = drawn("muse_standard", new, tmp_path / "plots", (before,))
    assert list(plots) == ["std0"]
    assert "21.0 % at 5000 Å, 21.0 % at 7000 Å" in plots["std0"].caption
    assert "since then +5.0 %, +5.0 %" in plots["std0"].caption
    assert "no earlier one" in drawn("muse_standard", old, tmp_path / "others")["std0"].caption


def test_an_astrometric_field_shows_its_stars_scale_and_rotation(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.uniform(-100, 100, (2, 30))
    ra, dec = 150 - 5.555e-5 * x / np.cos(np.radians(-30)), -30 + 5.555e-5 * y  # near enough on 200 pixels
    x[3] += 5.0  # 1 arcsec
    ra[7] = dec[7] = np.nan
    columns = {"XPOS": x + 150, "YPOS": y + 150, "RA": ra, "DEC": dec}
    columns |= {name: np.ones(30) for name in ("XERR", "YERR", "FLUX", "XFWHM", "YFWHM")}
    cards = {**PLANE, **CD, **ASTROMETRY, "QC.ASTRO.MEDRES.X": 0.002, "QC.ASTRO.MEDRES.Y": 0.002}
    path = table(tmp_path / "ASTROMETRY_WCS_0001.fits", formats.ASTROMETRY_SOURCES, columns, cards)
    before = WrittenProduct("ASTROMETRY_WCS", path, None)
    plot = drawn("muse_astrometry", tmp_path, tmp_path / "plots", (before,))["astro0"]
    assert plot.caption.startswith("29 of 30 stars identified, scale 0.20000 × 0.20000 arcsec, rotation +0.0100°")
    assert "scale +0.000 %, rotation +0.0000°" in plot.caption
    assert "1 star lies farther out" in plot.caption


def offsets(folder: Path, shifts: list[float], matches: list[int]) -> None:
    """Exposures of ten stars, each moved by so many arcseconds."""
    rng = np.random.default_rng(3)
    ra, dec = 150 + rng.uniform(-0.008, 0.008, 10), -30 + rng.uniform(-0.008, 0.008, 10)
    for number, shift in enumerate(shifts, start=1):
        places = {"RA": ra, "DEC": dec, "RA_CORR": ra, "DEC_CORR": dec + shift / 3600}
        columns = {"Id": np.arange(10), "X": np.ones(10), "Y": np.ones(10), **places}
        table(folder / f"SOURCE_LIST_{number:04d}.fits", formats.SOURCE_LIST, columns)
    n = len(shifts)
    cards = {f"QC.EXPALIGN.NDET{k + 1}": 10 for k in range(n)}
    cards |= {f"QC.EXPALIGN.NMATCH{k + 1}": count for k, count in enumerate(matches)}
    columns = {"DATE_OBS": np.full(n, "2026-11-19"), "MJD_OBS": np.arange(n), "RA_OFFSET": np.arange(n) / 3600}
    columns |= {"DEC_OFFSET": np.zeros(n), "FLUX_SCALE": np.ones(n)}
    table(folder / "OFFSET_LIST.fits", formats.OFFSET_LIST, columns, cards)


def test_exposures_show_their_offsets_and_whether_they_fit(science: Path, tmp_path: Path) -> None:
    offsets(tmp_path, [0.0, 0.0, 0.6], [10, 10, 0])
    (tmp_path / "PREVIEW_FOV.fits").symlink_to(science / "IMAGE_FOV_0001.fits")
    plots = drawn("muse_exp_align", tmp_path, tmp_path / "plots")
    assert list(plots) == ["align0", "align1"]
    text = plots["align0"].caption
    assert "10 of 10, 10 of 10, 0 of 10" in text
    assert "lies 400 mas off, more than the 200 mas" in text  # the mean of all three is 0.2 arcsec away
    assert "Without a source in common: 3" in text


def written_headers(folder: Path, tag: str, cards: Mapping[str, float]) -> list[WrittenProduct]:
    """Headers of IFUs 3 and 4."""
    folder.mkdir()
    made = []
    for ifu in (3, 4):
        hdu = fits.PrimaryHDU()
        for name, value in cards.items():
            hdu.header[f"HIERARCH ESO QC {name}"] = value
        path = folder / f"{tag}-{ifu:02d}.fits"
        hdu.writeto(path)
        made.append(WrittenProduct(tag, path, ifu))
    return made


def test_photodiodes_and_gains_are_shown_by_ifu(tmp_path: Path) -> None:
    slices = {f"AMPL SLICE{n} THRU2": 20.0 + n / 48 for n in range(1, 49)}
    thru = {"AMPL THRU1": 31.0, "AMPL THRU2": 30.0, "AMPL THRU2ERR": 1.5, **slices}
    written_headers(tmp_path / "ampl", "AMPL_CONVOLVED", thru)
    plots = drawn("muse_ampl", tmp_path / "ampl", tmp_path / "plots")
    assert list(plots) == ["ampl0", "ampl1"]
    gains = {f"LINGAIN OUT{n} {key}": 1.1 for n in range(1, 5) for key in ("GAIN", "GAINERR", "RON", "RONERR")}
    before = written_headers(tmp_path / "gain", "NONLINEARITY_GAIN", gains)
    plots = drawn("muse_lingain", tmp_path / "gain", tmp_path / "plots", tuple(before))
    assert list(plots) == ["gain0"]
    assert "Grey bars are those before" in plots["gain0"].caption
