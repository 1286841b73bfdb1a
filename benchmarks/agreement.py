"""Compare products of two pipelines, and both with the simulated truth: pixels, flags, QC, traces, wavelengths."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from core.ccd.trace_model import Trace
from core.fitsfile.keywords import dot_name
from core.formats.image import ImageRows, open_image
from core.formats.lsf import read_lsf
from core.formats.tables import TRACE_SAMPLES, TRACE_TABLE, WAVECAL_TABLE, read_table
from core.instruments.muse.facts import N_SLICES, NOMINAL_RANGE
from core.simulator.truth import InstrumentTruth
from core.spectral.dispersion import Dispersion

__all__ = [
    "COLUMNS",
    "OF_THE_MEAN",
    "Line",
    "against_truth",
    "compare_images",
    "compare_lsf",
    "compare_qc",
    "compare_samples",
    "compare_traces",
    "compare_wavelengths",
]

OF_THE_MEAN = "of the mean"
"""Unit of images of arbitrary scale: the mean of the pixels of the reference."""

COLUMNS = ("pixels", "DQ", "STAT", "traces, wavelengths, LSF", "QC")
"""Kinds of lines."""


@dataclass(frozen=True)
class Line:
    """One line of the table of agreement.

    Attributes
    ----------
    what : str
    value : str
        Measured, with unit.
    limit : str
        What is asked, or empty.
    ok : bool or None
        None if nothing is asked.
    column : str
        One of `COLUMNS`, for a table of many runs; empty for a line that is not in it.
    brief : str
        What that table shows.
    """

    what: str
    value: str
    limit: str = ""
    ok: bool | None = None
    column: str = ""
    brief: str = ""


_PIXELS, _DQ, _STAT, _GEOMETRY, _QC = COLUMNS


def _asked(what: str, value: float, unit: str, limit: float, brief: str) -> Line:
    shown = f"{value:.4g} {unit}".strip()
    limits = f"<= {limit:g} {unit}".strip()
    return Line(what, shown, limits, bool(value <= limit), _GEOMETRY, f"{brief} {value:.2g} {unit}")


def _scale(image: ImageRows, unit: str) -> float:
    """Mean of all pixels if the unit is relative to it, else 1."""
    if unit != OF_THE_MEAN:
        return 1.0
    slabs = [image.rows(y0, min(y0 + 256, image.shape[0]))[0] for y0 in range(0, image.shape[0], 256)]
    return float(sum(slab.sum(dtype=np.float64) for slab in slabs)) / (image.shape[0] * image.shape[1])


def compare_images(
    ours: Path, theirs: Path, ifu: int, tolerance: float, unit: str, relative: float = 0.0
) -> Iterator[Line]:
    """DATA, STAT and DQ of two images; 99.9 % of the pixels must agree within ``tolerance`` [unit] or a part of them.

    Beside the slices, where a flat field without light was divided by, values are large and only a part counts.
    """
    a, b = open_image(ours, ifu), open_image(theirs, ifu)
    scale = _scale(b, unit)
    outside = total = flags = 0
    worst = squares = stat_worst = 0.0
    for y0 in range(0, a.shape[0], 256):
        y1 = min(y0 + 256, a.shape[0])
        data_a, dq_a, stat_a = a.rows(y0, y1)
        data_b, dq_b, stat_b = b.rows(y0, y1)
        difference = np.abs(data_a.astype(np.float64) - data_b) / scale
        difference[np.isnan(data_a) & np.isnan(data_b)] = 0.0
        difference[~np.isfinite(difference)] = np.inf
        outside += int((difference > tolerance + relative * np.abs(data_b) / scale).sum())
        worst = max(worst, float(difference.max()))
        squares += float((np.minimum(difference, 1e6) ** 2).sum())
        flags += int((dq_a != dq_b).sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            of_stat = np.abs(stat_a / stat_b - 1.0)
        stat_worst = max(stat_worst, float(np.nanpercentile(of_stat, 99.9)))
        total += difference.size
    percent = 100.0 * outside / total
    rms = math.sqrt(squares / total)
    apart = f"{tolerance:g} {unit}" + (f" and {relative:g} of them" if relative else "")
    yield Line(f"pixels farther apart than {apart}", f"{percent:.4f} %", "<= 0.1 %", percent <= 0.1)
    brief = f"max {worst:.2g}, rms {rms:.2g} {unit}" + (f", {percent:.3g} % beyond {tolerance:g}" if outside else "")
    if relative:
        brief = f"{percent:.2g} % beyond {apart}"
    yield Line("largest and rms difference of pixels", f"{worst:.3g} and {rms:.3g} {unit}", column=_PIXELS, brief=brief)
    stat = f"{100 * stat_worst:.3g} %"
    yield Line("99.9th percentile of the relative difference of STAT", stat, "<= 2 %", stat_worst <= 0.02, _STAT, stat)
    share = 100 * flags / total
    yield Line(
        "pixels with other DQ flags", f"{flags} ({share:.4f} %)", "<= 0.01 %", share <= 0.01, _DQ, f"{flags} pixels"
    )


def qc_values(path: Path, ifu: int) -> dict[str, float]:
    """Numeric QC parameters of an IFU in a single or merged product, by keyword in dot notation."""
    values: dict[str, float] = {}
    with fits.open(path) as hdus:
        for hdu in hdus:
            if hdu is not hdus[0] and not hdu.name.startswith(f"CHAN{ifu:02d}"):
                continue
            for card in hdu.header.cards:
                name = dot_name(card.keyword)
                if name.startswith("QC.") and isinstance(card.value, int | float):
                    values[name] = float(card.value)
    return values


# QC parameters whose value is a noise or an extreme: (pattern, absolute tolerance in the parameter's own unit)
_NOISE: tuple[tuple[str, float], ...] = (
    (r"QC\.BIAS\.MASTER\d\.(MEDIAN|MEAN)$", 0.02),
    (r"QC\.BIAS\.MASTER\d\.SLOPE\.", 2e-6),
    (r"QC\.BIAS\.MASTER\d\.(MIN|MAX)$", 0.5),
    (r"QC\.DARK\.MASTER\.(MEDIAN|MEAN)$", 0.05),
    (r"QC\.FLAT\.(INPUT\d+|MASTER)\.MIN$", 1.0),
    (r"QC\.TRACE\.SLICE(_[LR]|\d+)\.(TILT|MAXSLOPE)$", 6e-4),
    (r"QC\.WAVECAL\.SLICE\d+\.DWLEN\.", 0.1),  # from corners without light
    (r"QC\.LSF\.SLICE\d+\.FWHM\.STDEV$", 0.003),
    (r"QC\.WAVECAL\.SLICE\d+\.LINES\.(NDET|NID)$", 2.0),
    (r"QC\.WAVECAL\.SLICE\d+\.FIT\.NLINES$", 1.0),
)

# QC parameters in which we differ by intent (docs/differences.md): counted apart and not judged.
_INTENT: tuple[tuple[str, str], ...] = (
    (
        r"QC\.WAVECAL\.SLICE\d+\.(LINES\.FWHM\.(STDEV|MIN|MAX)|RESOL)$",
        "the reference adds fits to noise below the cut-off",
    ),
    (r"QC\.WAVECAL\.SLICE\d+\.FIT\.RMS$", "the reference uses flagged pixels (cosmic rays) in its line fits"),
    (r"QC\.WAVECAL\.INPUT\d+\.NSATURATED$", "a left-over of another recipe in the LSF product of the reference"),
    (r"QC\.GEO\.IFU\d+\.WLEN\d+", "the reference counts light of a spot as background, and keeps the last arc line"),
    (r"QC\.GEO\.IFU\d+\.ANGLE$", "the reference has it in lengths of the encoder of the mask"),
    (r"QC\.GEO\.(IFU\d+\.)?GAPPOS", "the reference takes the slices at the rims of an IFU as centred alike"),
    (r"QC\.GEO\.EXP\d+\.FWHM\.STDEV$", "few fits to faint spots decide, which the reference counts as fainter still"),
    (r"QC\.[A-Z]+\.(POS\d+\.|FWHM0\.)", "positions are not rounded, and where there is no source there is none"),
    (r"QC\.GEO\.SMOOTH\.N", "smoothing tells slices by what it was given"),
)


# QC parameters that the reference takes at row 2056 of the detector, even if it has fewer rows.
_FULL_SIZE = r"QC\.(FLAT\.MASTER\.SLICE|TRACE\.)"


# Measured in windows at random places; the reference goes on with its numbers from one IFU of a process to the next.
_RANDOM = (r"QC\.DARK\.MASTER\.(DC|DCERR)$", "the reference measures each IFU of a process in other windows")


def compare_qc(ours: Path, theirs: Path, ifu: int, *, full_size: bool = True, alone: bool = True) -> Iterator[Line]:
    """Every scalar QC parameter within 2 % or its stated noise, those that differ by intent apart.

    Those of slices are left out for detectors that are not of full size; ``alone`` tells that the IFU had a process of
    its own.
    """
    intent = _INTENT if alone else (*_INTENT, _RANDOM)
    a, b = (
        {name: value for name, value in qc_values(path, ifu).items() if full_size or not re.match(_FULL_SIZE, name)}
        for path in (ours, theirs)
    )
    lacking = [name for name in sorted(set(b) - set(a)) if _intent(name, intent) is None]
    yield Line(
        "QC parameters ours lack",
        ", ".join(lacking[:6]) or "none",
        "none",
        not lacking,
        _QC,
        f"{len(lacking)} lack" if lacking else "",
    )
    common = sorted(set(a) & set(b))
    beyond: list[tuple[float, str]] = []
    intended: dict[str, int] = {}
    for name in common:
        noise = next((limit for pattern, limit in _NOISE if re.match(pattern, name)), 0.0)
        difference = abs(a[name] - b[name])
        if difference <= max(0.02 * abs(b[name]), noise):
            continue
        reason = _intent(name, intent) or _other_lines(name, a, b)
        if reason is None:
            beyond.append((difference / max(abs(b[name]), 1e-30), name))
        else:
            intended[reason] = intended.get(reason, 0) + 1
    beyond.sort(reverse=True)
    shown = "; ".join(f"{name} {a[name]:.5g} / {b[name]:.5g}" for _, name in beyond[:5])
    yield Line(
        "QC parameters beyond 2 % and their noise",
        f"{len(beyond)} of {len(common)}" + (f": {shown}" if shown else ""),
        "0",
        not beyond,
        _QC,
        f"{len(beyond)} of {len(common)}" + (f": {beyond[0][1]} {100 * beyond[0][0]:.2g} %" if beyond else ""),
    )
    for reason, count in intended.items():
        yield Line("QC parameters that differ by intent", f"{count}: {reason}", column=_QC, brief=f"{count} by intent")


def _intent(name: str, intent: Sequence[tuple[str, str]]) -> str | None:
    return next((reason for pattern, reason in intent if re.match(pattern, name)), None)


def _other_lines(name: str, ours: Mapping[str, float], theirs: Mapping[str, float]) -> str | None:
    """Why the peaks of the identified lines differ: another number of lines is identified, within its noise."""
    number = re.sub(r"(QC\.WAVECAL\.SLICE\d+\.LINES)\.PEAK\.(MIN|MAX|MEAN|STDEV)$", r"\1.NID", name)
    if number == name or ours.get(number) == theirs.get(number):
        return None
    return "the pipelines identify another number of lines in this slice"


def compare_traces(ours: Path, theirs: Path, ifu: int, ny: int, truth: InstrumentTruth | None) -> Iterator[Line]:
    """Edges and centres of all slices at all rows: against each other, and each against the truth."""
    a = Trace.from_columns(read_table(ours, TRACE_TABLE, ifu))
    b = Trace.from_columns(read_table(theirs, TRACE_TABLE, ifu))
    lacking = sorted(set(b.valid_slices) - set(a.valid_slices))
    if lacking:
        yield Line("slices ours lack", ", ".join(map(str, lacking)), "none", False, _GEOMETRY, f"{len(lacking)} lack")
    slices = sorted(set(a.valid_slices) & set(b.valid_slices))
    y = np.arange(1.0, ny + 1.0)
    for what in ("center", "left", "right"):
        between = [getattr(a, what)(s, y) - getattr(b, what)(s, y) for s in slices]
        yield _asked(f"trace {what}, rms between the pipelines", _rms(between), "pix", 0.02, what)
        if truth is None:
            continue
        true = {s: getattr(truth, f"trace_{what}")(s, y) for s in slices}
        mine = _rms([getattr(a, what)(s, y) - true[s] for s in slices])
        peer = _rms([getattr(b, what)(s, y) - true[s] for s in slices])
        yield against_truth(f"trace {what}, rms to the truth", mine, peer, "pix")


def compare_samples(ours: Path, theirs: Path, ifu: int) -> Iterator[Line]:
    """Samples of the trace that both have, by slice and row; and how many only one has."""
    a, b = (_samples(read_table(path, TRACE_SAMPLES, ifu).columns) for path in (ours, theirs))
    alone = len(set(a) ^ set(b))
    percent = 100.0 * alone / max(len(b), 1)
    yield Line("trace samples of one side only", f"{alone} of {len(b)}", "<= 1 %", percent <= 1.0)
    difference = np.array([np.subtract(a[point], b[point]) for point in sorted(set(a) & set(b))])
    yield _asked("trace samples, rms between the pipelines", _rms([difference.ravel()]), "pix", 0.02, "samples")


def _samples(columns: Mapping[str, Any]) -> dict[tuple[int, float], tuple[float, float, float]]:
    places = zip(columns["slice"].tolist(), columns["y"].tolist(), strict=True)
    edges = zip(columns["mid"].tolist(), columns["left"].tolist(), columns["right"].tolist(), strict=True)
    return dict(zip(places, edges, strict=True))


def compare_wavelengths(
    ours: Path, theirs: Path, traces: Path, ifu: int, ny: int, truth: InstrumentTruth | None
) -> Iterator[Line]:
    """Wavelengths evaluated over all slices (every 8th row, all columns between the edges)."""
    a = Dispersion.from_columns(read_table(ours, WAVECAL_TABLE, ifu))
    b = Dispersion.from_columns(read_table(theirs, WAVECAL_TABLE, ifu))
    trace = Trace.from_columns(read_table(traces, TRACE_TABLE, ifu))
    between, mine, peer = [], [], []
    rows = np.arange(4.0, ny + 1.0, 8.0)
    for slice_no in range(1, N_SLICES + 1):
        left, right = np.ceil(trace.left(slice_no, rows)), np.floor(trace.right(slice_no, rows))
        x = np.concatenate([np.arange(lo, hi + 1) for lo, hi in zip(left, right, strict=True)])
        y = np.repeat(rows, (right - left + 1).astype(int))
        wave_a, wave_b = a.wavelength(slice_no, x, y), b.wavelength(slice_no, x, y)
        between.append(wave_a - wave_b)
        if truth is not None:
            true = truth.wavelength(slice_no, x, y)
            used = (true >= 4750.0) & (true <= 9350.0)
            mine.append((wave_a - true)[used])
            peer.append((wave_b - true)[used])
    yield _asked("wavelength, rms between the pipelines", _rms(between), "Angstrom", 0.003, "wavelength")
    yield Line("wavelength, largest difference", f"{max(float(np.abs(d).max()) for d in between):.4f} Angstrom")
    if truth is not None:
        yield against_truth("wavelength, rms to the truth (4750..9350 Angstrom)", _rms(mine), _rms(peer), "Angstrom")


def compare_lsf(ours: Path, theirs: Path, ifu: int) -> Iterator[Line]:
    """Line-spread functions of either format as they are applied: difference as a fraction of their peak."""
    a, b = read_lsf(ours, ifu), read_lsf(theirs, ifu)
    lacking = sorted(set(b) - set(a))
    yield Line("LSF slices ours lack", ", ".join(map(str, lacking)) or "none", "none", not lacking)
    offset = np.linspace(-7.5, 7.5, 150)
    waves = np.linspace(*NOMINAL_RANGE, 30).tolist()
    common = sorted(set(a) & set(b))
    mine = np.array([[a[number](offset, wave) for wave in waves] for number in common])
    peer = np.array([[b[number](offset, wave) for wave in waves] for number in common])
    peak = float(peer.max())
    difference = np.abs(mine - peer) / peak
    rms = f"{100 * float(np.sqrt((difference**2).mean())):.3g} % of the peak"
    yield Line("LSF profiles, rms difference", rms, column=_GEOMETRY, brief=f"LSF {rms}")
    yield Line("LSF profiles, largest difference", f"{100 * float(difference.max()):.3g} % of the peak")


def against_truth(what: str, mine: float, peer: float, unit: str) -> Line:
    """Deviations of both pipelines from the truth, of which ours must not be larger."""
    # At least as good: within the 5 % by which two estimates from the same noise differ by chance.
    return Line(what, f"ours {mine:.5f}, theirs {peer:.5f} {unit}", "ours <= theirs", mine <= 1.05 * peer)


def _rms(parts: list[np.ndarray]) -> float:
    values = np.concatenate(parts)
    return float(np.sqrt(np.mean(values**2)))
