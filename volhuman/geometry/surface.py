"""Volumes to surfaces: meshes, depth maps and normal maps.

Conventions of every function here: a volume is `(H, W, D)` with H = y, W = x, D = z
over the view cube; depth is z in view units (it grows away from the camera); normals
are in view axes and point out of the surface, so those of a surface that faces the
camera have negative z.
"""

import jax
import jax.numpy as jnp
import numpy as np
import skimage.measure

from volhuman.checks import check_shape
from volhuman.errors import InputError

# Sobel's smoothing across the direction of the derivative.
_SOBEL = {-1: 1.0, 0: 2.0, 1: 1.0}


def extract_surface(
    volume: np.ndarray, *, level: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Extracts the surface where a volume crosses a level, by marching cubes.

    The volume counts as 0 outside the cube, so a surface that touches the border is
    closed there. Host function: the size of the result depends on the data.

    Args:
        volume: `(H, W, D)`, higher inside than outside (occupancy or probability).
        level: Value on the surface, above 0.

    Returns:
        Vertices `(V, 3)` float32 x, y, z in view units (voxel centres at half-voxel
        places) and faces `(F, 3)` int32, oriented outwards.

    Raises:
        InputError: If a voxel is NaN or infinite, or no voxel exceeds the level.
        ValueError: If the volume does not have three axes or the level is not positive.
    """
    volume = np.asarray(volume, np.float32)
    check_shape("volume", volume, "H W D")
    if not level > 0:
        raise ValueError(f"level is {level}, expected a number above 0")
    if not np.isfinite(volume).all():
        bad = int((~np.isfinite(volume)).sum())
        raise InputError(
            f"the volume has {bad} voxels that are NaN or infinite, expected finite "
            "values; look for the step that made them before extracting a surface"
        )
    occupied = np.argwhere(volume > level)
    if len(occupied) == 0:
        raise InputError(
            f"no voxel exceeds the level {level} (the highest is {volume.max():.3g}); "
            "the volume holds no surface, so lower the level or check its input"
        )
    # Marching cubes costs time for every cell: cut to the occupied box, with one voxel
    # of the surroundings for interpolation and, at the border, of padding.
    padded = np.pad(volume, 1)
    low, high = occupied.min(0), occupied.max(0) + 3
    part = padded[tuple(slice(*ends) for ends in zip(low, high))]
    vertices, faces, _, _ = skimage.measure.marching_cubes(
        part, level, gradient_direction="descent", allow_degenerate=False
    )
    index = vertices + low - 1
    view = (2 * index + 1) / np.array(volume.shape) - 1
    # Exchanging the axes y and x mirrors the mesh; "descent" is outward after that.
    return view[:, [1, 0, 2]].astype(np.float32), faces.astype(np.int32)


def depth_from_occupancy(
    occupancy: jax.Array,
    *,
    from_back: bool = False,
    far: float = 99.0,
    sharpness: float | None = None,
) -> jax.Array:
    """Projects a volume to the depth of its first surface.

    `min_z (z v + far (1 - v))` seen from the camera; seen from behind the maximum with
    `-far`. Differentiable in the occupancy; ties share the gradient.

    Source: Zheng et al., "DeepHuman", section 4.2. Its published code first makes the
    occupancy nearly binary, `sharpness` 9999; that leaves hardly any gradient and is
    off by default.

    Args:
        occupancy: `(H, W, D)` in [0, 1].
        from_back: Look from behind, along -z.
        far: Depth of an empty pixel, beyond the cube.
        sharpness: Slope of an optional sigmoid around 0.5 applied first.

    Returns:
        `(H, W)`: the view depth of the voxel centres hit, +-`far` where empty.
    """
    check_shape("occupancy", occupancy, "H W D")
    occupancy = jnp.asarray(occupancy, jnp.float32)
    if sharpness is not None:
        occupancy = jax.nn.sigmoid(sharpness * (occupancy - 0.5))
    depth = occupancy.shape[2]
    z = (2 * jnp.arange(depth) + 1) / depth - 1
    if from_back:
        return (z * occupancy - far * (1 - occupancy)).max(-1)
    return (z * occupancy + far * (1 - occupancy)).min(-1)


def normals_from_depth(
    depth: jax.Array, mask: jax.Array, *, from_back: bool = False
) -> jax.Array:
    """Computes normals from a depth map by Sobel differences of the points seen.

    Neighbours outside the mask count as lying at the pixel's own depth: the silhouette
    does not leak into the normals, and every pixel of the mask gets a unit normal.

    Source: Zheng et al., "DeepHuman", section 4.2 (volume-to-normal projection). The
    published code pads with zeros and returns inward normals; here they point outwards.

    Args:
        depth: `(H, W)` view units.
        mask: `(H, W)` bool, where the depth is valid.
        from_back: The depth was seen from behind.

    Returns:
        `(H, W, 3)` unit normals, 0 outside the mask.
    """
    sizes = check_shape("depth", depth, "H W")
    check_shape("mask", mask, "H W", **sizes)
    height, width = depth.shape
    depth = jnp.where(mask, depth, 0)
    padded_depth, padded_mask = jnp.pad(depth, 1), jnp.pad(mask, 1)

    def neighbour(dy, dx):
        rows = slice(1 + dy, 1 + dy + height)
        columns = slice(1 + dx, 1 + dx + width)
        valid = padded_mask[rows, columns]
        return jnp.where(valid, padded_depth[rows, columns], depth)

    # Sobel weights sum to 8 half-steps: divide to get the slope per pixel, then by the
    # pixel pitch 2 / n to get it per view unit.
    by_x = sum(w * (neighbour(d, 1) - neighbour(d, -1)) for d, w in _SOBEL.items()) / 8
    by_y = sum(w * (neighbour(1, d) - neighbour(-1, d)) for d, w in _SOBEL.items()) / 8
    by_x, by_y = by_x * (width / 2), by_y * (height / 2)
    normals = jnp.stack([by_x, by_y, -jnp.ones_like(by_x)], axis=-1)
    normals = normals / jnp.sqrt((normals * normals).sum(-1, keepdims=True))
    normals = -normals if from_back else normals
    return jnp.where(mask[..., None], normals, 0)
