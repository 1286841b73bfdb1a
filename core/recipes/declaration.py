"""What a recipe is: a declaration (inputs, parameters, products, QC parameters) and what is done with each part.

A recipe module reads like this::

    class MuseBias(Recipe):
        name = "muse_bias"
        version = "1"
        summary = "Combine several separate bias images into one master bias file."
        description = "..."
        inputs = (FrameSpec("BIAS", "raw", min=3, recommended=11, description="Raw bias"), BADPIX_INPUT)
        Params = BiasParams            # a RecipeParameters model
        products = (ProductSpec("MASTER_BIAS", "image", "Master bias"),)
        qc = (QcSpec("QC.BIAS.MASTER{quadrant}.RON", "count", "float", "HC", "Read-out noise ..."), ...)

        parts = PartKind.UNIT          # what it can be divided by: units, slabs of wavelength, or not at all
        survives_loss = True           # 23 of 24 IFUs are worth having
        memory = MemoryNeed(fixed_mb=150, part_mb=250)

        def process(self, part, frames, params, ctx):
            ...
            return PartOutput([ImageProduct("MASTER_BIAS", image, raws, calibs)])

Recipes that need more than `process` have `prepare`, which runs once before the parts, and `finish`, which runs once
after them on what they measured. Command-line help, REST schema, documentation pages, QC1 definitions and the cascade
are derived from the declaration; `core.recipes.engine` owns everything around these methods: the parts, processes,
logging, timing, provenance (``PRO.*``), writing and merging.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Final, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from core.errors import MissingInputError, ParameterError, error_context
from core.qc1.axes import check_axes, indices_of
from core.recipes.flow import PartOutput, Product, RecipeContext
from core.recipes.frames import Frame, FrameSet
from core.recipes.parts import WHOLE, MemoryNeed, Part, PartKind, Schedule

__all__ = [
    "BADPIX_INPUT",
    "Difference",
    "FrameSpec",
    "ManualNote",
    "ParameterInfo",
    "ProductSpec",
    "QcSpec",
    "Recipe",
    "RecipeParameters",
    "parameter",
]

QcClass = Literal["KPI", "HC", "CAL", "ENG"]
QcType = Literal["float", "double", "int", "str"]


# -- inputs ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class FrameSpec:
    """One kind of input frame.

    Attributes
    ----------
    tag : str
        Frame tag as in a set of frames.
    kind : {'raw', 'calib'}
    min : int
        Fewest frames needed; 0 means optional.
    max : int or None
        How many are used, the first ones; None is all.
    recommended : int or None
        How many frames the calibration plan takes.
    description : str
    """

    tag: str
    kind: Literal["raw", "calib"]
    min: int = 0
    max: int | None = None
    recommended: int | None = None
    description: str = ""


BADPIX_INPUT: Final = FrameSpec(
    "BADPIX_TABLE",
    "calib",
    description="Known bad pixels (optional, usually not used, more than one frame allowed)",
)


# -- parameters -------------------------------------------------------------------------------------------------
def parameter(
    default: Any,
    help: str,  # the manual's word
    *,
    hidden: bool = False,
    unit: str = "",
    only: str = "",
    **constraints: Any,
) -> Any:
    """A recipe parameter: a pydantic field with the manual's help text.

    Parameters
    ----------
    default
        Default value; its type is the annotation's.
    help : str
        Help text.
    hidden : bool
        Accepted from everybody, but help texts leave it out.
    unit : str
        Unit of the value.
    only : str
        Value of another parameter without which this one does nothing: ``combine=minmax``.
    **constraints
        ``ge``, ``gt``, ``le``, ``lt`` as in pydantic.
    """
    extra: dict[str, Any] = {"hidden": hidden, "unit": unit, "only": only}
    return Field(default, description=help, json_schema_extra=extra, **constraints)


@dataclass(frozen=True)
class ParameterInfo:
    """One parameter as help texts, forms and headers need it."""

    name: str
    type: str
    default: Any
    help: str
    unit: str
    only: str
    hidden: bool
    choices: tuple[str, ...]
    accepts: str


class RecipeParameters(BaseModel):
    """Base of the parameter models; strict about names, values are checked before anything runs."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    @cache
    def listing(cls) -> tuple[ParameterInfo, ...]:
        """All parameters in the order of definition."""
        return tuple(_info(name, info) for name, info in cls.model_fields.items())

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Validated parameters from text or typed values.

        Raises
        ------
        ParameterError
            Naming the parameter and what it accepts.
        """
        known = {info.name: info for info in cls.listing()}
        for name in values:
            cls.info(name)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else ""
            if name in known:
                raise ParameterError(
                    f"{name}={values.get(name)!r} is not accepted: {_reason(first)}; "
                    f"{name} takes {known[name].accepts}",
                    parameter=name,
                ) from error
            raise ParameterError(_reason(first)) from error

    @classmethod
    def info(cls, name: str) -> ParameterInfo:
        """What is declared of a parameter.

        Raises
        ------
        ParameterError
            If there is none of that name.
        """
        known = {info.name: info for info in cls.listing()}
        if name not in known:
            raise ParameterError(f"there is no parameter {name}; the recipe has: {', '.join(known)}", parameter=name)
        return known[name]

    def schedule(self) -> Schedule:
        """How the parts follow each other with these parameters: all of them, on as many processes as there are."""
        return Schedule(merge=bool(getattr(self, "merge", False)))

    def changed(self) -> dict[str, Any]:
        """Parameters that differ from their default."""
        return {
            name: getattr(self, name)
            for name, info in type(self).model_fields.items()
            if getattr(self, name) != info.default
        }

    def idle(self) -> dict[str, str]:
        """Parameters that differ from their default but do nothing, and what they would need: ``combine=minmax``."""
        return {
            info.name: info.only
            for info in self.listing()
            if info.only and getattr(self, info.name) != info.default and not self._holds(info.only)
        }

    def _holds(self, condition: str) -> bool:
        name, _, value = condition.partition("=")
        return str(getattr(self, name)).lower() == value


def _reason(error: Any) -> str:
    return str(error["msg"]).removeprefix("Value error, ")


def _info(name: str, info: FieldInfo) -> ParameterInfo:
    annotation = info.annotation
    choices: tuple[str, ...] = ()
    if get_origin(annotation) is Literal:
        choices = tuple(str(choice) for choice in get_args(annotation))
        kind = "string"
    else:
        kind = {int: "int", float: "double", bool: "boolean", str: "string"}[annotation]  # type: ignore[index]
    limits = []
    for item in info.metadata:
        for attribute, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
            if getattr(item, attribute, None) is not None:
                limits.append(f"{sign} {getattr(item, attribute):g}")
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    accepts = (
        "one of " + ", ".join(choices)
        if choices
        else {"boolean": "true or false", "int": "an integer", "double": "a number"}.get(kind, "a text")
    )
    if limits:
        accepts += " " + " and ".join(limits)
    return ParameterInfo(
        name=name,
        type=kind,
        default=info.default,
        help=info.description or "",
        unit=str(extra.get("unit", "")),
        only=str(extra.get("only", "")),
        hidden=bool(extra.get("hidden", False)),
        choices=choices,
        accepts=str(extra.get("accepts", accepts)),
    )


# -- products and QC ----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ProductSpec:
    """One kind of product.

    Attributes
    ----------
    tag : str
        ``PRO.CATG``.
    kind : {'image', 'table', 'cube', 'pixtable'}
        What it is on disk.
    description : str
    optional : str or None
        The parameter that switches it on.
    science : bool
        ``PRO.SCIENCE``: made of science data, no calibration.
    intermediate : bool
        A large step between raw frames and results: an installation keeps it for a while only, and makes it again when
        it is needed.
    passing : bool
        An intermediate that only the next step takes: it is kept for a shorter while.
    """

    tag: str
    kind: Literal["image", "table", "cube", "pixtable", "header"]
    description: str
    optional: str | None = None
    science: bool = False
    intermediate: bool = False
    passing: bool = False


@dataclass(frozen=True)
class QcSpec:
    """One QC parameter, or a family of them.

    Attributes
    ----------
    keyword : str
        Dot notation; indices in braces, each an axis of `core.qc1.axes`: ``QC.BIAS.MASTER{quadrant}.RON``.
    unit : str
        ``adu``, ``count``, ``pix``, ``deg``, ``Angstrom``, ... or empty for numbers of things.
    type : {'float', 'double', 'int', 'str'}
        A float has 7 significant digits, as in the reference.
    klass : {'KPI', 'HC', 'CAL', 'ENG'}
        Instrument performance, instrument health, calibration quality, engineering.
    description : str
    products : tuple of str
        Tags of the products whose header carries it.
    only : dict, optional
        Index values for which it exists, e.g. ``{"slice": (3, 10, 39, 46)}``.
    product_axes : tuple of str
        Axes that come from the product, not from the keyword: its unit, its exposure; none of the whole instrument.
    """

    keyword: str
    unit: str
    type: QcType
    klass: QcClass
    description: str
    products: tuple[str, ...] = ()
    only: dict[str, tuple[int, ...]] = field(default_factory=dict)
    product_axes: tuple[str, ...] = ("unit",)

    @property
    def indices(self) -> tuple[str, ...]:
        """Names of the indices in the keyword."""
        return indices_of(self.keyword)

    @property
    def pattern(self) -> re.Pattern[str]:
        """Regular expression of the keyword in dot notation, with one named group per index."""
        text = re.sub(r"\\{(\w+)\\}", r"(?P<\1>\\d+)", re.escape(self.keyword))
        return re.compile(f"^{text}$")

    def key(self, **indices: int) -> str:
        """The keyword with its indices filled in."""
        return self.keyword.format(**indices)


@dataclass(frozen=True)
class Difference:
    """One intended difference from the reference pipeline (2.8.7).

    Attributes
    ----------
    where : str
        Product, QC parameter or recipe parameter.
    here, reference : str
        What this recipe does, and what the reference does.
    why : str
        Reason: the manual, a defect of the reference.
    size : str
        By how much the results differ, with unit, as measured on simulated frames.
    """

    where: str
    here: str
    reference: str
    why: str
    size: str


@dataclass(frozen=True)
class ManualNote:
    """Something that the reference pipeline (2.8.7) does otherwise than the manual says, and this recipe as well.

    Attributes
    ----------
    where : str
        Product, QC parameter or recipe parameter.
    manual, here : str
        What the manual says, and what is done.
    """

    where: str
    manual: str
    here: str


class Recipe(ABC):
    """Base of the recipes; see the module's docstring."""

    name: ClassVar[str]
    version: ClassVar[str]
    summary: ClassVar[str]
    description: ClassVar[str]
    inputs: ClassVar[tuple[FrameSpec, ...]]
    Params: ClassVar[type[RecipeParameters]]
    one_image: ClassVar[bool] = False  # all raw frames (of a unit) are combined into one image
    products: ClassVar[tuple[ProductSpec, ...]]
    qc: ClassVar[tuple[QcSpec, ...]]
    parts: ClassVar[PartKind] = PartKind.WHOLE
    needs_raw: ClassVar[bool] = True  # without raw frames there is nothing to do
    survives_loss: ClassVar[bool] = False  # the result is worth having when a part failed
    leased_parts: ClassVar[bool] = False  # the service gives its parts to several workers, on several hosts
    memory: ClassVar[MemoryNeed]
    compiled_by: ClassVar[tuple[Mapping[str, Any], ...]] = ()  # parameters of runs that between them use all kernels
    differences: ClassVar[tuple[Difference, ...]] = ()
    manual_notes: ClassVar[tuple[ManualNote, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        """Check the QC declarations when the class is made, not when a finished block is committed.

        Raises
        ------
        DeclarationError
            Naming the recipe, the keyword and the index that is no axis.
        """
        super().__init_subclass__(**options)
        with error_context(recipe=cls.__dict__.get("name", cls.__name__)):
            for spec in cls.__dict__.get("qc", ()):
                check_axes(spec.keyword, spec.product_axes)

    @abstractmethod
    def process(self, part: Part, frames: FrameSet, params: Any, ctx: RecipeContext) -> PartOutput:
        """Reduce one part; on any core or host, in any order, and perhaps a second time.

        Parameters
        ----------
        part : Part
        frames : FrameSet
            All input frames, those of other units too.
        params : RecipeParameters
            An instance of ``Params``.
        ctx : RecipeContext

        Returns
        -------
        PartOutput
            Products of a unit or of the whole; what a slab yields is in the files that `prepare` reserved.

        Raises
        ------
        MuseError
            If this part cannot be reduced.
        """

    def list_parts(self, frames: FrameSet, params: Any) -> tuple[Part, ...]:
        """The parts of a run, cheaply: headers are read at most.

        Raises
        ------
        MuseError
            If the frames have none.
        """
        return (WHOLE,)

    def prepare(self, frames: FrameSet, params: Any, ctx: RecipeContext) -> Any:
        """Do once what all parts need; files may be reserved in ``ctx.output_dir``.

        Returns
        -------
        object
            Small and picklable: ``ctx.prepared`` of the parts and of `finish`.

        Raises
        ------
        MuseError
            If nothing can be reduced.
        """
        return None

    def finish(
        self, frames: FrameSet, params: Any, ctx: RecipeContext, measured: Mapping[Part, Any]
    ) -> Sequence[Product]:
        """Do once what is left when the parts are done.

        Parameters
        ----------
        frames : FrameSet
        params : RecipeParameters
        ctx : RecipeContext
        measured : mapping
            Of the parts that did not fail, ascending: what `process` measured.

        Returns
        -------
        sequence of Product
            Products of the whole.
        """
        return ()

    def abandon(self, prepared: Any) -> None:  # noqa: B027  (most reserve nothing)
        """Remove what `prepare` reserved: the run failed or was broken off."""

    @classmethod
    def raw_tags(cls) -> tuple[str, ...]:
        """Tags of the raw inputs."""
        return tuple(spec.tag for spec in cls.inputs if spec.kind == "raw")

    @classmethod
    def input_spec(cls, tag: str) -> FrameSpec | None:
        """The declaration of an input tag, or None."""
        return next((spec for spec in cls.inputs if spec.tag == tag), None)

    @classmethod
    def product_spec(cls, tag: str) -> ProductSpec:
        """The declaration of a product tag."""
        return next(spec for spec in cls.products if spec.tag == tag)

    @classmethod
    def accepted(cls, frames: FrameSet) -> FrameSet:
        """The frames that the recipe uses by its declaration: of its tags, and no more of a tag than it takes."""
        kept: list[Frame] = []
        for frame in frames:
            spec = cls.input_spec(frame.tag)
            if spec and (spec.max is None or sum(other.tag == frame.tag for other in kept) < spec.max):
                kept.append(frame)
        return FrameSet(tuple(kept))

    @classmethod
    def check_parameters(cls, frames: FrameSet, params: Any) -> None:
        """Check parameters that depend on the set of frames, before anything runs.

        Raises
        ------
        ParameterError
            If the combination does not fit the number of frames.
        """
        if cls.one_image:
            params.combine_options.check_number(len(frames.tagged(*cls.raw_tags())))

    @classmethod
    def check_inputs(cls, frames: FrameSet) -> None:
        """Check that the set of frames is complete, before anything runs.

        Raises
        ------
        MissingInputError
            Naming the tag, how many there are, and how many are needed.
        """
        for spec in cls.inputs:
            found = len(frames.tagged(spec.tag))
            if found < spec.min:
                raise MissingInputError(
                    f"{cls.name} needs at least {spec.min} {spec.tag} ({spec.description}), "
                    f"the set of frames has {found}",
                    rule=spec.tag,
                )
        if cls.needs_raw and cls.raw_tags() and not frames.tagged(*cls.raw_tags()):
            raise MissingInputError(f"{cls.name} needs raw frames of type {' or '.join(cls.raw_tags())}")
