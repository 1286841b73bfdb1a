"""Facts about QC1 definitions: tables, columns and axes from the declarations of recipes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import DeclarationError
from core.instruments.muse.qc import QC1
from core.qc1.axes import Axis
from core.qc1.definitions import Definitions, define
from core.recipes.declaration import QcSpec

RON = QcSpec("QC.BIAS.MASTER{quadrant}.RON", "count", "float", "HC", "Read-out noise")

NAMES = [
    ("QC.BIAS.MASTER1.MEDIAN", "muse_bias", "master_median", "master1_median"),
    ("QC.BIAS.MASTER.NBADPIX", "muse_bias", "master_nbadpix", "master_nbadpix"),
    ("QC.BIAS.INPUT11.NSATURATED", "muse_bias", "input_nsaturated", "input11_nsaturated"),
    ("QC.FLAT.MASTER.INTFLUX", "muse_lampflat", "flat_intflux", "flat_intflux"),
    ("QC.FLAT.MASTER.SLICE48.MEAN", "muse_lampflat", "flat_slice_mean", "flat_slice48_mean"),
    ("QC.FLAT.INPUT2.MEDIAN", "muse_lampflat", "flat_input_median", "flat_input2_median"),
    ("QC.TRACE.SLICE_L.XPOS", "muse_tracetable", "trace_slice_l_xpos", "trace_slice_l_xpos"),
    ("QC.WAVECAL.SLICE7.FIT.RMS", "muse_wave", "slice_fit_rms", "slice7_fit_rms"),
    (
        "QC.WAVECAL.SLICE20.LAMP3.LINES.PEAK.MEAN",
        "muse_wave",
        "slice20_lamp_lines_peak_mean",
        "slice20_lamp3_lines_peak_mean",
    ),
    ("QC.GEO.IFU20.WLEN1.FLUX.MEAN", "muse_geometry", "geo_ifu_wlen_flux_mean", "geo_ifu20_wlen1_flux_mean"),
]


@pytest.mark.parametrize(("keyword", "table", "column", "flat"), NAMES)
def test_keywords_of_headers_find_their_column(definitions, keyword, table, column, flat):
    parameter, indices = definitions.match(keyword)
    assert (parameter.table, parameter.column) == (table, column)
    assert parameter.flat_column(**indices) == flat
    assert definitions.get(f"{table}..{column}") is definitions.find(table, column) is parameter


def test_axes_are_those_of_product_and_keyword_in_the_order_of_the_instrument(definitions):
    def axes(name):
        return tuple(axis.name for axis in definitions.get(name).axes)

    assert axes("muse_bias..master_ron") == ("unit", "quadrant")
    assert axes("muse_wave..slice_lamp_lines_peak_max") == ("unit", "slice", "lamp")
    assert axes("muse_geometry..geo_ifu_wlen_flux_mean") == ("unit", "line")
    assert axes("muse_geometry..geo_mask_angle") == ()
    assert axes("muse_scibasic..lambda_shift") == ("unit", "exposure")


def test_running_numbers_are_shown_as_n(definitions):
    ron = definitions.get("muse_bias..master_ron")
    assert (ron.shown_keyword, ron.shown_numbered) == ("QC.BIAS.MASTERn.RON", "mastern_ron")


def test_tables_are_listed_in_order_of_declaration(definitions):
    assert list(definitions.tables)[:4] == ["muse_bias", "muse_lampflat", "muse_tracetable", "muse_wave"]


def test_an_axis_that_the_instrument_does_not_have_is_refused():
    fewer = replace(QC1, axes=(Axis("unit", "detector", 4),))
    with pytest.raises(DeclarationError, match="quadrant is no declared QC1 axis; there are: unit"):
        define(fewer, {"muse_bias": (RON,)})


def test_a_double_declaration_is_refused():
    with pytest.raises(DeclarationError, match=r"declared twice: muse_bias\.\.master_ron"):
        Definitions(2 * define(QC1, {"muse_bias": (RON,)}).parameters)


def test_the_version_follows_the_content():
    other = define(QC1, {"muse_bias": (replace(RON, unit="adu"),)})
    assert other.version != define(QC1, {"muse_bias": (RON,)}).version
