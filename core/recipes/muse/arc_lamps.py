"""Raw arc frames by lamp: which lamps were on, and which frames belong together; the tables that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.ccd.combine import CombineOptions
from core.ccd.trace_model import Trace
from core.errors import DataError, MissingInputError, ParameterError, WavelengthError, error_context
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.formats.tables import FORMATS, LINE_CATALOG, MuseTable, read_table
from core.instruments.muse.facts import LAMPS
from core.recipes.frames import Frame, FrameSet
from core.recipes.logs import Logger
from core.recipes.muse.basic import RawStack
from core.spectral.dispersion import Dispersion
from core.spectral.linelist import LineList

__all__ = [
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
    with error_context(file=frame.path):
        return Trace.from_columns(table), frame


def load_dispersion(frames: FrameSet, ifu: int, log: Logger) -> tuple[Dispersion, Frame]:
    """The wavelength solution of an IFU: of the frames tagged WAVECAL_TABLE the first that holds it."""
    table, frame = _table_of_ifu(frames, "WAVECAL_TABLE", ifu, log)
    with error_context(file=frame.path):
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
