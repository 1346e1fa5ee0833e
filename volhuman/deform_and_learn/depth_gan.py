"""The adversarial lifter: depths of 2D poses, learned from 2D poses alone.

A generator (`Lifter`) gives every joint a depth; the lifted pose is turned about the
vertical and projected; a `Critic` compares the projections with real 2D poses.

The adversarial loss cannot tell depths from mirrored depths: mirrored depths turned by
an angle project to what the depths turned by the opposite angle project to, wherever
the camera stood and however people move, and both angles are equally frequent. So each
pose's sign is open. What settles it is anatomy: the nose is on the front of a person,
knees bend forwards, and the front is where left is on the left (`anatomy_loss`).

Source: Kudo, Ogaki, Matsui & Odagiri 2018, "Unsupervised adversarial learning of 3D
human pose from 2D joint locations", and their published code; "similar to" it is what
Yoshiyasu & Gamez, "Learning body shape and pose from dense correspondences", use.

Conventions of every function here: 17 joints in the order of `poses_2d.JOINTS`, x right
and y down, z away from the camera, the pelvis at the origin, normalised as by
`poses_2d.normalize_poses` unless said otherwise.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from volhuman.checks import check_option, check_shape
from volhuman.deform_and_learn.depth_config import LAYOUTS
from volhuman.deform_and_learn.poses_2d import (
    JOINT_INDEX_17,
    NUM_JOINTS_17,
    normalize_poses,
)

WIDTH = 1024
_SLOPE = 0.2
_DEVIATION = 0.02
# Below this length a vector has no direction that a loss should follow.
_SHORT = 1e-2


class _Perceptron(nn.Module):
    """Three layers with one skip, and a linear one."""

    num_outputs: int
    width: int

    @nn.compact
    def __call__(self, x):
        # As wide as published, weights have the published deviation; a narrower
        # network needs larger ones for outputs of the same size.
        deviation = _DEVIATION * (WIDTH / self.width) ** 0.5
        dense = lambda features, name: nn.Dense(
            features, kernel_init=nn.initializers.normal(deviation), name=name
        )
        activate = lambda x: nn.leaky_relu(x, _SLOPE)
        first = activate(dense(self.width, "layer1")(x))
        second = activate(dense(self.width, "layer2")(first))
        third = activate(dense(self.width, "layer3")(second) + first)
        return dense(self.num_outputs, "layer4")(third)


class Lifter(nn.Module):
    """Generator: the depths of a 2D pose.

    Attributes:
        width: Features of the hidden layers; 1024 as published (2,152,465 parameters).
    """

    width: int = WIDTH

    @nn.compact
    def __call__(self, poses: jax.Array) -> jax.Array:
        """Lifts normalised poses `(..., 17, 2)`; returns depths `(..., 17)`."""
        check_shape("poses", poses, f"... {NUM_JOINTS_17} 2")
        x = poses.reshape(*poses.shape[:-2], 2 * NUM_JOINTS_17)
        return _Perceptron(NUM_JOINTS_17, self.width, name="perceptron")(x)


class Critic(nn.Module):
    """Discriminator: whether a 2D pose is real.

    Attributes:
        width: As of `Lifter` (2,136,065 parameters as published).
    """

    width: int = WIDTH

    @nn.compact
    def __call__(self, poses: jax.Array) -> jax.Array:
        """Judges poses `(..., 17, 2)`; returns logits `(...)`, positive for real."""
        check_shape("poses", poses, f"... {NUM_JOINTS_17} 2")
        x = poses.reshape(*poses.shape[:-2], 2 * NUM_JOINTS_17)
        return _Perceptron(1, self.width, name="perceptron")(x)[..., 0]


def lift_normalized(params: Mapping[str, Any], poses: jax.Array) -> jax.Array:
    """Lifts normalised poses.

    Args:
        params: Parameters of a `Lifter` of any width.
        poses: `(..., 17, 2)`.

    Returns:
        `(..., 17, 3)`, the depth of the pelvis 0.
    """
    width = params["perceptron"]["layer1"]["kernel"].shape[1]
    depths = Lifter(width).apply({"params": params}, poses)
    return jnp.concatenate([poses, (depths - depths[..., :1])[..., None]], axis=-1)


def lift_depths(params: Mapping[str, Any], poses_2d: jax.Array) -> jax.Array:
    """Estimates the depths of 2D poses in pixels or any other unit.

    Args:
        params: Parameters of a `Lifter`, as `load_depth_gan` gives them.
        poses_2d: `(..., 17, 2)`, anywhere in the picture.

    Returns:
        `(..., 17)` depths relative to the pelvis, positive away from the camera, in the
        unit of the poses.
    """
    poses, sizes = normalize_poses(poses_2d)
    return lift_normalized(params, poses)[..., 2] * sizes[..., None]


def rotate_vertical(joints: jax.Array, angles: jax.Array) -> jax.Array:
    """Turns poses about the vertical through the pelvis.

    Args:
        joints: `(..., 17, 3)`.
        angles: `(...)` radians; a quarter turn brings what lies behind to the right.

    Returns:
        `(..., 17, 3)`.
    """
    x, y, z = jnp.moveaxis(joints, -1, 0)
    cosine, sine = jnp.cos(angles)[..., None], jnp.sin(angles)[..., None]
    return jnp.stack([x * cosine + z * sine, y, z * cosine - x * sine], axis=-1)


# -- adversarial losses


def lifter_loss(fake_logits: jax.Array) -> jax.Array:
    """Mean softplus(-D(fake))."""
    return jax.nn.softplus(-fake_logits).mean()


def critic_loss(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """Mean softplus(-D(real)) + softplus(D(fake))."""
    return (jax.nn.softplus(-real_logits) + jax.nn.softplus(fake_logits)).mean()


def critic_accuracy(real_logits: jax.Array, fake_logits: jax.Array) -> jax.Array:
    """Share of poses, real and fake alike, on which the critic is right."""
    return ((real_logits > 0).mean() + (fake_logits < 0).mean()) / 2


def update_gates(
    accuracy: jax.Array, *, limit: float = 0.9
) -> tuple[jax.Array, jax.Array]:
    """Decides which network learns, so that neither leaves the other behind.

    Args:
        accuracy: `()` accuracy of the critic.
        limit: The critic learns up to this accuracy, the lifter from 1 - limit on.

    Returns:
        Whether the lifter learns, and whether the critic does: `()` bool.
    """
    return accuracy >= 1 - limit, accuracy <= limit


# -- which side is the front


def published_direction_loss(joints: jax.Array) -> jax.Array:
    """Penalty of noses behind the shoulders, in the horizontal plane.

    The published heuristic: mean ReLU(-sine of the angle from the line of the shoulders
    to the nose, seen from above). It holds for people who stand upright.

    Args:
        joints: `(..., 17, 3)`.
    """
    nose = _between(joints, "thorax", "nose")
    shoulders = _between(joints, "left_shoulder", "right_shoulder")
    (nose_x, nose_z), (x, z) = ((v[..., 0], v[..., 2]) for v in (nose, shoulders))
    lengths = _safe_length(nose[..., ::2]) * _safe_length(shoulders[..., ::2])
    return jnp.maximum(0, -(nose_z * x - z * nose_x) / lengths).mean()


def anatomy_loss(joints: jax.Array, *, layout: str = "human36m") -> jax.Array:
    """Penalty of people who are mirrored: noses at the back, knees that bend back.

    Two triple products say on which side a joint lies, whatever way a person lies,
    stands or hangs: the nose in front of shoulders and trunk, and each knee in front of
    the line from hip to ankle. Mirroring the depths changes their sign.

    Args:
        joints: `(..., 17, 3)`.
        layout: Which joints these are (`poses_2d.LAYOUTS`).
    """
    check_option("layout", layout, LAYOUTS)
    neck = "thorax" if layout == "human36m" else "spine"
    shoulders = _between(joints, "left_shoulder", "right_shoulder")
    trunk, nose = (
        _between(joints, *ends) for ends in (("pelvis", neck), (neck, "nose"))
    )
    behind = _behind(nose / _safe_length(nose)[..., None], shoulders, trunk)
    loss = jnp.maximum(0, behind).mean()
    hips = _between(joints, "left_hip", "right_hip")
    for side in ("left", "right"):
        hip, knee, ankle = (
            joints[..., JOINT_INDEX_17[f"{side}_{name}"], :]
            for name in ("hip", "knee", "ankle")
        )
        # In units of the pose: a straight leg tells nothing.
        behind = _behind(knee - (hip + ankle) / 2, hips, hip - ankle)
        loss += jnp.maximum(0, behind).mean()
    return loss


def nose_in_front(joints: jax.Array) -> jax.Array:
    """Whether the nose is nearer to the camera than the neck, `(...)` bool."""
    return _between(joints, "thorax", "nose")[..., 2] < 0


def faces_camera(joints: jax.Array, *, within: float = 0.7) -> jax.Array:
    """Whether people turn their chest to the camera, `(...)` bool.

    Args:
        joints: `(..., 17, 3)`, in any unit.
        within: Cosine of the largest angle between chest and camera.
    """
    shoulders = _between(joints, "left_shoulder", "right_shoulder")
    trunk = _between(joints, "pelvis", "thorax")
    back = jnp.cross(shoulders, trunk)
    return back[..., 2] > within * jnp.sqrt((back**2).sum(-1))


def _behind(vectors, right, up):
    """How far vectors point to the back, given directions to the right and up."""
    right, up = (v / _safe_length(v)[..., None] for v in (right, up))
    return (vectors * jnp.cross(right, up)).sum(-1)


def _between(joints, start, end):
    return joints[..., JOINT_INDEX_17[end], :] - joints[..., JOINT_INDEX_17[start], :]


def _safe_length(vectors):
    """Length, rounded off at 0, where it has no gradient."""
    return jnp.sqrt((vectors**2).sum(-1) + _SHORT**2)
