"""Scores: failures are counted, protocols are compared field by field."""

import dataclasses
from importlib import metadata

import numpy as np
import pytest

from volhuman.evaluation.bootstrap import bootstrap_interval
from volhuman.evaluation.protocol import (
    NotAvailable,
    Protocol,
    protocol_differences,
    summarize,
)

P2S = Protocol(metric="P2S", variant="standard", unit="cm", higher_is_better=False)


def test_a_score_is_the_mean_and_its_interval():
    values = np.random.default_rng(0).exponential(1, 60)
    people = np.repeat(np.arange(20), 3)
    score = summarize(values, P2S, groups=people, seed=3)
    assert score.value == pytest.approx(values.mean())
    interval = bootstrap_interval(values, seed=3, groups=people)
    assert (score.low, score.high) == interval
    assert (score.count, score.failures, score.protocol) == (60, 0, P2S)


def test_failures_are_counted_and_never_enter_the_mean_unnoticed():
    values = np.array([1.0, np.nan, 3.0, np.nan])
    score = summarize(values, P2S, groups=np.array(list("abab")))
    assert (score.value, score.count, score.failures) == (2.0, 4, 2)
    # What is left is one group, whose spread is unknown.
    assert np.isnan([score.low, score.high]).all()


def test_a_stated_value_of_failures_enters_the_mean_and_the_protocol():
    score = summarize(np.array([1.0, np.nan]), P2S, failure_value=9.0)
    assert (score.value, score.failures) == (5.0, 1)
    assert score.protocol.extra == {"failure_value": 9.0}
    assert "extra" in protocol_differences(score.protocol, P2S)


def test_only_failures_give_nan():
    score = summarize(np.full(3, np.nan), P2S)
    assert np.isnan([score.value, score.low, score.high]).all()
    assert (score.count, score.failures) == (3, 3)


def test_refuses_no_items_and_groups_of_another_length():
    with pytest.raises(ValueError, match="items"):
        summarize(np.zeros(0), P2S)
    with pytest.raises(ValueError, match="groups"):
        summarize(np.full(3, np.nan), P2S, groups=np.zeros(2))


def test_every_field_but_body_and_version_makes_numbers_incomparable():
    changes = {
        "metric": "Chamfer",
        "variant": "icon",
        "unit": "m",
        "higher_is_better": True,
        "data": "buff",
        "data_version": "2",
        "alignment": "rigid",
        "samples": 10,
        "seed": 1,
        "extra": {"views": 4},
        "body_source": "ground truth",
        "version": "9.9",
    }
    assert set(changes) == {field.name for field in dataclasses.fields(Protocol)}
    for name, value in changes.items():
        other = dataclasses.replace(P2S, **{name: value})
        found = protocol_differences(P2S, other)
        expected = {} if name in ("body_source", "version") else {name}
        assert set(found) == set(expected)
        if found:
            assert found[name] == (getattr(P2S, name), value)


def test_the_version_is_that_of_the_package():
    assert P2S.version == metadata.version("volhuman")


def test_the_label_names_metric_variant_unit_and_direction():
    assert P2S.label == "P2S (standard) cm ↓"
    ssim = Protocol(metric="SSIM", variant="lwb", unit="", higher_is_better=True)
    assert ssim.label == "SSIM (lwb) ↑"


def test_a_missing_number_has_a_known_status_and_a_reason():
    assert NotAvailable("not computed", "no weights").reason == "no weights"
    with pytest.raises(ValueError, match="not computed, not applicable"):
        NotAvailable("skipped", "why")
    with pytest.raises(ValueError, match="reason"):
        NotAvailable("not applicable", " ")
