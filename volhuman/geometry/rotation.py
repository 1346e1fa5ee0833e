"""Rotations: axis-angle vectors, matrices, and matrices from nine free numbers.

Conventions of every function here: matrices `(..., 3, 3)` act on column vectors,
axis-angle vectors `(..., 3)` point along the axis with the angle in radians as length
(right-handed). Leading axes are batch axes. All derivatives are finite.
"""

import jax
import jax.numpy as jnp

from volhuman.checks import check_shape


def axis_angle_to_matrix(axis_angle: jax.Array) -> jax.Array:
    """Converts axis-angle vectors to rotation matrices (Rodrigues' formula).

    Value and derivative are exact at angle 0, where the norm itself has none.

    Args:
        axis_angle: `(..., 3)`, radians.

    Returns:
        `(..., 3, 3)` rotation matrices.
    """
    check_shape("axis_angle", axis_angle, "... 3")
    x, y, z = jnp.moveaxis(axis_angle, -1, 0)
    squared = x * x + y * y + z * z
    # Below 1e-3 rad the series is exact in float32, and the root stays away from 0.
    small = squared < 1e-6
    angle = jnp.sqrt(jnp.where(small, 1, squared))
    half_sinc = jnp.where(small, 0.5 - squared / 48, jnp.sin(0.5 * angle) / angle)
    w = jnp.where(small, 1 - squared / 8, jnp.cos(0.5 * angle))
    x, y, z = x * half_sinc, y * half_sinc, z * half_sinc
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_axis_angle(matrix: jax.Array) -> jax.Array:
    """Converts rotation matrices to axis-angle vectors with angles in [0, pi].

    Goes through the quaternion component of largest magnitude (Shepperd's method), so
    it is accurate at angles 0 and pi. At pi the axis is determined up to its sign.

    Args:
        matrix: `(..., 3, 3)` rotations.

    Returns:
        `(..., 3)`, radians.
    """
    check_shape("matrix", matrix, "... 3 3")
    w, x, y, z = jnp.moveaxis(_quaternion_from_matrix(matrix), -1, 0)
    sign = jnp.where(w < 0, -1, 1)
    w, vector = w * sign, jnp.stack([x, y, z], axis=-1) * sign[..., None]
    squared = (vector * vector).sum(-1)
    small = squared < 1e-8
    sine = jnp.sqrt(jnp.where(small, 1, squared))
    angle = 2 * jnp.arctan2(sine, jnp.where(small, 1, w))
    factor = jnp.where(small, 2 + squared / 3, angle / sine)
    return factor[..., None] * vector


def _quaternion_from_matrix(matrix: jax.Array) -> jax.Array:
    """Unit quaternions `(..., 4)`, w first, of rotation matrices."""
    m = [[matrix[..., i, j] for j in range(3)] for i in range(3)]
    (a, b, c), (d, e, f), (g, h, i) = m
    # Row k is 4 q_k (w, x, y, z): any row with a large q_k gives the quaternion.
    rows = jnp.stack(
        [
            jnp.stack([1 + a + e + i, h - f, c - g, d - b], axis=-1),
            jnp.stack([h - f, 1 + a - e - i, b + d, c + g], axis=-1),
            jnp.stack([c - g, b + d, 1 - a + e - i, f + h], axis=-1),
            jnp.stack([d - b, c + g, f + h, 1 - a - e + i], axis=-1),
        ],
        axis=-2,
    )
    largest = jnp.argmax(jnp.diagonal(rows, axis1=-2, axis2=-1), axis=-1)
    row = jnp.take_along_axis(rows, largest[..., None, None], axis=-2)[..., 0, :]
    return row / jnp.sqrt((row * row).sum(-1, keepdims=True))


def gram_schmidt(matrix: jax.Array) -> jax.Array:
    """Orthonormalises the columns of nine free numbers: column 1, then 2, then 3.

    The third column comes from the third column given, not from a cross product, so the
    sign of the determinant survives: a registration that minimises a determinant term
    can leave a reflection (Yoshiyasu & Gamez, "Learning body shape and pose from dense
    correspondences", section 3). Columns that vanish or depend on the earlier ones are
    replaced by a unit vector orthogonal to them, with a zero derivative.

    Args:
        matrix: `(..., 3, 3)`.

    Returns:
        `(..., 3, 3)` with orthonormal columns and the determinant's sign of `matrix`
        (+1 where that is 0).
    """
    check_shape("matrix", matrix, "... 3 3")
    # Replacements look at the later columns, so that they never make a reflection.
    fixed = jax.lax.stop_gradient(matrix)
    unit_x = jnp.broadcast_to(jnp.array([1, 0, 0], matrix.dtype), matrix.shape[:-1])
    other = _unit_or(jnp.cross(fixed[..., 1], fixed[..., 2]), unit_x)
    first = _unit_or(matrix[..., 0], other)
    other = _across(jnp.cross(fixed[..., 2], first), first)
    other = _unit_or(other, perpendicular(first), reference=fixed[..., 2])
    second = _across(matrix[..., 1], first)
    second = _unit_or(second, other, reference=matrix[..., 1])
    third = _across(matrix[..., 2], first, second)
    third = _unit_or(third, jnp.cross(first, second), reference=matrix[..., 2])
    return jnp.stack([first, second, third], axis=-1)


def perpendicular(vector: jax.Array) -> jax.Array:
    """Returns some unit vector `(..., 3)` orthogonal to the unit vector given."""
    axis = jnp.argmin(jnp.abs(vector), axis=-1)
    other = jax.nn.one_hot(axis, 3, dtype=vector.dtype)
    crossed = jnp.cross(vector, other)
    return crossed / jnp.sqrt((crossed * crossed).sum(-1, keepdims=True))


def minimal_rotation(source: jax.Array, target: jax.Array) -> jax.Array:
    """Returns the rotation by the smallest angle that takes one direction to another.

    For opposite directions, where the axis is open, some half turn is returned; a
    vanishing direction gives the identity.

    Args:
        source: `(..., 3)` direction of any length.
        target: `(..., 3)` direction of any length.

    Returns:
        `(..., 3, 3)` rotation.
    """
    source = _unit_or(source, jnp.zeros_like(source))
    target = _unit_or(target, jnp.zeros_like(target))
    degenerate = (source * source).sum(-1) * (target * target).sum(-1) < 0.5
    cosine = (source * target).sum(-1)
    opposite = cosine < -1 + 1e-6
    w = jnp.where(opposite, 0, 1 + cosine)
    vector = jnp.where(
        opposite[..., None], perpendicular(source), jnp.cross(source, target)
    )
    w = jnp.where(degenerate, 1, w)
    x, y, z = jnp.moveaxis(jnp.where(degenerate[..., None], 0, vector), -1, 0)
    scale = 2 / (w * w + x * x + y * y + z * z)
    rows = [
        [1 - scale * (y * y + z * z), scale * (x * y - w * z), scale * (x * z + w * y)],
        [scale * (x * y + w * z), 1 - scale * (x * x + z * z), scale * (y * z - w * x)],
        [scale * (x * z - w * y), scale * (y * z + w * x), 1 - scale * (x * x + y * y)],
    ]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def _across(vector: jax.Array, *units: jax.Array) -> jax.Array:
    """Removes the parts along orthonormal vectors; once would leave the rounding."""
    for unit in units * 2:
        vector = vector - (vector * unit).sum(-1, keepdims=True) * unit
    return vector


def _unit_or(
    vector: jax.Array, fallback: jax.Array, *, reference: jax.Array | None = None
) -> jax.Array:
    """Normalises; where `vector` vanishes beside `reference`, returns the fallback."""
    squared = (vector * vector).sum(-1, keepdims=True)
    floor = 1e-30
    if reference is not None:
        # What remains of a dependent column in float32 is rounding, not a direction.
        floor = jnp.maximum(floor, 1e-12 * (reference * reference).sum(-1)[..., None])
    good = squared > floor
    length = jnp.sqrt(jnp.where(good, squared, 1))
    return jnp.where(good, vector / length, fallback)
