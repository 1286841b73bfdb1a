"""Cubes on pages and over REST: white light, and the spectrum at any place."""

from __future__ import annotations

import re
from typing import Any

import httpx
import numpy as np
import pytest


def test_the_view_of_a_cube_tells_its_size_and_wavelengths(client: httpx.Client, cube_product: int) -> None:
    view = client.get(f"/api/products/{cube_product}/view").json()
    assert (view["width"], view["height"], view["box"], view["planes"], view["unit"]) == (16, 12, 1, 1, "count")
    assert view["wave"][:2] == [5000.0, 5001.25]
    assert len(view["wave"]) == 40
    assert view["vacuum"] is False


def test_a_spectrum_is_that_of_the_place_and_says_where_it_is(client: httpx.Client, cube_product: int) -> None:
    found = client.get(f"/api/products/{cube_product}/spectrum", params={"x": 3, "y": 5}).json()
    np.testing.assert_allclose(found["values"], 4020 + np.arange(40), atol=0.01)
    assert (found["x_range"], found["y_range"]) == ([3, 3], [5, 5])
    assert found["ra"] == pytest.approx(150 - 2 * 5e-5 / np.cos(np.radians(30)), abs=1e-7)
    assert found["dec"] == pytest.approx(-30 + 4 * 5e-5, abs=1e-7)


def test_a_place_outside_and_a_product_without_a_view_are_refused(
    client: httpx.Client, cube_product: int, real_product: int
) -> None:
    outside = client.get(f"/api/products/{cube_product}/spectrum", params={"x": 17, "y": 1})
    assert outside.status_code == 422
    assert "16 x 12 spaxels has none at (17, 1)" in outside.json()["detail"]
    none = client.get(f"/api/products/{real_product}/view")
    assert none.status_code == 404
    assert "has no view: the workers make them of cubes" in none.json()["detail"]


def test_white_light_is_an_image_like_others(client: httpx.Client, cube_product: int) -> None:
    base = f"/api/products/{cube_product}/view"
    assert client.get(f"{base}/levels").json()["minmax"] == [19.5, 11169.5]
    tile = client.get(f"{base}/pixels", params={"factor": 1, "column": 0, "row": 0})
    assert tile.headers["X-Shape"] == "12, 16"
    assert np.frombuffer(tile.content, "<f4")[4 * 16 + 2] == pytest.approx(4039.5)
    assert client.get(f"{base}/preview.png").content.startswith(b"\x89PNG")


def test_a_view_is_no_plot_of_its_block(client: httpx.Client, cube_product: int) -> None:
    name = client.get(f"/api/products/{cube_product}").json()["block"]
    assert client.get(f"/api/blocks/{name}").json()["plots"] == []
    page = client.get(f"/blocks/{name}").text
    assert f'data-spectrum="/api/products/{cube_product}"' in page
    assert page.count('class="cube"') == 1


def test_an_image_of_a_cube_has_its_spectra(client: httpx.Client, cube_product: int) -> None:
    page = client.get(f"/products/{cube_product + 1}").text
    assert f'data-spectrum="/api/products/{cube_product}"' in page
    assert f'data-pixels="/api/products/{cube_product + 1}"' in page


@pytest.mark.browser
def test_the_spectrum_follows_the_cursor_and_is_kept_by_a_click(page: Any, cube_product: int) -> None:
    page.goto(f"/products/{cube_product}")
    page.wait_for_function("() => document.querySelector('.wavelength').textContent.includes('x 9, y 7 pix')")
    image = page.locator("canvas.image").bounding_box()
    page.mouse.move(image["x"] + 0.3 * image["width"], image["y"] + 0.5 * image["height"])
    page.wait_for_function("() => !document.querySelector('.wavelength').textContent.includes('x 9, y 7 pix')")
    here = page.inner_text(".wavelength")
    found = re.search(r"here x (\d+), y (\d+) pix 09:5\d:\d\d\.\d{3} −29:59:\d\d\.\d\d", here)
    assert found is not None
    page.mouse.down()
    page.mouse.up()
    assert f"kept x {found[1]}, y {found[2]} pix" in page.inner_text(".wavelength")
    plot = page.locator(".spectrum .u-over").bounding_box()
    page.mouse.move(plot["x"] + 0.5 * plot["width"], plot["y"] + 0.5 * plot["height"])
    read = re.search(r"kept .*: ([\d.]+) e⁻", page.inner_text(".wavelength"))
    wave = re.search(r"([\d.]+) Å, one spaxel", page.inner_text(".wavelength"))
    assert read is not None
    assert wave is not None
    expected = 1000 * (int(found[2]) - 1) + 10 * (int(found[1]) - 1) + (float(wave[1]) - 5000) / 1.25
    assert float(read[1]) == pytest.approx(expected, abs=0.6)  # four digits


def test_a_curve_stands_beside_those_before_it(client: httpx.Client, curve_product: int) -> None:
    found = client.get(f"/api/products/{curve_product}/curves").json()
    assert (found["column"], found["columns"], len(found["wave"])) == ("throughput", ["throughput", "gain"], 1500)
    own, before = found["curves"]
    assert own["product"] == curve_product
    assert (own["ratio"], own["difference"]) == (1, 0)
    assert before["ratio"] == pytest.approx(0.9)
    assert before["difference"] == pytest.approx(-0.03)
    assert client.get(f"/api/products/{curve_product}/curves", params={"column": "gain"}).json()["unit"] == "mag"
    refused = client.get(f"/api/products/{curve_product}/curves", params={"column": "loss"})
    assert refused.status_code == 422
    assert "there are: throughput, gain" in refused.json()["detail"]
    assert f'data-curves="/api/products/{curve_product}/curves?ext=1"' in client.get(f"/products/{curve_product}").text


@pytest.mark.browser
def test_curves_are_read_out_and_compared(page: Any, curve_product: int) -> None:
    page.goto(f"/products/{curve_product}")
    page.wait_for_selector("[data-curves] .u-over")
    page.hover("[data-curves] .u-over")
    text = page.inner_text("[data-curves] .wavelength")
    assert "this product: 0.3" in text
    assert re.search(r"2026-11-1\d: 0\.27, median ratio 0\.9", text)
