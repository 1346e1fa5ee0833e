"""Cameras for pictures of people, on the host.

View coordinates are those of DESIGN: x, y in [-1, 1] over the square picture, y down;
z in the same unit, away from the camera, 0 at the pelvis. For a pinhole camera z is
`focal * (Z - Z_pelvis) / Z_pelvis`, so that a person keeps the proportions that it has
in the picture.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from volhuman.geometry.camera import Pinhole, WeakPerspective

_FACING = np.diag([1.0, -1.0, -1.0])


def view_from_body(
    camera: Pinhole | WeakPerspective, points: np.ndarray, pelvis: np.ndarray
) -> np.ndarray:
    """Projects points to view coordinates.

    Args:
        camera: One camera.
        points: `(N, 3)` body space, metres; in front of a pinhole camera.
        pelvis: `(3,)` the pelvis in body space.

    Returns:
        `(N, 3)`.
    """
    rotation = np.asarray(camera.rotation, np.float64)
    if isinstance(camera, WeakPerspective):
        scale = float(camera.scale)
        view = scale * ((points - pelvis) @ rotation.T)
        centre = scale * (rotation @ pelvis)[:2] + np.asarray(camera.translation)
        view[:, :2] += centre
        return view
    moved = points @ rotation.T + np.asarray(camera.position)
    depth = np.maximum(moved[:, 2:], 1e-3)
    pelvis_depth = float(rotation[2] @ pelvis + camera.position[2])
    focal = float(camera.focal)
    xy = focal * moved[:, :2] / depth + np.asarray(camera.principal)
    z = focal * (moved[:, 2:] - pelvis_depth) / pelvis_depth
    return np.concatenate([xy, z], axis=1)


def pixels_from_view(view: np.ndarray, size: int) -> np.ndarray:
    """Converts view coordinates `(..., 3)` to pixels; pixel 0 covers [0, 1]."""
    return view * (size / 2) + [size / 2, size / 2, 0]


def metres_per_view(camera: Pinhole | WeakPerspective, pelvis: np.ndarray) -> float:
    """Length in metres of one view unit at the depth of the pelvis."""
    if isinstance(camera, WeakPerspective):
        return 1 / float(camera.scale)
    depth = np.asarray(camera.rotation)[2] @ pelvis + camera.position[2]
    return float(depth / camera.focal)


def towards_camera(camera: Pinhole | WeakPerspective, points: np.ndarray) -> np.ndarray:
    """Unit vectors from body-space points `(N, 3)` to the camera, `(N, 3)`."""
    rotation = np.asarray(camera.rotation, np.float64)
    if isinstance(camera, WeakPerspective):
        return np.broadcast_to(-rotation[2], points.shape)
    vectors = -np.asarray(camera.position, np.float64) @ rotation - points
    x, y, z = vectors.T
    return vectors / np.sqrt(x * x + y * y + z * z)[:, None]


def pixel_rays(
    camera: Pinhole | WeakPerspective, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rays through the pixel centres, in body space.

    Args:
        camera: One camera.
        size: Side of the picture in pixels.

    Returns:
        Origins and unit directions, `(size, size, 3)` each.
    """
    axis = (np.arange(size) + 0.5) * (2 / size) - 1
    x, y = np.meshgrid(axis, axis)
    rotation = np.asarray(camera.rotation, np.float64)
    if isinstance(camera, WeakPerspective):
        flat = np.stack([x, y], -1) - np.asarray(camera.translation)
        flat = flat / float(camera.scale)
        origin = np.concatenate([flat, np.full((size, size, 1), -10.0)], -1) @ rotation
        return origin, np.broadcast_to(rotation[2], origin.shape)
    flat = (np.stack([x, y], -1) - np.asarray(camera.principal)) / float(camera.focal)
    direction = np.concatenate([flat, np.ones((size, size, 1))], -1) @ rotation
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    origin = -np.asarray(camera.position, np.float64) @ rotation
    return np.broadcast_to(origin, direction.shape), direction


def look_at(
    yaw: float,
    pitch: float,
    roll: float,
    *,
    centre: np.ndarray,
    reach: float,
    focal: float | None = None,
) -> Pinhole | WeakPerspective:
    """Places a camera around a person.

    Args:
        yaw: Turn around the person in radians, 0 in front; positive turns the person
            to the viewer's right.
        pitch: How far the camera looks down, radians.
        roll: Turn in the picture plane, radians.
        centre: `(3,)` body-space point in the middle of the picture.
        reach: Metres from there to the border of the picture.
        focal: Focal length in view units for a pinhole camera; None for weak
            perspective.

    Returns:
        The camera.
    """
    turn = Rotation.from_euler("yxz", [yaw, pitch, roll]).as_matrix()
    rotation = _FACING @ turn
    moved = rotation @ centre
    if focal is None:
        scale = 1 / reach
        return WeakPerspective(np.float64(scale), rotation, -scale * moved[:2])
    distance = focal * reach
    position = np.array([0, 0, distance]) - moved
    return Pinhole(np.float64(focal), np.zeros(2), rotation, position)


def sample_camera(
    generator: np.random.Generator, points: np.ndarray, *, yaw: float | None = None
) -> Pinhole:
    """Draws a camera of a handheld picture that holds the whole person.

    Args:
        generator: Source of randomness.
        points: `(N, 3)` points that must be in the picture, body space.
        yaw: Where it stands, radians; drawn from all around where None.

    Returns:
        A pinhole camera, 20 to 55 degrees of view.
    """
    if yaw is None:
        yaw = generator.uniform(-np.pi, np.pi)
    pitch = np.deg2rad(generator.uniform(-4, 16))
    roll = np.deg2rad(np.clip(1.5 * generator.standard_normal(), -5, 5))
    focal = 1 / np.tan(np.deg2rad(generator.uniform(20, 55)) / 2)
    centre = (points.min(0) + points.max(0)) / 2
    fill, drift = generator.uniform(0.76, 0.93), generator.uniform(-1, 1, 2)
    reach = np.linalg.norm(points - centre, axis=1).max()
    camera = look_at(yaw, pitch, roll, centre=centre, reach=reach, focal=focal)
    # Two rounds of measuring what the picture shows and moving the camera after it.
    for _ in range(2):
        view = view_from_body(camera, points, centre)
        low, high = view[:, :2].min(0), view[:, :2].max(0)
        size = (high - low).max() / 2
        reach = reach * size / fill
        middle = (
            (low + high) / 2 * (camera.position[2] + _depth(camera, centre)) / focal
        )
        centre = centre + np.asarray(camera.rotation).T @ np.array([*middle, 0.0])
        camera = look_at(yaw, pitch, roll, centre=centre, reach=reach, focal=focal)
    view = view_from_body(camera, points, centre)
    free = 1 - np.abs(view[:, :2]).max(0)
    return Pinhole(
        camera.focal,
        np.clip(drift * 0.8 * free, -0.2, 0.2),
        camera.rotation,
        camera.position,
    )


def _depth(camera, point):
    return float(np.asarray(camera.rotation)[2] @ point)
