"""Rotations: SciPy as oracle, finite values and gradients at the special angles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from volhuman.geometry.rotation import (
    axis_angle_to_matrix,
    gram_schmidt,
    matrix_to_axis_angle,
    minimal_rotation,
    perpendicular,
)

ANGLES = [0.0, 1e-8, 1e-4, 0.9e-3, 1.1e-3, 0.5, np.pi - 1e-3, np.pi, 2 * np.pi, 7.0]
AXES = np.array([[1, 0, 0], [0, -1, 0], [0, 0, 1], [1, 2, -3], [-1, 1, 1e-3]])
AXES = AXES / np.linalg.norm(AXES, axis=1, keepdims=True)


def vectors_of(angle):
    return np.float32(angle * AXES)


def derivative(rotvec):
    """d matrix / d axis-angle by central differences of SciPy, `(3, 3, 3)`."""
    columns = []
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = 1e-5
        ends = [Rotation.from_rotvec(rotvec + s * step).as_matrix() for s in (1, -1)]
        columns.append((ends[0] - ends[1]) / 2e-5)
    return np.stack(columns, axis=-1)


@pytest.fixture(scope="module")
def jacobian():
    return jax.jit(jax.vmap(jax.jacobian(axis_angle_to_matrix)))


@pytest.mark.parametrize("angle", ANGLES)
def test_axis_angle_value_and_gradient_at_special_angles(jacobian, angle):
    vectors = vectors_of(angle)
    expected = Rotation.from_rotvec(vectors).as_matrix()
    np.testing.assert_allclose(axis_angle_to_matrix(vectors), expected, atol=2e-6)
    slopes = np.stack([derivative(np.float64(v)) for v in vectors])
    np.testing.assert_allclose(jacobian(vectors), slopes, atol=5e-6)


@pytest.mark.parametrize("angle", [a for a in ANGLES if a <= np.pi])
def test_round_trip_including_the_half_turn(variant, angle):
    vectors = vectors_of(angle)
    back = np.asarray(variant(matrix_to_axis_angle)(axis_angle_to_matrix(vectors)))
    if angle == np.pi:  # the axis of a half turn has no sign
        back = back * np.sign((back * vectors).sum(1, keepdims=True))
    np.testing.assert_allclose(back, vectors, atol=2e-6)


def test_matrix_to_axis_angle_equals_scipy_for_all_quaternion_branches():
    rotations = Rotation.random(500, np.random.default_rng(0))
    matrices = rotations.as_matrix().reshape(5, 100, 3, 3).astype(np.float32)
    result = np.asarray(jax.jit(matrix_to_axis_angle)(matrices)).reshape(-1, 3)
    assert (np.linalg.norm(result, axis=1) <= np.pi + 1e-5).all()
    np.testing.assert_allclose(result, rotations.as_rotvec(), atol=2e-5)


@pytest.mark.parametrize("angle", [0.0, 1e-8, 1e-4, 0.5, 3.0, np.pi])
def test_gradient_of_the_round_trip_is_the_identity(angle):
    """Through the matrix and back; at pi, where the log jumps, it is finite."""
    trip = lambda vector: matrix_to_axis_angle(axis_angle_to_matrix(vector))
    slopes = jax.jit(jax.vmap(jax.jacobian(trip)))(vectors_of(angle))
    assert np.isfinite(slopes).all()
    if angle < np.pi:
        expected = np.broadcast_to(np.eye(3), slopes.shape)
        np.testing.assert_allclose(slopes, expected, atol=2e-3)


def test_gram_schmidt_orthonormalises_and_keeps_the_sign_of_the_determinant(variant):
    matrices = np.random.default_rng(1).normal(size=(40, 5, 3, 3)).astype(np.float32)
    result = np.float64(variant(gram_schmidt)(jnp.asarray(matrices)))
    square = np.einsum("...ji,...jk", result, result)
    np.testing.assert_allclose(
        square, np.broadcast_to(np.eye(3), square.shape), atol=2e-6
    )
    determinant = np.linalg.det(np.float64(matrices))
    clear = np.abs(determinant) > 1e-3
    np.testing.assert_array_equal(
        np.sign(np.linalg.det(result))[clear], np.sign(determinant)[clear]
    )
    # The same as the QR factor with a positive diagonal.
    q, r = np.linalg.qr(np.float64(matrices))
    expected = q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
    np.testing.assert_allclose(result[clear], expected[clear], atol=2e-3)
    assert 0.3 < (determinant < 0).mean() < 0.7


SINGULAR = {
    "zero": np.zeros((3, 3)),
    "rank 1": np.outer([1, 2, 3], [1, -1, 0.5]),
    "rank 1, first column 0": np.outer([1, 2, 3], [0, 1, 1]),
    "rank 2, equal columns": np.array([[1, 1, 0], [2, 2, 1], [0, 0, 3]]),
    "rank 2, third depends": np.array([[1, 0, 1], [0, 1, 1], [0, 0, 0]]),
    "first 0": np.array([[0, 1, 0], [0, 1, 2], [0, 3, -1]]),
    "first 0, mirrored": np.array([[0, 0, 1], [0, 2, 1], [0, -1, 3]]),
    "second 0, mirrored": np.array([[1, 0, 0], [0, 0, -2], [0, 0, 1]]),
    "second 0": np.array([[1, 0, 0], [0, 0, 2], [0, 0, 1]]),
    "tiny": 1e-12 * np.eye(3),
    "huge": 1e12 * np.eye(3),
}


@pytest.fixture(scope="module")
def singular():
    """Gram-Schmidt of every singular matrix, and the gradient of a sum."""
    factors = jnp.arange(9.0).reshape(3, 3)
    loss = lambda m: (gram_schmidt(m) * factors).sum()
    batch = jnp.asarray(np.stack(list(SINGULAR.values())), jnp.float32)
    results = jax.jit(gram_schmidt)(batch), jax.jit(jax.vmap(jax.grad(loss)))(batch)
    return dict(zip(SINGULAR, zip(*map(np.asarray, results))))


@pytest.mark.parametrize("case", SINGULAR)
def test_gram_schmidt_of_singular_matrices_is_a_rotation_with_finite_gradient(
    singular, case
):
    result, gradient = singular[case]
    result = np.float64(result)
    np.testing.assert_allclose(result.T @ result, np.eye(3), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(result), 1, atol=1e-5)
    assert np.isfinite(gradient).all()
    if case == "rank 1":  # a replaced column does not depend on its numbers
        np.testing.assert_array_equal(gradient[:, 1:], 0)


def test_a_determinant_loss_recovers_from_a_reflection():
    """Gradient descent on (det - 1)^2 through Gram-Schmidt and a data term."""
    target = jnp.asarray(
        Rotation.from_rotvec([0.3, -0.2, 0.5]).as_matrix(), jnp.float32
    )
    mirror = target * jnp.array([1, 1, -0.3])

    def loss(raw):
        fit = ((gram_schmidt(raw) - target) ** 2).sum()
        return fit + (jnp.linalg.det(raw) - 1) ** 2

    step = jax.jit(lambda raw: raw - 0.05 * jax.grad(loss)(raw))
    raw = mirror
    for _ in range(200):
        raw = step(raw)
    np.testing.assert_allclose(np.linalg.det(gram_schmidt(raw)), 1, atol=1e-4)


@pytest.fixture(scope="module")
def turn():
    return jax.jit(minimal_rotation)


def test_minimal_rotation_takes_one_direction_to_the_other_by_the_smallest_angle(turn):
    source, target = np.random.default_rng(2).normal(size=(2, 300, 3))
    rotation = np.float64(turn(np.float32(source), np.float32(target)))
    unit_source = source / np.linalg.norm(source, axis=1, keepdims=True)
    unit_target = target / np.linalg.norm(target, axis=1, keepdims=True)
    moved = np.einsum("bij,bj->bi", rotation, unit_source)
    np.testing.assert_allclose(moved, unit_target, atol=2e-6)
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-5)
    angle = np.arccos((unit_source * unit_target).sum(1))
    turned = Rotation.from_matrix(rotation).magnitude()
    np.testing.assert_allclose(turned, angle, atol=1e-3)


@pytest.mark.parametrize("direction", [*np.eye(3), [1, 1, 1], [1e-3, -5, 2]])
def test_minimal_rotation_of_opposite_equal_and_vanishing_vectors(turn, direction):
    direction = np.float32(direction)
    slopes = jax.jit(jax.jacobian(minimal_rotation, argnums=(0, 1)))
    cases = [(direction, f * direction) for f in (-1, -3, 1, 2)]
    near = np.float32(direction + np.array([1e-4, 2e-4, -1e-4]))
    cases += [(direction, -near), (direction, near)]
    for source, target in cases:
        rotation = np.float64(turn(source, target))
        np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-5)
        moved = rotation @ source / np.linalg.norm(source)
        # Within 1.5 mrad of the opposite direction the half turn stays one.
        np.testing.assert_allclose(moved, target / np.linalg.norm(target), atol=2e-3)
        assert all(np.isfinite(s).all() for s in slopes(source, target))
    np.testing.assert_allclose(turn(direction, direction), np.eye(3), atol=1e-6)
    for pair in ((0 * direction, direction), (direction, 0 * direction)):
        np.testing.assert_array_equal(turn(*pair), np.eye(3))
        assert all(np.isfinite(s).all() for s in slopes(*pair))


def test_perpendicular_is_a_unit_vector_across():
    vectors = np.concatenate([AXES, np.random.default_rng(3).normal(size=(50, 3))])
    vectors = np.float32(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    across = np.asarray(perpendicular(vectors))
    np.testing.assert_allclose((across * vectors).sum(1), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(across, axis=1), 1, atol=1e-6)


@pytest.mark.slow  # imports torch
def test_agrees_with_roma():
    roma, torch = pytest.importorskip("roma"), pytest.importorskip("torch")
    vectors = np.random.default_rng(4).normal(0, 1.5, (100, 3)).astype(np.float32)
    expected = roma.rotvec_to_rotmat(torch.from_numpy(vectors)).numpy()
    np.testing.assert_allclose(axis_angle_to_matrix(vectors), expected, atol=2e-6)
    back = roma.rotmat_to_rotvec(torch.from_numpy(expected)).numpy()
    np.testing.assert_allclose(matrix_to_axis_angle(expected), back, atol=2e-5)


def test_says_which_shape_is_wrong():
    for function, shape in (
        (axis_angle_to_matrix, (4,)),
        (matrix_to_axis_angle, (4, 3)),
        (gram_schmidt, (3, 2)),
    ):
        with pytest.raises(ValueError, match="has shape"):
            function(jnp.zeros(shape))
