"""Intersection over union: a naive loop over shifts, ties, empty volumes."""

import jax
import numpy as np
import pytest

from volhuman.evaluation.volumes import iou, iou_best_shift

BEST = jax.jit(iou_best_shift, static_argnames=("max_shift", "threshold"))


def _shifted(volume, shift):
    """The volume moved along its last axis, zeros moving in."""
    moved = np.zeros_like(volume)
    depth = volume.shape[-1]
    for index in range(depth):
        if 0 <= index + shift < depth:
            moved[..., index + shift] = volume[..., index]
    return moved


def _naive(prediction, truth, max_shift):
    """Scores of all shifts, from the most negative to the most positive."""
    scores = []
    for shift in range(-max_shift, max_shift + 1):
        moved = _shifted(prediction > 0.5, shift)
        both, either = (moved & (truth > 0.5)).sum(), (moved | (truth > 0.5)).sum()
        scores.append(both / either if either else np.nan)
    return np.array(scores)


@pytest.fixture
def pair():
    generator = np.random.default_rng(0)
    return generator.random((2, 7, 9, 12)).astype(np.float32)


def test_equals_the_loop_over_all_shifts(variant):
    run = variant(lambda a, b: iou_best_shift(a, b, max_shift=11))
    for seed in range(5):
        generator = np.random.default_rng(seed)
        truth = generator.random((7, 9, 12)) ** 2
        prediction = _shifted(truth, seed - 2) + generator.normal(0, 0.1, truth.shape)
        scores = _naive(prediction, truth, 11)
        result = run(np.float32(prediction), np.float32(truth))
        assert result.shift == np.nanargmax(scores) - 11 == 2 - seed
        np.testing.assert_allclose(result.shifted, np.nanmax(scores), rtol=1e-6)
        np.testing.assert_allclose(result.unshifted, scores[11], rtol=1e-6)


def test_a_full_size_volume_is_counted_exactly():
    """128 x 192 x 128, nearly full: sums of millions, exact to the voxel."""
    generator = np.random.default_rng(0)
    prediction = generator.random((192, 128, 128)) > 0.02
    truth = generator.random((192, 128, 128)) > 0.01
    result = BEST(prediction, truth)
    expected = np.float32((prediction & truth).sum() / (prediction | truth).sum())
    assert result.unshifted == expected and result.shift == 0


def test_without_a_shift_it_is_iou(variant, pair):
    expected = _naive(*pair, 0)[0]
    np.testing.assert_allclose(variant(iou)(*pair), expected, rtol=1e-6)
    result = BEST(*pair, max_shift=0)
    assert result.unshifted == result.shifted == iou(*pair) and result.shift == 0


def test_a_known_shift_is_found_in_both_directions():
    truth = np.zeros((6, 6, 20))
    truth[1:5, 2:4, 8:12] = 1
    for shift in (-8, -3, 0, 5, 8):
        result = BEST(_shifted(truth, -shift), truth, max_shift=8)
        assert result.shift == shift and result.shifted == 1
    assert BEST(_shifted(truth, 8), truth, max_shift=7).shifted < 1


def test_what_leaves_the_volume_is_lost():
    """Moved by 2, one of three layers leaves: it is in neither volume any more."""
    prediction, truth = np.zeros((2, 4, 4, 6))
    prediction[..., 1:4] = 1
    truth[..., 4:6] = 1
    result = BEST(prediction, truth, max_shift=5)
    assert (result.shift, result.shifted, result.unshifted) == (3, 1, 0)


def test_ties_go_to_the_shortest_shift_and_then_to_the_positive_one():
    layer = np.zeros((4, 4, 9))
    layer[..., 4] = 1
    both = np.zeros((4, 4, 9))
    both[..., [2, 6]] = 1
    assert BEST(layer, both, max_shift=4).shift == 2
    assert BEST(np.ones((4, 4, 9)), np.ones((4, 4, 9)), max_shift=4).shift == 0


def test_the_threshold_itself_is_empty(pair):
    flat = np.full((3, 3, 3), 0.5, np.float32)
    assert iou(flat, np.ones((3, 3, 3))) == 0
    assert iou(flat, np.ones((3, 3, 3)), threshold=0.4) == 1
    low = BEST(*pair, max_shift=3, threshold=0.1)
    np.testing.assert_allclose(low.unshifted, _naive(*pair + 0.4, 0)[0], rtol=1e-6)


def test_an_empty_prediction_scores_zero_and_two_empty_volumes_nan(variant):
    empty, full = np.zeros((3, 4, 5)), np.ones((3, 4, 5))
    run = variant(lambda a, b: iou_best_shift(a, b, max_shift=4))
    assert variant(iou)(empty, full) == 0
    result = run(empty, full)
    assert (result.unshifted, result.shifted, result.shift) == (0, 0, 0)
    assert np.isnan(variant(iou)(empty, empty))
    result = run(empty, empty)
    assert np.isnan([result.unshifted, result.shifted]).all() and result.shift == 0


def test_nan_is_never_an_empty_voxel(variant, pair):
    for spoiled in (0, 1):
        volumes = pair.copy()
        volumes[spoiled, 1, 2, 3] = np.nan
        assert np.isnan(variant(iou)(*volumes))
        result = variant(lambda a, b: iou_best_shift(a, b, max_shift=3))(*volumes)
        assert np.isnan(result.unshifted) and np.isnan(result.shifted)


def test_vmap_over_people(pair):
    batch = np.stack([pair, pair[::-1]], axis=1)
    mapped = jax.vmap(lambda a, b: iou_best_shift(a, b, max_shift=3))(*batch)
    single = BEST(*pair, max_shift=3)
    assert mapped.shifted[0] == single.shifted and mapped.shift[0] == single.shift


@pytest.mark.parametrize("function", [iou, iou_best_shift])
def test_refuses_volumes_of_different_sizes(function):
    with pytest.raises(ValueError, match="truth"):
        function(np.zeros((3, 4, 80)), np.zeros((3, 4, 81)))


@pytest.mark.parametrize("shift", [-1, 5])
def test_refuses_shifts_that_do_not_fit(shift):
    with pytest.raises(ValueError, match=f"max_shift is {shift}.*0 to 4"):
        iou_best_shift(np.zeros((3, 4, 5)), np.zeros((3, 4, 5)), max_shift=shift)
