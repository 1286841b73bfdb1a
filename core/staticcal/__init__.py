"""Static calibrations, built from published data, with their validity in time."""

from core.staticcal.lamps import LAMP_EXPTIME, LampLines, lamp_lines, lamp_of_ion
from core.staticcal.line_catalog import LineCatalog, build_line_catalog, write_line_catalog
from core.staticcal.store import StaticCal, choose_static, ensure_static, static_calibrations

__all__ = [
    "LAMP_EXPTIME",
    "LampLines",
    "LineCatalog",
    "StaticCal",
    "build_line_catalog",
    "choose_static",
    "ensure_static",
    "lamp_lines",
    "lamp_of_ion",
    "static_calibrations",
    "write_line_catalog",
]
