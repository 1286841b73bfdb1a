"""Two flats become a gain: a sanity check of the header's gains, told in the log only."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.geometry import all_ports
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key
from core.recipes.logs import Logger
from core.recipes.muse.slabs import SlabReader

__all__ = ["check_gains"]

_MAX_DEFICIT: Final = 0.2
_SAMPLED_ROWS: Final = 64


def check_gains(reader: SlabReader, bias: Header, log: Logger) -> tuple[float, ...]:
    """Compare the gains of the header with the photon noise of the first two flats.

    Parameters
    ----------
    reader : SlabReader
        Of at least two flats.
    bias : Header
        Header of the MASTER_BIAS, with ``QC.BIAS.MASTERn.MEAN`` and ``.RON``.
    log : logger
        Told of each port; warned if a gain is more than 20 % below that of the header.

    Returns
    -------
    tuple of float
        Gains of ports 1..4 [count/adu]; NaN where they cannot be measured.
    """
    plan = reader.plan
    pair = replace(
        plan, levels=plan.levels[:2], shifts=plan.shifts[:2], extra_variance=plan.extra_variance[:2],
        gains=plan.gains[:2], dark_factors=plan.dark_factors[:2], factors=plan.factors[:2], calibrated=False,
    )  # fmt: skip
    levelled = SlabReader(reader.channels[:2], pair, reader.masters, reader.bad_pixels)
    first, second = levelled.sample(_SAMPLED_ROWS)
    upper = levelled.sampled_rows(_SAMPLED_ROWS) >= plan.detector.ny
    gains = []
    for port in all_ports():
        rows = upper == plan.detector.is_upper(port)
        columns = plan.detector.port_window(port)[1]
        one, two = first[rows, columns].astype(np.float64), second[rows, columns].astype(np.float64)
        header_gain = float(plan.gains[0, port - 1])
        level = get_key(bias, f"QC.BIAS.MASTER{port}.MEAN", float, default=0.0)
        noise = np.sqrt(2.0) * get_key(bias, f"QC.BIAS.MASTER{port}.RON", float, default=0.0) / header_gain
        variance = _clipped_variance(one - two) - noise**2
        gain = (one.mean() + two.mean() - 2 * level) / variance if variance > 0 else float("nan")
        gains.append(float(gain))
        tell = log.warning if 1 - gain / header_gain > _MAX_DEFICIT else log.info
        tell("gain of quadrant %d from two flats: %.3f count/adu, expected %.3f count/adu", port, gain, header_gain)
    return tuple(gains)


def _clipped_variance(difference: NDArray[np.float64]) -> float:
    # Cosmic-ray hits in one of the flats must not pass for photon noise.
    kept = difference.ravel()
    for _ in range(2):
        kept = kept[np.abs(kept - kept.mean()) <= 5 * kept.std()]
    return float(np.var(kept, ddof=1))
