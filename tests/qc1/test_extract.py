"""Facts about extraction: QC keywords of headers become values at positions."""

from __future__ import annotations

import math

from core.qc1.axes import Position
from core.qc1.extract import Source, extract


def values(found):
    return {(m.parameter.column, m.position): m.value for m in found.measurements}


def test_headers_become_measurements_with_positions(definitions):
    header = {
        "QC.BIAS.MASTER1.RON": 2.5,
        "QC.BIAS.MASTER2.RON": 2.6,
        "QC.BIAS.MASTER.NBADPIX": 12,
        "QC.BIAS.INPUT3.NSATURATED": 0,
        "PRO.CATG": "MASTER_BIAS",
    }
    found = extract([Source("MASTER_BIAS", header, unit=7)], definitions)
    assert found.undeclared == found.unusable == ()
    assert values(found) == {
        ("master_ron", Position(unit=7, quadrant=1)): 2.5,
        ("master_ron", Position(unit=7, quadrant=2)): 2.6,
        ("master_nbadpix", Position(unit=7)): 12.0,
        ("input_nsaturated", Position(unit=7, item=3)): 0.0,
    }
    assert found.measurements[-1].label == "muse_bias..master_ron IFU 7 quadrant 2"


def test_a_product_of_the_whole_instrument_has_its_unit_in_the_keyword(definitions):
    header = {"QC.GEO.MASK.ANGLE": 0.4, "QC.GEO.IFU20.WLEN1.FLUX.MEAN": 3.0}
    found = extract([Source("GEOMETRY_TABLE", header)], definitions)
    assert values(found) == {
        ("geo_mask_angle", Position()): 0.4,
        ("geo_ifu_wlen_flux_mean", Position(unit=20, item=1)): 3.0,
    }
    assert [m.label for m in found.measurements] == [
        "muse_geometry..geo_ifu_wlen_flux_mean IFU 20 arc line 1",
        "muse_geometry..geo_mask_angle",
    ]


def test_products_of_single_exposures_are_kept_apart(definitions):
    sources = [Source("PIXTABLE_OBJECT", {"QC.SCIBASIC.LAMBDA.SHIFT": 0.1 * n}, 5, n) for n in (1, 2)]
    assert values(extract(sources, definitions)) == {
        ("lambda_shift", Position(unit=5, exposure=1)): 0.1,
        ("lambda_shift", Position(unit=5, exposure=2)): 0.2,
    }
    stars = [Source("DATACUBE_STD", {"QC.STANDARD.POS3.X": 100.0 + n}, exposure=n) for n in (1, 2)]
    assert values(extract(stars, definitions)) == {
        ("pos_x", Position(exposure=1, item=3)): 101.0,
        ("pos_x", Position(exposure=2, item=3)): 102.0,
    }


def test_the_number_of_a_product_means_nothing_to_a_parameter_that_is_not_of_one_exposure(definitions):
    (found,) = extract([Source("MASTER_FLAT", {"QC.FLAT.MASTER.INTFLUX": 4e11}, 1, 3)], definitions).measurements
    assert found.position == Position(unit=1)


def test_a_repeated_parameter_is_that_of_the_product_that_is_declared_first(definitions):
    sources = [
        Source("GEOMETRY_UNSMOOTHED", {"QC.GEO.SMOOTH.NX": -1}),
        Source("GEOMETRY_TABLE", {"QC.GEO.SMOOTH.NX": 12}),
    ]
    for given in (sources, sources[::-1]):
        assert values(extract(given, definitions)) == {("geo_smooth_nx", Position()): 12.0}


def test_exposures_in_the_keyword(definitions):
    (found,) = extract([Source("SPOTS_TABLE", {"QC.GEO.EXP12.FWHM.MEAN": 2.0}, 8)], definitions).measurements
    assert found.position == Position(unit=8, exposure=12)


def test_texts_are_kept_and_are_no_numbers(definitions):
    star = Source("STD_RESPONSE", {"QC.STANDARD.STARNAME": "Feige110 "}, exposure=1)
    lines = Source("SKY_LINES", {"QC.SKY.LINE2.NAME": "O 5577", "QC.SKY.LINE2.FLUX": 3.0})
    found = extract([star, lines], definitions)
    assert [(t.parameter.name, t.text, t.position) for t in found.texts] == [
        ("muse_sky..line_name", "O 5577", Position(item=2)),
        ("muse_std..starname", "Feige110", Position(exposure=1)),
    ]
    assert values(found) == {("line_flux", Position(item=2)): 3.0}


def test_keywords_repeated_in_another_product_count_once(definitions):
    trace = {"QC.TRACE.GAPS.MAX": 8.0, "QC.FLAT.MASTER.INTFLUX": 1.0}
    flat = {"QC.FLAT.MASTER.INTFLUX": 4e11}
    found = extract([Source("TRACE_TABLE", trace, 1), Source("MASTER_FLAT", flat, 1)], definitions)
    assert {(m.parameter.column, m.value, m.product) for m in found.measurements} == {
        ("trace_gaps_max", 8.0, 0),
        ("flat_intflux", 4e11, 1),
    }


def test_what_cannot_be_used_is_named(definitions):
    header = {"QC.BIAS.MASTER1.RON": math.nan, "QC.BIAS.SURPRISE": 1.0, "QC.BIAS.MASTER2.RON": "many"}
    found = extract(
        [Source("MASTER_BIAS", header, 1), Source("STD_RESPONSE", {"QC.STANDARD.STARNAME": 3})], definitions
    )
    assert found.measurements == found.texts == ()
    assert found.undeclared == ("QC.BIAS.SURPRISE",)
    assert found.unusable == ("QC.BIAS.MASTER1.RON", "QC.BIAS.MASTER2.RON", "QC.STANDARD.STARNAME")
