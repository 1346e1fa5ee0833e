"""From joints to what the network reads: part masks, part maps and heat maps.

Joints are `(J, 3)` in the view cube (x, y over the picture, z away, 0 at the pelvis).
Everything here is differentiable in the joints but for the maps of "mirrored", which
have the derivative 0, because that of the published fit is infinite.
"""

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.body.part_transforms import (
    BODY24,
    PANOPTIC19,
    JointSet,
    fit_part_transforms,
)
from volhuman.checks import check_option
from volhuman.geometry.masks import capsule_masks, joint_heatmaps

JOINT_SETS = {joint_set.name: joint_set for joint_set in (BODY24, PANOPTIC19)}
NUM_PARTS = 10

# Standard deviation of a heat map: 6 pixels of 256.
_DEVIATION = 12 / 256
# Hands and feet reach beyond wrist and ankle, thighs above the hip, by these shares of
# the bone.
_BEYOND, _ABOVE_HIP = 0.2, 0.1
# Diameters over the diagonal of the torso.
_TORSO, _HEAD, _LIMB, _END = 0.3, 0.5, 0.2, 0.4
# The published stamps are a voxel (4 pixels of 256) wider than that.
_MARGIN = 8 / 256
# The skull over the head joint of the 24-joint body, in lengths of the neck.
_SKULL = 1.35


def find_joint_set(name: str) -> JointSet:
    """Returns a joint set by name.

    Raises:
        ValueError: If there is none of that name.
    """
    check_option("joint set", name, tuple(JOINT_SETS))
    return JOINT_SETS[name]


def view_from_pixels(joints: jax.Array, size: int) -> jax.Array:
    """Converts joints in pixels (pixel 0 covers [0, 1]) to the view cube."""
    return joints * (2 / size) - jnp.array([1.0, 1.0, 0.0])


def part_masks(
    joints: jax.Array,
    shape: tuple[int, int, int],
    *,
    joint_set: JointSet = BODY24,
    flat: bool = False,
) -> jax.Array:
    """Fills the capsules of the ten body parts.

    Source: Knoche et al., section 3.2; the radii are those of the published code.

    Args:
        joints: `(J, 3)` view cube.
        shape: Voxels (H, W, D).
        joint_set: Names of the joints.
        flat: Spread each mask over all depths, for the 2D ablation.

    Returns:
        `(10, H, W, D)` in [0, 1], in the order of `body.skeleton.PART_NAMES`.
    """
    ends, radii, owner = _capsules(joints, joint_set)
    masks = capsule_masks(ends, radii, shape)
    parts = jnp.stack(
        [masks[np.nonzero(owner == part)[0]].max(0) for part in range(NUM_PARTS)]
    )
    if flat:
        parts = jnp.broadcast_to(parts.max(-1, keepdims=True), parts.shape)
    return parts


def _capsules(joints, joint_set):
    """Ends `(C, 2, 3)`, radii `(C,)` and part of each capsule."""
    at = lambda name: joints[joint_set.names.index(name)]
    corners = [f"{s}_{j}" for j in ("hip", "shoulder") for s in ("right", "left")]
    length = lambda a, b: _length(at(a) - at(b))
    size = jnp.maximum(
        length("left_shoulder", "right_hip"), length("right_shoulder", "left_hip")
    )
    ends, radii, owner = [], [], []

    def add(part, start, stop, diameter):
        ends.append(jnp.stack([start, stop]))
        radii.append(diameter * size / 2 + _MARGIN)
        owner.append(part)

    for number, first in enumerate(corners):
        for second in corners[:number]:
            add(0, at(first), at(second), _TORSO)
    add(1, *_skull(at, joint_set), _HEAD)
    part = 2
    for upper, middle, end in (
        ("shoulder", "elbow", "wrist"),
        ("hip", "knee", "ankle"),
    ):
        for side in ("left", "right"):
            start, joint, tip = (at(f"{side}_{name}") for name in (upper, middle, end))
            if upper == "hip":
                start = start + _ABOVE_HIP * (start - at(f"{side}_shoulder"))
            tip = tip + _BEYOND * (tip - joint)
            add(part, start, joint, _LIMB)
            add(part + 1, joint, tip, _LIMB)
            add(part + 1, tip, tip, _END)
            part += 2
    return jnp.stack(ends), jnp.stack(radii), np.array(owner)


def _skull(at, joint_set):
    """Lower and upper end of the head's axis."""
    neck = at("neck")
    if "left_ear" in joint_set.names:
        centre = (at("left_ear") + at("right_ear")) / 2
    else:
        centre = neck + _SKULL * (at("head") - neck)
    low = 0.7 * centre + 0.3 * neck
    return low, 2 * centre - low


def part_maps(
    source: jax.Array,
    target: jax.Array,
    *,
    joint_set: JointSet = BODY24,
    warp: str = "3d",
) -> jax.Array:
    """Fits where each part of the target pose reads in the source.

    Source: Knoche et al., section 3.2 (7-parameter Helmert transforms); the fit of
    limbs is that of `body.part_transforms`.

    Args:
        source: `(J, 3)` joints of the given picture.
        target: `(J, 3)` joints of the wanted pose.
        joint_set: Names of the joints.
        warp: "3d"; "2d", the paper's ablation: affine maps of the picture, depths
            unchanged; "mirrored": the published fit, whose limbs are mirrored about the
            plane of their joints in half of the cases.

    Returns:
        `(10, 3, 4)` maps from target to source positions.
    """
    if warp == "3d":
        return fit_part_transforms(target, source, joint_set).as_matrix()[:, :3]
    if warp == "mirrored":
        # The derivative of a singular value decomposition of three points is infinite.
        ends = jax.lax.stop_gradient((target, source))
        points = zip(*(_fit_points(end, joint_set) for end in ends), strict=True)
        return jnp.stack([_least_squares_map(*pair) for pair in points])
    maps = []
    for corners in zip(
        _quads(target, joint_set), _quads(source, joint_set), strict=True
    ):
        linear, offset = _fit_affine(*corners)
        flat_map = jnp.eye(3, 4).at[:2, :2].set(linear)
        maps.append(flat_map.at[:2, 3].set(offset))
    return jnp.stack(maps)


def _quads(joints, joint_set):
    """Points `(K, 2)` in the picture that carry each part of the 2D ablation."""
    at = lambda name: joints[joint_set.names.index(name)][:2]
    sides = ("left", "right")
    trunk = jnp.stack([at(f"{side}_shoulder") - at(f"{side}_hip") for side in sides])
    size = jnp.sqrt((trunk**2).sum(-1).mean() + 1e-12)
    torso = jnp.stack([at(name) for name in joint_set.torso])
    head = jnp.stack([at(name) for name in joint_set.head])
    quads = [torso, head]
    for upper, middle, end in (
        ("shoulder", "elbow", "wrist"),
        ("hip", "knee", "ankle"),
    ):
        for side in sides:
            bones = ((upper, middle, 0.1), (middle, end, 0.3))
            for first, second, beyond in bones:
                start, stop = at(f"{side}_{first}"), at(f"{side}_{second}")
                start = start + 0.1 * (start - stop)
                stop = stop + beyond * (stop - start)
                quads.append(_bone_corners(start, stop, 0.2 * size))
    return quads


def _bone_corners(start, stop, half_width):
    along = stop - start
    length = _length(along)
    normal = jnp.stack([-along[1], along[0]]) / jnp.maximum(length, 1e-6)
    # A bone towards the camera has no direction in the picture.
    normal = jnp.where(length > 1e-6, normal, jnp.array([1.0, 0.0]))
    across = half_width * normal
    return jnp.stack([start + across, start - across, stop - across, stop + across])


def _fit_affine(source, target):
    """Least-squares affine map of points `(K, 2)`, damped where they are collinear."""
    source_mean, target_mean = source.mean(0), target.mean(0)
    a, b = source - source_mean, target - target_mean
    damping = 1e-4 * jnp.eye(2)
    # Damped towards the identity: what is not seen does not move.
    linear = jnp.linalg.solve(a.T @ a + damping, a.T @ b + damping).T
    return linear, target_mean - linear @ source_mean


def _fit_points(joints, joint_set):
    """Points `(K, 3)` that carry each part in the published fit."""
    at = lambda name: joints[joint_set.names.index(name)]
    points = [
        jnp.stack([at(name) for name in names])
        for names in (joint_set.torso, joint_set.head)
    ]
    for chain in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")):
        for side in ("left", "right"):
            upper, middle, end = (at(f"{side}_{name}") for name in chain)
            points += [
                _with_normal(upper, middle, end),
                _with_normal(end, middle, upper),
            ]
    return points


def _with_normal(start, stop, roll):
    """A bone and a point beside its end, on the normal of the bending plane."""
    normal = jnp.cross(stop - start, roll - stop)
    normal = normal / jnp.maximum(_length(normal), 1e-12)
    return jnp.stack([start, stop, stop + normal * _length(roll - stop)])


def _least_squares_map(target, source):
    """Rotation, scale and offset `(3, 4)` without regard to handedness."""
    a, b = target - target.mean(0), source - source.mean(0)
    u, _, v = jnp.linalg.svd(a.T @ b)
    rotation = (u @ v).T
    scale = (b * (a @ rotation.T)).sum() / jnp.maximum((a * a).sum(), 1e-12)
    linear = scale * rotation
    return jnp.column_stack([linear, source.mean(0) - linear @ target.mean(0)])


def pose_heatmaps(
    joints: jax.Array, shape: tuple[int, int, int], *, flat: bool = False
) -> jax.Array:
    """Draws the target pose as one heat map a joint.

    Source: Knoche et al., section 3.3.

    Args:
        joints: `(J, 3)` view cube.
        shape: Voxels (H, W, D).
        flat: Spread each map over all depths, for the 2D ablation.

    Returns:
        `(H, W, D, J)`, peak 1.
    """
    maps = joint_heatmaps(joints, shape, _DEVIATION)
    if flat:
        maps = jnp.broadcast_to(maps.max(2, keepdims=True), maps.shape)
    return maps


def _length(vector):
    squared = (vector * vector).sum(-1)
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1)), 0)
