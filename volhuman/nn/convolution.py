"""Convolutions of volumes, and of pictures by single pixels, that are fast on CPUs too.

XLA's own convolution of volumes runs on CPUs at a fraction of the speed of a matrix
product, its convolution of pictures does not. There, each plane of the output is one
convolution of pictures, and the gradient by the kernel one matrix product a plane; on
accelerators the compiler's convolution of volumes is used.

The gradient of its convolution of pictures by a kernel of one pixel is on CPUs two to
four times as slow as that of the same matrix product, which `PixelConv` is.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from volhuman.checks import check_shape


def convolve_volume(volume: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves with stride 1 and zeros outside; the output has the input's size.

    Differentiable in both arguments.

    Args:
        volume: `(B, H, W, D, C)`.
        kernel: `(k, k, k, C, F)`, k odd.

    Returns:
        `(B, H, W, D, F)`.

    Raises:
        ValueError: If the shapes disagree or k is even.
    """
    sizes = check_shape("volume", volume, "B H W D C")
    sizes = check_shape("kernel", kernel, "k k k C F", **sizes)
    if sizes["k"] % 2 == 0:
        raise ValueError(f"the kernel has size {sizes['k']}, expected an odd number")
    return _convolve(volume, kernel)


@jax.custom_vjp
def _convolve(volume, kernel):
    return lax.platform_dependent(volume, kernel, cpu=_by_planes, default=_native)


def _native(volume, kernel):
    return lax.conv_general_dilated(
        volume, kernel, (1, 1, 1), "SAME", dimension_numbers=("NHWDC", "HWDIO", "NHWDC")
    )


def _by_planes(volume, kernel):
    """One convolution of pictures a plane, the rows beside it as further channels."""
    size, features = kernel.shape[0], kernel.shape[-1]
    padded = _pad(volume, (0, size // 2, 0, 0, 0))
    flat = jnp.moveaxis(kernel, 0, 2).reshape(size, size, -1, features)

    def plane(row):
        return lax.conv_general_dilated(
            _stack_rows(padded, row, size),
            flat,
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    return jnp.moveaxis(lax.map(plane, jnp.arange(volume.shape[1])), 0, 1)


def _pad(array, margins):
    return jnp.pad(array, [(margin, margin) for margin in margins])


def _stack_rows(padded, row, size):
    """The planes that an output plane reads, side by side: `(B, W, D, k C)`."""
    slab = lax.dynamic_slice_in_dim(padded, row, size, axis=1)
    return jnp.concatenate([slab[:, i] for i in range(size)], axis=-1)


def _forward(volume, kernel):
    return _convolve(volume, kernel), (volume, kernel)


def _backward(saved, gradient):
    volume, kernel = saved
    # The adjoint of a convolution is the convolution with the mirrored kernel.
    mirrored = kernel[::-1, ::-1, ::-1].swapaxes(3, 4)
    by_kernel = lax.platform_dependent(
        volume, gradient, kernel, cpu=_kernel_gradient, default=_native_kernel_gradient
    )
    return _convolve(gradient, mirrored), by_kernel


def _kernel_gradient(volume, gradient, kernel):
    """One product a plane: `(k C, B W D) @ (B W D, k^2 F)`."""
    size, _, _, channels, features = kernel.shape
    _, height, width, depth, _ = volume.shape
    margin = size // 2
    volume = _pad(volume, (0, margin, 0, 0, 0))
    gradient = _pad(gradient, (0, 0, margin, margin, 0))
    # A tap before the centre meets the gradient of the voxel behind it.
    shifts = [(i, j) for i in reversed(range(size)) for j in reversed(range(size))]

    def add(row, total):
        rows = _stack_rows(volume, row, size).reshape(-1, size * channels)
        plane = lax.dynamic_index_in_dim(gradient, row, 1, keepdims=False)
        shifted = [plane[:, i : i + width, j : j + depth] for i, j in shifts]
        columns = jnp.concatenate(shifted, axis=-1)
        return total + rows.T @ columns.reshape(-1, size**2 * features)

    shape = (size * channels, size**2 * features)
    total = lax.fori_loop(0, height, add, jnp.zeros(shape, kernel.dtype))
    total = total.reshape(size, channels, size, size, features)
    return jnp.moveaxis(total, 1, 3)


def _native_kernel_gradient(volume, gradient, kernel):
    return jax.vjp(lambda k: _native(volume, k), kernel)[1](gradient)[0]


_convolve.defvjp(_forward, _backward)


class VolumeConv(nn.Module):
    """Convolution of volumes with bias, stride 1, same size.

    Attributes:
        features: Output channels.
        kernel_size: Odd size along all three axes.
        kernel_init: Initialiser of the kernel.
    """

    features: int
    kernel_size: int = 3
    kernel_init: nn.initializers.Initializer = nn.initializers.xavier_uniform()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolves `(B, H, W, D, C)` to `(B, H, W, D, features)`."""
        size = self.kernel_size
        kernel = self.param(
            "kernel", self.kernel_init, (size, size, size, x.shape[-1], self.features)
        )
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return convolve_volume(x, kernel.astype(x.dtype)) + bias.astype(x.dtype)


class PixelConv(nn.Module):
    """Convolution of pictures with a kernel of 1 x 1 and stride 1.

    The same parameters and values as `nn.Conv(features, (1, 1))`; it computes in the
    type of its input.

    Attributes:
        features: Output channels.
        use_bias: Whether a bias is added.
        kernel_init: Initialiser of the kernel.
    """

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps `(..., C)` to `(..., features)`."""
        shape = (1, 1, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        y = jnp.matmul(x, kernel[0, 0].astype(x.dtype))
        if not self.use_bias:
            return y
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return y + bias.astype(x.dtype)
