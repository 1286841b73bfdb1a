"""The cases of benchmarks/options.py for the recipes from pixel tables to cubes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from option_cases import Case
from scene import Frames, Scene

__all__ = ["SCIENCE_CASES"]


def offsets(scene: Scene) -> Frames:
    """Offsets and fluxes of the exposures of the object that are no small ones."""
    paths = scene.raw("PIXTABLE_OBJECT")
    dates = [(fits.getval(path, "DATE-OBS"), fits.getval(path, "MJD-OBS")) for path in paths]
    columns = [
        fits.Column("DATE_OBS", "23A", array=[day for day, _ in dates]),
        fits.Column("MJD_OBS", "D", unit="d", array=[mjd for _, mjd in dates]),
        *(
            fits.Column(name, "D", unit="deg", array=[0.0, *[shift] * (len(dates) - 1)])
            for name, shift in (("RA_OFFSET", 2.5e-4), ("DEC_OFFSET", -1.5e-4))
        ),
        fits.Column("FLUX_SCALE", "D", array=[1.0, *[1.1] * (len(dates) - 1)]),
    ]
    path = scene.work / "offset_list.fits"
    table = fits.BinTableHDU.from_columns(columns)
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)
    return [(path, "OFFSET_LIST")]


def coarser_wcs(scene: Scene) -> Frames:
    """An OUTPUT_WCS of coarser spaxels around the field of an exposure."""
    path: Path = scene.work / "output_wcs.fits"
    header = fits.getheader(scene.raw("IMAGE_FOV")[0], "DATA")
    out = fits.Header()
    for axis in (1, 2):
        for key in ("CTYPE", "CUNIT", "CRVAL"):
            out[f"{key}{axis}"] = header[f"{key}{axis}"]
        out[f"CRPIX{axis}"] = header[f"CRPIX{axis}"] / 1.5
    out["CD1_1"], out["CD1_2"], out["CD2_1"], out["CD2_2"] = -8.3333e-05, 0.0, 0.0, 8.3333e-05
    image = fits.ImageHDU(np.zeros((34, 40), np.uint8), out)  # the reference takes no header without axes
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path, overwrite=True)
    return [(path, "OUTPUT_WCS")]


_NEAR = "--lambdamin=6200 --lambdamax=6400"  # some 160 planes
_STILL = f"{_NEAR} --skymethod=none"
# Without a velocity: the reference takes the longitude for one to the west, and other shifts are rounded otherwise.
_PLAIN = f"{_STILL} --rvcorr=none"
_RESAMPLED = (
    "",
    "--resample=nearest",
    "--resample=linear",
    "--resample=quadratic",
    "--resample=renka",
    "--resample=renka --rc=2.0",
    "--resample=lanczos",
    "--resample=lanczos --ld=2",
    "--pixfrac=0.6,1.0",
    "--crtype=iraf --crsigma=5",
    "--crtype=mean --crsigma=5",
    "--crtype=median --crsigma=5",
    "--crsigma=-1",
    "--dx=0.3 --dy=0.4 --dlambda=2.5",
)
_CORRECTED = (
    "--darcheck=check",
    "--astrometry=false",
    "--lambdaref=-1",
    "--weight=none",
    "--format=xCube",
    "--filter=white",
    "--save=cube,individual,positioned",
)
_SCIPOST = (
    *(Case("scipost", f"{_PLAIN} {options}".strip(), n=1) for options in (*_RESAMPLED, *_CORRECTED)),
    *(
        Case("scipost", f"{_STILL} --resample=linear --rvcorr={kind}", n=1, intent="TEL.GEOLON")
        for kind in ("bary", "helio", "geo")
    ),
    Case("scipost", _PLAIN, n=1, extra=(coarser_wcs,), note="with OUTPUT_WCS"),
    *(
        Case("scipost", f"{_PLAIN} {options}".strip(), n=2, extra=(offsets,), note="with OFFSET_LIST (2 exposures)")
        for options in ("", "--weight=none", "--save=cube,combined")
    ),
    *(
        Case("scipost", f"{_NEAR} --rvcorr=none --skymethod=simple {options}".strip(), n=1)
        for options in (
            "",
            "--skymodel_fraction=0.3 --skymodel_ignore=0.1",
            "--sky_crsigma=5.,5.",
            "--save=cube,skymodel",
        )
    ),
)
_COMBINE = (
    *(Case("exp_combine", f"{_NEAR} {options}".strip(), n=2) for options in _RESAMPLED),
    *(Case("exp_combine", f"{_NEAR} --weight={kind}", n=2) for kind in ("none", "fwhm")),
    Case("exp_combine", f"{_NEAR} --format=xCube --filter=white --save=cube,combined", n=2),
    Case("exp_combine", _NEAR, n=2, extra=(offsets,), note="with OFFSET_LIST"),
    Case("exp_combine", _NEAR, n=2, extra=(coarser_wcs,), note="with OUTPUT_WCS"),
)
_STANDARD = tuple(
    Case("standard", options, n=1)
    for options in (
        "",
        "--profile=gaussian",
        "--profile=circle",
        "--profile=square",
        "--select=flux",
        "--smooth=none",
        "--smooth=median",
        "--lambdamin=5500 --lambdamax=8500",
        "--lambdaref=-1 --darcheck=check",
        "--filter=none",
    )
)
_ALIGN = tuple(
    Case("exp_align", f"--srcmin=3 {options}".strip(), n=2)
    for options in (
        "",
        "--threshold=8 --fwhm=4",
        "--weight=false",
        "--rsearch=10.,2. --nbins=30",
        "--bkgignore=0.2 --bkgfraction=0.5 --step=0.3 --iterations=50 --threshold=100",
        "--srcmax=4",
        "--roundmin=-0.5 --roundmax=0.5 --sharpmin=0.3 --sharpmax=0.9",
        "--bpixdistance=2",
        "--expmap=true",
        "--override_detection=true",
    )
)

SCIENCE_CASES: tuple[Case, ...] = (*_STANDARD, *_SCIPOST, *_ALIGN, *_COMBINE)
