"""Similarity transforms and their least-squares fit (the 7-parameter Helmert fit).

Conventions of every function here:

* Points are `(..., N, 3)`; a similarity maps `x` to `scale * rotation @ x +
  translation`.
* Leading axes are batch axes: every function accepts them, and works under `jax.vmap`.
* Every fitted rotation has determinant +1. Degenerate point sets (coincident,
  collinear, coplanar, zero weights) give finite values and finite gradients.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from volhuman.checks import check_shape

# Power iteration by squaring: the exponent 2**16 separates eigenvalues whose relative
# distance is above 1e-4; what lies below is lost in the float32 moments anyway.
_NUM_SQUARINGS = 16
_NUM_REFINEMENTS = 2
# Relative damping of the 3x3 systems. A direction that the points do not determine
# (the twist of a straight limb) keeps the value of the start in the refinement and gets
# a bounded derivative.
_REFINEMENT_DAMPING = 1e-4
_DERIVATIVE_DAMPING = 1e-6
# Relative size below which a centred point set counts as one point in float32.
_COINCIDENT = 1e-6
_MINIMUM_SCALE = 1e-6


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Similarity:
    """A similarity transform, or a batch of them.

    Attributes:
        scale: `(...)`, positive.
        rotation: `(..., 3, 3)`, determinant +1.
        translation: `(..., 3)`, in the unit of the points.
    """

    scale: jax.Array
    rotation: jax.Array
    translation: jax.Array

    def apply(self, points: jax.Array) -> jax.Array:
        """Maps points `(..., N, 3)`; the leading axes match those of the transform."""
        rotated = _rotate(self.rotation[..., None, :, :], points)
        return self.scale[..., None, None] * rotated + self.translation[..., None, :]

    def inverse(self) -> "Similarity":
        """Returns the inverse transform."""
        rotation = jnp.swapaxes(self.rotation, -1, -2)
        scale = 1 / self.scale
        translation = -scale[..., None] * _rotate(rotation, self.translation)
        return Similarity(scale, rotation, translation)

    def compose(self, inner: "Similarity") -> "Similarity":
        """Returns the transform that applies `inner` first, then this one."""
        moved = self.scale[..., None] * _rotate(self.rotation, inner.translation)
        return Similarity(
            self.scale * inner.scale,
            jnp.matmul(self.rotation, inner.rotation, precision="highest"),
            moved + self.translation,
        )

    def as_matrix(self) -> jax.Array:
        """Returns the homogeneous matrices `(..., 4, 4)`."""
        linear = self.scale[..., None, None] * self.rotation
        upper = jnp.concatenate([linear, self.translation[..., None]], axis=-1)
        last = jnp.array([0, 0, 0, 1], upper.dtype)
        last = jnp.broadcast_to(last, (*upper.shape[:-2], 1, 4))
        return jnp.concatenate([upper, last], axis=-2)


def fit_similarity(
    source: jax.Array, target: jax.Array, weights: jax.Array | None = None
) -> Similarity:
    """Fits the similarity that maps source points to target points best.

    Minimises `sum_n w_n |scale R source_n + t - target_n|^2` in closed form: the
    rotation is the quaternion of the largest eigenvalue of Horn's 4x4 matrix, never a
    reflection. Unlike an SVD its derivative has no singularity where singular values
    tie.

    Degenerate input: rotations that the points leave open are chosen closest to the
    identity (so a straight limb turns without twist); a source that is a single point
    gives scale 1; a target that is a single point gives the smallest scale, 1e-6; zero
    weights give a pure translation by zero.

    Source: Knoche et al., "Reposing Humans by Warping 3D Features", section 3.2
        (Helmert
    transform); Horn 1987, "Closed-form solution of absolute orientation using unit
    quaternions". The authors' published fit allows reflections; this one does not.

    Args:
        source: `(..., N, 3)` points.
        target: `(..., N, 3)` points, in correspondence.
        weights: `(..., N)` non-negative weights, default 1.

    Returns:
        The fitted transform with the leading axes of the points.

    Raises:
        ValueError: If the shapes disagree.
    """
    sizes = check_shape("source", source, "... n 3")
    check_shape("target", target, "... n 3", **sizes)
    if weights is None:
        weights = jnp.ones(sizes["n"], source.dtype)
    check_shape("weights", weights, "... n", **sizes)
    batch = jnp.broadcast_shapes(
        source.shape[:-2], target.shape[:-2], weights.shape[:-1]
    )
    source, target = (
        jnp.broadcast_to(points, (*batch, sizes["n"], 3)).reshape(-1, sizes["n"], 3)
        for points in (source, target)
    )
    weights = jnp.broadcast_to(weights, (*batch, sizes["n"])).reshape(-1, sizes["n"])

    # From here on every coordinate is an array of its own, (batch, N): vectors of 3 on
    # the minor axis are not vectorised.
    total = weights.sum(-1, keepdims=True)
    weights = weights / jnp.where(total > 0, total, 1)
    x, y = (jnp.moveaxis(points, -1, 0) for points in (source, target))
    mean_x, mean_y = ([(weights * u).sum(-1) for u in points] for points in (x, y))
    raw_variance = sum((weights * u * u).sum(-1) for u in x)
    x = [u - mean[:, None] for u, mean in zip(x, mean_x)]
    y = [v - mean[:, None] for v, mean in zip(y, mean_y)]
    weighted = [weights * u for u in x]
    moment = jnp.stack([jnp.stack([(v * u).sum(-1) for u in weighted]) for v in y])
    variance = sum((u * v).sum(-1) for u, v in zip(weighted, x))
    mean_x, mean_y = jnp.stack(mean_x), jnp.stack(mean_y)

    rotation = _closest_rotation(moment)
    spread = variance > _COINCIDENT**2 * raw_variance
    scale = _inner(rotation, moment) / jnp.where(spread, variance, 1)
    scale = jnp.where(spread, jnp.maximum(scale, _MINIMUM_SCALE), 1)
    translation = mean_y - scale * _matrix_vector(rotation, mean_x)
    return Similarity(
        scale.reshape(batch),
        jnp.moveaxis(rotation, 2, 0).reshape(*batch, 3, 3),
        translation.T.reshape(*batch, 3),
    )


def closest_rotation(matrix: jax.Array) -> jax.Array:
    """Returns the rotation R of determinant +1 that maximises trace(R^T matrix).

    Args:
        matrix: `(..., 3, 3)`, any real matrix.

    Returns:
        `(..., 3, 3)`; the identity for a zero matrix.
    """
    check_shape("matrix", matrix, "... 3 3")
    columns = jnp.moveaxis(matrix.reshape(-1, 3, 3), 0, 2)
    return jnp.moveaxis(_closest_rotation(columns), 2, 0).reshape(matrix.shape)


@jax.custom_jvp
def _closest_rotation(moment: jax.Array) -> jax.Array:
    """As `closest_rotation`, with the batch on the last axis: `(3, 3, B)`."""
    moment, _ = _normalised(moment)
    return _matrix_from_quaternion(
        jax.lax.fori_loop(
            0,
            _NUM_REFINEMENTS,
            lambda _, quaternion: _refine(quaternion, moment),
            _leading_quaternion(_horn_matrix(moment)),
        )
    )


@_closest_rotation.defjvp
def _closest_rotation_jvp(primals, tangents):
    """Differentiates the symmetry of R^T M, which defines the optimum.

    With `dR = R [w]`, R^T M stays symmetric when `(tr(S) I - S) w = axial(R^T dM)`,
    S = R^T M.
    """
    (moment,), (moment_dot,) = primals, tangents
    rotation = _closest_rotation(moment)
    moment, norm = _normalised(moment)
    symmetric = _transpose_times(rotation, moment)
    twist = _solve_symmetric(
        symmetric,
        _axial(_transpose_times(rotation, moment_dot / norm)),
        damping=_DERIVATIVE_DAMPING,
    )
    return rotation, _times(rotation, _cross_matrix(twist))


def _normalised(moment: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Divides by the largest entry, then the Frobenius norm: squares may underflow."""
    largest = functools.reduce(jnp.maximum, jnp.abs(moment).reshape(9, -1))
    largest = jnp.where(largest > 0, largest, 1)
    moment = moment / largest
    norm = jnp.sqrt(_inner(moment, moment))
    norm = jnp.where(norm > 0, norm, 1)
    return moment / norm, norm * largest


def _horn_matrix(moment: jax.Array) -> jax.Array:
    """Horn's symmetric 4x4 matrix; its top eigenvector is the quaternion."""
    m = moment
    trace = m[0, 0] + m[1, 1] + m[2, 2]
    off = _axial(m)
    lower = m + jnp.swapaxes(m, 0, 1) - trace * jnp.eye(3, dtype=m.dtype)[:, :, None]
    upper_rows = jnp.concatenate([trace[None], off])[None]
    return jnp.concatenate([upper_rows, jnp.concatenate([off[:, None], lower], 1)])


def _leading_quaternion(matrix: jax.Array) -> jax.Array:
    """Returns the unit eigenvector `(4, B)` of the largest eigenvalue.

    Repeated squaring turns the shifted matrix into the projector on the leading
    eigenspace. Where that space has several dimensions the projection of (1, 0, 0, 0),
    the smallest of the optimal rotations, is taken.
    """
    identity = jnp.eye(4, dtype=matrix.dtype)[:, :, None]
    # Eigenvalues lie in [-sqrt(3), sqrt(3)]; the shift makes the largest one dominate.
    shifted = matrix + identity

    def square(_, power):
        power = _times(power, power)
        return power / (power[0, 0] + power[1, 1] + power[2, 2] + power[3, 3])

    power = jax.lax.fori_loop(0, _NUM_SQUARINGS, square, shifted)
    diagonal = jnp.stack([power[i, i] for i in range(4)])
    column = jnp.where(diagonal[0] > 1e-4, 0, jnp.argmax(diagonal, axis=0))
    quaternion = jnp.take_along_axis(power, column[None, None], axis=0)[0]
    return _unit(quaternion)


def _refine(quaternion: jax.Array, moment: jax.Array) -> jax.Array:
    """One Newton step of the polar problem: removes the error of the squarings."""
    rotation = _matrix_from_quaternion(quaternion)
    symmetric = _transpose_times(rotation, moment)
    a, b, c = 0.5 * _solve_symmetric(
        symmetric, _axial(symmetric), damping=_REFINEMENT_DAMPING
    )
    w, x, y, z = quaternion
    turned = jnp.stack(
        [
            w - x * a - y * b - z * c,
            w * a + x + y * c - z * b,
            w * b - x * c + y + z * a,
            w * c + x * b - y * a + z,
        ]
    )
    return _unit(turned)


def _unit(quaternion: jax.Array) -> jax.Array:
    w, x, y, z = quaternion
    return quaternion * jax.lax.rsqrt(w * w + x * x + y * y + z * z)


def _matrix_from_quaternion(quaternion: jax.Array) -> jax.Array:
    w, x, y, z = quaternion
    return jnp.stack(
        [
            jnp.stack(
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]
            ),
            jnp.stack(
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]
            ),
            jnp.stack(
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]
            ),
        ]
    )


def _solve_symmetric(
    symmetric: jax.Array, right: jax.Array, *, damping: float
) -> jax.Array:
    """Solves `(tr(S) I - S + damping I) w = right` by the adjugate, `(3, B)`."""
    symmetric = 0.5 * (symmetric + jnp.swapaxes(symmetric, 0, 1))
    trace = symmetric[0, 0] + symmetric[1, 1] + symmetric[2, 2]
    identity = jnp.eye(3, dtype=right.dtype)[:, :, None]
    m = (trace + damping) * identity - symmetric
    adjugate = jnp.stack(
        [
            jnp.cross(m[1], m[2], axis=0),
            jnp.cross(m[2], m[0], axis=0),
            jnp.cross(m[0], m[1], axis=0),
        ]
    )
    determinant = sum(m[0, k] * adjugate[0, k] for k in range(3))
    # The best rotation of a mirrored point set can have a negative or zero pivot.
    determinant = jnp.where(jnp.abs(determinant) > 1e-12, determinant, 1e-12)
    return _matrix_vector(adjugate, right) / determinant


def _matrix_vector(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    """A v for `(3, 3, B)` and `(3, B)`."""
    return sum(matrix[:, k] * vector[k] for k in range(3))


def _inner(a: jax.Array, b: jax.Array) -> jax.Array:
    """trace(A^T B) for `(3, 3, B)` operands."""
    return sum(a[i, j] * b[i, j] for i in range(3) for j in range(3))


def _axial(matrix: jax.Array) -> jax.Array:
    """The vector of the antisymmetric part of `(3, 3, B)`, twice."""
    return jnp.stack(
        [
            matrix[2, 1] - matrix[1, 2],
            matrix[0, 2] - matrix[2, 0],
            matrix[1, 0] - matrix[0, 1],
        ]
    )


def _cross_matrix(vector: jax.Array) -> jax.Array:
    """The matrix `[v]` with `[v] u = v x u`, from `(3, B)` to `(3, 3, B)`."""
    x, y, z = vector
    zero = jnp.zeros_like(x)
    return jnp.stack(
        [jnp.stack([zero, -z, y]), jnp.stack([z, zero, -x]), jnp.stack([-y, x, zero])]
    )


def _transpose_times(a: jax.Array, b: jax.Array) -> jax.Array:
    """A^T B for `(3, 3, B)` operands."""
    return sum(a[k][:, None] * b[k][None] for k in range(3))


def _times(a: jax.Array, b: jax.Array) -> jax.Array:
    """A B for `(n, n, B)` operands.

    Written as a sum of slices: XLA on CPU fuses it into vector code, which it does not
    do for a reduction over a leading axis of 3 or 4 (8 times slower).
    """
    return sum(a[:, k, None] * b[None, k] for k in range(a.shape[1]))


def _rotate(rotation: jax.Array, vectors: jax.Array) -> jax.Array:
    """R v as a sum of products: full float32 accuracy on every device."""
    return (rotation * vectors[..., None, :]).sum(-1)
