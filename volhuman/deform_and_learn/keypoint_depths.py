"""Depths of annotated key points from the depth GAN, for the registration."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.body.keypoints import KEYPOINT_INDEX, KEYPOINT_NAMES, MID_POINTS
from volhuman.checks import check_shape
from volhuman.deform_and_learn.depth_gan import lift_depths
from volhuman.deform_and_learn.poses_2d import joint_mixture, joints_from_keypoints

# From the middle of the shoulders through the ears to the top of the head: the latter's
# distance over that of the ears, on the embedded body.
_HEAD_TOP = 1.67


def lift_keypoints(
    params: Mapping[str, Any], positions: jax.Array, weights: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Estimates the depths of a person's key points.

    Mid points that are not annotated are taken between their two joints, the top of the
    head is extended from the ears, and the nose of a person seen from behind is put
    between the ears. Where a hip, knee, ankle, shoulder, elbow or wrist is missing, or
    nothing of the head but the nose is known, there is no pose to lift.

    Pure; wrap it in `jax.jit` and `jax.vmap` over people for a batch.

    Args:
        params: Parameters of a lifter for the layout "human36m"
            (`depth_weights.load_depth_gan`).
        positions: `(K, 2)` in the order of `body.keypoints.KEYPOINT_NAMES`, x right, y
            down, in any unit.
        weights: `(K,)`, 0 for missing key points.

    Returns:
        `(K,)` depths in the unit of the positions, relative to the middle of the hips,
        away from the camera; and `(K,)` their weights: those of the key points, 0 for
        key points that are missing or none of the 17 joints, and all 0 where the pose
        could not be lifted.
    """
    check_shape("positions", positions, f"{len(KEYPOINT_NAMES)} 2")
    check_shape("weights", weights, f"{len(KEYPOINT_NAMES)}")
    weights = jnp.asarray(weights)
    known = weights > 0
    filled, complete = complete_keypoints(positions, weights)
    found = lift_depths(params, joints_from_keypoints(filled))
    # Joints that are one key point give their depth to it.
    joints, places = np.nonzero(joint_mixture() == 1)
    depths = jnp.zeros_like(positions[:, 0]).at[places].set(found[joints])
    has_depth = jnp.zeros_like(known).at[places].set(known[places])
    keeps = complete & has_depth
    return jnp.where(keeps, depths, 0.0), jnp.where(keeps, weights, 0.0)


def complete_keypoints(
    positions: jax.Array, weights: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Adds what the 17 joints need and was not annotated; see `lift_keypoints`.

    Args:
        positions: `(K, 2)`, as for `lift_keypoints`.
        weights: `(K,)`, 0 for missing key points.

    Returns:
        `(K, 2)` positions, 0 where they stay unknown; and whether all that the 17
        joints need is known.
    """
    known = jnp.asarray(weights) > 0
    # What is missing may hold any number, and must not reach the others.
    positions = jnp.where(known[:, None], jnp.asarray(positions), 0.0)
    filled, is_filled = _fill(positions, known)
    return filled, is_filled[np.flatnonzero(joint_mixture().any(0))].all()


def _fill(positions, known):
    """Adds the mid points, the top of the head and a hidden nose where they miss."""

    def mean(names):
        places = np.array([KEYPOINT_INDEX[name] for name in names])
        share = known[places].astype(positions.dtype)
        total = (share[:, None] * positions[places]).sum(0)
        return total / jnp.maximum(share.sum(), 1), known[places]

    def put(positions, known, name, value, possible):
        place = KEYPOINT_INDEX[name]
        value = jnp.where(known[place], positions[place], value)
        possible = known[place] | possible
        return positions.at[place].set(value), known.at[place].set(possible)

    ears, has_ear = mean(("left_ear", "right_ear"))
    for name, ends in MID_POINTS.items():
        middle, has_ends = mean(ends)
        positions, known = put(positions, known, name, middle, has_ends.all())
    neck = KEYPOINT_INDEX["mid_shoulder"]
    top = positions[neck] + _HEAD_TOP * (ears - positions[neck])
    possible = has_ear.any() & known[neck]
    positions, known = put(positions, known, "head_top", top, possible)
    return put(positions, known, "nose", ears, has_ear.any())
