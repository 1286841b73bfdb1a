"""``cascade export-masters``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.archive.export import export_sets, exportable
from core.archive.pages.nights import latest_night
from core.archive.sessions import Archive
from core.cascade.words import count_words
from core.errors import NotFoundError
from service.cli.common import check_archive, console, parse_nights, print_json, settings_of
from service.commands import command_line

__all__ = ["run_export"]


def run_export(directory: Path, nights: Sequence[str], data_dir: Path | None, *, as_json: bool) -> int:
    """Copy the masters of nights into a directory; 1 if one of them is damaged or gone."""
    settings = settings_of(data_dir)
    check_archive(settings)
    archive = Archive(settings.database_url)
    wanted = parse_nights(nights)
    with archive.read() as session:
        latest = latest_night(session)
        wanted = wanted or ([latest] if latest is not None else [])
        sets = exportable(session, wanted)
    archive.dispose()
    shown = ", ".join(str(night) for night in wanted) or "any night"
    if not sets:
        cure = command_line(settings, "cascade run")
        raise NotFoundError(f"there are no products of {shown}: reduce the night first ({cure})")
    done = export_sets([item for item in sets if item.code], directory)
    if as_json:
        print_json(
            [
                {"source": item.source, "target": item.target, "new": item.new, "reason": item.reason or None}
                for item in done
            ]
        )
        return int(any(entry.target is None for entry in done))
    for entry in done:
        if entry.target is None:
            console.print(f"[bold red]not exported[/] {entry.source}: {entry.reason}", soft_wrap=True)
        else:
            console.print(f"{entry.target.name} {'new' if entry.new else 'there already'}", soft_wrap=True)
    for tag in sorted({item.tag for item in sets if not item.code}):
        console.print(f"{tag} is left out: it has no product code of a master", soft_wrap=True)
    console.print(f"{count_words(sum(entry.new for entry in done), 'file')} exported to {directory}", soft_wrap=True)
    return int(any(entry.target is None for entry in done))
