"""An installation with three nights of rows, its application, and a browser."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from astropy.io import fits

from core.archive.models import Block, Frame, Product
from core.archive.sessions import Archive
from core.fitsfile.header import Header
from core.formats.cube import open_cube
from core.formats.image import MuseImage, write_image
from core.previews.cubeview import ViewMaker
from core.settings import Settings
from service.app import create_app
from service.server import PagesServer

LAST = date(2026, 11, 19)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _load(name: str) -> ModuleType:
    """A helper module beside this file; tests are not a package."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def factory() -> ModuleType:
    """The module that fills archives with rows."""
    return _load("factory")


@pytest.fixture(scope="session")
def settings(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path, factory: ModuleType, raw_bytes: object
) -> Settings:
    """An installation with 30 nights of rows, of which one frame, product and log are real files."""
    folder = tmp_path_factory.mktemp("installation")
    shutil.copy(migrated_sqlite, folder / "cascade.sqlite")
    settings = Settings(data_dir=folder)
    settings.make_directories()
    archive = Archive(settings.database_url)
    factory.fill_story(archive, LAST, nights=30, units=(1, 2), slices=3, outlier_rate=0.02)
    with archive.write() as session:
        frame = session.query(Frame).filter(Frame.tag == "BIAS").order_by(Frame.id.desc()).first()
        assert frame is not None
        path = settings.archive_dirs[0] / frame.file_name
        path.write_bytes(raw_bytes())  # type: ignore[operator]
        frame.path = str(path)
        product = session.query(Product).filter(Product.tag == "MASTER_BIAS").order_by(Product.id.desc()).first()
        assert product is not None
        y, x = np.mgrid[0:60, 0:80].astype(np.float32)
        image = MuseImage(x + y, np.zeros((60, 80), np.int32), np.ones((60, 80), np.float32), Header(), "adu")
        image.header["HIERARCH ESO QC BIAS MASTER1 RON"] = (2.46, "[count] read-out noise")
        product.path = str(write_image(settings.product_dir / product.file_name, image, ifu=product.unit))
        product.size = Path(product.path).stat().st_size
        block = session.get_one(Block, product.block_id)
        log = settings.log_dir / "block.log"
        log.write_text("".join(f"2026-11-20T11:0{i}:00 [ INFO  ] muse_bias: [unit=01] step {i}\n" for i in range(9)))
        block.log_path = str(log)
        plot = settings.product_dir / "bias0.png"
        plot.write_bytes(b"\x89PNG\r\n\x1a\n")
        block.plots = [{"name": "bias0", "title": "Cuts", "caption": "rows", "path": str(plot), "unit": None}]
        _add_cube(session, settings.product_dir)
        _add_curves(session, settings.product_dir)
    archive.dispose()
    return settings


def _add_cube(session: Any, folder: Path) -> None:
    """The first wavelength table of all is a cube on disk, with a view and an image."""
    product = session.query(Product).filter(Product.tag == "WAVECAL_TABLE").order_by(Product.id).first()
    image = session.query(Product).filter(Product.block_id == product.block_id, Product.unit == 2).one()
    axes = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 1.0, "CRPIX2": 1.0, "CRVAL1": 150.0, "CRVAL2": -30.0,
            "CD1_1": -5e-5, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 5e-5}  # fmt: skip
    more = {"CTYPE3": "AWAV", "CRPIX3": 1.0, "CRVAL3": 5000.0, "CD3_3": 1.25, "BUNIT": "count"}
    z, y, x = np.mgrid[0:40, 0:12, 0:16].astype(np.float32)
    cube = 1000 * y + 10 * x + z
    parts = [fits.ImageHDU(cube, fits.Header({**axes, **more}), part) for part in ("DATA", "STAT")]
    fits.HDUList([fits.PrimaryHDU(), *parts]).writeto(folder / "CUBE.fits")
    white = fits.ImageHDU(cube.mean(axis=0), fits.Header({**axes, "BUNIT": "count"}), "DATA")
    fits.HDUList([fits.PrimaryHDU(), white]).writeto(folder / "WHITE.fits")
    view = ViewMaker(open_cube(folder / "CUBE.fits")).run().write(folder / "CUBE-view.fits")
    for item, name in ((product, "CUBE.fits"), (image, "WHITE.fits")):
        item.path, item.size = str(folder / name), (folder / name).stat().st_size
    plot = {"name": view.stem, "title": "", "caption": "", "path": str(view), "unit": None, "view_of": "CUBE.fits"}
    session.get_one(Block, product.block_id).plots = [plot]


def _add_curves(session: Any, folder: Path) -> None:
    """The last two wavelength tables of unit 2 are curves, the newer one higher."""
    tables = session.query(Product).filter(Product.tag == "WAVECAL_TABLE", Product.unit == 2)
    for number, product in enumerate(tables.order_by(Product.id.desc()).limit(2)):
        wave = np.arange(5000.0, 8000.0 + number)
        columns = [fits.Column("wave", "D", "Angstrom", array=wave)]
        columns += [fits.Column("throughput", "D", array=np.full(wave.size, 0.3 - 0.03 * number))]
        columns += [fits.Column("gain", "D", "mag", array=wave / 1000)]
        product.path = str(folder / f"CURVES-{number}.fits")
        fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(product.path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _serving(settings: Settings, port: int = 0) -> Iterator[str]:
    """The application on a port of this machine, a free one if none is named."""
    port = port or _free_port()
    server = PagesServer(
        uvicorn.Config(
            create_app(settings),
            host="127.0.0.1",
            port=port,
            log_level="error",
            ws="none",
            timeout_graceful_shutdown=2,
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    limit = time.monotonic() + 90
    while not server.started:
        assert time.monotonic() < limit, "the service did not start"
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(60)
    assert not thread.is_alive(), "the service did not end"


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[str]]:
    """Serves an installation, on a port if one is named."""
    return _serving


@pytest.fixture
def port() -> int:
    """A port of this machine that nobody listens on."""
    return _free_port()


@pytest.fixture(scope="session")
def server(settings: Settings) -> Iterator[str]:
    """Address of the service over the filled archive."""
    with _serving(settings) as address:
        yield address


@pytest.fixture(scope="session")
def client(server: str) -> Iterator[httpx.Client]:
    """A client of the service."""
    with httpx.Client(base_url=server, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def empty_client(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[httpx.Client]:
    """A client of a service over an archive without rows."""
    folder = tmp_path_factory.mktemp("empty")
    shutil.copy(migrated_sqlite, folder / "cascade.sqlite")
    with _serving(Settings(data_dir=folder)) as address, httpx.Client(base_url=address, timeout=120) as client:
        yield client


@pytest.fixture
def own(tmp_path: Path, migrated_sqlite: Path, factory: ModuleType) -> Iterator[httpx.Client]:
    """A client of a service over an archive that a test may change."""
    shutil.copy(migrated_sqlite, tmp_path / "cascade.sqlite")
    settings = Settings(data_dir=tmp_path)
    archive = Archive(settings.database_url)
    factory.fill_story(archive, LAST, nights=2, units=(1,), slices=1)
    archive.dispose()
    with _serving(settings) as address, httpx.Client(base_url=address, timeout=120) as client:
        yield client


@pytest.fixture
def own_archive(tmp_path: Path, own: httpx.Client) -> Iterator[Archive]:
    """The archive behind ``own``."""
    archive = Archive(Settings(data_dir=tmp_path).database_url)
    yield archive
    archive.dispose()


@pytest.fixture(scope="session")
def bias_block(client: httpx.Client) -> str:
    """Name of the newest finished bias block."""
    blocks = client.get("/api/blocks", params={"recipe": "muse_bias", "state": "done"}).json()["items"]
    return str(blocks[0]["name"])


@pytest.fixture(scope="session")
def real_product(client: httpx.Client, bias_block: str) -> int:
    """Number of the product that is on disk."""
    products = client.get(f"/api/blocks/{bias_block}").json()["products"]
    return max(int(product["id"]) for product in products)


@pytest.fixture(scope="session")
def cube_product(settings: Settings) -> int:
    """Number of the product that is a cube with a view; the next one is an image of it."""
    archive = Archive(settings.database_url)
    with archive.read() as session:
        number: int = session.query(Product).filter(Product.path.endswith("/CUBE.fits")).one().id
    archive.dispose()
    return number


@pytest.fixture(scope="session")
def curve_product(settings: Settings) -> int:
    """Number of the product that is a table of curves, which another one precedes."""
    archive = Archive(settings.database_url)
    with archive.read() as session:
        number: int = session.query(Product).filter(Product.path.endswith("/CURVES-0.fits")).one().id
    archive.dispose()
    return number


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless browser."""
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium here")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, server: str) -> Iterator[Any]:
    """A page of the service; console errors, failed scripts and foreign requests fail the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, base_url=server)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if not request.url.startswith(
        (server, "data:", "blob:")) else None)  # fmt: skip
    yield page
    context.close()
    assert complaints == []
