"""Pre-activation residual networks: sizes, strides, shortcuts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.nn.resnet import Bottleneck, ResNetTrunk


@pytest.mark.parametrize(
    ("size", "stride", "expected"), [(65, 1, 65), (65, 2, 33), (64, 2, 32), (9, 2, 5)]
)
def test_sizes_follow_the_stride(size, stride, expected):
    module = Bottleneck(64, 16, stride=stride)
    x = jax.ShapeDtypeStruct((1, size, size, 32), jnp.float32)
    out, params = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    assert out.shape == (1, expected, expected, 64)
    assert params["params"]["shortcut"]["kernel"].shape == (1, 1, 32, 64)


def test_without_a_change_of_channels_the_shortcut_is_the_input(key):
    module = Bottleneck(32, 8)
    x = jax.random.normal(key, (1, 6, 6, 32))
    params = module.init(key, x)["params"]
    assert "shortcut" not in params
    silent = params | {"conv3": jax.tree.map(jnp.zeros_like, params["conv3"])}
    np.testing.assert_array_equal(module.apply({"params": silent}, x), x)


def test_dilation_reaches_further(key):
    x = jnp.zeros((1, 15, 15, 32)).at[0, 7, 7].set(jax.random.normal(key, (32,)))
    near, far = Bottleneck(32, 8), Bottleneck(32, 8, dilation=2)
    params = near.init(key, x)
    moved = jnp.abs(near.apply(params, x) - near.apply(params, x * 0)).sum(-1)[0]
    spread = jnp.abs(far.apply(params, x) - far.apply(params, x * 0)).sum(-1)[0]
    # Normalisation shifts everything a little; the kernel reaches its own taps.
    assert moved[7, 8] > 3 * moved[7, 9] and spread[7, 9] > 3 * spread[7, 8]


def test_a_trunk_quarters_the_picture_before_its_strides():
    trunk = ResNetTrunk(16, ((32, 8, 1, 1, 1), (64, 16, 2, 2, 1)))
    for size, expected in ((257, 33), (256, 32)):
        x = jax.ShapeDtypeStruct((1, size, size, 4), jnp.float32)
        out, _ = jax.eval_shape(trunk.init_with_output, jax.random.key(0), x)
        assert out.shape == (1, expected, expected, 64)
