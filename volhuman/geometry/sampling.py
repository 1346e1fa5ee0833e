"""Bilinear and trilinear sampling of images and feature volumes.

Conventions of every function here:

* An image is `(H, W, C)`, a volume `(H, W, D, C)`: H is y (down), W is x (right), D is
  z (away from the camera). Points are `(..., 2)` or `(..., 3)` in the order x, y, z.
* Points lie in the view cube [-1, 1]: the centre of cell i of n lies at (2i + 1)/n - 1,
  so the cube ends half a cell beyond the outermost centres (`align_corners=False` of
  PyTorch's `grid_sample`).
* Functions take one image or volume. Batch with `jax.vmap`.
"""

import itertools

import jax
import jax.numpy as jnp

from volhuman.checks import check_option, check_shape

OUTSIDE = ("edge", "zero")


def index_from_view(view: jax.Array, size: int) -> jax.Array:
    """Converts a view coordinate to a cell index; cell centres have integer index."""
    return 0.5 * (size * (view + 1) - 1)


def view_from_index(index: jax.Array, size: int) -> jax.Array:
    """Converts a cell index to the view coordinate; inverse of `index_from_view`."""
    return (2 * index + 1) / size - 1


def view_grid(*sizes: int) -> jax.Array:
    """Returns the centres of all cells of an image (H, W) or a volume (H, W, D).

    Returns:
        `(H, W, 2)` or `(H, W, D, 3)` points, float32, order x, y, z.
    """
    axes = [
        view_from_index(jnp.arange(size, dtype=jnp.float32), size) for size in sizes
    ]
    y, x, *z = jnp.meshgrid(*axes, indexing="ij")
    return jnp.stack([x, y, *z], axis=-1)


def sample_bilinear(image: jax.Array, points: jax.Array, outside: str) -> jax.Array:
    """Samples an image at continuous positions by bilinear interpolation.

    Args:
        image: `(H, W, C)`.
        points: `(..., 2)` x, y in the view square.
        outside: "edge" repeats the border, "zero" blends to zero over one pixel.

    Returns:
        `(..., C)` in the dtype of `image`. A NaN position gives NaN; the derivative by
        the position is one-sided on pixel centres and 0 beyond the border.

    Raises:
        ValueError: If a shape or `outside` does not fit.
    """
    check_shape("image", image, "H W C")
    check_shape("points", points, "... 2")
    check_option("outside", outside, OUTSIDE)
    height, width = image.shape[:2]
    index = [
        index_from_view(points[..., 1], height),
        index_from_view(points[..., 0], width),
    ]
    return _interpolate(image, index, outside)


def sample_trilinear(volume: jax.Array, points: jax.Array, outside: str) -> jax.Array:
    """Samples a volume at continuous positions by trilinear interpolation.

    Source: Knoche et al., "Reposing Humans by Warping 3D Features", section 3.2.

    Args:
        volume: `(H, W, D, C)`.
        points: `(..., 3)` x, y, z in the view cube.
        outside: "edge" repeats the border, "zero" blends to zero over one voxel (as
            `grid_sample` of PyTorch with `padding_mode="zeros"` does).

    Returns:
        `(..., C)` in the dtype of `volume`. A NaN position gives NaN; the derivative by
        the position is one-sided on voxel centres and 0 beyond the border.

    Raises:
        ValueError: If a shape or `outside` does not fit.
    """
    check_shape("volume", volume, "H W D C")
    check_shape("points", points, "... 3")
    check_option("outside", outside, OUTSIDE)
    height, width, depth = volume.shape[:3]
    index = [
        index_from_view(points[..., 1], height),
        index_from_view(points[..., 0], width),
        index_from_view(points[..., 2], depth),
    ]
    return _interpolate(volume, index, outside)


def _interpolate(grid: jax.Array, index: list[jax.Array], outside: str) -> jax.Array:
    """Interpolates `grid` `(sizes..., C)` at one index array per axis."""
    flat = jnp.asarray(grid).reshape(-1, grid.shape[-1])
    corners = interpolation_corners(index, grid.shape[:-1], outside)
    # One row gather per corner: a single gather of all corners takes 8 times the
    # memory.
    return sum(
        flat.at[row].get(mode="promise_in_bounds")
        * weight[..., None].astype(flat.dtype)
        for row, weight in corners
    )


def interpolation_corners(
    index: list[jax.Array], sizes: tuple[int, ...], outside: str
) -> list[tuple[jax.Array, jax.Array]]:
    """Returns the flat row and the weight of each corner of multilinear interpolation.

    Args:
        index: One array `(...)` of cell indices per axis.
        sizes: Cells per axis.
        outside: "edge" or "zero".

    Returns:
        For each of the 2^axes corners the flat row `(...)` int32, always in range, and
        the weight `(...)`: 0 for corners outside under "zero", NaN for a NaN index.
    """
    axes = [
        _axis_corners(position, size, outside) for position, size in zip(index, sizes)
    ]
    corners = []
    for choice in itertools.product((0, 1), repeat=len(axes)):
        row, weight = 0, 1
        for (rows, weights), size, side in zip(axes, sizes, choice):
            row = row * size + rows[side]
            weight = weight * weights[side]
        corners.append((row, weight))
    return corners


def _axis_corners(position: jax.Array, size: int, outside: str):
    """Lower and upper cell of one axis and their weights."""
    # Infinite and huge positions must not overflow the conversion to integers.
    reach = 1 if outside == "zero" else 0
    position = jnp.clip(position, -reach, size - 1 + reach)
    lower = jnp.floor(position)
    fraction = position - lower
    lower = lower.astype(jnp.int32)
    rows = [jnp.clip(lower, 0, size - 1), jnp.clip(lower + 1, 0, size - 1)]
    weights = [1 - fraction, fraction]
    if outside == "zero":
        weights[0] = weights[0] * ((lower >= 0) & (lower < size))
        weights[1] = weights[1] * (lower + 1 < size)
    return rows, weights
