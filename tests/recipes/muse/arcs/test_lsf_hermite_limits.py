"""A Gauss-Hermite profile that the lines do not determine is refused instead of saved."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from core.errors import DataError
from core.spectral.lsf_hermite import HermiteLsf, LinePixelSet, fit_hermite


def pixels_of(lsf, lines, seed=3):
    """Noisy pixels of some lines of equal flux."""
    rng = np.random.default_rng(seed)
    lines = np.asarray(lines, dtype=float)
    wave = np.sort(np.concatenate([rng.uniform(line - 7, line + 7, 900) for line in lines]))
    clean = sum(2e4 * lsf(wave - line, line) * (np.abs(wave - line) <= 7) for line in lines)
    error = np.sqrt(clean + 4)
    return LinePixelSet(wave, rng.normal(clean, error), error, lines, np.ones(lines.size))


def test_two_lines_do_not_give_a_parabola():
    with pytest.raises(DataError, match="2 lines are too few"):
        fit_hermite(pixels_of(HermiteLsf(), [6000.0, 8000.0]))
    assert fit_hermite(pixels_of(HermiteLsf(), [5000.0, 7000.0, 9000.0])).lsf.width_at(7000.0) > 0


def test_a_width_that_is_negative_somewhere_is_refused():
    lsf = HermiteLsf(width=(0.5, 3e-4, 0.0))  # true on the red lines, negative below 5333 Angstrom
    assert lsf.width_at([7000.0, 9000.0]) == pytest.approx([0.5, 1.1])
    with pytest.raises(DataError, match=r"gives a width of -0\.\d+ Angstrom"):
        fit_hermite(pixels_of(lsf, [7200.0, 7600.0, 8000.0, 8400.0, 8800.0, 9200.0]))


@pytest.fixture(scope="module")
def pairs_with(narrow, tmp_path_factory):
    """Makes sets of frames with some lines of the catalogue only."""
    folder = tmp_path_factory.mktemp("few")
    wave = narrow.product(narrow.run("muse_wavecal", narrow.pairs(), folder), "WAVECAL_TABLE")

    def make(low, high):
        path = folder / f"{low}-{high}.fits"
        with fits.open(narrow.catalogue) as hdus:
            lines = hdus[1].data
            use = (lines["quality"] == 5) & (lines["lambda"] > low) & (lines["lambda"] < high)
            hdus[1].data = lines[use]
            hdus.writeto(path, overwrite=True)
        return [*narrow.pairs()[:-1], (path, "LINE_CATALOG"), (wave, "WAVECAL_TABLE")], int(use.sum())

    return make


def test_slices_with_too_few_lines_are_told(narrow, pairs_with, tmp_path, caplog):
    pairs, n_lines = pairs_with(7170, 7250)
    assert n_lines == 2
    result = narrow.run("muse_lsf", pairs, tmp_path, method="hermit")
    assert "no slice has a Gauss-Hermite profile" in result.failures[0].message
    told = [record.getMessage() for record in caplog.records if "2 lines are too few" in record.getMessage()]
    assert len(told) == len(narrow.slices)


@pytest.mark.parametrize(
    ("method", "reason"),
    [("interpolate", "no slice has enough arc lines"), ("hermit", "no line of quality 5 in the mode")],
)
def test_a_catalogue_without_lines_of_the_lamps_fails_with_a_reason(narrow, pairs_with, tmp_path, method, reason):
    pairs, n_lines = pairs_with(5000, 5500)  # of the mercury lamp
    assert n_lines > 0
    pairs = [pair for pair in pairs if pair[0] != narrow.arcs[2]]
    result = narrow.run("muse_lsf", pairs, tmp_path, method=method, line_quality=5)
    assert result.failures[0].error_type == "data"
    assert reason in result.failures[0].message
