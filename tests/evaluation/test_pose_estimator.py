"""The estimator that scores pictures: its readout, its units, its weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.body.skeleton import PARENTS
from volhuman.body.template import load_template
from volhuman.errors import InputError
from volhuman.evaluation.pose_estimator import (
    SIZE,
    PoseEstimator,
    bone_lengths,
    estimate_joints,
    load_pose_estimator,
    pose_distances,
)
from volhuman.training.export import export_weights


@pytest.fixture(scope="module")
def params():
    pictures = jnp.zeros((1, SIZE, SIZE, 3))
    return jax.jit(PoseEstimator().init)(jax.random.key(0), pictures)["params"]


def test_estimates_lie_in_the_cube_and_do_not_depend_on_the_batch(params):
    pictures = np.random.default_rng(0).random((2, SIZE, SIZE, 3), np.float32)
    estimate = jax.jit(estimate_joints)
    joints = estimate(params, pictures)
    assert joints.shape == (2, 24, 3)
    assert (np.abs(joints) < 1).all()
    np.testing.assert_allclose(
        estimate(params, pictures[::-1])[::-1], joints, atol=1e-5
    )


def test_a_confident_volume_is_read_at_its_voxel(params):
    """A head whose bias favours one slice puts every joint at that slice's depth."""
    slices = 16
    bias = np.full((slices, 24), -40.0, np.float32)
    bias[3] = 40
    head = {"kernel": jnp.zeros_like(params["head"]["kernel"]), "bias": bias.ravel()}
    pictures = np.zeros((1, SIZE, SIZE, 3), np.float32)
    joints = estimate_joints(params | {"head": head}, pictures)
    np.testing.assert_allclose(joints[..., :2], 0, atol=1e-5)
    np.testing.assert_allclose(joints[..., 2], 2 * 3.5 / slices - 1, atol=1e-5)


def test_larger_pictures_are_brought_to_the_estimators_size(params):
    centres = lambda n: (np.arange(n, dtype=np.float32) + 0.5) / n
    slope = lambda n: np.tile(centres(n)[None, None, :, None], (1, n, 1, 3))
    # Away from the borders the mean over a pixel of a slope is its centre.
    small, large = (estimate_joints(params, slope(n)) for n in (SIZE, 4 * SIZE))
    steps = estimate_joints(params, np.round(4 * slope(SIZE)) / 4)
    assert np.abs(large - small).max() < 0.3 * np.abs(steps - small).max()


def test_distances_are_millimetres_relative_to_the_pelvis():
    rest = jnp.asarray(load_template().joints)  # metres
    bone_sum = 1000 * bone_lengths(rest).sum()
    view = 0.7 * rest + jnp.array([0.1, -0.2, 0.3])
    moved = view.at[20].add(0.7 * jnp.array([0.03, 0, 0.04]))
    distances = pose_distances(moved + 0.5, view, bone_sum)
    np.testing.assert_allclose(distances[20], 50, rtol=1e-3)
    np.testing.assert_allclose(np.delete(distances, 20), 0, atol=1e-2)


def test_bones_join_every_joint_to_its_parent():
    joints = np.random.default_rng(0).random((24, 3))
    expected = [np.linalg.norm(joints[c] - joints[PARENTS[c]]) for c in range(1, 24)]
    np.testing.assert_allclose(bone_lengths(jnp.asarray(joints)), expected, rtol=1e-5)


def test_weights_make_the_round_trip_and_damage_is_named(params, tmp_path):
    path = tmp_path / "estimator.safetensors"
    export_weights(path, params, config={}, step=1, dtype="float32")
    for a, b in zip(
        jax.tree.leaves(load_pose_estimator(path)[0]),
        jax.tree.leaves(params),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match="damaged"):
        load_pose_estimator(path)
