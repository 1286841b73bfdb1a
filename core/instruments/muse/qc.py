"""QC1 of MUSE: tables and names of the observatory, axes, score rules, key trends.

Tables and columns are those of the observatory's QC1 database to the letter (pages of its quality control: bias, dark,
lamp flat, sky flat, geometry and astrometry, throughput). Names that it does not give follow its rule, the keyword
after ``QC.<RECIPE>.`` in lower case with underscores for dots.
"""

from __future__ import annotations

from typing import Final

from core.instruments.muse.facts import N_IFU, N_PORTS, N_SLICES
from core.qc1.axes import Axis
from core.qc1.declaration import KeyTrend, Qc1Declaration, TableRule
from core.qc1.rules import FixedRule, ScoreRule, StatisticalRule

__all__ = ["QC1"]

_AXES: Final = (
    Axis("unit", "IFU", N_IFU),
    Axis("quadrant", "quadrant", N_PORTS),
    Axis("slice", "slice", N_SLICES),
    Axis("lamp", "lamp"),  # INS.LAMPn number; 99 is the image of all lamps
    Axis("exposure", "exposure"),
    Axis("input", "input"),
    Axis("line", "arc line"),
    Axis("source", "source"),
    Axis("sky_line", "sky line"),
    Axis("object", "object"),
)

# QC.TWILIGHTm has no dot: the IFU stands in the first word. Its rows are by IFU, so the columns leave it out, while
# QC.GEO.IFUm keeps it (geo_ifu20_wlen1_flux_mean). Statistics of a master have no word of their own, as in the lamp
# flat (flat_intflux); the flux of the whole pixel table that goes into the cube is not one of them. How many sources an
# image has stands twice, in its own list of sources (src_ndet) and numbered in the list of offsets (ndet1).
_TABLES: Final = (
    TableRule("QC.BIAS.", "muse_bias"),
    TableRule("QC.DARK.", "muse_dark"),
    TableRule("QC.FLAT.", "muse_lampflat", "flat_"),
    TableRule("QC.FLAT.MASTER.", "muse_lampflat", "flat_"),
    TableRule("QC.TRACE.", "muse_tracetable", "trace_"),
    TableRule("QC.WAVECAL.", "muse_wave"),
    TableRule("QC.LSF.", "muse_lsf"),
    TableRule("QC.GEO.", "muse_geometry", "geo_"),
    TableRule("QC.TWILIGHT{unit}.", "muse_skyflat", "skyflat_cube_"),
    TableRule("QC.TWILIGHT{unit}.INPUT", "muse_skyflat", "skyflat_input"),
    TableRule("QC.TWILIGHT{unit}.MASTER.", "muse_skyflat", "skyflat_"),
    TableRule("QC.SCIBASIC.", "muse_scibasic"),
    TableRule("QC.STANDARD.", "muse_std"),
    TableRule("QC.SKY.", "muse_sky"),
    TableRule("QC.ASTRO.", "muse_astrometry"),
    TableRule("QC.SCIPOST.", "muse_scipost"),
    TableRule("QC.EXPALIGN.", "muse_exp_align"),
    TableRule("QC.EXPALIGN.NDET", "muse_exp_align", "src_ndet"),
    TableRule("QC.EXPALIGN.NDET{exposure}", "muse_exp_align", "ndet{exposure}"),
    TableRule("QC.EXPCOMB.", "muse_exp_combine"),
    TableRule("QC.AMPL.", "muse_throughput"),
    TableRule("QC.LINGAIN.", "muse_lingain"),
)

# Fixed limits are specifications of the instrument and its recipes, set a little outside the range of real data (QC1
# values of June 2017) or at the limits at which the recipes themselves warn. Those of science exposures are the score
# bits of the observatory's science products. Bias level, geometry and astrometry are trended, not scored, as at the
# observatory; nor are brightness and lines of the sky, which is as it is.
_SCORE_RULES: Final[tuple[ScoreRule, ...]] = (
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
    # twilight: counts between what noise and saturation allow; exposures are timed for 20000
    FixedRule("muse_skyflat..skyflat_input_median", 5000, 45000),
    FixedRule("muse_skyflat..skyflat_input_nsaturated", 0, 1000),
    # line-spread function [Angstrom]
    FixedRule("muse_lsf..slice_fwhm_mean", 1.8, 3.3),
    # exposures of the sky: bits NUM_SAT and LSHIFT_MAX, pixels and [Angstrom]
    FixedRule("muse_scibasic..nsaturated", 0, 300),
    FixedRule("muse_scibasic..lambda_shift", -0.5, 0.5),
    # standard star: two thirds to three halves of what a real one gave in June 2017 (0.221, 0.328, 0.246, 0.157): less
    # was a cloud; within that, what mirrors lose
    FixedRule("muse_std..ndet", 1, None),
    FixedRule("muse_std..thru5000", 0.147, 0.332),
    FixedRule("muse_std..thru7000", 0.219, 0.492),
    FixedRule("muse_std..thru8000", 0.164, 0.369),
    FixedRule("muse_std..thru9000", 0.105, 0.236),
    *(
        StatisticalRule(f"muse_std..thru{place}", 180, 5, 5, least_fraction=0.05, same_mode=True)
        for place in (5000, 7000, 8000, 9000)
    ),
    *(StatisticalRule(f"muse_std..zp_{band}", 180, 5, 5, least=0.05, same_mode=True) for band in "vri"),
    # photodiodes: tight and of experience, as at the observatory [%]
    *(
        StatisticalRule(f"muse_throughput..{name}", 90, 6, 8, least_fraction=0.05, same_mode=True)
        for name in ("thru1", "thru2")
    ),
    # gain: read-out noise as of the bias [count], gain [count/adu]
    FixedRule("muse_lingain..out_ron", 1.0, 5.0),
    StatisticalRule("muse_lingain..out_gain", 730, 5, 4, least_fraction=0.02),
    # science: bit NUM_SRC, and ALIGNMENT: no exposure without sources in common with the others
    FixedRule("muse_scipost..ndet", 1, None),
    FixedRule("muse_exp_align..nomatch", 0, 0),
    FixedRule("muse_exp_combine..ndet", 1, None),
)

_KEY_TRENDS: Final = (
    KeyTrend("muse_bias..master_ron", "Read-out noise"),
    KeyTrend("muse_bias..level_median", "Bias level"),
    KeyTrend("muse_dark..master_dc", "Dark current"),
    KeyTrend("muse_lampflat..flat_intflux", "Flat lamp flux"),
    KeyTrend("muse_tracetable..trace_widths_median", "Slice width"),
    KeyTrend("muse_wave..slice_resol", "Resolving power"),
    KeyTrend("muse_wave..slice_fit_rms", "Wavelength residuals"),
    KeyTrend("muse_wave..slice_lines_fwhm_mean", "Arc line width"),
    KeyTrend("muse_lsf..slice_fwhm_mean", "Line-spread function width"),
    KeyTrend("muse_geometry..geo_mask_angle", "Angle of the mask"),
    KeyTrend("muse_geometry..geo_fwhm_mean", "Pinhole width"),
    KeyTrend("muse_skyflat..skyflat_intflux", "Twilight flux"),
    KeyTrend("muse_std..thru7000", "Throughput at 7000 Å"),
    KeyTrend("muse_astrometry..scale_x", "Spatial scale"),
    KeyTrend("muse_scipost..fwhm_median", "Image width in cubes"),
)

QC1: Final = Qc1Declaration(axes=_AXES, tables=_TABLES, score_rules=_SCORE_RULES, key_trends=_KEY_TRENDS)
