"""Tables: no anchors, no table; one column, one protocol."""

import dataclasses

import pytest

from volhuman.evaluation.protocol import NotAvailable, Protocol, Score
from volhuman.evaluation.tables import BODY_ROW, TRUTH_ROW, make_table

P2S = Protocol(metric="P2S", variant="standard", unit="cm", higher_is_better=False)
REASON = NotAvailable("not applicable", "the test has no body")


def score(value, protocol=P2S):
    return Score(
        value=value,
        low=value - 1,
        high=value + 1,
        count=10,
        failures=0,
        protocol=protocol,
    )


def test_the_anchors_are_the_last_rows():
    table = make_table(
        "t", {"ours": {"a": score(2.0)}}, truth={"a": score(0.0)}, bare_body=REASON
    )
    assert list(table.rows) == ["ours", TRUTH_ROW, BODY_ROW]
    assert table.rows[BODY_ROW] == {"a": REASON}


@pytest.mark.parametrize("anchor", ["truth", "bare_body"])
def test_an_anchor_that_could_be_computed_is_needed(anchor):
    anchors = {"truth": {"a": score(0.0)}, "bare_body": {"a": score(3.0)}}
    rows = {"ours": {"a": score(2.0)}}
    with pytest.raises(TypeError):
        make_table("t", rows, **{k: v for k, v in anchors.items() if k != anchor})
    anchors[anchor] = NotAvailable("not computed", "no time")
    with pytest.raises(ValueError, match="not applicable"):
        make_table("t", rows, **anchors)


def test_scores_of_one_column_have_one_protocol():
    icon = dataclasses.replace(P2S, variant="icon")
    with pytest.raises(ValueError, match=r"'a'.*'ours' and 'theirs'.*variant.*icon"):
        make_table(
            "t",
            {"ours": {"a": score(2.0)}, "theirs": {"a": score(1.0, icon)}},
            truth=REASON,
            bare_body=REASON,
        )
    with pytest.raises(ValueError, match="not comparable"):
        make_table(
            "t",
            {"ours": {"a": score(2.0)}},
            truth={"a": score(1.0, dataclasses.replace(P2S, seed=1))},
            bare_body=REASON,
        )


def test_bodies_and_versions_may_differ_in_a_column():
    other = dataclasses.replace(P2S, body_source="ground truth", version="0.0.1")
    table = make_table(
        "t",
        {"ours": {"a": score(2.0)}, "given body": {"a": score(1.0, other)}},
        truth=REASON,
        bare_body=REASON,
    )
    assert table.columns == ("a",)


def test_every_row_has_every_column_or_says_why_not():
    rows = {"ours": {"a": score(2.0), "b": score(1.0)}, "theirs": {"a": score(2.0)}}
    with pytest.raises(ValueError, match=r"'theirs'.*\['b'\]"):
        make_table("t", rows, truth=REASON, bare_body=REASON)
    rows["theirs"]["b"] = NotAvailable("not computed", "no weights")
    make_table("t", rows, truth=REASON, bare_body=REASON)
    with pytest.raises(ValueError, match=TRUTH_ROW):
        make_table("t", rows, truth={"a": score(0.0)}, bare_body=REASON)


@pytest.mark.parametrize("rows", [{}, {"ours": {}}])
def test_refuses_an_empty_table(rows):
    with pytest.raises(ValueError, match="at least one"):
        make_table("t", rows, truth=REASON, bare_body=REASON)


def test_the_names_of_the_anchors_are_taken():
    with pytest.raises(ValueError, match="options"):
        make_table("t", {BODY_ROW: {"a": score(1.0)}}, truth=REASON, bare_body=REASON)
