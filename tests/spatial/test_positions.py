"""Pixels of a slice become positions and wavelengths."""

from __future__ import annotations

import numpy as np
import pytest

from core.spatial.positions import FieldPlace, SliceMap, take_together

SHAPE = (60, 200)
LEFT = np.array([20.3, 0.02, -1e-4])
RIGHT = np.array([96.8, 0.03, -1e-4])
WAVE = np.array([[5000.0, 1.25, 1e-4], [0.03, 1e-6, 0.0]])
PLACE = FieldPlace(12.5, -40.25, 0.8, 75.3)


def slice_map(**changes: object) -> SliceMap:
    values = {"slice_no": 7, "left": LEFT, "right": RIGHT, "wave": WAVE, "place": PLACE, "shape": SHAPE, **changes}
    return SliceMap(**values)  # type: ignore[arg-type]


def slowly(given: SliceMap) -> list[tuple[float, float, float, int, int]]:
    """The pixels of a slice as the manual defines them, one by one."""
    rows = []
    angle = np.deg2rad(given.place.angle)
    for y in range(1, given.shape[0] + 1):
        left, right = (np.polynomial.polynomial.polyval(y, edge) for edge in (given.left, given.right))
        if not (np.isfinite([left, right]).all() and left >= 1 and right <= given.shape[1] and left <= right):
            break
        for x in range(int(np.ceil(left)), int(np.floor(right)) + 1):
            wave = np.polynomial.polynomial.polyval2d(x, y, given.wave)
            if 3000 <= wave <= 11000:
                along = ((left + right) / 2 - x) / (right - left) * given.place.width
                xpos, ypos = given.place.x + along * np.cos(angle), given.place.y + along * np.sin(angle)
                rows.append((xpos, ypos, wave, x, y))
    return rows


@pytest.mark.parametrize(
    "given",
    [
        slice_map(),
        slice_map(right=np.array([150.0, 1.2])),  # leaves the detector
        slice_map(wave=np.array([[2980.0, 1.25]])),  # begins below what is a wavelength
        slice_map(left=np.array([0.2, 0.05])),  # begins outside the detector
        slice_map(wave=np.array([[np.nan]])),
    ],
    ids=["whole", "cut", "blue", "outside", "no solution"],
)
def test_rows_are_those_of_the_definition(given: SliceMap) -> None:
    expected = np.array(slowly(given)).reshape(-1, 5)
    found = given.places()
    assert given.n_rows == len(expected)
    np.testing.assert_array_equal(found.x, expected[:, 3])
    np.testing.assert_array_equal(found.y, expected[:, 4])
    np.testing.assert_allclose(found.xpos, expected[:, 0], atol=2e-5)
    np.testing.assert_allclose(found.ypos, expected[:, 1], atol=2e-5)
    np.testing.assert_allclose(found.wave, expected[:, 2], atol=4e-4)
    np.testing.assert_array_equal(given.wavelengths, found.wave)


def test_any_range_of_rows_has_the_same_bits() -> None:
    given = slice_map()
    whole = given.places()
    for first, last in ((0, 1), (75, 200), (given.n_rows - 3, given.n_rows), (10, 10)):
        part = given.places(first, last)
        for name in ("xpos", "ypos", "wave", "x", "y"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[first:last])


def test_a_slice_that_leaves_the_detector_says_so() -> None:
    assert slice_map(right=np.array([150.0, 1.2])).is_cut
    assert not slice_map().is_cut


def test_left_on_the_detector_is_right_in_the_field() -> None:
    found = slice_map().places(0, 50)
    assert np.all(np.diff(found.x) == 1)
    assert np.all(np.diff(found.xpos) < 0)


def test_without_geometry_slices_lie_side_by_side() -> None:
    first, second = (FieldPlace.beside_others(number) for number in (1, 2))
    assert (first.x, first.y, first.angle, first.width) == (41.1, 0.0, 0.0, 75.0)
    assert second.x - first.x == pytest.approx(82.2)
    edges = np.full(3, 100.0), np.full(3, 175.0)
    columns = np.array([100.0, 137.5, 175.0])
    np.testing.assert_allclose(second.xpos(columns, *edges), 82.2 + 41.1 + np.array([37.5, 0.0, -37.5]))


def test_positions_of_some_pixels_are_those_of_the_rows() -> None:
    given = slice_map()
    found = given.places()
    left, right = (edge[found.y - 1] for edge in given.edges)
    # two roundings to float32 (of 37 and of 50) apart
    np.testing.assert_allclose(PLACE.xpos(found.x, left, right), found.xpos, rtol=0, atol=4e-6)


def test_pixels_of_an_image_come_in_the_order_of_the_rows() -> None:
    given = slice_map()
    image = np.arange(SHAPE[0] * SHAPE[1], dtype=np.int32).reshape(SHAPE)
    places = given.places()
    np.testing.assert_array_equal(given.take(image), image[places.y - 1, places.x - 1])
    wanted = places.wave > 5040
    np.testing.assert_array_equal(given.take(image, wanted), given.take(image)[wanted])


@pytest.mark.parametrize("odd", [slice_map(wave=np.array([[2980.0, 1.25]])), slice_map(right=np.array([150.0, 1.2]))])
def test_slices_taken_together_are_those_taken_alone(odd: SliceMap) -> None:
    image = np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)
    shifted = slice_map(left=LEFT + np.array([80, 0, 0]), right=RIGHT + np.array([80, 0, 0]))
    for maps in ([slice_map(), shifted], [slice_map(), odd]):
        for slabs in ((image,), (image[:7], image[7:50], image[50:])):
            for mine, alone in zip(take_together(maps, slabs, np.float32), maps, strict=True):
                np.testing.assert_array_equal(mine, alone.take(image))


@pytest.mark.parametrize("known", [False, True], ids=["from polynomials", "from the rows"])
@pytest.mark.parametrize(
    "given", [slice_map(), slice_map(wave=np.array([[2980.0, 1.25]])), slice_map(right=np.array([150.0, 1.2]))]
)
def test_positions_of_runs_are_those_of_their_rows(given: SliceMap, known: bool) -> None:
    places = given.places()
    n = given.n_rows
    first, last = np.array([3, 90, 91, n - 400]), np.array([40, 91, 700, n])
    rows = np.concatenate([np.arange(*ends) for ends in zip(first, last, strict=True)])
    fresh = slice_map(wave=given.wave, right=given.right)
    if known:
        assert fresh.wavelengths.size == n
    xpos, ypos, wave = fresh.field_positions(first, last, 0.125)
    np.testing.assert_array_equal(xpos, places.xpos[rows])
    np.testing.assert_array_equal(ypos, places.ypos[rows])
    np.testing.assert_array_equal(wave, (places.wave[rows] + 0.125).astype(np.float32))


@pytest.mark.parametrize("known", [False, True], ids=["from polynomials", "from the rows"])
def test_rows_of_some_wavelengths_are_among_those_that_are_near(known: bool) -> None:
    given = slice_map()
    wave = given.wavelengths if known else slice_map().wavelengths
    for low, high in [(5030.0, 5031.0), (4000.0, 9000.0), (5070.0, 5500.0)]:
        first, last = given.pixels_near(low, high)
        inside = np.flatnonzero((wave >= low) & (wave <= high))
        assert first <= inside[0] <= inside[-1] < last
    assert given.pixels_near(5000.0, 5030.0)[1] < given.n_rows
    assert given.pixels_near(6000.0, 7000.0) == (0, 0)
