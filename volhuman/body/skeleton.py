"""The 24 joints of the body, their tree, and the ten parts that reposing moves.

Joint names and tree are those of SMPL, so that poses of AMASS and of SMPL estimators
can be used unchanged.
"""

import numpy as np

JOINT_NAMES = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
)
PARENTS = np.array(
    [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21],
    np.int32,
)
NUM_JOINTS = len(JOINT_NAMES)
JOINT_INDEX = {name: number for number, name in enumerate(JOINT_NAMES)}

PART_NAMES = (
    "torso",
    "head",
    "left_upper_arm",
    "left_lower_arm",
    "right_upper_arm",
    "right_lower_arm",
    "left_thigh",
    "left_shin",
    "right_thigh",
    "right_shin",
)


def exchange_sides(name: str) -> str:
    """Returns the name of the mirrored joint: left_knee for right_knee."""
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    if name.startswith("right_"):
        return "left_" + name.removeprefix("right_")
    return name


# Joint j of the mirrored body is joint MIRROR[j] of the body.
MIRROR = np.array([JOINT_INDEX[exchange_sides(name)] for name in JOINT_NAMES], np.int32)


def mirror_pose(pose: np.ndarray) -> np.ndarray:
    """Mirrors axis-angle poses `(..., 24, 3)` at the plane x = 0."""
    return np.asarray(pose)[..., MIRROR, :] * np.array([1, -1, -1], np.float32)
