"""The state of a run in a directory that several processes and hosts see.

One small file for the run and one for the outcome of each part, each written under a temporary name and renamed: a part
is there wholly or not at all, and doing it twice ends with the same file.
"""

from __future__ import annotations

import os
import pickle
import socket
from pathlib import Path
from typing import Any

from core.errors import NotFoundError, ProductStoreError
from core.recipes.engine import Run
from core.recipes.parts import Part
from core.recipes.results import PartOutcome, RunResult

__all__ = ["RunDirectory"]


class RunDirectory:
    """The state of one run.

    Parameters
    ----------
    path : pathlib.Path
        Existing directory, trusted: what lies in it is unpickled.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def save_run(self, run: Run) -> None:
        """Keep a run that is prepared.

        Raises
        ------
        ProductStoreError
            If disk or permissions fail.
        """
        self._save("run", run)

    def run(self) -> Run:
        """The run.

        Raises
        ------
        NotFoundError
            If none was saved.
        """
        found = self._load("run")
        if not isinstance(found, Run):
            raise NotFoundError("no run is prepared here", file=self.path)
        return found

    def save_outcome(self, outcome: PartOutcome) -> None:
        """Keep the outcome of a part; a later one of the same part replaces it.

        Raises
        ------
        ProductStoreError
            If disk or permissions fail.
        """
        self._save(outcome.part.key, outcome)

    def outcome(self, part: Part) -> PartOutcome | None:
        """The outcome of a part, None if it has not come to its end."""
        found = self._load(part.key)
        return found if isinstance(found, PartOutcome) else None

    def outcomes(self) -> tuple[PartOutcome, ...]:
        """Outcomes of the parts that came to their end, in the order of the run."""
        return tuple(outcome for part in self.run().parts if (outcome := self.outcome(part)) is not None)

    def save_result(self, result: RunResult) -> None:
        """Keep the result of the run: it is finished, and must not be finished again.

        Raises
        ------
        ProductStoreError
            If disk or permissions fail.
        """
        self._save("result", result)

    def result(self) -> RunResult | None:
        """The result of the run, None if it is not finished."""
        found = self._load("result")
        return found if isinstance(found, RunResult) else None

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.pickle"

    def _save(self, name: str, value: Any) -> None:
        file = self._file(name)
        draft = file.with_name(f".{file.name}.{socket.gethostname()}.{os.getpid()}.part")
        try:
            with draft.open("wb") as stream:
                pickle.dump(value, stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(draft, file)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise ProductStoreError(f"cannot write: {error.strerror}", file=file) from error

    def _load(self, name: str) -> object:
        try:
            found: object = pickle.loads(self._file(name).read_bytes())
        except FileNotFoundError:
            return None
        return found
