"""Facts about QC1 of MUSE: names of the observatory to the letter, score rules that accept real data."""

from __future__ import annotations

import pytest

from core.instruments.catalogue import installed_recipes, qc1_definitions
from core.instruments.muse.qc import QC1
from core.qc1.definitions import define
from core.qc1.rules import FixedRule, rules_version
from core.recipes.declaration import QcSpec
from core.recipes.registry import get_recipe, recipe_names

# Declared keyword, name, and column with all running numbers 1. The first ones stand on the observatory's quality
# control pages: bias, dark, lamp flat, sky flat, geometry and astrometry, throughput.
NAMES = [
    ("QC.BIAS.MASTER{quadrant}.MEDIAN", "muse_bias..master_median", "master1_median"),
    ("QC.DARK.MASTER.DC", "muse_dark..master_dc", "master_dc"),
    ("QC.DARK.MASTER.DCERR", "muse_dark..master_dcerr", "master_dcerr"),
    ("QC.DARK.MASTER.NBADPIX", "muse_dark..master_nbadpix", "master_nbadpix"),
    ("QC.FLAT.MASTER.INTFLUX", "muse_lampflat..flat_intflux", "flat_intflux"),
    ("QC.FLAT.MASTER.SLICE{slice}.STDEV", "muse_lampflat..flat_slice_stdev", "flat_slice1_stdev"),
    ("QC.TRACE.GAPS.MAX", "muse_tracetable..trace_gaps_max", "trace_gaps_max"),
    ("QC.TWILIGHT{unit}.MASTER.INTFLUX", "muse_skyflat..skyflat_intflux", "skyflat_intflux"),
    ("QC.TWILIGHT{unit}.MASTER.MEDIAN", "muse_skyflat..skyflat_median", "skyflat_median"),
    ("QC.GEO.MASK.ANGLE", "muse_geometry..geo_mask_angle", "geo_mask_angle"),
    ("QC.GEO.SMOOTH.NX", "muse_geometry..geo_smooth_nx", "geo_smooth_nx"),
    ("QC.GEO.SMOOTH.NWIDTH", "muse_geometry..geo_smooth_nwidth", "geo_smooth_nwidth"),
    ("QC.GEO.IFU{unit}.WLEN{line}.FLUX.MEAN", "muse_geometry..geo_ifu_wlen_flux_mean", "geo_ifu1_wlen1_flux_mean"),
    ("QC.ASTRO.SCALE.X", "muse_astrometry..scale_x", "scale_x"),
    ("QC.ASTRO.ANGLE.Y", "muse_astrometry..angle_y", "angle_y"),
    ("QC.ASTRO.MEDRES.X", "muse_astrometry..medres_x", "medres_x"),
    ("QC.AMPL.THRU1", "muse_throughput..thru1", "thru1"),
    ("QC.AMPL.THRU2ERR", "muse_throughput..thru2err", "thru2err"),
    # Names by the rule, which the pages do not give.
    ("QC.WAVECAL.SLICE{slice}.FIT.RMS", "muse_wave..slice_fit_rms", "slice1_fit_rms"),
    ("QC.WAVECAL.SLICE{slice}.LAMP{lamp}.LINES.PEAK.MAX", "muse_wave..slice_lamp_lines_peak_max",
     "slice1_lamp1_lines_peak_max"),
    ("QC.LSF.SLICE{slice}.FWHM.MEAN", "muse_lsf..slice_fwhm_mean", "slice1_fwhm_mean"),
    ("QC.TWILIGHT{unit}.INPUT{input}.MEDIAN", "muse_skyflat..skyflat_input_median", "skyflat_input1_median"),
    ("QC.TWILIGHT{unit}.INTFLUX", "muse_skyflat..skyflat_cube_intflux", "skyflat_cube_intflux"),
    ("QC.GEO.EXP{exposure}.FWHM.MEAN", "muse_geometry..geo_exp_fwhm_mean", "geo_exp1_fwhm_mean"),
    ("QC.GEO.IFU{unit}.ANGLE", "muse_geometry..geo_ifu_angle", "geo_ifu1_angle"),
    ("QC.GEO.IFU{unit}.WLEN{line}", "muse_geometry..geo_ifu_wlen", "geo_ifu1_wlen1"),
    ("QC.GEO.IFU{unit}.GAPPOS.MEAN", "muse_geometry..geo_ifu_gappos_mean", "geo_ifu1_gappos_mean"),
    ("QC.GEO.GAPPOS.MEAN", "muse_geometry..geo_gappos_mean", "geo_gappos_mean"),
    ("QC.GEO.TABLE.NBAD", "muse_geometry..geo_table_nbad", "geo_table_nbad"),
    ("QC.SCIBASIC.LAMBDA.SHIFT", "muse_scibasic..lambda_shift", "lambda_shift"),
    ("QC.STANDARD.STARNAME", "muse_std..starname", "starname"),
    ("QC.STANDARD.THRU5000", "muse_std..thru5000", "thru5000"),
    ("QC.STANDARD.ZP.V", "muse_std..zp_v", "zp_v"),
    ("QC.STANDARD.POS{source}.X", "muse_std..pos_x", "pos1_x"),
    ("QC.STANDARD.FWHM{source}.Y", "muse_std..fwhm_y", "fwhm1_y"),
    ("QC.STANDARD.FWHM.NVALID", "muse_std..fwhm_nvalid", "fwhm_nvalid"),
    ("QC.SKY.LINE{sky_line}.NAME", "muse_sky..line_name", "line1_name"),
    ("QC.SKY.CONT.MAXDEV", "muse_sky..cont_maxdev", "cont_maxdev"),
    ("QC.ASTRO.NSTARS", "muse_astrometry..nstars", "nstars"),
    ("QC.SCIPOST.LINE{sky_line}.FLUX", "muse_scipost..line_flux", "line1_flux"),
    ("QC.SCIPOST.RAMAN.SPATIAL.XX", "muse_scipost..raman_spatial_xx", "raman_spatial_xx"),
    ("QC.EXPALIGN.NDET{exposure}", "muse_exp_align..ndet", "ndet1"),
    ("QC.EXPALIGN.NDET", "muse_exp_align..src_ndet", "src_ndet"),
    ("QC.EXPALIGN.NMATCH{exposure}", "muse_exp_align..nmatch", "nmatch1"),
    ("QC.EXPALIGN.NMATCH.MIN", "muse_exp_align..nmatch_min", "nmatch_min"),
    ("QC.EXPALIGN.OFFSET.RA.STDEV", "muse_exp_align..offset_ra_stdev", "offset_ra_stdev"),
    ("QC.EXPCOMB.POS{source}.X", "muse_exp_combine..pos_x", "pos1_x"),
    ("QC.AMPL.SLICE{slice}.THRU2", "muse_throughput..slice_thru2", "slice1_thru2"),
    ("QC.LINGAIN.OUT{quadrant}.RON.MAD", "muse_lingain..out_ron_mad", "out1_ron_mad"),
]  # fmt: skip


@pytest.mark.parametrize(("keyword", "name", "numbered"), NAMES)
def test_columns_have_the_names_of_the_observatory(keyword, name, numbered):
    declared = QcSpec(keyword, "", "float", "HC", "text", product_axes=())
    (parameter,) = define(QC1, {"recipe": (declared,)})
    assert parameter.name == name
    assert parameter.flat_column(**dict.fromkeys(declared.indices, 1)) == numbered


def test_all_keywords_together_have_columns_of_their_own():
    specs = [QcSpec(keyword, "", "float", "HC", "text", product_axes=()) for keyword, *_ in NAMES]
    assert len(define(QC1, {"recipe": specs})) == len(NAMES)


# Tables whose columns are all that follows the first word, and those that keep a word of it.
STARTS = {
    "muse_bias": "QC.BIAS.",
    "muse_dark": "QC.DARK.",
    "muse_wave": "QC.WAVECAL.",
    "muse_lsf": "QC.LSF.",
    "muse_scibasic": "QC.SCIBASIC.",
    "muse_std": "QC.STANDARD.",
    "muse_sky": "QC.SKY.",
    "muse_astrometry": "QC.ASTRO.",
    "muse_scipost": "QC.SCIPOST.",
    "muse_exp_align": "QC.EXPALIGN.",
    "muse_exp_combine": "QC.EXPCOMB.",
    "muse_throughput": "QC.AMPL.",
    "muse_lingain": "QC.LINGAIN.",
}
KEPT = {
    "muse_lampflat": ("QC.FLAT.", "flat_", "QC.FLAT.MASTER."),
    "muse_tracetable": ("QC.TRACE.", "trace_", ""),
    "muse_geometry": ("QC.GEO.", "geo_", ""),
    "muse_skyflat": ("QC.TWILIGHT{unit}.", "skyflat_", "QC.TWILIGHT{unit}.MASTER."),
}


def test_every_parameter_of_the_recipes_follows_the_rule():
    assert len(qc1_definitions()) >= 80
    for parameter in qc1_definitions():
        assert len(parameter.unit) <= 32, "the archive holds no more"
        if parameter.numbered in ("skyflat_cube_intflux", "src_ndet"):
            continue  # their namesakes are those of the master, and of the list of offsets
        if parameter.table in STARTS:
            rest, word = parameter.keyword.removeprefix(STARTS[parameter.table]), ""
        else:
            start, word, master = KEPT[parameter.table]
            rest = parameter.keyword.removeprefix(master or start).removeprefix(start)
        assert parameter.numbered == word + rest.lower().replace(".", "_")


def test_every_recipe_of_the_instrument_has_its_table_be_it_of_the_cascade_or_not():
    measuring = {name for name in recipe_names() if name.startswith("muse_") and get_recipe(name).qc}
    # the light of the lasers is one parameter, whoever takes it out
    assert {parameter.recipe for parameter in qc1_definitions()} == measuring - {"muse_scipost_raman"}
    assert set(STARTS) | set(KEPT) == set(qc1_definitions().tables)


def test_the_recipes_of_the_cascade_are_all_there():
    assert set(installed_recipes()) >= {"muse_bias", "muse_dark", "muse_flat", "muse_wavecal", "muse_lsf"}


def test_the_rules_have_limits_in_order_and_a_version():
    for rule in QC1.score_rules:
        if isinstance(rule, FixedRule) and None not in (rule.low, rule.high):
            assert rule.low <= rule.high
    assert QC1.rules_version != rules_version(QC1.score_rules[1:])


# Ranges of real data (June 2017, facts of the QC group): all of it must be good.
REAL = {
    "muse_skyflat..skyflat_input_median": (18725, 21165),
    "muse_bias..master_ron": (1.94, 3.52),
    "muse_bias..master_slope_x": (-4.1e-4, 9.6e-5),
    "muse_bias..master_nbadpix": (0, 12331),
    "muse_bias..input_nsaturated": (0, 21),
    "muse_tracetable..trace_widths_median": (75.76, 76.18),
    "muse_tracetable..trace_widths_min": (74.6, 75.1),
    "muse_tracetable..trace_gaps_min": (4.60, 6.28),
    "muse_tracetable..trace_gaps_max": (8.25, 9.20),
    "muse_tracetable..trace_slice_l_xpos": (62.8, 91.5),
    "muse_tracetable..trace_slice_r_xpos": (3996.5, 4022.8),
    "muse_tracetable..trace_slice_maxslope": (-0.0110, 0.0113),
    "muse_wave..slice_fit_rms": (0.0178, 0.0526),
    "muse_wave..slice_fit_nlines": (64, 70),
    "muse_wave..slice_lines_fwhm_mean": (1.90, 2.90),
    "muse_wave..slice_resol": (2474, 3686),
    "muse_wave..slice_wlen": (6809, 7197),
    "muse_wave..slice_dwlen_bottom": (-5.9, 5.5),
    "muse_lsf..slice_fwhm_mean": (1.97, 3.06),
    "muse_scibasic..lambda_shift": (-0.062, 0.474),
    "muse_std..ndet": (1, 1),
    "muse_std..thru5000": (0.221, 0.221),
    "muse_std..thru7000": (0.328, 0.328),
    "muse_std..thru8000": (0.246, 0.246),
    "muse_std..thru9000": (0.157, 0.157),
    "muse_exp_align..nomatch": (0, 0),
}


@pytest.mark.parametrize("name", REAL)
def test_fixed_limits_accept_the_range_of_real_data(name):
    (rule,) = [r for r in QC1.score_rules if r.parameter == name and isinstance(r, FixedRule)]
    low, high = REAL[name]
    assert rule.low <= low
    assert rule.high is None or high <= rule.high
