"""What the cases of benchmarks/options.py work on: seeded raw frames and calibrations by the reference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from runs import CALIBRATIONS, NIGHT, OF_THE_FIELD, RAW_TAG, both_pipelines, product_path, raw_frames, run_recipe
from starfield import EXPOSURES, STANDARD, STATICS, write_statics_of_field

from core.ccd.geometry import Detector
from core.instruments.muse.facts import PORT_NY
from core.simulator.night import NightPlan, simulate_night
from core.simulator.programme import SkyPlan
from core.simulator.statics import write_geometry_table
from core.staticcal.line_catalog import write_line_catalog

__all__ = ["Frames", "Scene"]

Frames = list[tuple[Path, str]]

_MAKER = {
    "MASTER_BIAS": "bias",
    "MASTER_DARK": "dark",
    "MASTER_FLAT": "flat",
    "TRACE_TABLE": "flat",
    "WAVECAL_TABLE": "wavecal",
    "DATACUBE_SKYFLAT": "twilight",
    "TWILIGHT_CUBE": "twilight",
    "OBJECT_RED": "scibasic",
    "STD_RESPONSE": "standard",
    "STD_TELLURIC": "standard",
}
_NUMBERED = ("OBJECT_RED", "STD_RESPONSE", "STD_TELLURIC")
_OF_THE_DAY = ("BIAS", "DARK", "FLAT", "ARC")


@dataclass
class Scene:
    """Frames and calibrations in a working directory, made when first asked for and found there later.

    Attributes
    ----------
    work : pathlib.Path
    ifu : int
    seed : int
    mode : str
        INS.MODE
    rows : int
        Rows of a detector port; fewer than the full number are the central cut-out.
    others : tuple of int
        IFUs that are seen together with this one where the whole field is reduced.
    """

    work: Path
    ifu: int = 12
    seed: int = 1
    mode: str = "WFM-NOAO-N"
    rows: int = PORT_NY
    others: tuple[int, ...] = (1,)  # the reference ends without IFU 1

    @property
    def height(self) -> int:
        """Rows of a trimmed image."""
        return 2 * self.rows

    @cached_property
    def raws(self) -> dict[str, list[Path]]:
        """Raw frames of the day by tag: 5 of BIAS, DARK and FLAT, one ARC per lamp."""
        plan = NightPlan(n_bias=5, n_dark=5, n_flat=5, n_arc=1, n_illum=0)
        return self._simulated("raw", [self.ifu], plan)

    @cached_property
    def sky(self) -> dict[str, list[Path]]:
        """Raw frames of the night by tag, of all IFUs of the field: 5 of SKYFLAT, 3 of OBJECT, else one."""
        sky = SkyPlan(n_skyflat=5, n_std=1, n_astrometry=1, n_object=3, n_sky=1)
        plan = NightPlan(n_bias=0, n_dark=0, n_flat=0, n_arc=0, n_illum=1, sky=sky)
        return self._simulated("sky", self.field, plan)

    @cached_property
    def statics(self) -> dict[str, Path]:
        """Static calibrations of the field of stars, by tag."""
        return write_statics_of_field(self.work / "field", STANDARD)

    @property
    def field(self) -> tuple[int, ...]:
        """The IFUs of the field."""
        return tuple(sorted({self.ifu, *self.others}))

    def of_ifu(self, ifu: int) -> Scene:
        """The same for another IFU."""
        return self if ifu == self.ifu else replace(self, work=self.work / f"ifu-{ifu:02d}", ifu=ifu)

    @cached_property
    def catalog(self) -> Path:
        """LINE_CATALOG."""
        return write_line_catalog(self.work / "line_catalog.fits")

    @cached_property
    def geometry(self) -> Path:
        """The true GEOMETRY_TABLE."""
        return write_geometry_table(self.work / "geometry_table.fits", self.seed)

    def raw(self, tag: str) -> list[Path]:
        """Raw frames of the day or of the night; images that were reduced before for ``REDUCED``."""
        if tag == "REDUCED":
            return [self.calibration("OBJECT_RED")]
        if tag.startswith("PIXTABLE_") or tag == "IMAGE_FOV":
            return self._of_the_field(tag)
        return (self.raws if tag in _OF_THE_DAY else self.sky)[tag]

    def calibration(self, tag: str) -> Path:
        """A calibration made by the reference with its default options, from all raw frames."""
        if tag == "LINE_CATALOG":
            return self.catalog
        if tag == "GEOMETRY_TABLE":
            return self.geometry
        if tag in STATICS:
            return self.statics[tag]
        stem = f"{tag}_0001" if tag in _NUMBERED else tag
        path = product_path(self.work / "calibrations", stem, self.ifu)
        if not path.exists():
            self._make(_MAKER[tag], path)
        return path

    def frames(self, recipe: str, raws: list[Path], tag: str = "") -> Frames:
        """A set of frames: raw ones (of another tag than the recipe's first) and the calibrations that it needs."""
        found = [(path, tag or RAW_TAG[recipe]) for path in raws]
        ifus = self.field if recipe == "twilight" else (self.ifu,)
        scenes = [self.of_ifu(ifu) for ifu in ifus]
        for need in CALIBRATIONS[recipe]:
            if need in ("GEOMETRY_TABLE", "LINE_CATALOG", *STATICS):
                found.append((self.calibration(need), need))
            else:
                found += [(scene.calibration(need), need) for scene in scenes]
        return found

    def _of_the_field(self, tag: str) -> list[Path]:
        """Pixel tables of the field of stars; what the reference made of those of the object."""
        if tag in ("IMAGE_FOV", "PIXTABLE_REDUCED"):
            tables = self.raw("PIXTABLE_OBJECT")
            names = [f"{tag}_{number:04d}.fits" for number in range(1, len(tables) + 1)]
            paths = [self.work / "calibrations" / name for name in names]
            for number, (path, table) in enumerate(zip(paths, tables, strict=True), start=1):
                if not path.exists():
                    self._reduce(table, number)
            return paths
        found = []
        for number, exposure in enumerate(EXPOSURES[tag], start=1):
            path = self.work / "field" / f"{tag}_{number:04d}.fits"
            path.parent.mkdir(exist_ok=True)
            found.append(path if path.exists() else exposure.write(path))
        return found

    def _reduce(self, table: Path, number: int) -> None:
        """Correct a pixel table of an object, and keep it with the picture of its field under its number."""
        home = self.work / "calibrations" / f"exposure-{number}"
        _, reference = both_pipelines(self.work)
        reference.products = home
        frames = self.frames("scipost", [table])
        words = ["--skymethod=none", "--save=individual,cube"]
        if run_recipe(reference, "scipost", frames, words, label=f"calibration-scipost-{number}").code:
            raise SystemExit(f"the reference failed to reduce {table.name}: see the log in {self.work}")
        for tag in ("PIXTABLE_REDUCED", "IMAGE_FOV"):
            (home / f"{tag}_0001.fits").replace(home.parent / f"{tag}_{number:04d}.fits")

    def _make(self, recipe: str, path: Path) -> None:
        _, reference = both_pipelines(self.work)
        reference.products = path.parent
        raws = self.raw(RAW_TAG[recipe])
        frames = self.frames(recipe, raws[:1] if recipe == "scibasic" else raws)
        words = [] if recipe in OF_THE_FIELD else [f"--nifu={self.ifu}"]
        usage = run_recipe(reference, recipe, frames, words, label=f"calibration-{recipe}")
        if usage.code or not path.exists():
            raise SystemExit(f"the reference failed to make {path.name}: see the log in {self.work}")

    def _simulated(self, name: str, ifus: Iterable[int], plan: NightPlan) -> dict[str, list[Path]]:
        directory = self.work / name
        paths = sorted(directory.glob("*.fits"))
        if not paths:
            detector = Detector(ny=self.rows)
            paths = simulate_night(
                directory, NIGHT, list(ifus), plan, mode=self.mode, seed=self.seed, detector=detector
            )
        return raw_frames(paths)
