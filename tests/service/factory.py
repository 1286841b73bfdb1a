"""Fills an archive with nights that look real: for tests of the service, for development and for benchmarks.

No pixel is made: frames, blocks, inputs, products, QC1 values (in the ranges of real MUSE data), scores, events and
quarantine are rows only, written with bulk inserts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from core.archive.definitions import register_definitions
from core.archive.models import (
    Block,
    BlockInput,
    Event,
    Frame,
    Product,
    Qc1Parameter,
    Qc1Value,
    QuarantinedFile,
    Score,
    WorkerHeartbeat,
    setup_columns,
    unit_mask,
)
from core.archive.sessions import Archive
from core.archive.states import BlockState, InputKind, ProductState, QuarantineReason, QuarantineState, WorkerKind
from core.instruments.catalogue import qc1_definitions
from core.instruments.muse.declaration import INSTRUMENT
from core.qc1.axes import Position

MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
MODE = "WFM-NOAO-N"
SETUP: dict[str, Any] = setup_columns(INSTRUMENT.setup.of_values({"mode": MODE}))
# tag: recipe, frames, exposure time, hours after local noon, products, calibrations (role, tag of its maker)
PLAN: dict[str, tuple[str, int, float, float, tuple[str, ...], tuple[tuple[str, str], ...]]] = {
    "BIAS": ("muse_bias", 11, 0.0, 19.0, ("MASTER_BIAS",), ()),
    "FLAT": ("muse_flat", 11, 0.35, 19.5, ("MASTER_FLAT", "TRACE_TABLE"), (("MASTER_BIAS", "BIAS"),)),
    "ARC": (
        "muse_wavecal",
        15,
        40.0,
        20.0,
        ("WAVECAL_TABLE",),
        (("MASTER_BIAS", "BIAS"), ("TRACE_TABLE", "FLAT")),
    ),
}
# column: (median, scatter between elements, scatter from night to night, limits); others are not filled
VALUES: dict[str, dict[str, tuple[float, float, float, tuple[float, float] | None]]] = {
    "muse_bias": {
        "master_ron": (2.46, 0.25, 0.02, (1.0, 5.0)),
        "level_median": (1201.0, 3.0, 0.6, None),
        "master_median": (-0.007, 0.05, 0.01, None),
        "master_stdev": (0.751, 0.08, 0.01, None),
        "master_slope_x": (-9.9e-6, 3e-5, 3e-6, (-1e-3, 1e-3)),
    },
    "muse_lampflat": {"flat_intflux": (4.24e11, 1.1e10, 2e9, (3.8e11, 4.7e11))},
    "muse_tracetable": {
        "trace_widths_median": (75.94, 0.08, 0.005, (74.5, 77.5)),
        "trace_gaps_min": (5.57, 0.4, 0.02, (3.0, 9.0)),
    },
    "muse_wave": {
        "slice_resol": (3002.0, 120.0, 8.0, (2000.0, 4200.0)),
        "slice_fit_rms": (0.0267, 0.004, 0.0006, (0.0, 0.06)),
        "slice_lines_fwhm_mean": (2.32, 0.12, 0.01, (1.5, 3.2)),
    },
}
TABLES_OF = {"BIAS": ("muse_bias",), "FLAT": ("muse_lampflat", "muse_tracetable"), "ARC": ("muse_wave",)}


def mjd_of(moment: datetime) -> float:
    """Modified Julian date of a moment."""
    return (moment - MJD_EPOCH) / timedelta(days=1)


@dataclass
class Filler:
    """Writes nights one after another.

    Attributes
    ----------
    units : sequence of int
    slices : int
        Slices per IFU that get QC1 values.
    """

    archive: Archive
    units: Sequence[int] = (1, 2)
    slices: int = 4
    seed: int = 1
    outlier_rate: float = 0.001
    ids: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        register_definitions(self.archive, qc1_definitions())
        with self.archive.read() as session:
            rows = session.scalars(select(Qc1Parameter)).all()
            self.parameters = {(row.table_name, row.column_name): row for row in rows}
            for model in (Frame, Block, Product):
                self.ids[model.__name__] = session.scalar(select(model.id).order_by(model.id.desc()).limit(1)) or 0

    def _next(self, model: type[Any]) -> int:
        self.ids[model.__name__] += 1
        return self.ids[model.__name__]

    def nights(self, last: date, number: int, per_commit: int = 50) -> None:
        """The last ``number`` nights up to ``last``, all done."""
        days = [last - timedelta(days=back) for back in range(number - 1, -1, -1)]
        for start in range(0, len(days), per_commit):
            with self.archive.write() as session:
                for day in days[start : start + per_commit]:
                    self.night(session, day)

    def night(self, session: Session, night: date, states: dict[str, BlockState] | None = None) -> dict[str, int]:
        """One night of BIAS, FLAT and ARC; returns block ids by tag. ``states``: blocks that are not DONE."""
        states = states or {}
        noon = datetime(night.year, night.month, night.day, 16, tzinfo=UTC)
        made: dict[str, int] = {}
        values: list[dict[str, Any]] = []
        scores: list[dict[str, Any]] = []
        for tag, (recipe, number, exptime, hour, products, calibrations) in PLAN.items():
            start = noon + timedelta(hours=hour, minutes=self.random.uniform(0, 10))
            frames = self._frames(session, tag, night, start, number, exptime)
            state = states.get(tag, BlockState.DONE)
            mjd = mjd_of(start) + number * (exptime + 81) / 2 / 86400
            block = self._block(session, tag, recipe, night, start, mjd, number, state)
            made[tag] = block
            inputs = [
                {"block_id": block, "position": i, "role": tag, "kind": InputKind.RAW, "frame_id": frame}
                for i, frame in enumerate(frames)
            ]
            session.execute(insert(BlockInput), inputs)
            for position, (role, maker) in enumerate(calibrations):
                planned = states.get(maker, BlockState.DONE) is not BlockState.DONE
                self._calibration(session, block, 100 + position, role, made[maker], planned)
            if state is not BlockState.DONE:
                continue
            files = self._products(session, block, night, mjd, products)
            outliers = self._qc1(tag, night, mjd, block, files[products[0]], start, values, scores)
            if outliers:
                row = session.get(Block, block)
                assert row is not None
                row.score, row.n_outliers, row.grave_outliers = 1, outliers, True
        if values:
            session.execute(insert(Qc1Value), values)
        if scores:
            session.execute(insert(Score), scores)
        return made

    def _frames(
        self, session: Session, tag: str, night: date, start: datetime, number: int, exptime: float
    ) -> list[int]:
        rows = []
        lamps = {"ARC": ("Ne", "Xe", "HgCd")}.get(tag, ("",))
        for i in range(number):
            moment = start + timedelta(seconds=i * (exptime + 81))
            name = f"MUSE.{moment.isoformat(timespec='milliseconds').removesuffix('+00:00')}"
            rows.append(
                {
                    "id": self._next(Frame),
                    "dp_id": name,
                    "file_name": f"{name}.fits",
                    "path": f"/archive/{night}/{name}.fits",
                    "size": 863_000_000,
                    "mtime": moment.timestamp(),
                    "dpr_catg": "CALIB",
                    "dpr_type": {"FLAT": "FLAT,LAMP", "ARC": "WAVE"}.get(tag, tag),
                    "dpr_tech": "IFU",
                    "tag": tag,
                    "rule": {"BIAS": "bias", "FLAT": "flat_template", "ARC": "arc"}[tag],
                    "rules_version": "0" * 12,
                    "night": night,
                    "date_obs": moment,
                    "mjd_obs": mjd_of(moment),
                    "exptime": exptime,
                    "mjd_mid": mjd_of(moment) + exptime / 2 / 86400,
                    "lamps": lamps[i * len(lamps) // number],
                    "tpl_id": f"MUSE_cal_{tag.lower()}",
                    "tpl_start": start,
                    "tpl_expno": i + 1,
                    "tpl_nexp": number,
                    "unit_mask": unit_mask(self.units),
                    "ambient_temp": 12.5,
                    "ingested_at": moment + timedelta(minutes=5),
                    "header": {"DATE-OBS": moment.isoformat(), "DPR.CATG": "CALIB", "INS.MODE": MODE},
                    **SETUP,
                }
            )
        session.execute(insert(Frame), rows)
        return [row["id"] for row in rows]

    def _block(
        self,
        session: Session,
        tag: str,
        recipe: str,
        night: date,
        start: datetime,
        mjd: float,
        number: int,
        state: BlockState,
    ) -> int:
        identity = self._next(Block)
        done = state is BlockState.DONE
        name = f"MUSE.{start.isoformat(timespec='milliseconds').removesuffix('+00:00')}_{tag}"
        row = {
            "id": identity,
            "name": name,
            "group_key": f"{start:%Y-%m-%dT%H:%M:%S} {tag} {MODE} blue WFM r1 1x1",
            "recipe": recipe,
            "recipe_version": "1",
            "tag": tag,
            "night": night,
            "mjd_mid": mjd,
            "n_raw": number,
            "unit_mask": unit_mask(self.units),
            "state": state,
            "state_reason": "",
            "signature": f"{identity:064x}" if done else None,
            "plan_signature": f"{identity:064x}",
            "rules_hash": "0" * 12,
            "tries": 1 if done else 0,
            "created_at": start + timedelta(minutes=6),
            "started_at": start + timedelta(minutes=7) if done or state is BlockState.RUNNING else None,
            "finished_at": start + timedelta(minutes=8) if done else None,
            "duration": self.random.uniform(35, 60) if done else None,
            "score": 0 if done else None,
            "parameters": {},
            "progress": {},
            "plots": [],
            **SETUP,
        }
        session.execute(insert(Block), [row])
        changes = [(None, "ready", "planner"), ("ready", "queued", "dispatch"), ("queued", "running", "worker")]
        if done:
            changes.append(("running", "done", "worker"))
        session.execute(
            insert(Event),
            [
                {
                    "time": start + timedelta(minutes=6, seconds=i),
                    "kind": "block",
                    "subject": name,
                    "from_state": before,
                    "to_state": after,
                    "actor": actor,
                    "text": "",
                }
                for i, (before, after, actor) in enumerate(changes if done else changes[:1])
            ],
        )
        return identity

    def _calibration(self, session: Session, block: int, position: int, role: str, source: int, planned: bool) -> None:
        refused = [
            {
                "role": role,
                "candidate": f"MUSE.2026-10-{day:02d}T11:03:12.412_BIAS/{role}",
                "code": "farther",
                "reason": f"farther in time: {24.2 * (i + 1):.1f} h before",
                "age_days": -1.0 - i,
            }
            for i, day in enumerate((12, 11))
        ]
        session.execute(
            insert(BlockInput),
            [
                {
                    "block_id": block,
                    "position": position,
                    "role": role,
                    "kind": InputKind.PLANNED if planned else InputKind.PRODUCT,
                    "source_block_id": source,
                    "level": 0,
                    "age_days": -0.021 * (position - 99),
                    "rule": "bias-1" if role == "MASTER_BIAS" else "trace-1",
                    "reason": f"{role}: closest in time of 3 that match, inside the calibration plan (± 1.5 d)",
                    "refused": refused,
                }
            ],
        )

    def _products(
        self, session: Session, block: int, night: date, mjd: float, tags: Sequence[str]
    ) -> dict[str, dict[int, int]]:
        rows = []
        ids: dict[str, dict[int, int]] = {tag: {} for tag in tags}
        for tag in tags:
            for unit in self.units:
                identity = self._next(Product)
                ids[tag][unit] = identity
                rows.append(
                    {
                        "id": identity,
                        "block_id": block,
                        "tag": tag,
                        "unit": unit,
                        "file_name": f"{tag}-{unit:02d}.fits",
                        "path": f"/products/{night}/{block}/{tag}-{unit:02d}.fits",
                        "size": 202_000_000,
                        "sha256": f"{identity:064x}",
                        "datamd5": f"{identity:032x}",
                        "night": night,
                        "mjd_obs": mjd,
                        "mjd_mid": mjd,
                        "state": ProductState.PROVISIONAL,
                        "created_at": datetime(night.year, night.month, night.day, 12, tzinfo=UTC) + timedelta(days=1),
                        "header": {"PRO.CATG": tag},
                        **SETUP,
                    }
                )
        session.execute(insert(Product), rows)
        return ids

    def _qc1(
        self,
        tag: str,
        night: date,
        mjd: float,
        block: int,
        files: dict[int, int],
        start: datetime,
        values: list[dict[str, Any]],
        scores: list[dict[str, Any]],
    ) -> int:
        outliers = 0
        for table in TABLES_OF[tag]:
            for column, (centre, spread, drift, limits) in VALUES[table].items():
                parameter = self.parameters.get((table, column))
                if parameter is None:
                    continue
                axes = parameter.axes.split(",")
                tonight = self.random.gauss(0, drift) + drift * math.sin(night.toordinal() / 40)
                for unit in self.units:
                    for quadrant in range(1, 5) if "quadrant" in axes else (None,):
                        for slice_ in range(1, self.slices + 1) if "slice" in axes else (None,):
                            fixed = random.Random(f"{column} {unit} {quadrant} {slice_}").gauss(0, spread)
                            value = centre + fixed + tonight + self.random.gauss(0, drift)
                            wild = limits is not None and self.random.random() < self.outlier_rate
                            if wild and limits is not None:
                                value = limits[1] + 0.2 * abs(limits[1] - centre)
                            place = Position(unit=unit, quadrant=quadrant, slice=slice_)._asdict()
                            values.append(
                                {
                                    "parameter_id": parameter.id,
                                    "block_id": block,
                                    "product_id": files[unit],
                                    "mjd_obs": mjd,
                                    "value": value,
                                    "mode": MODE,
                                    "readout": "1",
                                    "hidden": False,
                                    **place,
                                }
                            )
                            if limits is not None:
                                outliers += wild
                                scores.append(
                                    {
                                        "parameter_id": parameter.id,
                                        "block_id": block,
                                        "product_id": files[unit],
                                        "value": value,
                                        "rule": "fixed-1",
                                        "rules_version": "0" * 12,
                                        "low": limits[0],
                                        "high": limits[1],
                                        "score": int(wild),
                                        "created_at": start + timedelta(minutes=8),
                                        **place,
                                    }
                                )
        return outliers


def add_quarantine(session: Session, night: date) -> None:
    """Two files that could not be ingested."""
    seen = datetime(night.year, night.month, night.day, 23, tzinfo=UTC)
    for name, reason, text in (
        (
            "MUSE.2026-11-01T10:00:00.000.fits",
            QuarantineReason.TRUNCATED,
            "the file is 1.2 MB shorter than its headers promise",
        ),
        ("notes.fits", QuarantineReason.NOT_FITS, "the file does not start with SIMPLE: it is not FITS"),
    ):
        session.add(
            QuarantinedFile(
                path=f"/archive/{night}/{name}",
                file_name=name,
                size=1000,
                mtime=seen.timestamp(),
                reason=reason,
                text=text,
                night=night,
                first_seen=seen,
                last_seen=seen,
                state=QuarantineState.HELD,
            )
        )


def add_daemons(session: Session, now: datetime, dead: WorkerKind | None = None) -> None:
    """Living daemons of each kind; ``dead`` one has been silent for an hour."""
    for kind in (WorkerKind.INGEST, WorkerKind.DISPATCH, WorkerKind.EXECUTE):
        seen = now - timedelta(hours=1) if kind is dead else now
        session.add(
            WorkerHeartbeat(
                name=f"{kind.value}@obs1",
                kind=kind,
                host="obs1",
                pid=4242,
                started_at=now - timedelta(days=1),
                last_seen=seen,
                doing="idle",
            )
        )


def fill_story(archive: Archive, last: date, nights: int = 100, **options: Any) -> None:
    """Months of good nights, then one in which something runs, waits, fails and is missing."""
    filler = Filler(archive, **options)
    filler.nights(last - timedelta(days=1), nights)
    now = datetime.now(UTC)
    with archive.write() as session:
        made = filler.night(session, last, {"FLAT": BlockState.RUNNING, "ARC": BlockState.WAITING})
        running = session.get_one(Block, made["FLAT"])
        running.started_at = now - timedelta(seconds=20)
        running.lease_owner, running.tries = "worker", 1
        running.progress = {
            f"{unit:02d}": {"phase": "combining rows", "fraction": 0.25 + 0.5 * (unit % 2)} for unit in filler.units
        }
        session.flush()
        add_quarantine(session, last)
        add_daemons(session, now)
        for frame in session.scalars(select(Frame).where(Frame.night == last)):
            frame.ingested_at = now
