"""From pixel tables to cubes, side by side: both pipelines on the same exposures of a field in which all is known.

    python benchmarks/peer_science.py
    python benchmarks/peer_science.py --repeat 1 --threads 1 --work /data/science      # keeps tables and products

A standard star, then two exposures of a field of stars before the night sky: response and telluric absorption, cubes,
alignment (the telescope missed by some spaxels), combination. Prints time and memory of both pipelines, how far their
products are apart, and how far each is from the truth: response, fluxes and places of stars, offsets, what is left of
the sky. Each pipeline feeds on its own products. Without esorex it says so and ends.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from agreement import Line
from astropy.io import fits
from comparisons import compare_products
from numpy.typing import NDArray
from processes import Usage, median_usage
from rich.console import Console
from rich.table import Table
from runs import Side, both_pipelines, print_lines, run_recipe
from scipy.optimize import least_squares
from starfield import (
    BANDS,
    EXPOSURES,
    MISSED,
    SPAXEL,
    STANDARD,
    STARS,
    moffat,
    response,
    write_statics_of_field,
)

F64 = NDArray[np.float64]

_QUIET = (5600.0, 6800.0)  # between telluric bands [Angstrom]
_SMOOTHED = (4790.0, 9250.0)  # away from the ends of the response [Angstrom]
_FAR = 7.5  # from stars [spaxel]
_TARGETS = {"standard": 8.0, "scipost": 8.0, "exp_combine": 8.0}  # times less processor time, on exposures of 24 IFUs


@dataclass(frozen=True)
class Step:
    """A run of a recipe.

    Attributes
    ----------
    recipe : str
    name : str
        Of the run, and of the directory of its products.
    options : tuple of str
    tags : tuple of str
        Products that are compared.
    """

    recipe: str
    name: str
    options: tuple[str, ...]
    tags: tuple[str, ...]


_OF_THE_STAR = ("STD_FLUX_TABLE", "EXTINCT_TABLE", "FILTER_LIST")
_PLAIN = ("--rvcorr=none", "--skymethod=simple", "--save=cube,individual")
STEPS = (
    Step("standard", "standard", (), ("STD_RESPONSE", "STD_TELLURIC", "DATACUBE_STD")),
    Step("scipost", "exposure-1", _PLAIN, ("DATACUBE_FINAL", "IMAGE_FOV", "PIXTABLE_REDUCED")),
    Step("scipost", "exposure-2", _PLAIN, ("DATACUBE_FINAL", "IMAGE_FOV", "PIXTABLE_REDUCED")),
    Step("exp_align", "align", ("--srcmin=3",), ("OFFSET_LIST",)),
    Step("exp_combine", "combine", (), ("DATACUBE_FINAL", "IMAGE_FOV")),
)


def main() -> int:
    """Run the comparison; the exit code is 1 if a target was missed or a recipe failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--repeat", type=int, default=1, help="measured runs after one warm-up; the median counts [1]")
    parser.add_argument("--threads", type=int, default=2, help="OMP_NUM_THREADS of both [2]")
    parser.add_argument("--work", help="working directory, kept afterwards")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 160)
    if not shutil.which("esorex"):
        console.print("esorex is not installed: nothing to compare with (Debian: apt install esorex cpl-plugin-muse)")
        return 0
    work = Path(options.work or tempfile.mkdtemp(prefix="cascade-science-")).absolute()
    inputs = _inputs(work)
    sides = both_pipelines(work)
    failed = False
    for step in STEPS:
        usages = [_run(step, side, inputs, work, options) for side in sides]
        failed |= _print_speed(console, step, usages)
        if any(usage.code for usage in usages):
            console.print(f"{step.name}: a recipe failed, see the logs in {work}")
            return 1
        ours, theirs = (_home(side, step) for side in sides)
        lines = list(compare_products(ours, theirs, 1, tags=step.tags, same_masters=False))
        lines += _against_truth(step, ours, theirs)
        print_lines(console, step.name, lines)
        failed |= any(line.ok is False for line in lines)
    if not options.work:
        shutil.rmtree(work, ignore_errors=True)
    return int(failed)


def _inputs(work: Path) -> dict[str, list[Path]]:
    """Pixel tables and static calibrations, by tag."""
    home = work / "inputs"
    found: dict[str, list[Path]] = {tag: [path] for tag, path in write_statics_of_field(home, STANDARD).items()}
    for tag, exposures in EXPOSURES.items():
        for number, exposure in enumerate(exposures, start=1):
            path = home / f"{tag}_{number:04d}.fits"
            found.setdefault(tag, []).append(path if path.exists() else exposure.write(path))
    return found


def _home(side: Side, step: Step) -> Path:
    return side.products / step.name


def _frames(step: Step, side: Side, inputs: dict[str, list[Path]]) -> list[tuple[Path, str]]:
    """What a step works on: inputs, and products of the steps before it of the same pipeline."""
    made = side.products
    if step.recipe == "standard":
        wanted = [(path, tag) for tag in ("PIXTABLE_STD", *_OF_THE_STAR) for path in inputs[tag]]
    elif step.recipe == "scipost":
        number = int(step.name[-1]) - 1
        wanted = [(inputs["PIXTABLE_OBJECT"][number], "PIXTABLE_OBJECT")]
        wanted += [(inputs[tag][0], tag) for tag in ("EXTINCT_TABLE", "ASTROMETRY_WCS")]
        wanted += [(made / "standard" / f"{tag}_0001.fits", tag) for tag in ("STD_RESPONSE", "STD_TELLURIC")]
    else:
        tag = "IMAGE_FOV" if step.recipe == "exp_align" else "PIXTABLE_REDUCED"
        wanted = [(made / f"exposure-{number}" / f"{tag}_0001.fits", tag) for number in (1, 2)]
        if step.recipe == "exp_combine":
            wanted.append((made / "align" / "OFFSET_LIST.fits", "OFFSET_LIST"))
    return wanted


def _run(step: Step, side: Side, inputs: dict[str, list[Path]], work: Path, options: argparse.Namespace) -> Usage:
    home = _home(side, step)
    runner = Side(side.name, side.command, home)
    frames = _frames(step, side, inputs)
    runs = [
        run_recipe(runner, step.recipe, frames, step.options, label=step.name, threads=options.threads)
        for _ in range(options.repeat + 1)
    ]
    return median_usage(runs[1:] or runs)  # the first one warms caches


def _print_speed(console: Console, step: Step, usages: Sequence[Usage]) -> bool:
    """Print time and memory; True if a target was missed."""
    ours, theirs = usages
    table = Table(title=f"muse_{step.recipe}, {step.name}", title_justify="left")
    for heading in ("", "wall [s]", "CPU [s]", "peak memory [MiB]", "exit"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, usage in (("cascade", ours), ("esorex", theirs)):
        table.add_row(name, f"{usage.wall:.2f}", f"{usage.cpu:.2f}", f"{usage.peak:.0f}", str(usage.code))
    times, memory, asked = theirs.cpu / ours.cpu, ours.peak / theirs.peak, _TARGETS.get(step.recipe)
    words = "" if asked is None else f" (target {asked:g}x: {'met' if times >= asked else 'missed'})"
    table.add_row(
        "ratio", f"{theirs.wall / ours.wall:.1f}x faster", f"{times:.1f}x less{words}",
        f"{memory:.2f}", "",
    )  # fmt: skip
    console.print(table)
    return "missed" in words


# -- the truth ---------------------------------------------------------------------------------------------------------
def _against_truth(step: Step, ours: Path, theirs: Path) -> Iterator[Line]:
    if step.recipe == "standard":
        mine, peer = (_response_off(path / "STD_RESPONSE_0001.fits") for path in (ours, theirs))
        yield _truth("response, largest deviation from the truth", mine, peer, "mag", 0.01)
    elif step.recipe == "exp_align":
        mine, peer = (_offset_off(path / "OFFSET_LIST.fits") for path in (ours, theirs))
        yield _truth("offset of the second exposure from the truth", mine, peer, "arcsec", 0.02)
    else:
        missed = MISSED[int(step.name[-1]) - 1] if step.recipe == "scipost" else (0.0, 0.0)
        mine_of_field, peer_of_field = (_stars_off(path / "DATACUBE_FINAL.fits", missed) for path in (ours, theirs))
        units = (("fluxes of stars, largest deviation from the truth", "%", 1.0),
                 ("places of stars against each other, largest deviation from the truth", "arcsec", 0.02),
                 ("away from stars: what is left of the sky over its error, mean less 0", "sigma", 0.1),
                 ("away from stars: the same, scatter", "sigma", None))  # fmt: skip
        for (what, unit, limit), a, b in zip(units, mine_of_field, peer_of_field, strict=True):
            yield _truth(what, a, b, unit, limit)


def _truth(what: str, mine: float, peer: float, unit: str, limit: float | None) -> Line:
    asked = "" if limit is None else f"ours <= {limit:g} {unit}"
    return Line(
        what, f"ours {mine:.4f}, theirs {peer:.4f} {unit}", asked, None if limit is None else abs(mine) <= limit
    )


def _response_off(path: Path) -> float:
    curve = fits.getdata(path, 1)
    wave = np.asarray(curve["lambda"], np.float64)
    use = (wave > _SMOOTHED[0]) & (wave < _SMOOTHED[1])
    for low, high, _ in BANDS:
        use &= (wave < low - 20.0) | (wave > high + 20.0)
    return float(np.abs(curve["response"] - response(wave))[use].max())


def _offset_off(path: Path) -> float:
    """How far the offset between the exposures is off [arcsec]: right ascension grows against x."""
    table = fits.getdata(path, 1)
    ra = (table["RA_OFFSET"][1] - table["RA_OFFSET"][0]) * 3600.0 * np.cos(np.deg2rad(-30.0))
    dec = (table["DEC_OFFSET"][1] - table["DEC_OFFSET"][0]) * 3600.0
    x, y = MISSED[1]
    return float(np.hypot(ra + x * SPAXEL, dec - y * SPAXEL))


def _stars_off(path: Path, missed: tuple[float, float]) -> tuple[float, float, float, float]:
    """Fluxes [%], places [arcsec] and residuals of the sky [sigma] of a cube."""
    with fits.open(path) as hdus:
        header = hdus["DATA"].header
        wave = header["CRVAL3"] + header["CD3_3"] * (np.arange(header["NAXIS3"]) + 1.0 - header["CRPIX3"])
        planes = (wave > _QUIET[0]) & (wave < _QUIET[1])
        data, stat = (hdus[name].data[planes].astype(np.float64) for name in ("DATA", "STAT"))
    image = _mean(data)
    fluxes, places, model = _fit(image, [(star.x + missed[0], star.y + missed[1]) for star in STARS])
    spectra = np.array([1e20 * star.spectrum(wave[planes]) for star in STARS])
    of_fluxes = 100.0 * (fluxes / spectra.mean(axis=1) - 1.0)
    apart = places - [(star.x, star.y) for star in STARS]
    of_places = np.hypot(*(apart - np.median(apart, axis=0)).T) * SPAXEL
    far = np.isfinite(image)
    rows, columns = np.indices(image.shape)
    for x, y in places:
        far &= np.hypot(columns - x, rows - y) > _FAR
    colour = spectra[0] / spectra[0].mean()
    left = (data[:, far] - colour[:, None] * model[far]) / np.sqrt(stat[:, far])
    left = left[np.isfinite(left)]
    return float(np.abs(of_fluxes).max()), float(of_places.max()), float(np.mean(left)), float(np.std(left))


def _mean(data: F64) -> F64:
    """Mean over the planes; NaN where there is none."""
    known = np.isfinite(data)
    count = known.sum(axis=0)
    total: F64 = np.where(known, data, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _fit(image: F64, places: Sequence[tuple[float, float]]) -> tuple[F64, F64, F64]:
    """Fluxes and places (0-based pixels) of all stars of an image, and their light in it without the level of the sky.

    Parameters
    ----------
    image : ndarray of float64 (ny, nx)
    places : sequence of (x, y)
        Where the stars are, but for a shift of whole pixels.
    """
    y, x = np.indices(image.shape).astype(np.float64)
    good = np.isfinite(image)
    brightest = max(range(len(STARS)), key=lambda number: STARS[number].flux)
    row, column = np.unravel_index(int(np.nanargmax(image)), image.shape)
    shift = round(column - places[brightest][0]), round(row - places[brightest][1])
    peak = float(np.nanmax(image))
    start = np.array([[20.0 * peak, at[0] + shift[0], at[1] + shift[1]] for at in places])

    def light(values: NDArray[Any]) -> F64:
        stars, fwhm = values[:-2].reshape(-1, 3), np.array(values[-2])
        return np.asarray(sum(flux * moffat(x - x0, y - y0, fwhm) for flux, x0, y0 in stars))

    scale = np.append(np.tile([20.0 * peak, 1.0, 1.0], len(places)), [1.0, 0.01 * peak])
    first = np.append(start.reshape(-1), [3.6, 0.0])
    values = least_squares(lambda v: (light(v) + v[-1] - image)[good], first, x_scale=scale).x
    stars = values[:-2].reshape(-1, 3)
    return stars[:, 0], stars[:, 1:], light(values)


if __name__ == "__main__":
    sys.exit(main())
