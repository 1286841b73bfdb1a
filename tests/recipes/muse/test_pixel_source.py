"""Where the pixels of a cube come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from core.cubes.projection import native_angles, plane_to_sky
from core.errors import DataError, MissingKeywordError
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.formats.pixtable import write_pixtable
from core.formats.pixtable_header import PixtableLimits, pixtable_units
from core.formats.pixtable_origin import PREFIX
from core.formats.pixtable_read import open_pixtable
from core.recipes.muse.pixel_source import joined_source, source_of_columns, source_of_table

CENTRE = (150.1, -30.0)
PIXEL = 0.2 / 3600


def rows(n: int = 500, seed: int = 1, low: float = 0.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = {
        "xpos": rng.uniform(-9, 9, n),
        "ypos": rng.uniform(low, low + 5, n),
        "lambda": np.sort(rng.uniform(5000, 5050, n)),
        "data": rng.normal(0, 1, n),
        "dq": np.zeros(n),
        "stat": np.ones(n),
        "origin": np.full(n, 1 << 6 | 1),
    }
    return {name: values.astype(np.int32 if name in ("dq", "origin") else np.float32) for name, values in found.items()}


def header(state: str = "") -> Header:
    cards = Header()
    set_key(cards, f"{PREFIX}.TYPE", "GEOFULL")
    cards["RA"], cards["DEC"] = CENTRE
    if state:
        set_key(cards, f"{PREFIX}.WCS", state)
        cards["CD1_1"], cards["CD2_2"] = -PIXEL, 1.1 * PIXEL
    if state.startswith("positioned"):
        cards["CRVAL1"], cards["CRVAL2"] = CENTRE
    return cards


def saved(path: Path, columns: dict[str, np.ndarray], cards: Header, unit: str) -> Path:
    PixtableLimits.of(columns).write(cards, CENTRE if unit == "deg" else (0.0, 0.0))
    return write_pixtable(path, cards, columns, units=pixtable_units(unit))  # type: ignore[arg-type]


def test_a_table_is_read_by_wavelength(tmp_path: Path) -> None:
    columns = rows()
    source = source_of_table(open_pixtable(saved(tmp_path / "a.fits", columns, header(), "pix")))
    found = source.read((5010.0, 5020.0), (0.0, 1.0))
    inside = (columns["lambda"] >= 5010) & (columns["lambda"] <= 5020)
    assert set(found) == {"xpos", "ypos", "lambda", "data", "dq", "stat"}
    wanted = (found["lambda"] >= 5010) & (found["lambda"] <= 5020)  # neighbours may come with them
    np.testing.assert_array_equal(found["data"][wanted], columns["data"][inside])
    assert source.read((6000.0, 6001.0), (0.0, 1.0))["dq"].dtype == np.int32
    assert (source.unit, source.n_rows, source.positions.celestial) == ("count", 500, False)


def test_limits_of_a_table_are_those_of_its_header_and_of_columns_those_of_the_rows(tmp_path: Path) -> None:
    columns, cards = rows(), header()
    path = saved(tmp_path / "a.fits", columns, cards, "pix")
    on_disk, in_memory = source_of_table(open_pixtable(path)), source_of_columns(columns, cards)
    for name, limits, rounded in zip(
        ("xpos", "ypos", "lambda"),
        (in_memory.x, in_memory.y, in_memory.wave),
        (on_disk.x, on_disk.y, on_disk.wave),
        strict=True,
    ):
        assert limits == (columns[name].min(), columns[name].max())
        assert rounded == tuple(float(np.float32(f"{value:.7g}")) for value in limits)


def test_native_angles_are_put_on_the_sky(tmp_path: Path) -> None:
    columns = rows()
    x, y = columns["xpos"] * PIXEL, columns["ypos"] * PIXEL
    phi, theta = native_angles(x, y)
    offset, dec = plane_to_sky(x, y, CENTRE)
    columns |= {"xpos": phi, "ypos": theta}
    cards = header("projected (intermediate)")
    path = saved(tmp_path / "a.fits", columns, cards, "rad")
    for source in (
        source_of_table(open_pixtable(path)),
        source_of_columns(columns, cards, pixtable_units("rad")),
    ):
        assert source.positions.zero == CENTRE
        np.testing.assert_allclose(source.positions.scales, (PIXEL, 1.1 * PIXEL))
        found = source.read((0.0, 1e5), (-90.0, 90.0))
        # float32 angles of 10" have 3e-12 rad
        np.testing.assert_allclose(found["xpos"], offset, atol=1e-8)
        np.testing.assert_allclose(found["ypos"], dec - CENTRE[1], atol=1e-8)
        # right ascensions and declinations of float32 have 1.5e-5 and 2e-6 deg
        np.testing.assert_allclose(source.x, (offset.min() + CENTRE[0], offset.max() + CENTRE[0]), atol=2e-5)
        np.testing.assert_allclose(source.y, (dec.min(), dec.max()), atol=2e-6)


def test_several_tables_follow_each_other_and_are_read_where_they_lie() -> None:
    parts = [rows(seed=seed, low=10.0 * seed) for seed in (1, 2, 3)]
    source = joined_source([source_of_columns(part, header()) for part in parts])
    assert source.n_rows == 1500
    assert source.y == (min(part["ypos"].min() for part in parts), max(part["ypos"].max() for part in parts))
    everything = source.read((5000.0, 5050.0), (0.0, 99.0))
    np.testing.assert_array_equal(everything["data"], np.concatenate([part["data"] for part in parts]))
    band = source.read((5000.0, 5050.0), (19.0, 26.0))
    np.testing.assert_array_equal(band["data"], parts[1]["data"])
    assert source.read((5000.0, 5050.0), (50.0, 60.0))["xpos"].size == 0


def test_a_table_that_makes_no_cube_is_named(tmp_path: Path) -> None:
    path = write_pixtable(tmp_path / "a.fits", header("positioned (final)"), rows(), units=pixtable_units("deg"))
    with fits.open(path, mode="update") as hdus:
        del hdus[0].header["CRVAL1"]
    with pytest.raises(MissingKeywordError, match="CRVAL1") as told:
        source_of_table(open_pixtable(path))
    assert told.value.context["file"] == str(path)
    forms = {np.dtype(np.float32): "E", np.dtype(np.int32): "J"}
    cells = [fits.Column(name, forms[values.dtype], array=values[:0]) for name, values in rows().items()]
    primary = fits.PrimaryHDU()
    primary.header["HIERARCH ESO DRS MUSE PIXTABLE TYPE"] = "GEOFULL"
    fits.HDUList([primary, fits.BinTableHDU.from_columns(cells)]).writeto(tmp_path / "none.fits")
    with pytest.raises(DataError, match=r"no rows.*none.fits"):
        source_of_table(open_pixtable(tmp_path / "none.fits"))


def test_what_makes_no_cube_is_refused() -> None:
    columns = rows()
    with pytest.raises(DataError, match="stat missing"):
        source_of_columns({name: values for name, values in columns.items() if name != "stat"}, header())
    with pytest.raises(DataError, match="rows missing"):
        source_of_columns({name: values[:0] for name, values in columns.items()}, header())
    with pytest.raises(DataError, match="no tables"):
        joined_source([])
    sky = source_of_columns(columns, header("positioned (final)"), pixtable_units("deg"))
    with pytest.raises(DataError, match="different units or places"):
        joined_source([sky, source_of_columns(columns, header())])
    with pytest.raises(DataError, match="positions in 'mm'"):
        source_of_columns(columns, header(), {**pixtable_units(), "xpos": "mm"})
