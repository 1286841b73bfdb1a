import numpy as np
import pytest

from core.errors import WavelengthError
from core.spectral.linelist import LineList, covered, lamp_of_ion

COLUMNS = {
    "wave": np.array([5000.0, 5085.822, 5330.777, 5341.094, 5343.284, 5400.562, 5401.3, 6402.248], "f4"),
    "flux": [200.0, 5e4, 3e3, 2e3, 1e3, 800.0, 900.0, 1e5],
    "ion": ["XeI", "CdI", "NeI", "NeI", "NeI", "NeI", "HgI", "NeI"],
    "quality": [1, 5, 3, 2, 2, 3, 3, 5],
}


@pytest.fixture
def lines():
    return LineList.from_columns(**COLUMNS)


def test_ions_know_their_lamp():
    assert [lamp_of_ion(ion) for ion in ("HgI", "CdI", "NeI", "XeI", "ArI", "Hg")] == [
        "HgCd", "HgCd", "Ne", "Xe", "", "HgCd",
    ]  # fmt: skip


def test_float32_wavelengths_mean_their_decimal_digits(lines):
    assert lines.wave[1] == 5085.822


def test_matching_lines_of_a_lamp_are_bright_and_apart(lines):
    # fainter than 1.15 times the faintest detection: out; 5400.562 (Ne) and 5401.3 (Hg) exclude each other
    assert lines.for_matching(("Ne",), 800.0).tolist() == [2, 3, 4, 7]
    assert lines.for_matching(("Ne",), 100.0).tolist() == [2, 3, 4, 5, 7]
    assert lines.for_matching(None, 100.0).tolist() == [0, 1, 2, 3, 4, 7]


def test_blends_are_grouped_by_lamp_and_distance(lines):
    assert [group.tolist() for group in lines.multiplets()] == [[3, 4]]
    far = LineList.from_columns(
        wave=[5000.0, 5010.0, 5039.0, 5041.0, 5100.0],
        flux=np.ones(5),
        ion=["NeI", "XeI", "NeI", "NeI", "NeI"],
        quality=[2, 2, 2, 2, 5],
    )
    assert [group.tolist() for group in far.multiplets()] == [[0, 2], [1], [3]]


def test_reference_lines_are_isolated(lines):
    assert np.flatnonzero(lines.reference()).tolist() == [1, 7]


def test_catalogue_without_reference_line_is_refused():
    with pytest.raises(WavelengthError, match="quality 5"):
        LineList.from_columns(**{**COLUMNS, "quality": [1] * 8})


def test_unsorted_catalogue_is_refused():
    with pytest.raises(WavelengthError, match="ascend"):
        LineList.from_columns(**{**COLUMNS, "wave": COLUMNS["wave"][::-1]})


def test_empty_catalogue_is_refused():
    with pytest.raises(WavelengthError, match="holds no lines"):
        LineList.from_columns([], [], [], [])


def test_coverage_of_the_modes():
    wave = np.array([4599.0, 4650.0, 4800.0, 5900.0, 9350.0, 9351.0])
    assert covered(wave, "WFM-NOAO-E").tolist() == [False, True, True, True, True, False]
    assert covered(wave, "WFM-NOAO-N").tolist() == [False, False, True, True, True, False]
    assert covered(wave, "WFM-AO-E").tolist() == [False, True, True, False, True, False]
