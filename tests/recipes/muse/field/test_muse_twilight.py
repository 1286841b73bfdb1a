"""muse_twilight on a small field: raw exposures of the twilight sky become its cube and the flat field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from core.errors import MissingInputError, ParameterError
from core.recipes.muse.twilight_field import field_scales
from core.recipes.registry import get_recipe
from core.recipes.results import RunResult

PRODUCTS = ["DATACUBE_SKYFLAT.fits", "TWILIGHT_CUBE.fits"]
FLUX = "ESO DRS MUSE FLAT FLUX SKY"
INNER = np.s_[:, 4:-4, 5:-5]


def names(folder: Path) -> list[str]:
    """Files of a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def truth_of(field: Any, header: fits.Header, shape: tuple[int, int, int]) -> np.ndarray:
    """The sky at the voxels of a cube."""
    z, y, x = (
        header[f"CRVAL{axis}"] + header[f"CD{axis}_{axis}"] * np.arange(shape[3 - axis], dtype=float)
        for axis in (3, 2, 1)
    )
    return np.asarray(field.twilight(x[None, None, :], y[None, :, None], z[:, None, None]))


def test_products_are_a_cube_and_a_flat_field_and_nothing_else_is_left(made: RunResult) -> None:
    cube, flat = (product.path for product in made.products)
    assert names(cube.parent) == PRODUCTS
    with fits.open(cube, checksum=True) as hdus:
        assert [hdu.header.get("EXTNAME") for hdu in hdus] == [None, "DATA", "STAT", "white"]
        assert hdus[0].header["ESO PRO CATG"] == "DATACUBE_SKYFLAT"
        white = np.nanmean(hdus["DATA"].data.astype(float), axis=0)
        np.testing.assert_allclose(hdus["white"].data, white, rtol=1e-6)
    with fits.open(flat, checksum=True) as hdus:
        assert [hdu.header.get("EXTNAME") for hdu in hdus[1:]] == [
            "DATA", "white_global_fit", "white_div_global", "white_div_global_DQ",
        ]  # fmt: skip
        assert hdus[0].header["ESO PRO CATG"] == "TWILIGHT_CUBE"
        assert not any(key.startswith("ESO QC") for key in hdus[0].header)
        assert hdus["DATA"].header["BUNIT"] == "count"


def test_the_sky_is_found_again(made: RunResult, field: Any) -> None:
    cube, flat = (product.path for product in made.products)
    header, data = fits.getheader(cube, 1), fits.getdata(cube, 1)
    sky = truth_of(field, header, data.shape)
    assert data.shape[0] == 17
    assert header["CD3_3"] == 250
    ratio = data / sky
    np.testing.assert_allclose(ratio[INNER], np.nanmedian(ratio), rtol=0.02)
    smooth = fits.getdata(flat, 1)
    for plane, expected in zip(smooth, sky, strict=True):
        quotient = plane / expected
        np.testing.assert_allclose(quotient, np.median(quotient), rtol=6e-3)


def test_fluxes_are_those_of_the_ifus(made: RunResult, field: Any) -> None:
    for product in made.products:
        header = fits.getheader(product.path)
        fluxes = {ifu: header[f"{FLUX}{ifu}"] for ifu in field.ifus}
        assert f"{FLUX}4" not in header
        for ifu, flux in fluxes.items():
            assert flux / fluxes[1] == pytest.approx(field.throughput[ifu] / field.throughput[1], rel=1e-3)


def test_quality_is_told_of_each_ifu(made: RunResult, field: Any) -> None:
    header = fits.getheader(made.products[0].path)
    declared = {spec.keyword for spec in get_recipe("muse_twilight").qc}
    assert len(declared) == 13
    for ifu in field.ifus:
        found = [key for key in header if key.startswith(f"ESO QC TWILIGHT{ifu} ")]
        assert len(found) == 3 * 6 + 6 + 1
        assert header[f"ESO QC TWILIGHT{ifu} INTFLUX"] == pytest.approx(header[f"{FLUX}{ifu}"], rel=1e-6)
        assert header[f"ESO QC TWILIGHT{ifu} INPUT2 NSATURATED"] == 0
        assert header[f"ESO QC TWILIGHT{ifu} MASTER MAX"] > header[f"ESO QC TWILIGHT{ifu} MASTER MEDIAN"]


def test_the_illumination_of_the_slices_is_taken_out(made: RunResult, field: Any, tmp_path: Path) -> None:
    result = field.run(field.pairs(illum=False), tmp_path)
    scatter = [np.nanstd(fits.getdata(run.products[1].path, "white_div_global")[4:-4, 5:-5]) for run in (made, result)]
    assert scatter[0] < 0.01
    assert scatter[1] > 4 * scatter[0]
    header = fits.getheader(made.products[0].path)
    assert "ILLUM" in [header.get(f"ESO PRO REC1 RAW{n} CATG") for n in range(1, 6)]


def test_bad_pixels_do_not_change_the_flux(made: RunResult, field: Any, tmp_path: Path) -> None:
    # the flat is wrong by a factor of 5 in 240 pixels, which are flagged: 5e-4 of the flux
    pairs = []
    for path, tag in field.pairs():
        if tag == "MASTER_FLAT":
            with fits.open(path) as hdus:
                hdus["DATA"].data[:] = 1
                hdus["DQ"].data[:] = 0
                path = tmp_path / f"{path.parent.name}.fits"
                hdus.writeto(path)
        pairs.append((path, tag))
    clean = field.run(pairs, tmp_path / "out")
    for ifu in field.ifus:
        with_bad, without = (fits.getheader(run.products[0].path)[f"{FLUX}{ifu}"] for run in (made, clean))
        assert with_bad == pytest.approx(without, rel=3e-5)


def test_without_the_first_ifu_the_next_is_the_reference(made: RunResult, field: Any, tmp_path: Path) -> None:
    pairs = [pair for pair in field.pairs() if "/ifu1/" not in str(pair[0])]
    result = field.run(pairs, tmp_path)
    assert [failure.part.number for failure in result.failures] == [1]
    header, whole = (fits.getheader(run.products[0].path) for run in (result, made))
    assert f"{FLUX}1" not in header
    assert header[f"{FLUX}2"] == whole[f"{FLUX}2"]
    assert names(tmp_path) == PRODUCTS
    ratio = np.nanmedian(fits.getdata(made.products[0].path, 1)[:, 12:]) / np.nanmedian(
        fits.getdata(result.products[0].path, 1)
    )
    assert ratio == pytest.approx(whole[f"{FLUX}1"] / whole[f"{FLUX}2"], rel=0.02)


def test_nothing_is_left_when_the_run_fails(field: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        assert names(tmp_path)  # the pixels are there by now
        raise MemoryError("too much")

    monkeypatch.setattr("core.recipes.muse.twilight_field.smooth_field", broken)
    monkeypatch.setattr("core.recipes.muse.twilight_field.remove_pixels", lambda folder: None)
    with pytest.raises(Exception, match="too much"):
        field.run(field.pairs(illum=False), tmp_path)
    assert names(tmp_path) == []


def test_memory_for_the_pixels_does_not_change_the_cube(
    made: RunResult, field: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.recipes.muse.twilight_field._BYTES", 4 << 20)
    result = field.run(field.pairs(), tmp_path)
    for mine, its in zip(result.products, made.products, strict=True):
        with fits.open(mine.path) as some, fits.open(its.path) as others:
            for one, other in zip(some[1:], others[1:], strict=True):
                np.testing.assert_array_equal(one.data, other.data, err_msg=one.name)


def test_a_cube_made_before_is_smoothed_again(
    made: RunResult, field: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cube, flat = (product.path for product in made.products)
    monkeypatch.setenv("MUSE_TWILIGHT_SKIP", str(cube))
    (again,) = field.run(field.pairs(), tmp_path).products
    for extension in (1, "white_global_fit", "white_div_global"):
        np.testing.assert_allclose(fits.getdata(again.path, extension), fits.getdata(flat, extension), rtol=1e-5)
    mine, its = fits.getheader(again.path, 1), fits.getheader(flat, 1)
    for key in ("CRVAL1", "CRPIX2", "CD3_3", "CTYPE3", "CUNIT1", "BUNIT"):
        assert mine[key] == its[key]
    assert fits.getheader(again.path)[f"{FLUX}3"] == fits.getheader(flat)[f"{FLUX}3"]
    monkeypatch.setenv("MUSE_TWILIGHT_SKIP", str(flat.with_name("none.fits")))
    with pytest.raises(Exception, match=r"none\.fits"):
        field.run(field.pairs(), tmp_path)


def test_fluxes_may_be_given(made: RunResult, field: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSE_TWILIGHT_SCALES", ",".join(["1", "0.9", "1.1", *["1"] * 21]))
    header, whole = (fits.getheader(run.products[0].path) for run in (field.run(field.pairs(), tmp_path), made))
    assert header[f"{FLUX}1"] == whole[f"{FLUX}1"]
    assert header[f"{FLUX}2"] == pytest.approx(0.9 * whole[f"{FLUX}1"])
    assert header[f"{FLUX}3"] == pytest.approx(1.1 * whole[f"{FLUX}1"])
    assert header["ESO QC TWILIGHT2 INTFLUX"] == whole["ESO QC TWILIGHT2 INTFLUX"]


@pytest.mark.parametrize("scales", ["1,2", "one", ",".join(["0"] * 24), ",".join(["inf"] * 24)])
def test_wrong_fluxes_are_refused(field: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scales: str) -> None:
    monkeypatch.setenv("MUSE_TWILIGHT_SCALES", scales)
    with pytest.raises(ParameterError, match="MUSE_TWILIGHT_SCALES"):
        field.run(field.pairs(), tmp_path)


def test_the_last_ifu_of_narrow_field_mode_is_as_bright_as_the_one_before() -> None:
    measured = {1: 10.0, 23: 8.0, 24: 2.0}
    assert field_scales(measured, narrow=True) == {1: 1.0, 23: 0.8, 24: 0.8}
    assert field_scales(measured, narrow=False) == {1: 1.0, 23: 0.8, 24: 0.2}
    assert field_scales({22: 4.0, 24: 2.0}, narrow=True) == {22: 1.0, 24: 0.5}


@pytest.mark.parametrize("method", ["polyfit", "gaussian", "median"])
def test_a_vignetting_mask_makes_a_corner_be_measured_apart(
    made: RunResult, field: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    mask = np.zeros((300, 300), np.uint8)
    mask[:12, 285:] = 1
    fits.writeto(tmp_path / "mask.fits", mask)
    monkeypatch.setenv("MUSE_TWILIGHT_SKIP", str(made.products[0].path))
    pairs = field.pairs((tmp_path / "mask.fits", "VIGNETTING_MASK"))
    (flat,) = field.run(pairs, tmp_path, vignsmooth=method).products
    with fits.open(flat.path) as hdus:
        assert [hdu.header.get("EXTNAME") for hdu in hdus[1:]] == [
            "DATA", "white_global_fit", "white_div_global", "white_div_global_DQ", "white_div_global_excl_edges",
            "white_div_global_excl_edges_DQ", "vign_fit", "vign_fit_DQ", "white_cor", "white_cor_DQ",
        ]  # fmt: skip
        factor = hdus["vign_fit"].data
        assert factor.max() < 1.02  # there is no vignetting
        assert factor.min() == 1
        np.testing.assert_array_equal(factor[15:], 1)
        for plane in hdus["DATA"].data:
            assert plane.mean(dtype=float) == pytest.approx(1, abs=1e-6)
    used = [value for key, value in fits.getheader(flat.path).items() if key.endswith(" CATG")]
    assert "VIGNETTING_MASK" in used


def test_other_exposures_make_another_cube(field: Any, tmp_path: Path) -> None:
    result = field.run(
        field.pairs(illum=False), tmp_path, lambdamin=6000, lambdamax=8000, dlambda=500, resample="nearest", crsigma=0
    )
    cube = fits.getdata(result.products[0].path, 1)
    assert cube.shape[0] == 5


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"lambdamin": 7000, "lambdamax": 6000}, "lambdamax=6000"),
        ({"vignsmooth": "median", "vignxpar": 4}, "vignxpar=4"),
        ({"vignsmooth": "gaussian", "vignypar": 0}, "vignypar=0"),
        ({"combine": "minmax", "nlow": 2, "nhigh": 2}, "nlow"),
    ],
)
def test_numbers_must_fit_each_other(field: Any, tmp_path: Path, values: dict[str, Any], told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        field.run(field.pairs(), tmp_path, **values)


def test_what_is_missing_is_named(field: Any, tmp_path: Path) -> None:
    pairs = field.pairs()
    for missing in ("MASTER_BIAS", "MASTER_FLAT", "TRACE_TABLE", "WAVECAL_TABLE", "GEOMETRY_TABLE", "SKYFLAT"):
        with pytest.raises(MissingInputError, match=missing):
            field.run([pair for pair in pairs if pair[1] != missing], tmp_path)
