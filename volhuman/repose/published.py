"""The published reposing network, to run weights of its authors: geometry and names.

Poses are `(19, 3)` in the order of `body.part_transforms.PANOPTIC19`, in pixels of a
picture of 256: x right, y down, z away and shifted by 128. All of it runs on the host
in NumPy, as theirs does; new training uses `repose.parts`.
"""

import numpy as np

from volhuman.body.part_transforms import PANOPTIC19
from volhuman.checks import check_shape

SIZE = 256
SHAPE = (64, 64, 32)
_STEP = np.array([4.0, 4.0, 8.0])  # pixels a voxel along y, x and z
_PADDED = (65, 65, 33)
_MIDDLE = np.array([0.0, 0.0, SIZE / 2], np.float32)  # their depth of the pelvis


def source_masks(source_joints: np.ndarray) -> np.ndarray:
    """What `forward.source_masks` is for other networks.

    Args:
        source_joints: `(B, S, 19, 3)` as in `forward.repose`: depth 0 at the pelvis.

    Returns:
        `(B, S, 10, 64, 64, 32)`.
    """
    joints = np.asarray(source_joints) + _MIDDLE
    return np.stack([[stamped_masks(j) for j in person] for person in joints])


def target_geometry(
    source_joints: np.ndarray, target_joints: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What `forward.target_geometry` is for other networks.

    Args:
        source_joints: `(B, S, 19, 3)` as in `forward.repose`.
        target_joints: `(B, 19, 3)`.

    Returns:
        Maps `(B, S, 10, 3, 4)` and heat maps `(B, 64, 64, 32, 19)`.
    """
    sources = np.asarray(source_joints) + _MIDDLE
    targets = np.asarray(target_joints) + _MIDDLE
    maps = [
        [view_maps(least_squares_maps(source, target)) for source in person]
        for person, target in zip(sources, targets, strict=True)
    ]
    return np.array(maps), np.stack([heatmaps(target) for target in targets])


def stamped_masks(joints: np.ndarray) -> np.ndarray:
    """Draws the part masks as ellipsoids stamped along the bones.

    The centre of a stamp lies up to one voxel before the bone on every axis, as in the
    published code.

    Source: Knoche et al., section 3.2.

    Args:
        joints: `(19, 3)` pixels.

    Returns:
        `(10, 64, 64, 32)` float32, 0 or 1.

    Raises:
        ValueError: If the joints have another shape.
    """
    check_shape("joints", joints, "19 3")
    at = {name: np.float32(joints[i]) for i, name in enumerate(PANOPTIC19.names)}
    size = max(
        np.linalg.norm(at["left_shoulder"] - at["right_hip"]),
        np.linalg.norm(at["right_shoulder"] - at["left_hip"]),
    )
    masks = np.zeros((10, *SHAPE), np.float32)
    corners = ["right_hip", "left_hip", "left_shoulder", "right_shoulder"]
    for number, first in enumerate(corners):
        for second in corners[number + 1 :]:
            _draw(masks[0], at[first], at[second], 0.3 * size)
    centre = (at["left_ear"] + at["right_ear"]) / 2
    low = 0.7 * centre + 0.3 * at["neck"]
    _draw(masks[1], 2 * centre - low, low, 0.5 * size)
    part = 2
    for upper, middle, end in (
        ("shoulder", "elbow", "wrist"),
        ("hip", "knee", "ankle"),
    ):
        for side in ("left", "right"):
            start, joint, tip = (at[f"{side}_{name}"] for name in (upper, middle, end))
            if upper == "hip":
                start = start + 0.1 * (start - at[f"{side}_shoulder"])
            tip = tip + 0.2 * (tip - joint)
            _draw(masks[part], start, joint, 0.2 * size)
            _draw(masks[part + 1], joint, tip, 0.2 * size)
            _draw(masks[part + 1], tip, tip, 0.4 * size)
            part += 2
    return masks


def _draw(mask, start, stop, thickness):
    """Stamps an ellipsoid along a line, the far end excluded; points x, y, z."""
    start, stop = start[[1, 0, 2]] / _STEP, stop[[1, 0, 2]] / _STEP
    half = thickness / _STEP / 2
    extent = np.floor(half).astype(int) + 1
    offsets = np.stack(
        np.meshgrid(*(np.arange(2 * e + 1) for e in extent), indexing="ij"), -1
    )
    inside = (((offsets - half) / (half + 1)) ** 2).sum(-1) <= 1
    offsets = offsets[inside] - extent
    length = max(np.linalg.norm(stop - start), 1.0)
    for step in range(int(length)):
        centre = np.round(start + step * (stop - start) / length).astype(int)
        centre = np.clip(centre, 0, np.array(SHAPE) - 1)
        voxels = centre + offsets
        voxels = voxels[((voxels >= 0) & (voxels < SHAPE)).all(1)]
        mask[tuple(voxels.T)] = 1


def least_squares_maps(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Fits the part maps without regard to handedness.

    About half of the limbs come out mirrored about the plane of their three points:
    which half is settled by rounding. For weights trained with this fit only.

    Source: Knoche et al., section 3.2; supplement.

    Args:
        source: `(19, 3)` pixels in the given picture.
        target: `(19, 3)` pixels of the wanted pose.

    Returns:
        `(10, 4, 4)` maps of pixels, from target to source.
    """
    maps = []
    for wanted, given in zip(_fit_points(target), _fit_points(source), strict=True):
        wanted_mean, given_mean = wanted.mean(0), given.mean(0)
        a, b = wanted - wanted_mean, given - given_mean
        u, _, v = np.linalg.svd(a.T @ b)
        rotation = v.T @ u.T
        scale = (b * (a @ rotation.T)).sum() / max((a * a).sum(), 1e-12)
        matrix = np.eye(4, dtype=np.float32)
        matrix[:3, :3] = scale * rotation
        matrix[:3, 3] = given_mean - scale * rotation @ wanted_mean
        maps.append(matrix)
    return np.stack(maps)


def _fit_points(joints):
    """Points `(K, 3)` that carry each part: joints, and for limbs a point beside."""
    at = lambda name: np.float32(joints[PANOPTIC19.names.index(name)])
    points = [
        np.stack([at(name) for name in PANOPTIC19.torso]),
        np.stack([at(name) for name in PANOPTIC19.head]),
    ]
    for upper, middle, end in (
        ("shoulder", "elbow", "wrist"),
        ("hip", "knee", "ankle"),
    ):
        for side in ("left", "right"):
            a, b, c = (at(f"{side}_{name}") for name in (upper, middle, end))
            points += [_with_normal(a, b, c), _with_normal(c, b, a)]
    return points


def _with_normal(start, stop, roll):
    """A bone with a third point along the normal of its bending plane."""
    beyond = roll - stop
    normal = np.cross(stop - start, beyond)
    length = np.linalg.norm(normal)
    # The published code divides by zero for a straight limb.
    normal = normal / length if length else np.zeros(3, np.float32)
    return np.stack([start, stop, stop + normal * np.linalg.norm(beyond)])


def view_maps(pixel_maps: np.ndarray) -> np.ndarray:
    """Rewrites maps of pixels for `geometry.warp_parts` on the padded volume.

    Args:
        pixel_maps: `(P, 4, 4)`; voxel i stands for pixel 4 i (x, y) and 8 i (z).

    Returns:
        `(P, 3, 4)` maps of the view cube of a volume of 65 x 65 x 33.
    """
    counts = np.array([_PADDED[1], _PADDED[0], _PADDED[2]], np.float64)
    # Voxel i of n stands at (2 i + 1) / n - 1.
    scale = np.array([0.25, 0.25, 0.125]) * 2 / counts
    to_view = np.diag([*scale, 1.0])
    to_view[:3, 3] = 1 / counts - 1
    maps = to_view @ np.asarray(pixel_maps, np.float64) @ np.linalg.inv(to_view)
    return maps[:, :3].astype(np.float32)


def heatmaps(joints: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Draws heat maps of deviation 6 pixels on grids that begin at pixel 0.

    Args:
        joints: `(19, 3)` pixels.
        shape: Voxels (H, W, D) over 256 pixels each.

    Returns:
        `(H, W, D, 19)` float32.
    """
    along = [
        np.exp(-((np.arange(n)[:, None] * SIZE / n - joints[:, axis]) ** 2) / 72)
        for n, axis in zip(shape, (1, 0, 2), strict=True)
    ]
    product = np.einsum("yj,xj,zj->yxzj", *along, optimize=True)
    return product.astype(np.float32)
