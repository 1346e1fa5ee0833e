"""Errors of depths: what they are in hand-made cases."""

import jax
import numpy as np
import pytest

from volhuman.deform_and_learn.depth_measure import (
    METRICS,
    measure_depths,
    measure_on_pictures,
    score_depths,
)
from volhuman.deform_and_learn.depth_weights import load_depth_gan
from volhuman.deform_and_learn.poses_2d import sample_joints, view_joints


@pytest.fixture(scope="module")
def joints():
    people = sample_joints(16, seed=2)
    return view_joints(np.random.default_rng(0), np.repeat(people, 4, axis=0))


@pytest.fixture(scope="module")
def measure():
    return jax.jit(measure_depths)


def test_the_truth_has_no_error(joints, measure):
    found = measure(joints[..., 2], joints)
    assert set(found) == set(METRICS)
    np.testing.assert_allclose(found["MPJPE"], 0, atol=1e-3)
    np.testing.assert_allclose(found["PA-MPJPE"], 0, atol=0.5)
    assert not found["flipped"].any()


def test_an_error_of_depth_is_the_error_of_the_joint(joints, measure):
    wrong = joints[..., 2].copy()
    wrong[:, 5] += 0.17
    found = measure(wrong, joints)
    np.testing.assert_allclose(found["MPJPE"], 10, rtol=1e-3)
    centred = joints[:, 1:, :2] - joints[:, :1, :2]
    sizes = np.linalg.norm(centred, axis=-1).mean(1)
    np.testing.assert_allclose(found["normalized MPJPE"], 0.01 / sizes, rtol=1e-3)


def test_mirrored_depths_are_flipped_and_cost_twice_the_depth(joints, measure):
    found = measure(-joints[..., 2], joints)
    assert found["flipped"].all()
    expected = 2000 * np.abs(joints[..., 2]).mean(1)
    np.testing.assert_allclose(found["MPJPE"], expected, rtol=1e-4)
    # No rotation repairs it.
    assert found["PA-MPJPE"].mean() > 30


def test_noses_count_for_people_who_face_the_camera(joints, measure):
    found, mirrored = (
        np.asarray(measure(sign * joints[..., 2], joints)["nose in front"])
        for sign in (1, -1)
    )
    facing = ~np.isnan(found)
    assert 3 < facing.sum() < 40
    np.testing.assert_array_equal(facing, ~np.isnan(mirrored))
    np.testing.assert_array_equal(found[facing], 1 - mirrored[facing])


def test_scores_name_their_data_and_count_their_poses(joints):
    scores = score_depths(joints[..., 2], joints, data="people")
    assert set(scores) == {f"{name}, people" for name in METRICS}
    counts = {name: score.count for name, score in scores.items()}
    assert counts["MPJPE, people"] == len(joints) > counts["nose in front, people"]


def test_a_lifter_is_measured_on_the_marks_of_pictures(people):
    lifter = load_depth_gan()
    flat = jax.tree.map(np.zeros_like, lifter)
    found = measure_on_pictures(lifter, people)
    nothing = measure_on_pictures(flat, people)
    assert found["MPJPE"].shape == (len(people),)
    # Depths that are all 0 cost what people are deep.
    assert 60 < nothing["MPJPE"].mean() < 300
    assert found["MPJPE"].mean() < 0.9 * nothing["MPJPE"].mean()
