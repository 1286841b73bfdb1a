"""``/docs``: pages generated from the declarations."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from core.archive.states import BlockState, ProductState, QuarantineReason
from core.errors import NotFoundError
from core.instruments.catalogue import qc1_definitions
from core.instruments.plans import calibration_plans
from core.instruments.registry import instruments
from core.qc1.rules import FixedRule
from service.declarations import installed, installed_recipe
from service.text import number, range_text
from service.web.page import PageDep
from service.web.views.qc1 import CLASS_WORDS
from service.web.words import QUARANTINE_CURES, STATE_WORDS

router = APIRouter()


@router.get("/docs")
def index_page(page: PageDep) -> HTMLResponse:
    """Recipes, QC1 tables, the calibration plan, states and quarantine reasons."""
    return page.render(
        "docs.html",
        recipes=installed(),
        tables=qc1_definitions().tables,
        plans=calibration_plans(),
        states=[(state, STATE_WORDS[state]) for state in BlockState],
        product_states=[(state, STATE_WORDS[state]) for state in ProductState],
        reasons=[(reason, QUARANTINE_CURES[reason]) for reason in QuarantineReason],
    )


@router.get("/docs/recipes/{name}")
def recipe_page(page: PageDep, name: str) -> HTMLResponse:
    """Inputs, parameters, products and QC parameters of a recipe."""
    recipe = installed_recipe(name)
    return page.render(
        "doc_recipe.html",
        recipe=recipe,
        parameters=recipe.Params.listing(),
        definitions={item.keyword: item for item in qc1_definitions()},
    )


@router.get("/docs/qc/{table}")
def table_page(page: PageDep, table: str) -> HTMLResponse:
    """Definitions and score rules of a QC1 table."""
    tables = qc1_definitions().tables
    if table not in tables:
        raise NotFoundError(f"there is no QC1 table {table}; there are: {', '.join(tables)}", table=table)
    rules: dict[str, list[str]] = {}
    for item in instruments():
        for rule in item.qc1.score_rules:
            rules.setdefault(rule.parameter, []).append(_rule_text(rule))
    return page.render("doc_qc.html", table=table, parameters=tables[table], rules=rules, class_words=CLASS_WORDS)


def _rule_text(rule: object) -> str:
    if isinstance(rule, FixedRule):
        return f"fixed: {range_text(rule.low, rule.high)}"
    days, sigma, least = getattr(rule, "days", 0), getattr(rule, "nsigma", 0), getattr(rule, "minimum", 0)
    return f"statistical: median of the last {number(days)} d ± {number(sigma)} σ, from {least} values on"
