"""Progress bars of blocks that run in this process or elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from core.recipes.events import Event, PartProgress
from service.cli.common import console, state_text

__all__ = ["BlockProgressBars"]


class BlockProgressBars:
    """One bar per running block, with its phase; finished blocks become a line. Nothing at all if ``quiet``."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[phase]}[/]"),
            console=console,
            transient=True,
            disable=quiet,
        )
        self._tasks: dict[str, TaskID] = {}
        self._parts: dict[str, dict[str, float]] = {}

    def __enter__(self) -> BlockProgressBars:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing."""
        self._progress.stop()

    def on_block(self, name: str, outcome: Any) -> None:
        """A block begins (outcome None) or ends."""
        if outcome is None:
            self.show(name, 0.0, "starts")
        else:
            self.finish(name, str(getattr(outcome, "value", outcome)))

    def on_event(self, name: str, event: Event) -> None:
        """A progress event of the recipe: mean over the parts seen so far."""
        if not isinstance(event, PartProgress):
            return
        seen = self._parts.setdefault(name, {})
        seen[event.part.key] = event.fraction
        self.show(name, sum(seen.values()) / len(seen), f"{event.part.label}: {event.text}")

    def shows(self, name: str) -> bool:
        """Whether a bar of that name is drawn."""
        return name in self._tasks

    def show(self, name: str, fraction: float, phase: str) -> None:
        """Draw the bar of a block."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=1.0, phase=phase)
        self._progress.update(self._tasks[name], completed=fraction, phase=phase)

    def finish(self, name: str, word: str) -> None:
        """Replace the bar by a line."""
        task = self._tasks.pop(name, None)
        seconds = ""
        if task is not None:
            elapsed = self._progress.tasks[self._progress.task_ids.index(task)].elapsed
            seconds = f" {elapsed:.1f} s" if elapsed is not None else ""
            self._progress.remove_task(task)
        self._parts.pop(name, None)
        if not self._quiet:
            console.print(f"{name} {state_text(word)}{seconds}", soft_wrap=True)
