"""The page on the command-line tools as Markdown, from their usages: ``python -m core.tools.reference docs``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from core.tools import (
    badpix_commands,
    cube_filter,
    cube_join,
    dark_model,
    fill_image,
    geo_commands,
    image_fwhm,
    offset_list,
    pixtable_convert,
    pixtable_crop,
    pixtable_dump,
    pixtable_erase,
    product_commands,
    science_product,
    trace_commands,
    wave_commands,
)

__all__ = ["TOOLS", "ToolEntry", "main", "tools_page"]


@dataclass(frozen=True)
class ToolEntry:
    """One tool: what it is for, and the usage that it prints."""

    module: ModuleType
    usage: str
    summary: str

    @property
    def name(self) -> str:
        """The command."""
        return self.usage.split()[1]

    @property
    def exit_codes(self) -> str:
        """What the documentation of its module says of the exit codes."""
        paragraphs = (self.module.__doc__ or "").split("\n\n")
        text = next(text for text in paragraphs if text.startswith("Exit codes:"))
        return " ".join(text.replace("``", "`").split())


TOOLS: Final = (
    ToolEntry(
        trace_commands,
        trace_commands.SAMPLES_USAGE,
        "The traced edges and centres of slices (`TRACE_SAMPLES`, made by muse_flat with `--samples`) on the CCD, with "
        "the polynomials of a `TRACE_TABLE`, on a `MASTER_FLAT` if one is given. Crosses: left edges red, centres "
        "blue, right edges green; lines: the polynomials.",
    ),
    ToolEntry(
        trace_commands,
        trace_commands.WIDTHS_USAGE,
        "The widths of slices along the CCD, to see that the tracing has no sudden jumps. The colour goes from green "
        "at the left of the CCD to red at the right.",
    ),
    ToolEntry(
        wave_commands,
        wave_commands.RESIDUALS_USAGE,
        "A map of the residuals of all arc lines (`WAVECAL_RESIDUALS`, made by muse_wavecal with `--residuals`), blue "
        "to red, against CCD row or wavelength.",
    ),
    ToolEntry(
        wave_commands,
        wave_commands.COLUMN_USAGE,
        "The wavelengths of a slice, or of one CCD column, with the solution, or their residuals. The colour goes from "
        "green at the left of the slice to red at the right.",
    ),
    ToolEntry(
        geo_commands,
        geo_commands.PLOT_USAGE,
        "All slices of a `GEOMETRY_TABLE` where they lie in the field of view. The colour is that of the IFU, in turn "
        "red, gold and blue-grey; lines mark x = 0 and y = 0, and a slice at y = 0 has a blue rim.",
    ),
    ToolEntry(
        geo_commands,
        geo_commands.SMOOTH_USAGE,
        "A `GEOMETRY_TABLE` made more regular: within each stack of slices of each IFU, outliers in x, y, angle and "
        "width are put on a straight line, and values with large errors, too. What was changed is counted in "
        "`QC.GEO.SMOOTH`.",
    ),
    ToolEntry(
        badpix_commands,
        badpix_commands.DQ_USAGE,
        "The flagged pixels of a master calibration become a `BADPIX_TABLE`, or join one.",
    ),
    ToolEntry(
        badpix_commands,
        badpix_commands.ASCII_USAGE,
        "Bad pixels written down by hand become a `BADPIX_TABLE`, or join one.",
    ),
    ToolEntry(
        badpix_commands,
        badpix_commands.REGION_USAGE,
        "A region of bad pixels becomes a `BADPIX_TABLE`, or joins one.",
    ),
    ToolEntry(
        pixtable_dump,
        pixtable_dump.USAGE,
        "Rows of a pixel table as text, with exposure (0 if it is of one only), IFU, slice, and the place on the "
        "trimmed and on the raw frame. A table has many millions of rows: use `-c`.",
    ),
    ToolEntry(
        pixtable_crop,
        pixtable_crop.USAGE,
        "The rows of a pixel table that lie in a range of positions or wavelengths, both ends included, or in an IFU "
        "or slice. Positions are in the unit that it tells: pixels, radians, or degrees on the sky. The output has the "
        "form of the input.",
    ),
    ToolEntry(
        pixtable_erase,
        pixtable_erase.USAGE,
        "A pixel table without one slice of an IFU, in all of its exposures. The output has the form of the input.",
    ),
    ToolEntry(
        pixtable_convert,
        pixtable_convert.USAGE,
        "A pixel table in another [form](pixel-tables.md), bit for bit. A table whose positions and wavelengths are "
        "not exactly what the tables say has no compact form: the first column that is not is named.",
    ),
    ToolEntry(
        cube_join,
        cube_join.CONCATENATE_USAGE,
        "One cube of cubes of the same field whose wavelengths adjoin: the first plane of each is one step after the "
        "last one of the cube before (7.3.4). Axes of wavelengths are linear; images of the cubes are left out, header "
        "and QC are those of the first. If all cubes have `DQ` so has the output, otherwise flagged voxels become NaN. "
        "A cube that does not fit is named and nothing is written, while the reference pipeline leaves it out.",
    ),
    ToolEntry(
        cube_join,
        cube_join.COMBINE_USAGE,
        "One cube of cubes of the same grid, each filled between its own `lambdamin` and `lambdamax`, which are read "
        "from the parameters of its recipe in its header (7.3.3). The plane at each inner limit is left out. Of planes "
        "that two cubes have, those of the shorter wavelengths are taken; a gap is filled from the same cube, with a "
        "warning if its planes are outside of its limits. The order of the cubes does not matter. For headers, `DQ` "
        "and cubes that do not fit see muse_cube_concatenate.",
    ),
    ToolEntry(
        cube_filter,
        cube_filter.USAGE,
        "Images of a cube through filters (7.3.5), with the part of the filter that the cube covers and the zero "
        "points of the list. A filter that lets nothing of the cube through, or is not in the list, is named and left "
        "out. With `-x` the cube is written anew beside the old file and then takes its place.",
    ),
    ToolEntry(
        product_commands,
        product_commands.MERGE_USAGE,
        "Products of single IFUs become merged ones: those whose names differ after the last `-` only, like "
        "`MASTER_BIAS-01.fits` and `MASTER_BIAS-02.fits`, become one file, `MASTER_BIAS.fits`. Pixel tables are left "
        "out.",
    ),
    ToolEntry(
        product_commands,
        product_commands.SPLIT_USAGE,
        "A merged product becomes a file `NAME-nn.fits` for each of its IFUs, whatever its extensions are.",
    ),
    ToolEntry(
        product_commands,
        product_commands.SIGN_USAGE,
        "Checksums of all extensions, `DATAMD5`, and `PIPEFILE` with the name as given, in any FITS file.",
    ),
    ToolEntry(
        offset_list,
        offset_list.USAGE,
        "An `OFFSET_LIST` with date and time of exposures, whose offsets and scales of the flux (NaN) are to be filled "
        "in. A file that cannot be read has an empty row.",
    ),
    ToolEntry(
        fill_image,
        fill_image.USAGE,
        "An image of one IFU with one value in all pixels, flagged ones too, for instance a flat field of 1. The "
        "header is that of the input: `PRO.CATG` is to be changed by hand.",
    ),
    ToolEntry(
        image_fwhm,
        image_fwhm.USAGE,
        "The widths of the sources of an image, measured at half of their height and by a Gaussian that is fitted, and "
        "their mean, scatter and median. Sources that cannot be relied upon are named on the error stream. A source "
        "without a direct width (-1) does not count in the mean of these.",
    ),
    ToolEntry(
        science_product,
        science_product.USAGE,
        "Whether cubes (`format=sdpCube` of muse_scipost and muse_exp_combine, or from elsewhere) keep the rules of "
        "ESO's Science Data Products Standard for 3D data cubes; each rule that is not kept is named. The validation "
        "of the archive has the last word. Not a tool of the reference pipeline.",
    ),
    ToolEntry(
        dark_model,
        dark_model.USAGE,
        "The smooth models that muse_dark makes with `model`, of the images of a merged `MASTER_DARK`.",
    ),
)

_INTRODUCTION: Final = """\
# Command-line tools

<!-- generated by `python -m core.tools.reference docs`: change the usages in core/tools, not this page -->

Command lines as in the MUSE Pipeline User Manual, sections 7.2 and 7.3; those that it does not describe as in
the reference pipeline. The plots are on the block pages as well.
Without arguments a tool prints its usage. In place of gnuplot, the plotting tools use matplotlib: by default they open
a window, for which Python needs a toolkit (`tkinter`, or `pip install PyQt6`); `-o FILE` writes a PNG, PDF or SVG file
and needs neither.
"""


def tools_page() -> str:
    """The page."""
    sections = [f"## {tool.name}\n\n{tool.summary}\n\n```\n{tool.usage}\n```\n\n{tool.exit_codes}\n" for tool in TOOLS]
    return "\n".join([_INTRODUCTION, *sections])


def main(arguments: list[str] | None = None) -> int:
    """Write the page into the directory given."""
    (target,) = sys.argv[1:] if arguments is None else arguments
    (Path(target) / "tools.md").write_text(tools_page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
