"""Facts about the QC1 declaration of an instrument: what it names must be declared by a recipe."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import DeclarationError
from core.instruments.muse.qc import QC1
from core.qc1.declaration import KeyTrend
from core.qc1.rules import FixedRule


def test_the_longest_start_of_a_keyword_decides():
    assert QC1.table_rule("QC.FLAT.MASTER.MEAN").keyword == "QC.FLAT.MASTER."
    assert QC1.table_rule("QC.FLAT.INPUT{input}.MEAN").keyword == "QC.FLAT."


def test_an_unknown_start_of_a_keyword_is_refused():
    with pytest.raises(DeclarationError, match=r"no QC1 table is declared for QC\.NEW\.THING"):
        QC1.table_rule("QC.NEW.THING")


def test_score_rules_and_key_trends_must_be_of_declared_numbers(definitions):
    declared = replace(QC1, score_rules=(FixedRule("muse_bias..master_ron", 1, 5),), key_trends=())
    declared.check(definitions)
    for odd, message in (
        (
            replace(declared, score_rules=(FixedRule("muse_bias..ron", 1, 5),)),
            "score rule is of muse_bias..ron, which no",
        ),
        (
            replace(declared, key_trends=(KeyTrend("muse_bias..ron", "Noise"),)),
            "key trend is of muse_bias..ron, which no",
        ),
        (replace(declared, key_trends=(KeyTrend("muse_std..starname", "Star"),)), "starname, which is a text"),
    ):
        with pytest.raises(DeclarationError, match=message):
            odd.check(definitions)
