from __future__ import annotations

from typing import Any

import pytest

from core.errors import ClassificationError, MissingKeywordError
from core.instruments.classification import classify, product_tag
from core.instruments.muse.classification import RAW_RULES, lamps_of
from core.instruments.muse.declaration import INSTRUMENT

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
        ("CALIB", "FLAT,LAMP,MASK", "MUSE_wfm_cal_maskcheck", "MASK_CHECK"),
        ("CALIB", "FLAT,LAMP,MASK", "MUSE_wfm_cal_specflat", "FLAT"),
        ("CALIB", "STD", None, "STD"),
        ("CALIB", "ASTROMETRY", None, "ASTROMETRY"),
        ("SCIENCE", "SKY", None, "SKY"),
        ("CALIB", "SKY", None, "SKY"),
        ("science", "Object", None, "OBJECT"),
        ("CALIB", "WAVE,LSF", None, "ARC_LSF"),
        ("TECHNICAL", "FLAT,LAMP,THRUPUT", None, "AMPL"),
        ("CALIB", "BIAS,DETCHECK", None, "LINGAIN_LAMP_OFF"),
        ("CALIB", "FLAT,LAMP,DETCHECK", None, "DETCHECK"),
        ("CALIB", "FLAT,LAMP,ILLUM", "MUSE_wfm_cal_specflat", "FLAT"),  # the template decides
        ("TECHNICAL", "OBJECT", None, "TECHNICAL"),
        ("TEST", "BIAS", None, "TEST"),
        ("ACQUISITION", "OBJECT", None, "ACQUISITION"),
        ("CALIB", "LINEARITY,FLAT,DETCHAR", None, "LINGAIN_LAMP_ON"),
    ],
)
def test_dpr_keywords_give_the_tag_of_the_manual(catg: str, kind: str, template: str | None, tag: str) -> None:
    found = classify({**GOOD, "DPR.CATG": catg, "DPR.TYPE": kind, "TPL.ID": template})
    assert found.tag == tag
    assert found.rules_version == INSTRUMENT.raw_rules_version
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
        ({"DPR.TYPE": "WAVE,LSFX"}, "unknown_type"),
        ({"INSTRUME": "FORS2"}, "unknown_type"),
    ],
)
def test_what_no_rule_fits_is_refused_with_a_reason(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ClassificationError) as caught:
        classify({**GOOD, **change})
    assert caught.value.context["reason"] == reason


@pytest.mark.parametrize("rule", RAW_RULES, ids=lambda rule: rule.name)
def test_each_required_keyword_is_named_when_it_lacks(rule: Any) -> None:
    header = {**GOOD, "DPR.CATG": rule.catg, "DPR.TYPE": rule.type or ",".join(rule.having) or "SKY"}
    if rule.template:
        header["TPL.ID"] = rule.template.replace("[wn]", "w")
    assert classify(header).rule == rule.name
    every = ("DATE-OBS", "INSTRUME") if rule.kept_only else ("DATE-OBS", "INS.MODE", "DET.READ.CURID", "INSTRUME")
    for key in (*every, *rule.required):
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
        ("DET.BINX", 1.5),
    ],
)
def test_a_value_of_the_wrong_type_is_not_usable(key: str, value: Any) -> None:
    with pytest.raises(MissingKeywordError, match="unusable value"):
        classify({**GOOD, "DPR.TYPE": "WAVE", key: value})


@pytest.mark.parametrize(
    ("key", "value"), [("TPL.NEXP", 1.5), ("OBS.ID", "none"), ("EXPTIME", "NaN"), ("INS.SHUT3.ST", "T")]
)
def test_a_value_that_the_use_of_a_frame_does_not_need_may_be_anything(key: str, value: Any) -> None:
    found = classify({**GOOD, key: value})
    assert (found.tag, found.unusable) == ("BIAS", (key,))
    assert classify(GOOD).unusable == ()


def test_frames_of_which_nothing_is_made_need_a_date_only() -> None:
    for catg in ("ACQUISITION", "TEST", "TECHNICAL"):
        found = classify(
            {"INSTRUME": "MUSE", "DATE-OBS": "2026-11-01", "DPR.CATG": catg, "DPR.TYPE": "X", "DPR.TECH": "IMAGE"}
        )
        assert (found.tag, found.kept_only) == (catg, True)


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
