"""Places of points in a picture and in depth, from volumes of likelihood.

Source: the volumetric soft-argmax of Sun et al., "Integral human pose regression",
2018. Volumes `(B, H, W, D, P)` span the view cube, P points in B pictures.
"""

import jax
import jax.numpy as jnp

from volhuman.checks import check_shape
from volhuman.geometry.masks import joint_heatmaps


def log_likelihoods(features: jax.Array, slices: int) -> jax.Array:
    """Makes the channels of a map to volumes of likelihood, one a point.

    Args:
        features: `(B, H, W, slices * P)`; the point changes fastest.
        slices: Depths of a volume, D.

    Returns:
        `(B, H, W, D, P)` logarithms; the likelihoods of a point sum to 1.
    """
    batch, height, width, channels = features.shape
    points = channels // slices
    shares = jax.nn.log_softmax(features.reshape(batch, -1, points), axis=1)
    return shares.reshape(batch, height, width, slices, points)


def mean_places(likelihoods: jax.Array) -> jax.Array:
    """Mean places `(B, P, 3)` of volumes of log likelihoods `(B, H, W, D, P)`."""
    shares = jnp.exp(likelihoods)
    places = []
    for axis in ("x", "y", "z"):
        n = shares.shape["yxz".index(axis) + 1]
        centres = (2 * jnp.arange(n) + 1) / n - 1
        places.append(jnp.einsum(f"byxzp,{axis}->bp", shares, centres))
    return jnp.stack(places, axis=-1)


def surprise(likelihoods: jax.Array, places: jax.Array, *, spread: float) -> jax.Array:
    """Cross entropy between volumes and Gaussian blobs at the true places.

    The mean places alone learn slowly: at first every voxel counts alike.

    Args:
        likelihoods: `(B, H, W, D, P)` logarithms.
        places: `(B, P, 3)` view cube.
        spread: Deviation of the blobs in view units.

    Returns:
        `(B, P)`; 0 for points so far outside that no voxel sees them.
    """
    sizes = check_shape("likelihoods", likelihoods, "B H W D P")
    check_shape("places", places, "B P 3", **sizes)
    grid = likelihoods.shape[1:4]
    wanted = jax.vmap(lambda points: joint_heatmaps(points, grid, spread))(places)
    total = wanted.sum((1, 2, 3), keepdims=True)
    wanted = wanted / jnp.maximum(total, 1e-6)
    return -(wanted * likelihoods).sum((1, 2, 3))
