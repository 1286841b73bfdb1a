"""``/blocks/<name>``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from core.archive.models import Block
from core.archive.pages import blocks as queries
from core.archive.pages.qc1 import block_qc1
from core.archive.pages.qc1_texts import block_texts
from core.archive.states import BlockState, InputKind
from core.archive.verdicts import doubts
from core.errors import NotFoundError, ParameterError
from core.instruments.catalogue import block_parameters
from core.instruments.registry import instrument_of_recipe
from core.recipes.declaration import ParameterInfo
from service.declarations import installed_recipe
from service.explain import LEVELS, relative_paths, waits_for, why_this
from service.files import Plot, block_plots, cube_views, tail_text
from service.places import place
from service.progress import memory_note, progress_of
from service.web.page import PageDep
from service.web.sentences import block_sentence

router = APIRouter()
LOG_LINES = 200


@router.get("/blocks/{name}")
def block_page(
    page: PageDep,
    name: str,
    unit: Annotated[int | None, Query(ge=1, description="Unit whose plots are shown")] = None,
) -> HTMLResponse:
    """Inputs and why, progress, parameters, QC1, plots, products, log, history."""
    session = page.session
    block = queries.find_block(session, name)
    if unit is not None and unit > block.unit_words.number:
        raise ParameterError(f"there are {block.unit_words.counted(block.unit_words.number)}", parameter="unit")
    inputs = queries.block_inputs(session, block.id)
    progress = progress_of(session, block)
    waiting = waits_for(block, inputs)
    log = Path(block.log_path) if block.log_path else None
    products, views = queries.block_products(session, block.id), cube_views(block)
    return page.render(
        "block.html",
        block=block,
        sentence=block_sentence(block, inputs, waiting, progress.expected),
        raws=[item for item in inputs if item.kind is InputKind.RAW],
        calibrations=[item for item in inputs if item.kind is not InputKind.RAW],
        levels=LEVELS,
        why_this=why_this,
        short=partial(relative_paths, settings=page.settings),
        progress=progress,
        memory_note=memory_note(block),
        parameters=_parameters(block),
        qc1=block_qc1(session, block.id),
        texts=block_texts(session, block.id),
        place=place,
        plots=_shown_plots(block, unit),
        doubts=doubts(session, block.id, inputs) if block.state is BlockState.DONE else [],
        products=products,
        cubes=[product for product in products if Path(product.path).name in views],
        used_by=queries.blocks_using(session, block.id),
        events=queries.block_events(session, block.name),
        log=tail_text(log, LOG_LINES) if log is not None and log.is_file() else None,
        log_lines=LOG_LINES,
    )


@dataclass(frozen=True)
class ShownPlots:
    """The plots of one unit first, then those of all.

    Attributes
    ----------
    choices : tuple of int
        units of the block, ascending.
    units : tuple of int
        Those that have plots of their own.
    unit : int or None
        The one shown.
    """

    shown: tuple[Plot, ...]
    choices: tuple[int, ...]
    units: tuple[int, ...]
    unit: int | None

    def __bool__(self) -> bool:
        return bool(self.shown)


def _shown_plots(block: Block, unit: int | None) -> ShownPlots:
    """The unit asked for; otherwise the first that failed, or the first."""
    plots = block_plots(block)
    units = tuple(sorted({plot.unit for plot in plots if plot.unit is not None}))
    if unit not in units:
        unit = next((number for number in units if number in block.failed_units), units[0] if units else None)
    own = [plot for plot in plots if plot.unit is not None and plot.unit == unit]
    return ShownPlots((*own, *(plot for plot in plots if plot.unit is None)), block.units, units, unit)


def _parameters(block: Block) -> list[tuple[ParameterInfo, object, str, str]]:
    """Parameters of the recipe with the values that are used; (definition, value, who changed it, why)."""
    try:
        recipe = installed_recipe(block.recipe)
    except NotFoundError:  # a recipe of an earlier version of the project
        return []
    used = block_parameters(block.recipe, block.parameters)
    settings = instrument_of_recipe(block.recipe).plan.settings(block.recipe)

    def changed(name: str) -> tuple[str, str]:
        if name in block.parameters:
            return "person", "changed for this block"
        if name in settings:
            return "service", f"the plan sets it: {settings[name].why}"
        return ("service", "the service sets it for every block") if name in used else ("", "")

    return [
        (info, used.get(info.name, info.default), *changed(info.name))
        for info in recipe.Params.listing()
        if not info.hidden or info.name in used
    ]
