"""MUSE in numbers: one constant, one place.

Sources: MUSE Pipeline User Manual 0.17 (sections 2.1, 5, 9) and the reference pipeline's documented
constants. All pixel coordinates are 1-based FITS pixels of the trimmed image unless said otherwise.
"""

from __future__ import annotations

from enum import IntFlag
from typing import Final

N_IFU: Final = 24
N_SLICES: Final = 48
N_SLICES_PER_STACK: Final = 12
N_PORTS: Final = 4

# -- detector ---------------------------------------------------------------------------------------
PORT_NX: Final = 2048
PORT_NY: Final = 2056
SCAN_WIDTH: Final = 32  # pre- and overscan per port and side [pix]
TRIMMED_SHAPE: Final = (2 * PORT_NY, 2 * PORT_NX)  # (ny, nx)
RAW_SHAPE: Final = (2 * (PORT_NY + 2 * SCAN_WIDTH), 2 * (PORT_NX + 2 * SCAN_WIDTH))
PORT_X: Final = (1, 4096, 4096, 1)  # DET.OUTn.X, port order: lower left, lower right, upper right, upper left
PORT_Y: Final = (1, 1, 4112, 4112)  # DET.OUTn.Y
SATURATION_ADU: Final = 65500.0  # raw values above are saturated
SATURATION_ZERO_ADU: Final = 1.19e-7  # raw values below are saturated too (wrapped to zero)

# -- slices on the detector ----------------------------------------------------------------------------
SLICE_WIDTH_NOMINAL: Final = 75.0
SLICE_WIDTH_LIMITS: Final = (72.2, 82.2)
SLICE_MAX_WIDTH: Final = 100
SLICE_FIRST_SEARCH: Final = 200
TRACE_HALF_WIDTH: Final = 55
TRACE_SLOPE_WARNING: Final = 0.015

# SliceCCD (1..48, left to right) -> SliceSky
SLICE_SKY: Final = (
    9, 8, 1, 10, 7, 2, 11, 6, 3, 12, 5, 4,
    21, 20, 13, 22, 19, 14, 23, 18, 15, 24, 17, 16,
    33, 32, 25, 34, 31, 26, 35, 30, 27, 36, 29, 28,
    45, 44, 37, 46, 43, 38, 47, 42, 39, 48, 41, 40,
)  # fmt: skip

# SliceSky 1..12, bottom to top of a stack -> SliceCCD; the other three stacks follow in steps of 12
SLICE_CCD: Final = tuple(SLICE_SKY.index(sky) + 1 for sky in range(1, N_SLICES + 1))

# -- field of view -----------------------------------------------------------------------------------------
SPAXEL_WFM: Final = (0.2, 0.2)  # (x, y) [arcsec]; also the unit of the geometry table in all modes
SPAXEL_NFM: Final = (0.02519, 0.02542)
FOCAL_SCALE: Final = 1.705  # TEL.FOCU.SCALE [arcsec/mm]
FIELD_SLICES: Final = N_IFU * N_SLICES_PER_STACK  # slices on top of each other, over 60 arcsec

# -- spectral ----------------------------------------------------------------------------------------------
SAMPLING: Final = 1.25  # nominal [Angstrom/pix]
SLIT_WIDTH_ANGSTROM: Final = 2.61
NOMINAL_RANGE: Final = (4650.0, 9300.0)  # [Angstrom], LSF grid, all modes
EXTREME_RANGE: Final = (4150.0, 9800.0)  # [Angstrom], all that any mode records
ARC_RANGE: Final = (4600.0, 9350.0)  # [Angstrom], outer limits of useful arc lines
FWHM_PER_SIGMA: Final = 2.3548200450309493

# lamp number (INS.LAMPn / INS.SHUTn) -> name; 1 and 2 are the continuum lamps
LAMPS: Final = {1: "ContB", 2: "ContR", 3: "Ne", 4: "Xe", 5: "HgCd", 6: "Ne"}


class Dq(IntFlag):
    """Euro3D data-quality bits used by MUSE."""

    TELLURIC = 1
    TELLURIC_CORRECTED = 2
    COSMIC = 32
    LOW_QE = 64
    HOT = 256
    DARK = 512
    SATURATED = 4096
    DEAD = 8192
    BAD_OTHER = 16384
    OBJECT = 1 << 25
    OUTLIER = 1 << 26
    NOTCH_NAD = 1 << 27
    TRAP = 1 << 29
    MISSING = 1 << 30
    OUTSIDE_RANGE = 1 << 31


MODES: Final = ("WFM-NOAO-E", "WFM-NOAO-N", "WFM-AO-E", "WFM-AO-N", "NFM-AO-N")

# Wavelength intervals [Angstrom] inside ARC_RANGE that a mode covers (limits belong to the interval).
MODE_COVERAGE: Final = {
    "WFM-NOAO-E": ((4600.0, 9350.0),),
    "WFM-NOAO-N": ((4750.0, 9350.0),),
    "WFM-AO-E": ((4600.0, 5755.0), (6008.0, 9350.0)),
    "WFM-AO-N": ((4700.0, 5805.0), (5966.0, 9350.0)),
    # The reference also accepts 4700..4750 through its generic AO rule; the instrument does not cover it.
    "NFM-AO-N": ((4750.0, 9350.0),),
}


# Wavelengths that a science exposure keeps [Angstrom].
USEFUL_RANGE: Final = {
    "WFM-NOAO-E": (4600.0, 9350.0),
    "WFM-NOAO-N": (4750.0, 9350.0),
    "WFM-AO-E": (4600.0, 9350.0),
    "WFM-AO-N": (4700.0, 9350.0),
    "NFM-AO-N": (4750.0, 9350.0),
}
# What the notch filter for the sodium laser takes out [Angstrom].
NOTCH: Final = {"WFM-AO-E": (5755.0, 6008.0), "WFM-AO-N": (5805.0, 5966.0), "NFM-AO-N": (5780.0, 6050.0)}
# From where the spectrum of the flat field is smooth enough to be smoothed [Angstrom].
FLAT_BLUE_END: Final = {
    "WFM-NOAO-E": 4150.0,
    "WFM-NOAO-N": 4775.0,
    "WFM-AO-E": 4150.0,
    "WFM-AO-N": 4700.0,
    "NFM-AO-N": 4770.0,
}
# From where the response can be measured [Angstrom]; bluer light is of the second order, or cut off.
RESPONSE_BLUE_END: Final = {"WFM-NOAO-N": 4750.0, "WFM-AO-N": 4690.0, "NFM-AO-N": 4690.0}
EFFECTIVE_AREA: Final = 483250.7024654051  # of the telescope [cm**2]
# What the air absorbs, and wavelengths around it that tell how bright it is without [Angstrom].
TELLURIC_BANDS: Final = (
    (6273.0, 6320.0, 6213.0, 6380.0),
    (6864.0, 6967.0, 6750.0, 7130.0),
    (7164.0, 7325.0, 7070.0, 7580.0),
    (7590.0, 7700.0, 7470.0, 7830.0),
    (8131.0, 8345.0, 7900.0, 8600.0),
    (8952.0, 9028.0, 8850.0, 9082.0),
    (9274.0, 9770.0, 9080.0, 9263.0),
)


def mode_class(ins_mode: str | None) -> str:
    """Class of an ``INS.MODE`` value, as used to compare set-ups.

    Any string starting with ``NFM`` is narrow field; ``WFM-NONAO-N`` is another spelling of
    ``WFM-NOAO-N``; a missing keyword counts as ``WFM-NOAO-N``; every unknown string as ``WFM-NOAO-E``.
    """
    if ins_mode is None or not ins_mode.strip():
        return "WFM-NOAO-N"
    mode = ins_mode.strip().upper()
    if mode.startswith("NFM"):
        return "NFM-AO-N"
    mode = mode.replace("NONAO", "NOAO")
    return mode if mode in MODES else "WFM-NOAO-E"


def covers(ins_mode: str | None, wave: float) -> bool:
    """Whether a mode has light at wavelength ``wave`` (Angstrom, air)."""
    return any(low <= wave <= high for low, high in MODE_COVERAGE[mode_class(ins_mode)])


def chip_name(ifu: int) -> str:
    """Extension name of the channel of an IFU, e.g. ``CHAN01``."""
    return f"CHAN{ifu:02d}"


def ifu_of_extname(extname: str) -> int | None:
    """IFU number of an extension name such as ``CHAN01`` or ``CHAN01.DATA``; None if it is none."""
    if extname.startswith("CHAN") and len(extname) >= 6 and extname[4:6].isdigit():
        number = int(extname[4:6])
        return number if 1 <= number <= N_IFU else None
    return None
