"""Input frames of a recipe: files with their tags, in the order of the set of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import MissingInputError

__all__ = ["Frame", "FrameSet"]


@dataclass(frozen=True)
class Frame:
    """An input file with its tag."""

    path: Path
    tag: str


@dataclass(frozen=True)
class FrameSet:
    """The input frames of a recipe, in the order of the set of frames."""

    frames: tuple[Frame, ...]

    def tagged(self, *tags: str) -> tuple[Frame, ...]:
        """Frames of these tags, in order."""
        return tuple(frame for frame in self.frames if frame.tag in tags)

    def optional(self, tag: str) -> Frame | None:
        """The first frame of a tag, or None."""
        return next(iter(self.tagged(tag)), None)

    def one(self, tag: str) -> Frame:
        """The first frame of a tag.

        Raises
        ------
        MissingInputError
            If there is none.
        """
        frame = self.optional(tag)
        if frame is None:
            raise MissingInputError(f"the set of frames has no {tag}", rule=tag)
        return frame

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)

    def __len__(self) -> int:
        return len(self.frames)
