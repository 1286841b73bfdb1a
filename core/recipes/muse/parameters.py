"""Parameter groups that several recipes share: overscan and image combination.

Names, defaults and help texts are the manual's; values are checked before anything runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import field_validator

from core.ccd.combine import CombineOptions
from core.ccd.overscan import MAX_VPOLY_ORDER, OverscanOptions, parse_overscan, parse_ovscreject
from core.instruments.muse.facts import N_IFU, SCAN_WIDTH
from core.recipes.declaration import RecipeParameters, parameter
from core.recipes.parts import Schedule

__all__ = [
    "CombineParameters",
    "IfuCombineParameters",
    "IfuParameters",
    "NifuParameters",
    "OverscanParameters",
    "merge_parameter",
]


def _accepting(field: Any, accepts: str) -> Any:
    field.json_schema_extra["accepts"] = accepts
    return field


class NifuParameters(RecipeParameters):
    """``nifu``: first parameter of every first-stage recipe. ``merge`` is declared last by each recipe."""

    nifu: int = parameter(
        0,
        "IFU to handle. If set to 0, all IFUs are processed serially. "
        "If set to -1, all IFUs are processed in parallel.",
        ge=-1,
        le=N_IFU,
    )

    def schedule(self) -> Schedule:
        """0: one IFU after the other, up to the first that fails; -1: all on several processes; else that one."""
        schedule = super().schedule()
        return replace(schedule, parallel=self.nifu == -1, stop_at_failure=self.nifu == 0, skip_dead=self.nifu <= 0)


class OverscanParameters(RecipeParameters):
    """The overscan parameters of every recipe that reads raw frames."""

    overscan: str = _accepting(
        parameter(
            "vpoly",
            'If this is "none", stop when detecting discrepant overscan levels (see ovscsigma), for "offset" it '
            "assumes that the mean overscan level represents the real offset in the bias levels of the exposures "
            'involved, and adjusts the data accordingly; for "vpoly", a polynomial is fit to the vertical overscan '
            "and subtracted from the whole quadrant.",
        ),
        f"none, offset, vpoly or vpoly:order[,frms[,fchisq]] with an order from 0 to {MAX_VPOLY_ORDER}",
    )
    ovscreject: str = _accepting(
        parameter(
            "dcr",
            "This influences how values are rejected when computing overscan statistics. Either no rejection at all "
            '("none"), rejection using the DCR algorithm ("dcr"), or rejection using an iterative constant fit '
            '("fit").',
        ),
        "none, dcr, dcr:xbox,ybox,npass,thres, fit or fit:sigma",
    )
    ovscsigma: float = parameter(
        30.0,
        "If the deviation of mean overscan levels between a raw input image and the reference image is higher than "
        '|ovscsigma x stdev|, stop the processing. If overscan="vpoly", this is used as sigma rejection level for the '
        "iterative polynomial fit (the level comparison is then done afterwards with |100 x stdev| to guard against "
        'incompatible settings). Has no effect for overscan="offset".',
        gt=0,
    )
    ovscignore: int = parameter(
        3,
        "The number of pixels of the overscan adjacent to the data section of the CCD that are ignored when computing "
        "statistics or fits.",
        unit="pix",
        ge=0,
        lt=SCAN_WIDTH,
    )

    @field_validator("overscan")
    @classmethod
    def _check_overscan(cls, value: str) -> str:
        parse_overscan(value)
        return value

    @field_validator("ovscreject")
    @classmethod
    def _check_ovscreject(cls, value: str) -> str:
        parse_ovscreject(value)
        return value

    @property
    def overscan_options(self) -> OverscanOptions:
        """The four parameters as the numerics take them."""
        return OverscanOptions(
            parse_overscan(self.overscan), parse_ovscreject(self.ovscreject), self.ovscsigma, self.ovscignore
        )


class CombineParameters(OverscanParameters):
    """Overscan parameters and those of the combination of frames."""

    combine: Literal["average", "median", "minmax", "sigclip"] = parameter(
        "sigclip", "Type of image combination to use."
    )
    nlow: int = parameter(1, "Number of minimum pixels to reject with minmax.", ge=0, only="combine=minmax")
    nhigh: int = parameter(1, "Number of maximum pixels to reject with minmax.", ge=0, only="combine=minmax")
    nkeep: int = parameter(1, "Number of pixels to keep with minmax.", ge=0, only="combine=minmax")
    lsigma: float = parameter(3.0, "Low sigma for pixel rejection with sigclip.", ge=0, only="combine=sigclip")
    hsigma: float = parameter(3.0, "High sigma for pixel rejection with sigclip.", ge=0, only="combine=sigclip")

    @property
    def combine_options(self) -> CombineOptions:
        """The six parameters as the numerics take them."""
        return CombineOptions(self.combine, self.nlow, self.nhigh, self.nkeep, self.lsigma, self.hsigma)


class IfuParameters(OverscanParameters, NifuParameters):
    """``nifu`` and the overscan parameters."""


class IfuCombineParameters(CombineParameters, NifuParameters):
    """``nifu``, overscan and combination parameters: bias, dark, flat and wavecal recipes start with these."""


def merge_parameter() -> Any:
    """The parameter ``merge``, declared last by each recipe: ``merge: bool = merge_parameter()``."""
    return parameter(False, "Merge output products from different IFUs into a common file.")
