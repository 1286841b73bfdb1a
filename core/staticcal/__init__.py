"""Static calibrations: built from published data, and found in directories with their validity in time."""

from core.staticcal.directory import StaticFault, StaticFile, StaticListing, list_statics
from core.staticcal.lamps import LAMP_EXPTIME, LampLines, lamp_lines, lamp_of_ion
from core.staticcal.line_catalog import LineCatalog, build_line_catalog, write_line_catalog

__all__ = [
    "LAMP_EXPTIME",
    "LampLines",
    "LineCatalog",
    "StaticFault",
    "StaticFile",
    "StaticListing",
    "build_line_catalog",
    "lamp_lines",
    "lamp_of_ion",
    "list_statics",
    "write_line_catalog",
]
