"""Descriptions of networks: counts that Flax itself has, shapes, nothing computed."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.training.describe import count_parameters, describe


class Block(nn.Module):
    """A convolution and a normalisation."""

    features: int

    @nn.compact
    def __call__(self, x):
        """Convolves, normalises."""
        x = nn.Conv(self.features, (3, 3), name="conv")(x)
        return nn.GroupNorm(2, name="norm")(x)


class Network(nn.Module):
    """Blocks, dropout and two outputs."""

    @nn.compact
    def __call__(self, x, scale, flag):
        """Refuses a traced flag, as a condition on it does."""
        x = Block(4, name="first")(x * scale["all"])
        x = Block(6, name="second")(x)
        x = nn.Dropout(0.5, deterministic=not flag)(x)
        return x.mean((1, 2)), x.astype(jnp.bfloat16)


INPUTS = (jnp.zeros((2, 8, 10, 3)), {"all": jnp.ones(())}, True)


def _lines(text):
    return [line.split() for line in text.splitlines()]


def test_the_number_of_parameters_is_that_of_flax(key):
    params = jax.jit(lambda key: Network().init(key, *INPUTS[:2], False))(key)
    numbers = sum(leaf.size for leaf in jax.tree.leaves(params))
    by_hand = (27 * 4 + 4) + 2 * 4 + (36 * 6 + 6) + 2 * 6
    assert numbers == by_hand == count_parameters(params)
    text = describe({"network": (Network(), INPUTS)})
    assert text.splitlines()[-1] == f"parameters: {by_hand}"


def test_every_module_has_a_line_with_its_output():
    lines = _lines(describe({"network": (Network(), INPUTS)}))
    assert lines[0] == ["network"]
    assert lines[1] == ["module", "class", "output", "parameters"]
    assert lines[2] == ["network", "Network", "2x6", "2x8x10x6:bfloat16", "354"]
    assert lines[3] == ["first", "Block", "2x8x10x4", "120"]
    assert lines[4] == ["first/conv", "Conv", "2x8x10x4", "112"]
    assert lines[5] == ["first/norm", "GroupNorm", "2x8x10x4", "8"]
    assert lines[6][:2] == ["second", "Block"]
    assert ["Dropout_0", "Dropout", "2x8x10x6", "0"] in lines


def test_several_networks_stand_below_each_other():
    shape = jax.ShapeDtypeStruct((1, 5), jnp.float32)
    text = describe({"a": (nn.Dense(3), [shape]), "b": (nn.Dense(7), [shape])})
    totals = [line for line in text.splitlines() if line.startswith("parameters: ")]
    assert totals == ["parameters: 18", "parameters: 42"]


def test_nothing_is_computed():
    """A terabyte of parameters and of input costs nothing."""
    shape = jax.ShapeDtypeStruct((1 << 20, 1 << 19), np.float32)
    text = describe({"large": (nn.Dense(1 << 19, use_bias=False), [shape])})
    assert text.endswith(f"parameters: {1 << 38}")


def test_what_a_module_refuses_is_raised():
    with pytest.raises(TypeError):
        describe({"network": (Network(), INPUTS[:1])})
