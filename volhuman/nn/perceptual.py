"""Perceptual distances of pictures: VGG19 with the user's weights, or a pyramid.

Pictures are `(B, H, W, 3)` in [-1, 1]. The VGG distance needs weights that are not part
of this project; without them the Laplacian pyramid takes its place, which measures
edges at all scales and knows nothing of what pictures show.
"""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.errors import InputError
from volhuman.nn.weight_files import read_arrays

# Convolutions of the five blocks; the distance reads the second of each.
_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
_READ = 2
# Weight of each block's distance, from the finest.
_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
_MEAN = np.array([123.68, 116.779, 103.939], np.float32)  # R, G, B
_TORCH_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_TORCH_STD = np.array([0.229, 0.224, 0.225], np.float32)
_PYRAMID_LEVELS = 5

VggParams = dict[str, dict[str, jax.Array]]


def load_vgg19(path: str | Path) -> tuple[VggParams, str]:
    """Reads VGG19's convolutions from a `.npz`, `.safetensors` or `.h5` file.

    Two layouts are known: torchvision's (`features.0.weight`, kernels OIHW) and Keras's
    (`block1_conv1/kernel`, with or without `:0`, or `block1_conv1_W_1:0`; kernels
    HWIO).

    Args:
        path: The file.

    Returns:
        Parameters by convolution, and the layout: "torchvision" or "keras", which says
        how pictures are normalised.

    Raises:
        InputError: If the file is missing, damaged, or holds other arrays.
    """
    arrays = read_arrays(Path(path), "VGG19 weights")
    params: VggParams = {}
    layout = "torchvision" if "features.0.weight" in arrays else "keras"
    position = 0
    channels = 3
    for block, (features, count) in enumerate(_BLOCKS, 1):
        for conv in range(1, count + 1):
            name = f"block{block}_conv{conv}"
            if layout == "torchvision":
                kernel = _find(path, arrays, f"features.{position}.weight")
                kernel = kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel
                bias = _find(path, arrays, f"features.{position}.bias")
            else:
                kernel = _find(path, arrays, *_keras_names(name, "kernel", "W"))
                bias = _find(path, arrays, *_keras_names(name, "bias", "b"))
            if kernel.shape != (3, 3, channels, features) or bias.shape != (features,):
                raise InputError(
                    f"{path}: {name} has kernel {kernel.shape} and bias {bias.shape}, "
                    f"expected (3, 3, {channels}, {features}) and ({features},); give "
                    "the weights of VGG19"
                )
            params[name] = {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)}
            position, channels = position + 2, features
        position += 1  # the pooling layer
    return params, layout


def _keras_names(layer: str, kind: str, letter: str) -> list[str]:
    """What versions of Keras call an array of a layer; files have a group for it."""
    names = [f"{layer}/{kind}", f"{layer}/{kind}:0", f"{layer}_{letter}_1:0"]
    return names + [f"{layer}/{name}" for name in names]


def _find(path, arrays: Mapping[str, np.ndarray], *names: str) -> np.ndarray:
    for name in names:
        if name in arrays:
            return np.asarray(arrays[name], np.float32)
    raise InputError(
        f"{path}: holds no array {names[0]!r}; give VGG19 weights in the layout of "
        "torchvision or Keras"
    )


def vgg_distance(
    params: VggParams,
    prediction: jax.Array,
    target: jax.Array,
    *,
    layout: str = "keras",
    published: bool = False,
) -> jax.Array:
    """Measures the L1 distance of VGG19's features after each block's second ReLU.

    Source: Johnson et al., "Perceptual losses", 2016; weights of the blocks as in
    Knoche et al., section 3.5.

    Args:
        params: From `load_vgg19`.
        prediction: `(B, H, W, 3)` in [-1, 1].
        target: The same shape.
        layout: From `load_vgg19`.
        published: Subtract the channel means in reversed order, as the authors do.

    Returns:
        Weighted sum of mean absolute differences, one number.
    """
    pictures = jnp.concatenate([prediction, target])
    x = _normalise(pictures, layout, published)
    total = 0.0
    for block, ((_, count), weight) in enumerate(zip(_BLOCKS, _WEIGHTS), 1):
        for conv in range(1, count + 1):
            layer = params[f"block{block}_conv{conv}"]
            x = jax.lax.conv_general_dilated(
                x,
                layer["kernel"],
                (1, 1),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            x = jax.nn.relu(x + layer["bias"])
            if conv == _READ:
                ours, theirs = jnp.split(x, 2)
                total += weight * jnp.abs(ours - theirs).mean()
                if block == len(_BLOCKS):
                    return total
        shape = (1, 2, 2, 1)
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, shape, shape, "VALID")
    return total


def _normalise(pictures, layout, published):
    if layout == "torchvision":
        return ((pictures + 1) / 2 - _TORCH_MEAN) / _TORCH_STD
    mean = _MEAN[::-1] if published else _MEAN
    return (255 * (pictures + 1) / 2 - mean)[..., ::-1]


def pyramid_distance(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Measures the L1 distance of Laplacian pyramids.

    Needs no weights. It is not LPIPS and not VGG, and its numbers compare with neither.

    Source: Ling & Okada, "Diffusion distance for histogram comparison", 2006; as a loss
    of generators: Bojanowski et al., "Optimizing the latent space of generative
    networks", 2018.

    Args:
        prediction: `(B, H, W, 3)`, sides divisible by 2 at least once.
        target: The same shape.

    Returns:
        Sum over the levels of mean absolute differences, one number.
    """
    difference = prediction - target
    total = 0.0
    for _ in range(_PYRAMID_LEVELS):
        height, width = difference.shape[1:3]
        if height % 2 or width % 2 or min(height, width) < 4:
            break
        small = _halve(difference)
        total += jnp.abs(difference - _enlarge(small)).mean()
        difference = small
    return total + jnp.abs(difference).mean()


def _halve(x):
    batch, height, width, channels = x.shape
    blocks = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return blocks.mean((2, 4))


def _enlarge(x):
    batch, height, width, channels = x.shape
    return jax.image.resize(x, (batch, 2 * height, 2 * width, channels), "linear")
