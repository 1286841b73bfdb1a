"""Raw arc frames by lamp: which lamps were on, which frames belong together, and their combined images.

Shared by muse_wavecal and muse_lsf. The combined images of the lamps are needed twice (first all of them to find out
where the lines are, then one after the other to measure them). They can be put aside in a temporary file instead of in
memory: the memory a recipe needs depends neither on the number of frames nor on that of lamps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.combine import CombineOptions, combine_images
from core.ccd.trace_model import Trace
from core.errors import DataError, MissingInputError, ParameterError, ProductStoreError, WavelengthError
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.fitsfile.transfer import read_at, write_at
from core.formats.image import MuseImage
from core.formats.tables import FORMATS, LINE_CATALOG, MuseTable, read_table
from core.instruments.muse.facts import LAMPS
from core.recipes.frames import Frame, FrameSet
from core.recipes.logs import Logger
from core.recipes.muse.basic import RawStack
from core.spectral.dispersion import Dispersion
from core.spectral.linelist import LineList
from core.spread import Spread, in_turn

__all__ = [
    "ImageStore",
    "LampGroup",
    "group_by_lamps",
    "lamp_states",
    "load_dispersion",
    "load_line_list",
    "load_trace",
    "tell_absent_lamps",
]

CATALOG_VERSION: Final = 3
_N_LAMPS: Final = 6
_PREFIX: Final = "CU-LAMP-"
_PLAIN_NAMES: Final = {"CU-LAMP3": "Ne", "CU-LAMP4": "Xe", "CU-LAMP5": "HgCd", "CU-LAMP6": "Ne"}
_SLAB_ROWS: Final = 128


@dataclass(frozen=True)
class LampGroup:
    """Raw frames taken with one lamp set-up.

    Attributes
    ----------
    frames : tuple of int
        Indices into ``stack.frames``.
    numbers : tuple of int
        Numbers of the lamps that were on.
    names : tuple of str
        Their names (``Ne``, ``Xe``, ``HgCd``).
    """

    frames: tuple[int, ...]
    numbers: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def label(self) -> str:
        """Names, joined."""
        return ",".join(self.names) or "no lamp"


def _lamp_name(header: Header, number: int) -> str:
    name = get_key(header, f"INS.LAMP{number}.NAME", str, default="").strip()
    name = _PLAIN_NAMES.get(name, name.removeprefix(_PREFIX))
    return name or LAMPS.get(number, "")


def lamp_states(header: Header) -> tuple[tuple[bool, bool], ...]:
    """State of the lamps 1, 2, ...: lamp on, shutter open. Missing keywords count as off and closed."""
    count = max(get_key(header, "INS.LAMPNUM", int, default=_N_LAMPS), 1)
    return tuple(
        (
            get_key(header, f"INS.LAMP{i}.ST", bool, default=False),
            get_key(header, f"INS.SHUT{i}.ST", bool, default=False),
        )
        for i in range(1, count + 1)
    )


def group_by_lamps(stack: RawStack, combine: CombineOptions | None = None) -> list[LampGroup]:
    """Groups of raw frames with equal states of all lamps and shutters, in order of first appearance.

    Parameters
    ----------
    stack : RawStack
    combine : CombineOptions, optional
        How the frames of a lamp will be combined.

    Raises
    ------
    DataError
        If a lamp has different names in two frames.
    ParameterError
        If the combination does not fit the number of frames of a lamp.
    """
    groups: dict[tuple[tuple[bool, bool], ...], list[int]] = {}
    names: dict[int, tuple[str, str]] = {}
    for index, item in enumerate(stack.frames):
        states = lamp_states(item.header)
        groups.setdefault(states, []).append(index)
        for number in range(1, len(states) + 1):
            name, file = _lamp_name(item.header, number), item.frame.path.name
            known, first = names.setdefault(number, (name, file))
            if known != name:
                raise DataError(
                    f"lamp {number} is called {known} in {first} and {name} in {file}",
                    keyword=f"INS.LAMP{number}.NAME",
                )
    result = []
    for states, members in groups.items():
        on = tuple(number for number, state in enumerate(states, start=1) if all(state))
        group = LampGroup(tuple(members), on, tuple(dict.fromkeys(names[number][0] for number in on)))
        try:
            if combine is not None:
                combine.check_number(len(members))
        except ParameterError as error:
            raise ParameterError(f"frames of {group.label}: {error.message}", **error.context) from error
        result.append(group)
    return result


def tell_absent_lamps(catalogue: LineList, groups: Sequence[LampGroup], log: Logger) -> None:
    """Warn of lamps of the catalogue that no exposure has."""
    present = {name for group in groups for name in group.names}
    if absent := sorted(set(catalogue.lamp.tolist()) - present - {""}):
        log.warning("no exposure of lamp %s; its lines are not used", ", ".join(absent))


def load_line_list(frames: FrameSet, *, check_version: bool) -> tuple[LineList, Frame]:
    """The arc line catalogue of a set of frames.

    Parameters
    ----------
    frames : FrameSet
    check_version : bool
        Refuse catalogues of another ``VERSION`` than 3.

    Raises
    ------
    WavelengthError
        If the catalogue is of another version, or cannot be used.
    """
    frame = frames.one("LINE_CATALOG")
    table = read_table(frame.path, LINE_CATALOG)
    version = get_key(table.header, "VERSION", int, default=None)
    if check_version and version != CATALOG_VERSION:
        raise WavelengthError(
            f"the line catalogue is of version {version}, version {CATALOG_VERSION} is needed",
            file=frame.path,
            keyword="VERSION",
        )
    ions = [bytes(ion).decode("ascii", "replace") for ion in table["ion"]]
    return LineList.from_columns(table["lambda"], table["flux"], ions, table["quality"]), frame


def load_trace(frames: FrameSet, ifu: int, log: Logger) -> tuple[Trace, Frame]:
    """The trace of an IFU: of the frames tagged TRACE_TABLE the first that holds it."""
    table, frame = _table_of_ifu(frames, "TRACE_TABLE", ifu, log)
    return Trace.from_columns(table), frame


def load_dispersion(frames: FrameSet, ifu: int, log: Logger) -> tuple[Dispersion, Frame]:
    """The wavelength solution of an IFU: of the frames tagged WAVECAL_TABLE the first that holds it."""
    table, frame = _table_of_ifu(frames, "WAVECAL_TABLE", ifu, log)
    return Dispersion.from_columns(table), frame


def _table_of_ifu(frames: FrameSet, tag: str, ifu: int, log: Logger) -> tuple[MuseTable, Frame]:
    found: list[tuple[MuseTable, Frame]] = []
    refused: MissingInputError | None = None
    for frame in frames.tagged(tag):
        try:
            found.append((read_table(frame.path, FORMATS[tag], ifu), frame))
        except MissingInputError as error:
            refused = refused or error
    if not found:
        raise refused or MissingInputError(f"the set of frames has no {tag}", rule=tag)
    first, *others = (frame.path.name for _, frame in found)
    if others:
        log.warning("several %s hold IFU %d: %s is used, not %s", tag, ifu, first, ", ".join(others))
    return found[0]


class ImageStore:
    """Images of one shape, put aside in a temporary file; use as a context manager.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    spread : Spread
        Copies slabs of rows side by side.
    flags : bool
        Keep the flags, which `combine` needs; else only the mask of flagged pixels.
    """

    def __init__(self, shape: tuple[int, int], spread: Spread = in_turn, *, flags: bool = False) -> None:
        self._shape = shape
        self._spread = spread
        self._types = ("f4", "f4", "i4" if flags else "?")
        self._file: IO[bytes] | None = None
        self._count = 0

    def __enter__(self) -> ImageStore:
        self._file = tempfile.TemporaryFile(prefix="cascade-arc-", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __len__(self) -> int:
        return self._count

    def add(
        self, data: NDArray[np.float32], stat: NDArray[np.float32], flags: NDArray[np.int32] | NDArray[np.bool_]
    ) -> int:
        """Put an image aside; returns its index.

        Parameters
        ----------
        data, stat : ndarray of float32
        flags : ndarray of int32 or bool
            Flags, or the mask of the flagged pixels.

        Raises
        ------
        ProductStoreError
            If the temporary file cannot be written.
        """
        number, index = self._descriptor(), self._count

        def write(rows: tuple[int, int]) -> None:
            for part, plane in enumerate((data, stat, flags)):
                slab = np.ascontiguousarray(plane[slice(*rows)], dtype=self._types[part])
                write_at(number, slab.reshape(-1).view(np.uint8).data, self._offset(index, part, rows[0]))

        try:
            self._spread(write, self._slabs())
        except OSError as error:
            raise ProductStoreError(f"an arc image cannot be put aside: {error}") from error
        self._count += 1
        return index

    def read(self, index: int, data: NDArray[np.float32], stat: NDArray[np.float32], bad: NDArray[np.bool_]) -> None:
        """Fill arrays with DATA and STAT of an image, and with the mask of its flagged pixels."""

        def fill(rows: tuple[int, int]) -> None:
            window = slice(*rows)
            self._rows(index, 0, rows, data[window])
            self._rows(index, 1, rows, stat[window])
            np.not_equal(self._rows(index, 2, rows), 0, out=bad[window])

        self._spread(fill, self._slabs())

    def combine(self, options: CombineOptions, header: Header) -> MuseImage:
        """All images combined into one, slab by slab; ``header`` becomes that of the result.

        Raises
        ------
        DataError
            If the flags have not been kept.
        """
        if self._types[2] != "i4":
            raise DataError("the flags of the arc images have not been kept")
        data, stat = np.empty(self._shape, np.float32), np.empty(self._shape, np.float32)
        dq = np.empty(self._shape, np.int32)

        def combine(rows: tuple[int, int]) -> None:
            planes = [np.stack([self._rows(i, part, rows) for i in range(self._count)]) for part in range(3)]
            window = slice(*rows)
            data[window], dq[window], stat[window] = combine_images(planes[0], planes[2], planes[1], options)

        self._spread(combine, self._slabs())
        return MuseImage(data, dq, stat, header, "count")

    def _offset(self, index: int, part: int, row: int) -> int:
        sizes = [np.dtype(dtype).itemsize for dtype in self._types]
        return ((index * sum(sizes) + sum(sizes[:part])) * self._shape[0] + sizes[part] * row) * self._shape[1]

    def _descriptor(self) -> int:
        if self._file is None:
            raise DataError("the image store is closed")
        return self._file.fileno()

    def _slabs(self) -> list[tuple[int, int]]:
        return [(y0, min(y0 + _SLAB_ROWS, self._shape[0])) for y0 in range(0, self._shape[0], _SLAB_ROWS)]

    def _rows(self, index: int, part: int, rows: tuple[int, int], out: NDArray[Any] | None = None) -> NDArray[Any]:
        if out is None:
            out = np.empty((rows[1] - rows[0], self._shape[1]), self._types[part])
        view = out.reshape(-1).view(np.uint8).data
        if not read_at(self._descriptor(), view, self._offset(index, part, rows[0])):
            raise ProductStoreError("the temporary file of an arc image is cut")
        return out
