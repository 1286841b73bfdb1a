"""The command line ``cascade``; what each command does is in the modules beside this one.

Heavy modules are imported by the commands, so that ``cascade --help`` answers at once. Every error that a user may meet
is printed as a sentence with its cause and cure; the exit code is 1 then, 2 for a wrong command line, 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

__all__ = ["app", "main"]


class _Command(TyperCommand):
    """A command whose summary in the list of commands is whole."""

    def get_short_help_str(self, limit: int = 45) -> str:
        """The help text as one line."""
        return " ".join((self.help or "").split())


class _App(typer.Typer):
    def command(self, name: str | None = None, **options: object):  # type: ignore[no-untyped-def]
        return super().command(name, cls=_Command, context_settings=_CONTEXT, **options)  # type: ignore[arg-type]


_CONTEXT = {"help_option_names": ["-h", "--help"]}
app = _App(
    no_args_is_help=True,
    context_settings=_CONTEXT,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Archive-driven reduction, quality control and trending.",
)
db = _App(no_args_is_help=True, context_settings=_CONTEXT, help="The archive database.")
app.add_typer(db, name="db")

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where everything lives; else CASCADE_DATA_DIR, else ./cascade-data."),
]
Nights = Annotated[list[str] | None, typer.Argument(metavar="[NIGHT]...", help="Evening dates, e.g. 2026-11-01.")]
Blocks = Annotated[list[str], typer.Argument(metavar="BLOCK...", help="Names of blocks, as cascade plan prints them.")]
Frames = Annotated[list[str], typer.Argument(metavar="FRAME...", help="Names of raw frames, as their pages show them.")]
Judged = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of blocks, or numbers of products.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Port = Annotated[int, typer.Option(help="Port of the pages.", min=1, max=65535)]
Reason = Annotated[str, typer.Option("--comment", help="Why; it is kept with the event.")]
Comment = Annotated[str, typer.Option("--comment", help="Why; it is kept with the event.", show_default=False)]


def _print_version(wanted: bool) -> None:
    if wanted:
        from core import __version__

        print(f"cascade {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Archive-driven reduction, quality control and trending for MUSE."""


@app.command()
def demo(
    directory: Annotated[Path, typer.Argument(help="Where the demonstration lives.")] = Path("cascade-demo"),
    port: Port = 8000,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Serve the pages when all is reduced.")] = True,
    units: Annotated[
        str, typer.Option(help="Units to simulate, e.g. 1,2 or 1-24; 12 and 13 see the standard star.")
    ] = "12,13",
    night: Annotated[str | None, typer.Option(help="Evening date; last night if not given.")] = None,
    nights: Annotated[int, typer.Option(help="Nights in all: the earlier ones have biases only.", min=1, max=400)] = 4,
) -> None:
    """Simulate a small night, ingest it, reduce it, show the cascade and the QC1 values, serve the pages."""
    from service.cli.demo import run_demo

    raise typer.Exit(run_demo(directory, port=port, serve=serve, units=units, night=night, nights=nights))


@app.command()
def up(
    archive_dirs: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIRECTORY]...", help="Directories of raw frames.")
    ] = None,
    data_dir: DataDir = None,
    host: Annotated[str, typer.Option(help="Address that the pages listen on.")] = "127.0.0.1",
    port: Port = 8000,
) -> None:
    """Start all daemons and the pages, and keep them running until Ctrl-C."""
    from service.cli.up import run_up

    raise typer.Exit(run_up(archive_dirs or [], data_dir, host=host, port=port))


@app.command()
def ingest(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH]...", help="Files or directories; the archive if not given.")
    ] = None,
    data_dir: DataDir = None,
    release: Annotated[bool, typer.Option("--release", help="Read the quarantined files again.")] = False,
    as_json: Json = False,
) -> None:
    """Read new raw frames once, and say what became of them."""
    from service.cli.work import run_ingest

    raise typer.Exit(run_ingest(paths or [], data_dir, release=release, as_json=as_json))


@app.command()
def plan(
    nights: Nights = None,
    data_dir: DataDir = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say why each calibration was taken or refused.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Save nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The explanation as JSON.")] = False,
    with_recipes: Annotated[
        list[str] | None, typer.Option("--with", metavar="RECIPE", help="Run a recipe that is run on request only.")
    ] = None,
    with_inputs: Annotated[
        list[str] | None,
        typer.Option("--with-input", metavar="TAG", help="Take an input that is taken on request only."),
    ] = None,
    older_only: Annotated[
        bool, typer.Option("--older-only", help="Use only calibrations taken before the data.")
    ] = False,
    as_usual: Annotated[
        bool, typer.Option("--as-usual", help="Forget what was requested of the nights before.")
    ] = False,
) -> None:
    """Plan the cascade of nights (the latest one if none is given); what is requested of a night stays with it."""
    from service.cli.work import Wish, run_plan

    wish = Wish(tuple(with_recipes or ()), tuple(with_inputs or ()), older_only, as_usual)
    raise typer.Exit(run_plan(nights or [], data_dir, wish, explain=explain, dry_run=dry_run, as_json=as_json))


@app.command()
def run(nights: Nights = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Plan and reduce until nothing is left to do, without daemons."""
    from service.cli.work import run_blocks

    raise typer.Exit(run_blocks(nights or [], data_dir, as_json=as_json))


@app.command()
def status(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Daemons, freshness, blocks, and what must be done. Exit code 1 if something is wrong."""
    from service.cli.look import run_status

    raise typer.Exit(run_status(data_dir, as_json=as_json))


@app.command()
def qc(
    name: Annotated[
        str | None,
        typer.Argument(help="A QC1 table, a column (TABLE..COLUMN, or its numbered name) or a keyword."),
    ] = None,
    column: Annotated[str | None, typer.Argument(help="The column, if the name is that of a table.")] = None,
    data_dir: DataDir = None,
    last: Annotated[int, typer.Option(help="How many values of a column.", min=1)] = 24,
    as_csv: Annotated[bool, typer.Option("--csv", help="All values of the column as CSV.")] = False,
    as_json: Json = False,
) -> None:
    """The last QC1 values."""
    from service.cli.look import run_qc

    raise typer.Exit(run_qc(name, column, data_dir, last=last, as_csv=as_csv, as_json=as_json))


@app.command("export-masters")
def export_masters(
    directory: Annotated[Path, typer.Argument(help="Where the copies go; made if it does not exist.")],
    nights: Annotated[
        list[str] | None, typer.Option("--night", help="Evening date; may be given again. The latest if not given.")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Copy master calibrations under the observatory's names (MU_MBIA_261101A_...). Nothing is overwritten."""
    from service.cli.export import run_export

    raise typer.Exit(run_export(directory, nights or [], data_dir, as_json=as_json))


@app.command()
def statics(
    data_dir: DataDir = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Also those of the simulated instrument: not for real frames.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the simulation.", min=0)] = 1,
    field: Annotated[
        list[Path] | None,
        typer.Option(
            "--field", metavar="CATALOGUE", help="Stars of an astrometric field, CSV or FITS; may be repeated."
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Build anew what was built before.")] = False,
    as_json: Json = False,
) -> None:
    """Build the static calibrations that are missing, and list all. Exit code 1 if one cannot be used."""
    from service.cli.statics import run_statics

    raise typer.Exit(
        run_statics(data_dir, simulated=simulated, seed=seed, fields=field or [], again=again, as_json=as_json)
    )


@app.command()
def logs(
    name: Annotated[
        str | None, typer.Argument(help="A block or a daemon, e.g. worker; the logs of daemons if not given.")
    ] = None,
    data_dir: DataDir = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.", min=1)] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """The last lines of the log of a block or daemon."""
    from service.cli.logs import run_logs

    raise typer.Exit(run_logs(name, data_dir, lines=lines, follow=follow, as_json=as_json))


@app.command()
def quarantine(
    data_dir: DataDir = None,
    night: Annotated[str | None, typer.Option("--night", help="Evening date; all nights if not given.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also what was released or is gone.")] = False,
    as_json: Json = False,
) -> None:
    """Files that could not be ingested, with reason and cure. Exit code 1 if there are any."""
    from service.cli.logs import run_quarantine

    raise typer.Exit(run_quarantine(data_dir, night=night, every=every, as_json=as_json))


@app.command()
def rerun(blocks: Blocks, data_dir: DataDir = None, comment: Reason = "", as_json: Json = False) -> None:
    """Do blocks that are done, failed or cancelled again."""
    from service.cli.orders import run_rerun

    raise typer.Exit(run_rerun(blocks, data_dir, comment=comment, as_json=as_json))


@app.command("make-again")
def make_again(names: Judged, data_dir: DataDir = None, comment: Reason = "", as_json: Json = False) -> None:
    """Make intermediate products again that have expired; what was measured and judged of them stays."""
    from service.cli.orders import run_make_again

    raise typer.Exit(run_make_again(names, data_dir, comment=comment, as_json=as_json))


@app.command()
def cancel(blocks: Blocks, data_dir: DataDir = None, comment: Reason = "", as_json: Json = False) -> None:
    """Stop blocks that wait or run."""
    from service.cli.orders import run_cancel

    raise typer.Exit(run_cancel(blocks, data_dir, comment=comment, as_json=as_json))


@app.command()
def certify(names: Judged, comment: Comment, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Say that products are good."""
    from core.archive.states import ProductState
    from service.cli.orders import run_judge

    raise typer.Exit(run_judge(names, data_dir, ProductState.CERTIFIED, comment=comment, as_json=as_json))


@app.command()
def reject(names: Judged, comment: Comment, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Say that products are bad: they are never taken again, and what was made from them is planned anew."""
    from core.archive.states import ProductState
    from service.cli.orders import run_judge

    raise typer.Exit(run_judge(names, data_dir, ProductState.REJECTED, comment=comment, as_json=as_json))


@app.command()
def exclude(frames: Frames, comment: Comment, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Use raw frames no more: what was made of them is planned anew without them."""
    from service.cli.orders import run_use

    raise typer.Exit(run_use(frames, data_dir, use=False, comment=comment, as_json=as_json))


@app.command()
def include(frames: Frames, comment: Comment, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Use raw frames again that were excluded, or that are damaged."""
    from service.cli.orders import run_use

    raise typer.Exit(run_use(frames, data_dir, use=True, comment=comment, as_json=as_json))


@app.command()
def init(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Make the directories and the database of an archive; nothing happens to one that exists."""
    from service.cli.look import run_db_upgrade

    raise typer.Exit(run_db_upgrade(data_dir, as_json=as_json))


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The new file.")], data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Write all rows of the archive database into a new file, as they are at one moment; daemons may be at work."""
    from service.cli.backup import run_backup

    raise typer.Exit(run_backup(file, data_dir, as_json=as_json))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that cascade backup wrote.")],
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Fill a new archive from a backup; one that has rows already is left alone."""
    from service.cli.backup import run_restore

    raise typer.Exit(run_restore(file, data_dir, as_json=as_json))


@db.command("recount")
def db_recount(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Sum up anew the nights and blocks that pages show in numbers; says how many were wrong, which is a defect."""
    from service.cli.look import run_db_recount

    raise typer.Exit(run_db_recount(data_dir, as_json=as_json))


@db.command("upgrade")
def db_upgrade(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Bring the database to the schema of this version; creates it if there is none."""
    from service.cli.look import run_db_upgrade

    raise typer.Exit(run_db_upgrade(data_dir, as_json=as_json))


def main() -> None:
    """Run the command line and turn errors into sentences and exit codes."""
    try:
        app(prog_name="cascade")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output, e.g. head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        sys.exit(_tell(error))


def _tell(error: Exception) -> int:
    """Print an error that a user can cure; others are defects and keep their traceback."""
    from pydantic import ValidationError

    from core.errors import MuseError
    from core.settings import setting_faults

    if isinstance(error, MuseError):
        print(f"cascade: {error}", file=sys.stderr)
        return 1
    if isinstance(error, ValidationError) and error.title == "Settings":
        for sentence in setting_faults(error):
            print(f"cascade: {sentence}", file=sys.stderr)
        return 1
    if isinstance(error, OSError) and error.filename:  # a full disk, a permission, a directory that is a file
        print(f"cascade: {error.strerror}: {error.filename}", file=sys.stderr)
        return 1
    raise error


if __name__ == "__main__":
    main()
