"""Volume metrics: intersection over union, also at the best shift in depth.

Conventions of every function here: volumes are `(H, W, D)` occupancies, occupied where
above the threshold; the last axis is depth. A NaN in a volume, and two empty volumes,
give NaN.
"""

import dataclasses

import jax
import jax.numpy as jnp

from volhuman.checks import check_shape

# Sums of zeros and ones below this are exact in float32.
_MAXIMUM_COLUMNS = 1 << 24


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ShiftedIou:
    """Intersection over union before and after the best shift in depth.

    Attributes:
        unshifted: `()` in [0, 1].
        shifted: `()`, at least `unshifted`.
        shift: `()` int32, voxels by which the prediction was moved away from the camera
            (to higher indices).
    """

    unshifted: jax.Array
    shifted: jax.Array
    shift: jax.Array


def iou(
    prediction: jax.Array, truth: jax.Array, *, threshold: float = 0.5
) -> jax.Array:
    """Returns the intersection over union of two volumes, a scalar in [0, 1].

    Args:
        prediction: `(H, W, D)`.
        truth: `(H, W, D)`.
        threshold: Values above it are occupied.

    Raises:
        ValueError: If the shapes disagree.
    """
    sizes = check_shape("prediction", prediction, "H W D")
    check_shape("truth", truth, "H W D", **sizes)
    a, b = jnp.asarray(prediction) > threshold, jnp.asarray(truth) > threshold
    common, either = (a & b).sum(), (a | b).sum()
    return jnp.where(_has_nan(prediction, truth), jnp.nan, common / either)


def iou_best_shift(
    prediction: jax.Array,
    truth: jax.Array,
    *,
    max_shift: int = 64,
    threshold: float = 0.5,
) -> ShiftedIou:
    """Finds the shift of the prediction in depth with the largest overlap.

    A single photograph leaves the depth of a person open. All integer shifts up to the
    maximum are tried; zeros move in, and what moves out of the volume is lost. Where
    shifts tie, the shortest is taken, of two the positive one.

    The counts of voxels that both volumes hold at depths i and j, a product of two
    matrices, contain the intersection at shift j - i on a diagonal: all shifts cost one
    matrix product, and the integers are exact.

    Source: Zheng et al., "DeepHuman" (the comparison shifts predictions
    along z; range, step and filling are ours).

    Args:
        prediction: `(H, W, D)`.
        truth: `(H, W, D)`.
        max_shift: Largest shift in voxels, either way; below D.
        threshold: Values above it are occupied.

    Returns:
        Both scores and the shift.

    Raises:
        ValueError: If the shapes disagree or the shift does not fit.
    """
    sizes = check_shape("prediction", prediction, "H W D")
    check_shape("truth", truth, "H W D", **sizes)
    depth, columns = sizes["D"], sizes["H"] * sizes["W"]
    if not 0 <= max_shift < depth or columns > _MAXIMUM_COLUMNS:
        raise ValueError(
            f"max_shift is {max_shift} for {columns} columns of depth {depth}, "
            f"expected 0 to {depth - 1} and at most {_MAXIMUM_COLUMNS} columns"
        )
    a, b = (
        (jnp.asarray(volume) > threshold).reshape(columns, depth)
        for volume in (prediction, truth)
    )
    pairs = jnp.matmul(a.T.astype(jnp.float32), b.astype(jnp.float32)).astype(jnp.int32)
    # Shortest shifts first: argmax takes the first of equal values.
    shifts = [0] + [sign * k for k in range(1, max_shift + 1) for sign in (1, -1)]
    shifts = jnp.array(shifts)
    index = jnp.arange(depth)
    diagonals = jnp.zeros(2 * depth - 1, jnp.int32)
    diagonals = diagonals.at[index - index[:, None] + depth - 1].add(pairs)
    common = diagonals[shifts + depth - 1]
    arrived = index + shifts[:, None]
    kept = jnp.where((arrived >= 0) & (arrived < depth), a.sum(0), 0).sum(1)
    scores = common / (kept + b.sum() - common)
    scores = jnp.where(_has_nan(prediction, truth), jnp.nan, scores)
    # A shift that empties both volumes has no score.
    best = jnp.argmax(jnp.where(jnp.isnan(scores), -1, scores))
    return ShiftedIou(scores[0], scores[best], shifts[best])


def _has_nan(*volumes):
    return jnp.stack([jnp.isnan(volume).any() for volume in volumes]).any()
