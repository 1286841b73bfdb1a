"""What the headers of mask exposures say: where the mask was, and how large a length on it is in the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError, error_context
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.instruments.muse.facts import FOCAL_SCALE
from core.spatial.mask import mask_height
from core.spatial.peaks import find_peaks
from core.spatial.slices import IfuPeaks
from core.spatial.spots import N_SPOTS, SpotPlaces, SpotSeries

__all__ = ["MaskExposure", "common_scale", "peaks_of_table", "series_of_table", "table_of_series"]

_STAGES: Final = (2, 3, 4)  # INS.POSn: x, y and z of the mask
_SCALE: Final = "TEL.FOCU.SCALE"
_SAME_SCALE: Final = 1e-10  # [arcsec/mm]


@dataclass(frozen=True)
class MaskExposure:
    """One exposure of the mask.

    Attributes
    ----------
    name : str
        Raw file.
    number : int
        In the series, from 1.
    steps : tuple of int
        Encoders of the stages 2, 3, 4.
    positions : tuple of float
        Their positions [mm].
    height : float
        Of the mask in the field of view [mm].
    scale : float
        Of the focal plane [arcsec/mm].
    """

    name: str
    number: int
    steps: tuple[int, ...]
    positions: tuple[float, ...]
    height: float
    scale: float

    @classmethod
    def of_header(cls, header: Header, name: str, number: int) -> MaskExposure:
        """From the primary header of a raw frame.

        Raises
        ------
        MissingKeywordError
            If a position of the mask or the derotator is missing.
        DataError
            If the scale of the focal plane is not above 0.
        ParameterError
            If the mask moves along the slices.
        """
        with error_context(file=name):
            scale = get_key(header, _SCALE, float, default=FOCAL_SCALE)
            if not scale > 0:
                raise DataError(f"a focal plane of {scale:g} arcsec/mm does not exist", keyword=_SCALE)
            positions = tuple(get_key(header, f"INS.POS{stage}.POS", float) for stage in _STAGES)
            on_sky = get_key(header, "INS.DROT.MODE", str, default="").strip() == "SKY"
            return cls(
                name=name,
                number=number,
                steps=tuple(get_key(header, f"INS.POS{stage}.ENC", int) for stage in _STAGES),
                positions=positions,
                height=mask_height(positions[1], get_key(header, "INS.DROT.POSANG", float), on_sky),
                scale=scale,
            )


def common_scale(scales: Sequence[float]) -> float:
    """Scale of the focal plane of all exposures [arcsec/mm].

    Raises
    ------
    DataError
        If they differ.
    """
    if np.ptp(scales) > _SAME_SCALE:
        raise DataError(
            f"the scale of the focal plane changes from {min(scales):g} to {max(scales):g} arcsec/mm",
            keyword=_SCALE,
        )
    return float(scales[0])


def table_of_series(
    series: SpotSeries,
    exposures: Sequence[MaskExposure],
    ifu: int,
    center: NDArray[np.float64],
    width: NDArray[np.float64],
) -> dict[str, NDArray[Any]]:
    """Columns of a SPOTS_TABLE.

    Parameters
    ----------
    series : SpotSeries
    exposures : sequence of MaskExposure
    ifu : int
    center, width : ndarray of float64 (exposures, spots)
        Of the slices at the rows of the spots [pix].

    Returns
    -------
    dict of str to ndarray
        By line, slice, spot and height of the mask.
    """
    places = series.places
    shape = series.x.shape

    def of_exposures(values: Sequence[Any]) -> NDArray[Any]:
        return np.broadcast_to(np.array(values)[:, None], shape).ravel()

    def of_spots(values: NDArray[Any]) -> NDArray[Any]:
        return np.broadcast_to(values, shape).ravel()

    columns: dict[str, NDArray[Any]] = {
        "filename": of_exposures([item.name.encode() for item in exposures]),
        "image": of_exposures([item.number for item in exposures]),
    }
    for index, stage in enumerate(_STAGES):
        columns[f"POSENC{stage}"] = of_exposures([item.steps[index] for item in exposures])
        columns[f"POSPOS{stage}"] = of_exposures([item.positions[index] for item in exposures])
    columns |= {
        "VPOS": of_exposures([item.height for item in exposures]),
        "ScaleFOV": of_exposures([item.scale for item in exposures]),
        "SubField": np.full(series.x.size, ifu),
        "SliceCCD": of_spots(places.slice_no),
        "lambda": of_spots(places.wave),
        "SpotNo": of_spots(places.number),
        "xc": series.x.ravel(),
        "yc": series.y.ravel(),
        "xfwhm": series.x_fwhm.ravel(),
        "yfwhm": series.y_fwhm.ravel(),
        "flux": series.flux.ravel(),
        "bg": series.background.ravel(),
        "dxcen": (series.x - center).ravel(),
        "twidth": width.ravel(),
    }
    order = np.lexsort((columns["image"], columns["VPOS"], columns["SpotNo"], columns["SliceCCD"], columns["lambda"]))
    return {name: values[order] for name, values in columns.items()}


def series_of_table(columns: Mapping[str, NDArray[Any]]) -> tuple[SpotSeries, list[MaskExposure]]:
    """Measurements and exposures of a SPOTS_TABLE, ordered by the number of the exposure.

    Raises
    ------
    DataError
        If not every spot is measured in every exposure.
    """
    _, first = np.unique(columns["image"], return_index=True)
    order = _by_exposure(columns)
    spots = order[0]
    places = SpotPlaces(
        slice_no=columns["SliceCCD"][spots].astype(np.int32),
        wave=columns["lambda"][spots],
        number=columns["SpotNo"][spots].astype(np.int32),
        x=columns["xc"][spots],
        y=columns["yc"][spots],
    )
    measured = (columns[name][order] for name in ("xc", "yc", "xfwhm", "yfwhm", "flux", "bg"))
    exposures = [
        MaskExposure(
            name=bytes(columns["filename"][row]).decode().strip(),
            number=int(columns["image"][row]),
            steps=tuple(int(columns[f"POSENC{stage}"][row]) for stage in _STAGES),
            positions=tuple(float(columns[f"POSPOS{stage}"][row]) for stage in _STAGES),
            height=float(columns["VPOS"][row]),
            scale=float(columns["ScaleFOV"][row]),
        )
        for row in first
    ]
    return SpotSeries(places, *measured), exposures


def peaks_of_table(columns: Mapping[str, NDArray[Any]]) -> IfuPeaks:
    """Peaks of the spots of a SPOTS_TABLE, with the edges of their slices as they stand there.

    Raises
    ------
    DataError
        If not every spot is measured in every exposure.
    """
    series, exposures = series_of_table(columns)
    peaks = find_peaks(series, np.array([exposure.height for exposure in exposures]))
    order = _by_exposure(columns)
    center = np.median((columns["xc"] - columns["dxcen"])[order], axis=0).reshape(-1, N_SPOTS)
    half = 0.5 * np.median(columns["twidth"][order], axis=0).reshape(-1, N_SPOTS)
    places = series.places
    row_of = {key: row for row, key in enumerate(zip(places.wave[::N_SPOTS], places.slice_no[::N_SPOTS], strict=True))}
    rows = [row_of[key] for key in zip(peaks.wave, peaks.slice_no, strict=True)]
    center, half = center[rows], half[rows]
    return IfuPeaks(int(columns["SubField"][0]), peaks, center - half, center, center + half)


def _by_exposure(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.intp]:
    """Rows of a SPOTS_TABLE in the order of `SpotSeries`, shape (exposures, spots)."""
    numbers = np.unique(columns["image"])
    order = np.lexsort((columns["SpotNo"], columns["SliceCCD"], columns["lambda"], columns["image"]))
    if order.size % numbers.size or np.any(columns["image"][order].reshape(numbers.size, -1) != numbers[:, None]):
        raise DataError("the table does not hold every spot of every exposure")
    return order.reshape(numbers.size, -1)
