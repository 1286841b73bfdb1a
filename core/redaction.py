"""Passwords of URLs are for nobody's eyes: texts that are logged or shown go through here."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["redacted"]

# Greedy up to the last @ of the word: a password that was not quoted may hold / and @ itself.
_USER_INFO: Final = re.compile(r"(?<=://)\S*@")


def redacted(text: str) -> str:
    """A text in whose URLs user and password are replaced.

    Examples
    --------
    >>> redacted("redis://cascade:se/cr@et@host:6379/0 does not answer")
    'redis://***@host:6379/0 does not answer'
    """
    return _USER_INFO.sub("***@", text)
