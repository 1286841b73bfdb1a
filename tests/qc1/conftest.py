"""A few declared parameters of MUSE, as recipes have them."""

from __future__ import annotations

import pytest

from core.instruments.muse.qc import QC1
from core.qc1.definitions import Definitions, define
from core.recipes.declaration import QcSpec


def _spec(keyword: str, products: tuple[str, ...] = (), kind: str = "float", unit: str = "", **more: object) -> QcSpec:
    return QcSpec(keyword, unit, kind, "HC", "text", products, **more)


DECLARED = {
    "muse_bias": (
        _spec("QC.BIAS.MASTER{quadrant}.MEDIAN", ("MASTER_BIAS",), unit="adu"),
        _spec("QC.BIAS.MASTER{quadrant}.RON", ("MASTER_BIAS",), unit="count"),
        _spec("QC.BIAS.MASTER.NBADPIX", ("MASTER_BIAS",), "int"),
        _spec("QC.BIAS.INPUT{input}.NSATURATED", ("MASTER_BIAS",), "int"),
    ),
    "muse_flat": (
        _spec("QC.FLAT.MASTER.INTFLUX", ("MASTER_FLAT",)),
        _spec("QC.FLAT.INPUT{input}.MEDIAN", ("MASTER_FLAT",)),
        _spec("QC.FLAT.MASTER.SLICE{slice}.MEAN", ("MASTER_FLAT",)),
        _spec("QC.TRACE.GAPS.MAX", ("TRACE_TABLE",)),
        _spec("QC.TRACE.SLICE_L.XPOS", ("TRACE_TABLE",)),
        _spec("QC.TRACE.SLICE{slice}.MAXSLOPE", ("TRACE_TABLE",)),
    ),
    "muse_wavecal": (
        _spec("QC.WAVECAL.SLICE{slice}.FIT.RMS", ("WAVECAL_TABLE",)),
        _spec("QC.WAVECAL.SLICE20.LAMP{lamp}.LINES.PEAK.MEAN", ("WAVECAL_TABLE",)),
        _spec("QC.WAVECAL.SLICE{slice}.LAMP{lamp}.LINES.PEAK.MAX"),
    ),
    "muse_geometry": (
        _spec("QC.GEO.EXP{exposure}.FWHM.MEAN", ("SPOTS_TABLE",)),
        _spec("QC.GEO.IFU{unit}.WLEN{line}.FLUX.MEAN", ("GEOMETRY_TABLE",), product_axes=()),
        _spec("QC.GEO.SMOOTH.NX", ("GEOMETRY_TABLE", "GEOMETRY_UNSMOOTHED"), product_axes=()),
        _spec("QC.GEO.MASK.ANGLE", ("GEOMETRY_TABLE",), unit="deg", product_axes=()),
    ),
    "muse_scibasic": (_spec("QC.SCIBASIC.LAMBDA.SHIFT", ("PIXTABLE_OBJECT",), product_axes=("unit", "exposure")),),
    "muse_standard": (
        _spec("QC.STANDARD.STARNAME", ("STD_RESPONSE",), "str", product_axes=("exposure",)),
        _spec("QC.STANDARD.POS{source}.X", ("DATACUBE_STD",), unit="pix", product_axes=("exposure",)),
    ),
    "muse_create_sky": (
        _spec("QC.SKY.LINE{sky_line}.NAME", ("SKY_LINES",), "str", product_axes=()),
        _spec("QC.SKY.LINE{sky_line}.FLUX", ("SKY_LINES",), product_axes=()),
    ),
}


@pytest.fixture(scope="session")
def definitions() -> Definitions:
    """Their definitions."""
    return define(QC1, DECLARED)
