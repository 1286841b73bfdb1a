"""Binary tables as any program may write them, and damaged ones, read by us, by astropy and by CFITSIO."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import numpy.typing as npt
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadFitsError, MuseError
from core.fitsfile.cards import BLOCK, CARD, parse_cards
from core.fitsfile.dataunit import INT_NULL, read_columns
from core.fitsfile.scan import scan_fits
from core.formats.tables import TRACE_TABLE, read_table

BYTES = {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "E": 4, "D": 8, "A": 1, "C": 8, "M": 16, "P": 8, "Q": 16}
INTEGERS = {"B": (0, 255), "I": (-(2**15), 2**15 - 1), "J": (-(2**31), 2**31 - 1), "K": (-(2**63), 2**63 - 1)}
OFFSETS = {"B": -128, "I": 2**15, "J": 2**31, "K": 2**63}  # of the integers with the other sign
READ = "LBIJKEDA"
TABLE_CARDS = {"XTENSION": "'BINTABLE'", "BITPIX": 8, "NAXIS": 2}


@dataclass(frozen=True)
class Made:
    """A column: its cards, bytes of each row, and which cells are NULL."""

    name: str
    letter: str
    cards: dict[str, object]
    rows: list[bytes]
    null: int | None = None


@st.composite
def _column(draw: st.DrawFn, number: int, n_rows: int) -> Made:
    letter = draw(st.sampled_from([*BYTES, "X"]))
    name = f"{draw(st.sampled_from(('flux', 'Lambda', 'x_1', 'SliceNo')))}{number}"
    repeat = 1 if letter in "PQ" else draw(st.integers(0, 12))  # astropy does not read 0P
    told = "" if repeat == 1 and draw(st.booleans()) else str(repeat)
    cards: dict[str, object] = {"TTYPE": f"'{name}'", "TFORM": f"'{told}{letter}{'J(3)' if letter in 'PQ' else ''}'"}
    if repeat in (4, 6, 12) and letter in READ and draw(st.booleans()):
        cards["TDIM"] = f"'({repeat // 2},2)'"
    null = None
    if letter in INTEGERS:
        scaled = draw(st.integers(0, 3))
        if scaled == 0:
            cards |= {"TZERO": OFFSETS[letter]}
        elif scaled == 1:  # astropy fails at 64 bits with scale and offset
            cards |= {
                "TSCAL": draw(st.sampled_from((0.5, -2.0, 0.1))),
                "TZERO": 0 if letter == "K" else draw(st.sampled_from((0, 10.5))),
            }
        if draw(st.booleans()):
            null = cards["TNULL"] = draw(st.sampled_from((*INTEGERS[letter], 7)))
    elif letter in "ED" and draw(st.integers(0, 4)) == 0:
        cards |= {"TSCAL": 0.25, "TZERO": -3.0}
    return Made(name, letter, cards, [draw(_cell(letter, repeat, null)) for _ in range(n_rows)], null)


def _cell(letter: str, repeat: int, null: int | None) -> st.SearchStrategy[bytes]:
    """Bytes of a cell."""
    if letter == "X":
        size = -(-repeat // 8)
        return st.binary(min_size=size, max_size=size)
    if letter in "PQ":
        return st.just(bytes(repeat * BYTES[letter]))
    if letter == "A":
        text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=repeat)
        return st.tuples(text, st.sampled_from(" \0")).map(lambda pair: pair[0].ljust(repeat, pair[1]).encode())
    element: st.SearchStrategy[bytes]
    if letter == "L":
        element = st.sampled_from((b"T", b"F", b"\0"))
    elif letter in INTEGERS:
        low, high = INTEGERS[letter]
        kept = st.integers(low, high) | st.sampled_from((low, high, null or 0))
        dtype = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8"}[letter]
        element = kept.map(lambda value: np.array(value, dtype).tobytes())
    else:
        number = st.floats(-(2.0**99), 2.0**99, width=32) | st.sampled_from((np.nan, np.inf, -0.0))
        dtype = ">f4" if letter in "EC" else ">f8"
        size = BYTES[letter] // np.dtype(dtype).itemsize
        element = st.lists(number, min_size=size, max_size=size).map(lambda values: np.array(values, dtype).tobytes())
    return st.lists(element, min_size=repeat, max_size=repeat).map(b"".join)


@st.composite
def _tables(draw: st.DrawFn) -> tuple[bytes, list[Made]]:
    """A file with one table, and what is in it."""
    n_rows = draw(st.integers(0, 4))
    columns = [draw(_column(number, n_rows)) for number in range(1, draw(st.integers(1, 5)) + 1)]
    # Rows of no bytes are no table.
    spare = Made("spare", "B", {"TTYPE": "'spare'", "TFORM": "'B'"}, [bytes([row]) for row in range(n_rows)])
    columns.append(spare)
    data = b"".join(column.rows[row] for row in range(n_rows) for column in columns)
    width = sum(_width(column) for column in columns)
    heap = draw(st.sampled_from((b"", b"heap" * 5)))
    cards = TABLE_CARDS | {"NAXIS1": width, "NAXIS2": n_rows, "PCOUNT": len(heap), "GCOUNT": 1, "TFIELDS": len(columns)}
    for number, column in enumerate(columns, 1):
        cards |= {f"{key}{number}": value for key, value in column.cards.items()}
    primary = {"SIMPLE": "T", "BITPIX": 8, "NAXIS": 0, "EXTEND": "T"}
    return _header(primary) + _header(cards) + _padded(data + heap), columns


def _width(column: Made) -> int:
    form = str(column.cards["TFORM"]).strip("'")
    digits = form[: len(form) - len(form.lstrip("0123456789"))]
    repeat = int(digits or 1)
    return -(-repeat // 8) if column.letter == "X" else repeat * BYTES[column.letter]


def _header(cards: dict[str, Any]) -> bytes:
    return _padded(
        "".join(f"{key:8s}= {value!s:>20}".ljust(CARD) for key, value in cards.items()).encode() + b"END", b" "
    )


def _padded(content: bytes, fill: bytes = b"\0") -> bytes:
    return content + fill * (-len(content) % BLOCK)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables") / "table.fits"


def _of_astropy(path: Path, names: list[str]) -> dict[str, npt.NDArray[Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path, memmap=False) as hdus:
            return {name: np.array(hdus[1].data[name]) for name in names}


def _of_cfitsio(path: Path, names: list[str]) -> dict[str, npt.NDArray[Any]]:
    with fitsio.FITS(str(path)) as hdus:
        return {name: np.asarray(hdus[1].read_column(name)) for name in names}


def _assert_alike(ours: npt.NDArray[Any], theirs: npt.NDArray[Any], nulls: npt.NDArray[np.bool_], what: str) -> None:
    """The same cells, but for NULL, which astropy and CFITSIO leave as it is in integers."""
    assert ours.size == theirs.size, what
    ours, theirs = ours.reshape(-1), theirs.reshape(-1)
    if ours.dtype.kind == "S":
        found = [text.split("\0")[0].rstrip(" ") for text in np.char.decode(ours).tolist()]
        wanted = np.char.decode(theirs) if theirs.dtype.kind == "S" else theirs
        assert found == [text.split("\0")[0].rstrip(" ") for text in wanted.tolist()], what
    elif ours.dtype.kind in "iub" and theirs.dtype.kind in "iub":
        assert ours[~nulls].tolist() == theirs[~nulls].tolist(), what
    else:
        rtol, atol = (1e-6 if theirs.dtype.itemsize == 4 else 1e-15), 1e-9
        if (theirs.dtype.kind, theirs.dtype.itemsize) == (
            "u",
            8,
        ):  # next to NULL, numbers of 64 bits are kept as floats
            rtol, atol = 1e-15, 2.0**12
        np.testing.assert_allclose(
            ours[~nulls].astype(float), theirs[~nulls].astype(float), rtol=rtol, atol=atol, equal_nan=True, err_msg=what
        )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(_tables())
def test_tables_are_read_alike(path: Path, table: tuple[bytes, list[Made]]) -> None:
    raw, columns = table
    path.write_bytes(raw)
    ours = read_columns(path, scan_fits(path).hdus[1])
    assert list(ours) == [column.name for column in columns if column.letter in READ]
    filled = [column.name for column in columns if column.letter in READ and _width(column) and column.rows]
    # fitsio reads scaled columns past CFITSIO, and integers wrongly.
    plain = [column.name for column in columns if column.name in filled and "TSCAL" not in column.cards]
    others = {"astropy": _of_astropy(path, filled), "CFITSIO": _of_cfitsio(path, plain)}
    for column in columns:
        if column.name not in filled:
            continue
        nulls = np.zeros(ours[column.name].size, np.bool_)
        if column.null is not None:
            stored = np.frombuffer(
                b"".join(column.rows), f">{'u' if column.letter == 'B' else 'i'}{BYTES[column.letter]}"
            )
            nulls = stored == column.null
            _assert_nulls(ours[column.name].reshape(-1)[nulls], column)
        for reader, read in others.items():
            if column.name in read:
                _assert_alike(ours[column.name], read[column.name], nulls, f"{column.name} of {reader}: {column.cards}")


def _assert_nulls(cells: npt.NDArray[Any], column: Made) -> None:
    if cells.dtype.kind == "f":
        assert np.isnan(cells).all()
    elif cells.dtype.itemsize >= 4:
        assert (cells == INT_NULL).all()


NUMBERS = st.sampled_from((-(10**30), -(2**63), -2880, -1, 0, 1, 2, 3, 999, 1000, 2**31, 2**63, 10**30)) | st.integers(
    -9, 99
)
COUNTED = ("BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS")
STRANGE = st.sampled_from(
    (
        "'99999999999A'",
        "'0A'",
        "'(0,99999999999)'",
        "'(1,1,1)'",
        "'1JL'",
        "'Z'",
        "''",
        "'-1J'",
        "1E300",
        "-0.0",
        "T",
        "'x'",
        "",
    )
)


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A file with a table of which numbers, forms, bits or the end are not what they were."""
    raw, columns = draw(_tables())
    content = bytearray(raw)
    for _ in range(draw(st.integers(0, 2))):
        _replace(content, draw(st.sampled_from(COUNTED)), str(draw(NUMBERS)))
    for _ in range(draw(st.integers(0, 2))):
        keyword = draw(st.sampled_from(("TFORM", "TDIM", "TTYPE", "TZERO", "TSCAL", "TNULL")))
        _replace(content, f"{keyword}{draw(st.integers(1, len(columns)))}", draw(STRANGE | NUMBERS.map(str)))
    for _ in range(draw(st.integers(0, 3))):
        content[draw(st.integers(0, len(content) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.integers(0, 4)) == 0 else content)


def _replace(content: bytearray, keyword: str, value: str) -> None:
    """Give the last card of a keyword another value, or write it over an undefined card of the table."""
    start = content.rfind(f"{keyword:8s}= ".encode())
    if start >= 0:
        content[start : start + CARD] = f"{keyword:8s}= {value:>20}".ljust(CARD).encode()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(_damaged())
def test_damaged_tables_are_read_or_refused(path: Path, bounded: Callable[..., Any], raw: bytes) -> None:
    path.write_bytes(raw)
    with bounded():
        for use in (_read_all, _read_trace_table):
            with suppress(MuseError):
                use(path)


def _read_all(path: Path) -> None:
    for hdu in scan_fits(path).hdus:
        parse_cards(hdu.header_bytes)
        assert all(len(card.image) % CARD == 0 for card in hdu.header.cards)
        dict(hdu.header.items())
        if hdu.kind == "table":
            for values in read_columns(path, hdu).values():
                assert len(values) == hdu.shape[0]


def _read_trace_table(path: Path) -> None:
    read_table(path, TRACE_TABLE, 1)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"TFIELDS": 10**9}, "TFIELDS is 1000000000"),
        ({"NAXIS2": 10**30}, "cut inside a table"),
        ({"NAXIS1": 0, "NAXIS2": 10**15, "TFORM1": "'0A'"}, "rows of no bytes"),
        ({"TFORM1": f"'{10**30}J'"}, "add up to"),
        ({"NAXIS1": -4}, "impossible"),
        ({"PCOUNT": -2880}, "PCOUNT is -2880"),
    ],
)
def test_what_a_header_promises_is_not_believed(
    path: Path, bounded: Callable[..., Any], changes: dict[str, Any], told: str
) -> None:
    cards = TABLE_CARDS | {"NAXIS1": 4, "NAXIS2": 2, "PCOUNT": 0, "GCOUNT": 1, "TFIELDS": 1, "TFORM1": "'J'"} | changes
    path.write_bytes(_header({"SIMPLE": "T", "BITPIX": 8, "NAXIS": 0}) + _header(cards) + _padded(bytes(8)))
    with bounded(), pytest.raises(BadFitsError, match=told) as failure:
        read_columns(path, scan_fits(path).hdus[1])
    assert failure.value.context["file"] == str(path)


def test_dimensions_of_cells_are_those_of_the_form(path: Path) -> None:
    ones = ",".join("1" * 33)
    cards = TABLE_CARDS | {"NAXIS1": 5, "NAXIS2": 2, "PCOUNT": 0, "GCOUNT": 1, "TFIELDS": 3}
    cards |= {
        "TFORM1": "'1JL'",
        "TFORM2": "'0A'",
        "TDIM2": "'(0,99999999999)'",
        "TFORM3": "'1B'",
        "TDIM3": f"'({ones})'",
    }
    path.write_bytes(_header({"SIMPLE": "T", "BITPIX": 8, "NAXIS": 0}) + _header(cards) + _padded(b"\0\0\0\1\2" * 2))
    columns = read_columns(path, scan_fits(path).hdus[1])
    assert {name: values.tolist() for name, values in columns.items()} == {
        "col1": [1, 1],
        "col2": [b"", b""],
        "col3": [2, 2],
    }
