"""Raw frames become groups: one group is what one recipe execution takes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from core.cascade.model import FrameInfo, Missing
from core.cascade.rules import RawSource
from core.instruments.setup import Setup, UnitSpec

__all__ = ["Group", "group_frames"]


@dataclass(frozen=True)
class Group:
    """Frames of one tag, template start and setup, by time."""

    name: str
    tag: str
    setup: Setup
    tpl_start: str
    frames: tuple[FrameInfo, ...]

    @property
    def mjd(self) -> float:
        """Mean of the mid-exposure times [d]."""
        return sum(frame.mjd_mid for frame in self.frames) / len(self.frames)

    @property
    def units(self) -> tuple[int, ...]:
        """Units that all frames have."""
        common = set(self.frames[0].units).intersection(*(frame.units for frame in self.frames[1:]))
        return tuple(sorted(common))

    def notes(self, words: UnitSpec) -> tuple[str, ...]:
        """What a reader should know about the group although it can be reduced."""
        partial = {unit for frame in self.frames for unit in frame.units} - set(self.units)
        return (f"{words.named(partial)} left out: not in all frames",) if partial else ()

    def missing(self, source: RawSource, words: UnitSpec, fresh: frozenset[str] = frozenset()) -> tuple[Missing, ...]:
        """What the group lacks to be reduced.

        Parameters
        ----------
        fresh : frozenset of str
            Frames that came in just now: a template with one of them that has not all its exposures yet is waited for.
        """
        lacks = []
        count = len(self.frames)
        if count < source.minimum:
            text = f"{count} of at least {source.minimum} {self.tag} frames"
            lacks.append(Missing(self.tag, "too_few", text))
        lit = {lamp for frame in self.frames for lamp in frame.lamps}
        for lamp in source.lamps:
            if lamp not in lit:
                lacks.append(Missing(self.tag, "lamp", f"no {self.tag} frame with lamp {lamp}"))
        if not self.units:
            lacks.append(Missing(self.tag, "no_unit", f"no {words.word} is in all frames"))
        expected = max(frame.tpl_nexp for frame in self.frames)
        if count < expected and any(frame.id in fresh for frame in self.frames):
            text = f"waits for frames: {count} of {expected} exposures of the template have arrived"
            lacks.append(Missing(self.tag, "arriving", text))
        return tuple(lacks)


def group_frames(frames: Iterable[FrameInfo]) -> tuple[Group, ...]:
    """Group frames by tag, ``TPL.START`` and setup.

    Arc frames of all lamps of one template fall in one group, because the lamp is no part of the setup. A frame without
    ``TPL.START`` is alone. The result does not depend on the order of ``frames``; a frame given twice counts once.

    Returns
    -------
    tuple of Group
        By time, then by name.
    """
    unique = {frame.id: frame for frame in sorted(frames, key=lambda f: (f.id, repr(f)))}
    members: dict[tuple[str, str, str, Setup], list[FrameInfo]] = {}
    for frame in sorted(unique.values(), key=lambda f: (f.mjd_mid, f.id)):
        alone = "" if frame.tpl_start else frame.id
        members.setdefault((frame.tag, frame.tpl_start, alone, frame.setup), []).append(frame)
    groups = [
        Group(f"{_slug(tpl_start or alone)}-{setup.slug}", tag, setup, tpl_start, tuple(found))
        for (tag, tpl_start, alone, setup), found in members.items()
    ]
    return tuple(sorted(groups, key=lambda g: (g.mjd, g.tag, g.name)))


def _slug(text: str) -> str:
    """A time or a name without characters that paths or addresses would have to quote."""
    return re.sub(r"[^0-9A-Za-z.]+", "", text)
