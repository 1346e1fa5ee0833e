"""The convolution of volumes against XLA's own, and against a loop."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from volhuman.nn.convolution import PixelConv, VolumeConv, convolve_volume


def _native(volume, kernel):
    return lax.conv_general_dilated(
        volume, kernel, (1, 1, 1), "SAME", dimension_numbers=("NHWDC", "HWDIO", "NHWDC")
    )


@pytest.fixture
def arrays():
    generator = np.random.default_rng(0)
    volume = generator.standard_normal((2, 5, 4, 6, 3)).astype(np.float32)
    kernel = generator.standard_normal((3, 3, 3, 3, 2)).astype(np.float32)
    return volume, kernel


def test_every_output_is_the_sum_over_its_neighbourhood(arrays):
    volume, kernel = arrays
    result = np.asarray(convolve_volume(volume, kernel))
    padded = np.pad(volume, ((0, 0), (1, 1), (1, 1), (1, 1), (0, 0)))
    for b, y, x, z in itertools.product((0, 1), (0, 2, 4), (0, 3), (0, 5)):
        window = padded[b, y : y + 3, x : x + 3, z : z + 3]
        np.testing.assert_allclose(
            result[b, y, x, z], np.tensordot(window, kernel, 4), atol=1e-5
        )


@pytest.mark.parametrize("size", [1, 3, 5])
def test_value_and_gradients_equal_xlas(arrays, size, variant):
    volume, _ = arrays
    generator = np.random.default_rng(size)
    kernel = generator.standard_normal((size, size, size, 3, 4)).astype(np.float32)
    weight = generator.standard_normal((2, 5, 4, 6, 4)).astype(np.float32)

    def loss(function):
        return lambda v, k: (function(v, k) * weight).sum()

    ours = variant(jax.value_and_grad(loss(convolve_volume), (0, 1)))(volume, kernel)
    theirs = jax.value_and_grad(loss(_native), (0, 1))(volume, kernel)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        ours,
        theirs,
    )


def test_wrong_shapes_are_named(arrays):
    volume, kernel = arrays
    with pytest.raises(ValueError, match="kernel has shape"):
        convolve_volume(volume, kernel[..., :1, :])
    with pytest.raises(ValueError, match="expected an odd number"):
        convolve_volume(volume, jnp.zeros((2, 2, 2, 3, 2)))


def test_the_module_adds_its_bias(arrays):
    volume, _ = arrays
    module = VolumeConv(2)
    params = module.init(jax.random.key(0), volume)["params"]
    assert params["kernel"].shape == (3, 3, 3, 3, 2)
    shifted = params | {"bias": jnp.array([1.0, -2.0])}
    difference = module.apply({"params": shifted}, volume) - module.apply(
        {"params": params}, volume
    )
    np.testing.assert_allclose(
        difference, np.broadcast_to([1.0, -2.0], difference.shape), atol=1e-5
    )


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_kernel_of_one_pixel_is_that_of_the_convolution(arrays, use_bias):
    picture = arrays[0][:, :, :, 0]
    ours, theirs = PixelConv(4, use_bias), nn.Conv(4, (1, 1), use_bias=use_bias)
    params = theirs.init(jax.random.key(0), picture)
    jax.tree.map(
        np.testing.assert_array_equal, ours.init(jax.random.key(0), picture), params
    )
    np.testing.assert_allclose(
        ours.apply(params, picture), theirs.apply(params, picture), atol=1e-6
    )
