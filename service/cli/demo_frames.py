"""The frames of the demonstration: simulated in a thread while the daemons take in what is there already."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from core.simulator.night import FRAME_NAMES, NightPlan, simulate_night
from core.simulator.programme import SkyPlan
from core.simulator.statics import write_simulated_statics

__all__ = ["DEMO_PLAN", "DemoNights", "Simulation", "demo_nights"]

DEMO_PLAN: Final = NightPlan(
    n_bias=5,
    n_dark=3,
    n_flat=5,
    n_arc=1,
    n_illum=1,
    # Not turned: the few units of a demonstration would look at next to nothing twice.
    sky=SkyPlan(n_skyflat=3, n_std=1, n_object=2, object_exptime=300.0, rotate=False),
)
STAR_UNITS: Final = frozenset((12, 13))  # that a star in the middle of the field is seen with
EARLIER_PLAN: Final = NightPlan(n_bias=5, n_flat=0, n_arc=0, n_illum=0)
_NOTE: Final = "demo.json"
_RAW_MB: Final = 36  # a detector of a raw frame
_IMAGE_MB: Final = 211  # data, flags and variances of a detector: master bias, dark and flat
_TABLE_MB: Final = 110  # a pixel table of an IFU
_REDUCED_MB: Final = 381  # a reduced one
_CUBE_MB: Final = 137  # an IFU in a cube
_OTHER_MB: Final = 50  # tables, profiles, plots and truth of an IFU


@dataclass(frozen=True)
class DemoNights:
    """What is simulated; kept beside the frames, so that a repeated demonstration goes on with the same nights."""

    night: str
    units: tuple[int, ...]
    nights: int

    @property
    def last(self) -> date:
        """The night that has everything."""
        return date.fromisoformat(self.night)

    @property
    def plans(self) -> list[tuple[date, NightPlan]]:
        """All nights by date: those before the last have biases only."""
        earlier = [(self.last - timedelta(days=back), EARLIER_PLAN) for back in range(self.nights - 1, 0, -1)]
        sky = DEMO_PLAN.sky if self.with_star else replace(DEMO_PLAN.sky, n_std=0)
        return [*earlier, (self.last, replace(DEMO_PLAN, sky=sky))]

    @property
    def with_star(self) -> bool:
        """Whether a standard star is observed, which takes the units that see it; else the response is static."""
        return set(self.units) >= STAR_UNITS

    @property
    def frames(self) -> int:
        """Number of frames."""
        return sum(plan.n_frames for _, plan in self.plans)

    @property
    def blocks(self) -> int:
        """Number of blocks.

        A bias each night; of the last dark, flat, arc, line spread function, twilight; star and response; pixel table
        and cube of each exposure; alignment and combination.
        """
        return self.nights + 5 + 2 * self.with_star + 2 * DEMO_PLAN.sky.n_object + 2

    @property
    def gigabytes(self) -> float:
        """Room on disk for frames and products."""
        images, objects = self.nights + 2, DEMO_PLAN.sky.n_object
        on_sky = objects * (_TABLE_MB + _REDUCED_MB + _CUBE_MB) + self.with_star * (_TABLE_MB + _CUBE_MB) + _CUBE_MB
        return len(self.units) * (self.frames * _RAW_MB + images * _IMAGE_MB + on_sky + _OTHER_MB) / 1000


def demo_nights(data_dir: Path, night: date, units: Sequence[int], nights: int) -> DemoNights:
    """What was begun in a directory, else what is asked for, which is noted there."""
    note = data_dir / _NOTE
    if note.is_file():
        values = json.loads(note.read_text())
        return DemoNights(values["night"], tuple(values["units"]), values["nights"])
    wanted = DemoNights(night.isoformat(), tuple(units), nights)
    note.write_text(json.dumps(asdict(wanted)))
    return wanted


class Simulation(threading.Thread):
    """Makes the frames that do not exist yet.

    Attributes
    ----------
    done : int
        Frames that exist.
    error : BaseException or None
        Why it ended early.
    """

    def __init__(self, data_dir: Path, raw: Path, wanted: DemoNights, stop: threading.Event) -> None:
        super().__init__(name="simulation", daemon=True)
        self._data_dir, self._raw, self._wanted, self._stop_event = data_dir, raw, wanted, stop
        self._made = data_dir / "simulated"  # nights that are whole, one a line
        self.error: BaseException | None = None

    @property
    def done(self) -> int:
        return len(list(self._raw.glob(FRAME_NAMES)))

    def run(self) -> None:
        whole = set(self._made.read_text().split()) if self._made.is_file() else set()
        try:
            # As the observatory delivers them: to measure a geometry takes 60 frames.
            write_simulated_statics(self._data_dir / "static", modes=("WFM-NOAO-N",), ifus=self._wanted.units)
            for night, plan in self._wanted.plans:
                if self._stop_event.is_set():
                    return
                if night.isoformat() in whole:
                    continue
                simulate_night(self._raw, night, self._wanted.units, plan, truth_directory=self._data_dir / "truth")
                with self._made.open("a") as stream:
                    stream.write(f"{night.isoformat()}\n")
        except BaseException as error:  # told by the thread that watches
            self.error = error
