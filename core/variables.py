"""Variables of the environment that are read, but are no setting of an installation (`core.settings`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["EXPERT_VARIABLE", "OTHER_VARIABLES"]

EXPERT_VARIABLE: Final = "MUSE_EXPERT_USER"

OTHER_VARIABLES: Final[Mapping[str, str]] = {
    "CASCADE_RECIPES": "Further recipes: name=module:Class,name=module:Class.",
    "CASCADE_PROCEDURES": "Further QC procedures: name=module:PROCEDURE,name=module:PROCEDURE.",
    "OMP_NUM_THREADS": "Cores that one recipe may use; all if not set.",
    "NUMBA_CACHE_DIR": "Where compiled kernels are kept; beside the modules, or in the user's cache, if not set.",
    EXPERT_VARIABLE: (
        "Set: muserex shows hidden parameters, too; pixel tables are made without slices that have no trace or "
        "wavelengths, and of geometry tables without angle and width."
    ),
    "MUSE_DEBUG_IGNORE_INSMODE": "A number above 0: frames and masters of another instrument mode are taken.",
    "MUSE_DEBUG_IGNORE_READOUT": "A number above 0: masters of another read-out mode are taken.",
    "MUSE_BASICPROC_SKIP_GAIN_OVERRIDE": "A number above 0: the gains of the headers, not of a table, are used.",
    "MUSE_BASICPROC_SKIP_NONLIN_CORR": "A number above 0: the non-linearity is not corrected.",
    "MUSE_TWILIGHT_SCALES": "24 numbers: how bright the IFUs are for muse_twilight, in place of what it measures.",
    "MUSE_TWILIGHT_SKIP": "A DATACUBE_SKYFLAT that muse_twilight smooths, instead of making one.",
    "MUSE_PIXTABLE_SAVE_AS_TABLE": "A number above 0: pixel tables are binary tables, not images.",
    "MUSE_GEOMETRY_MASK_ROTATION": "Rotation of a pinhole mask whose rows stand on a diagonal (deg).",
    "MUSE_GEOMETRY_PINHOLE_DY": "Vertical distance of the pinholes (mm) instead of the measured one.",
    "MUSE_GEOMETRY_STD_GAP": "A number above 0: gaps between slices by the central pinholes, not by the outer ones.",
    "MUSE_GEOMETRY_HORI_OFFSETS": "Further shifts to the left (pix) of the IFUs above the first, second, ...: a,b,c.",
    "MUSE_GEOMETRY_NO_INVERSION": "A number above 0: y and angles of the geometry as the mask has them, downwards.",
    "MUSE_GEOMETRY_SKIP": "2: spots tables of the output directory are used, not measured again; 1: reduced exposures.",
    "PGPASSWORD": "Password of the database, so that it need not stand in the URL (libpq reads it).",
    "TMPDIR": "Scratch of muserex --compile and of exports; /tmp if not set.",
    "NO_COLOR": "Set: the terminal shows no colours.",
}
