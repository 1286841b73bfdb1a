"""The lines of the table of QC1 values: thousands of cells, for which a template takes five times as long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from markupsafe import Markup, escape

from core.archive.pages.qc1 import BlockKey, BrowseRow
from service.text import mjd_moment, qc1_number

__all__ = ["browse_lines"]

_NO_VALUE: Final = f'<td class="n" data-v="">{qc1_number(None)}</td>'


def browse_lines(
    rows: Iterable[BrowseRow], blocks: Mapping[int, BlockKey], parameters: Sequence[int], places: Sequence[int]
) -> Markup:
    """Table rows: time, the value of each parameter, where it was measured, set-up, block.

    Parameters
    ----------
    blocks : mapping of int to BlockKey
        Those of the rows.
    parameters : sequence of int
        Their numbers, in the order of the columns.
    places : sequence of int
        Which numbers of a position have columns.
    """
    ends = {number: _end(block) for number, block in blocks.items()}
    lines = ("".join(("<tr>", *_cells(row, parameters, places), ends[row.block_id])) for row in rows)
    return Markup("\n".join(lines))


def _cells(row: BrowseRow, parameters: Sequence[int], places: Sequence[int]) -> Iterator[str]:
    time = mjd_moment(row.mjd_obs)
    linked = time if row.product_id is None else f'<a href="/products/{row.product_id}">{time}</a>'
    yield f'<td class="l" data-v="{row.mjd_obs}">{linked}</td>'
    for parameter in parameters:
        value = row.values.get(parameter)
        if isinstance(value, str):
            yield f'<td class="n" data-v="{escape(value)}">{escape(value)}</td>'
        else:
            yield _NO_VALUE if value is None else f'<td class="n" data-v="{value}">{qc1_number(value)}</td>'
    for place in places:
        number = row.position[place]
        yield f'<td class="n">{"" if number is None else number}</td>'


def _end(block: BlockKey) -> str:
    address = quote(block.name, safe=":+,@")
    return (
        f'<td class="l">{escape(block.mode)}</td><td class="l"><a href="/blocks/{address}">{block.night}</a></td></tr>'
    )
