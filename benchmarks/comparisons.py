"""Which product is compared how: everything that two runs of a recipe wrote, by tag."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import agreement
import agreement_arcs
import agreement_geometry
import agreement_science
import agreement_sky
from runs import FULL_HEIGHT

from core.fitsfile.keywords import get_key
from core.fitsfile.scan import scan_fits
from core.simulator.truth import InstrumentTruth

__all__ = ["compare_products"]


def compare_products(
    ours: Path,
    theirs: Path,
    ifu: int,
    truth: InstrumentTruth | None = None,
    *,
    height: int = FULL_HEIGHT,
    traces: Path | None = None,
    tags: Sequence[str] = (),
    alone: bool = True,
    same_masters: bool = True,
    flexure: Mapping[str, float] | None = None,
) -> Iterator[agreement.Line]:
    """Compare everything that two runs of a recipe wrote.

    Parameters
    ----------
    ours, theirs : pathlib.Path
        Directories of the products.
    ifu : int
    truth : InstrumentTruth, optional
    height : int
        Rows of the trimmed images.
    traces : pathlib.Path, optional
        Trace table within which wavelengths are compared; by default the one beside our products.
    tags : sequence of str, optional
        Products that are wanted; all that there are by default.
    alone : bool
        Whether the IFU had a process of its own.
    same_masters : bool
        Whether both runs had the same calibrations; else each had those of its own pipeline.
    flexure : mapping of str to float, optional
        True shift of the wavelengths of exposures by the names of their files [Angstrom].
    """
    mine, peer = (_by_tag(side, ifu) for side in (ours, theirs))
    wanted = set(tags) or set(mine) | set(peer)
    for tag in sorted(wanted):
        apart = [name for name, side in (("ours", mine), ("theirs", peer)) if tag not in side]
        if apart:
            brief = f"{tag} missing: {', '.join(apart)}"
            yield agreement.Line("products", brief, "both", False, agreement.COLUMNS[0], brief)
        elif compare := _COMPARISONS.get(re.sub(r"_\d{4}$", "", tag)):
            limits = agreement_sky.SAME_MASTERS if same_masters else agreement_sky.OWN_MASTERS
            pair = _Pair(mine[tag], peer[tag], ifu, height, truth, traces, alone, limits, flexure or {}, same_masters)
            yield from compare(pair)


def _by_tag(directory: Path, ifu: int) -> dict[str, Path]:
    """Products of an IFU, or merged ones, by tag."""
    found = {}
    for path in sorted(directory.glob("*.fits")):
        tag, _, number = path.stem.partition("-")
        if number in ("", f"{ifu:02d}"):
            found[tag] = path
    # a number that counts one product only: the reference writes it, ours does not
    return {tag.removesuffix("_0001") if f"{tag[:-1]}2" not in found else tag: path for tag, path in found.items()}


@dataclass(frozen=True)
class _Pair:
    """A product of both pipelines and what its comparison may need."""

    ours: Path
    theirs: Path
    ifu: int
    height: int
    truth: InstrumentTruth | None
    traces: Path | None
    alone: bool
    limits: agreement_sky.Limits
    flexure: Mapping[str, float]
    same: bool

    def quality(self) -> Iterator[agreement.Line]:
        full_size = self.height == FULL_HEIGHT
        return agreement.compare_qc(self.ours, self.theirs, self.ifu, full_size=full_size, alone=self.alone)


def _images(tolerance: float, unit: str, pair: _Pair, *, relative: float = 0.0) -> Iterator[agreement.Line]:
    yield from agreement.compare_images(pair.ours, pair.theirs, pair.ifu, tolerance, unit, relative)
    yield from pair.quality()


def _traces(pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement.compare_traces(pair.ours, pair.theirs, pair.ifu, pair.height, pair.truth)
    yield from pair.quality()


def _samples(pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement.compare_samples(pair.ours, pair.theirs, pair.ifu)


def _wavelengths(pair: _Pair) -> Iterator[agreement.Line]:
    within = pair.traces or pair.ours.with_name(f"TRACE_TABLE-{pair.ifu:02d}.fits")
    yield from agreement.compare_wavelengths(pair.ours, pair.theirs, within, pair.ifu, pair.height, pair.truth)
    yield from pair.quality()


def _profiles(pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement.compare_lsf(pair.ours, pair.theirs, pair.ifu)
    yield from pair.quality()


def _residuals(pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement_arcs.compare_residuals(pair.ours, pair.theirs)


def _planes(limit: float, unit: str, pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement_arcs.compare_plane(pair.ours, pair.theirs, limit, unit)


def _pixtables(pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement_arcs.compare_pixtables(pair.ours, pair.theirs)


def _exposures(pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement_sky.compare_exposures(pair.ours, pair.theirs, pair.limits)
    yield from pair.quality()
    name = get_key(scan_fits(pair.ours).primary, "PRO.REC1.RAW1.NAME", str)
    if pair.truth is not None and name in pair.flexure:
        yield from agreement_sky.compare_with_truth(pair.ours, pair.theirs, pair.truth, pair.flexure[name])


def _cubes(pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement_sky.compare_cubes(pair.ours, pair.theirs)
    yield from pair.quality()


def _spots(pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement_geometry.compare_spots(pair.ours, pair.theirs, pair.ifu)
    yield from pair.quality()


def _geometry(pair: _Pair) -> Iterator[agreement.Line]:
    smoothed = pair.ours.with_name("GEOMETRY_UNSMOOTHED.fits").exists() and "UNSMOOTHED" not in pair.ours.name
    yield from agreement_geometry.compare_geometry(pair.ours, pair.theirs, pair.truth, smoothed=smoothed)
    yield from pair.quality()


def _mask_cubes(pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement_geometry.compare_mask_cubes(pair.ours, pair.theirs)


def _flat_of_the_field(pair: _Pair) -> Iterator[agreement.Line]:
    yield from agreement_sky.compare_cubes(pair.ours, pair.theirs)  # it has no QC parameters


def _field_images(pair: _Pair) -> Iterator[agreement.Line]:
    limits = agreement_science.SAME_INPUTS if pair.same else agreement_science.OWN_INPUTS
    yield from agreement_science.compare_science_cubes(pair.ours, pair.theirs, limits)


def _science_cubes(pair: _Pair) -> Iterator[agreement.Line]:
    yield from _field_images(pair)
    yield from pair.quality()  # the images of a cube have no QC of their own


def _tables(
    key: str, within: tuple[float, float], limits: Sequence[tuple[str, float, str]], pair: _Pair
) -> Iterator[agreement.Line]:
    compare = agreement_science.compare_tables
    yield from compare(pair.ours, pair.theirs, key, limits, judged=pair.same, within=within)
    yield from pair.quality()


_OF_THE_SKY = ("OBJECT", "STD", "SKY", "ASTROMETRY", "REDUCED")
_COMPARISONS: dict[str, Callable[[_Pair], Iterator[agreement.Line]]] = {
    "MASTER_BIAS": partial(_images, 0.05, "adu"),
    "MASTER_DARK": partial(_images, 0.2, "count"),
    "MODEL_DARK": partial(_images, 0.05, "count"),
    "MASTER_FLAT": partial(_images, 1e-4, agreement.OF_THE_MEAN),
    "TRACE_TABLE": _traces,
    "TRACE_SAMPLES": _samples,
    "WAVECAL_TABLE": _wavelengths,
    "WAVECAL_RESIDUALS": _residuals,
    "WAVE_MAP": partial(_planes, 0.003, "Angstrom"),
    "ARC_RED": partial(_images, 0.05, "count"),
    "ARC_RED_LAMP": partial(_images, 0.05, "count"),
    "ARC_RESAMPLED": partial(_planes, 1.0, "count"),
    "LSF_PROFILE": _profiles,
    "PIXTABLE_SUBTRACTED": _pixtables,
    "MASK_REDUCED": partial(_images, 0.05, "count"),
    "MASK_COMBINED": partial(_images, 0.05, "count"),
    "SPOTS_TABLE": _spots,
    "GEOMETRY_UNSMOOTHED": _geometry,
    "GEOMETRY_TABLE": _geometry,
    "GEOMETRY_CUBE": _mask_cubes,
    "DATACUBE_SKYFLAT": _cubes,
    "TWILIGHT_CUBE": _flat_of_the_field,
    **dict.fromkeys(("DATACUBE_FINAL", "DATACUBE_STD"), _science_cubes),
    **dict.fromkeys(("IMAGE_FOV", "SKY_IMAGE", "SKY_MASK"), _field_images),
    **dict.fromkeys(("PIXTABLE_POSITIONED", "PIXTABLE_COMBINED"), _exposures),
    **{tag: partial(_tables, key, within, limits) for tag, key, within, limits in agreement_science.TABLES},
    **{f"{tag}_RED": partial(_images, 0.05, "count", relative=1e-5) for tag in _OF_THE_SKY},
    **{f"{tag}_RESAMPLED": partial(_planes, 0.01, "count") for tag in _OF_THE_SKY},
    **{f"PIXTABLE_{tag}": _exposures for tag in _OF_THE_SKY},
}
