"""The cases of benchmarks/options.py for muse_wavecal and muse_lsf."""

from __future__ import annotations

from pathlib import Path

from astropy.io import fits
from option_cases import Case, Raws
from runs import NIGHT, raw_frames
from scene import Scene

from core.recipes.muse.arc_lamps import lamp_states
from core.simulator.night import NightPlan, simulate_night

__all__ = ["ARC_CASES"]


def arcs(mode: str | None = None, n: int = 1) -> Raws:
    """Other arcs of the same instrument: of another mode, or several of each lamp."""

    def make(scene: Scene, paths: list[Path]) -> list[Path]:
        chosen = mode or scene.mode
        directory = scene.work / f"arcs-{chosen}-{n}"
        found = sorted(directory.glob("*.fits"))
        if not found:
            plan = NightPlan(n_bias=0, n_dark=0, n_flat=0, n_arc=n, n_illum=0)
            found = simulate_night(directory, NIGHT, [scene.ifu], plan, mode=chosen, seed=scene.seed)
        return raw_frames(found)["ARC"]

    return make


def of_lamps(*lamps: int) -> Raws:
    """Only the arcs of these lamps."""

    def is_on(path: Path) -> bool:
        states = lamp_states(fits.getheader(path))
        return any(all(states[lamp - 1]) for lamp in lamps)

    return lambda scene, paths: [path for path in paths if is_on(path)]


_OPTIONS = (
    "",
    "--residuals=true",
    "--saveimages=true",
    "--saveimages=true --resample=true --wavemap=true",
    "--overscan=none",
    "--overscan=offset",
    "--overscan=vpoly:5",
    "--ovscreject=none",
    "--ovscreject=fit",
    "--ovscsigma=3",
    "--ovscignore=10",
    "--tolerance=0.02",
    "--tolerance=0.3",
    "--xorder=1",
    "--yorder=4",
    "--yorder=5",
    "--yorder=7",
    "--linesigma=4",
    "--fitsigma=2",
    "--fitsigma=5",
    "--fitweighting=uniform",
    "--fitweighting=cerr",
    "--fitweighting=scatter",
)
_COMBINE = ("average", "median", "sigclip")
_LOST = "QC LINES.NID, LINES.PEAK"

_WAVECAL = (
    *(Case("wavecal", options) for options in _OPTIONS),
    *(Case("wavecal", options, intent=_LOST) for options in ("--sigma=0.5", "--sigma=3", "--dres=0.02", "--dres=0.1")),
    Case("wavecal", "--xorder=3", intent="final fit"),
    Case("wavecal", "--linesigma=1.5 --residuals=true", intent="flagged pixels"),
    *(
        Case("wavecal", f"--saveimages=true --combine={method}", raws=arcs(n=3), note="(3 frames per lamp)")
        for method in _COMBINE
    ),
    Case(
        "wavecal",
        "--saveimages=true --combine=minmax",
        raws=arcs(n=3),
        note="(3 frames per lamp)",
        intent="combine=minmax",
    ),
    *(
        Case("wavecal", f"--lampwise=false {more}", intent=_LOST)
        for more in ("", "--fitweighting=uniform", "--sigma=3")
    ),
    Case("wavecal", raws=arcs("NFM-AO-N"), note="(NFM-AO-N)", intent="narrow-field mode"),
    *(Case("wavecal", raws=arcs(mode), note=f"({mode})") for mode in ("WFM-AO-N", "WFM-AO-E", "WFM-NOAO-E")),
    Case("wavecal", raws=of_lamps(3, 4), note="(without HgCd)", intent="lamps that were off"),
    Case("wavecal", raws=of_lamps(3, 5), note="(without Xe)", intent="lamps that were off"),
)
_WINDOW = "window of pixels around a line"
_LSF_OPTIONS = (
    "",
    "--line_quality=5",
    "--lsf_size=100",
    "--lambda_size=20",
    "--lsf_regression_window=0.4",
    "--overscan=vpoly:5 --ovscreject=fit:3 --ovscsigma=3 --ovscignore=8",
)
_LSF = (
    *(Case("lsf", options) for options in _LSF_OPTIONS),
    Case("lsf", "--save_subtracted=true", intent=_WINDOW),
    *(Case("lsf", f"--lsf_range={size}", intent="background of a small window") for size in (3, 5)),
    Case("lsf", "--overscan=offset", intent="deviant pixels"),
    Case("lsf", "--combine=median", raws=arcs(n=3), note="(3 frames per lamp)"),
    Case("lsf", "--method=hermit --save_subtracted=true", intent="method=hermit: PIXTABLE_SUBTRACTED"),
)

ARC_CASES: tuple[Case, ...] = (*_WAVECAL, *_LSF)
