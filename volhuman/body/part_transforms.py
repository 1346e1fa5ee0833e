"""Fitting the motion of every body part from joints before and after.

The fit of a limb needs care. Two joints leave the twist about the bone open; a third
point along the normal of the bending plane settles it, but that normal is noise while
the limb is nearly straight: with 1 px of joint noise on an 80 px limb the published fit
turns a straight arm by 87 degrees in the median. Here a limb first follows the part
that it hangs on (upper arm: torso; lower arm: upper arm) with the smallest rotation
that aligns the bone, and the bending plane adds twist only as far as it is visible.

Conventions of every function here: joints are `(J, 3)` in any right-handed or
view-space unit. A fitted transform maps source points to target points.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.body.skeleton import JOINT_NAMES
from volhuman.checks import check_shape
from volhuman.geometry.rotation import minimal_rotation, perpendicular
from volhuman.geometry.similarity import Similarity, fit_similarity

# The sine of the bend at which the bending plane starts to count, and at which it alone
# decides. Below the first the twist is damped as if by a lever of the given share.
_UNSEEN, _SEEN = 0.08, 0.3
_DAMPING = 0.04


@dataclasses.dataclass(frozen=True)
class JointSet:
    """Names of the joints of a pose format and the joints that fit each part.

    Attributes:
        name: Name of the format.
        names: Joint names in the order of the array.
        torso: Joints that fit the torso.
        head: Joints that fit the head.
    """

    name: str
    names: tuple[str, ...]
    torso: tuple[str, ...]
    head: tuple[str, ...]

    def index(self, *names: str) -> np.ndarray:
        """Positions of joints in the array."""
        return np.array([self.names.index(name) for name in names])


BODY24 = JointSet(
    name="body24",
    names=JOINT_NAMES,
    torso=("right_hip", "left_hip", "left_shoulder", "right_shoulder"),
    head=("neck", "head", "left_collar", "right_collar"),
)
# The order of the reposing paper's poses (CMU Panoptic).
PANOPTIC19 = JointSet(
    name="panoptic19",
    names=(
        "neck", "nose", "left_shoulder", "left_elbow", "left_wrist", "left_hip",
        "left_knee", "left_ankle", "right_shoulder", "right_elbow", "right_wrist",
        "right_hip", "right_knee", "right_ankle", "left_eye", "left_ear", "right_eye",
        "right_ear", "pelvis",
    ),
    torso=("right_hip", "left_hip", "left_shoulder", "right_shoulder"),
    head=(
        "neck", "left_eye", "right_eye", "nose", "left_ear", "right_ear",
        "left_shoulder", "right_shoulder",
    ),
)  # fmt: skip

# Limbs as start, end and the third joint that spans the bending plane: the upper ones,
# which hang on the torso, and the lower ones, which hang on them.
_LIMBS = (
    (
        ("left_shoulder", "left_elbow", "left_wrist"),
        ("right_shoulder", "right_elbow", "right_wrist"),
        ("left_hip", "left_knee", "left_ankle"),
        ("right_hip", "right_knee", "right_ankle"),
    ),
    (
        ("left_wrist", "left_elbow", "left_shoulder"),
        ("right_wrist", "right_elbow", "right_shoulder"),
        ("left_ankle", "left_knee", "left_hip"),
        ("right_ankle", "right_knee", "right_hip"),
    ),
)


def fit_part_transforms(
    source_joints: jax.Array,
    target_joints: jax.Array,
    joint_set: JointSet = BODY24,
) -> Similarity:
    """Fits a similarity for each of the ten parts of `skeleton.PART_NAMES`.

    A similarity applied to all joints is recovered for every part, also for straight
    limbs. All determinants are +1; values and derivatives are finite for straight,
    coincident and collinear joints. For a straight limb the rotation is the one without
    twist against its parent part, and it varies continuously as the limb bends, but for
    a twist of half a turn: there one side or the other must be chosen.

    Source: Knoche et al., "Reposing Humans by Warping 3D Features", section 3.2 and
    supplement (joints of each part). The published fit uses the bending plane at any
    bend and allows reflections.

    Args:
        source_joints: `(J, 3)` in the order of `joint_set`.
        target_joints: `(J, 3)`.
        joint_set: Format of the joints.

    Returns:
        Ten transforms, batch axis first. For `warp_parts` take
        `.inverse().as_matrix()`.

    Raises:
        ValueError: If the joints do not fit the joint set.
    """
    num_joints = str(len(joint_set.names))
    check_shape("source_joints", source_joints, f"{num_joints} 3")
    check_shape("target_joints", target_joints, f"{num_joints} 3")
    pair = jnp.stack([source_joints, target_joints])

    trunk = [
        fit_similarity(*pair[:, joint_set.index(*names)])
        for names in (joint_set.torso, joint_set.head)
    ]
    chains = [np.stack([joint_set.index(*limb) for limb in limbs]) for limbs in _LIMBS]
    upper = jax.vmap(fit_limb, (0, 0, None))(*pair[:, chains[0]], trunk[0].rotation)
    lower = jax.vmap(fit_limb)(*pair[:, chains[1]], upper.rotation)

    def in_order(torso, head, upper, lower):
        # Upper and lower limbs alternate in PART_NAMES.
        limbs = jnp.stack([upper, lower], axis=1).reshape(-1, *upper.shape[1:])
        return jnp.concatenate([torso[None], head[None], limbs])

    return jax.tree.map(in_order, *trunk, upper, lower)


def fit_limb(
    source: jax.Array, target: jax.Array, parent_rotation: jax.Array | None = None
) -> Similarity:
    """Fits the similarity of one limb from three joints.

    A third point along the bending plane's normal completes the bone, as published, and
    all three are fitted by least squares; the target's normal is first turned towards
    the rotation without twist by as much as the bend is too small to show it.

    Args:
        source: `(3, 3)` rows: start and end of the bone, and the joint beyond the end.
        target: `(3, 3)`.
        parent_rotation: `(3, 3)` motion of the part that the limb hangs on, default
            identity.

    Returns:
        The transform of the bone from source to target.
    """
    check_shape("source", source, "3 3")
    check_shape("target", target, "3 3")
    if parent_rotation is None:
        parent_rotation = jnp.eye(3, dtype=source.dtype)
    bone_source, bone_target = _bone(source), _bone(target)
    # The rotation without twist: follow the parent, then align the bone.
    carried = jnp.matmul(parent_rotation, bone_source, precision="highest")
    untwisted = jnp.matmul(
        minimal_rotation(carried, bone_target), parent_rotation, precision="highest"
    )
    lever_source, lever_target = _lever(source), _lever(target)
    carried_lever = jnp.matmul(untwisted, lever_source, precision="highest")
    axis = _unit(bone_target)
    cosine = jnp.dot(carried_lever, lever_target)
    sine = jnp.dot(axis, jnp.cross(carried_lever, lever_target))

    reach_source = _length(source[2] - source[1])
    reach_target = _length(target[2] - target[1])
    length = reach_source * reach_target
    seen = _length(lever_source) * _length(lever_target) / jnp.maximum(length, 1e-12)
    unseen = 1 - _smoothstep((jnp.sqrt(seen + 1e-12) - _UNSEEN) / (_SEEN - _UNSEEN))
    cosine = cosine + _DAMPING * length * unseen
    # A limb of length 0 has no angle: the floor keeps the derivative finite.
    norm = jnp.sqrt(cosine**2 + sine**2 + 1e-12 * length + 1e-30)
    cosine, sine = cosine / norm, sine / norm

    normal_source = _normal(source, bone_source, lever_source)
    carried_normal = jnp.matmul(untwisted, normal_source, precision="highest")
    normal_target = cosine * carried_normal + sine * jnp.cross(axis, carried_normal)
    third_source = source[1] + reach_source * normal_source
    third_target = target[1] + reach_target * normal_target
    return fit_similarity(
        jnp.stack([source[0], source[1], third_source]),
        jnp.stack([target[0], target[1], third_target]),
    )


def _bone(joints):
    return joints[1] - joints[0]


def _lever(joints):
    """Part of the next bone across this one; its length shows how far it bends."""
    axis = _unit(_bone(joints))
    beyond = joints[2] - joints[1]
    return beyond - jnp.dot(beyond, axis) * axis


def _normal(joints, bone, lever):
    """Unit normal of the bending plane; of a straight limb some normal of the bone."""
    axis = _unit(bone)
    crossed = jnp.cross(axis, lever)
    visible = _length(lever) > 1e-4 * _length(joints[2] - joints[1])
    return jnp.where(visible, _unit(crossed), perpendicular(axis))


def _length(vector):
    squared = (vector * vector).sum(-1)
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1)), 0)


def _unit(vector):
    length = _length(vector)
    fallback = jnp.array([0.0, 1.0, 0.0], vector.dtype)
    positive = length > 0
    return jnp.where(positive, vector / jnp.where(positive, length, 1), fallback)


def _smoothstep(x):
    x = jnp.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
