"""What a run tells while it goes on: typed events, and their form as lines of JSON between processes.

Both ends use `event_line` and `parse_event`: `core.recipes.run_job` and `workers.block_child` write, `workers.child`
reads. A line that is no event, or one of a kind that is not known here, becomes `Output`: libraries print, and the
other end may be of another version.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from core.recipes.parts import Part
from core.recipes.results import PartFailure, PlotFile, RunResult

__all__ = [
    "Event",
    "EventSink",
    "Output",
    "PartDone",
    "PartFailed",
    "PartProgress",
    "PartStarted",
    "PlotsFailed",
    "PlotsMade",
    "RunDone",
    "RunError",
    "RunProgress",
    "RunStarted",
    "event_line",
    "ignore",
    "parse_event",
]


@dataclass(frozen=True)
class RunStarted:
    """A run begins with these parts."""

    recipe: str
    parts: tuple[Part, ...]
    event: Literal["run_started"] = "run_started"


@dataclass(frozen=True)
class RunProgress:
    """How far `Recipe.prepare` or `Recipe.finish` is, 0..1."""

    phase: Literal["prepare", "finish"]
    fraction: float
    text: str
    event: Literal["run_progress"] = "run_progress"


@dataclass(frozen=True)
class PartStarted:
    """A part begins."""

    part: Part
    event: Literal["part_started"] = "part_started"


@dataclass(frozen=True)
class PartProgress:
    """How far a part is, 0..1, and what it does."""

    part: Part
    fraction: float
    text: str
    event: Literal["part_progress"] = "part_progress"


@dataclass(frozen=True)
class PartDone:
    """A part came to its end; wall time [s]."""

    part: Part
    seconds: float
    event: Literal["part_done"] = "part_done"


@dataclass(frozen=True)
class PartFailed:
    """A part failed or was skipped."""

    failure: PartFailure
    seconds: float
    event: Literal["part_failed"] = "part_failed"


@dataclass(frozen=True)
class RunDone:
    """The run came to its end."""

    result: RunResult
    event: Literal["run_done"] = "run_done"


@dataclass(frozen=True)
class RunError:
    """The run as a whole failed."""

    error_type: str
    message: str
    retriable: bool
    event: Literal["run_error"] = "run_error"


@dataclass(frozen=True)
class PlotsMade:
    """The pictures of a block are made; ``missing`` says which are not, and why."""

    plots: tuple[PlotFile, ...]
    missing: str
    event: Literal["plots_made"] = "plots_made"


@dataclass(frozen=True)
class PlotsFailed:
    """No pictures could be made."""

    message: str
    event: Literal["plots_failed"] = "plots_failed"


@dataclass(frozen=True)
class Output:
    """A line that is no event."""

    text: str
    event: Literal["output"] = "output"


Event = (
    RunStarted
    | RunProgress
    | PartStarted
    | PartProgress
    | PartDone
    | PartFailed
    | RunDone
    | RunError
    | PlotsMade
    | PlotsFailed
    | Output
)
EventSink = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Take no note of an event."""


@cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[Event, Field(discriminator="event")])


def event_line(event: Event) -> bytes:
    """An event as one line of JSON, its end included."""
    return bytes(_adapter().dump_json(event)) + b"\n"


def parse_event(line: bytes) -> Event:
    """The event of a line; `Output` for whatever else it is."""
    try:
        event: Event = _adapter().validate_json(line)
    except ValidationError:
        return Output(line.decode(errors="replace").rstrip())
    return event
