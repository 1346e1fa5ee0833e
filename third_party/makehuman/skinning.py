"""Skinning weights of the 24 joints: made, applied, and cut to four per vertex."""

import re

import numpy as np
from assets import Assets
from skeleton import (
    JOINT_INDEX,
    MIRROR_JOINTS,
    NUM_JOINTS,
    t_pose_joints,
    t_pose_rotations,
)

MAX_JOINTS_PER_VERTEX = 4
# Stored weights are multiples of this step, which float16 holds exactly in [0, 1].
STEPS_PER_UNIT = 2048

# The first pattern that matches a bone of MakeHuman's rig gives its joint.
_JOINT_OF_BONE = (
    (r"root|pelvis\.|spine05", "pelvis"),
    (r"upperleg", "hip"),
    (r"lowerleg", "knee"),
    (r"foot", "ankle"),
    (r"toe", "foot"),
    (r"spine0[34]", "spine1"),
    (r"spine02", "spine2"),
    (r"spine01|breast", "spine3"),
    (r"neck0", "neck"),
    (r"clavicle|shoulder01", "collar"),
    (r"upperarm", "shoulder"),
    (r"lowerarm", "elbow"),
    (r"finger[2-5]", "hand"),
    (r"wrist|metacarpal|finger1", "wrist"),
    (r".*", "head"),
)
_SIDES = {"L": "left_", "R": "right_"}


def joint_weights(assets: Assets) -> np.ndarray:
    """Sums the weights of MakeHuman's bones to joints.

    Returns:
        Weights `(n, 24)` float64; rows sum to 1.
    """
    weights = np.zeros((len(assets.vertices), NUM_JOINTS))
    for bone, values in assets.bone_weights.items():
        weights[:, _joint_of_bone(bone)] += values
    total = weights.sum(axis=1, keepdims=True)
    if not (total > 0).all():
        raise ValueError(f"{np.sum(total <= 0)} vertices hang on no bone")
    return weights / total


def symmetrise_weights(weights: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Averages weights `(n, 24)` with those of the mirror image."""
    return 0.5 * (weights + weights[mirror][:, MIRROR_JOINTS])


def to_t_pose(
    vertices: np.ndarray, anchors: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Poses a body by linear blend skinning and puts its pelvis at the origin.

    Args:
        vertices: Any vertices of the body in the base pose, `(n, 3)`.
        anchors: Joints and knuckles in the base pose, `(28, 3)`.
        weights: Weights of these vertices, `(n, 24)`.

    Returns:
        Vertices `(n, 3)` and joints `(24, 3)` in the T-pose.
    """
    joints = anchors[:NUM_JOINTS]
    rotations = t_pose_rotations(anchors)
    moved = t_pose_joints(rotations, joints)
    shifts = moved - np.einsum("jab,jb->ja", rotations, joints)
    blended = (weights @ rotations.reshape(NUM_JOINTS, 9)).reshape(-1, 3, 3)
    posed = np.einsum("nab,nb->na", blended, vertices) + weights @ shifts
    return posed - moved[0], moved - moved[0]


def truncate_weights(
    weights: np.ndarray, mirror: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Keeps the four largest weights of each vertex, equally on both sides.

    One side is truncated and copied to the other with left and right joints exchanged,
    so ties cannot be broken differently. A vertex on the middle plane keeps or loses
    the two joints of a left-right pair together.

    Args:
        weights: Symmetric weights, `(n, 24)`; rows sum to 1.
        mirror: Mirror vertex of each vertex, `(n,)` int.

    Returns:
        Joints `(n, 4)` uint8 in the order of falling weight, and their weights
        `(n, 4)` float16, which sum to exactly 1. Unused places hold joint 0, weight 0.
    """
    joints = np.zeros((len(weights), MAX_JOINTS_PER_VERTEX), np.uint8)
    steps = np.zeros((len(weights), MAX_JOINTS_PER_VERTEX), np.int64)
    for vertex, other in enumerate(mirror):
        if vertex < other:
            kept = np.argsort(-weights[vertex], kind="stable")[:MAX_JOINTS_PER_VERTEX]
            rounded = _round(weights[vertex, kept], absorbing=[0])
        elif vertex == other:
            kept = _keep_symmetric(weights[vertex])
            rounded = _round(weights[vertex, kept], _absorbing(kept))
        else:
            continue
        joints[vertex, : len(kept)], steps[vertex, : len(kept)] = kept, rounded
        if vertex < other:
            joints[other], steps[other] = MIRROR_JOINTS[joints[vertex]], steps[vertex]
    # Without weight, the joint is meaningless: one value for all, on both sides.
    joints[steps == 0] = 0
    return joints, (steps / STEPS_PER_UNIT).astype(np.float16)


def _joint_of_bone(bone: str) -> int:
    name = next(joint for pattern, joint in _JOINT_OF_BONE if re.match(pattern, bone))
    if name in JOINT_INDEX:
        return JOINT_INDEX[name]
    return JOINT_INDEX[_SIDES[bone[-1]] + name]


def _keep_symmetric(weights: np.ndarray) -> np.ndarray:
    """Chooses joints of a middle vertex so that pairs stay whole.

    Args:
        weights: `(24,)`, equal for the two joints of a pair.

    Returns:
        At most four joints `(k,)` int that hold as much weight as possible.
    """
    order = np.argsort(-weights, kind="stable")
    central = [j for j in order if MIRROR_JOINTS[j] == j]
    paired = [j for j in order if MIRROR_JOINTS[j] > j]
    best: list[int] = []
    for num_pairs in range(MAX_JOINTS_PER_VERTEX // 2 + 1):
        pairs = [j for left in paired[:num_pairs] for j in (left, MIRROR_JOINTS[left])]
        choice = pairs + central[: MAX_JOINTS_PER_VERTEX - 2 * num_pairs]
        if weights[choice].sum() > weights[best].sum():
            best = choice
    return np.array(sorted(best, key=lambda j: (-weights[j], j)))


def _absorbing(joints: np.ndarray) -> list[int]:
    """Places of a middle vertex that may take up the rounding error."""
    central = [k for k, joint in enumerate(joints) if MIRROR_JOINTS[joint] == joint]
    # Without a central joint the two of the heaviest pair share it; it is even then.
    return central[:1] or [0, 1]


def _round(weights: np.ndarray, absorbing: list[int]) -> np.ndarray:
    """Rounds weights to steps that sum to `STEPS_PER_UNIT`, `(k,)` int."""
    steps = np.rint(weights / weights.sum() * STEPS_PER_UNIT).astype(np.int64)
    steps[absorbing] += (STEPS_PER_UNIT - steps.sum()) // len(absorbing)
    return steps
