"""Tiles of images over REST, and the viewer of the pages."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import numpy as np
import pytest

from core.archive.models import Product
from core.archive.sessions import Archive
from core.fitsfile.header import Header
from core.formats.image import MuseImage, write_image
from core.settings import Settings


@pytest.fixture(scope="module")
def images(
    tmp_path_factory: pytest.TempPathFactory,
    migrated_sqlite: Path,
    factory: ModuleType,
    serve: Callable[..., AbstractContextManager[str]],
) -> Iterator[tuple[httpx.Client, list[int]]]:
    """A service with two master biases on disk, the newer one first: x + 1000 y, and half of it."""
    folder = tmp_path_factory.mktemp("images")
    shutil.copy(migrated_sqlite, folder / "cascade.sqlite")
    settings = Settings(data_dir=folder)
    archive = Archive(settings.database_url)
    factory.fill_story(archive, date(2026, 11, 19), nights=3, units=(1,), slices=1)
    y, x = np.mgrid[0:300, 0:520].astype(np.float32)
    numbers = []
    with archive.write() as session:
        found = session.query(Product).filter(Product.tag == "MASTER_BIAS").order_by(Product.mjd_mid.desc())
        for scale, product in zip((1.0, 0.5), found, strict=False):
            data = ((x + 1000 * y) * scale).astype(np.float32)
            image = MuseImage(data, np.zeros(data.shape, np.int32), np.ones_like(data), Header(), "adu")
            folder = settings.product_dir / str(product.id)
            folder.mkdir(parents=True)
            product.path = str(write_image(folder / "MASTER_BIAS-01.fits", image, ifu=1))
            numbers.append(product.id)
    archive.dispose()
    with serve(settings) as address, httpx.Client(base_url=address, timeout=120) as client:
        yield client, numbers


def tile(client: httpx.Client, number: int, **query: Any) -> np.ndarray[Any, Any]:
    answer = client.get(f"/api/products/{number}/pixels", params={"ext": "DATA", **query})
    assert answer.status_code == 200, answer.text
    shape = tuple(map(int, answer.headers["x-shape"].split(",")))
    return np.frombuffer(answer.content, "<f4").reshape(shape)


def test_tiles_are_pixels_at_full_size_and_averages_below(images: tuple[httpx.Client, list[int]]) -> None:
    client, (newest, *_) = images
    first = tile(client, newest, factor=1, column=0, row=0)
    assert first.shape == (256, 256)
    assert first[3, 5] == 3005
    assert tile(client, newest, factor=1, column=2, row=1).shape == (300 - 256, 520 - 512)
    for _ in range(2):  # made, and from what is kept
        coarse = tile(client, newest, factor=8, column=0, row=0)
        assert coarse.shape == (38, 65)  # 300 rows are 37 blocks and a half
        assert coarse[0, 0] == pytest.approx(3503.5)


def test_the_difference_to_the_master_before_is_made(images: tuple[httpx.Client, list[int]]) -> None:
    client, (newest, before, *_) = images
    difference = tile(client, newest, factor=1, column=0, row=0, minus=True)
    assert difference[3, 5] == pytest.approx(3005 / 2)
    assert "minus 2026-11-18" in client.get(f"/products/{newest}").text
    gone = client.get(f"/api/products/{before}/pixels?ext=DATA&factor=1&column=0&row=0&minus=true")
    assert gone.status_code == 404  # the one before it is in the archive, but not on the disk
    assert "not on disk" in gone.json()["detail"]


def test_levels_tell_size_and_unit(images: tuple[httpx.Client, list[int]]) -> None:
    client, (newest, *_) = images
    facts = client.get(f"/api/products/{newest}/levels", params={"ext": "DATA"}).json()
    assert (facts["width"], facts["height"], facts["unit"]) == (520, 300, "adu")
    assert facts["minmax"] == [0, 299519]
    both = client.get(f"/api/products/{newest}/levels", params={"ext": "DATA", "minus": True}).json()
    assert both["zscale"][0] == -both["zscale"][1]


@pytest.mark.parametrize("query", ["factor=64&column=0&row=0", "factor=1&column=3&row=0", "factor=1&column=-1&row=0"])
def test_tiles_that_are_not_there_are_refused(images: tuple[httpx.Client, list[int]], query: str) -> None:
    client, (newest, *_) = images
    assert client.get(f"/api/products/{newest}/pixels?ext=DATA&{query}").status_code == 422


def test_raw_frames_have_tiles_too(client: httpx.Client) -> None:
    frame = client.get("/api/frames", params={"tag": "BIAS"}).json()["items"][0]["dp_id"]
    facts = client.get(f"/api/frames/{frame}/levels", params={"ext": "CHAN01"}).json()
    answer = client.get(f"/api/frames/{frame}/pixels?ext=CHAN01&factor=1&column=0&row=0")
    assert answer.headers["x-shape"] == f"{min(256, facts['height'])}, {min(256, facts['width'])}"
    assert facts["unit"] == "adu"


@pytest.mark.browser
def test_the_viewer_reads_pixels_zooms_and_subtracts(browser: Any, images: tuple[httpx.Client, list[int]]) -> None:
    client, (newest, *_) = images
    page = browser.new_page(base_url=str(client.base_url), viewport={"width": 1400, "height": 1000})
    page.goto(f"/products/{newest}")
    page.wait_for_function("() => document.querySelector('.highest').textContent.includes('adu')")
    page.locator("canvas.image").focus()
    page.keyboard.press("1")  # full size: the middle of the canvas is the middle of the image
    page.wait_for_function("() => document.querySelector('.pixel').textContent === 'x 261, y 151 pix: 150260 adu'")
    page.wait_for_function("() => document.querySelector('.scale').textContent.startsWith('1 ×')")  # drawn in a frame
    page.check("[name=minus]")
    page.locator("canvas.image").focus()
    page.wait_for_function("() => document.querySelector('.lowest').textContent.startsWith('−')")
    page.keyboard.press("1")
    box = page.locator("canvas.image").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 - 10)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("() => /: 7[45]\\d\\d\\d/.test(document.querySelector('.pixel').textContent)")
    page.fill("[name=low]", "0")
    page.fill("[name=high]", "200")
    page.press("[name=high]", "Enter")
    page.wait_for_function("() => document.querySelector('.highest').textContent === '200 adu'")
    page.close()
