"""The 24 joints, where they lie in a MakeHuman body, and the way to the T-pose.

Names and tree are those of the SMPL skeleton. Axes: +x to the subject's left, +y up,
+z to the front; lengths in metres. A world rotation `rotations[j]` turns the part that
hangs on joint j from the base pose to the T-pose. `side` is +1 for left, -1 for right.
"""

import numpy as np
from assets import Assets

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
# fmt: off
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8,
           9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
# fmt: on
NUM_JOINTS = len(JOINT_NAMES)
JOINT_INDEX = {name: index for index, name in enumerate(JOINT_NAMES)}

# The joint on the other side of the body; central joints are their own mirror.
_SWAP = {"left": "right", "right": "left"}
MIRROR_JOINTS = np.array(
    [
        JOINT_INDEX["_".join(_SWAP.get(word, word) for word in name.split("_"))]
        for name in JOINT_NAMES
    ]
)

# MakeHuman marks positions by small cubes; a joint is the mean of the centres listed.
_JOINT_CUBES = {
    "pelvis": ("pelvis",),
    "spine1": ("spine-4",),
    "spine2": ("spine-2",),
    "spine3": ("spine-1",),
    "neck": ("neck",),
    "head": ("head",),
    "hip": ("upper-leg",),
    "knee": ("knee",),
    "ankle": ("ankle",),
    "foot": tuple(f"toe-{toe}-1" for toe in range(1, 6)),
    "collar": ("clavicle",),
    "shoulder": ("shoulder",),
    "elbow": ("elbow",),
    "wrist": ("hand",),
    "hand": tuple(f"finger-{finger}-1" for finger in range(2, 6)),
}
# Knuckles of index and little finger: with the wrist they span the palm.
_KNUCKLE_CUBES = {"index": ("finger-2-1",), "little": ("finger-5-1",)}
# Anchors are the 24 joints followed by these four.
_KNUCKLES = ("left_index", "left_little", "right_index", "right_little")
_ANCHOR_INDEX = {name: i for i, name in enumerate(JOINT_NAMES + _KNUCKLES)}

_COLLAR_RAISE = np.deg2rad(8)
_LEG_SPREAD = np.deg2rad(2.5)


def anchor_matrix(assets: Assets) -> np.ndarray:
    """Builds the matrix that averages cube vertices to anchors.

    Returns:
        `(28, n)` float64: `matrix @ vertices` are the 24 joints and 4 knuckles.
    """
    matrix = np.zeros((len(_ANCHOR_INDEX), len(assets.vertices)))
    for name, row in _ANCHOR_INDEX.items():
        side, _, part = name.rpartition("_")
        cubes = (_JOINT_CUBES | _KNUCKLE_CUBES)[part]
        prefix = f"joint-{side[0]}-" if side else "joint-"
        for cube in cubes:
            corners = assets.vertex_groups[prefix + cube]
            matrix[row, corners] += 1 / len(corners) / len(cubes)
    return matrix


def t_pose_rotations(anchors: np.ndarray) -> np.ndarray:
    """Computes the world rotations that take a body to the T-pose.

    The collars are raised by 8 degrees, the arms stretched along x with the elbow's
    hinge vertical and the palms down, the legs set 2.5 degrees apart. Trunk, head and
    feet keep their orientation.

    Args:
        anchors: Joints and knuckles in the base pose, `(28, 3)`.

    Returns:
        Rotation matrices `(24, 3, 3)`.
    """
    rotations = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    for name, side in (("left", 1), ("right", -1)):
        part = {
            key.partition("_")[2]: anchors[index]
            for key, index in _ANCHOR_INDEX.items()
            if key.startswith(name)
        }
        turned = _arm_rotations(part, side) | _leg_rotations(part, side)
        for joint, rotation in turned.items():
            rotations[JOINT_INDEX[f"{name}_{joint}"]] = rotation
    return rotations


def t_pose_joints(rotations: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Moves the joints `(24, 3)` along the tree; the pelvis stays where it is."""
    moved = joints.copy()
    for joint in range(1, NUM_JOINTS):
        parent = PARENTS[joint]
        offset = joints[joint] - joints[parent]
        moved[joint] = moved[parent] + rotations[parent] @ offset
    return moved


def _arm_rotations(part: dict[str, np.ndarray], side: int) -> dict[str, np.ndarray]:
    upper = part["elbow"] - part["shoulder"]
    lower = part["wrist"] - part["elbow"]
    hand = part["hand"] - part["wrist"]
    # MakeHuman's arm is slightly bent: the cross product is the elbow's axis. With the
    # factor `side` it points down when the arm hangs out sideways.
    elbow_axis = np.cross(upper, lower) * side
    to_index = part["index"] - part["wrist"]
    to_little = part["little"] - part["wrist"]
    palm_normal = -np.cross(to_index, to_little) * side
    goal = _frame(np.array([side, 0.0, 0.0]), np.array([0.0, -1.0, 0.0]))
    wrist = goal @ _frame(hand, palm_normal).T
    return {
        "collar": _rotation_z(side * _COLLAR_RAISE),
        "shoulder": goal @ _frame(upper, elbow_axis).T,
        "elbow": goal @ _frame(lower, elbow_axis).T,
        "wrist": wrist,
        "hand": wrist,
    }


def _leg_rotations(part: dict[str, np.ndarray], side: int) -> dict[str, np.ndarray]:
    leg = part["ankle"] - part["hip"]
    spread = np.arctan2(side * leg[0], -leg[1])
    rotation = _rotation_z(side * (_LEG_SPREAD - spread))
    return {"hip": rotation, "knee": rotation}


def _frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Orthonormal columns: along `first`, then in the plane of both, then across."""
    x = first / np.linalg.norm(first)
    y = second - x * (x @ second)
    y = y / np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _rotation_z(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
