"""The calibration plan of MUSE beyond the arcs: illumination, twilight, geometry, exposures of the sky."""

from __future__ import annotations

import dataclasses
from datetime import date

import pytest

from core.cascade.model import BlockPlan, BlockState, FrameInfo, Origin, ProductInfo, Quality, Request
from core.cascade.plan import PlanOptions, make_plan
from core.cascade.signature import begun_pair
from core.instruments.muse.plan import RULES as WRITTEN
from core.instruments.muse.setup import SETUP
from core.instruments.muse.statics import MUSE_STATICS
from core.instruments.plans import calibration_plan
from core.recipes.registry import get_recipe

RULES = calibration_plan("MUSE")
NOAO, AO = (SETUP.of_values({"mode": mode}) for mode in ("WFM-NOAO-N", "WFM-AO-N"))
NIGHT = 61345.0  # 2026-11-01T00:00 UTC
ON_SKY = ("OBJECT", "STD", "SKY", "ASTROMETRY")


def frame(tag: str, hours: float, number: int = 0, temperature: float | None = None, **values: object) -> FrameInfo:
    usual: dict[str, object] = {
        "id": f"MUSE.{tag}.{hours:05.2f}.{number}",
        "tag": tag,
        "setup": NOAO,
        "mjd_mid": NIGHT + hours / 24 + number / 1440,
        "tpl_start": f"{tag}.{hours}",
        "units": (1, 2),
        "night": "2026-10-31",
        "temperature": temperature,
    }
    return FrameInfo(**(usual | values))  # type: ignore[arg-type]


def static(tag: str, name: str, **values: object) -> ProductInfo:
    fixed = ProductInfo(name, tag, origin=Origin.STATIC, quality=Quality.CERTIFIED, digest=name)
    return dataclasses.replace(fixed, **values)  # type: ignore[arg-type]


LINES, GEOMETRY = static("LINE_CATALOG", "lines.fits"), static("GEOMETRY_TABLE", "geometry.fits", pair="wfm")


def masters(hours: float = 12.0) -> list[ProductInfo]:
    tags = ("MASTER_BIAS", "MASTER_FLAT", "TRACE_TABLE", "WAVECAL_TABLE", "TWILIGHT_CUBE")
    when = NIGHT + hours / 24
    return [ProductInfo(f"{tag}.fits", tag, when, NOAO, Quality.CERTIFIED, Origin.PRODUCT, (1, 2)) for tag in tags]


def blocks(frames: list[FrameInfo], products: list[ProductInfo]) -> list[BlockPlan]:
    """Those that start from raw frames."""
    return [block for block in make_plan(RULES, frames, products).blocks if block.frames]


def chosen(block: BlockPlan, role: str) -> str:
    return next((c.product.id for c in block.inputs if c.role == role), "")


@pytest.mark.parametrize("tag", ON_SKY)
def test_each_exposure_of_the_sky_is_a_block(tag: str) -> None:
    found = blocks([frame(tag, 3.0), frame(tag, 3.0, 20)], [*masters(), GEOMETRY])
    assert [block.recipe for block in found] == ["muse_scibasic"] * 2
    assert all(block.state is BlockState.READY for block in found)
    assert len({block.key for block in found}) == 2
    for block in found:
        assert {c.role for c in block.inputs} >= {"MASTER_FLAT", "GEOMETRY_TABLE", "TWILIGHT_CUBE"}


def test_a_block_makes_the_pixel_table_of_its_exposure_only() -> None:
    for tag in ON_SKY:
        task = RULES.task("muse_scibasic", tag)
        assert task is not None
        assert task.products == (f"PIXTABLE_{tag}",)


@pytest.mark.parametrize(
    ("illums", "expected"),
    [
        ([("ILLUM", 2.5, 11.0), ("ILLUM", 3.6, 11.0)], 2.5),  # closest in time
        ([("ILLUM", 2.7, 7.5), ("ILLUM", 3.6, 11.0)], 3.6),  # closest in temperature
        ([("ILLUM", 2.7, 5.5)], None),  # too cold
        ([("ILLUM", 16.0, 11.0)], None),  # too late
    ],
)
def test_the_illumination_is_the_closest_in_time_and_temperature(
    illums: list[tuple[str, float, float]], expected: float | None
) -> None:
    frames = [frame(tag, hours, temperature=kelvin) for tag, hours, kelvin in illums]
    (block,) = blocks([frame("OBJECT", 3.0, temperature=11.2), *frames], [*masters(), GEOMETRY])
    assert block.state is BlockState.READY
    assert chosen(block, "ILLUM") == ("" if expected is None else frame("ILLUM", expected).id)


def test_data_with_adaptive_optics_take_an_illumination_without() -> None:
    flats = [
        dataclasses.replace(product, setup=AO) if product.tag == "MASTER_FLAT" else product for product in masters()
    ]
    (block,) = blocks([frame("OBJECT", 3.0, setup=AO), frame("ILLUM", 2.8)], [*flats, GEOMETRY])
    assert chosen(block, "ILLUM") == frame("ILLUM", 2.8).id


def test_a_block_waits_for_the_twilight_of_its_morning() -> None:
    sky_flats = [frame("SKYFLAT", 9.5, number) for number in range(3)]
    without_cube = [product for product in masters() if product.tag != "TWILIGHT_CUBE"]
    illums = [frame("ILLUM", 9.4)]
    found = blocks([frame("OBJECT", 3.0), *sky_flats, *illums], [*without_cube, GEOMETRY])
    recipes = {block.recipe: block for block in found}
    science, twilight = recipes["muse_scibasic"], recipes["muse_twilight"]
    assert chosen(twilight, "ILLUM") == illums[0].id
    assert chosen(twilight, "GEOMETRY_TABLE") == "geometry.fits"
    assert chosen(science, "TWILIGHT_CUBE").startswith(twilight.key)
    assert science.state is BlockState.WAITING


def test_a_geometry_that_was_made_stands_before_one_that_is_valid_for_ever() -> None:
    made = ProductInfo("made.fits", "GEOMETRY_TABLE", NIGHT - 20, NOAO, Quality.CERTIFIED)
    (block,) = blocks([frame("OBJECT", 3.0)], [*masters(), GEOMETRY, made])
    assert chosen(block, "GEOMETRY_TABLE") == "made.fits"
    assert {r.candidate for r in block.refusals if r.role == "GEOMETRY_TABLE"} == {"geometry.fits"}


MADE_ELSEWHERE = ProductInfo(
    "geometry-x/GEOMETRY_TABLE", "GEOMETRY_TABLE", NIGHT - 20, NOAO, block="geometry-x", signature="s",
    pair=begun_pair("GEOMETRY_TABLE", "s"),
)  # fmt: skip
DELIVERED = ProductInfo("M.MUSE.x.fits", "GEOMETRY_TABLE", NIGHT - 20, NOAO, Quality.CERTIFIED, digest="x")


@pytest.mark.parametrize("geometry", [GEOMETRY, DELIVERED, MADE_ELSEWHERE, None], ids=["static", "archive", "made", ""])
@pytest.mark.parametrize("tag", ["OBJECT", "SKYFLAT"])
def test_a_geometry_serves_wherever_it_comes_from(tag: str, geometry: ProductInfo | None) -> None:
    """Delivered by the archive, as a static calibration or a product, or made by a block: one of this plan, if none."""
    mask = [frame("MASK", 12.5, number) for number in range(50)]
    frames = [frame(tag, 3.0, number) for number in range(3)]
    known = [*masters(), LINES, *([] if geometry is None else [geometry])]
    found = blocks([*frames, *([] if geometry else mask)], known)
    taker = found[-1]
    assert not taker.missing
    wanted = geometry.id if geometry else f"{found[0].key}/GEOMETRY_TABLE"
    assert chosen(taker, "GEOMETRY_TABLE") == wanted
    assert taker.state is (BlockState.READY if geometry else BlockState.WAITING)


def test_frames_to_check_the_geometry_are_taken_on_request() -> None:
    mask = [frame("MASK", 12.5, number) for number in range(50)]
    check = [frame("MASK_CHECK", 13.6, number) for number in range(2)]
    wanted = PlanOptions(request=Request(with_roles=frozenset({"MASK_CHECK"})))
    for options, taken in ((None, 0), (wanted, 2)):
        plan = make_plan(RULES, [*mask, *check], [*masters(), LINES], options)
        (block,) = plan.blocks
        assert [c.role for c in block.inputs].count("MASK_CHECK") == taken
        assert block.state is BlockState.READY
        assert [entry.tag for entry in plan.not_processed] == ["MASK_CHECK"] * (2 - taken)
    assert "only on request" in make_plan(RULES, [*mask, *check], [*masters(), LINES]).not_processed[0].reason


@pytest.mark.parametrize("geometry", [GEOMETRY, MADE_ELSEWHERE], ids=["static", "made"])
def test_geometry_and_astrometry_are_those_that_were_made_together(geometry: ProductInfo) -> None:
    wcs = [
        static("ASTROMETRY_WCS", "wcs-static.fits", pair=GEOMETRY.pair),
        ProductInfo("wcs-made", "ASTROMETRY_WCS", NIGHT - 10, NOAO, digest="w", pair=MADE_ELSEWHERE.pair),
        ProductInfo("wcs-nearest", "ASTROMETRY_WCS", NIGHT, NOAO, digest="n", pair=begun_pair("GEOMETRY_TABLE", "o")),
    ]
    science, post = make_plan(RULES, [frame("OBJECT", 3.0)], [*masters(), geometry, *wcs]).blocks
    assert chosen(science, "GEOMETRY_TABLE") == geometry.id
    partner = {GEOMETRY.pair: "wcs-static.fits", MADE_ELSEWHERE.pair: "wcs-made"}[geometry.pair]
    assert chosen(post, "ASTROMETRY_WCS") == partner
    refused = {r.candidate: r.code for r in post.refusals if r.role == "ASTROMETRY_WCS"}
    assert refused == {entry.id: "pair" for entry in wcs if entry.id != partner}
    others = [entry for entry in wcs if entry.id != partner]
    _, post = make_plan(RULES, [frame("OBJECT", 3.0)], [*masters(), geometry, *others]).blocks
    assert chosen(post, "ASTROMETRY_WCS") == ""


def test_what_is_needed_and_not_there_is_told() -> None:
    for tag in ("MASTER_FLAT", "MASTER_BIAS", "WAVECAL_TABLE", "TRACE_TABLE"):
        (block,) = blocks([frame("OBJECT", 3.0)], [GEOMETRY, *(p for p in masters() if p.tag != tag)])
        assert block.state is BlockState.INCOMPLETE
        assert [missing.role for missing in block.missing] == [tag]


def test_the_vignetting_mask_serves_until_march_2017() -> None:
    end = 57823.0  # 2017-03-11, which no keyword of a file puts off (tests/staticcal)
    assert MUSE_STATICS.last_day("VIGNETTING_MASK") == date(2017, 3, 11)
    mask = static("VIGNETTING_MASK", "mask.fits", valid_to=end)
    for days, expected in ((-0.6, "mask.fits"), (0.4, "")):
        shift = end + days - NIGHT
        flats = [dataclasses.replace(frame("SKYFLAT", 0.0, n), mjd_mid=end + days + n / 1440) for n in range(3)]
        own = [dataclasses.replace(product, mjd=product.mjd + shift) for product in masters()]
        (block,) = blocks(flats, [*own, GEOMETRY, mask])
        assert chosen(block, "VIGNETTING_MASK") == expected


def test_the_plan_says_why_it_sets_parameters() -> None:
    for task in WRITTEN.tasks:
        for setting in task.settings:
            assert setting.why
            assert get_recipe(task.recipe).Params.info(setting.parameter).default != setting.value
    assert WRITTEN.preset("muse_scibasic") == {"compact": True, "saveimage": False}
    assert WRITTEN.preset("muse_scipost") == {"save": "cube,skymodel,individual"}
