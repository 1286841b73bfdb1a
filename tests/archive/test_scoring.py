"""When the outliers of a block make its night bad."""

from __future__ import annotations

import pytest

from core.archive.scoring import GRAVE, GRAVE_IF_IMPORTANT, _grave, _Measured
from core.qc1.axes import Position
from core.qc1.score import Value, Verdict


def grave(qc_class: str, scored: int, flagged: int) -> bool:
    """Of one parameter with so many scored values, of which the first are outliers."""
    values = [Value("muse_bias..master_ron", "count", Position(unit=1, slice=n + 1), 1.0) for n in range(scored)]
    measured = [_Measured(1, qc_class, None, 0.0, value) for value in values]
    verdicts = [
        Verdict(measured=value, rule=rule, low=0.0, high=0.5, score=int(n < flagged), reason="")
        for n, value in enumerate(values)
        for rule in ("fixed-1", "sigma-1")  # one element judged by two rules counts once
    ]
    return _grave(verdicts, measured)


@pytest.mark.parametrize(
    ("qc_class", "part"), [("KPI", GRAVE_IF_IMPORTANT), ("HC", GRAVE_IF_IMPORTANT), ("ENG", GRAVE)]
)
def test_outliers_are_grave_from_a_part_of_the_values_on(qc_class: str, part: float) -> None:
    enough = round(part * 1000)
    assert grave(qc_class, 1000, enough)
    assert not grave(qc_class, 1000, enough - 1)
    assert not grave(qc_class, 1000, 0)


def test_one_flagged_value_of_thousands_is_not_grave_but_one_of_few_is() -> None:
    assert not grave("KPI", 1152, 1)
    assert not grave("HC", 96, 1)
    assert grave("HC", 4, 1)
