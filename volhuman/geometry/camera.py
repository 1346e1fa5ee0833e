"""Cameras: weak perspective, pinhole, and the square crop of a photograph.

Conventions of every function here:

* Body space is in metres: x to the subject's left, y up, z to the front. View space is
  the cube [-1, 1]^3 of the square crop: x right, y down, z away from the camera.
* Pixel coordinates of a photograph are x, y with pixel (0, 0) covering [0, 1] x [0, 1],
  so its centre lies at (0.5, 0.5).
* Points are `(..., N, 3)` or `(..., N, 2)`; leading axes batch together with the
  camera.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.geometry.sampling import sample_bilinear

# Turns body axes (y up, z to the front) into view axes (y down, z away from the camera)
# for a person who faces the camera.
FACING_CAMERA = np.diag([1.0, -1.0, -1.0]).astype(np.float32)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WeakPerspective:
    """Scaled orthographic camera: `x_view = scale * rotation @ x_body + (t_x, t_y, 0)`.

    Attributes:
        scale: `(...)`, view units a metre.
        rotation: `(..., 3, 3)` from body to view axes.
        translation: `(..., 2)`, view units.
    """

    scale: jax.Array
    rotation: jax.Array
    translation: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Pinhole:
    """Perspective camera whose image plane is the square crop.

    A point `p = rotation @ x_body + position` in camera axes (x right, y down, z away,
    in metres) projects to `focal * p_xy / p_z + principal`.

    Attributes:
        focal: `(...)`, view units: 1 is half the crop's side.
        principal: `(..., 2)`, view units.
        rotation: `(..., 3, 3)` from body to camera axes.
        position: `(..., 3)` the body origin in camera axes, metres.
    """

    focal: jax.Array
    principal: jax.Array
    rotation: jax.Array
    position: jax.Array


def project_weak(camera: WeakPerspective, points: jax.Array) -> jax.Array:
    """Projects body points; z keeps the depth in view units, 0 at the body origin.

    Source: Yoshiyasu & Gamez, "Learning body shape and pose from dense
        correspondences",
    equation 1.

    Args:
        camera: Camera with the leading axes of the points.
        points: `(..., N, 3)` in metres.

    Returns:
        `(..., N, 3)` in the view cube.
    """
    turned = _rotate(camera.rotation, points)
    shift = jnp.concatenate(
        [camera.translation, jnp.zeros_like(camera.translation[..., :1])], axis=-1
    )
    return camera.scale[..., None, None] * turned + shift[..., None, :]


def unproject_weak(camera: WeakPerspective, points: jax.Array) -> jax.Array:
    """Inverse of `project_weak`: view points `(..., N, 3)` to metres in body space."""
    shift = jnp.concatenate(
        [camera.translation, jnp.zeros_like(camera.translation[..., :1])], axis=-1
    )
    centred = (points - shift[..., None, :]) / camera.scale[..., None, None]
    return _rotate(jnp.swapaxes(camera.rotation, -1, -2), centred)


def project_pinhole(
    camera: Pinhole, points: jax.Array, *, nearest: float = 1e-3
) -> jax.Array:
    """Projects body points with perspective; z is the depth in metres.

    Args:
        camera: Camera with the leading axes of the points.
        points: `(..., N, 3)` in metres.
        nearest: Depths below this (points beside or behind the camera) are projected as
            if they lay at this depth, so that values and gradients stay finite.

    Returns:
        `(..., N, 3)`: x, y in view units, z the true depth in metres.
    """
    moved = _rotate(camera.rotation, points) + camera.position[..., None, :]
    depth = jnp.maximum(moved[..., 2:], nearest)
    xy = camera.focal[..., None, None] * moved[..., :2] / depth
    return jnp.concatenate([xy + camera.principal[..., None, :], moved[..., 2:]], -1)


def unproject_pinhole(camera: Pinhole, points: jax.Array) -> jax.Array:
    """Inverse of `project_pinhole`: x, y in view units, depth in metres."""
    rays = points[..., :2] - camera.principal[..., None, :]
    xy = rays * points[..., 2:] / camera.focal[..., None, None]
    moved = (
        jnp.concatenate([xy, points[..., 2:]], axis=-1) - camera.position[..., None, :]
    )
    return _rotate(jnp.swapaxes(camera.rotation, -1, -2), moved)


def weak_from_pinhole(camera: Pinhole) -> WeakPerspective:
    """Linearises a pinhole camera at the depth of the body origin."""
    depth = camera.position[..., 2]
    scale = camera.focal / depth
    translation = camera.principal + scale[..., None] * camera.position[..., :2]
    return WeakPerspective(scale, camera.rotation, translation)


def pinhole_from_weak(camera: WeakPerspective, focal: jax.Array) -> Pinhole:
    """Places a pinhole camera so that the body origin has the weak camera's scale.

    Args:
        camera: Weak perspective camera.
        focal: `(...)` focal length in view units (1 / tan of half the field of view).

    Returns:
        The pinhole camera with its principal point at the crop's centre.
    """
    depth = focal / camera.scale
    xy = camera.translation / camera.scale[..., None]
    position = jnp.concatenate([xy, depth[..., None]], axis=-1)
    return Pinhole(focal, jnp.zeros_like(xy), camera.rotation, position)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Crop:
    """A square part of a photograph; it may reach beyond the borders.

    Attributes:
        centre: `(..., 2)` x, y in pixels of the photograph.
        size: `(...)` side in pixels.
    """

    centre: jax.Array
    size: jax.Array


def crop_around(points: np.ndarray, *, margin: float = 1.2) -> Crop:
    """Returns the square crop around pixel points, enlarged by a factor.

    Args:
        points: `(N, 2)` pixels, at least one.
        margin: Side of the crop over the longer side of the points' bounding box.

    Returns:
        The crop, at least 2 pixels wide.
    """
    low, high = np.min(points, axis=0), np.max(points, axis=0)
    size = max(float(np.max(high - low)) * margin, 2.0)
    return Crop(np.asarray((low + high) / 2, np.float32), np.float32(size))


def view_from_pixel(crop: Crop, pixels: jax.Array) -> jax.Array:
    """Converts pixels `(..., N, 2)` of the photograph to view coordinates."""
    return (pixels - crop.centre[..., None, :]) * (2 / crop.size[..., None, None])


def pixel_from_view(crop: Crop, view: jax.Array) -> jax.Array:
    """Converts view coordinates `(..., N, 2)` to pixels of the photograph."""
    return view * (0.5 * crop.size[..., None, None]) + crop.centre[..., None, :]


def crop_image(image: jax.Array, crop: Crop, size: int) -> jax.Array:
    """Resamples a crop of a photograph bilinearly; outside the photograph is 0.

    Args:
        image: `(H, W, C)`.
        crop: One crop.
        size: Side of the result in pixels.

    Returns:
        `(size, size, C)`.
    """
    axis = (jnp.arange(size, dtype=jnp.float32) + 0.5) * (2 / size) - 1
    view = jnp.stack(jnp.meshgrid(axis, axis, indexing="xy"), axis=-1).reshape(-1, 2)
    height, width = image.shape[:2]
    points = pixel_from_view(crop, view) * (2 / jnp.array([width, height])) - 1
    return sample_bilinear(image, points, "zero").reshape(size, size, -1)


def uncrop_image(
    image: jax.Array, crop: Crop, shape: tuple[int, int]
) -> tuple[jax.Array, jax.Array]:
    """Places a square crop back into the frame of its photograph.

    Args:
        image: `(size, size, C)` picture of the crop.
        crop: One crop.
        shape: (H, W) of the photograph.

    Returns:
        `(H, W, C)` picture, 0 outside the crop, and `(H, W)` mask of the crop.
    """
    height, width = shape
    y, x = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
    pixels = jnp.stack([x, y], axis=-1).reshape(-1, 2) + 0.5
    view = view_from_pixel(crop, pixels)
    inside = (jnp.abs(view) <= 1).all(-1)
    placed = jnp.where(inside[:, None], sample_bilinear(image, view, "edge"), 0)
    return placed.reshape(height, width, -1), inside.reshape(height, width)


def _rotate(rotation: jax.Array, points: jax.Array) -> jax.Array:
    """R x as sums of products, in full float32 on every device."""
    return (rotation[..., None, :, :] * points[..., None, :]).sum(-1)
