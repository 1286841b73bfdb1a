"""How the execution of a block, or of a part of one, ended."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Outcome"]


class Outcome(StrEnum):
    """How an execution ended."""

    SKIPPED = "skipped"  # somebody else has it, it is not to be run, or there is no memory for it
    DONE = "done"
    PARTIAL = "partial"  # done, but parts failed
    DIVIDED = "divided"  # the block is prepared: its parts are to be done
    PART_DONE = "part_done"  # one part of a block
    FAILED = "failed"
    RETRY = "retry"  # READY again, after a pause
    CANCELLED = "cancelled"
    LOST = "lost"  # the lease went to somebody else; nothing was written
    RELEASED = "released"  # given back because the worker ends

    @property
    def ends_block(self) -> bool:
        """Whether nothing is left to do of the block, as far as this execution goes."""
        return self not in (Outcome.DIVIDED, Outcome.PART_DONE)
