"""Key point formats and the points that the embedded body has for them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.body.keypoints import (
    BODY25,
    COCO17,
    KEYPOINT_INDEX,
    KEYPOINT_NAMES,
    LANDMARK_NAMES,
    MID_POINTS,
    body_keypoints,
    known_keypoints,
    landmark_vertices,
)
from volhuman.body.model import pose_body, rest_params, take_vertices
from volhuman.body.skeleton import JOINT_NAMES, exchange_sides
from volhuman.body.template import load_template

# The published orders: COCO person key points, and OpenPose's BODY_25, whose "Neck" and
# "MidHip" lie between the shoulders and between the hips.
COCO_ORDER = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder "
    "left_elbow right_elbow left_wrist right_wrist left_hip right_hip "
    "left_knee right_knee left_ankle right_ankle"
)
OPENPOSE_ORDER = (
    "Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist MidHip RHip RKnee "
    "RAnkle LHip LKnee LAnkle REye LEye REar LEar LBigToe LSmallToe LHeel RBigToe "
    "RSmallToe RHeel"
)
SPECIAL = {"Neck": "mid_shoulder", "MidHip": "mid_hip", "Nose": "nose"}


def from_openpose(name):
    if name in SPECIAL:
        return SPECIAL[name]
    part = {"BigToe": "big_toe", "SmallToe": "small_toe"}.get(
        name[1:], name[1:].lower()
    )
    return {"L": "left_", "R": "right_"}[name[0]] + part


@pytest.fixture(scope="module")
def body():
    return load_template()


@pytest.fixture(scope="module")
def rest_points(body):
    posed = pose_body(body, rest_params(body))
    points = body_keypoints(posed, posed.vertices[landmark_vertices(body)])
    assert points.shape == (len(KEYPOINT_NAMES), 3)
    return dict(zip(KEYPOINT_NAMES, np.asarray(points)))


def test_formats_have_the_published_order():
    assert tuple(COCO_ORDER.split()) == COCO17 and len(COCO17) == 17
    assert tuple(map(from_openpose, OPENPOSE_ORDER.split())) == BODY25
    assert len(BODY25) == 25


def test_every_name_is_unique_known_and_has_a_mirror():
    assert len(set(KEYPOINT_NAMES)) == len(KEYPOINT_NAMES) == 24 + 14 + 2
    assert KEYPOINT_NAMES[:24] == JOINT_NAMES
    assert set(COCO17) | set(BODY25) <= set(KEYPOINT_NAMES)
    assert {exchange_sides(name) for name in KEYPOINT_NAMES} == set(KEYPOINT_NAMES)
    for name, number in KEYPOINT_INDEX.items():
        assert KEYPOINT_NAMES[number] == name


def test_the_embedded_body_has_every_key_point(body):
    assert known_keypoints(body).all()
    vertices = np.asarray(landmark_vertices(body))
    assert len(set(vertices.tolist())) == len(LANDMARK_NAMES)
    named = dict(zip(body.landmark_names, np.asarray(body.landmark_vertices)))
    assert [named[name] for name in LANDMARK_NAMES] == vertices.tolist()


def test_a_body_without_landmarks_says_so(body):
    bare = take_vertices(body, jnp.arange(5))
    known = dict(zip(KEYPOINT_NAMES, known_keypoints(bare)))
    assert not any(known[name] for name in LANDMARK_NAMES)
    assert all(known[name] for name in (*JOINT_NAMES, *MID_POINTS))
    np.testing.assert_array_equal(landmark_vertices(bare), 0)
    one = dataclasses.replace(
        bare, landmark_names=("nose",), landmark_vertices=jnp.array([3])
    )
    assert landmark_vertices(one)[LANDMARK_NAMES.index("nose")] == 3
    assert known_keypoints(one).sum() == known_keypoints(bare).sum() + 1


def test_points_lie_where_their_names_say(rest_points):
    """x to the left, y up, z to the front; left and right mirror each other."""
    for name, point in rest_points.items():
        other = rest_points[exchange_sides(name)]
        np.testing.assert_allclose(other * [-1, 1, 1], point, atol=2e-4, err_msg=name)
        if name.startswith("left_"):
            assert point[0] > 0.01
    at = rest_points
    assert at["head_top"][1] > at["left_eye"][1] > at["nose"][1] > at["neck"][1]
    assert at["nose"][2] > at["left_eye"][2] > at["left_ear"][2]
    assert at["left_big_toe"][2] > at["left_ankle"][2] > at["left_heel"][2]
    assert at["left_small_toe"][0] > at["left_big_toe"][0]
    assert at["left_hand_tip"][0] > at["left_hand"][0] > at["left_wrist"][0]


def test_mid_points_lie_halfway_and_all_points_move_with_the_body(body, rest_points):
    for name, (first, second) in MID_POINTS.items():
        middle = (rest_points[first] + rest_points[second]) / 2
        np.testing.assert_allclose(rest_points[name], middle, atol=1e-6)
    params = rest_params(body)
    params = dataclasses.replace(params, translation=jnp.array([1.0, 2, 3]))

    @jax.jit
    def points(params):
        posed = pose_body(body, params)
        return body_keypoints(posed, posed.vertices[landmark_vertices(body)])

    moved = points(params) - jnp.stack(list(rest_points.values()))
    np.testing.assert_allclose(moved, np.tile([[1, 2, 3]], (40, 1)), atol=1e-5)
