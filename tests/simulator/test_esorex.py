"""The reference pipeline digests simulated frames and finds their truth."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.fitsfile.header import Header
from core.formats.tables import GEOMETRY_TABLE, MuseTable, write_table
from core.simulator import (
    MaskCheckScene,
    NightPlan,
    OnSkyScene,
    SkyPlan,
    scenes_of_night,
    simulate_night,
    truth_for,
)
from core.staticcal import write_line_catalog

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.esorex,
    pytest.mark.skipif(shutil.which("esorex") is None, reason="esorex is not installed"),
]

IFU = 1
# Five flats: the blue ends of slices are so faint that a cosmic ray in a gap, which three cannot tell, bends a trace.
PLAN = NightPlan(5, 3, 5, 1, 1, n_mask_check=1, dark_exptime=600.0, sky=SkyPlan(n_object=1, object_exptime=300.0))
SLICES = range(1, 49)


def _run(recipe: str, folder: Path, frames: Iterable[tuple[Path, str]], *options: str) -> None:
    folder.mkdir()
    sof = folder / f"{recipe}.sof"
    sof.write_text("".join(f"{path} {tag}\n" for path, tag in frames))
    command = ["esorex", f"--log-dir={folder}", recipe, f"--nifu={IFU}", *options, str(sof)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> Iterable[Path]:
    """Products of bias, dark, flat, arc and science recipes on a full-size night of one IFU."""
    root = tmp_path_factory.mktemp("reference")
    night = simulate_night(root / "raw", "2026-03-14", (IFU,), PLAN)
    by_type: dict[str, list[Path]] = {}
    for path in night:
        by_type.setdefault(fits.getheader(path)["ESO DPR TYPE"], []).append(path)
    _run("muse_bias", root / "bias", [(path, "BIAS") for path in by_type["BIAS"]])
    bias = (root / "bias" / f"MASTER_BIAS-{IFU:02d}.fits", "MASTER_BIAS")
    _run("muse_dark", root / "dark", [*((path, "DARK") for path in by_type["DARK"]), bias])
    _run("muse_flat", root / "flat", [*((path, "FLAT") for path in by_type["FLAT,LAMP"]), bias])
    trace = (root / "flat" / f"TRACE_TABLE-{IFU:02d}.fits", "TRACE_TABLE")
    lines = (root / "line_catalog.fits", "LINE_CATALOG")
    write_line_catalog(lines[0])
    _run("muse_wavecal", root / "wave", [*((path, "ARC") for path in by_type["WAVE"]), bias, trace, lines])
    geometry = write_table(root / "geometry.fits", GEOMETRY_TABLE, MuseTable(truth_for(IFU).geometry.table(), Header()))
    calibrations = [
        bias,
        trace,
        (root / "flat" / f"MASTER_FLAT-{IFU:02d}.fits", "MASTER_FLAT"),
        (root / "wave" / f"WAVECAL_TABLE-{IFU:02d}.fits", "WAVECAL_TABLE"),
        (geometry, "GEOMETRY_TABLE"),
    ]
    illum = [(path, "ILLUM") for path in by_type["FLAT,LAMP,ILLUM"]]
    sky = [(path, "OBJECT") for path in by_type["OBJECT"]]
    _run("muse_scibasic", root / "object", [*sky, *illum, *calibrations], "--saveimage=false")
    check = [(path, "OBJECT") for path in by_type["FLAT,LAMP,MASK"]]
    _run("muse_scibasic", root / "check", [*check, *calibrations], "--saveimage=false", "--skylines=none")
    yield root
    shutil.rmtree(root / "raw")


def _header(products: Path, name: str) -> fits.Header:
    return fits.getheader(products / f"{name}-{IFU:02d}.fits")


def test_bias_has_the_noise_of_the_truth(products: Path) -> None:
    header = _header(products, "bias/MASTER_BIAS")
    truth = truth_for(IFU)
    for port in range(1, 5):
        # digitisation: + 1/12 adu^2; night-to-night changes: 1 %; the estimate itself: 0.5 %
        adu = truth.ron[port - 1] / truth.gain[port - 1]
        expected = truth.gain[port - 1] * np.sqrt(adu**2 + 1 / 12)
        assert header[f"ESO QC BIAS MASTER{port} RON"] == pytest.approx(expected, rel=0.04)
        assert abs(header[f"ESO QC BIAS MASTER{port} MEDIAN"]) < 0.15
        assert 1195 < header[f"ESO QC BIAS LEVEL{port} MEDIAN"] < 1208
        assert header[f"ESO DRS MUSE OVSC{port} POLY NCOEFF"] > 2


def test_dark_current_is_that_of_the_truth(products: Path) -> None:
    header = _header(products, "dark/MASTER_DARK")
    assert header["ESO QC DARK MASTER MEDIAN"] == pytest.approx(np.median(truth_for(IFU).dark_rate()), abs=0.3)


def test_flat_has_the_flux_of_real_ones(products: Path) -> None:
    header = _header(products, "flat/MASTER_FLAT")
    assert 23000 < header["ESO QC FLAT INPUT1 MEDIAN"] < 28500
    assert 3.8e11 < header["ESO QC FLAT MASTER INTFLUX"] < 4.5e11
    means = [header[f"ESO QC FLAT MASTER SLICE{s} MEAN"] for s in SLICES]
    assert min(means) > 28000
    assert max(means) < 56000


def test_all_slices_are_traced_to_their_truth(products: Path) -> None:
    table = fits.getdata(products / f"flat/TRACE_TABLE-{IFU:02d}.fits", 1)
    truth = truth_for(IFU)
    assert list(table["SliceNo"]) == list(SLICES)
    y = np.arange(1.0, 4113.0, 16.0)
    for line, true, limit in ((0, truth.trace_center, 0.01), (1, truth.trace_left, 0.02), (2, truth.trace_right, 0.02)):
        rms = []
        for row, s in enumerate(SLICES):
            fitted = np.polynomial.polynomial.polyval(y, [table[f"tc{line}_{k:02d}"][row] for k in range(6)])
            rms.append(np.sqrt(np.mean((fitted - true(s, y)) ** 2)))
        assert max(rms) < limit


def test_arc_lines_are_found_and_fitted_in_all_slices(products: Path) -> None:
    header = _header(products, "wave/WAVECAL_TABLE")

    def qc(name: str) -> np.ndarray:
        return np.array([header[f"ESO QC WAVECAL SLICE{s} {name}"] for s in SLICES])

    assert qc("FIT RMS").max() < 0.05
    # ranges of real arcs, see the QC1 database of June 2017
    assert 106 <= np.median(qc("LINES NDET")) <= 149
    assert 90 <= np.median(qc("LINES NID")) <= 115
    assert qc("FIT NLINES").min() >= 64
    assert 3500 < np.median(qc("LINES PEAK MEAN")) < 7000
    assert 45000 < np.median(qc("LINES PEAK MAX")) < 70000
    assert 2.1 < np.median(qc("LINES FWHM MEAN")) < 2.6
    assert qc("WLEN").min() > 6800
    assert qc("WLEN").max() < 7205
    assert np.abs(qc("DWLEN BOTTOM")).max() < 5.9
    assert np.abs(qc("DWLEN TOP")).max() < 4.0


def test_wavelengths_are_those_of_the_truth(products: Path) -> None:
    table = fits.getdata(products / f"wave/WAVECAL_TABLE-{IFU:02d}.fits", 1)
    truth = truth_for(IFU)
    rms = []
    for row, s in enumerate(SLICES):
        coefficients = np.array([[table[f"wlc{i}{j}"][row] for j in range(7)] for i in range(3)])
        x, y = np.meshgrid(
            np.linspace(truth.trace_left(s, 2056.0) + 4, truth.trace_right(s, 2056.0) - 4, 15),
            np.arange(100.0, 4000.0, 20.0),
        )
        wave = truth.wavelength(s, x, y)
        covered = (wave > 4800.0) & (wave < 9320.0)  # between the first and the last line
        deviation = np.polynomial.polynomial.polyval2d(x, y, coefficients) - wave
        rms.append(np.sqrt(np.mean(deviation[covered] ** 2)))
    # one frame per lamp: photon noise and cosmic rays, no combination
    assert np.median(rms) < 0.003
    assert max(rms) < 0.012


def test_pixels_of_an_object_lie_where_the_truth_has_them(products: Path) -> None:
    (scene,) = (scene for scene in scenes_of_night(date(2026, 3, 14), PLAN).values() if isinstance(scene, OnSkyScene))
    truth = truth_for(IFU)
    with fits.open(products / "object" / f"PIXTABLE_OBJECT_0001-{IFU:02d}.fits") as table:
        header = table[0].header
        columns = {name: table[name].data.ravel() for name in ("xpos", "ypos", "lambda", "origin")}
    # two night-sky lines, found to 0.004 Angstrom each
    shift = header["ESO QC SCIBASIC LAMBDA SHIFT"]
    assert shift == pytest.approx(-scene.flexure, abs=0.012)
    row = 2000
    seen = (columns["origin"] >> 11) & 8191 == row
    for slice_no in (1, 20, 48):
        window = seen & ((columns["origin"] & 63) == slice_no)
        offset = header[f"ESO DRS MUSE PIXTABLE EXP0 IFU{IFU:02d} SLICE{slice_no:02d} XOFFSET"]
        x = ((columns["origin"][window] >> 24) & 127) + float(offset)
        assert len(x) > 72
        field_x, field_y = truth.position(slice_no, x, float(row))
        np.testing.assert_allclose(columns["xpos"][window], field_x, atol=0.02)
        np.testing.assert_allclose(columns["ypos"][window], field_y, atol=2e-3)
        wave = truth.wavelength(slice_no, x, float(row))
        np.testing.assert_allclose(columns["lambda"][window] - shift, wave, atol=0.02)


def test_slices_of_an_illumination_flat_follow_the_temperature(products: Path) -> None:
    (scene,) = (scene for scene in scenes_of_night(date(2026, 3, 14), PLAN).values() if isinstance(scene, OnSkyScene))
    header = fits.getheader(products / "object" / f"PIXTABLE_OBJECT_0001-{IFU:02d}.fits")
    factors = np.array([header[f"ESO DRS MUSE PIXTABLE ILLUM{s}"] for s in SLICES])
    truth = 1.0 / truth_for(IFU).geometry.illumination(IFU, scene.pointing.ambient.temperature)
    # traces and flats differ by 0.1 % from slice to slice
    np.testing.assert_allclose(factors, truth / truth.mean(), rtol=6e-3)
    assert np.corrcoef(factors, truth)[0, 1] > 0.95


def test_mask_of_the_check_is_seen_through_the_geometry(products: Path) -> None:
    """Flat-fielded continuum lamps leave the pattern of the mask."""
    with fits.open(products / "check" / f"PIXTABLE_OBJECT_0001-{IFU:02d}.fits") as table:
        columns = {name: table[name].data.ravel()[::97] for name in ("xpos", "ypos", "lambda", "data", "dq")}
    good = (columns["dq"] == 0) & (columns["lambda"] > 6000) & (columns["lambda"] < 8000)
    pattern = MaskCheckScene.pattern(columns["xpos"][good].astype(float), columns["ypos"][good].astype(float))
    ratio = columns["data"][good] / pattern
    assert np.std(pattern) / np.mean(pattern) > 0.2
    # photon noise of 25000 electrons
    assert 1.4826 * np.median(np.abs(ratio / np.median(ratio) - 1.0)) < 0.01
    assert np.corrcoef(columns["data"][good], pattern)[0, 1] > 0.998
