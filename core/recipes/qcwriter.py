"""QC values become header cards, checked against the declaration of the recipe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from core.ccd.statistics import ImageStatistics
from core.fitsfile.header import Header
from core.fitsfile.keywords import set_key
from core.recipes.declaration import QcSpec, Recipe

__all__ = ["QcWriter"]


class QcWriter:
    """Writes declared QC parameters of one product into its header.

    Parameters
    ----------
    recipe : Recipe
    tag : str
        Product tag; only parameters declared for it are accepted.
    header : Header
        Cards are added in the order of the calls.

    Examples
    --------
    >>> qc = QcWriter(recipe, "MASTER_BIAS", header)                # doctest: +SKIP
    >>> qc.write("QC.BIAS.MASTER{quadrant}.RON", 2.9, quadrant=1)   # doctest: +SKIP
    """

    def __init__(self, recipe: Recipe | type[Recipe], tag: str, header: Header) -> None:
        self._specs: dict[str, QcSpec] = {
            spec.keyword: spec for spec in recipe.qc if not spec.products or tag in spec.products
        }
        self._header = header

    def write(self, template: str, value: Any, **indices: int) -> None:
        """Write one value; floats get 7 significant digits, as in the reference, doubles all they have.

        Raises
        ------
        KeyError
            If the parameter is not declared for this product.
        """
        spec = self._specs[template]
        converted: Any = value
        if spec.type == "float":
            converted = np.float32(value)
        elif spec.type == "double":
            converted = float(value)
        elif spec.type == "int":
            converted = int(value)
        comment = f"[{spec.unit}] {spec.description}" if spec.unit else spec.description
        set_key(self._header, spec.key(**indices), converted, comment)

    def write_each(self, template: str, index: str, values: Iterable[Any], **indices: int) -> None:
        """Write values 1, 2, ... of an indexed parameter."""
        for number, value in enumerate(values, start=1):
            self.write(template, value, **{index: number}, **indices)

    def write_statistics(self, prefix: str, statistics: ImageStatistics, **indices: int) -> None:
        """Write ``prefix`` + MEDIAN, MEAN, STDEV, MIN, MAX."""
        self.write(f"{prefix}.MEDIAN", statistics.median, **indices)
        self.write(f"{prefix}.MEAN", statistics.mean, **indices)
        self.write(f"{prefix}.STDEV", statistics.stdev, **indices)
        self.write(f"{prefix}.MIN", statistics.minimum, **indices)
        self.write(f"{prefix}.MAX", statistics.maximum, **indices)
