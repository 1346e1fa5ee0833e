"""Confidence intervals: measured coverage, groups, degenerate input."""

import numpy as np
import pytest
import scipy.stats

from volhuman.evaluation.bootstrap import bootstrap_interval

NAN = (np.nan, np.nan)


def _coverage(draw, truth, *, trials, groups=None):
    hits = 0
    for trial in range(trials):
        generator = np.random.default_rng(trial)
        low, high = bootstrap_interval(
            draw(generator), seed=trial, resamples=600, groups=groups
        )
        hits += low <= truth <= high
    return hits / trials


@pytest.mark.parametrize(
    "draw, truth",
    [
        (lambda g: g.normal(3, 1, 100), 3),
        (lambda g: g.exponential(1, 100), 1),
        (lambda g: g.gamma(0.5, 1, 100), 0.5),
        (lambda g: 1 - g.beta(1, 12, 100), 12 / 13),
    ],
    ids=["normal", "exponential", "gamma(0.5)", "left-skewed"],
)
def test_covers_the_true_mean_95_percent_of_the_time(draw, truth):
    assert 0.93 <= _coverage(draw, truth, trials=1000) <= 0.97


PEOPLE = np.repeat(np.arange(100), 8)


def _views(generator):
    """Eight views of each of 100 people; most of the spread is between people."""
    return generator.exponential(1, 100)[PEOPLE] + generator.normal(0, 0.2, 800)


def test_views_of_one_person_are_resampled_together():
    assert 0.93 <= _coverage(_views, 1, trials=1000, groups=PEOPLE) <= 0.97


def test_taking_views_for_independent_would_claim_too_much():
    assert _coverage(_views, 1, trials=100) < 0.7


def test_groups_of_different_sizes_keep_the_mean_over_items():
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(150), generator.integers(1, 6, 150))
    values = generator.normal(5, 1, len(groups)) + groups / 150
    low, high = bootstrap_interval(values, groups=groups)
    assert low < values.mean() < high
    names = np.array([f"person {number}" for number in groups])
    order = generator.permutation(len(groups))
    shuffled = bootstrap_interval(values[order], groups=names[order])
    # The same groups in the order of their names: another draw of the same thing.
    np.testing.assert_allclose(shuffled, (low, high), atol=0.02)


def test_groups_of_one_equal_no_groups():
    values = np.random.default_rng(0).exponential(1, 50)
    alone = bootstrap_interval(values, groups=np.arange(50))
    assert alone == bootstrap_interval(values)


def test_agrees_with_scipy_where_the_widening_vanishes():
    values = np.random.default_rng(1).exponential(1, 3000)
    ours = bootstrap_interval(values, resamples=9999)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=9999, rng=0, batch=500
    ).confidence_interval
    width = theirs.high - theirs.low
    np.testing.assert_allclose(ours, theirs, atol=0.04 * width)


def test_the_same_seed_gives_the_same_interval_and_a_level_its_width():
    values = np.random.default_rng(2).normal(size=80)
    assert bootstrap_interval(values, seed=4) == bootstrap_interval(values, seed=4)
    assert bootstrap_interval(values, seed=4) != bootstrap_interval(values, seed=5)
    low, high = bootstrap_interval(values, level=0.5)
    wide_low, wide_high = bootstrap_interval(values, level=0.99)
    assert wide_low < low < values.mean() < high < wide_high


@pytest.mark.parametrize("count", [2, 3, 10])
def test_few_values_stay_in_their_range(count):
    values = np.random.default_rng(count).exponential(1, count)
    low, high = bootstrap_interval(values)
    assert values.min() <= low <= high <= values.max()


def test_one_outlier_gives_a_finite_interval():
    values = np.zeros(40)
    values[7] = 1e6
    low, high = bootstrap_interval(values)
    assert 0 <= low < high <= 1e6


@pytest.mark.parametrize(
    "values, expected",
    [
        ([3.0], NAN),
        ([3.0, 3.0, 3.0], (3, 3)),
        ([np.inf, np.inf], (np.inf, np.inf)),
        ([np.inf, 1.0], NAN),
    ],
)
def test_degenerate_values(values, expected):
    np.testing.assert_equal(bootstrap_interval(np.array(values)), expected)


def test_one_group_has_no_interval():
    values = np.arange(5.0)
    np.testing.assert_equal(bootstrap_interval(values, groups=np.zeros(5)), NAN)


@pytest.mark.parametrize(
    "wrong", [np.zeros(0), np.zeros((2, 2)), np.array([1, np.nan])]
)
def test_refuses_what_has_no_mean(wrong):
    with pytest.raises(ValueError, match="values"):
        bootstrap_interval(wrong)


def test_refuses_groups_of_another_length():
    with pytest.raises(ValueError, match="groups"):
        bootstrap_interval(np.zeros(5), groups=np.zeros(4))
