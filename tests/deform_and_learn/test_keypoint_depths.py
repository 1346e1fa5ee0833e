"""Depths of annotated key points: what they need, and what they ignore."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from volhuman.body.keypoints import (
    COCO17,
    KEYPOINT_INDEX,
    KEYPOINT_NAMES,
    body_keypoints,
    landmark_vertices,
)
from volhuman.body.model import pose_body, rest_params
from volhuman.body.template import load_template
from volhuman.deform_and_learn.depth_gan import Lifter, lift_depths
from volhuman.deform_and_learn.keypoint_depths import lift_keypoints
from volhuman.deform_and_learn.poses_2d import JOINT_INDEX_17, joints_from_keypoints

COCO = np.array([KEYPOINT_INDEX[name] for name in COCO17])


@pytest.fixture(scope="module")
def lift():
    init = jax.jit(Lifter(16).init)
    params = init(jax.random.key(0), jnp.zeros((1, 17, 2)))["params"]
    return params, jax.jit(functools.partial(lift_keypoints, params))


@pytest.fixture(scope="module")
def positions():
    """Key points of the rest pose seen from somewhat to the side, in pixels."""
    model = load_template()
    posed = jax.jit(pose_body)(model, rest_params(model))
    keypoints = body_keypoints(posed, posed.vertices[landmark_vertices(model)])
    turn = np.diag([1, -1, -1]) @ Rotation.from_euler("y", 0.5).as_matrix()
    return (np.asarray(keypoints) @ turn.T)[:, :2].astype(np.float32) * 200 + 250


def _weights(*chosen):
    weights = np.zeros(len(KEYPOINT_NAMES), np.float32)
    weights[list(chosen)] = 0.5
    return weights


def test_with_all_key_points_it_is_the_lifted_pose(lift, positions):
    params, lift = lift
    expected = jax.jit(lift_depths)(params, joints_from_keypoints(positions))
    depths, weights = lift(positions, _weights(*range(len(KEYPOINT_NAMES))))
    for name, joint in JOINT_INDEX_17.items():
        place = KEYPOINT_INDEX.get({"thorax": "mid_shoulder"}.get(name, name))
        if name in ("pelvis", "spine"):
            continue
        np.testing.assert_allclose(depths[place], expected[joint], rtol=1e-4)
        assert weights[place] == 0.5
    # The body's pelvis is not the middle of the hips; its spine joints are others.
    for name in ("pelvis", "spine1", "left_ear", "left_heel"):
        assert weights[KEYPOINT_INDEX[name]] == 0 == depths[KEYPOINT_INDEX[name]]
    assert depths[KEYPOINT_INDEX["mid_hip"]] == 0


def test_coco_is_enough(lift, positions):
    _, lift = lift
    whole, _ = lift(positions, _weights(*range(len(KEYPOINT_NAMES))))
    hidden = np.full_like(positions, np.nan)
    hidden[COCO] = positions[COCO]
    depths, weights = lift(hidden, _weights(*COCO))
    assert set(np.flatnonzero(weights)) == {
        KEYPOINT_INDEX[name] for name in COCO17 if not name.endswith(("eye", "ear"))
    }
    # The top of the head is estimated, which moves the others a little.
    given = np.flatnonzero(weights)
    np.testing.assert_allclose(depths[given], whole[given], atol=5)
    assert np.isfinite(depths).all()


@pytest.mark.parametrize(
    "missing, lifted",
    [
        (("nose",), True),
        (("left_ear",), True),
        (("left_ear", "right_ear"), False),
        (("left_wrist",), False),
        (("right_hip",), False),
        (tuple(COCO17), False),
    ],
)
def test_what_a_pose_needs(lift, positions, missing, lifted):
    _, lift = lift
    chosen = [KEYPOINT_INDEX[name] for name in COCO17 if name not in missing]
    depths, weights = lift(positions, _weights(*chosen))
    assert weights.any() == lifted == depths.any()
    for name in missing:
        assert weights[KEYPOINT_INDEX[name]] == 0


def test_people_are_lifted_together(lift, positions):
    _, lift = lift
    weights = _weights(*COCO)
    both = jax.vmap(lift)(np.stack([positions, 2 * positions]), np.stack([weights] * 2))
    one = lift(positions, weights)
    np.testing.assert_allclose(both[0][0], one[0], atol=1e-3)
    np.testing.assert_allclose(both[0][1], 2 * one[0], atol=2e-2)
