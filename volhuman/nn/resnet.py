"""Residual networks with pre-activation and group normalisation."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from volhuman.nn.convolution import PixelConv
from volhuman.nn.normalization import GroupNorm

_HE = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")


class Bottleneck(nn.Module):
    """Pre-activation bottleneck: 1x1, 3x3, 1x1 convolutions around a shortcut.

    Source: He et al., "Identity mappings in deep residual networks", 2016, with group
    normalisation.

    Attributes:
        features: Output channels.
        inner: Channels of the 3x3 convolution.
        stride: Stride of the 3x3 convolution and of the shortcut.
        dilation: Dilation of the 3x3 convolution.
        epsilon: Of the normalisation.
    """

    features: int
    inner: int
    stride: int = 1
    dilation: int = 1
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `(B, H, W, C)` to `(B, H / stride, W / stride, features)`."""
        conv = lambda features, name, **options: PixelConv(
            features, kernel_init=_HE, name=name, **options
        )
        norm = lambda name: GroupNorm(epsilon=self.epsilon, name=name)
        active = nn.relu(norm("norm")(x))
        if x.shape[-1] == self.features:
            shortcut = x[:, :: self.stride, :: self.stride]
        else:
            strided = active[:, :: self.stride, :: self.stride]
            shortcut = conv(self.features, "shortcut")(strided)
        y = conv(self.inner, "conv1", use_bias=False)(active)
        y = nn.relu(norm("norm1")(y))
        margin = (self.dilation, self.dilation)
        y = nn.Conv(
            self.inner,
            (3, 3),
            strides=self.stride,
            padding=(margin, margin),
            kernel_dilation=self.dilation,
            use_bias=False,
            kernel_init=_HE,
            name="conv2",
        )(y)
        y = nn.relu(norm("norm2")(y))
        return shortcut + conv(self.features, "conv3")(y)


class ResNetTrunk(nn.Module):
    """Root convolution, pooling, and stages of bottlenecks, without a final norm.

    Attributes:
        root: Channels of the 7x7 root convolution of stride 2.
        stages: One entry a stage: (features, inner, units, stride of the last unit,
            dilation).
    """

    root: int
    stages: Sequence[tuple[int, int, int, int, int]]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `(B, H, W, C)` to about `(B, H / 4, W / 4, F)` and less by strides."""
        x = nn.Conv(
            self.root,
            (7, 7),
            strides=2,
            padding=((3, 3), (3, 3)),
            kernel_init=_HE,
            name="root",
        )(x)
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
        for stage, (features, inner, units, stride, dilation) in enumerate(
            self.stages, 1
        ):
            for unit in range(1, units + 1):
                x = Bottleneck(
                    features,
                    inner,
                    stride=stride if unit == units else 1,
                    dilation=dilation,
                    name=f"stage{stage}_unit{unit}",
                )(x)
        return x
