"""Loss terms against values worked out by hand, and the meaning of their signs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from volhuman.body.model import pose_body, rest_params
from volhuman.body.pose_sampler import sample_pose
from volhuman.body.skeleton import JOINT_INDEX, PARENTS, mirror_pose
from volhuman.body.template import load_template
from volhuman.deform_and_learn import losses
from volhuman.geometry.camera import FACING_CAMERA


def _close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7)


# -- evidence


def test_dense_loss_is_the_weighted_mean_of_squared_distances(variant):
    projected = jnp.array([[0.0, 0.0], [1.0, 2.0], [5.0, 5.0]])
    observed = jnp.array([[3.0, 4.0], [1.0, 1.0], [-9.0, 0.0]])
    loss = variant(losses.dense_loss)
    _close(loss(projected, observed, jnp.array([1.0, 1.0, 0.0])), (25 + 1) / 2)
    _close(loss(projected, observed, jnp.array([1.0, 3.0, 0.0])), (25 + 3) / 4)
    _close(loss(projected, observed, jnp.array([0.0, 2.0, 0.0])), 1)


def test_dense_loss_without_points_is_0_with_a_finite_gradient():
    gradient = jax.grad(losses.dense_loss)
    for count in (0, 4):
        points, weights = jnp.ones((count, 2)), jnp.zeros(count)
        assert losses.dense_loss(points, points + 1, weights) == 0
        _close(gradient(points, points + 1, weights), 0)


def test_dense_loss_does_not_depend_on_padding():
    generator = np.random.default_rng(0)
    projected, observed = generator.normal(size=(2, 30, 2))
    weights = (np.arange(30) < 20).astype(np.float32)
    _close(
        losses.dense_loss(projected, observed, weights),
        losses.dense_loss(projected[:20], observed[:20], np.ones(20)),
    )


def test_keypoint_loss_sums_image_and_depth_where_they_are_known(variant):
    projected = jnp.array([[0.0, 0.0, 1.0], [1.0, 2.0, 3.0], [7.0, 7.0, 7.0]])
    observed = jnp.array([[3.0, 4.0], [1.0, 1.0], [0.0, 0.0]])
    depths = jnp.array([5.0, 5.0, 0.0])
    weights, deep = jnp.array([1.0, 0.5, 0.0]), jnp.array([0.0, 2.0, 0.0])
    value = variant(losses.keypoint_loss)(projected, observed, weights, depths, deep)
    _close(value, 25 + 0.5 * 1 + 2 * 4)


# -- body


def test_scale_loss_is_0_at_1_and_keeps_the_level(variant):
    loss = variant(losses.scale_loss)
    _close(loss(jnp.ones(24)), 0)
    # A common level costs little but not nothing, or the camera could absorb it.
    assert 0 < loss(jnp.full(24, 1.1)) < 1e-3
    _close(loss(jnp.full(24, 3.0)), 4 * loss(jnp.full(24, 2.0)))


def test_scale_loss_measures_the_steps_along_the_tree():
    scales = np.random.default_rng(1).uniform(0.5, 1.5, 24)
    scales -= scales.mean() - 1  # without the term of the level
    expected = sum(
        (scales[joint] - scales[parent]) ** 2
        for joint, parent in enumerate(PARENTS)
        if parent >= 0
    )
    _close(losses.scale_loss(jnp.asarray(scales, jnp.float32)), expected)


def test_joint_loss_sums_the_squared_angles():
    angles = np.random.default_rng(2).uniform(0, 3, 23)
    axes = np.random.default_rng(3).normal(size=(23, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    _close(losses.joint_loss(jnp.asarray(angles[:, None] * axes)), (angles**2).sum())


# -- joint limits

HINGES = {
    # joint that turns, joint that it moves, axis, sign of flexion
    "left_knee": ("left_ankle", 0, 1),
    "right_knee": ("right_ankle", 0, 1),
    "left_elbow": ("left_wrist", 1, -1),
    "right_elbow": ("right_wrist", 1, 1),
}


def _turned(name, axis, angle):
    """A pose `(23, 3)` in which one joint turns."""
    pose = np.zeros((23, 3), np.float32)
    pose[JOINT_INDEX[name] - 1, axis] = angle
    return jnp.asarray(pose)


@pytest.fixture(scope="module")
def joints_of():
    """Joints `(24, 3)` of the template in a pose `(23, 3)`."""
    model = load_template()
    rest = rest_params(model)

    @jax.jit
    def joints(pose):
        full = jnp.concatenate([jnp.zeros((1, 3)), pose])
        params = type(rest)(full, rest.shape, rest.scales, rest.translation)
        return pose_body(model, params).joints

    return joints


@pytest.mark.parametrize("name", HINGES)
def test_hinges_bend_one_way(joints_of, name):
    """Knees carry the ankle backwards, elbows the wrist forwards, for free."""
    moved, axis, sign = HINGES[name]
    loss = jax.jit(losses.limit_loss)
    for angle in (0.3, 1.0, 2.0, 2.5):
        flexed = _turned(name, axis, sign * angle)
        shift = joints_of(flexed) - joints_of(jnp.zeros((23, 3)))
        forwards = float(shift[JOINT_INDEX[moved], 2])
        assert forwards > 0.02 if "elbow" in name else forwards < -0.02
        assert loss(flexed) == 0
    small, large = (loss(_turned(name, axis, -sign * angle)) for angle in (0.2, 0.9))
    assert 0 < small < large
    # Beyond the end of flexion, and sideways, there is resistance too.
    assert loss(_turned(name, axis, sign * 3.0)) > 0
    for other in {0, 1, 2} - {axis}:
        assert loss(_turned(name, other, 1.0)) > 0.1


def test_limits_are_free_at_rest_and_almost_free_for_sampled_poses():
    rest = np.asarray(load_template().joints)
    generator = np.random.default_rng(0)
    loss = jax.jit(losses.limit_loss)
    assert loss(jnp.zeros((23, 3))) == 0
    sampled = [loss(sample_pose(generator, rest)[1:]) for _ in range(60)]
    wild = [loss(generator.normal(size=(23, 3))) for _ in range(60)]
    assert np.percentile(sampled, 90) < 0.05 and np.min(wild) > 1


def test_limits_are_the_same_for_both_sides():
    generator = np.random.default_rng(4)
    for _ in range(5):
        pose = np.concatenate([np.zeros((1, 3)), generator.normal(size=(23, 3))])
        _close(
            losses.limit_loss(jnp.asarray(mirror_pose(pose)[1:])),
            losses.limit_loss(jnp.asarray(pose[1:])),
        )


def test_the_gradient_of_the_limits_is_their_slope():
    generator = np.random.default_rng(5)
    pose, step = generator.normal(size=(2, 23, 3)).astype(np.float32)
    slope = (jax.grad(losses.limit_loss)(pose) * step).sum()
    ahead, behind = (losses.limit_loss(pose + e * step) for e in (1e-2, -1e-2))
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-2, rtol=2e-2)


# -- camera


def test_determinant_loss_is_large_for_a_reflection_and_pushes_it_back(variant):
    generator = np.random.default_rng(6)
    loss = variant(losses.determinant_loss)
    for _ in range(5):
        raw = generator.normal(size=(3, 3))
        _close(loss(jnp.asarray(raw)), np.exp(-np.linalg.det(raw)))
    mirror = jnp.diag(jnp.array([1.0, 1.0, -1.0]))
    downhill = -jax.grad(losses.determinant_loss)(mirror)
    before, after = (jnp.linalg.det(m) for m in (mirror, mirror + 0.01 * downhill))
    assert before < after


@pytest.mark.parametrize("size", [0.0, 1e3, -1e3, 1e10])
def test_determinant_loss_stays_finite_for_any_numbers(size):
    raw = size * jnp.eye(3)
    value, gradient = jax.value_and_grad(losses.determinant_loss)(raw)
    assert jnp.isfinite(value) and jnp.isfinite(gradient).all()


def test_upright_loss_is_free_for_any_yaw_and_grows_with_the_lean():
    turned = lambda axis, degrees: jnp.asarray(
        FACING_CAMERA @ Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    )
    for yaw in (0, 40, 90, 180):
        np.testing.assert_allclose(losses.upright_loss(turned("y", yaw)), 0, atol=1e-6)
    for axis in "xz":
        lean = [losses.upright_loss(turned(axis, angle)) for angle in (10, 60, 180)]
        assert 0 < lean[0] < lean[1] < lean[2]
        _close(lean[2], 4)


# -- silhouette


def _field(size=64, radius=0.5):
    """Distance to a disc, and points inside it."""
    axis = (np.arange(size) + 0.5) * 2 / size - 1
    x, y = np.meshgrid(axis, axis)
    distance = np.maximum(np.hypot(x, y) - radius, 0)
    inside = np.stack([x, y], -1)[distance == 0][::7]
    return jnp.asarray(distance, jnp.float32), jnp.asarray(inside, jnp.float32)


def test_silhouette_loss_measures_both_ways():
    distance, inside = _field()
    # Vertices where the mask is: nothing protrudes, nothing is bare.
    _close(losses.silhouette_loss(inside, distance, inside), 0)
    # A vertex 0.3 outside the mask protrudes by that much, one of two.
    one = jnp.array([[0.8, 0.0], [0.1, 0.1]])
    value = losses.silhouette_loss(one, distance, one[1:])
    np.testing.assert_allclose(value, 0.3**2 / 2, rtol=0.05)
    # All vertices in one place inside: the rest of the mask is bare.
    middle = jnp.zeros((5, 2))
    bare = (inside**2).sum(-1).mean()
    _close(losses.silhouette_loss(middle, distance, inside), bare)


def test_silhouette_loss_pulls_a_displaced_disc_back():
    distance, inside = _field()
    loss = lambda shift: losses.silhouette_loss(inside + shift, distance, inside)
    for shift in ([0.3, 0.0], [0.0, -0.4], [-0.2, 0.2]):
        shift = jnp.array(shift)
        assert (jax.grad(loss)(shift) * shift).sum() > 0
        assert loss(shift) > loss(0.5 * shift) > loss(0.0)


@pytest.mark.parametrize("shift", [0.0, 2.0, 50.0])
def test_silhouette_gradient_is_finite_also_outside_the_crop(shift):
    distance, inside = _field()
    value, gradient = jax.value_and_grad(losses.silhouette_loss)(
        inside + shift, distance, inside
    )
    assert jnp.isfinite(value) and jnp.isfinite(gradient).all()
