"""Landmarks on the surface: where people click keypoints in photographs.

Each is a vertex of the base mesh that has to survive the reduction. It is found on the
left side, or on the middle plane, and copied to the right side.
"""

import numpy as np
from assets import Assets
from closed_surface import front_of_eyeball
from skeleton import JOINT_INDEX

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

# The tip of a limb is the outermost vertex of the bone at its end.
_TIPS = {
    "left_big_toe": ("toe1-2.L", (0, 0, 1)),
    "left_small_toe": ("toe5-3.L", (0, 0, 1)),
    "left_hand_tip": ("finger3-3.L", (1, 0, 0)),
}
# The heel is the rearmost vertex of the foot up to this height over the sole, metres.
_HEEL_HEIGHT = 0.03
# Position of the ear's entrance in the auricle, as a share of its depth from the front.
_EAR_ENTRANCE = 0.35
# Vertices that a viewer at the side sees: x of the unit normal is above this.
_FACING_SIDE = 0.3


def find_landmarks(
    assets: Assets,
    body: np.ndarray,
    faces: np.ndarray,
    weights: np.ndarray,
    mirror: np.ndarray,
) -> dict[str, int]:
    """Finds the landmarks.

    Args:
        assets: The base mesh.
        body: Average body in the T-pose, `(n, 3)`, metres.
        faces: Its closed surface, `(m, 3)`.
        weights: Joint weights, `(n, 24)`.
        mirror: Mirror vertex of each vertex, `(n,)`.

    Returns:
        Vertex indices by name, in the order of `LANDMARK_NAMES`.
    """
    surface = np.unique(faces)
    in_middle = surface[mirror[surface] == surface]
    profile = in_middle[weights[in_middle, JOINT_INDEX["head"]] > 0.5]
    found = {
        "nose": _farthest(body, profile, (0, 0, 1)),
        "head_top": _farthest(body, profile, (0, 1, 0)),
        "left_eye": front_of_eyeball(assets, "l"),
        "left_ear": _ear_entrance(body, faces, assets.left_ear),
        "left_heel": _heel(body, _of_bone(assets, "foot.L", surface)),
    }
    for name, (bone, direction) in _TIPS.items():
        found[name] = _farthest(body, _of_bone(assets, bone, surface), direction)
    for name in LANDMARK_NAMES:
        if name.startswith("right"):
            found[name] = int(mirror[found["left" + name.removeprefix("right")]])
    return {name: found[name] for name in LANDMARK_NAMES}


def _of_bone(assets: Assets, bone: str, surface: np.ndarray) -> np.ndarray:
    return surface[assets.bone_weights[bone][surface] > 0.5]


def _farthest(
    body: np.ndarray, candidates: np.ndarray, direction: tuple[float, ...]
) -> int:
    return int(candidates[np.argmax(body[candidates] @ np.array(direction))])


def _heel(body: np.ndarray, foot: np.ndarray) -> int:
    sole = body[foot, 1].min()
    return _farthest(body, foot[body[foot, 1] < sole + _HEEL_HEIGHT], (0, 0, -1))


def _ear_entrance(body: np.ndarray, faces: np.ndarray, ear: np.ndarray) -> int:
    """Finds the vertex at the ear canal, seen from the side."""
    low, high = body[ear].min(axis=0), body[ear].max(axis=0)
    entrance_y = (low[1] + high[1]) / 2
    entrance_z = high[2] - _EAR_ENTRANCE * (high[2] - low[2])
    visible = ear[_normals(body, faces)[ear, 0] > _FACING_SIDE]
    distance = body[visible, 1:] - [entrance_y, entrance_z]
    return int(visible[np.argmin(np.linalg.norm(distance, axis=1))])


def _normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals weighted by area, `(n, 3)`; zero for vertices without a face."""
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], np.cross(b - a, c - a))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.maximum(length, 1e-12)
