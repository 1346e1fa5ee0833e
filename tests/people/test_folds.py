"""Folds: none at rest, in creases where the pose compresses; loose cloth hangs."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from volhuman.body.pose_sampler import posed_frames, sample_pose
from volhuman.body.skeleton import JOINT_INDEX
from volhuman.people.folds import fold_displacement, hang, squared_edges
from volhuman.people.surface import fine_body

WRINKLE = 0.016


@pytest.fixture(scope="module")
def body():
    return fine_body()


@pytest.fixture(scope="module")
def skin_of(body):
    """The mean body skinned by the formula of linear blend skinning."""

    def skin(pose):
        joints, rotations = posed_frames(pose, body.joints)
        blended = np.einsum("vj,jab->vab", body.weights, rotations)
        offset = joints - np.einsum("jab,jb->ja", rotations, body.joints)
        return np.einsum("vab,vb->va", blended, body.rest) + body.weights @ offset

    return skin


def folds(body, posed, seed=1):
    return fold_displacement(
        np.full(len(body.rest), WRINKLE), squared_edges(body.rest), posed, seed
    )


def bent_elbow(side, degrees):
    pose = np.zeros((24, 3))
    sign = {"left": -1, "right": 1}[side]
    pose[JOINT_INDEX[f"{side}_elbow"], 1] = sign * np.deg2rad(degrees)
    return pose


def test_the_rest_pose_has_no_folds(body):
    assert not folds(body, body.rest).any()


def test_moving_the_whole_body_raises_no_folds(body):
    turn = Rotation.from_rotvec([0.3, 2.0, -1.0]).as_matrix()
    assert np.abs(folds(body, body.rest @ turn.T + [0.4, 2, 9])).max() < 1e-8


def test_a_bent_elbow_folds_at_its_inside_and_nowhere_else(body, skin_of):
    height = np.abs(folds(body, skin_of(bent_elbow("left", 100))))
    x, _, z = body.rest.T
    inside = (np.abs(x - 0.43) < 0.04) & (z > 0.03)
    outside = (np.abs(x - 0.43) < 0.04) & (z < 0)
    assert inside.sum() > 40 and outside.sum() > 40
    assert height[inside].mean() > 0.15 * WRINKLE
    assert height[inside].mean() > 2 * height[outside].mean()
    assert height[x < 0.2].max() < 0.02 * WRINKLE, "the trunk and the other arm"


def test_folds_grow_with_the_bend(body, skin_of):
    crease = (np.abs(body.rest[:, 0] - 0.43) < 0.04) & (body.rest[:, 2] > 0.02)
    means = [
        np.abs(folds(body, skin_of(bent_elbow("left", degrees))))[crease].mean()
        for degrees in (0, 20, 50, 100)
    ]
    assert means[0] < 1e-8 and (np.diff(means) > 0).all()


def test_both_arms_fold_alike(body, skin_of):
    """Not vertex by vertex, because the pattern differs, but as strongly."""
    means = []
    for side, sign in (("left", 1), ("right", -1)):
        height = np.abs(folds(body, skin_of(bent_elbow(side, 90))))
        means.append(height[np.abs(sign * body.rest[:, 0] - 0.43) < 0.05].mean())
    assert means[0] == pytest.approx(means[1], rel=0.35)


def test_the_hip_creases_when_the_thigh_is_raised(body, skin_of):
    pose = np.zeros((24, 3))
    pose[JOINT_INDEX["left_hip"], 0] = -np.deg2rad(90)
    height = np.abs(folds(body, skin_of(pose)))
    x, y, z = body.rest.T
    crease = (x > 0.04) & (x < 0.15) & (np.abs(y + 0.03) < 0.05) & (z > 0.03)
    other = (x < -0.04) & (x > -0.15) & (np.abs(y + 0.45) < 0.1)
    assert height[crease].mean() > 5 * height[other].mean()


def test_extreme_poses_stay_finite_and_bounded(body, skin_of):
    generator = np.random.default_rng(0)
    poses = [sample_pose(generator, body.joints, "wild") for _ in range(3)]
    poses.append(generator.uniform(-3, 3, (24, 3)))
    for pose in poses:
        height = folds(body, skin_of(pose))
        assert np.isfinite(height).all() and np.abs(height).max() < 2 * WRINKLE
    collapsed = folds(body, np.zeros_like(body.rest))
    assert np.isfinite(collapsed).all() and np.abs(collapsed).max() < 2 * WRINKLE


def test_folds_scale_with_the_fabric_and_differ_between_seeds(body, skin_of):
    posed = skin_of(bent_elbow("left", 90))
    wrinkle = np.linspace(0, WRINKLE, len(body.rest))
    height = fold_displacement(wrinkle, squared_edges(body.rest), posed, 1)
    np.testing.assert_allclose(
        height, folds(body, posed) * wrinkle / WRINKLE, atol=1e-15
    )
    near = np.abs(body.rest[:, 0] - 0.43) < 0.05
    pair = [folds(body, posed, seed)[near] for seed in (1, 2)]
    assert np.abs(np.corrcoef(pair)[0, 1]) < 0.9
    np.testing.assert_array_equal(folds(body, posed, 1)[near], pair[0])


def test_loose_cloth_rests_on_top_and_sags_below():
    vertices = np.array([[0.0, 1, 0], [0, 0, 1], [0, -1, 0], [1, 0, 0]])
    slack = np.full(4, 0.03)
    moved = hang(vertices, vertices, slack)
    top, side, bottom, other = ((moved - vertices) * vertices).sum(1)
    assert 0 <= top < 0.1 * 0.03 and bottom > 0.95 * 0.03
    assert top < side == other < bottom <= 1.1 * 0.03
    np.testing.assert_array_equal(hang(vertices, vertices, 0 * slack), vertices)
