"""The frames of the demonstration: simulated in a thread while the daemons take in what is there already."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from core.simulator.night import FRAME_NAMES, NightPlan, simulate_night
from core.simulator.programme import SkyPlan
from core.simulator.statics import write_geometry_table

__all__ = ["DEMO_PLAN", "DemoNights", "Simulation", "demo_nights"]

DEMO_PLAN: Final = NightPlan(
    n_bias=5, n_dark=3, n_flat=5, n_arc=1, n_illum=1, sky=SkyPlan(n_skyflat=3, n_object=1, object_exptime=300.0)
)
EARLIER_PLAN: Final = NightPlan(n_bias=5, n_flat=0, n_arc=0, n_illum=0)
_NOTE: Final = "demo.json"
_RAW_MB: Final = 36  # a detector of a raw frame
_IMAGE_MB: Final = 211  # data, flags and variances of a detector: master bias, dark and flat
_OTHER_MB: Final = 160  # tables, profiles, cubes, the pixel table, plots and truth of an IFU


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
        return [*earlier, (self.last, DEMO_PLAN)]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return sum(plan.n_frames for _, plan in self.plans)

    @property
    def blocks(self) -> int:
        """Number of blocks: a bias each night; dark, flat, arc, line spread function, twilight, object of the last."""
        return self.nights + 6

    @property
    def gigabytes(self) -> float:
        """Room on disk for frames and products."""
        images = self.nights + 2
        return len(self.units) * (self.frames * _RAW_MB + images * _IMAGE_MB + _OTHER_MB) / 1000


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
        self._geometry = data_dir / "static" / "geometry_table_wfm.fits"
        self._data_dir, self._raw, self._wanted, self._stop_event = data_dir, raw, wanted, stop
        self._made = data_dir / "simulated"  # nights that are whole, one a line
        self.error: BaseException | None = None

    @property
    def done(self) -> int:
        return len(list(self._raw.glob(FRAME_NAMES)))

    def run(self) -> None:
        whole = set(self._made.read_text().split()) if self._made.is_file() else set()
        try:
            if not self._geometry.exists():  # as the observatory delivers one; measuring takes 60 frames
                self._geometry.parent.mkdir(parents=True, exist_ok=True)
                write_geometry_table(self._geometry)
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
