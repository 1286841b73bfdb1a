"""``muse_products_merge``, ``muse_product_split`` and ``muse_product_sign``: files of IFUs in one, apart, and signed.

Exit codes: 0; 1 arguments missing; 9 unknown option or argument; 10 fewer than two products that can be merged, or a
file without extensions of IFUs that can be split; 50 anything else, e.g. a file cannot be read or written.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from core.errors import BadFitsError
from core.fitsfile.keywords import get_key
from core.fitsfile.scan import FitsScan, scan_fits
from core.formats.merge import merge_products, merged_name, sign_product, split_product
from core.tools.commandline import NO_ARGUMENTS, ToolError, parse, run_tool

__all__ = ["merge", "sign", "split"]

MERGE_USAGE = """\
Usage: muse_products_merge [-s] [-d] PRODUCT_1 PRODUCT_2 PRODUCT_3 [...]
  -s  sign the merged files: checksums, DATAMD5, PIPEFILE
  -d  delete the products when they are merged
  At least three words: of two products with an option, too."""
SPLIT_USAGE = """\
Usage: muse_product_split [-s] [-d] PRODUCT
  -s  sign the files: checksums, DATAMD5, PIPEFILE
  -d  delete the product when it is split"""
SIGN_USAGE = """\
Usage: muse_product_sign PRODUCT TAG
  TAG is the frame tag of the product; it is not written."""

_FLAGS: Final = ("-s", "-d")
_NOT_ENOUGH: Final = 10
_MERGE_WORDS: Final = 3


def merge(words: list[str] | None = None) -> int:
    """Run ``muse_products_merge``; returns the exit code."""
    return run_tool(_merge, words)


def split(words: list[str] | None = None) -> int:
    """Run ``muse_product_split``; returns the exit code."""
    return run_tool(_split, words)


def sign(words: list[str] | None = None) -> int:
    """Run ``muse_product_sign``; returns the exit code."""
    return run_tool(_sign, words)


def _merge(words: list[str]) -> None:
    if len(words) < _MERGE_WORDS:
        raise ToolError(NO_ARGUMENTS, MERGE_USAGE)
    arguments = parse(words, MERGE_USAGE, {}, _FLAGS, files=(1, sys.maxsize))
    products = _mergeable([Path(name) for name in dict.fromkeys(arguments.files)])
    if len(products) < 2:
        raise ToolError(_NOT_ENOUGH, "there are fewer than two products to merge")
    keeping = "deleting" if "-d" in arguments.options else "keeping"
    print(f"Merging {len(products)} products, {keeping} the input files")
    groups: dict[Path, list[Path]] = {}
    for path in products:
        groups.setdefault(path.with_name(merged_name(path)), []).append(path)
    for target, paths in groups.items():
        if len(paths) < 2:
            _warn(f"{paths[0]}: nothing to merge")
            continue
        if len(tags := {_tag(scan_fits(path)) for path in paths}) > 1:
            raise BadFitsError(f"its products are of different kinds: {', '.join(sorted(tags))}", file=target)
        merge_products(paths, target, signed="-s" in arguments.options)
        print(f"{target}: {len(scan_fits(target).hdus) - 1} extensions")
        if "-d" in arguments.options:
            for path in paths:
                path.unlink()


def _mergeable(paths: list[Path]) -> list[Path]:
    found = []
    for path in paths:
        tag = _tag(scan_fits(path))
        print(f"{path}: {tag}")
        if tag.startswith("PIXTABLE_"):
            _warn(f"{path}: pixel tables are not merged")
        else:
            found.append(path)
    return found


def _tag(scan: FitsScan) -> str:
    return get_key(scan.primary, "PRO.CATG", str, default="")


def _split(words: list[str]) -> None:
    arguments = parse(words, SPLIT_USAGE, {}, _FLAGS, files=(1, 1))
    path = Path(arguments.files[0])
    if (number := len(scan_fits(path).hdus) - 1) < 2:
        raise ToolError(_NOT_ENOUGH, f"{path} has {number} extensions, and nothing to split")
    for target, extensions in split_product(path, signed="-s" in arguments.options).items():
        print(f"{target}: {extensions} extensions")
    if "-d" in arguments.options:
        path.unlink()


def _sign(words: list[str]) -> None:
    arguments = parse(words, SIGN_USAGE, {}, files=(2, 2))
    sign_product(Path(arguments.files[0]), arguments.files[0])
    print(f"{arguments.files[0]} signed")


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
