"""``muse_sdp_check``: whether cubes keep the rules of ESO's science data products.

Exit codes: 0 all cubes keep all rules; 1 no cube is named; 9 unknown option; 10 a file cannot be read; 12 a cube does
not keep a rule; 50 anything else.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from core.errors import BadFitsError
from core.formats.science_check import STRUCTURE_RULES, check_science_cube
from core.formats.science_rules import KEYWORD_RULES
from core.tools.commandline import ToolError, parse, run_tool

__all__ = ["check"]

USAGE = """\
Usage: muse_sdp_check [-l] CUBE [CUBE ...]
  -l  list the rules; no cube is needed"""

_UNREADABLE: Final = 10
_BROKEN: Final = 12


def check(words: list[str] | None = None) -> int:
    """Run ``muse_sdp_check``; returns the exit code."""
    return run_tool(_check, words)


def _check(words: list[str]) -> None:
    arguments = parse(words, USAGE, {}, ("-l",), files=(0 if "-l" in words else 1, sys.maxsize))
    if "-l" in arguments.options:
        for rule in KEYWORD_RULES:
            print(f"{rule.key:10} {rule.hdu:8} {rule.need:22} {rule.asked}")
        print("and of the whole: " + ", ".join(STRUCTURE_RULES))
    broken = 0
    for name in arguments.files:
        try:
            findings = check_science_cube(Path(name))
        except BadFitsError as error:
            raise ToolError(_UNREADABLE, f"{name}: {error.message}") from error
        broken += bool(findings)
        print(f"{name}: " + (f"{len(findings)} rules are not kept" if findings else "keeps all rules"))
        for finding in findings:
            print(f"  {finding}")
    if broken:
        raise ToolError(_BROKEN, f"{broken} of {len(arguments.files)} cubes are no science data products")
