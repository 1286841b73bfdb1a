"""The states of the things in the archive, and which change of state is allowed.

The values are what is stored, sent over HTTP and shown on pages; they never change their spelling.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = [
    "BLOCK_CHANGES",
    "BLOCK_OPEN_STATES",
    "BLOCK_QUIET_STATES",
    "PART_CHANGES",
    "BlockState",
    "FrameState",
    "InputKind",
    "ProductState",
    "QuarantineReason",
    "QuarantineState",
    "WorkerKind",
]


class FrameState(StrEnum):
    """What became of a raw frame after it was ingested."""

    PRESENT = "present"  # the file is where it was seen last
    MISSING = "missing"  # the file is gone from the archive directory, or was overwritten by a broken one
    DUPLICATE = "duplicate"  # its content turned out to be that of an earlier frame
    DAMAGED = "damaged"  # its bytes are not those that its checksums were made from
    EXCLUDED = "excluded"  # a person does not want it to be used


class BlockState(StrEnum):
    """The life of a block, one execution of one recipe on one group of frames; and of a part leased by itself."""

    INCOMPLETE = "incomplete"  # a needed calibration is missing
    WAITING = "waiting"  # inputs are planned, but not made yet
    READY = "ready"  # all inputs exist
    QUEUED = "queued"  # the task is on the broker
    RUNNING = "running"  # a worker holds the lease
    DONE = "done"  # products, QC1 and scores are in the archive
    FAILED = "failed"  # typed error, not retriable or all tries used up
    CANCELLED = "cancelled"  # a person stopped it
    SUPERSEDED = "superseded"  # a newer plan replaced it


# One row per state: where a block may go from there. `core.archive.transitions` refuses everything else; a block that
# is made again goes back to DONE where others become FAILED or CANCELLED.
BLOCK_CHANGES: Final[dict[BlockState, frozenset[BlockState]]] = {
    BlockState.INCOMPLETE: frozenset(
        {BlockState.WAITING, BlockState.READY, BlockState.CANCELLED, BlockState.SUPERSEDED}
    ),
    BlockState.WAITING: frozenset(
        {BlockState.INCOMPLETE, BlockState.READY, BlockState.CANCELLED, BlockState.SUPERSEDED}
    ),
    BlockState.READY: frozenset(
        {
            BlockState.INCOMPLETE,
            BlockState.WAITING,
            BlockState.QUEUED,
            BlockState.RUNNING,
            BlockState.CANCELLED,
            BlockState.SUPERSEDED,
        }
    ),
    # A new plan may change a block that is on the broker: its message then finds nothing to claim.
    BlockState.QUEUED: frozenset(
        {
            BlockState.INCOMPLETE,
            BlockState.WAITING,
            BlockState.READY,
            BlockState.RUNNING,
            BlockState.CANCELLED,
            BlockState.SUPERSEDED,
        }
    ),
    BlockState.RUNNING: frozenset({BlockState.DONE, BlockState.FAILED, BlockState.READY, BlockState.CANCELLED}),
    BlockState.DONE: frozenset({BlockState.WAITING, BlockState.READY, BlockState.SUPERSEDED}),
    BlockState.FAILED: frozenset({BlockState.WAITING, BlockState.READY, BlockState.SUPERSEDED}),
    BlockState.CANCELLED: frozenset({BlockState.WAITING, BlockState.READY, BlockState.SUPERSEDED}),
    BlockState.SUPERSEDED: frozenset(),
}

# The same for the parts of a block; they begin READY, and the last step WAITING.
PART_CHANGES: Final[dict[BlockState, frozenset[BlockState]]] = {
    BlockState.WAITING: frozenset({BlockState.READY, BlockState.CANCELLED}),
    BlockState.READY: frozenset({BlockState.QUEUED, BlockState.RUNNING, BlockState.CANCELLED}),
    BlockState.QUEUED: frozenset({BlockState.READY, BlockState.RUNNING, BlockState.CANCELLED}),
    BlockState.RUNNING: frozenset({BlockState.DONE, BlockState.FAILED, BlockState.READY, BlockState.CANCELLED}),
    BlockState.DONE: frozenset(),
    BlockState.FAILED: frozenset(),
    BlockState.CANCELLED: frozenset(),
}

# Work is still to come from these.
BLOCK_OPEN_STATES: Final = frozenset(
    {
        BlockState.INCOMPLETE,
        BlockState.WAITING,
        BlockState.READY,
        BlockState.QUEUED,
        BlockState.RUNNING,
    }
)
# Nothing happens to these without a person or a new plan.
BLOCK_QUIET_STATES: Final = frozenset(BlockState) - BLOCK_OPEN_STATES


class InputKind(StrEnum):
    """Where an input of a block comes from."""

    RAW = "raw"  # a frame
    PRODUCT = "product"  # products that exist
    PLANNED = "planned"  # products of a block that is not done yet
    STATIC = "static"  # a static calibration file
    MISSING = "missing"  # nothing fits; the reason says why


class ProductState(StrEnum):
    """Trust in a product."""

    PROVISIONAL = "provisional"
    CERTIFIED = "certified"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"  # a later run of its block replaced it


class QuarantineReason(StrEnum):
    """Why a file could not be ingested."""

    NOT_FITS = "not_fits"
    TRUNCATED = "truncated"
    NO_DPR = "no_dpr"
    UNKNOWN_TYPE = "unknown_type"
    MISSING_KEYWORD = "missing_keyword"
    BAD_DATE = "bad_date"
    DUPLICATE = "duplicate"
    COMPRESSED = "compressed"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"


class QuarantineState(StrEnum):
    """What became of a quarantined file."""

    HELD = "held"  # unusable, as it lies there
    RELEASED = "released"  # repaired or set free, and ingested since
    GONE = "gone"  # the file disappeared


class WorkerKind(StrEnum):
    """The daemons that report that they are alive."""

    INGEST = "ingest"
    DISPATCH = "dispatch"
    EXECUTE = "execute"
    HOUSEKEEPING = "housekeeping"
    API = "api"
