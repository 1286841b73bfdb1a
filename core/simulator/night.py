"""A plan of calibrations becomes an archive directory of raw frames, in the order and at the times of a real night."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.ccd.geometry import Detector
from core.errors import ParameterError
from core.fitsfile.header import Header
from core.formats.raw import write_raw
from core.instruments.muse.facts import N_IFU
from core.simulator.exposure import NightState, expected_electrons, expose
from core.simulator.headers import ExposureCard, channel_header, file_stamp, primary_header
from core.simulator.mask import MaskCheckScene, mask_sequence
from core.simulator.programme import SkyPlan, on_sky_templates, temperature_at_night
from core.simulator.scenes import ArcScene, BiasScene, DarkScene, FlatScene, IllumScene, Scene
from core.simulator.seeds import stream
from core.simulator.truth import InstrumentTruth, save_truth, truth_for

__all__ = ["FRAME_NAMES", "ON_REQUEST", "NightPlan", "night_state", "scenes_of_night", "simulate_night"]

FRAME_NAMES: Final = "MUSE.*.fits"
"""Pattern of the names of the frames of a night."""

ON_REQUEST: Final = ("muse_lsf",)
"""Recipes that find their frames in a simulated night, but run only where they are asked for."""

OVERHEAD: Final = 81.0
"""Time between the end of an exposure and the start of the next of the same template [s]."""

_BETWEEN_TEMPLATES: Final = 50.0
_EPOCH: Final = date(2014, 9, 1)


@dataclass(frozen=True)
class NightPlan:
    """How many frames of each kind a night has.

    Attributes
    ----------
    n_bias, n_dark, n_flat : int
    n_arc : int
        Exposures per lamp.
    n_illum : int
        Single illumination flats in the night.
    arc_lamps : tuple of int
        Lamps of the arc template, in this order.
    dark_exptime : float
        [s]
    n_mask : int
        Exposures of a geometrical calibration; none, or 14 and more.
    n_mask_check : int
    sky : SkyPlan
        What is observed under the open dome; nothing by default.
    """

    n_bias: int = 11
    n_dark: int = 0
    n_flat: int = 11
    n_arc: int = 5
    n_illum: int = 1
    arc_lamps: tuple[int, ...] = (3, 4, 5)
    dark_exptime: float = 1800.0
    n_mask: int = 0
    n_mask_check: int = 0
    sky: SkyPlan = field(default_factory=SkyPlan)

    def __post_init__(self) -> None:
        for name in ("n_bias", "n_dark", "n_flat", "n_arc", "n_illum", "n_mask", "n_mask_check"):
            if getattr(self, name) < 0:
                raise ParameterError(f"{name} must not be negative", parameter=name)

    @property
    def n_frames(self) -> int:
        """Number of files of the night."""
        lamps = self.n_flat + self.n_arc * len(self.arc_lamps) + self.n_illum + self.n_mask + self.n_mask_check
        return self.n_bias + self.n_dark + lamps + self.sky.n_frames


@dataclass(frozen=True)
class _Shot:
    """One exposure of the night."""

    scene: Scene
    card: ExposureCard


def night_state(night: date, ifu: int, seed: int) -> NightState:
    """Read noise and level of an IFU in a night: a slow drift over the years, a seasonal wave, and chance."""
    rng = stream(seed, "night", night.isoformat(), ifu)
    years = (night - _EPOCH).days / 365.25
    drift = 0.1 * years + 0.8 * math.sin(2.0 * math.pi * years + ifu)
    shifts = drift + rng.normal(0.0, 0.4, 4)
    return NightState(
        noise=float(1.0 + 0.001 * years + 0.006 * math.sin(2.0 * math.pi * years) + rng.normal(0.0, 0.006)),
        level=(float(shifts[0]), float(shifts[1]), float(shifts[2]), float(shifts[3])),
    )


def _temperature(night: date, seed: int) -> float:
    rng = stream(seed, "temperature", night.isoformat())
    season = math.cos(2.0 * math.pi * (night.timetuple().tm_yday - 20) / 365.25)
    return float(11.5 + 3.5 * season + rng.normal(0.0, 1.2))


def _noon(night: date) -> datetime:
    """Local noon, UTC."""
    return datetime(night.year, night.month, night.day, 16, 0, 0)


def _lamp_brightness(night: date, seed: int, lamp: str) -> float:
    """Lamps fade by a per cent in a year, are replaced every four years, and flicker from night to night."""
    rng = stream(seed, "lamp", night.isoformat(), lamp)
    age = ((night - _EPOCH).days / 365.25) % 4.0
    return float(1.02 * 0.99**age * (1.0 + rng.normal(0.0, 0.008)))


def _templates(plan: NightPlan, night: date, seed: int, mode: str) -> Iterator[tuple[datetime, Sequence[Scene]]]:
    """Earliest start and scenes of each template, in the order of the night."""
    noon = _noon(night)
    continuum = _lamp_brightness(night, seed, "continuum")
    evening = noon + timedelta(hours=7, minutes=5, seconds=int(stream(seed, "start", night).integers(0, 900)))
    in_the_night: list[tuple[datetime, Sequence[Scene]]] = [
        (evening + timedelta(hours=1.5 * (k + 1)), [IllumScene(brightness=continuum)]) for k in range(plan.n_illum)
    ]
    in_the_night += on_sky_templates(plan.sky, night, seed, mode, _temperature(night, seed))
    yield from sorted(in_the_night, key=lambda template: template[0])
    # calibrations of the day follow in the morning
    morning = noon + timedelta(hours=19, seconds=int(stream(seed, "morning", night).integers(0, 1800)))
    if plan.n_bias:
        yield morning, [BiasScene() for _ in range(plan.n_bias)]
    if plan.n_flat:
        yield morning, [FlatScene(brightness=continuum) for _ in range(plan.n_flat)]
    arcs: list[Scene] = []
    for lamp in plan.arc_lamps:
        scene = ArcScene.standard(lamp, _lamp_brightness(night, seed, f"lamp {lamp}"))
        arcs.extend([scene] * plan.n_arc)
    if arcs:
        yield morning, arcs
    if plan.n_dark:
        yield morning, [DarkScene(exptime=plan.dark_exptime) for _ in range(plan.n_dark)]
    if plan.n_mask:
        yield morning, [*mask_sequence(plan.n_mask)]
    if plan.n_mask_check:
        yield morning, [MaskCheckScene(brightness=continuum) for _ in range(plan.n_mask_check)]


def _shots(plan: NightPlan, night: date, seed: int, mode: str) -> Iterator[list[_Shot]]:
    """Exposures of each template with their times."""
    of_day = _temperature(night, seed)
    clock = datetime.min
    numbers: dict[str, int] = {}
    running = 1000 * (night - _EPOCH).days % 1_000_000
    for earliest, scenes in _templates(plan, night, seed, mode):
        clock = max(clock + timedelta(seconds=_BETWEEN_TEMPLATES), earliest)
        template_start = clock.replace(microsecond=0)
        clock = template_start + timedelta(seconds=12.0)
        # A stream for each kind of template: its times do not depend on what else the plan asks for.
        rng = stream(seed, "cadence", night.isoformat(), scenes[0].tag)
        shots = []
        for expno, scene in enumerate(scenes, 1):
            running += 1
            number = numbers[scene.file_tag] = numbers.get(scene.file_tag, 0) + 1
            start = clock + timedelta(milliseconds=int(rng.integers(0, 1000)))
            temperature = temperature_at_night(of_day, _noon(night), start) if scene.at_night else of_day
            card = ExposureCard(start, template_start, expno, len(scenes), running, number, temperature)
            shots.append(_Shot(scene.at(start, temperature), card))
            clock = start + timedelta(seconds=scene.exptime + OVERHEAD)
        yield shots


def simulate_night(
    directory: str | os.PathLike[str],
    night: date | str,
    ifus: Sequence[int] = tuple(range(1, N_IFU + 1)),
    plan: NightPlan | None = None,
    *,
    mode: str = "WFM-NOAO-N",
    seed: int = 1,
    detector: Detector | None = None,
    compress: bool = False,
    truth_directory: str | os.PathLike[str] | None = None,
) -> list[Path]:
    """Simulate a night: calibrations, and what is observed.

    Parameters
    ----------
    directory : path-like
        Where the raw frames go; made if it does not exist.
    night : date or str
        Date at local noon before the night.
    ifus : sequence of int
        Channels of the files.
    plan : NightPlan, optional
    mode : str
        ``INS.MODE``.
    seed : int
        The same arguments give the same pixels and headers.
    detector : Detector, optional
        Geometry; full size by default.
    compress : bool
        Write tile-compressed ``.fits.fz`` files.
    truth_directory : path-like, optional
        Where the truth of each channel goes; ``truth`` below ``directory`` by default.

    Returns
    -------
    list of pathlib.Path
        Files in order of time, each written atomically.

    Raises
    ------
    ParameterError
        If an IFU, the mode or the night does not exist.
    """
    if isinstance(night, str):
        try:
            night = date.fromisoformat(night)
        except ValueError as error:
            raise ParameterError(f"night {night!r} is not a date like 2026-11-20", parameter="night") from error
    if not ifus or len(set(ifus)) != len(ifus):
        raise ParameterError("the list of IFUs is empty or names one twice", parameter="ifus")
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    truths = [truth_for(ifu, mode, seed, detector) for ifu in ifus]
    for truth in truths:
        save_truth(truth_directory if truth_directory is not None else folder / "truth", truth)
    extensions = [channel_header(truth) for truth in truths]
    states = [night_state(night, truth.ifu, seed) for truth in truths]
    paths = []
    for shots in _shots(plan or NightPlan(), night, seed, mode):
        scene: Scene | None = None
        expected: list[NDArray[np.float32]] = []
        for shot in shots:
            if shot.scene != scene:
                # the noise-free images of a scene serve all its exposures
                expected.clear()
                expected.extend(expected_electrons(truth, shot.scene) for truth in truths)
                scene = shot.scene
            stamp = file_stamp(shot.card.start)
            path = folder / f"MUSE.{stamp}.fits{'.fz' if compress else ''}"
            frames = _frames(truths, extensions, expected, states, shot, stamp)
            header, tables = primary_header(shot.scene, mode, shot.card), shot.scene.tables(mode)
            paths.append(write_raw(path, header, frames, compress=compress, tables=tables))
    return paths


def scenes_of_night(night: date, plan: NightPlan, *, mode: str = "WFM-NOAO-N", seed: int = 1) -> dict[str, Scene]:
    """What each file of a simulated night shows, by ``ARCFILE``, in order of time.

    The arguments are those of `simulate_night`; nothing is rendered. On-sky scenes tell sources, pointing and spectra.
    """
    return {
        f"MUSE.{file_stamp(shot.card.start)}.fits": shot.scene
        for shots in _shots(plan, night, seed, mode)
        for shot in shots
    }


def _frames(
    truths: Iterable[InstrumentTruth],
    extensions: Iterable[Header],
    expected: Iterable[NDArray[np.float32]],
    states: Iterable[NightState],
    shot: _Shot,
    stamp: str,
) -> Iterator[tuple[int, Header, NDArray[np.uint16]]]:
    """Channels of one file, one in memory at a time."""
    for truth, header, image, state in zip(truths, extensions, expected, states, strict=True):
        rng = stream(truth.seed, "exposure", truth.ifu, truth.mode, stamp)
        yield truth.ifu, header, expose(truth, image, shot.scene.exptime, rng, state)
