"""Curves over wavelength (responses, throughputs, spectra of the sky) beside those of earlier nights."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from core.archive.models import Product
from core.archive.pages import products as queries
from core.errors import MissingInputError, ParameterError
from core.previews.curves import read_curves
from service.dependencies import ArchiveDep, ProductId
from service.files import existing, product_path

router = APIRouter(prefix="/products", tags=["pixels"])

_MOST: Final = 10

Values = list[float | None]
Curve = npt.NDArray[np.float64]


class CurveOut(BaseModel):
    """A curve of one product."""

    product: int
    night: date
    values: Values = Field(description="One for each wavelength; null: no value")
    ratio: float | None = Field(description="Median of this product's curve over the one asked for; 1 of itself")
    difference: float | None = Field(description="Median of this product's curve less the one asked for; 0 of itself")


class CurvesOut(BaseModel):
    """A column of a table over wavelength, and that of earlier products of the same set-up."""

    column: str
    columns: list[str] = Field(description="Those that are curves")
    unit: str
    wave: list[float] = Field(description="Wavelengths [Angstrom]; thinned to 1500")
    curves: list[CurveOut] = Field(description="The product asked for first, then earlier ones, the newest first")


@router.get("/{product_id}/curves", summary="A curve over wavelength, and those before it")
def get_curves(
    archive: ArchiveDep,
    product_id: ProductId,
    ext: Annotated[int, Query(ge=0, description="Number of the HDU of the table")] = 1,
    column: Annotated[str | None, Query(max_length=80, description="By default the first after the wavelength")] = None,
    earlier: Annotated[int, Query(ge=0, le=_MOST, description="How many earlier products")] = 5,
) -> CurvesOut:
    """Earlier ones are interpolated to the wavelengths of the product; those not on disk are left out."""
    with archive.read() as session:
        product = queries.find_product(session, product_id)
        path = existing(product_path(product))
        before = [_known(item) for item in queries.earlier_products(session, product, earlier)] if earlier else []
        night = product.night
    own = read_curves(path, ext)
    name = column or next(iter(own.values))
    if name not in own.values:
        raise ParameterError(f"the table has no curve {name}; there are: {', '.join(own.values)}", parameter="column")
    values = own.values[name]
    curves = [_curve(product_id, night, values, values)]
    for number, other_night, other in before:
        try:
            found = read_curves(other, ext).at(name, own.wave)
        except (MissingInputError, OSError):  # of another form, or gone meanwhile
            continue
        curves.append(_curve(number, other_night, found, values))
    unit, wave = own.units.get(name, ""), np.round(own.wave, 3).tolist()
    return CurvesOut(column=name, columns=list(own.values), unit=unit, wave=wave, curves=curves)


def _known(product: Product) -> tuple[int, date, Path]:
    return product.id, product.night, Path(product.path)


def _plain(values: Curve) -> Values:
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values.tolist()]


def _curve(product: int, night: date, values: Curve, others: Curve) -> CurveOut:
    good = np.isfinite(values) & np.isfinite(others)
    more = good & (others != 0)
    return CurveOut(
        product=product,
        night=night,
        values=_plain(values),
        ratio=float(np.median(values[more] / others[more])) if more.any() else None,
        difference=float(np.median(values[good] - others[good])) if good.any() else None,
    )
