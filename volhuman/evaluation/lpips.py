"""LPIPS v0.1: the learned perceptual distance of two images.

Computed with the weights that a user has; without them a table says "not computed".
"""

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.checks import check_shape
from volhuman.evaluation.lpips_weights import BACKBONES, LpipsWeights

# Mean and deviation of ImageNet's colours, for images in [-1, 1].
_SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
_SCALE = np.array([0.458, 0.448, 0.450], np.float32)
_EPSILON = 1e-10
# Below this a feature map would be empty.
_MINIMUM_SIDE = {"alex": 31, "vgg16": 16}


def lpips(prediction: jax.Array, target: jax.Array, weights: LpipsWeights) -> jax.Array:
    """Returns the perceptual distance of two images.

    The features of five layers are brought to length 1 at every pixel; their squared
    differences are weighted by channel, averaged over the pixels and summed over the
    layers.

    Source: Zhang et al. 2018, "The unreasonable effectiveness of deep features as a
    perceptual metric", and the `lpips` package, version 0.1 of the weights. At features
    of length 0 the gradient here is 0.

    Args:
        prediction: `(H, W, 3)` RGB in [0, 1].
        target: `(H, W, 3)`.
        weights: AlexNet's or VGG16's.

    Returns:
        `()`, 0 for equal images; NaN for a NaN in an image.

    Raises:
        ValueError: If the shapes disagree or the images are too small.
    """
    sizes = check_shape("prediction", prediction, "H W 3")
    check_shape("target", target, "H W 3", **sizes)
    least = _MINIMUM_SIDE[weights.net]
    if min(sizes["H"], sizes["W"]) < least:
        raise ValueError(
            f"the images have {sizes['H']} x {sizes['W']} pixels, expected at least "
            f"{least} x {least} for LPIPS with {weights.net}"
        )
    images = jnp.stack([jnp.asarray(prediction), jnp.asarray(target)])
    values = ((2 * images - 1) - _SHIFT) / _SCALE
    layers = iter(zip(weights.kernels, weights.biases, strict=True))
    distance = jnp.zeros(())
    for stage, linear in zip(BACKBONES[weights.net], weights.linear, strict=True):
        if stage.pool:
            values = _maximum_pool(values, stage.pool)
        for layer in stage.convolutions:
            values = _convolve(values, *next(layers), layer)
        features = values / (_length(values) + _EPSILON)
        squared = (features[0] - features[1]) ** 2
        distance += (squared * linear).sum(-1).mean()
    return distance


def _convolve(values, kernel, bias, layer):
    # `highest`: graphics cards would otherwise round the factors to 10 bits.
    values = jax.lax.conv_general_dilated(
        values,
        kernel,
        (layer.stride, layer.stride),
        [(layer.padding, layer.padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )
    return jnp.maximum(values + bias, 0)


def _maximum_pool(values, side):
    return jax.lax.reduce_window(
        values, -jnp.inf, jax.lax.max, (1, side, side, 1), (1, 2, 2, 1), "VALID"
    )


def _length(values):
    """`(..., 1)`, with gradient 0 at 0, where the norm has none."""
    squared = (values * values).sum(-1, keepdims=True)
    zero = squared == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, squared)))
