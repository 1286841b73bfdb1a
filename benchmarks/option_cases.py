"""The cases of benchmarks/options.py: recipe, options as on the command line, frames."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from astropy.io import fits
from runs import NIGHT, RAW_TAG
from scene import Frames, Scene

from core.ccd.geometry import Detector
from core.instruments.muse.facts import Dq, chip_name
from core.simulator.night import NightPlan, simulate_night
from core.simulator.truth import truth_for
from core.tools.badpix import BadPixelList, minimal_headers, write_bad_pixels

__all__ = ["CASES", "Case", "Raws", "bad_pixels", "calibration", "changed_card"]

Raws = Callable[[Scene, list[Path]], list[Path]]


@dataclass(frozen=True)
class Case:
    """One run of a recipe with both pipelines.

    Attributes
    ----------
    recipe : str
        ``bias``, ``dark``, ...
    options : str
        As on the command line; ``--nifu`` of the scene is added if there is none.
    n : int
        Number of raw frames of each kind, at most.
    raws : callable, optional
        Makes other raw frames of those: ``raws(scene, paths)``.
    extra : tuple of callable
        Further inputs: each gives (path, tag) pairs of a scene.
    intent : str
        ``where`` of the entry in the table of differences, for a case that differs by intent.
    fails : bool
        Both pipelines must refuse.
    note : str
        What is special in the frames, for the name of the case.
    full_size : bool
        Means something only on a detector of full size.
    tag : str
        Of the raw frames, if not the recipe's first.
    variables : mapping of str to str or callable
        Variables of the environment; a callable makes the value of a scene.
    """

    recipe: str
    options: str = ""
    n: int = 3
    raws: Raws | None = None
    extra: tuple[Callable[[Scene], Frames], ...] = ()
    intent: str = ""
    fails: bool = False
    note: str = ""
    full_size: bool = False
    tag: str = ""
    variables: Mapping[str, str | Callable[[Scene], str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the table shows."""
        return " ".join(part for part in (f"muse_{self.recipe}", self.options, self.note) if part)

    @property
    def slug(self) -> str:
        """The name as that of a directory."""
        return re.sub(r"[^\w.=-]+", "_", self.name).strip("-")

    def environment(self, scene: Scene) -> dict[str, str]:
        """Variables of the environment; parameters that are hidden otherwise are shown."""
        given = {name: value if isinstance(value, str) else value(scene) for name, value in self.variables.items()}
        return {"MUSE_EXPERT_USER": "1", **given}

    def frames(self, scene: Scene) -> Frames:
        """The set of frames."""
        tag = self.tag or RAW_TAG[self.recipe]
        raws = scene.raw(tag)
        if tag != "ARC":
            raws = raws[: self.n]
        if self.raws is not None:
            raws = self.raws(scene, raws)
        return scene.frames(self.recipe, raws, tag) + [pair for make in self.extra for pair in make(scene)]


# -- other inputs ------------------------------------------------------------------------------------------------------
def calibration(tag: str) -> Callable[[Scene], Frames]:
    """An optional calibration, made by the reference."""
    return lambda scene: [(scene.calibration(tag), tag)]


def bad_pixels(scene: Scene) -> Frames:
    """Two tables: scattered pixels of several kinds, and a bad column that crosses some of them."""
    rng = np.random.default_rng(scene.seed)
    x, y = rng.integers(33, 4193, 5000), rng.integers(33, scene.height + 97, 5000)
    status = rng.choice([Dq.DEAD, Dq.HOT, Dq.DARK | Dq.LOW_QE], 5000)
    column = np.arange(100, scene.rows)
    tables = [(x, y, status), (np.full_like(column, 1500), column, np.full_like(column, Dq.DEAD))]
    frames: Frames = []
    for number, table in enumerate(tables, start=1):
        path = scene.work / f"badpix-{number}.fits"
        write_bad_pixels(path, BadPixelList.of(*table), scene.ifu, minimal_headers(scene.ifu))
        frames.append((path, "BADPIX_TABLE"))
    return frames


def flagged_edge(scene: Scene) -> Frames:
    """A table of seven bad columns across the left edge of slice 20, five of them outside, in 60 % of the rows."""
    rows, left = _slice_on_raw(scene)
    y = np.repeat(rows[: int(0.6 * len(rows))] + 1, 7)
    x = np.resize(left[scene.rows] - 4 + np.arange(7), y.size)
    path = scene.work / "badpix-edge.fits"
    pixels = BadPixelList.of(x, y, np.full_like(x, Dq.DEAD))
    write_bad_pixels(path, pixels, scene.ifu, minimal_headers(scene.ifu))
    return [(path, "BADPIX_TABLE")]


def all_ifus(scene: Scene, paths: list[Path]) -> list[Path]:
    """Biases of all IFUs, of few rows each."""
    plan = NightPlan(n_bias=len(paths), n_dark=0, n_flat=0, n_arc=0, n_illum=0)
    return simulate_night(scene.work / "all", NIGHT, plan=plan, seed=scene.seed, detector=Detector(ny=64))


def changed(name: str, change: Callable[[Scene, fits.HDUList, int], None]) -> Raws:
    """Copies of the raw frames: ``change(scene, hdus, n)`` changes the n-th, whose data are as stored (no BZERO)."""

    def make(scene: Scene, paths: list[Path]) -> list[Path]:
        made = []
        for number, path in enumerate(paths):
            copy = scene.work / "changed" / f"{name}-{path.name}"
            copy.parent.mkdir(exist_ok=True)
            with fits.open(path, do_not_scale_image_data=True) as hdus:
                change(scene, hdus, number)
                hdus.writeto(copy, overwrite=True)
            made.append(copy)
        return made

    return make


def changed_card(keyword: str, *values: float | str) -> Raws:
    """Copies with another card in the primary header: the n-th value goes to the n-th frame."""

    def change(scene: Scene, hdus: fits.HDUList, number: int) -> None:
        hdus[0].header[keyword] = values[number]

    return changed(keyword.replace(" ", "-"), change)


def changed_levels(*steps: int) -> Raws:
    """Copies with the level of the n-th frame raised by the n-th step [adu]."""

    def change(scene: Scene, hdus: fits.HDUList, number: int) -> None:
        hdus[chip_name(scene.ifu)].data += steps[number]

    return changed("levels", change)


def saturated(frames: int) -> Raws:
    """Copies with seeded saturated pixels: 1000 in the first only, 1000 in the first two, ... of so many frames."""

    def change(scene: Scene, hdus: fits.HDUList, number: int) -> None:
        rng = np.random.default_rng(scene.seed)
        total = 1000 * frames
        x, y = rng.integers(32, 4192, total), rng.integers(32, scene.height + 96, total)
        hit = slice(1000 * number, total)
        hdus[chip_name(scene.ifu)].data[y[hit], x[hit]] = 32767

    return changed(f"saturated-{frames}", change)


def _brighten_edge(scene: Scene, hdus: fits.HDUList, number: int) -> None:
    """Add a bright column 2 pix to the left of slice 20, in 60 % of the rows."""
    rows, left = _slice_on_raw(scene)
    bright = rows[: int(0.6 * len(rows))], left[scene.rows] - 2
    data = hdus[chip_name(scene.ifu)].data
    data[bright] = np.minimum(data[bright].astype(int) + 20000, 30000)


def _shift_rows(scene: Scene, hdus: fits.HDUList, number: int) -> None:
    """Move slice 20 by 1 pix in three short runs of rows: points that the fit of the centre rejects."""
    rows, left = _slice_on_raw(scene)
    data = hdus[chip_name(scene.ifu)].data
    for start in (int(part * len(rows)) for part in (0.2, 0.31, 0.45)):
        for row, x in zip(rows[start : start + 8], left[start : start + 8], strict=True):
            data[row, x - 6 : x + 84] = data[row, x - 7 : x + 83].copy()


def _darken_slice(scene: Scene, hdus: fits.HDUList, number: int) -> None:
    """Take the light from slice 20."""
    _darken(scene, hdus, -4, 79)


def _darken_third(scene: Scene, hdus: fits.HDUList, number: int) -> None:
    """Take the light from the right third of slice 20 but for 56 rows in the middle."""
    for part in (slice(0, scene.rows - 28), slice(scene.rows + 28, None)):
        _darken(scene, hdus, 50, 79, part)


def _darken(scene: Scene, hdus: fits.HDUList, first: int, last: int, part: slice = slice(None)) -> None:
    """Pixels of slice 20, ``first`` to ``last`` from its left edge, become those of the overscan."""
    rows, left = (values[part, None] for values in _slice_on_raw(scene))
    data = hdus[chip_name(scene.ifu)].data
    overscan = Detector(ny=scene.rows).overscan_windows(1)[1][1]
    dark = np.resize(np.arange(overscan.start + 3, overscan.stop), last - first)
    data[rows, left + np.arange(first, last)] = data[rows, dark]


def _slice_on_raw(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Data rows of the raw frame, and the column of the left edge of slice 20 in each (0-based)."""
    detector = Detector(ny=scene.rows)
    windows = [detector.raw_window(port)[0] for port in (1, 4)]
    rows = np.concatenate([np.arange(window.start, window.stop) for window in windows])
    truth = truth_for(scene.ifu, scene.mode, scene.seed, detector)
    left = np.rint(truth.trace_left(20, np.arange(1.0, scene.height + 1))).astype(int)
    return rows, left - 1 + detector.prescan_x


_EXPTIMES = changed_card("EXPTIME", 900.0, 1800.0, 1200.0)
_FLAT_EXPTIMES = changed_card("EXPTIME", 0.3, 0.35, 0.4)
_READOUT = changed_card("HIERARCH ESO DET READ CURID", 1, 2, 1)
_LEVELS = changed_levels(0, 2, 1)

# -- the cases ---------------------------------------------------------------------------------------------------------
_OVERSCAN = (
    "--overscan=none",
    "--overscan=offset",
    "--overscan=vpoly:5",
    "--overscan=vpoly:3,1.01,1.04",
    "--overscan=vpoly:12,1.0000001,1.0000001",
    "--overscan=vpoly:15,1.0000001,1.0000001",
    "--overscan=vpoly:20,1.0000001",
    "--ovscreject=none",
    "--ovscreject=fit",
    "--ovscreject=fit:3",
    "--ovscreject=dcr:64,16,2,3.5",
    "--ovscsigma=3",
    "--ovscignore=0",
    "--ovscignore=10",
    "--overscan=offset --ovscreject=fit:3 --ovscignore=8",
)
# The overscan of darks and flats is treated by the same code.
_OVERSCAN_OF_OTHERS = (
    "--overscan=none",
    "--overscan=offset",
    "--overscan=vpoly:5 --ovscreject=fit:3 --ovscsigma=3 --ovscignore=8",
)
_COMBINE = (
    "--combine=average",
    "--combine=median",
    "--combine=minmax",
    "--combine=sigclip --lsigma=1.2 --hsigma=1.5",
)
_COMBINE_OF_5 = (
    "",
    "--combine=median",
    "--combine=minmax --nlow=0 --nhigh=2",
    "--combine=minmax --nlow=1 --nhigh=2 --nkeep=2",
    "--combine=sigclip --lsigma=2 --hsigma=1.5",
    "--combine=sigclip --lsigma=10 --hsigma=10",
)

_BIAS_INTENT = {
    "--overscan=offset": "overscan=offset",
    "--overscan=offset --ovscreject=fit:3 --ovscignore=8": "overscan=offset",
    "--overscan=vpoly:15,1.0000001,1.0000001": "overscan=vpoly",
    "--overscan=vpoly:20,1.0000001": "overscan=vpoly",
}

_BIAS = (
    *(Case("bias", options, intent=_BIAS_INTENT.get(options, "")) for options in ("", *_OVERSCAN, *_COMBINE)),
    *(Case("bias", options, n=5, note="(5 frames)") for options in _COMBINE_OF_5),
    Case("bias", "--losigmabadpix=5 --hisigmabadpix=1.5"),
    Case("bias", "--losigmabadpix=1 --hisigmabadpix=30"),
    Case("bias", extra=(bad_pixels,), note="with two BADPIX_TABLE"),
    Case("bias", "--combine=minmax", extra=(bad_pixels,), note="with two BADPIX_TABLE"),
    *(Case("bias", options, raws=saturated(3), note="(saturated pixels)") for options in ("", *_COMBINE[:2])),
    Case("bias", "--combine=minmax", raws=saturated(3), note="(saturated pixels)", intent="combine=minmax"),
    *(
        Case("bias", f"--combine=minmax --nkeep={nkeep}", n=5, raws=saturated(2), note="(saturated pixels, 5 frames)")
        for nkeep in (1, 2, 3)
    ),
    Case("bias", "--ovscreject=dcr:64,40,2,3", intent="ovscreject=dcr:..."),
    Case("bias", "--overscan=none", raws=_LEVELS, note="(levels +0, +2, +1 adu)"),
    Case("bias", "--overscan=offset", raws=_LEVELS, note="(levels +0, +2, +1 adu)", intent="overscan=offset"),
    Case("bias", raws=_LEVELS, note="(levels +0, +2, +1 adu)"),
    Case("bias", "--overscan=none --ovscsigma=0.1", raws=_LEVELS, note="(levels +0, +2, +1 adu)", fails=True),
    Case("bias", "--nifu=-1 --merge=true", raws=all_ifus, note="(24 IFUs of 64 rows a port)"),
    Case("bias", "--combine=minmax --nlow=2 --nhigh=2", fails=True),
    Case("bias", "--ovscignore=40", fails=True),
    Case("bias", "--overscan=vpoly:3,0.9", fails=True),
    Case("bias", n=2, note="(2 frames)", fails=True),
)
_DARK = (
    *(Case("dark", options) for options in ("", *_OVERSCAN_OF_OTHERS, *_COMBINE)),
    *(Case("dark", options, n=5, note="(5 frames)") for options in _COMBINE_OF_5),
    *(Case("dark", options, raws=_EXPTIMES, note="(900, 1800, 1200 s)") for options in ("", "--scale=false")),
    Case("dark", "--normalize=-1"),
    Case("dark", "--normalize=1"),
    Case("dark", "--hotsigma=3"),
    Case("dark", "--hotsigma=12"),
    Case("dark", "--hotsigma=-1"),
    Case("dark", "--model=true", full_size=True),
    Case("dark", "--model=true --normalize=-1", n=5, note="(5 frames)", full_size=True),
    Case("dark", extra=(bad_pixels,), note="with two BADPIX_TABLE"),
    Case("dark", raws=_LEVELS, note="(levels +0, +2, +1 adu)"),
    Case("dark", "--overscan=offset", raws=_LEVELS, note="(levels +0, +2, +1 adu)"),
)
_FLAT = (
    *(Case("flat", options) for options in ("", *_OVERSCAN_OF_OTHERS, *_COMBINE)),
    *(Case("flat", options, n=5, note="(5 frames)") for options in _COMBINE_OF_5),
    *(Case("flat", options, raws=_FLAT_EXPTIMES, note="(0.3, 0.35, 0.4 s)") for options in ("", "--scale=false")),
    Case("flat", "--normalize=false"),
    Case("flat", "--trace=false"),
    Case("flat", "--samples=true"),
    *(Case("flat", f"--nsum={nsum} --samples=true", n=5, note="(5 frames)") for nsum in (8, 64, 100)),
    *(Case("flat", f"--order={order}", n=5, note="(5 frames)") for order in (2, 3, 7)),
    *(Case("flat", f"--edgefrac={fraction} --samples=true", n=5, note="(5 frames)") for fraction in (0.2, 0.35, 0.7)),
    Case("flat", "--losigmabadpix=3 --hisigmabadpix=4"),
    Case("flat", "--losigmabadpix=10 --hisigmabadpix=2"),
    Case("flat", extra=(bad_pixels,), n=5, note="with two BADPIX_TABLE (5 frames)"),
    Case("flat", extra=(calibration("MASTER_DARK"),), note="with MASTER_DARK"),
    Case("flat", raws=saturated(3), note="(saturated pixels)"),
    Case("flat", "--combine=minmax", raws=saturated(3), note="(saturated pixels)", intent="combine=minmax"),
    Case(
        "flat",
        raws=changed("bright", _brighten_edge),
        note="(a bright column beside slice 20)",
        intent="TRACE_TABLE, bright column beside an edge",
    ),
    Case(
        "flat",
        extra=(flagged_edge,),
        note="(seven flagged columns across an edge of slice 20)",
        intent="TRACE_TABLE, flagged columns across an edge",
    ),
    Case(
        "flat",
        raws=changed("dark", _darken_slice),
        note="(slice 20 without light)",
        intent="TRACE_TABLE, slice without light",
    ),
    Case(
        "flat",
        "--nsum=8",
        raws=changed("third", _darken_third),
        note="(right third of slice 20 dark but for 56 rows)",
        intent="TRACE_TABLE, polynomials that run away",
    ),
    Case(
        "flat",
        "--nsum=8",
        raws=changed("shifted", _shift_rows),
        note="(slice 20 displaced in a few rows)",
        intent="TRACE_TABLE, edges after rejections",
    ),
    Case("flat", raws=_LEVELS, note="(levels +0, +2, +1 adu)"),
    Case("flat", "--overscan=offset", raws=_LEVELS, note="(levels +0, +2, +1 adu)"),
)
_READOUT_MODES = tuple(
    Case(recipe, "--combine=average", raws=_READOUT, note="(one frame of another read-out mode)")
    for recipe in ("bias", "dark", "flat")
)

CASES: tuple[Case, ...] = (*_BIAS, *_DARK, *_FLAT, *_READOUT_MODES)
