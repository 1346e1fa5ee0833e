"""The stick figure that reposing moves: the 24 joints and five points of the face.

The face is there for joint sets that have it (Panoptic's); everything else reads the 24
joints. Conventions of every function here: points are `(..., 29, 3)` in the order of
`POINT_NAMES`, in any right-handed axes and unit unless a function says more.
"""

import functools

import numpy as np

from volhuman.body.part_transforms import JointSet
from volhuman.body.pose_sampler import posed_frames
from volhuman.body.skeleton import (
    JOINT_INDEX,
    JOINT_NAMES,
    NUM_JOINTS,
    PARENTS,
    exchange_sides,
)
from volhuman.body.template import load_template

FACE_NAMES = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
POINT_NAMES = JOINT_NAMES + FACE_NAMES
POINT_INDEX = {name: number for number, name in enumerate(POINT_NAMES)}
POINT_PARENTS = np.array([*PARENTS, *[JOINT_INDEX["head"]] * len(FACE_NAMES)])
PELVIS = JOINT_INDEX["pelvis"]

_MIRROR = np.array([POINT_INDEX[exchange_sides(name)] for name in POINT_NAMES])
_SPINE = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
# Panoptic's neck and body centre lie between the shoulders and between the hips.
_MIDDLES = {
    "neck": ("left_shoulder", "right_shoulder"),
    "pelvis": ("left_hip", "right_hip"),
}


@functools.cache
def rest_points() -> dict[str, np.ndarray]:
    """Joints and landmarks of the embedded body in T-pose by name, body space."""
    body = load_template()
    vertices = np.asarray(body.template, np.float64)
    landmarks = vertices[np.asarray(body.landmark_vertices)]
    joints = np.asarray(body.joints, np.float64)
    return dict(zip(JOINT_NAMES, joints)) | dict(zip(body.landmark_names, landmarks))


def rest_figure() -> np.ndarray:
    """Returns the figure `(29, 3)` of the embedded body in T-pose, body space."""
    rest = rest_points()
    return np.stack([rest[name] for name in POINT_NAMES])


def pose_figure(pose: np.ndarray) -> np.ndarray:
    """Poses the embedded body's figure.

    Args:
        pose: `(T, 24, 3)` axis-angle relative to the parent.

    Returns:
        `(T, 29, 3)` metres, body axes, the pelvis at 0.
    """
    rest = rest_figure()
    face = rest[NUM_JOINTS:] - rest[JOINT_INDEX["head"]]
    frames = []
    for frame in pose:
        joints, rotations = posed_frames(frame, rest[:NUM_JOINTS])
        turned = face @ rotations[JOINT_INDEX["head"]].T
        frames.append(np.concatenate([joints, joints[JOINT_INDEX["head"]] + turned]))
    points = np.stack(frames)
    return points - points[:, PELVIS, None]


def bone_lengths(points: np.ndarray) -> np.ndarray:
    """Lengths `(..., 29)` of the bones that end in each point, 0 for the pelvis.

    Left and right are averaged: people are symmetric, estimated depths are not.
    """
    lengths = np.linalg.norm(_bones(points), axis=-1)
    return (lengths + lengths[..., _MIRROR]) / 2


def set_lengths(points: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Gives every bone a length; directions and the pelvis stay.

    A bone of no length has no direction and stays one.

    Args:
        points: `(..., 29, 3)`.
        lengths: `(29,)` as from `bone_lengths`.

    Returns:
        `(..., 29, 3)`.
    """
    bones = unit(_bones(points)) * lengths[:, None]
    moved = points.copy()
    for number in range(1, len(POINT_NAMES)):
        moved[..., number, :] = (
            moved[..., POINT_PARENTS[number], :] + bones[..., number, :]
        )
    return moved


def figure_size(points: np.ndarray) -> np.ndarray:
    """Size `(...)` of a person in any pose: one leg and the spine, neck included."""
    lengths = bone_lengths(points)
    bones = ("left_knee", "left_ankle", *_SPINE[1:])
    return lengths[..., [POINT_INDEX[name] for name in bones]].sum(-1)


def heading(points: np.ndarray) -> np.ndarray:
    """Where people face: the turn `(...)` about the vertical from z, radians.

    Args:
        points: `(..., 29, 3)` with y up.

    Returns:
        Positive from z to x; 0 where hips and shoulders lie above each other, as of
        who lies on one side.
    """
    at = lambda name: points[..., POINT_INDEX[name], :]
    left = sum(at(f"left_{name}") - at(f"right_{name}") for name in ("hip", "shoulder"))
    return np.arctan2(-left[..., 2], left[..., 0])


def turn(points: np.ndarray, angle: float) -> np.ndarray:
    """Turns points `(..., 3)` about the y axis, by an angle positive from z to x."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return points @ np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])


def select_joints(points: np.ndarray, joint_set: JointSet) -> np.ndarray:
    """Returns the joints `(..., J, 3)` of a joint set in its order."""
    if joint_set.names == JOINT_NAMES:
        return points[..., :NUM_JOINTS, :]
    at = lambda name: points[..., POINT_INDEX[name], :]
    return np.stack(
        [
            (at(_MIDDLES[name][0]) + at(_MIDDLES[name][1])) / 2
            if name in _MIDDLES
            else at(name)
            for name in joint_set.names
        ],
        axis=-2,
    )


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scales vectors `(..., 3)` to length 1; those of no length stay 0."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def _bones(points):
    """Vectors from the parent to each point, 0 for the pelvis."""
    return points - points[..., np.maximum(POINT_PARENTS, 0), :]
