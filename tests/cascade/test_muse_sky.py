"""The calibration plan of MUSE beyond the arcs: illumination, twilight, geometry, exposures of the sky."""

from __future__ import annotations

import dataclasses

import pytest

from core.cascade.model import BlockPlan, BlockState, FrameInfo, Origin, ProductInfo, Quality
from core.cascade.plan import make_plan
from core.instruments.muse.plan import RULES as WRITTEN
from core.instruments.muse.setup import SETUP
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
    return list(make_plan(RULES, frames, products).blocks)


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


def test_what_is_needed_and_not_there_is_told() -> None:
    for tag in ("MASTER_FLAT", "MASTER_BIAS", "WAVECAL_TABLE", "TRACE_TABLE"):
        (block,) = blocks([frame("OBJECT", 3.0)], [GEOMETRY, *(p for p in masters() if p.tag != tag)])
        assert block.state is BlockState.INCOMPLETE
        assert [missing.role for missing in block.missing] == [tag]


def test_the_vignetting_mask_serves_until_march_2017() -> None:
    end = 57823.0  # 2017-03-11
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
