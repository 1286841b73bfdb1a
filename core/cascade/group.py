"""Raw frames, and products of earlier tasks, become groups: one group is what one recipe execution takes.

The name of a group is that of its template, exposure or observation without the characters that paths or addresses
would have to quote. Where that loses something, a hash of the whole is part of the name, so that two groups never have
one name.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.cascade.model import FrameInfo, Missing, ProductInfo
from core.instruments.rules import GroupBy, RawSource
from core.instruments.setup import Setup, UnitSpec

__all__ = ["Group", "group_frames", "group_products", "slug"]

# Texts that stay different from all others without these characters: times, and names that end with one.
_TIME = re.compile(r"([A-Z]+\.)?\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?)?")
_BARE_TIME = re.compile(r"([A-Z]+\.)?\d{8}(T\d{6}(\.\d+)?)?")
_QUOTED = re.compile(r"[^0-9A-Za-z.]+")


@dataclass(frozen=True)
class Group:
    """Raw frames, or products, of one tag and set-up that belong together, by time."""

    name: str
    tag: str
    setup: Setup
    frames: tuple[FrameInfo, ...] = ()
    products: tuple[ProductInfo, ...] = ()
    minimum: int = 1  # frames that a unit needs

    @property
    def mjd(self) -> float:
        """Mean of the mid-exposure times [d]."""
        times = [frame.mjd_mid for frame in self.frames] or [product.mjd for product in self.products]
        return sum(times) / len(times)

    @property
    def first(self) -> FrameInfo | ProductInfo:
        """The first of its members."""
        return (self.frames or self.products)[0]

    @property
    def temperature(self) -> float | None:
        """Mean ambient temperature [deg C], as far as it is known."""
        told = [frame.temperature for frame in self.frames] or [product.temperature for product in self.products]
        known = [temperature for temperature in told if temperature is not None]
        return sum(known) / len(known) if known else None

    @property
    def units(self) -> tuple[int, ...]:
        """Units that enough raw frames have, each is reduced from those; units that any product has."""
        if not self.frames:
            return tuple(sorted({unit for product in self.products for unit in product.units}))
        enough = min(self.minimum, len(self.frames))
        return tuple(sorted(unit for unit, count in self._frames_of_units().items() if count >= enough))

    def _frames_of_units(self) -> Counter[int]:
        return Counter(unit for frame in self.frames for unit in frame.units)

    def notes(self, words: UnitSpec) -> tuple[str, ...]:
        """What a reader should know about the group although it can be reduced."""
        counts, units = self._frames_of_units(), set(self.units)
        partial = {unit for unit in units if 0 < counts[unit] < len(self.frames)}
        lost = counts.keys() - units
        found = [f"{words.named(partial)} not in all frames: reduced from those that have it"] if partial else []
        return (*found, *([f"{words.named(lost)} left out: in too few frames"] if lost else []))

    def missing(
        self, source: RawSource, minimum: int, words: UnitSpec, fresh: frozenset[str] = frozenset()
    ) -> tuple[Missing, ...]:
        """What a group of raw frames lacks to be reduced.

        Parameters
        ----------
        minimum : int
            Fewest frames.
        fresh : frozenset of str
            Frames that came in just now: a template with one of them that has not all its exposures yet is waited for.
        """
        lacks = []
        count = len(self.frames)
        if count < minimum:
            text = f"{count} of at least {minimum} {self.tag} frames"
            lacks.append(Missing(self.tag, "too_few", text))
        lit = {lamp for frame in self.frames for lamp in frame.lamps}
        for lamp in source.lamps:
            if lamp not in lit:
                lacks.append(Missing(self.tag, "lamp", f"no {self.tag} frame with lamp {lamp}"))
        if not self.units:
            lacks.append(Missing(self.tag, "no_unit", f"no {words.word} is in the frames"))
        expected = max(frame.tpl_nexp for frame in self.frames)
        if (
            len({frame.tpl_start for frame in self.frames}) == 1
            and count < expected
            and any(frame.id in fresh for frame in self.frames)
        ):
            text = f"waits for frames: {count} of {expected} exposures of the template have arrived"
            lacks.append(Missing(self.tag, "arriving", text))
        return tuple(lacks)


def group_frames(frames: Iterable[FrameInfo], by: GroupBy = GroupBy.TEMPLATE) -> tuple[Group, ...]:
    """Group raw frames by tag, set-up and template start, exposure or observation.

    Arc frames of all lamps of one template fall in one group, because the lamp is no part of the setup. A frame without
    ``TPL.START`` (or observation block) is alone. The result does not depend on the order of ``frames``; a frame given
    twice counts once.

    Returns
    -------
    tuple of Group
        By time, then by name.
    """
    unique = {frame.id: frame for frame in sorted(frames, key=lambda f: (f.id, repr(f)))}
    members: dict[tuple[str, tuple[str, ...], Setup], list[FrameInfo]] = {}
    for frame in sorted(unique.values(), key=lambda f: (f.mjd_mid, f.id)):
        members.setdefault((frame.tag, _frame_key(frame, by), frame.setup), []).append(frame)
    groups = [Group(_name(key, setup), tag, setup, tuple(found)) for (tag, key, setup), found in members.items()]
    return _by_time(groups)


def group_products(products: Iterable[ProductInfo], by: GroupBy) -> tuple[Group, ...]:
    """Group products of earlier blocks, as their frames are grouped.

    Returns
    -------
    tuple of Group
        By time, then by name.
    """
    members: dict[tuple[str, tuple[str, ...], Setup], list[ProductInfo]] = {}
    for product in sorted(products, key=lambda p: (p.mjd, p.id)):
        if product.setup is not None:
            members.setdefault((product.tag, _product_key(product, by), product.setup), []).append(product)
    groups = []
    for (tag, key, setup), found in members.items():
        name = found[0].group if by is GroupBy.EXPOSURE else _name(key, setup)
        groups.append(Group(name, tag, setup, products=tuple(found)))
    return _by_time(groups)


def _by_time(groups: Sequence[Group]) -> tuple[Group, ...]:
    return tuple(sorted(groups, key=lambda g: (g.mjd, g.tag, g.name)))


def _frame_key(frame: FrameInfo, by: GroupBy) -> tuple[str, ...]:
    if by is GroupBy.OBSERVATION and frame.obs:
        return (frame.night, frame.obs, frame.target)
    if by is GroupBy.TEMPLATE and frame.tpl_start:
        return (frame.tpl_start,)
    return (frame.id,)


def _product_key(product: ProductInfo, by: GroupBy) -> tuple[str, ...]:
    if by is GroupBy.OBSERVATION and product.obs:
        return (product.night, product.obs, product.target)
    if by is GroupBy.TEMPLATE and product.tpl_start:
        return (product.tpl_start,)
    return (product.block or product.id,)


def _name(key: tuple[str, ...], setup: Setup) -> str:
    return "-".join([*(slug(text) for text in key), setup.slug])


def slug(text: str) -> str:
    """A text without characters that paths or addresses would have to quote; different texts stay different."""
    bare = _QUOTED.sub("", text)
    if _TIME.fullmatch(text) or (bare == text and text and not _BARE_TIME.fullmatch(text)):
        return bare
    return f"{bare}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
