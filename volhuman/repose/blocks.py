"""Residual units of volumes, units of the image decoder, partial convolution."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from volhuman.nn.convolution import PixelConv, VolumeConv
from volhuman.nn.normalization import GroupNorm


class VolumeUnit(nn.Module):
    """Residual unit of volumes: twice norm, ReLU, 3x3x3 convolution; same channels.

    Attributes:
        by_row: Normalise every row by itself, as published.
    """

    by_row: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `(B, H, W, D, C)` to the same shape."""
        y = x
        for number in (1, 2):
            y = nn.relu(GroupNorm(by_row=self.by_row, name=f"norm{number}")(y))
            y = VolumeConv(x.shape[-1], name=f"conv{number}")(y)
        return x + y


def double(x: jax.Array, *, aligned: bool) -> jax.Array:
    """Doubles the size of pictures by linear interpolation.

    Args:
        x: `(B, H, W, C)`.
        aligned: Keep the samples and put their means between them, `2 n - 1` along each
            axis, as published; otherwise `2 n` with samples at pixel centres.

    Returns:
        The enlarged pictures.
    """
    if not aligned:
        batch, height, width, channels = x.shape
        shape = (batch, 2 * height, 2 * width, channels)
        return jax.image.resize(x, shape, "linear")
    for axis in (1, 2):
        ahead = jax.lax.slice_in_dim(x, 1, None, axis=axis)
        first = jax.lax.slice_in_dim(x, 0, -1, axis=axis)
        pairs = jnp.stack([first, (first + ahead) / 2], axis=axis + 1)
        shape = list(x.shape)
        shape[axis] = 2 * (x.shape[axis] - 1)
        last = jax.lax.slice_in_dim(x, x.shape[axis] - 1, None, axis=axis)
        x = jnp.concatenate([pairs.reshape(shape), last], axis=axis)
    return x


class DecoderUnit(nn.Module):
    """Bottleneck of the image decoder, which can double the size.

    Attributes:
        features: Output channels.
        inner: Channels of the 3x3 convolution.
        doubles: Whether the output is twice as large.
        aligned: How it is enlarged (`double`).
    """

    features: int
    inner: int
    doubles: bool
    aligned: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `(B, H, W, C)` to `(B, H', W', features)`."""
        init = nn.initializers.xavier_uniform()
        conv = lambda features, name: PixelConv(features, kernel_init=init, name=name)
        grow = lambda y: double(y, aligned=self.aligned) if self.doubles else y
        active = nn.relu(GroupNorm(name="norm")(x))
        if x.shape[-1] == self.features:
            shortcut = x
        else:
            shortcut = conv(self.features, "shortcut")(active)
        y = grow(nn.relu(conv(self.inner, "conv1")(active)))
        y = nn.relu(nn.Conv(self.inner, (3, 3), kernel_init=init, name="conv2")(y))
        return grow(shortcut) + conv(self.features, "conv3")(y)


class PartialConv(nn.Module):
    """Convolution that sees only valid pixels and says which outputs are valid.

    Source: Liu et al., "Image inpainting for irregular holes using partial
    convolutions", 2018, equations 1 and 2. There the sum over the window is divided by
    the share of valid pixels; `published` divides by the sum over window and channels,
    as the authors of the reposing paper do, which makes activations smaller by the
    number of input channels.

    Attributes:
        features: Output channels.
        kernel_size: Odd.
        stride: Stride.
        published: Count channels in the share of valid pixels.
        kernel_init: Initialiser of the kernel.
    """

    features: int
    kernel_size: int
    stride: int
    published: bool
    kernel_init: nn.initializers.Initializer = nn.initializers.xavier_uniform()

    @nn.compact
    def __call__(
        self, image: jax.Array, mask: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Convolves.

        Args:
            image: `(B, H, W, C)`, 0 where invalid.
            mask: `(B, H, W, C)` in [0, 1], 1 where valid.

        Returns:
            `(B, H', W', features)` and its mask, of the same shape.
        """
        size, channels = self.kernel_size, image.shape[-1]
        kernel = self.param(
            "kernel",
            self.kernel_init,
            (size, size, channels, self.features),
        )
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        margin = ((size - 1) // 2,) * 2
        convolve = lambda x, weights: jax.lax.conv_general_dilated(
            x,
            weights.astype(x.dtype),
            (self.stride, self.stride),
            (margin, margin),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        ones = jnp.ones((size, size, channels, 1), mask.dtype)
        valid = convolve(mask, ones)
        full = size**2 if self.published else size**2 * channels
        seen = jnp.clip(valid, 0, 1)
        y = convolve(image, kernel) * (full / (valid + 1e-8) * seen)
        mask = jnp.broadcast_to(seen, y.shape)
        return y + bias.astype(y.dtype), mask
