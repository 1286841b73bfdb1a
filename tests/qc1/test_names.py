"""Facts about names: every way in which people write a QC1 parameter finds it, with its running numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import NotFoundError
from core.instruments.catalogue import qc1_definitions
from core.qc1.axes import AXIS_COLUMNS, Position, indices_of
from core.qc1.definitions import Definitions, Parameter
from core.qc1.extract import Source, extract
from core.qc1.names import column_named, find_named, resolve_name


@pytest.mark.parametrize(
    "text",
    [
        "muse_bias..master1_median",
        "muse_bias master1_median",
        "master1_median",
        "MASTER1_MEDIAN",
        "QC.BIAS.MASTER1.MEDIAN",
        "ESO QC BIAS MASTER1 MEDIAN",
        "HIERARCH ESO QC BIAS MASTER1 MEDIAN = 0.02",
        "  qc.bias.master1.median ",
    ],
)
def test_the_running_number_of_a_name_fixes_the_axis(definitions, text):
    found = resolve_name(text, definitions)
    assert (found.parameter.name, found.fixed, found.column) == (
        "muse_bias..master_median", {"quadrant": 1}, "master1_median",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["muse_bias..master_median", "mastern_median", "QC.BIAS.MASTERn.MEDIAN", "QC.BIAS.MASTER.MEDIAN"]
)
def test_without_running_number_nothing_is_fixed(definitions, text):
    found = resolve_name(text, definitions)
    assert (found.parameter.name, found.fixed, found.column) == ("muse_bias..master_median", {}, "master_median")


def test_some_of_several_numbers_may_be_given(definitions):
    found = resolve_name("muse_wave..slice_lamp3_lines_peak_max", definitions)
    assert found.fixed == {"lamp": 3}
    assert resolve_name("slice7_lamp3_lines_peak_max", definitions).fixed == {"slice": 7, "lamp": 3}
    assert resolve_name("geo_ifu20_wlen1_flux_mean", definitions).fixed == {"unit": 20, "item": 1}


def test_a_number_that_belongs_to_the_name_goes_first(definitions):
    found = resolve_name("slice20_lamp3_lines_peak_mean", definitions)
    assert (found.parameter.column, found.fixed) == ("slice20_lamp_lines_peak_mean", {"lamp": 3})


@pytest.mark.parametrize(
    "text", ["", "muse_bias", "muse_bias..master1_nbadpixels", "muse_dark..master1_median", "QC.NO.SUCH"]
)
def test_what_names_nothing_finds_nothing(definitions, text):
    assert find_named(text, definitions) == ()
    with pytest.raises(NotFoundError, match="there is no QC1 parameter"):
        resolve_name(text, definitions)


def test_a_column_of_a_table_is_refused_with_those_that_there_are(definitions):
    assert column_named("muse_bias", "master3_ron", definitions).fixed == {"quadrant": 3}
    with pytest.raises(NotFoundError, match="no column ron; it has: master_median, master_ron"):
        column_named("muse_bias", "ron", definitions)


def test_a_column_of_several_tables_is_refused_with_their_names():
    with pytest.raises(NotFoundError, match=r"muse_bias\.\.input3_nsaturated, muse_dark\.\.input3_nsaturated"):
        resolve_name("input3_nsaturated", qc1_definitions())


def test_a_keyword_without_number_goes_before_one_whose_number_is_left_out():
    found = {name: resolve_name(name, ALL) for name in ("QC.EXPALIGN.NDET", "QC.EXPALIGN.NDET2", "QC EXPALIGN NMATCHn")}
    columns = [named.parameter.column for named in found.values()]
    assert columns == ["src_ndet", "ndet", "nmatch"]


ALL = Definitions(parameter for parameter in qc1_definitions() if parameter.table.startswith("muse_"))


@given(st.sampled_from(ALL.parameters), st.data())
def test_keyword_position_and_column_lead_to_each_other(parameter: Parameter, data: st.DataObject) -> None:
    by_name = {axis.name: axis for axis in parameter.axes}
    indices = {n: data.draw(st.integers(1, by_name[n].largest or 99)) for n in indices_of(parameter.keyword)}
    own = {n: data.draw(st.integers(1, by_name[n].largest or 99)) for n in parameter.product_axes if n not in indices}
    keyword = parameter.keyword.format(**indices)
    source = Source("".join(parameter.products[:1]), {keyword: 1.5 if parameter.is_number else "text"}, **own)
    found = extract([source], ALL)
    (measured,) = (*found.measurements, *found.texts)
    position = {AXIS_COLUMNS[name]: number for name, number in {**own, **indices}.items()}
    assert (measured.parameter, measured.position) == (parameter, Position(**position))

    by_keyword = resolve_name(f"ESO {keyword.replace('.', ' ')}", ALL)
    assert (by_keyword.parameter, by_keyword.indices) == (parameter, indices)
    by_column = resolve_name(f"{parameter.table}..{parameter.flat_column(**indices)}", ALL)
    assert by_column.parameter == parameter
    # What the column does not name, the unit of QC.TWILIGHTm, is left to its rows.
    assert by_column.indices == {name: indices[name] for name in indices_of(parameter.numbered)}
