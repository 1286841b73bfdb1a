"""One taxonomy of errors for the whole project.

Every failure that a user may meet is a `MuseError`: it names the thing that went wrong (file, keyword,
rule, parameter), carries a stable ``error_type`` that crosses HTTP unchanged, and says whether trying
again can help. `RetriableError` and `NonRetriableError` are types, so that workers decide by class.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import Any, ClassVar, Final

__all__ = [
    "DISK_FULL",
    "BadFitsError",
    "CalibrationMismatchError",
    "ChipNotLiveError",
    "ClassificationError",
    "DataError",
    "DeclarationError",
    "MissingInputError",
    "MissingKeywordError",
    "MuseError",
    "NonRetriableError",
    "NotFoundError",
    "ParameterError",
    "ProductStoreError",
    "RetriableError",
    "StateConflictError",
    "TracingError",
    "WavelengthError",
    "error_context",
    "error_kind",
]

DISK_FULL: Final = "disk_full"
"""``error_type`` of whatever failed as there was no room on a disk."""

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class MuseError(Exception):
    """Base of all errors of the project.

    Parameters
    ----------
    message : str
        One sentence with the cause and, where there is one, the cure.
    **context
        The things concerned: ``file``, ``keyword``, ``rule``, ``parameter``, ``ifu``, ...
    """

    error_type: ClassVar[str] = "muse_error"
    retriable: ClassVar[bool] = False
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, **context: Any) -> None:
        super().__init__(message)
        self.message = message
        self.context = {key: str(value) for key, value in context.items() if value is not None}

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword context survives pickling between worker processes.
        return (_rebuild, (type(self), self.message, self.context))

    def __str__(self) -> str:
        if not self.context:
            return self.message
        details = ", ".join(f"{key}={value}" for key, value in self.context.items())
        return f"{self.message} [{details}]"


@contextlib.contextmanager
def error_context(**context: Any) -> Iterator[None]:
    """Name the things concerned in errors of the block that do not name them."""
    try:
        yield
    except MuseError as error:
        for key, value in context.items():
            if value is not None:
                error.context.setdefault(key, str(value))
        raise


def error_kind(error: BaseException) -> str:
    """``error_type`` of an error; `DISK_FULL` if a full disk, or a quota that is used up, lies behind it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            return DISK_FULL
        cause = cause.__cause__
    return error.error_type if isinstance(error, MuseError) else NonRetriableError.error_type


def _rebuild(cls: type[MuseError], message: str, context: dict[str, str]) -> MuseError:
    return cls(message, **context)


class RetriableError(MuseError):
    """Something outside failed for now (disk, network, database); trying again can help."""

    error_type = "retriable"
    retriable = True
    http_status = 503


class NonRetriableError(MuseError):
    """Trying again with the same input gives the same failure."""

    error_type = "non_retriable"


class BadFitsError(NonRetriableError):
    """A file is not the FITS file it should be (not FITS, truncated, wrong extension, wrong format)."""

    error_type = "bad_fits"
    http_status = 422


class MissingKeywordError(NonRetriableError):
    """A header lacks a keyword, or the keyword has no usable value."""

    error_type = "missing_keyword"
    http_status = 422


class ClassificationError(NonRetriableError):
    """No classification rule fits a header."""

    error_type = "classification"
    http_status = 422


class ParameterError(NonRetriableError):
    """A recipe parameter has a value that is not accepted; the message says what is."""

    error_type = "parameter"
    http_status = 422


class DeclarationError(NonRetriableError):
    """A declaration (of a recipe, an instrument) contradicts itself or names something that is declared nowhere."""

    error_type = "declaration"


class MissingInputError(NonRetriableError):
    """A recipe lacks a frame that it needs."""

    error_type = "missing_input"
    http_status = 422


class CalibrationMismatchError(NonRetriableError):
    """A calibration was made with another set-up than the data it shall be applied to."""

    error_type = "calibration_mismatch"
    http_status = 422


class DataError(NonRetriableError):
    """The pixels do not allow the measurement."""

    error_type = "data"
    http_status = 422


class ChipNotLiveError(NonRetriableError):
    """The detector of a channel was off (``DET.CHIP.LIVE`` is F)."""

    error_type = "chip_not_live"
    http_status = 422


class TracingError(DataError):
    """The slices could not be found or traced on a flat field."""

    error_type = "tracing"


class WavelengthError(DataError):
    """No wavelength solution could be found."""

    error_type = "wavelength"


class NotFoundError(NonRetriableError):
    """A named thing does not exist in the archive."""

    error_type = "not_found"
    http_status = 404


class StateConflictError(NonRetriableError):
    """An action does not fit the present state of a thing."""

    error_type = "state_conflict"
    http_status = 409


class ProductStoreError(RetriableError):
    """A product could not be brought to its place on disk."""

    error_type = "product_store"
