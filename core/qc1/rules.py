"""The score rules: which parameters are compared with which limits. Data, with a version hash.

Fixed limits are specifications of the instrument and its recipes, set a little outside the range of real data (MUSE
QC1 values of June 2017) or at the limits at which the recipes themselves warn. Statistical limits follow the present
performance: median of the last days +- ``nsigma`` robust standard deviations of the same setup and position, but at
least ``least`` (same unit) or ``least_fraction`` of the median, so that a quiet series does not turn noise into
outliers. The bias level and the geometry are trended, not scored, as at the observatory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["SCORE_RULES", "FixedRule", "ScoreRule", "StatisticalRule", "rules_version"]


@dataclass(frozen=True)
class FixedRule:
    """Good from ``low`` to ``high`` (both included; None is no limit), in the given mode classes (empty: all)."""

    parameter: str
    low: float | None
    high: float | None
    modes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Kind and version of the rule."""
        return "fixed-1"


@dataclass(frozen=True)
class StatisticalRule:
    """Good within ``nsigma`` around the median of the last ``days``, if there are at least ``minimum`` values."""

    parameter: str
    days: float
    nsigma: float
    minimum: int
    least: float = 0.0
    least_fraction: float = 0.0
    same_mode: bool = False  # history of the same instrument mode only; of the same read-out mode always
    modes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Kind and version of the rule."""
        return "statistical-1"


ScoreRule = FixedRule | StatisticalRule

SCORE_RULES: tuple[ScoreRule, ...] = (
    # bias: read-out noise [count], slopes [adu/pix]
    FixedRule("muse_bias..master_ron", 1.0, 5.0),
    StatisticalRule("muse_bias..master_ron", 90, 6, 8, least=0.15),
    FixedRule("muse_bias..master_slope_x", -1e-3, 1e-3),
    FixedRule("muse_bias..master_slope_y", -1e-3, 1e-3),
    FixedRule("muse_bias..master_nbadpix", 0, 20000),
    FixedRule("muse_bias..input_nsaturated", 0, 100),
    # dark: current [count/pix/h]
    FixedRule("muse_dark..master_dc", 0.0, 10.0),
    StatisticalRule("muse_dark..master_median", 200, 5, 5, least=0.3),
    # lamp flat: lamp flux within 10 %, per IFU
    StatisticalRule("muse_lampflat..flat_intflux", 90, 6, 8, least_fraction=0.10, same_mode=True),
    FixedRule("muse_lampflat..flat_nsaturated", 0, 1000),
    # trace: slice widths and gaps [pix], tilt [deg], slope
    FixedRule("muse_tracetable..trace_widths_median", 74.5, 77.5),
    FixedRule("muse_tracetable..trace_widths_min", 72.2, 82.2),
    FixedRule("muse_tracetable..trace_widths_max", 72.2, 82.2),
    FixedRule("muse_tracetable..trace_gaps_min", 3.0, 9.0),
    FixedRule("muse_tracetable..trace_gaps_max", 6.0, 12.0),
    FixedRule("muse_tracetable..trace_slice_l_xpos", 45.0, 110.0),
    FixedRule("muse_tracetable..trace_slice_r_xpos", 3980.0, 4040.0),
    FixedRule("muse_tracetable..trace_slice_l_tilt", -0.10, 0.10),
    FixedRule("muse_tracetable..trace_slice_r_tilt", -0.10, 0.10),
    FixedRule("muse_tracetable..trace_slice_maxslope", -0.015, 0.015),
    # wavelength: residuals, line width [Angstrom], resolving power, wavelength at the centre
    FixedRule("muse_wave..slice_fit_rms", 0.0, 0.06),
    FixedRule("muse_wave..slice_fit_nlines", 40, None),
    FixedRule("muse_wave..slice_lines_fwhm_mean", 1.5, 3.2),
    FixedRule("muse_wave..slice_resol", 2000.0, 4200.0),
    FixedRule("muse_wave..slice_wlen", 6700.0, 7300.0),
    FixedRule("muse_wave..slice_dwlen_bottom", -6.5, 6.5),
    FixedRule("muse_wave..slice_dwlen_top", -5.9, 5.9),
    # line-spread function [Angstrom]
    FixedRule("muse_lsf..slice_fwhm_mean", 1.8, 3.3),
)


def rules_version(rules: Iterable[ScoreRule] = SCORE_RULES) -> str:
    """Hash of score rules, 12 hex digits; stored with each score."""
    return hashlib.sha256(repr(tuple(rules)).encode()).hexdigest()[:12]
