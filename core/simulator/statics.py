"""What the observatory would deliver beside raw frames: static calibrations that are true of the simulation.

`write_simulated_statics` writes them all. Those of published data (`core.staticcal`) are true of the simulation, too:
its standard stars, its extinction and its sky lines are those of the published tables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from core.ccd.geometry import Detector
from core.fitsfile.header import Header
from core.fitsfile.keywords import get_key, set_key
from core.fitsfile.scan import scan_fits
from core.fitsfile.writer import FitsWriter
from core.formats.lsf import LSF_PROFILE, LsfCube
from core.formats.onsky_tables import ASTROMETRY_REFERENCE, STD_RESPONSE, STD_TELLURIC
from core.formats.tables import BADPIX_TABLE, GEOMETRY_TABLE
from core.instruments.muse.facts import (
    MODES,
    N_IFU,
    N_SLICES,
    NOMINAL_RANGE,
    SAMPLING,
    SPAXEL_NFM,
    SPAXEL_WFM,
    TELLURIC_BANDS,
    Dq,
    chip_name,
)
from core.simulator import light_kernels
from core.simulator.atmosphere import molecular_depth
from core.simulator.clusters import CLUSTERS, cluster_stars, star_catalogue
from core.simulator.geometry import FieldGeometry, make_geometry
from core.simulator.light import WAVE_GRID
from core.simulator.onsky import VIGNETTED_CORNER, VIGNETTED_SIZE, VIGNETTED_UNTIL
from core.simulator.optics import OpticsTruth, make_optics
from core.simulator.photometry import TELESCOPE_AREA, efficiency, photons_per_erg
from core.simulator.truth import truth_for
from core.staticcal.writing import Provenance, StaticTable, is_built_here, static_header, write_static

__all__ = [
    "write_astrometry_reference",
    "write_astrometry_wcs",
    "write_bad_pixels",
    "write_geometry_table",
    "write_lsf_profile",
    "write_response",
    "write_simulated_statics",
    "write_telluric",
    "write_vignetting_mask",
]

F64 = NDArray[np.float64]
PathLike = str | os.PathLike[str]

_DATE: Final = "2026-11-29"
_REFERENCE_IFU: Final = 1  # to whose level twilight brings the others
_VERSION: Final = 1
_FIELD: Final = 300  # side of the mask of vignetting [pix]
_RESPONSE: Final = np.arange(4150.0, 9800.5, 2.0)
_RESPONSE_ERROR: Final = 0.005  # [mag]
_TELLURIC_ERROR: Final = 0.05  # of the absorption
_LEAST_ERROR: Final = 1e-4
# Of the images of the LSF: distances from the line, wavelengths of the lines [Angstrom].
_OFFSETS: Final = np.linspace(-7.5, 7.5, 151)
_LINES: Final = np.linspace(*NOMINAL_RANGE, 30)


def write_simulated_statics(
    directory: PathLike,
    seed: int = 1,
    modes: Sequence[str] = MODES,
    ifus: Sequence[int] = range(1, N_IFU + 1),
    *,
    again: bool = False,
) -> list[Path]:
    """Write all static calibrations of the simulated instrument, as far as no file has their names.

    Parameters
    ----------
    directory : path-like
        Made if it does not exist.
    seed : int
        Of the simulation.
    modes : sequence of str
        Modes whose response and telluric absorption are written.
    ifus : sequence of int
        IFUs with bad pixels and LSF.
    again : bool
        Replace those that were built before; what was delivered stays.

    Returns
    -------
    list of pathlib.Path
        What was written; 25 MB in all, most of it the LSF.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    geometry = folder / "geometry_table_wfm.fits"
    writers: dict[str, Callable[[Path], Path]] = {
        geometry.name: partial(write_geometry_table, seed=seed),
        "astrometry_wcs_wfm.fits": partial(write_astrometry_wcs, seed=seed, geometry=geometry),
        "astrometry_wcs_nfm.fits": partial(write_astrometry_wcs, seed=seed, geometry=geometry, narrow=True),
        "astrometry_reference.fits": partial(write_astrometry_reference, seed=seed),
        "badpix_table.fits": partial(write_bad_pixels, seed=seed, ifus=ifus),
        "vignetting_mask.fits": write_vignetting_mask,
        "lsf_profile_slow.fits": partial(write_lsf_profile, seed=seed, ifus=ifus),
    }
    for mode in modes:
        word = mode.lower().replace("-noao", "")
        writers[f"std_response_{word}.fits"] = partial(write_response, mode=mode, seed=seed)
        writers[f"std_telluric_{word}.fits"] = partial(write_telluric, mode=mode, seed=seed)
    return [
        write(folder / name)
        for name, write in writers.items()
        if not (folder / name).exists() or (again and is_built_here(folder / name))
    ]


def write_geometry_table(path: PathLike, seed: int = 1) -> Path:
    """Write the true GEOMETRY_TABLE of a simulation, which serves until one is measured.

    Parameters
    ----------
    path : path-like
    seed : int
        Seed of the simulation.
    """
    table = StaticTable(GEOMETRY_TABLE, make_geometry(seed).table())
    return write_static(path, GEOMETRY_TABLE.name, [table], _true("Places of the slices", seed), _setup("WFM-NOAO-N"))


def write_astrometry_wcs(path: PathLike, seed: int = 1, geometry: PathLike | None = None, narrow: bool = False) -> Path:
    """Write the true ASTROMETRY_WCS: a header alone, as position angle 0 has it.

    Parameters
    ----------
    path : path-like
    seed : int
    geometry : path-like, optional
        The GEOMETRY_TABLE that it goes with.
    narrow : bool
        Of the narrow field.
    """
    field = make_geometry(seed)
    zoom = np.array(SPAXEL_NFM) / np.array(SPAXEL_WFM) if narrow else np.ones(2)
    cd, reference = field.plate * zoom / 3600.0, field.axis - _middle(field)
    header = static_header(
        "ASTROMETRY_WCS", _true("Plate solution", seed), _setup("NFM-AO-N" if narrow else "WFM-NOAO-N")
    )
    if geometry is not None:
        set_key(header, "PRO.REC1.CAL1.CATG", GEOMETRY_TABLE.name)
        set_key(header, "PRO.REC1.CAL1.NAME", Path(geometry).name)
        set_key(header, "PRO.REC1.CAL1.DATAMD5", get_key(scan_fits(Path(geometry)).primary, "DATAMD5", str))
    header["WCSAXES"] = (2, "Number of coordinate axes")
    for k, kind in enumerate(("RA---TAN", "DEC--TAN")):
        header[f"CRPIX{k + 1}"] = (float(reference[k]), "[pix] Reference point, from the middle of the field")
        for n in range(2):
            header[f"CD{k + 1}_{n + 1}"] = (float(cd[k, n]), "[deg/pix] Coordinate transformation matrix")
        header[f"CUNIT{k + 1}"] = ("deg", "Units of coordinate increment and value")
        header[f"CTYPE{k + 1}"] = (kind, "gnomonic projection")
        header[f"CRVAL{k + 1}"] = (0.0, "[deg] Coordinate value at reference point")
    target = Path(path)
    with FitsWriter(target, datamd5=True) as writer:
        writer.primary(header)
    return target


def write_astrometry_reference(path: PathLike, seed: int = 1) -> Path:
    """Write the ASTROMETRY_REFERENCE of the clusters of the simulated sky."""
    tables = [
        StaticTable(
            ASTROMETRY_REFERENCE,
            star_catalogue(cluster_stars(seed, name)),
            name,
            (("RA", ra, "[deg] centre of the field (J2000)"), ("DEC", dec, "[deg] centre of the field (J2000)")),
        )
        for name, (ra, dec) in CLUSTERS.items()
    ]
    return write_static(path, ASTROMETRY_REFERENCE.name, tables, _true("Stars of clusters", seed))


def write_bad_pixels(
    path: PathLike, seed: int = 1, ifus: Sequence[int] = range(1, N_IFU + 1), detector: Detector | None = None
) -> Path:
    """Write the BADPIX_TABLE of bad columns, hot and dead pixels; ``value`` is the charge or rate, if there is one.

    Parameters
    ----------
    path : path-like
    seed : int
    ifus : sequence of int
    detector : Detector, optional
        Geometry; full size by default.
    """
    tables = (StaticTable(BADPIX_TABLE, _bad_pixels(ifu, seed, detector), chip_name(ifu)) for ifu in ifus)
    return write_static(path, BADPIX_TABLE.name, tables, _true("Defects of the detectors", seed))


def write_vignetting_mask(path: PathLike) -> Path:
    """Write the VIGNETTING_MASK: 1 in the lower right corner of the field, for exposures before 2017-03-11."""
    y, x = np.mgrid[:_FIELD, :_FIELD] - 0.5 * (_FIELD - 1)
    inside = np.hypot(x - VIGNETTED_CORNER[0], y - VIGNETTED_CORNER[1]) < VIGNETTED_SIZE
    provenance = Provenance(
        _VERSION, _DATE, "Corner of the field that is vignetted in lamp flats.", ("the simulated instrument",)
    )
    validity = {"PRO.VALID.END": VIGNETTED_UNTIL.isoformat(timespec="seconds")}
    target = Path(path)
    with FitsWriter(target, datamd5=True) as writer:
        writer.primary(
            static_header("VIGNETTING_MASK", provenance, _setup("WFM-NOAO-N") | validity), inside.astype(np.uint8)
        )
    return target


def write_lsf_profile(path: PathLike, seed: int = 1, ifus: Sequence[int] = range(1, N_IFU + 1)) -> Path:
    """Write the LSF_PROFILE of IFUs in one file: images of the line-spread function on pixels, for each slice."""
    target = Path(path)
    with FitsWriter(target, datamd5=True) as writer:
        writer.primary(static_header(LSF_PROFILE, _true("Line-spread functions, pixels included", seed)))
        for ifu in ifus:
            cube = _lsf(make_optics(ifu, seed))
            header = Header()
            header["EXTNAME"] = (f"{chip_name(ifu)}.{LSF_PROFILE}", "extension name")
            header.extend(cube.wcs().cards)
            writer.image(header, cube.data)
    return target


def write_response(path: PathLike, mode: str, seed: int = 1) -> Path:
    """Write the STD_RESPONSE of a mode, for pixel tables with the spectrum of their flat field restored.

    Flat fields and twilight bring all slices to the mean throughput of IFU 1, which is in it. Responses measured from
    raw frames agree to 0.02 mag.
    """
    rate = TELESCOPE_AREA * efficiency(_RESPONSE, mode) * photons_per_erg(_RESPONSE) * _throughput(seed)
    columns = {
        "lambda": _RESPONSE,
        "response": 2.5 * np.log10(rate),
        "resperr": np.full(_RESPONSE.size, _RESPONSE_ERROR),
        "throughput": efficiency(_RESPONSE, mode) * _throughput(seed),
    }
    return write_static(
        path, STD_RESPONSE.name, [StaticTable(STD_RESPONSE, columns)], _true("Response", seed), _corrected(mode)
    )


def write_telluric(path: PathLike, mode: str, seed: int = 1) -> Path:
    """Write the STD_TELLURIC of a mode: transmission of the bands at airmass 1 and the resolution of the instrument."""
    transmission = _resolved(np.exp(-molecular_depth(WAVE_GRID)), make_optics(_REFERENCE_IFU, seed))
    wave = np.concatenate([np.arange(low, high + 1.0) for low, high, _, _ in TELLURIC_BANDS])
    values = np.interp(wave, WAVE_GRID, transmission)
    columns = {
        "lambda": wave,
        "ftelluric": values,
        "ftellerr": np.maximum(_TELLURIC_ERROR * (1.0 - values), _LEAST_ERROR),
    }
    return write_static(
        path, STD_TELLURIC.name, [StaticTable(STD_TELLURIC, columns)], _true("Telluric bands", seed), _corrected(mode)
    )


def _true(what: str, seed: int) -> Provenance:
    told = f"{what} of the simulated instrument: not for real exposures."
    return Provenance(_VERSION, _DATE, told, (f"truth of the simulation with seed {seed}",))


def _setup(mode: str) -> dict[str, Any]:
    return {"INS.MODE": mode, "INS.OPTI2.NAME": mode[:3]}


def _corrected(mode: str) -> Mapping[str, Any]:
    """Set-up of what was made from data with the spectrum of their flat field."""
    return {"INS.MODE": mode, "DRS.MUSE.FLUX.FFCORR": True}


def _middle(field: FieldGeometry) -> F64:
    """Middle of what the pixels of all IFUs reach [0.2 arcsec]."""
    ends = np.array([-0.5, 0.5])
    places = [field.place(ifu, number, ends) for ifu in range(1, N_IFU + 1) for number in range(1, N_SLICES + 1)]
    return np.array([0.5 * (values.min() + values.max()) for values in np.array(places).swapaxes(0, 1)])


def _throughput(seed: int) -> float:
    """Mean throughput of the slices of the reference IFU, with its brightness on the sky."""
    optics = make_optics(_REFERENCE_IFU, seed)
    along = 1.0 + optics.slit[:, 1] / 12.0  # mean of the quadratic term over the width
    return float((optics.throughput * along).mean() * make_geometry(seed).response[_REFERENCE_IFU - 1])


def _bad_pixels(ifu: int, seed: int, detector: Detector | None) -> dict[str, NDArray[Any]]:
    truth = truth_for(ifu, seed=seed, detector=detector)
    channel = truth.channel
    dead_y, dead_x = np.nonzero(truth.dead_mask())
    found: list[tuple[int, int, int, float]] = [
        *((x, y, int(Dq.DEAD), np.nan) for x, y in zip(dead_x.tolist(), dead_y.tolist(), strict=True)),
        *(
            (x, y, int(Dq.HOT), rate)
            for x, y, rate in zip(
                channel.hot_x.tolist(), channel.hot_y.tolist(), channel.hot_rate.tolist(), strict=True
            )
        ),
        *((c.x, y, int(Dq.BAD_OTHER), c.charge) for c in channel.bad_columns for y in range(c.y0, c.y1)),
    ]
    joined: dict[tuple[int, int], tuple[int, float]] = {}
    for x, y, status, value in found:
        before = joined.get((x, y), (0, np.nan))
        joined[x, y] = before[0] | status, float(np.fmax(before[1], value))
    places = sorted(joined)
    trimmed = np.array(places, np.int32).reshape(-1, 2).T + 1
    raw_x, raw_y = truth.detector.raw_places(trimmed[0], trimmed[1])
    return {
        "xpos": raw_x,
        "ypos": raw_y,
        "status": np.array([joined[place][0] for place in places]),
        "value": np.array([joined[place][1] for place in places]),
    }


def _lsf(optics: OpticsTruth) -> LsfCube:
    data = np.empty((N_SLICES, _LINES.size, _OFFSETS.size), np.float32)
    for number in range(1, N_SLICES + 1):
        data[number - 1] = _on_pixels(optics, number)
    return LsfCube(
        data, float(_OFFSETS[0]), float(_OFFSETS[1] - _OFFSETS[0]), float(_LINES[0]), float(_LINES[1] - _LINES[0]),
        Header(),
    )  # fmt: skip


def _on_pixels(optics: OpticsTruth, slice_no: int) -> F64:
    """Line profiles as pixels see them [1/Angstrom], shape (lines, offsets): the mean over a pixel."""
    sigma = optics.line_profile_sigma(slice_no, _LINES)[:, None]
    slit = 0.5 * optics.slit_width

    def twice(u: F64) -> F64:
        """Second integral of the Gaussian."""
        z = u / sigma
        return np.asarray(u * ndtr(z) + sigma * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi))

    low, high = _OFFSETS - 0.5 * SAMPLING, _OFFSETS + 0.5 * SAMPLING
    total = twice(high + slit) - twice(high - slit) - twice(low + slit) + twice(low - slit)
    return np.asarray(total / (2.0 * slit * SAMPLING))


def _resolved(spectrum: F64, optics: OpticsTruth) -> F64:
    """A spectrum on `WAVE_GRID` at the resolution of the mean slice, on pixels."""
    step = float(WAVE_GRID[1] - WAVE_GRID[0])
    _, density = light_kernels.spread(
        float(WAVE_GRID[0]), step, spectrum, np.zeros(0), np.zeros(0), optics.lsf_sigma.mean(axis=0),
        0.5 * optics.slit_width,
    )  # fmt: skip
    width = round(SAMPLING / step)
    padded = np.pad(np.asarray(density, np.float64), width // 2, mode="edge")
    return np.convolve(padded, np.ones(width) / width, mode="valid")
