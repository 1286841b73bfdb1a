from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from core.classify import (
    RAW_RULES,
    RULES_VERSION,
    BadDateError,
    classify,
    exposure_of,
    lamps_of,
    night_of,
    product_tag,
)
from core.errors import ClassificationError, MissingKeywordError

GOOD: dict[str, Any] = {
    "INSTRUME": "MUSE", "DATE-OBS": "2026-11-01T22:00:00.000", "EXPTIME": 1.0, "INS.MODE": "WFM-AO-N",
    "DET.READ.CURID": 1, "RA": 1.0, "DEC": 2.0, "DPR.CATG": "CALIB", "DPR.TYPE": "BIAS", "DPR.TECH": "IFU",
    "INS.SHUT3.ST": True, "INS.SHUT4.ST": False, "INS.SHUT5.ST": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("catg", "kind", "template", "tag"),
    [  # manual table 6.1
        ("CALIB", "BIAS", None, "BIAS"),
        ("CALIB", "DARK", None, "DARK"),
        ("CALIB", "FLAT,LAMP", None, "FLAT"),
        ("CALIB", "FLAT , LAMP", "MUSE_wfm_cal_specflat", "FLAT"),
        ("CALIB", "FLAT,LAMP", "MUSE_nfm_cal_specflat", "FLAT"),
        ("CALIB", "FLAT,LAMP", "MUSE_wfm_cal_illum", "ILLUM"),  # as in 2014
        ("CALIB", "FLAT,LAMP,ILLUM", "MUSE_wfm_cal_illum", "ILLUM"),
        ("CALIB", "FLAT,SKY", None, "SKYFLAT"),
        ("CALIB", "WAVE", None, "ARC"),
        ("CALIB", "WAVE,MASK", None, "MASK"),
        ("CALIB", "STD", None, "STD"),
        ("CALIB", "ASTROMETRY", None, "ASTROMETRY"),
        ("SCIENCE", "SKY", None, "SKY"),
        ("science", "Object", None, "OBJECT"),
    ],
)
def test_dpr_keywords_give_the_tag_of_the_manual(catg: str, kind: str, template: str | None, tag: str) -> None:
    found = classify({**GOOD, "DPR.CATG": catg, "DPR.TYPE": kind, "TPL.ID": template})
    assert found.tag == tag
    assert found.rules_version == RULES_VERSION
    assert found.rule in {rule.name for rule in RAW_RULES}


def test_a_missing_technique_is_that_of_all_muse_frames() -> None:
    assert classify({key: value for key, value in GOOD.items() if key != "DPR.TECH"}).tech == "IFU"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"DPR.CATG": None, "DPR.TYPE": None}, "no_dpr"),
        ({"DPR.TYPE": "  "}, "no_dpr"),
        ({"DPR.TYPE": "FLAT,DOME"}, "unknown_type"),
        ({"DPR.CATG": "SCIENCE", "DPR.TYPE": "BIAS"}, "unknown_type"),
        ({"DPR.TECH": "IMAGE"}, "unknown_type"),
        ({"INSTRUME": "FORS2"}, "unknown_type"),
    ],
)
def test_what_no_rule_fits_is_refused_with_a_reason(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ClassificationError) as caught:
        classify({**GOOD, **change})
    assert caught.value.context["reason"] == reason


@pytest.mark.parametrize("rule", RAW_RULES, ids=lambda rule: rule.name)
def test_each_required_keyword_is_named_when_it_lacks(rule: Any) -> None:
    header = {**GOOD, "DPR.CATG": rule.catg, "DPR.TYPE": rule.type}
    if rule.template:
        header["TPL.ID"] = rule.template.replace("[wn]", "w")
    assert classify(header).rule == rule.name
    for key in ("DATE-OBS", "INS.MODE", "DET.READ.CURID", "INSTRUME", *rule.required):
        with pytest.raises(MissingKeywordError) as caught:
            classify({name: value for name, value in header.items() if name != key})
        assert caught.value.context["keyword"] == key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("DET.READ.CURID", "one"),
        ("DET.READ.CURID", True),
        ("DET.READ.CURID", 10**12),
        ("INS.MODE", 5),
        ("EXPTIME", "NaN"),
        ("INS.SHUT3.ST", "T"),
        ("TPL.NEXP", 1.5),
    ],
)
def test_a_value_of_the_wrong_type_is_not_usable(key: str, value: Any) -> None:
    with pytest.raises(MissingKeywordError, match="unusable value"):
        classify({**GOOD, "DPR.TYPE": "WAVE", key: value})


def test_the_calibrations_of_a_morning_belong_to_the_night_before() -> None:
    assert night_of(datetime(2026, 11, 1, 16, 0, tzinfo=UTC)) == date(2026, 11, 1)
    assert night_of(datetime(2026, 11, 2, 0, 0, tzinfo=UTC)) == date(2026, 11, 1)
    assert night_of(datetime(2026, 11, 2, 15, 59, 59, tzinfo=UTC)) == date(2026, 11, 1)


def test_the_middle_of_an_exposure_counts_from_its_start() -> None:
    # The header of a real exposure of 16 June 2017.
    exposure = exposure_of({"DATE-OBS": "2017-06-16T01:34:56.000", "MJD-OBS": 57920.06593596, "EXPTIME": 30.0})
    assert exposure.mjd_mid == pytest.approx(57920.06593596 + 15 / 86400, abs=1e-9)
    assert exposure.night == date(2017, 6, 15)


def test_mjd_follows_from_the_date_if_it_is_not_given() -> None:
    # MJD 51544 is 2000-01-01; 2026-11-01 is 9801 days later.
    exposure = exposure_of({"DATE-OBS": "2026-11-01T12:00:00"})
    assert (exposure.mjd_obs, exposure.exptime) == (61345.5, 0.0)


def test_single_precision_mjd_of_early_headers_is_accepted() -> None:
    # Bias of 6 June 2013: MJD-OBS is off by 57 s.
    header = {"DATE-OBS": "2013-06-06T22:23:25.898", "MJD-OBS": 56449.93359375}
    assert exposure_of(header).mjd_obs == 56449.93359375


@pytest.mark.parametrize(
    "header",
    [
        {"DATE-OBS": "NaN"},
        {"DATE-OBS": float("nan")},
        {"DATE-OBS": None},
        {"DATE-OBS": "2026-13-45T00:00:00"},
        {"DATE-OBS": "1998-05-25T00:00:00"},
        {"DATE-OBS": "2026-11-01T12:00:00", "MJD-OBS": float("nan")},
        {"DATE-OBS": "2026-11-01T12:00:00", "MJD-OBS": "NaN"},
        {"DATE-OBS": "2026-11-01T12:00:00", "MJD-OBS": 61345.6},
        {"DATE-OBS": "2026-11-01T12:00:00", "EXPTIME": -1.0},
        {"DATE-OBS": "2026-11-01T12:00:00", "EXPTIME": float("inf")},
    ],
)
def test_bad_dates_are_refused(header: dict[str, Any]) -> None:
    with pytest.raises(BadDateError):
        exposure_of(header)


def test_the_shutter_decides_which_lamp_shines() -> None:
    header: dict[str, Any] = {f"INS.LAMP{n}.ST": True for n in range(1, 7)}
    header |= {f"INS.SHUT{n}.ST": False for n in range(1, 7)}
    assert lamps_of(header) == ()
    assert lamps_of(header | {"INS.SHUT5.ST": True}) == ("HgCd",)
    assert lamps_of(header | {"INS.SHUT3.ST": True, "INS.SHUT6.ST": True}) == ("Ne",)
    assert lamps_of(header | {"INS.SHUT4.ST": True, "INS.LAMP4.ST": False}) == ()
    assert lamps_of({"INS.SHUT1.ST": True, "INS.SHUT2.ST": True}) == ("ContB", "ContR")


def test_products_have_the_tag_of_their_category() -> None:
    assert product_tag({"PRO.CATG": "MASTER_BIAS "}) == "MASTER_BIAS"
    assert product_tag(GOOD) is None
    with pytest.raises(ClassificationError, match="product"):
        classify({"INSTRUME": "MUSE", "PRO.CATG": "MASTER_BIAS"})
