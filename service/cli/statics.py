"""``cascade statics``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from core.cascade.words import count_words
from core.errors import ProductStoreError
from core.staticcal.directory import StaticFile
from core.staticcal.fields import write_fields
from core.staticcal.writing import is_built_here
from service.cli.common import console, print_json, settings_of
from service.cli.tables import print_statics
from workers.statics import build_statics, faults, list_all

__all__ = ["run_statics"]

_FIELDS: Final = "astrometry_reference.fits"


def run_statics(
    data_dir: Path | None, *, simulated: bool, seed: int, fields: Sequence[Path], again: bool, as_json: bool
) -> int:
    """Build what the static directory lacks, and print what it holds; 1 if a file cannot be used."""
    directory = settings_of(data_dir).static_dir
    written = build_statics(directory, again=again)
    if fields:
        target = directory / _FIELDS
        if target.is_file() and not is_built_here(target):
            raise ProductStoreError("it was delivered and is not overwritten; move it away first", file=target)
        written.append(write_fields(target, fields, datetime.now(UTC).date().isoformat()))
    if simulated:
        from core.simulator.statics import write_simulated_statics  # it compiles kernels

        written += write_simulated_statics(directory, seed, again=again)
    files, bad = list_all(directory), faults(directory)
    if as_json:
        print_json(
            {
                "directory": str(directory),
                "written": [str(path) for path in written],
                "files": [_told(file) for file in files],
                "faults": [{"path": fault.path, "reason": fault.reason} for fault in bad],
            }
        )
        return int(bool(bad))
    print_statics(directory, files)
    for fault in bad:
        console.print(f"[bold red]cannot be used[/] {fault.path}: {fault.reason}", soft_wrap=True)
    console.print(f"{count_words(len(written), 'file')} written to {directory}", soft_wrap=True)
    return int(bool(bad))


def _told(file: StaticFile) -> dict[str, Any]:
    return {
        "tag": file.tag,
        "path": file.path,
        "valid_from_mjd": file.valid_from if math.isfinite(file.valid_from) else None,
        "valid_until_mjd": file.valid_until if math.isfinite(file.valid_until) else None,
        "setup": dict(file.setup),
        "pair": file.pair,
        "version": file.version,
        "built": file.built,
        "sha256": file.digest,
    }
