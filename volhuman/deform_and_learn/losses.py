"""Loss terms of the registration of a body to an image.

Source: Yoshiyasu & Gamez, "Learning body shape and pose from dense correspondences",
section 4, equations 2 to 4. The paper leaves the scale, joint and determinant terms to
an appendix that is not available; what stands here for them is our choice.

Conventions: image positions and depths in view units of the crop (z away from the
camera, 0 at the pelvis); the mean over dense points and the sum over key points, so
that a weight means the same for any number of annotated points.
"""

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.body.skeleton import JOINT_INDEX, PARENTS
from volhuman.geometry.sampling import sample_bilinear

# Keeps the common level of the segment scales, which the camera's scale could absorb.
_LEVEL = 1e-3
# Rotation about the joint's own x (knees) and y (elbows) axis in radians: allowed
# range.
_HINGES = {
    "left_knee": (0, -0.05, 2.6),
    "right_knee": (0, -0.05, 2.6),
    "left_elbow": (1, -2.6, 0.05),
    "right_elbow": (1, -0.05, 2.6),
}
# Allowed angle off the hinge axis, and of the joints that hardly turn, in radians.
_OFF_HINGE = 0.3
_LIMITED = {
    "spine1": 0.5,
    "spine2": 0.4,
    "spine3": 0.4,
    "neck": 0.7,
    "head": 0.7,
    "left_collar": 0.4,
    "right_collar": 0.4,
    "left_ankle": 0.7,
    "right_ankle": 0.7,
    "left_foot": 0.3,
    "right_foot": 0.3,
    "left_wrist": 0.9,
    "right_wrist": 0.9,
    "left_hand": 0.4,
    "right_hand": 0.4,
}


def dense_loss(
    projected: jax.Array, observed: jax.Array, weights: jax.Array
) -> jax.Array:
    """Mean squared distance of dense correspondences (equation 3).

    The paper prints a sum and calls it a mean squared error; this is the mean.

    Args:
        projected: `(N, 2)` projected surface points.
        observed: `(N, 2)` annotated positions.
        weights: `(N,)` 0 for missing points.
    """
    squared = ((projected - observed) ** 2).sum(-1)
    return (weights * squared).sum() / jnp.maximum(weights.sum(), 1e-6)


def keypoint_loss(
    projected: jax.Array,
    observed: jax.Array,
    weights: jax.Array,
    depths: jax.Array,
    depth_weights: jax.Array,
) -> jax.Array:
    """Squared distances of key points, with a depth term where depths are known (eq.
    4).

    Args:
        projected: `(K, 3)` key points of the body in view units.
        observed: `(K, 2)`.
        weights: `(K,)` 0 for missing key points.
        depths: `(K,)` view units, relative to the pelvis.
        depth_weights: `(K,)` 0 where the depth is unknown.
    """
    in_image = ((projected[:, :2] - observed) ** 2).sum(-1)
    in_depth = (projected[:, 2] - depths) ** 2
    return (weights * in_image).sum() + (depth_weights * in_depth).sum()


def scale_loss(scales: jax.Array) -> jax.Array:
    """Smoothness of the segment scales `(24,)` along the tree, and their level."""
    along = (scales[1:] - scales[PARENTS[1:]]) ** 2
    return along.sum() + _LEVEL * (scales.mean() - 1) ** 2


def joint_loss(pose: jax.Array) -> jax.Array:
    """Squared rotation angles of the 23 joints `(23, 3)`: a pull to the rest pose."""
    return (pose**2).sum()


def limit_loss(pose: jax.Array) -> jax.Array:
    """Squared excess over hand-authored joint limits, `pose` `(23, 3)` without the
    root.

    Elbows and knees are hinges that bend one way; without depth this is what tells a
    knee bent forwards from one bent backwards.
    """
    total = 0.0
    for name, (axis, low, high) in _HINGES.items():
        rotation = pose[JOINT_INDEX[name] - 1]
        total += _excess(rotation[axis], low, high)
        # The other two axes are limited to what a twist of forearm or shin needs.
        for other in range(3):
            if other != axis:
                total += _excess(rotation[other], -_OFF_HINGE, _OFF_HINGE)
    names = list(_LIMITED)
    indices = np.array([JOINT_INDEX[name] - 1 for name in names])
    limits = np.array([_LIMITED[name] for name in names], np.float32)[:, None]
    return total + jnp.sum(jnp.maximum(jnp.abs(pose[indices]) - limits, 0) ** 2)


def _excess(angle: jax.Array, low: float, high: float) -> jax.Array:
    return jnp.maximum(angle - high, 0) ** 2 + jnp.maximum(low - angle, 0) ** 2


def determinant_loss(raw_rotation: jax.Array) -> jax.Array:
    """exp(-det) of the nine free numbers `(3, 3)`: pushes a reflection back."""
    a, b, c = raw_rotation.T
    # Bounded, so that a long optimisation cannot overflow.
    return jnp.exp(-jnp.clip(jnp.dot(a, jnp.cross(b, c)), -20, 20))


def upright_loss(rotation: jax.Array) -> jax.Array:
    """Squared distance between the body's up axis and the picture's.

    `rotation` `(3, 3)` goes from body to view axes, where y points down. Without depth
    a lean towards the camera only looks like a shorter person.
    """
    return ((rotation[:, 1] - jnp.array([0.0, -1.0, 0.0])) ** 2).sum()


def silhouette_loss(
    projected: jax.Array, outside_distance: jax.Array, inside_points: jax.Array
) -> jax.Array:
    """Distance between the projected body and a mask, both ways.

    Args:
        projected: `(M, 2)` projected vertices.
        outside_distance: `(S, S)` distance of each pixel of the crop to the mask, view
            units, 0 inside.
        inside_points: `(P, 2)` points of the mask that the body should cover.
    """
    protruding = sample_bilinear(outside_distance[..., None], projected, "edge")
    squared = ((inside_points[:, None] - projected[None]) ** 2).sum(-1).min(1)
    return (protruding**2).mean() + squared.mean()
