"""Pictures of bodies: shaded views, overlays on photographs, turntables.

Conventions of every function here: body space (metres, y up, z to the front), pictures
`(H, W, 3)` float32 RGB in [0, 1], weak perspective cameras of `geometry.camera` whose
view square is the picture or its crop.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from volhuman.geometry.camera import Crop, WeakPerspective
from volhuman.render.rasterize import Fragments, interpolate, rasterize

SKIN = np.array([0.80, 0.66, 0.58], np.float32)
_BACKGROUND = 0.96
_LIGHT = np.array([0.35, -0.55, -0.75]) / np.linalg.norm([0.35, -0.55, -0.75])
_AMBIENT = 0.35
_SUPERSAMPLING = 2


def shade(
    fragments: Fragments,
    faces: np.ndarray,
    normals: np.ndarray,
    colours: np.ndarray | None = None,
) -> np.ndarray:
    """Shades fragments with one light over the viewer's right shoulder.

    Args:
        fragments: Rasterised faces.
        faces: `(F, 3)`.
        normals: `(V, 3)` unit vertex normals in view axes (y down, z away).
        colours: `(V, 3)` in [0, 1], default one skin tone.

    Returns:
        `(H, W, 3)`; empty pixels are 0.
    """
    normal = interpolate(fragments, faces, normals)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = normal / np.maximum(length, 1e-8)
    lambert = np.maximum(normal @ _LIGHT, 0)[..., None]
    if colours is None:
        colours = np.broadcast_to(SKIN, normals.shape)
    base = interpolate(fragments, faces, colours)
    shaded = np.clip(base * (_AMBIENT + (1.1 - _AMBIENT) * lambert), 0, 1)
    return shaded.astype(np.float32)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit vertex normals `(V, 3)` on the host."""
    a, b, c = (vertices[faces[:, k]].T for k in range(3))
    u, v = b - a, c - a
    by_face = (
        u[1] * v[2] - u[2] * v[1],
        u[2] * v[0] - u[0] * v[2],
        u[0] * v[1] - u[1] * v[0],
    )
    count = len(vertices)
    x, y, z = (
        sum(np.bincount(faces[:, k], values, count) for k in range(3))
        for values in by_face
    )
    length = np.maximum(np.sqrt(x * x + y * y + z * z), 1e-20)
    return np.stack([x / length, y / length, z / length], axis=1)


def render_view(
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: WeakPerspective,
    size: int,
    *,
    colours: np.ndarray | None = None,
) -> np.ndarray:
    """Renders a body in the view square of a camera on a light background.

    Returns:
        `(size, size, 3)`.
    """
    crop = Crop(np.full(2, size / 2, np.float32), np.float32(size))
    return overlay(
        np.full((size, size, 3), _BACKGROUND, np.float32),
        vertices,
        faces,
        camera,
        crop,
        colours=colours,
        opacity=1.0,
    )


def overlay(
    photograph: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: WeakPerspective,
    crop: Crop,
    *,
    colours: np.ndarray | None = None,
    opacity: float = 0.75,
) -> np.ndarray:
    """Draws a shaded body over a photograph.

    Args:
        photograph: `(H, W, 3)`.
        vertices: `(V, 3)` body space.
        faces: `(F, 3)`.
        camera: Camera into the view square of the crop.
        crop: The crop in the photograph.
        colours: `(V, 3)` vertex colours.
        opacity: 1 hides the photograph behind the body.

    Returns:
        `(H, W, 3)`.
    """
    faces = np.asarray(faces)
    points = screen_points(vertices, camera, crop)
    height, width = photograph.shape[:2]
    fine = rasterize(
        points * [_SUPERSAMPLING, _SUPERSAMPLING, 1],
        faces,
        (height * _SUPERSAMPLING, width * _SUPERSAMPLING),
    )
    normals = (
        vertex_normals(np.asarray(vertices), faces) @ np.asarray(camera.rotation).T
    )
    picture = shade(fine, faces, normals, colours)
    picture, cover = _shrink(picture), _shrink(fine.mask[..., None].astype(np.float32))
    blended = photograph * (1 - opacity * cover) + opacity * picture
    return np.clip(blended, 0, 1).astype(np.float32)


def screen_points(
    vertices: np.ndarray, camera: WeakPerspective, crop: Crop
) -> np.ndarray:
    """Projects body points `(N, 3)` to pixels and view depth `(N, 3)`."""
    view = (
        np.asarray(vertices) @ np.asarray(camera.rotation).T * np.asarray(camera.scale)
    )
    xy = (view[:, :2] + np.asarray(camera.translation)) * (0.5 * np.asarray(crop.size))
    return np.concatenate([xy + np.asarray(crop.centre), view[:, 2:]], axis=1)


def turntable(
    vertices: np.ndarray,
    faces: np.ndarray,
    *,
    size: int = 320,
    num_frames: int = 36,
    colours: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Renders a body from all sides, beginning at the front.

    Args:
        vertices: `(V, 3)` body space, upright.
        faces: `(F, 3)`.
        size: Side of a frame in pixels.
        num_frames: Frames of the full turn.
        colours: `(V, 3)` vertex colours.

    Returns:
        The frames `(size, size, 3)`.
    """
    vertices = np.asarray(vertices)
    centre = (vertices.min(0) + vertices.max(0)) / 2
    # The sphere around the body fits, so that it does not breathe while it turns.
    reach = np.linalg.norm((vertices - centre)[:, [0, 2]], axis=1).max()
    reach = max(reach, np.abs(vertices - centre)[:, 1].max())
    frames = []
    for number in range(num_frames):
        turn = Rotation.from_euler("y", 360 * number / num_frames, degrees=True)
        rotation = np.diag([1.0, -1.0, -1.0]) @ turn.as_matrix()
        camera = WeakPerspective(0.94 / reach, rotation, np.zeros(2))
        frames.append(
            render_view(vertices - centre, faces, camera, size, colours=colours)
        )
    return frames


def _shrink(picture):
    height, width, channels = picture.shape
    step = _SUPERSAMPLING
    blocks = picture.reshape(height // step, step, width // step, step, channels)
    return blocks.mean((1, 3))
