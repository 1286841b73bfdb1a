"""The cases of benchmarks/options.py for muse_twilight and muse_scibasic."""

from __future__ import annotations

import numpy as np
from astropy.io import fits
from option_cases import Case, Raws, bad_pixels, calibration, changed_card
from scene import Frames, Scene

__all__ = ["SKY_CASES"]

_MASK_SIZE, _MASKED = (300, 300), 45  # of a vignetting mask, and of the corner that it names [pix]


def illumination(scene: Scene) -> Frames:
    """The lamp flat of the night."""
    return [(path, "ILLUM") for path in scene.sky["ILLUM"]]


def vignetting_mask(scene: Scene) -> Frames:
    """A mask of the lower right corner."""
    mask = np.zeros(_MASK_SIZE, np.int32)
    y, x = np.indices(_MASK_SIZE)
    mask[x - y > _MASK_SIZE[1] - _MASKED] = 1
    path = scene.work / "vignetting_mask.fits"
    fits.PrimaryHDU(mask).writeto(path, overwrite=True)
    return [(path, "VIGNETTING_MASK")]


def sky_cube(scene: Scene) -> str:
    """A cube of the twilight that is made already."""
    return str(scene.calibration("DATACUBE_SKYFLAT"))


def narrow_cube(scene: Scene) -> str:
    """The same, which says to be of the narrow field."""
    path = scene.work / "datacube-narrow.fits"
    with fits.open(scene.calibration("DATACUBE_SKYFLAT")) as hdus:
        hdus[0].header["HIERARCH ESO INS MODE"] = "NFM-AO-N"
        hdus.writeto(path, overwrite=True)
    return str(path)


def two_twilights(scene: Scene) -> Frames:
    """The cube of the twilight, and one that is brighter at one side of the field, with other fluxes."""
    first = scene.calibration("TWILIGHT_CUBE")
    second = scene.work / "twilight-2.fits"
    with fits.open(first) as hdus:
        hdus["DATA"].data *= np.linspace(0.9, 1.1, hdus["DATA"].shape[2], dtype=np.float32)
        for ifu in scene.field:
            hdus[0].header[f"ESO DRS MUSE FLAT FLUX SKY{ifu}"] *= 1.0 + 0.01 * ifu
        hdus.writeto(second, overwrite=True)
    return [(first, "TWILIGHT_CUBE"), (second, "TWILIGHT_CUBE")]


def in_mode(mode: str) -> Raws:
    """Copies that say to be of another mode of the instrument, where the pixels are taken as they are."""
    return lambda scene, paths: changed_card("HIERARCH ESO INS MODE", *[mode] * len(paths))(scene, paths)


_ANY_MODE = {"MUSE_DEBUG_IGNORE_INSMODE": "1"}  # the calibrations are of another one
_COMBINE = (
    "--combine=average",
    "--combine=median",
    "--combine=minmax",
    "--combine=sigclip --lsigma=1.2 --hsigma=1.5",
)
_COMBINE_OF_5 = "--combine=minmax --nlow=1 --nhigh=2 --nkeep=2"
_FITTED_OVERSCAN = "--overscan=vpoly:5 --ovscreject=fit:3 --ovscsigma=3 --ovscignore=8"
_OF_24 = ",".join(f"{1 + 0.02 * (ifu % 5):g}" for ifu in range(24))

# -- muse_twilight -----------------------------------------------------------------------------------------------------
_TWILIGHT_OPTIONS = (
    "",
    "--overscan=none",
    "--overscan=offset",
    _FITTED_OVERSCAN,
    *_COMBINE,
    "--scale=true",
    "--combine=average --scale=true",
    *(f"--resample={method}" for method in ("nearest", "linear", "quadratic", "renka", "lanczos")),
    *(f"--crtype={kind} --crsigma=5" for kind in ("iraf", "mean", "median")),
    "--crsigma=-1",
    "--lambdamin=5500 --lambdamax=8000",
    "--dlambda=100",
    "--dlambda=1000",
)
_ORDERS = ("--xorder=0 --yorder=1", "--xorder=3 --yorder=4")
_SKIP = "(MUSE_TWILIGHT_SKIP)"
_MASK_INTENT = {"--vignmaskedges=0": "vignsmooth=polyfit"}
_WITH_MASK = (
    "",
    "--vignmaskedges=0",
    "--vignmaskedges=0.1 --vignsmooth=polyfit --vignxpar=2 --vignypar=1",
    "--vignsmooth=gaussian",
    "--vignsmooth=gaussian --vignxpar=4 --vignypar=6",
    "--vignsmooth=median",
    "--vignsmooth=median --vignxpar=9 --vignypar=3",
)
_NARROW = ("", "--vignnfmmask=10", "--vignnfmmask=0 --vignsmooth=gaussian", "--vignsmooth=median")
_TWILIGHT = (
    *(Case("twilight", options) for options in _TWILIGHT_OPTIONS),
    Case("twilight", _COMBINE_OF_5, n=5, note="(5 frames)"),
    Case("twilight", extra=(illumination,), note="with ILLUM"),
    Case("twilight", extra=(calibration("MASTER_DARK"),), note="with MASTER_DARK"),
    Case("twilight", extra=(bad_pixels,), note="with two BADPIX_TABLE"),
    Case("twilight", variables={"MUSE_TWILIGHT_SCALES": _OF_24}, note="(MUSE_TWILIGHT_SCALES)"),
    *(Case("twilight", raws=in_mode(mode), variables=_ANY_MODE, note=f"({mode})") for mode in ("WFM-AO-N", "NFM-AO-N")),
    *(Case("twilight", options, variables={"MUSE_TWILIGHT_SKIP": sky_cube}, note=_SKIP) for options in _ORDERS),
    *(
        Case(
            "twilight",
            options,
            extra=(vignetting_mask,),
            variables={"MUSE_TWILIGHT_SKIP": sky_cube},
            note=f"with VIGNETTING_MASK {_SKIP}",
            intent=_MASK_INTENT.get(options, ""),
        )
        for options in _WITH_MASK
    ),
    *(
        Case(
            "twilight", options, variables={"MUSE_TWILIGHT_SKIP": narrow_cube, **_ANY_MODE}, note=f"(NFM-AO-N) {_SKIP}"
        )
        for options in _NARROW
    ),
    Case("twilight", n=2, note="(2 frames)", fails=True),
)

# -- muse_scibasic -----------------------------------------------------------------------------------------------------
_SCIBASIC_OPTIONS = (
    "",
    "--overscan=none --skylines=none",
    "--overscan=offset --crop=false",
    _FITTED_OVERSCAN,
    "--cr=dcr",
    "--cr=dcr --xbox=25 --ybox=60 --passes=3 --thres=4.5",
    "--resample=true",
    "--resample=true --dlambda=2.5 --saveimage=false",
    "--skylines=5577.339 --skyhalfwidth=3 --skybinsize=0.05",
    "--skylines=5577.339,6300.304,8399.17 --skyhalfwidth=8 --skybinsize=0.3 --skyreject=5.,2.,1",
    "--skylines=5577.339,-6867.2",
    "--skylines=9990.",
    "--skyreject=3.,3.,3",
    "--skyreject=15.,15.,0",
    "--merge=true",
)
_SCIBASIC_INTENT = {
    "--resample=true": "resample=true",
    "--resample=true --dlambda=2.5 --saveimage=false": "resample=true",
    "--overscan=offset --crop=false": "crop=false",
}
_EXPTIMES = changed_card("EXPTIME", 600.0, 300.0, 900.0)
_SCIBASIC = (
    *(Case("scibasic", options, n=1, intent=_SCIBASIC_INTENT.get(options, "")) for options in _SCIBASIC_OPTIONS),
    Case("scibasic", "--resample=true", n=1, tag="STD", note="STD", intent="resample=true"),
    *(Case("scibasic", n=1, tag=tag, note=tag) for tag in ("SKY", "ASTROMETRY")),
    Case("scibasic", extra=(illumination,), note="with ILLUM (3 exposures)"),
    Case("scibasic", n=1, extra=(illumination, calibration("TWILIGHT_CUBE")), note="with ILLUM, TWILIGHT_CUBE"),
    Case("scibasic", n=1, extra=(two_twilights,), note="with two TWILIGHT_CUBE"),
    Case("scibasic", n=1, extra=(calibration("MASTER_DARK"), bad_pixels), note="with MASTER_DARK, two BADPIX_TABLE"),
    *(Case("scibasic", options, note="(3 exposures)") for options in _COMBINE),
    Case("scibasic", "--combine=minmax --nlow=0 --nhigh=2 --nkeep=1", note="(3 exposures)"),
    Case("scibasic", "--combine=average", raws=_EXPTIMES, note="(600, 300, 900 s)"),
    Case("scibasic", "--combine=average --scale=false", raws=_EXPTIMES, note="(600, 300, 900 s)"),
    Case("scibasic", "--combine=average", extra=(illumination,), note="with ILLUM (3 exposures)"),
    *(
        Case("scibasic", n=1, raws=in_mode(mode), variables=_ANY_MODE, note=f"({mode})")
        for mode in ("WFM-NOAO-E", "WFM-AO-E", "WFM-AO-N", "NFM-AO-N")
    ),
    Case("scibasic", "--resample=true", n=1, tag="REDUCED", note="REDUCED", intent="resample=true"),
    Case("scibasic", n=1, variables={"MUSE_PIXTABLE_SAVE_AS_TABLE": "1"}, note="(MUSE_PIXTABLE_SAVE_AS_TABLE)"),
)

SKY_CASES: tuple[Case, ...] = (*_TWILIGHT, *_SCIBASIC)
