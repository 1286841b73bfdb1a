"""Pixels become voxels: the reference case, and what must hold whatever the method."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from core.cubes.grid import Region, TablePositions
from core.cubes.rejection import Rejection
from core.cubes.resample import margin_of, resample
from core.cubes.wcs import CubeGrid, SpatialAxes, Steps, WaveAxis, output_grid
from core.cubes.weights import Resampling
from core.errors import DataError, ParameterError

METHODS = ("nearest", "linear", "quadratic", "renka", "drizzle", "lanczos")
MEANS = METHODS[1:]
PIXELS = TablePositions()
nan = float("nan")

# Eight pixels, and their cube as the reference pipeline 2.8.7 makes it (muse_scipost_make_cube without rejection):
# xpos, ypos, lambda, data, stat, dq.
ROWS = (
    (-1, 0, 5000, 1, 0.1, 0),
    (0, 0.1, 5000.4, 2, 0.2, 0),
    (1, -0.2, 5000.9, 3, 0.3, 0),
    (-1.2, 1, 5001.3, 4, 0.4, 0),
    (0.3, 1.1, 5000.2, 5, 0.5, 0),
    (0.9, 0.8, 5001, 6, 0.6, 0),
    (0.1, 0.6, 5000.7, 7, 0.7, 256),
    (-0.9, 0.4, 5001.1, 8, 0.8, 0),
)
DATA = {
    "drizzle": (
        1.06345, 1.83769, 2.74342, 1.67503, 3.99669, 5.11532,
        8.0, 4.01785, 2.96338, 5.37252, 6.14949, 5.93139,
        nan, nan, nan, nan, nan, nan,
    ),
    "nearest": (1, 2, nan, nan, nan, 5, nan, nan, 3, 4, nan, 6, nan, nan, nan, nan, nan, nan),
    "linear": (
        2.53764, 3.4769, 3.67901, 3.71685, 4.10961, 4.33328,
        4.3944, 4.0895, 3.59896, 4.50466, 4.47838, 5.02834,
        6.16282, 5.38928, 4.35862, 5.77737, 5.42544, 4.72836,
    ),
    "quadratic": (
        1.52485, 2.77461, 3.39788, 3.61059, 4.109, 4.61942,
        5.13034, 4.01402, 3.26147, 4.43368, 4.79955, 5.72638,
        6.32349, 5.54873, 4.21974, 5.56018, 5.57483, 4.94637,
    ),
    "renka": (
        1.15898, 2.11491, 3.01867, 3.38188, 4.12762, 4.91343,
        6.17264, 3.85783, 3.09797, 4.38266, 5.34521, 5.91581,
        6.8873, 6.73503, 3.73769, 5.14623, 6.04924, 5.57797,
    ),
    "lanczos": (
        1.03022, 1.91219, 2.78136, 1.94523, 4.28621, 5.11207,
        8.0, 3.47626, 2.99071, 5.26456, 6.62414, 5.98298,
        nan, nan, nan, 4.0, nan, nan,
    ),
}  # fmt: skip
STAT = {
    "drizzle": (
        0.098261, 0.134657, 0.178969, 0.089083, 0.236628, 0.284727,
        0.8, 0.17858, 0.2787, 0.266782, 0.339902, 0.553055,
        nan, nan, nan, nan, nan, nan,
    ),
    "nearest": (0.1, 0.2, nan, nan, nan, 0.5, nan, nan, 0.3, 0.4, nan, 0.6, nan, nan, nan, nan, nan, nan),
    "linear": (
        0.063795, 0.050854, 0.090538, 0.093479, 0.066707, 0.125234,
        0.139082, 0.061902, 0.118159, 0.187127, 0.071619, 0.249121,
        0.31827, 0.140402, 0.212861, 0.281454, 0.142311, 0.253051,
    ),
    "quadratic": (
        0.079406, 0.070125, 0.094897, 0.091664, 0.097694, 0.16513,
        0.220978, 0.072606, 0.196613, 0.291882, 0.089499, 0.47651,
        0.340197, 0.155643, 0.204828, 0.270526, 0.155815, 0.289562,
    ),
    "renka": (
        0.093779, 0.119568, 0.122204, 0.090261, 0.176259, 0.227703,
        0.390596, 0.112839, 0.257155, 0.327942, 0.135281, 0.557165,
        0.447777, 0.401815, 0.206881, 0.269292, 0.233648, 0.449001,
    ),
    "lanczos": (
        0.099153, 0.164241, 0.192717, 0.089404, 0.297372, 0.35564,
        0.8, 0.16212, 0.294472, 0.267021, 0.428275, 0.584601,
        nan, nan, nan, 0.4, nan, nan,
    ),
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_the_reference_case(method: str) -> None:
    values = np.array(ROWS).T
    names = ("xpos", "ypos", "lambda", "data", "stat", "dq")
    columns = {
        name: column.astype(np.int32 if name == "dq" else np.float32)
        for name, column in zip(names, values, strict=True)
    }
    x, y, wave = ((columns[name].min(), columns[name].max()) for name in names[:3])
    grid = output_grid(x, y, wave, Steps(1, 1))
    assert grid.shape == (3, 2, 3)
    voxels = resample(columns, grid, PIXELS, resampling=Resampling(method))
    # to the digits that were written down
    np.testing.assert_allclose(voxels.data.ravel(), DATA[method], atol=5.1e-6, rtol=1e-6)
    np.testing.assert_allclose(voxels.stat.ravel(), STAT[method], atol=5.1e-7, rtol=1e-6)


def naive(columns, grid: CubeGrid, voxel: tuple[int, int, int], options: Resampling) -> tuple[float, float]:
    """Data and variance of a voxel of a cube in pixels, term by term."""
    z, y, x = voxel
    centre = (
        grid.spatial.crval[0] + grid.spatial.cd[0][0] * x,
        grid.spatial.crval[1] + grid.spatial.cd[1][1] * y,
        float(grid.spectral.wave(z)),
    )
    steps = (grid.spatial.cd[0][0], grid.spatial.cd[1][1], grid.spectral.cd)
    starts = (*grid.spatial.crval, grid.spectral.crval)
    low, high = grid.spectral.wave([z - 0.5, z + 0.5])
    sizes = (steps[0], steps[1], high - low)
    pixel = tuple(fraction * size for fraction, size in zip(options.pixfrac, (1, 1, 1.25), strict=True))
    radius = options.radius * math.hypot(steps[0], steps[1], steps[2] / 1.25)
    weights, values, variances = [], [], []
    for row in np.flatnonzero(columns["dq"] == 0):
        place = tuple(float(columns[name][row]) for name in ("xpos", "ypos", "lambda"))
        cell = [math.floor((at - start) / step + 0.5) for at, start, step in zip(place, starts, steps, strict=True)]
        if grid.spectral.log:
            cell[2] = math.floor(starts[2] / steps[2] * math.log(place[2] / starts[2]) + 0.5)
        if max(abs(a - b) for a, b in zip(cell, (x, y, z), strict=True)) > options.reach:
            continue
        off = [abs(a - b) for a, b in zip(centre, place, strict=True)]
        scaled = [distance / unit for distance, unit in zip(off, (1, 1, 1.25), strict=True)]
        r = math.hypot(*scaled)
        if options.method == "drizzle":
            parts = [max(0, min((a + b) / 2 - d, a, b)) / a for d, a, b in zip(off, pixel, sizes, strict=True)]
            weight = math.prod(parts)
        elif options.method == "lanczos":
            inside = scaled[0] < options.reach and scaled[1] < options.reach and scaled[2] <= options.reach
            weight = float(np.prod([np.sinc(d) * np.sinc(d / options.reach) for d in scaled])) if inside else 0.0
        else:
            weight = {
                "linear": 1 / r,
                "quadratic": 1 / r**2,
                "renka": ((radius - r) / (radius * r)) ** 2 if r < radius else 2.2250738585072014e-308,
            }[options.method]
        weights.append(float(weight) * float(columns["weight"][row]))
        values.append(float(columns["data"][row]))
        variances.append(float(columns["stat"][row]))
    total = sum(weights)
    if not abs(total) >= 2.2250738585072014e-308:
        return nan, nan
    data = sum(w * v for w, v in zip(weights, values, strict=True)) / total
    square = sum(w * w * s for w, s in zip(weights, variances, strict=True))
    return data, square / total**2 if total**2 > 0 else nan


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        Resampling("linear"),
        Resampling("quadratic", reach=2),
        Resampling("renka", radius=0.4),
        Resampling("drizzle", pixfrac=(0.6, 0.9, 1.4)),
        Resampling("lanczos", reach=3),
    ],
    ids=lambda options: options.method,
)
def test_each_method_is_its_formula(table, grid, options: Resampling, log: bool) -> None:
    columns = table(260)
    columns["weight"] = np.random.default_rng(3).uniform(0.5, 2, 260).astype(np.float32)
    grid = replace(grid, spectral=WaveAxis(5000.0, 1.0, 1.4, log=log))
    voxels = resample(columns, grid, PIXELS, resampling=options)
    for voxel in product(range(grid.nz), range(grid.ny), range(0, grid.nx, 3)):
        found = voxels.data[voxel], voxels.stat[voxel]
        # The sum of the weights of lanczos may cancel.
        np.testing.assert_allclose(found, naive(columns, grid, voxel, options), rtol=1e-5, err_msg=str(voxel))


def test_the_nearest_pixel_counts_be_it_good_or_not(table, grid) -> None:
    columns = table()
    voxels = resample(columns, grid, PIXELS, resampling=Resampling("nearest"))
    for z, y, x in product(range(grid.nz), range(grid.ny), range(grid.nx)):
        off = np.array(
            [
                columns["xpos"] - (x - 4.0),
                columns["ypos"] - (y + 2.0),
                (columns["lambda"] - np.float64(5000 + 1.25 * z)) / 1.25,
            ]
        )
        inside = np.flatnonzero(((off >= -0.5) & (off < 0.5)).all(axis=0))
        best = inside[np.argmin((off[:, inside] ** 2).sum(axis=0))] if inside.size else None
        value = columns["data"][best] if best is not None and columns["dq"][best] == 0 else nan
        np.testing.assert_equal(voxels.data[z, y, x], np.float32(value))


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_field_stays_constant(table, grid, method: str) -> None:
    voxels = resample(table(data=7.0), grid, PIXELS, resampling=Resampling(method))
    filled = np.isfinite(voxels.data)
    assert filled.mean() > 0.5
    np.testing.assert_allclose(voxels.data[filled], 7, rtol=1e-6)


@pytest.mark.parametrize("method", MEANS)
def test_the_same_exposure_twice_has_half_the_variance(table, grid, method: str) -> None:
    once = table()
    twice = {name: np.concatenate([values, values]) for name, values in once.items()}
    one, two = (resample(columns, grid, PIXELS, resampling=Resampling(method)) for columns in (once, twice))
    np.testing.assert_allclose(two.data, one.data, rtol=1e-5)
    np.testing.assert_allclose(two.stat, one.stat / 2, rtol=1e-5)


def cubes(columns, grid, regions, resampling, rejection, **more):
    """DATA, STAT and cosmic rays of a cube made by regions, each of the rows that it needs only."""
    shape = (2, *grid.shape)
    whole = np.full(shape, 77, np.float32)
    cosmics = set()
    for region in regions:
        low, high = grid.spectral.reach(region.z0, region.z1, margin_of(resampling, rejection))
        rows = np.flatnonzero((columns["lambda"] >= low) & (columns["lambda"] <= high))
        voxels = resample(
            {name: values[rows] for name, values in columns.items()},
            grid,
            PIXELS,
            region,
            resampling=resampling,
            rejection=rejection,
            **more,
        )
        part = slice(region.z0, region.z1), slice(region.y0, region.y1)
        whole[(0, *part)], whole[(1, *part)] = voxels.data, voxels.stat
        cosmics |= set(rows[voxels.cosmics].tolist())
    return whole, cosmics


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reach", [1, 2])
def test_slabs_and_threads_change_no_bit(table, grid, method: str, reach: int, threads) -> None:
    columns = table(2500) | {"weight": table(2500)["stat"]}
    columns["data"][::50] += 400
    options = Resampling(method, reach=reach), Rejection("median", 4.0)
    whole, cosmics = cubes(columns, grid, [Region(0, 9, 0, 7)], *options)
    assert cosmics
    slabs = [Region(z, z + 1, 0, 7) for z in range(9)]
    bands = [Region(z, min(z + 4, 9), y, min(y + 3, 7)) for z in (0, 4, 8) for y in (0, 3, 6)]
    for regions, more in ((slabs, {}), (bands, {}), (slabs, {"spread": threads})):
        parts, found = cubes(columns, grid, regions, *options, **more)
        np.testing.assert_array_equal(parts, whole)
        assert found == cosmics


@pytest.mark.parametrize("method", METHODS)
def test_a_part_of_a_cube_is_the_part_of_the_whole(table, grid, method: str) -> None:
    columns = table()
    axes = replace(grid.spatial, crval=(-2.0, 4.0))
    small = CubeGrid(3, 2, 4, axes, WaveAxis(5002.5, 1.0, 1.25))
    options = {"resampling": Resampling(method), "rejection": Rejection("median", 4.0)}
    whole = resample(columns, grid, PIXELS, **options)
    part = resample(columns, small, PIXELS, **options)
    np.testing.assert_array_equal(part.data, whole.data[2:6, 2:4, 2:5])
    np.testing.assert_array_equal(part.stat, whole.stat[2:6, 2:4, 2:5])


@pytest.mark.parametrize("method", METHODS)
def test_a_field_on_the_sky_is_that_in_pixels(table, grid, method: str) -> None:
    # Near the equator, to a second of arc, the sky is flat: pixels of 0.2" with x to the left.
    columns = table()
    pixel = 0.2 / 3600
    ra = 359.9999
    sky = {
        **columns,
        "xpos": (-columns["xpos"] * np.float32(pixel)),
        "ypos": (columns["ypos"] * np.float32(pixel)),
    }
    axes = SpatialAxes(True, (ra, 0.0), (5.0, -1.0), ((-pixel, 0.0), (0.0, pixel)))
    positions = TablePositions(True, (ra, 0.0), (pixel, pixel))
    options = {"resampling": Resampling(method)}
    flat = resample(columns, grid, PIXELS, **options)
    curved = resample(sky, CubeGrid(8, 7, 9, axes, grid.spectral), positions, **options)
    np.testing.assert_array_equal(np.isnan(curved.data), np.isnan(flat.data))
    # float32 positions are good to 1e-6 pix; the weights of near pixels change by as much over their distance
    np.testing.assert_allclose(curved.data, flat.data, rtol=1e-3)


@pytest.mark.parametrize("method", MEANS)
def test_a_turned_cube_looks_along_its_own_axes(table, method: str) -> None:
    # The same field, its axes turned by 90 degrees: x runs where y did.
    columns = table()
    pixel = 0.2 / 3600
    sky = {**columns, "xpos": columns["xpos"] * np.float32(pixel), "ypos": columns["ypos"] * np.float32(pixel)}
    axis = WaveAxis(5000.0, 1.0, 1.25)
    positions = TablePositions(True, (10.0, 0.0), (pixel, pixel))
    upright = CubeGrid(8, 7, 9, SpatialAxes(True, (10.0, 0.0), (5.0, -1.0), ((pixel, 0.0), (0.0, pixel))), axis)
    turned = CubeGrid(7, 8, 9, SpatialAxes(True, (10.0, 0.0), (-1.0, 5.0), ((0.0, pixel), (pixel, 0.0))), axis)
    one, other = (resample(sky, grid, positions, resampling=Resampling(method)) for grid in (upright, turned))
    np.testing.assert_allclose(other.data, one.data.transpose(0, 2, 1), rtol=1e-4)
    np.testing.assert_allclose(other.stat, one.stat.transpose(0, 2, 1), rtol=1e-4)


def test_renka_knows_no_variance_beyond_its_radius(grid) -> None:
    columns = {name: np.array([value], np.float32) for name, value in (("data", 3.0), ("stat", 2.0), ("xpos", -4.0))}
    columns |= {"ypos": np.array([2.0], np.float32), "lambda": np.array([5000.0], np.float32)}
    columns["dq"] = np.zeros(1, np.int32)
    voxels = resample(columns, grid, PIXELS, resampling=Resampling("renka", radius=0.5))
    assert (voxels.data[0, 0, 0], voxels.stat[0, 0, 0]) == (3.0, 2.0)
    assert (voxels.data[1, 1, 1], np.isnan(voxels.stat[1, 1, 1])) == (3.0, True)  # the plain mean


def test_what_cannot_be_resampled_is_refused(table, grid) -> None:
    with pytest.raises(ParameterError, match="not resampled by 'cubic'"):
        Resampling("cubic")  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="must be positive"):
        Resampling(pixfrac=(0.8, 0.0, 0.8))
    with pytest.raises(DataError, match="does not lie in a cube"):
        resample(table(1), grid, PIXELS, Region(8, 10, 0, 7))
