"""Fixtures of the whole suite: an empty archive database, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from core.archive.schema import upgrade
from core.archive.sessions import Archive

ROOT = Path(__file__).parents[1]


def pytest_configure() -> None:
    """Processes that tests start find the toys of the tests; interrupts are heard.

    Children run with ``-P``, so that no working directory is searched for modules. A shell starts what runs in its
    background deaf to interrupts.
    """
    found = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT), found)) if found else str(ROOT)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def run_async() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Runs a coroutine in a thread of its own: the browser of other tests keeps a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        yield lambda story: thread.submit(asyncio.run, story).result()


@pytest.fixture(scope="session")
def lzw() -> Callable[[bytes], bytes]:
    """Packs bytes as ``compress`` does (``.Z``), without making them any smaller: codes of single bytes only.

    Before the codes would become longer than nine bits the table is cleared, at the end of a group of eight codes.
    """

    def pack(content: bytes) -> bytes:
        codes = np.insert(np.frombuffer(content, np.uint8).astype("<u2"), range(239, len(content), 239), 256)
        bits = np.unpackbits(codes.view(np.uint8).reshape(-1, 2), axis=1, count=9, bitorder="little")
        return b"\x1f\x9d\x90" + np.packbits(bits.reshape(-1), bitorder="little").tobytes()

    return pack


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of our own, started once; skips where its wheel is not installed."""
    pgserver = pytest.importorskip("pgserver")
    # Not below tmp_path: a socket path has at most 107 characters, and the server runs as another user than root.
    folder = tempfile.mkdtemp(prefix="cascade-pg-")
    os.chmod(folder, 0o755)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about runtime directories, from a library of a library
        server = pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:  # a server that is thrown away need not survive a power cut
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    admin.dispose()
    yield url
    # At once: in order it would first write the hundreds of databases that are thrown away, for minutes.
    os.kill(int((Path(folder) / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with all tables, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_database(postgres_url: str) -> Iterator[Callable[[str | None], str]]:
    """Makes new databases, empty or from a migrated template; answers with their URL."""
    admin = create_engine(postgres_url, isolation_level="AUTOCOMMIT")

    def create(template: str | None) -> str:
        name = f"t{uuid4().hex[:12]}"
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else "")))
        return make_url(postgres_url).set(database=name).render_as_string(hide_password=False)

    yield create
    admin.dispose()


@pytest.fixture(scope="session")
def migrated_postgres(postgres_database: Callable[[str | None], str]) -> str:
    """Name of a PostgreSQL database with all tables, to be used as a template."""
    url = postgres_database(None)
    upgrade(url)
    return str(make_url(url).database)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.sqlite'}"
    return str(request.getfixturevalue("postgres_database")(None))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database with all tables and no rows, fresh for each test."""
    if request.param == "sqlite":
        return f"sqlite:///{shutil.copy(request.getfixturevalue('migrated_sqlite'), tmp_path / 'archive.sqlite')}"
    template = request.getfixturevalue("migrated_postgres")
    return str(request.getfixturevalue("postgres_database")(template))


@pytest.fixture
def archive(database_url: str) -> Iterator[Archive]:
    """An empty archive, once on SQLite and once on PostgreSQL."""
    archive = Archive(database_url)
    yield archive
    archive.dispose()


@pytest.fixture
def sqlite_archive(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Archive]:
    """An empty archive on SQLite, where the database makes no difference."""
    archive = Archive(f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'archive.sqlite')}")
    yield archive
    archive.dispose()


def _card(name: str, value: object) -> bytes:
    if "." in name:
        name = "HIERARCH ESO " + name.replace(".", " ")
        start = f"{name} = "
    else:
        start = f"{name:8s}= "
    if isinstance(value, bool):
        text_value = f"{'T' if value else 'F':>20}"
    elif isinstance(value, str) and not value.startswith("raw:"):
        text_value = "'" + value.replace("'", "''").ljust(8) + "'"
    else:
        text_value = f"{str(value).removeprefix('raw:'):>20}"
    return (start + text_value).encode("utf-8")[:80].ljust(80)


def _header(cards: dict[str, object]) -> bytes:
    data = b"".join(_card(name, value) for name, value in cards.items() if value is not None) + b"END".ljust(80)
    return data + b" " * (-len(data) % 2880)


@pytest.fixture(scope="session")
def raw_bytes() -> Callable[..., bytes]:
    """Builds the bytes of a small raw frame: ``raw_bytes({"DPR.TYPE": "WAVE"}, ifus=(1, 2))``.

    Keywords of None are left out; a text ``raw:NaN`` is written without quotes. ``DATE-OBS`` sets ``MJD-OBS``.
    """

    def build(
        keywords: dict[str, object] | None = None,
        *,
        ifus: tuple[int, ...] = (1, 2),
        shape: tuple[int, int] = (24, 24),
        extension: dict[str, object] | None = None,
    ) -> bytes:
        cards: dict[str, object] = {
            "SIMPLE": True,
            "BITPIX": 8,
            "NAXIS": 0,
            "EXTEND": True,
            "INSTRUME": "MUSE",
            "OBJECT": "BIAS",
            "EXPTIME": 0.0,
            "DATE-OBS": "2026-11-01T22:00:00.000",
            "DPR.CATG": "CALIB",
            "DPR.TYPE": "BIAS",
            "DPR.TECH": "IFU",
            "TPL.ID": "MUSE_cal_bias",
            "TPL.START": "2026-11-01T21:59:00",
            "TPL.EXPNO": 1,
            "TPL.NEXP": 11,
            "OBS.ID": 200000001,
            "OBS.PROG.ID": "60.A-9100(A)",
            "INS.MODE": "WFM-NOAO-N",
            "INS.OPTI1.NAME": "Blue",
            "INS.OPTI2.NAME": "WFM",
            "INS.TEMP4.VAL": 12.5,
            **{f"INS.SHUT{lamp}.ST": False for lamp in range(1, 7)},
            "DET.READ.CURID": 1,
            "DET.READ.CURNAME": "SCI1.0",
            "DET.BINX": 1,
            "DET.BINY": 1,
            **(keywords or {}),
        }
        if "MJD-OBS" not in cards:
            try:
                moment = datetime.fromisoformat(str(cards["DATE-OBS"])).replace(tzinfo=UTC)
                cards["MJD-OBS"] = (moment - datetime(1858, 11, 17, tzinfo=UTC)) / timedelta(days=1)
            except ValueError:
                pass
        parts = [_header(cards)]
        for ifu in ifus:
            channel: dict[str, object] = {
                "XTENSION": "IMAGE",
                "BITPIX": 16,
                "NAXIS": 2,
                "NAXIS1": shape[1],
                "NAXIS2": shape[0],
                "PCOUNT": 0,
                "GCOUNT": 1,
                "EXTNAME": f"CHAN{ifu:02d}",
                "BZERO": 32768,
            }
            for port, (x, y) in enumerate(((1, 1), (4096, 1), (4096, 4112), (1, 4112)), start=1):
                out = f"DET.OUT{port}"
                channel |= {f"{out}.X": x, f"{out}.Y": y, f"{out}.NX": 8, f"{out}.NY": 8, f"{out}.GAIN": 1.0}
                channel |= {f"{out}.{key}": 2 for key in ("PRSCX", "PRSCY", "OVSCX", "OVSCY")}
            pixels = bytes(2 * shape[0] * shape[1])
            parts += [_header(channel | (extension or {})), pixels, bytes(-len(pixels) % 2880)]
        return b"".join(parts)

    return build


@pytest.fixture(scope="session")
def cfitsio_sums() -> Callable[[Path], list[tuple[int, int]]]:
    """Asks CFITSIO for the state of DATASUM and CHECKSUM of every HDU: 1 is right, 0 missing, -1 wrong."""
    spec = importlib.util.spec_from_file_location("cfitsio", Path(__file__).parents[1] / "benchmarks" / "cfitsio.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def sums(path: Path) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] | None = module.cfitsio_sums(path)
        if found is None:
            pytest.skip("CFITSIO is not installed")
        return found

    return sums
