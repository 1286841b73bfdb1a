"""Classification and association against the rule file of the reference pipeline (``muse.oca``), here as tables.

Where the reference says something, so does the declaration; where it says more than the reference, the page of
differences tells it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from core.errors import MuseError
from core.instruments.classification import classify, product_tag
from core.instruments.muse.declaration import INSTRUMENT
from core.instruments.muse.plan import RULES

# Tag, DPR.CATG, DPR.TYPE or the words that it must hold, regular expression in TPL.ID; all but the first two are IFU.
# The last that fits counts.
REFERENCE: tuple[tuple[str, tuple[str, ...], str | tuple[str, ...], str], ...] = (
    ("ACQUISITION", ("ACQUISITION",), (), ""),
    ("TEST", ("TEST",), (), ""),
    ("LINGAIN_LAMP_OFF", ("CALIB",), ("BIAS", "DETCHECK"), ""),
    ("LINGAIN_LAMP_ON", ("CALIB",), ("LINEARITY", "FLAT", "DETCHAR"), ""),
    ("AMPL", ("TECHNICAL",), ("FLAT", "LAMP", "THRUPUT"), ""),
    ("BIAS", ("CALIB",), "BIAS", ""),
    ("DARK", ("CALIB",), "DARK", ""),
    ("FLAT", ("CALIB",), ("FLAT", "LAMP"), "MUSE_[wn]fm_cal_specflat"),
    ("ILLUM", ("CALIB",), ("FLAT", "LAMP", "ILLUM"), "MUSE_[wn]fm_cal_illum"),
    ("SKYFLAT", ("CALIB",), ("FLAT", "SKY"), ""),
    ("MASK", ("CALIB",), ("WAVE", "MASK"), ""),
    ("ARC_LSF", ("CALIB",), ("WAVE", "LSF"), ""),
    ("ARC", ("CALIB",), "WAVE", ""),
    ("SKY", ("CALIB", "SCIENCE"), "SKY", ""),
    ("STD", ("CALIB",), "STD", ""),
    ("ASTROMETRY", ("CALIB",), "ASTROMETRY", ""),
    ("OBJECT", ("SCIENCE",), "OBJECT", ""),
)
WITHOUT_TECHNIQUE = ("ACQUISITION", "TEST")
CATEGORIES = ("CALIB", "SCIENCE", "TECHNICAL", "TEST", "ACQUISITION")
TYPES = (
    "BIAS", "BIAS,DETCHECK", "DARK", "FLAT,LAMP", "FLAT,LAMP,ILLUM", "FLAT,SKY", "WAVE", "WAVE,LSF", "WAVE,MASK", "SKY",
    "STD", "STD,TELLURIC", "ASTROMETRY", "OBJECT", "FLAT,LAMP,THRUPUT", "FLAT,LAMP,DETCHAR,LINEARITY",
    "LINEARITY,FLAT,DETCHAR", "FLAT,LAMP,DETCHECK", "FLAT,LAMP,MASK",
)  # fmt: skip
TECHNIQUES = ("IFU", "IMAGE", None)
TEMPLATES = (
    "MUSE_wfm_cal_specflat", "MUSE_nfm_cal_specflat", "MUSE_wfm_cal_illum", "MUSE_nfm_cal_illum",
    "MUSE_wfm-ao_cal_specflat", "MUSE_wfm_tec_x", "MUSE_gen_cal_bias", None,
)  # fmt: skip
OTHER: dict[str, Any] = {
    "INSTRUME": "MUSE", "DATE-OBS": "2026-11-01T00:00:00", "INS.MODE": "WFM-NOAO-N", "DET.READ.CURID": 1, "RA": 1.0,
    "DEC": 1.0, "EXPTIME": 1.0, **{f"INS.SHUT{lamp}.ST": False for lamp in range(1, 7)},
}  # fmt: skip
INSTALLED = sorted(Path("/usr/share/cpl-plugins").glob("muse-*/gasgano/config/muse.oca"))
installed = pytest.mark.skipif(not INSTALLED, reason="the reference pipeline is not installed")


def reference_tag(catg: str, kind: str, tech: str | None, template: str | None) -> str | None:
    found = None
    for tag, categories, wanted, pattern in REFERENCE:
        of_type = kind == wanted if isinstance(wanted, str) else all(word in kind for word in wanted)
        if (
            catg in categories
            and of_type
            and (tech == "IFU" or tag in WITHOUT_TECHNIQUE)
            and (not pattern or re.search(pattern, template or ""))
        ):
            found = tag
    return found


def our_tag(catg: str, kind: str, tech: str | None, template: str | None) -> str | None:
    header = {"DPR.CATG": catg, "DPR.TYPE": kind, "DPR.TECH": tech, "TPL.ID": template}
    try:
        return classify({**OTHER, **{key: value for key, value in header.items() if value is not None}}).tag
    except MuseError:
        return None


def difference(catg: str, kind: str, tech: str | None, ours: str) -> str | None:
    """Why a frame has a tag here that has none in the reference: how the page of differences begins."""
    if catg == "TECHNICAL" and ours == "TECHNICAL":
        return "TECHNICAL other than"
    if tech is None:
        return "DPR.TECH is missing"
    if kind == "FLAT,LAMP" and ours in ("FLAT", "ILLUM"):
        return "FLAT,LAMP of another template"
    if kind == "FLAT,LAMP,ILLUM" and ours == "ILLUM":
        return "FLAT,LAMP,ILLUM of another template"
    if kind == "FLAT,LAMP,MASK" and ours == "MASK_CHECK":
        return "FLAT,LAMP,MASK of another template"
    return "DETCHECK without" if ours == "DETCHECK" else None


def test_frames_have_the_tag_of_the_reference_or_a_difference_that_is_told() -> None:
    seen: Counter[str | None] = Counter()
    for case in product(CATEGORIES, TYPES, TECHNIQUES, TEMPLATES):
        theirs, ours = reference_tag(*case), our_tag(*case)
        if theirs is not None or ours is None:
            assert ours == theirs, case
            seen["the same"] += 1
        else:
            seen[difference(*case[:3], ours)] += 1
    assert seen.total() == 2280
    assert None not in seen
    told = [item.where for item in INSTRUMENT.rule_differences]
    for kind in seen.keys() - {"the same"}:
        assert any(where.startswith(str(kind)) for where in told), kind


# What each recipe takes: tag, fewest, most, and the keys that must match.
KEYS = {"DET.READ.CURID": "readout", "INS.OPTI1.FILTER": "blue", "INS.OPTI2.NAME": "field", "INS.MODE": "mode"}
READOUT, TABLES = frozenset({"readout"}), frozenset({"readout", "blue", "field"})
NEEDED: Mapping[str, Mapping[str, frozenset[str]]] = {
    "muse_bias": {},
    "muse_dark": {"MASTER_BIAS": READOUT},
    "muse_flat": {"MASTER_BIAS": READOUT},
    "muse_wavecal": {"MASTER_BIAS": READOUT, "TRACE_TABLE": TABLES},
    "muse_lsf": {"MASTER_BIAS": READOUT, "TRACE_TABLE": TABLES, "WAVECAL_TABLE": TABLES},
}
ACTIONS = {"muse_wavecal": "muse_wave"}  # where they are not called like the recipe


@pytest.mark.parametrize("recipe", NEEDED)
def test_what_the_reference_needs_is_needed_here_and_matched_by_its_keys_at_least(recipe: str) -> None:
    task = next(task for task in RULES.tasks if task.recipe == recipe)
    ours = {role.tag: role for role in task.inputs if not role.asked}
    for tag, keys in NEEDED[recipe].items():
        assert ours[tag].minimum == 1
        assert keys <= set(RULES.master(tag).match)
        assert set(RULES.master(tag).match) - keys <= {"binning", "units"}  # told on the page of differences
    assert set(ours) - set(NEEDED[recipe]) <= {"BADPIX_TABLE", "LINE_CATALOG"}


@installed
def test_the_tables_above_are_those_of_the_installed_rule_file() -> None:
    text = re.sub(r"//[^\n]*", "", INSTALLED[-1].read_text())
    found = []
    for condition, body in re.findall(r"\bif\b(.*?)\bthen\s*\{(.*?)\}", text, re.DOTALL):
        tag = (
            re.findall(r'DO\.CATG\s*=\s*"([^"]+)"', body)[0].replace("ILLUMFLAT", "ILLUM").replace("DETMON", "LINGAIN")
        )
        if "PRO.CATG" in condition:
            assert product_tag({"PRO.CATG": tag}) == tag
            continue
        categories = tuple(re.findall(r'DPR\.CATG\s*==\s*"(\w+)"', condition))
        exact, words = (re.findall(rf'DPR\.TYPE\s*{how}\s*"%?(\w+)%?"', condition) for how in ("==", "like"))
        pattern = re.findall(r'TPL\.ID\s+regexp\s+"([^"]+)"', condition)
        assert ('DPR.TECH == "IFU"' in condition) is (tag not in WITHOUT_TECHNIQUE)
        found.append((tag, categories, exact[0] if exact else tuple(words), pattern[0] if pattern else ""))
    assert found == list(REFERENCE)
    for recipe, needed in NEEDED.items():
        action = rf"action\s+{ACTIONS.get(recipe, recipe)}\s*\{{(.*?)\n\}}"
        (body,) = re.findall(action, text, re.DOTALL)
        selects = re.findall(r"minRet\s*=\s*(\d);.*?select file as (\w+) from calibFiles where (.*?);", body, re.DOTALL)
        theirs = {
            tag: frozenset(KEYS[key] for key in re.findall(r"inputFile\.([A-Z0-9.\-]+)\s*==", where) if key in KEYS)
            for fewest, tag, where in selects
            if int(fewest)
        }
        theirs.pop("LINE_CATALOG", None)
        assert theirs == needed
