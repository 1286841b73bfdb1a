"""Log lines of recipes (MUSE manual, section 8.3): time, level, recipe, part, text."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any, Final, TextIO

from core.errors import ParameterError
from core.recipes.parts import Part

__all__ = ["LEVELS", "LogSettings", "Logger", "configure_logging", "recipe_logger"]

Logger = logging.LoggerAdapter[Any] | logging.Logger
LEVELS: Final = {
    "off": logging.CRITICAL + 10,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
_NAMES: Final = {logging.ERROR: "ERROR", logging.WARNING: "WARNING", logging.INFO: "INFO", logging.DEBUG: "DEBUG"}
LOGGER_NAME: Final = "core.recipes.run"
logging.getLogger(LOGGER_NAME).addHandler(logging.NullHandler())


class _RecipeFormatter(logging.Formatter):
    """``16:02:11 [ INFO  ] muse_bias: [ifu=01] text``; dates too in files."""

    def __init__(self, *, with_date: bool) -> None:
        super().__init__()
        self._format = "%Y-%m-%dT%H:%M:%S" if with_date else "%H:%M:%S"

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime(self._format, time.gmtime(record.created))
        mark = getattr(record, "part", "")
        where = f"[{mark}] " if mark else ""
        level = _NAMES.get(record.levelno, record.levelname)
        return f"{when} [{level:^7s}] {getattr(record, 'recipe', 'muserex')}: {where}{record.getMessage()}"


class LogSettings:
    """Where log lines go.

    Parameters
    ----------
    msg_level : str
        Lowest level shown on the terminal: ``off``, ``error``, ``warning``, ``info``, ``debug``.
    log_level : str
        Lowest level written to the log file.
    log_file : pathlib.Path, optional
        Appended to; several processes may write to it, each line is one write.

    Raises
    ------
    ParameterError
        For an unknown level.
    """

    def __init__(self, msg_level: str = "info", log_level: str = "info", log_file: Path | None = None) -> None:
        for name, level in (("msg-level", msg_level), ("log-level", log_level)):
            if level not in LEVELS:
                raise ParameterError(f"{name}={level} is not accepted: it takes {', '.join(LEVELS)}", parameter=name)
        self.msg_level, self.log_level, self.log_file = msg_level, log_level, log_file


def configure_logging(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Set up the handlers of this process."""
    logger = logging.getLogger(LOGGER_NAME)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(logging.NullHandler())  # with everything off, the library's handler of last resort must not speak
    if settings.msg_level != "off":
        terminal = logging.StreamHandler(stream or sys.stderr)
        terminal.setLevel(LEVELS[settings.msg_level])
        terminal.setFormatter(_RecipeFormatter(with_date=False))
        logger.addHandler(terminal)
    if settings.log_file is not None and settings.log_level != "off":
        file = logging.FileHandler(settings.log_file, mode="a", encoding="utf-8")
        file.setLevel(LEVELS[settings.log_level])
        file.setFormatter(_RecipeFormatter(with_date=True))
        logger.addHandler(file)


def recipe_logger(recipe: str, part: Part | None = None) -> logging.LoggerAdapter[Any]:
    """A logger whose lines carry recipe and part."""
    mark = "" if part is None else part.log_mark
    return logging.LoggerAdapter(logging.getLogger(LOGGER_NAME), {"recipe": recipe, "part": mark})
