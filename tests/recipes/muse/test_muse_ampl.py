"""muse_ampl on deterministic frames: values printed here are those of the reference pipeline on the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from core.ccd.trace_model import Trace
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.tables import (
    GEOMETRY_TABLE,
    MuseTable,
    read_table,
    trace_table_format,
    wavecal_table_format,
    write_table,
)
from core.recipes.engine import run_recipe
from core.recipes.frames import Frame, FrameSet
from core.recipes.registry import get_recipe
from core.spatial.geometry import Geometry
from core.spectral.photodiode import sensitivities

FILTERS = {
    "Trap_F": ((5500, 5600, 6000, 6200), (0, 0.8, 0.6, 0)),
    "Box": ((5999.99, 6000, 7000, 7000.01), (0, 1, 1, 0)),
    "Far": ((9800, 9900), (1, 1)),
}


def table_header(tag):
    header = Header()
    header["INSTRUME"] = "MUSE"
    set_key(header, "PRO.CATG", tag)
    return header


@pytest.fixture(scope="module")
def calibrations(reference_biases, tmp_path_factory):
    """Maker, and master bias, trace, wavelengths 4800 + 5 y + 0.5 x, and filters."""
    maker, biases = reference_biases
    folder = tmp_path_factory.mktemp("throughput")
    recipe = get_recipe("muse_bias")
    run_recipe(
        recipe, FrameSet(tuple(Frame(path, "BIAS") for path in biases)), recipe.Params.parse({"nifu": 1}), folder
    )
    left, width = np.zeros((48, 2)), np.array([9.25, 0.0])
    left[:, 0] = 30 + 12.25 * np.arange(48)
    trace = Trace.from_polynomials(range(1, 49), left + width / 2, left, left + width)
    write_table(
        folder / "TRACE_TABLE-01.fits",
        trace_table_format(1),
        MuseTable(trace.columns(), table_header("TRACE_TABLE")),
        1,
    )
    wave = {"SliceNo": np.arange(1, 49, dtype=np.int32)}
    for i in range(2):
        for j in range(2):
            wave[f"wlc{i}{j}"] = np.full(48, ((4800.0, 5.0), (0.5, 0.0))[i][j])
    wave["MSE"] = np.zeros(48)
    write_table(
        folder / "WAVECAL_TABLE-01.fits",
        wavecal_table_format(1, 1),
        MuseTable(wave, table_header("WAVECAL_TABLE")),
        1,
    )
    hdus = fits.HDUList([fits.PrimaryHDU()])
    for name, (waves, values) in FILTERS.items():
        columns = [
            fits.Column("lambda", "D", array=waves, unit="Angstrom"),
            fits.Column("throughput", "D", array=values),
        ]
        hdus.append(fits.BinTableHDU.from_columns(columns, name=name))
        hdus[-1].header["EXTNAME"] = name
    hdus.writeto(folder / "FILTER_LIST.fits")
    tags = ("MASTER_BIAS-01", "TRACE_TABLE-01", "WAVECAL_TABLE-01", "FILTER_LIST")
    return maker, [(folder / f"{name}.fits", name.removesuffix("-01")) for name in tags]


@pytest.fixture(scope="module")
def flats(calibrations):
    """Writes three flats of 2000 adu in 10 s, or of other exposure times."""
    maker = calibrations[0]
    count = iter(range(100))

    def write(exptimes=(10.0, 10.0, 10.0), current=5e-9, comment="[mA] current", name="Trap_F", **changes):
        number = next(count)
        paths = []
        for k, exptime in zip((61, 62, 63), exptimes, strict=True):
            extra = 200 * exptime + maker.column_pattern()
            path = maker.write(f"ampl{number}_{k}.fits", k, exptime, extra, **{"TEL_FOCU_SCALE": 1.705, **changes})
            with fits.open(path, mode="update") as hdus:
                hdus[0].header["HIERARCH ESO INS AMPL1 CURR"] = (current, comment)
                hdus[0].header["HIERARCH ESO INS AMPL2 CURR"] = (4e-9, comment)
                hdus[0].header["HIERARCH ESO INS AMPL2 FILTER"] = name
            paths.append((path, "AMPL"))
        return paths

    return write


def geometry_table(path):
    number = np.repeat(np.arange(24), 48)
    sky = np.tile(np.arange(48), 24)
    zero = np.zeros(number.size)
    geometry = Geometry(
        ifu=(number + 1).astype(np.int32),
        slice_ccd=(sky + 1).astype(np.int32),
        slice_sky=(sky + 1).astype(np.int32),
        x=zero,
        x_error=zero,
        y=(12 * number + sky % 12 + 1 - 143) * 1.04167,
        y_error=zero,
        angle=zero,
        angle_error=zero,
        width=zero + 75.3,
        width_error=zero,
    )
    return write_table(path, GEOMETRY_TABLE, MuseTable(geometry.columns(), table_header("GEOMETRY_TABLE")))


def qc(path, *names):
    header = fits.getheader(path)
    return [header[f"ESO QC AMPL {name}"] for name in names]


ALL = (
    "PHOTONS",
    "POWER",
    "THRU1",
    "THRU2",
    "THRU2ERR",
    "SLICE1 THRU2",
    "SLICE24 THRU2",
    "SLICE25 THRU2",
    "SLICE48 THRU2",
)
CASE_A = (7.27925e7, 2.490545e-12, 29.05269, 35.62929, 1.816745, 35.7134, 36.06916, 39.28058, 39.28503)


def test_throughput_equals_the_reference(calibrations, flats, run_one, tmp_path):
    frames = [*flats(), *calibrations[1]]
    made = run_one("muse_ampl", frames, savemaster=True, savetable=True)
    assert qc(made["AMPL_CONVOLVED"], *ALL) == pytest.approx(CASE_A, rel=1e-5)
    assert qc(made["AMPL_CONVOLVED"], "INPUT3 NSATURATED", "MASTER NSATURATED") == [0, 0]
    with fits.open(made["AMPL_CONVOLVED"]) as hdus:
        assert [(hdu.name, hdu.header.get("BUNIT")) for hdu in hdus[1:]] == [("PHOTONS", "ph"), ("ENERGY", "J")]
        photons, energy = hdus[1].data, hdus[2].data
        assert (photons[159, 30], energy[159, 30]) == pytest.approx((1586.5931, 5.6124673e-16), rel=1e-5)
        assert (photons[200, 49], energy[200, 49]) == pytest.approx((1365.1462, 4.6514385e-16), rel=1e-5)
        assert photons[199, 39] == 0
        assert np.count_nonzero(photons) == 63794
    with fits.open(made["TABLE_AMPL"]) as hdus:
        rows = hdus[1].data
        assert not [key for key in hdus[0].header if "OVSC" in key]
        assert hdus[1].columns.units == ["pix", "pix", "Angstrom", "ph", "", "J", ""]
        assert len(rows) == 63794
        assert rows["data"].sum(dtype=float) == pytest.approx(photons.sum(dtype=float))
        assert np.all(rows["ypos"] == 0)
        assert 8192 in rows["dq"]
    assert qc(made["TABLE_AMPL"], *ALL) == pytest.approx(CASE_A, rel=1e-5)
    assert fits.getdata(made["MASTER_AMPL"], "DATA")[159, 30] == pytest.approx(2002.642, rel=1e-6)
    geometry = geometry_table(tmp_path / "GEOMETRY_TABLE.fits")
    assert len(read_table(geometry, GEOMETRY_TABLE)["SubField"]) == 1152
    made = run_one("muse_ampl", [*frames, (geometry, "GEOMETRY_TABLE")])
    expected = (*CASE_A[:2], 27.77938, 34.06774, 1.737121)
    assert qc(made["AMPL_CONVOLVED"], *ALL[:5]) == pytest.approx(expected, rel=1e-5)
    hotter = run_one("muse_ampl", frames, temp=2500.0)
    assert qc(hotter["AMPL_CONVOLVED"], *ALL[2:5]) == pytest.approx((29.001, 35.464, 1.808), abs=6e-4)
    straight = run_one("muse_ampl", frames, fbeam=1.0)
    assert qc(straight["AMPL_CONVOLVED"], *ALL[2:5]) == pytest.approx((29.053, 39.192, 1.998), abs=6e-4)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"INS_MODE": "NFM-AO-N"}, (7.27925e7, 2.490545e-12, 1831.429, 2246.006, 114.5243, 2251.308)),
        ({"name": "Box"}, (1.947014e8, 5.955942e-12, 78.53967, 110.3509, 5.626814, 114.5209)),
        ({"exptimes": (10.0, 20.0, 5.0)}, (7.27929e7, 2.490558e-12, 29.05285, 35.6295, 1.816755)),
    ],
)
def test_modes_filters_and_exposure_times(calibrations, flats, run_one, changes, expected):
    made = run_one("muse_ampl", [*flats(**changes), *calibrations[1]])
    assert qc(made["AMPL_CONVOLVED"], *ALL[: len(expected)]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"comment": "[A] current"}, "must be in mA"),
        ({"name": "None"}, "there is no filter None"),
        ({"name": "trap_f"}, "there is no filter trap_f"),
        ({"name": "Far"}, "no light goes through the filter"),
    ],
)
def test_what_tells_nothing_is_refused(calibrations, flats, run_one, changes, text):
    with pytest.raises(AssertionError, match=text):
        run_one("muse_ampl", [*flats(**changes), *calibrations[1]])


def test_sensitivities_lie_between_those_of_the_table():
    assert sensitivities(5797.9039) == pytest.approx((0.30095706, 0.32479401), rel=1e-7)
    assert sensitivities(3000.0)[1] == 0
