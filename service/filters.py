"""What a list may be restricted by: what no row could ever fit is refused, and the answer names what would be taken.

An empty list answers a question that makes sense. A misspelt parameter or tag has no answer, and must not look as if
the archive had nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import date
from typing import Annotated, Any, Final, get_origin

from fastapi import Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BeforeValidator
from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.archive.models import Block, Frame, Product
from core.errors import ParameterError
from core.instruments.catalogue import installed_recipes, product_tags, raw_tags
from core.instruments.registry import instruments

__all__ = [
    "LARGEST_UNIT",
    "Day",
    "Mjd",
    "check_product_tag",
    "check_raw_tag",
    "check_recipe",
    "known_parameters",
]


def _day_of_text(text: object) -> object:
    if isinstance(text, str) and not _DAY.fullmatch(text):
        raise ValueError("it takes a date like 2026-11-01")
    return text


_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
LARGEST_UNIT: Final = max(item.units.number for item in instruments())
"""Largest number of a unit of any instrument."""

Mjd = Annotated[float | None, Query(ge=0, le=200_000, allow_inf_nan=False, description="Modified Julian Date [d]")]
Day = Annotated[date, BeforeValidator(_day_of_text)]
"""A date as 2026-11-01 and in no other form: a number is no time here."""
_SHOWN: Final = 40  # characters of what was asked for


def known_parameters(request: Request) -> None:
    """Refuse query parameters that an address does not take, and second values of those that take one.

    Raises
    ------
    ParameterError
        Naming those that it takes.
    """
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    several = _parameters(route)
    for name, values in _given(request).items():
        if name not in several:
            takes = f"it takes {', '.join(several)}" if several else "it takes none"
            raise ParameterError(f"there is no parameter {name[:_SHOWN]!r} here: {takes}", parameter=name[:_SHOWN])
        if len(values) > 1 and not several[name]:
            raise ParameterError(f"{name} is given {len(values)} times, it takes one value", parameter=name)


def _given(request: Request) -> dict[str, list[str]]:
    return {name: request.query_params.getlist(name) for name in request.query_params}


def _parameters(route: APIRoute) -> dict[str, bool]:
    """Query parameters of a route, and whether they take several values."""
    return dict(_query_fields(route.dependant))


def _query_fields(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    for field in dependant.query_params:
        yield field.alias, get_origin(field.field_info.annotation) is list
    for inner in dependant.dependencies:
        yield from _query_fields(inner)


def check_raw_tag(session: Session, tag: str | None) -> None:
    """Refuse a tag that raw frames never have.

    Raises
    ------
    ParameterError
        Naming the tags.
    """
    _check(session, "tag", tag, raw_tags(), Frame.tag)


def check_product_tag(session: Session, tag: str | None) -> None:
    """Refuse a tag that products never have; ParameterError names the tags."""
    _check(session, "tag", tag, product_tags(), Product.tag)


def check_recipe(session: Session, recipe: str | None) -> None:
    """Refuse a recipe that no block has; ParameterError names those that are installed."""
    _check(session, "recipe", recipe, installed_recipes(), Block.recipe)


def _check(
    session: Session, name: str, value: str | None, declared: Collection[str], column: InstrumentedAttribute[Any]
) -> None:
    if value is None or value in declared:
        return
    # What an archive has is no mistake, whatever is declared now: recipes of another time, masters of others.
    if session.scalar(select(column).where(column == value).limit(1)) is not None:
        return
    raise ParameterError(
        f"there is no {name} {value[:_SHOWN]!r}: it takes {', '.join(sorted(declared))}", parameter=name
    )
