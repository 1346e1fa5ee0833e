"""Moving a predicted surface onto the true one where a protocol allows it.

A photograph leaves depth, and mostly size, open. An error after alignment is a
different number than one before, so the alignment is part of a protocol's name.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from volhuman.checks import check_option
from volhuman.evaluation.meshes import Mesh, closest_on_surface, sample_surface

ALIGNMENTS = ("none", "z shift", "rigid", "similarity")

_NUM_SAMPLES = 1000
_MAXIMUM_STEPS = 30
# Of the truth's extent: below this a step is rounding.
_TOLERANCE = 1e-6
_PROGRESS = 0.999
_PATIENCE = 3
# Singular directions, such as the turn of a sphere, stay as they are.
_RELATIVE_CUT = 1e-3


def align_surface(prediction: Mesh, truth: Mesh, kind: str, *, seed: int) -> Mesh:
    """Moves a surface onto another by iterated closest points.

    Every step matches points of either surface with the closest ones of the other and
    minimises the distances along the normals there, which lets surfaces slide. Matching
    one way only would let a similarity shrink the prediction to a point. The search is
    local: it finds the optimum near the start, so surfaces far apart or turned by more
    than about 30 degrees may end in a wrong one. It never mirrors.

    Args:
        prediction: The surface to move.
        truth: The surface to move it onto.
        kind: "none", "z shift" (depth only), "rigid" or "similarity".
        seed: Seed of the matched points.

    Returns:
        The moved prediction: of all steps the one with the smallest mean squared
        distance of the matched points.

    Raises:
        ValueError: If the kind is unknown or a mesh cannot be sampled.
    """
    check_option("kind", kind, ALIGNMENTS)
    if kind == "none":
        return prediction
    # Around the truth's centre and in its extent turn, size and shift weigh alike.
    low, high = truth.corners.min((0, 1)), truth.corners.max((0, 1))
    centre, extent = (low + high) / 2, (high - low).max()
    moving, fixed = (
        Mesh((mesh.vertices - centre) / extent, mesh.faces)
        for mesh in (prediction, truth)
    )
    of_moving, of_fixed = (
        sample_surface(np.random.default_rng([seed, number]), mesh, _NUM_SAMPLES)
        for number, mesh in enumerate((moving, fixed))
    )
    best, least, stalled = moving, np.inf, 0
    for _ in range(_MAXIMUM_STEPS):
        source, goal, normals = _match(moving, fixed, of_moving, of_fixed)
        error = ((goal - source) ** 2).sum(1).mean()
        stalled = 0 if error < _PROGRESS * least else stalled + 1
        if error < least:
            best, least = moving, error
        linear, shift = _step(source, goal, normals, kind)
        moved = of_moving @ linear.T + shift
        step = np.abs(moved - of_moving).max()
        of_moving = moved
        moving = Mesh(moving.vertices @ linear.T + shift, moving.faces)
        if step <= _TOLERANCE or stalled == _PATIENCE:
            break
    return Mesh(best.vertices * extent + centre, best.faces)


def _match(moving, fixed, of_moving, of_fixed):
    """Points that move, where they should be, and the normals of the surface met."""
    on_fixed, fixed_faces = closest_on_surface(of_moving, fixed)
    on_moving, moving_faces = closest_on_surface(of_fixed, moving)
    normals = [_normals(fixed, fixed_faces), _normals(moving, moving_faces)]
    return (
        np.concatenate([of_moving, on_moving]),
        np.concatenate([on_fixed, of_fixed]),
        np.concatenate(normals),
    )


def _normals(mesh, faces):
    a, b, c = np.moveaxis(mesh.corners[faces], 1, 0)
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.where(length > 0, length, 1)


def _step(source, goal, normals, kind):
    """Linear part and shift of the Gauss-Newton step on distances along normals."""
    left = (normals * (goal - source)).sum(1)
    if kind == "z shift":
        columns = normals[:, 2:]
    else:
        columns = np.concatenate([np.cross(source, normals), normals], axis=1)
    if kind == "similarity":
        growth = (source * normals).sum(1, keepdims=True)
        columns = np.concatenate([columns, growth], axis=1)
    motion = np.linalg.lstsq(columns, left, rcond=_RELATIVE_CUT)[0]
    if kind == "z shift":
        return np.eye(3), np.array([0, 0, motion[0]])
    # A linear step is good for small motions: half a radian, a factor of 1.6.
    motion[:3] *= min(1, 0.5 / max(np.linalg.norm(motion[:3]), 1e-12))
    scale = np.exp(np.clip(motion[6], -0.5, 0.5)) if kind == "similarity" else 1.0
    return scale * Rotation.from_rotvec(motion[:3]).as_matrix(), motion[3:6]
