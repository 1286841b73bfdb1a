"""The pages in a real browser: three clicks to the trend, keyboard, sorting, plot, themes, widths, no console error."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

pytestmark = pytest.mark.browser
RON = "/qc1/muse_bias?y=master_ron&split=quadrant"
RECORD_TEXTS = """
window.texts = [];
const fill = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
  window.texts.push(String(text));
  return fill.call(this, text, ...rest);
};
"""


def plotted(page: Any) -> None:
    page.wait_for_selector("#plot canvas")
    page.wait_for_function("() => document.querySelector('#readout').textContent.includes('median')")


def written(page: Any) -> set[str]:
    """Texts written into the plot since they were last forgotten; needs the script ``RECORD_TEXTS``."""
    return set(page.evaluate("window.texts"))


def test_the_noise_trend_is_within_three_clicks(page: Any) -> None:
    page.goto("/")
    page.get_by_role("link", name="Read-out noise").click()
    plotted(page)
    text = page.inner_text("#readout")
    assert "248 values of 31 blocks" in text  # 31 nights, 2 IFUs, 4 quadrants
    assert "limits 1 to 5 e⁻" in text


def test_hover_reads_out_and_click_opens_the_product(page: Any) -> None:
    page.goto(RON)
    plotted(page)
    over = page.locator("#plot .u-over")
    box = over.bounding_box()
    # sweep until the cursor is over a point: all of them lie within the frame
    for step in range(400):
        x, y = box["width"] * (0.05 + 0.9 * (step % 20) / 20), box["height"] * (0.05 + 0.9 * (step // 20) / 20)
        page.mouse.move(box["x"] + x, box["y"] + y)
        if "quadrant" in page.inner_text("#readout"):
            break
    assert re.search(r"[\d.]+ e⁻ master_ron · IFU \d, quadrant \d · 2026-\d\d-\d\d", page.inner_text("#readout"))
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url(re.compile(r"/products/\d+$"))


def test_shift_click_compares_two_points(page: Any) -> None:
    page.goto(RON)
    plotted(page)
    box = page.locator("#plot .u-over").bounding_box()
    first = ""
    for step in range(900):
        page.mouse.move(
            box["x"] + box["width"] * (0.03 + 0.94 * (step % 30) / 30),
            box["y"] + box["height"] * (0.05 + 0.03 * (step // 30)),
        )
        text = page.inner_text("#readout")
        if "IFU" not in text or text == first:
            continue
        if not first:
            first = text
            page.keyboard.down("Shift")
            page.mouse.down()
            page.mouse.up()
            page.keyboard.up("Shift")
        elif "compared with" in text:
            break
    assert page.locator("#plot .ring.compared").is_visible()
    assert re.search(r"difference [−\d.e]+ \([−\d.]+ %\), [\d.]+ d apart", page.inner_text("#readout"))
    page.goto(page.url)  # the address holds the point
    page.wait_for_selector("#plot .ring.compared:not(.hidden)")
    assert "compare=" in page.url


def test_drag_zooms_double_click_resets_and_the_address_keeps_it(page: Any) -> None:
    page.add_init_script(RECORD_TEXTS)
    page.goto(RON)
    plotted(page)
    page.evaluate("window.texts.length = 0")
    box = page.locator("#plot .u-over").bounding_box()
    x0, y = box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"]
    page.mouse.move(x0, y)
    page.mouse.down()
    page.mouse.move(x0 + 200, y + 2, steps=5)
    page.mouse.up()
    page.wait_for_url(re.compile("zoom="))
    zoom = parse_qs(urlsplit(page.url).query)["zoom"][0].split(",")
    low, high = float(zoom[0]), float(zoom[1])
    # 200 pixels of the width that shows 30 nights and a margin of half a day on each side
    assert high - low == pytest.approx(200 / box["width"] * 31.2, rel=0.05)
    address = page.url
    page.mouse.move(1, 1)
    dragged = written(page)
    page.goto(address)
    plotted(page)
    assert page.url == address
    assert written(page) == dragged  # what is shown is what the address says
    page.locator("#plot .u-over").dblclick(position={"x": 5, "y": 5})
    assert "zoom" not in page.url


def test_controls_change_plot_and_address(page: Any) -> None:
    page.goto(RON)
    plotted(page)
    page.fill("input[name=unit]", "2")
    page.press("input[name=unit]", "Enter")
    page.wait_for_function("() => document.querySelector('#readout').textContent.includes('124 values')")
    assert "unit=2" in page.url
    page.select_option("select[name=x]", "master_stdev")
    page.wait_for_function("() => document.querySelector('#readout').textContent.includes('124 values')")
    assert "x=master_stdev" in page.url
    page.select_option("select[name=split]", "none")
    page.wait_for_function("() => document.querySelectorAll('#legend button').length === 0")


def test_a_group_is_picked_in_the_legend(page: Any) -> None:
    page.goto(RON)
    plotted(page)
    button = page.locator("#legend button").nth(2)
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert page.locator("#legend button[aria-pressed=true]").count() == 1
    page.goto(page.url)  # the address holds it
    plotted(page)
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert "pick" not in page.url


@pytest.mark.parametrize("width", [360, 1400])
def test_the_time_axis_has_dates_in_every_window(browser: Any, server: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, base_url=server)
    page.add_init_script(RECORD_TEXTS)
    page.goto(RON)
    plotted(page)
    dates = {text for text in written(page) if re.match(r"(\d{4}-)?\d\d-\d\d", text)}
    numbers = {text for text in written(page) if re.fullmatch(r"−?\d+\.\d+", text)}
    page.close()
    assert len(dates) >= 2
    assert len({len(text.partition(".")[2]) for text in numbers}) == 1, f"uneven decimals: {numbers}"


def module(page: Any, name: str, call: str) -> Any:
    """What a call of a module of the pages gives."""
    return page.evaluate(f"import('/static/js/{name}.js').then((m) => {call})")


def test_every_element_is_a_series_of_its_own_and_is_picked_in_the_matrix(page: Any) -> None:
    page.goto("/qc1/muse_bias?y=master_ron")
    plotted(page)
    assert "medians of the 8 series" in page.inner_text("#readout")  # 2 IFUs with 4 quadrants
    assert page.locator("#matrix button").count() == 8
    page.locator("#matrix tr:nth-child(3) button").nth(1).click()
    assert "IFU 2, quadrant 3: 31 values of 31 blocks, median" in page.inner_text("#readout")
    page.goto(page.url)
    plotted(page)
    assert page.locator("#matrix button[aria-pressed=true]").get_attribute("title").startswith("IFU 2, quadrant 3")


def test_a_zoom_changes_the_statistics(page: Any) -> None:
    page.goto("/qc1/muse_bias?y=master_ron")
    plotted(page)
    page.focus("#plot")
    page.keyboard.press("+")
    text = page.inner_text("#readout")
    assert int(re.search(r"in view (\d+) values", text)[1]) < 248  # type: ignore[index]
    page.keyboard.press("0")
    assert "248 values of 31 blocks" in page.inner_text("#readout")


def test_the_keyboard_walks_over_points_and_series(page: Any) -> None:
    page.goto("/qc1/muse_bias?y=master_ron")
    plotted(page)
    page.focus("#plot")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    first = page.inner_text("#readout")
    assert "IFU 1, quadrant 2 · 2026-10-21" in first
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("ArrowRight")
    assert re.search(r"difference [−\d.]+ .*, 1\.?\d* d apart", page.inner_text("#readout"))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/products/\d+$"))


def test_parameters_of_different_units_are_stacked_over_one_time_axis(page: Any) -> None:
    page.add_init_script(RECORD_TEXTS)
    page.goto("/qc1/muse_bias?y=master_ron&y=master_stdev&y=level_median&split=each")
    plotted(page)
    assert page.locator("#plot canvas").count() == 3
    texts = page.evaluate("window.texts")
    assert {"master_ron [e⁻]", "master_stdev [adu]", "level_median [adu]", "date [UT]"} <= set(texts)
    page.hover("#plot .u-over >> nth=1")
    lines = [page.locator("#plot .cross").nth(n).evaluate("item => item.style.left") for n in range(3)]
    assert len(set(lines)) == 1


def test_wild_values_do_not_move_the_scale_and_no_median_is_of_two_elements(page: Any) -> None:
    page.goto("/nights")
    low, high = module(page, "qcstats", "m.robustRange([1, 2, 3, 2, 1, 2, 3, 2, 1e9, -1e9])")
    assert -10 < low < 1
    assert 3 < high < 15
    data = """{parameters: [{column: 'a', unit: 'count'}], blocks: [{night: '1', mode: ''}, {night: '2', mode: ''},
      {night: '3', mode: ''}], p: [0, 0, 0, 0, 0, 0], b: [0, 0, 1, 1, 2, 2], t: [1, 1, 2, 2, 3, 3],
      v: [1, 10, 2, 20, 3, 30], quadrant: [1, 2, 1, 2, 1, 2], words: {quadrant: 'quadrant'}, outliers: [], bands: []}"""
    asked = "x: 'time', y: ['a'], night: '1'"
    groups = module(page, "qcdata", f"m.arrange({data}, {{{asked}, split: 'none', show: 'value'}}).groups")
    assert [(item["single"], item["running"]) for item in groups] == [(False, [])]
    each = module(page, "qcdata", f"m.arrange({data}, {{{asked}, split: 'each', show: 'ratio'}}).y")
    assert each == [0.5, 0.5, 1, 1, 1.5, 1.5]
    night = module(page, "qcdata", f"m.arrange({data}, {{{asked}, split: 'each', show: 'night'}}).y")
    assert night == [0, 0, 1, 10, 2, 20]


def test_the_plot_is_saved_as_png(page: Any) -> None:
    page.goto(RON)
    plotted(page)
    with page.expect_download() as download:
        page.click("#png")
    assert download.value.suggested_filename == "muse_bias_master_ron.png"


def test_tables_sort_and_the_address_keeps_it(page: Any) -> None:
    page.goto("/nights")
    nights = "document.querySelectorAll('#nights tbody tr td:first-child')"
    first = f"() => {nights}[0].textContent.trim()"
    assert page.evaluate(first) == "2026-11-19"
    page.click("#nights th:first-child")
    assert page.evaluate(first) == "2026-10-20"
    page.reload()
    assert page.evaluate(first) == "2026-10-20"
    page.click("#nights th:first-child")
    assert page.evaluate(first) == "2026-11-19"


def test_the_keyboard_moves_and_goes(page: Any) -> None:
    page.goto("/nights")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    assert page.inner_text("tr.at td:first-child") == "2026-11-18"
    page.keyboard.press("Enter")
    page.wait_for_url("**/nights/2026-11-18")
    page.keyboard.press("[")
    page.wait_for_url("**/nights/2026-11-17")
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.wait_for_url("**/qc1")
    page.keyboard.press("g")
    page.keyboard.press("n")
    page.wait_for_url("**/nights")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("2026-11-10")
    page.keyboard.press("Enter")
    page.wait_for_url("**/nights/2026-11-10")


def test_pointing_at_a_block_shows_its_calibrations(page: Any) -> None:
    page.goto("/nights/2026-11-18")
    page.hover("#graph .b >> nth=2")
    text = page.inner_text("#choices")
    assert "MASTER_BIAS comes from" in text
    assert "TRACE_TABLE comes from" in text
    assert page.locator("#graph path.on").count() == 2


def test_running_blocks_report_without_a_reload(page: Any) -> None:
    page.goto("/")
    page.evaluate("document.querySelector('#running .progress > i').style.width = '1%'")
    # the next poll sets what the archive says
    page.wait_for_function(
        "() => document.querySelector('#running .progress > i').style.width === '75%'", timeout=60000
    )


def test_a_block_is_run_again_from_its_page(browser: Any, own: httpx.Client) -> None:
    name = own.get("/api/blocks", params={"state": "done"}).json()["items"][0]["name"]
    context = browser.new_context(base_url=str(own.base_url))
    page = context.new_page()
    page.goto(f"/blocks/{name}")
    page.get_by_role("button", name="Run again").click()
    page.fill("#ask-reason", "new flat lamp")
    page.get_by_role("button", name="Yes").click()
    page.get_by_role("button", name="Cancel").wait_for()  # it is ready now, and could be cancelled
    context.close()
    block = own.get(f"/api/blocks/{name}").json()
    assert block["state"] == "ready"
    assert block["events"][-1]["text"] == "new flat lamp"


def test_sparklines_are_drawn(page: Any) -> None:
    page.goto("/")
    # one for each of the trends that the story has values for
    page.wait_for_function("() => document.querySelectorAll('#trends svg.spark path').length === 7")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_contrast_in_both_themes(browser: Any, server: str, theme: str) -> None:
    """WCAG AA: 4.5 to 1 for text of normal size, for every colour that carries text."""
    context = browser.new_context(color_scheme=theme, base_url=server)
    page = context.new_page()
    page.goto("/")
    colours = page.evaluate(
        """() => {
          const style = getComputedStyle(document.documentElement);
          const of = (name) => style.getPropertyValue(name).trim();
          const pairs = [['--ink', '--panel'], ['--ink', '--bg'], ['--ink', '--bad-bg'], ['--ink', '--raised']];
          pairs.push(['--muted', '--panel'], ['--muted', '--bg']);
          for (const state of ['good', 'warn', 'bad', 'run', 'none']) {
            pairs.push([`--${state}`, '--panel'], [`--${state}`, `--${state}-bg`]);
          }
          return pairs.map(([a, b]) => [a, b, of(a), of(b)]);
        }"""
    )
    context.close()

    def luminance(text: str) -> float:
        channels = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for ink, ground, a, b in colours:
        high, low = sorted((luminance(a), luminance(b)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, f"{ink} on {ground} in the {theme} theme"


@pytest.mark.parametrize("width", [360, 1400, 3000])
def test_no_page_is_wider_than_the_window(browser: Any, server: str, bias_block: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, base_url=server)
    page = context.new_page()
    for address in ("/", "/nights", "/nights/2026-11-19", f"/blocks/{bias_block}", "/qc1", RON, "/docs", "/quarantine"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
    context.close()


def test_the_rest_documentation_is_drawn_from_local_files(page: Any) -> None:
    page.goto("/api/docs")
    page.wait_for_selector(".opblock-summary-path", timeout=60000)
    assert page.locator(".opblock").count() > 20


def test_reading_works_without_scripts(browser: Any, server: str) -> None:
    context = browser.new_context(java_script_enabled=False, base_url=server)
    page = context.new_page()
    page.goto("/qc1/muse_bias?y=master_ron")
    page.get_by_role("link", name="browse").click()
    assert page.locator("table.rows tbody tr").count() == 200
    page.fill("input[name=unit]", "1")
    page.get_by_role("button", name="Show").click()
    assert "unit=1" in page.url
    assert page.locator("table.rows tbody tr").count() == 124
    context.close()
