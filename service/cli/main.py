"""The command line: ``cascade demo``, ``up``, ``ingest``, ``plan``, ``run``, ``status``, ``qc``,
``export-masters``, ``db``.

Heavy modules are imported by the commands, so that ``cascade --help`` answers at once. Every error that a user may meet
is printed as a sentence with its cause and cure; the exit code is 1 then, 2 for a wrong command line, 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Archive-driven reduction, quality control and trending.",
)
db = typer.Typer(no_args_is_help=True, help="The archive database.")
app.add_typer(db, name="db")

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where everything lives; else CASCADE_DATA_DIR, else ./cascade-data."),
]
Nights = Annotated[list[str] | None, typer.Argument(metavar="[NIGHT]...", help="Evening dates, e.g. 2026-11-01.")]


@app.command()
def demo(
    directory: Annotated[Path, typer.Argument(help="Where the demonstration lives.")] = Path("cascade-demo"),
    port: Annotated[int, typer.Option(help="Port of the pages.")] = 8000,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Serve the pages when all is reduced.")] = True,
    units: Annotated[str, typer.Option(help="Units to simulate, e.g. 1,2 or 1-24.")] = "1,2",
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
    port: Annotated[int, typer.Option(help="Port of the pages.")] = 8000,
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
) -> None:
    """Read new raw frames once, and say what became of them."""
    from service.cli.work import run_ingest

    raise typer.Exit(run_ingest(paths or [], data_dir, release=release))


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
def run(nights: Nights = None, data_dir: DataDir = None) -> None:
    """Plan and reduce until nothing is left to do, without daemons."""
    from service.cli.work import run_blocks

    raise typer.Exit(run_blocks(nights or [], data_dir))


@app.command()
def status(data_dir: DataDir = None, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
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
) -> None:
    """The last QC1 values."""
    from service.cli.look import run_qc

    raise typer.Exit(run_qc(name, column, data_dir, last=last, as_csv=as_csv))


@app.command("export-masters")
def export_masters(
    directory: Annotated[Path, typer.Argument(help="Where the copies go; made if it does not exist.")],
    nights: Annotated[
        list[str] | None, typer.Option("--night", help="Evening date; may be given again. The latest if not given.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Copy master calibrations under the observatory's names (MU_MBIA_261101A_...). Nothing is overwritten."""
    from service.cli.export import run_export

    raise typer.Exit(run_export(directory, nights or [], data_dir))


@db.command("upgrade")
def db_upgrade(data_dir: DataDir = None) -> None:
    """Bring the database to the schema of this version; creates it if there is none."""
    from service.cli.look import run_db_upgrade

    raise typer.Exit(run_db_upgrade(data_dir))


def main() -> None:
    """Run the command line and turn errors into sentences and exit codes."""
    try:
        app(standalone_mode=True)
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

    if isinstance(error, MuseError):
        print(f"cascade: {error}", file=sys.stderr)
        return 1
    if isinstance(error, ValidationError) and error.title == "Settings":
        for item in error.errors():
            name = ".".join(str(part) for part in item["loc"]).upper()
            print(f"cascade: CASCADE_{name} is not accepted: {item['msg']}", file=sys.stderr)
        return 1
    if isinstance(error, PermissionError) and error.filename:
        print(f"cascade: no permission for {error.filename}; choose another --data-dir", file=sys.stderr)
        return 1
    raise error


if __name__ == "__main__":
    main()
