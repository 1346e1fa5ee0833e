"""Key points of a body: joints, surface landmarks and mid points, by name.

All key point formats are read into one fixed list of names, so that a registration
compiles once whatever the format. A point that a format lacks has weight 0.
"""

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.body.model import BodyModel, Posed
from volhuman.body.skeleton import JOINT_INDEX, JOINT_NAMES

LANDMARK_NAMES = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "head_top",
    "left_big_toe",
    "right_big_toe",
    "left_small_toe",
    "right_small_toe",
    "left_heel",
    "right_heel",
    "left_hand_tip",
    "right_hand_tip",
)
# Points that formats place halfway between two joints.
MID_POINTS = {
    "mid_shoulder": ("left_shoulder", "right_shoulder"),
    "mid_hip": ("left_hip", "right_hip"),
}
KEYPOINT_NAMES = (*JOINT_NAMES, *LANDMARK_NAMES, *MID_POINTS)
KEYPOINT_INDEX = {name: number for number, name in enumerate(KEYPOINT_NAMES)}

COCO17 = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
# OpenPose's "Neck" lies between the shoulders, which is not the neck joint.
BODY25 = (
    "nose",
    "mid_shoulder",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "mid_hip",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
    "left_big_toe",
    "left_small_toe",
    "left_heel",
    "right_big_toe",
    "right_small_toe",
    "right_heel",
)


def landmark_vertices(model: BodyModel) -> jax.Array:
    """Returns the vertex of every landmark `(L,)`, 0 for those the model lacks."""
    zero = jnp.zeros((), jnp.int32)
    return jnp.stack(
        [
            model.landmark_vertices[model.landmark_names.index(name)]
            if name in model.landmark_names
            else zero
            for name in LANDMARK_NAMES
        ]
    )


def known_keypoints(model: BodyModel) -> np.ndarray:
    """Returns which of `KEYPOINT_NAMES` the model has: `(K,)` bool."""
    return np.array(
        [
            name not in LANDMARK_NAMES or name in model.landmark_names
            for name in KEYPOINT_NAMES
        ]
    )


def body_keypoints(posed: Posed, landmark_positions: jax.Array) -> jax.Array:
    """Returns the key points of a posed body in the order of `KEYPOINT_NAMES`.

    Args:
        posed: Posed body.
        landmark_positions: `(L, 3)` its vertices `landmark_vertices(model)`.

    Returns:
        `(K, 3)` metres.
    """
    middles = [
        0.5 * (posed.joints[JOINT_INDEX[first]] + posed.joints[JOINT_INDEX[second]])
        for first, second in MID_POINTS.values()
    ]
    return jnp.concatenate([posed.joints, landmark_positions, jnp.stack(middles)])
