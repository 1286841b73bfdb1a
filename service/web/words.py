"""What states and reasons mean, and what to do, in one sentence each."""

from __future__ import annotations

from typing import Final

from core.archive.models import Block
from core.archive.states import BlockState, FrameState, ProductState, QuarantineReason

__all__ = ["QUARANTINE_CURES", "STATE_WORDS", "lost_words"]

STATE_WORDS: Final[dict[str, str]] = {
    BlockState.INCOMPLETE: "A needed calibration is missing; the reason stands with the input.",
    BlockState.WAITING: "All inputs are known, but some are not made yet.",
    BlockState.READY: "All inputs exist; the dispatcher sends it to a worker next.",
    BlockState.QUEUED: "The task is on the broker and waits for a free worker.",
    BlockState.RUNNING: "A worker holds the lease and reports progress.",
    BlockState.DONE: "Products, QC1 values and scores are in the archive.",
    BlockState.FAILED: "It cannot be made: the error stands on the page of the block.",
    BlockState.CANCELLED: "A person stopped it.",
    BlockState.SUPERSEDED: "A newer plan replaced it.",
    ProductState.PROVISIONAL: "Made, and not yet judged.",
    ProductState.CERTIFIED: "Judged good.",
    ProductState.REJECTED: "Judged bad: it is never chosen as an input.",
    FrameState.PRESENT: "The file is where it was seen last.",
    FrameState.MISSING: "The file is gone; what was made of it stays.",
    FrameState.DUPLICATE: "Its content is that of an earlier frame, which is used instead.",
    FrameState.DAMAGED: "Its bytes do not agree with its checksums: it is not used until it is delivered again.",
    FrameState.EXCLUDED: "A person does not want it to be used; the reason stands on its page.",
}

QUARANTINE_CURES: Final[dict[QuarantineReason, str]] = {
    QuarantineReason.NOT_FITS: "It is no FITS file that can be read. Copy it again, or remove it.",
    QuarantineReason.TRUNCATED: "The file is shorter than its headers promise. Copy it again.",
    QuarantineReason.NO_DPR: "DPR.CATG, DPR.TYPE or DPR.TECH is missing. Repair the header; the next scan takes it.",
    QuarantineReason.UNKNOWN_TYPE: "No classification rule fits its DPR keywords; see the rules under Docs.",
    QuarantineReason.MISSING_KEYWORD: "A keyword that this type needs is missing. Repair the header.",
    QuarantineReason.BAD_DATE: "The time of observation cannot be read or is impossible. Repair the header.",
    QuarantineReason.DUPLICATE: "The archive has this exposure already under another path. Keep one of the two.",
    QuarantineReason.COMPRESSED: "Unpack it, or compress it by fpack (.fits.fz); raw frames also by gzip (.fits.gz).",
    QuarantineReason.DAMAGED: "Copy it again; a header changed by hand needs a new CHECKSUM. A frame may be included "
    "on its page as it is.",
    QuarantineReason.UNREADABLE: "The file cannot be opened. Check permissions and the disk.",
}


def lost_words(block: Block) -> str:
    """The units that a block that is done lacks: ``IFU 7 failed, 3 IFUs left out``; empty if it has all."""
    words, parts = block.unit_words, []
    for units, what in ((block.failed_units, "failed"), (block.skipped_units, "left out")):
        if units:
            parts.append(f"{words.word} {units[0]} {what}" if len(units) == 1 else f"{len(units)} {words.words} {what}")
    return ", ".join(parts)
