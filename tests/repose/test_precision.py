"""Options of the training step: bfloat16, accumulated batches, recomputed activations.

The whole update takes long to compile and is tested with the slow tests; the others
look at types and sizes, which need no compilation, or at a part of the network.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.repose import task as task_module
from volhuman.repose.config import PAPER, ReposeConfig
from volhuman.repose.model import Generator
from volhuman.repose.task import make_task


@pytest.fixture(scope="module")
def batch(joints):
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (2, 4, 32, 32, 3), dtype=np.uint8)
    return {
        "image_source": pictures[0],
        "image_target": pictures[1],
        "mask_target": np.full((4, 32, 32), 255, np.uint8),
        "joints_source": joints[[0, 1, 2, 0]],
        "joints_target": joints[[1, 2, 0, 2]],
    }


@pytest.fixture
def config(monkeypatch, network):
    monkeypatch.setattr(task_module, "network_of", lambda config: network)
    # A training of one step has no warm-up, so its first step counts.
    return ReposeConfig(augment=False, adversarial=0.0, steps=1, schedule="constant")


def _largest_difference(first, second):
    """Over all arrays of two trees, relative to the largest number of each array.

    Biases before a normalisation have no gradient but rounding: arrays of less than a
    hundredth of the largest number of all are compared with that.
    """
    least = 0.01 * max(float(np.abs(x).max()) for x in jax.tree.leaves(first))
    differences = jax.tree.map(
        lambda a, b: np.abs(a - b).max() / max(np.abs(a).max(), least), first, second
    )
    return max(jax.tree.leaves(differences))


def _inputs(network, dtype=jnp.float32):
    """Shapes of what the generator reads, in its order."""
    side, shape = network.image_size, network.volume_shape
    joints = 24 if network.joint_set == "body24" else 19
    return [
        jax.ShapeDtypeStruct(axes, kind)
        for axes, kind in (
            ((1, 1, side, side, 3), dtype),
            ((1, 1, 10, *shape), jnp.float32),
            ((1, 1, 10, 3, 4), jnp.float32),
            ((1, *shape, joints), jnp.float32),
            ((1, side, side, 1), dtype),
        )
    ]


# -- recomputed activations


@pytest.mark.parametrize("size", ["tiny", "paper"])
def test_recomputing_keeps_the_parameters_and_saves_memory(network, size):
    network = network if size == "tiny" else PAPER
    inputs = _inputs(network)

    def kept(params, remat, inputs):
        """What the forward pass leaves to the backward pass."""
        paint = lambda p: Generator(network, remat).apply({"params": p}, *inputs)
        return jax.vjp(lambda p: paint(p)["image"], params)[1]

    shapes, sizes = {}, {}
    for remat in (False, True):
        init = lambda *arrays, remat=remat: Generator(network, remat).init(
            jax.random.key(0), *arrays
        )
        params = jax.eval_shape(init, *inputs)["params"]
        shapes[remat] = jax.tree_util.tree_map(lambda x: (x.shape, x.dtype), params)
        leaves = jax.tree.leaves(
            jax.eval_shape(
                lambda p, *arrays, remat=remat: kept(p, remat, arrays), params, *inputs
            )
        )
        sizes[remat] = sum(math.prod(x.shape) * x.dtype.itemsize for x in leaves)
    assert shapes[True] == shapes[False]
    assert sizes[True] < 0.7 * sizes[False], sizes


def test_recomputing_gives_the_same_gradients(network, params, key):
    """Of the units that do it; the slow test has the whole network."""
    channels = network.channels + network.pose_channels
    volume = jax.random.normal(key, (2, *network.volume_shape, channels))

    def gradient(remat):
        def loss(params, volume):
            colour, mask = Generator(network, remat).apply(
                {"params": params},
                volume,
                method=lambda g, v: g.paint(g.merge_units[0](v)),
            )
            return (colour * mask).sum()

        return jax.jit(jax.grad(loss, (0, 1)))(params, volume)

    plain, again = gradient(False), gradient(True)
    assert np.abs(plain[1]).max() > 1e-4
    assert _largest_difference(plain, again) < 1e-5


@pytest.mark.slow
def test_a_recomputing_step_is_the_same_step(config, batch):
    states, losses = [], []
    for remat in (False, True):
        task = make_task(dataclasses.replace(config, adversarial=1.0, remat=remat))
        state = jax.jit(task.init)(jax.random.key(0))
        state, metrics = jax.jit(task.update)(state, batch, jax.random.key(1))
        states.append(state), losses.append(float(metrics["loss"]))
    assert abs(losses[0] - losses[1]) < 1e-6 * abs(losses[0])
    # The moments of the first step are the gradients, up to a factor.
    for name in ("generator_optimizer", "discriminator_optimizer"):
        moments = [state[name][0].mu for state in states]
        assert _largest_difference(*moments) < 1e-5, name


# -- bfloat16


def _operands(jaxpr, names):
    """Types of the arrays that the named operations read, anywhere inside."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in names:
            yield from (variable.aval.dtype for variable in equation.invars)
        for inner in jax.core.jaxprs_in_params(equation.params):
            yield from _operands(inner, names)


def test_networks_compute_in_bfloat16_and_parameters_stay_float32(
    config, batch, monkeypatch
):
    config = dataclasses.replace(config, adversarial=1.0, mixed_precision=True)
    task = make_task(config)
    state = jax.eval_shape(task.init, jax.random.key(0))
    traced = jax.jit(task.update).trace(state, batch, jax.random.key(0))
    types = list(_operands(traced.jaxpr.jaxpr, {"conv_general_dilated"}))
    assert len(types) > 50 and set(types) == {jnp.dtype(jnp.bfloat16)}
    after, metrics = traced.out_info
    kinds = lambda tree: jax.tree.map(lambda x: x.dtype, tree)
    assert kinds(after) == kinds(state)
    for name in ("generator", "average", "discriminator"):
        assert set(jax.tree.leaves(kinds(after[name]))) == {jnp.dtype(jnp.float32)}
    assert set(jax.tree.leaves(kinds(metrics))) == {jnp.dtype(jnp.float32)}


@pytest.mark.slow
def test_the_loss_in_bfloat16_is_that_in_float32(config, batch):
    config, losses = dataclasses.replace(config, adversarial=1.0), {}
    for mixed in (False, True):
        task = make_task(dataclasses.replace(config, mixed_precision=mixed))
        state = jax.jit(task.init)(jax.random.key(0))
        update = jax.jit(task.update)
        losses[mixed] = []
        for step in range(10):
            state, metrics = update(state, batch, jax.random.key(step))
            numbers = [float(metrics[name]) for name in ("loss", "discriminator")]
            losses[mixed].append(numbers)
        assert all(x.dtype != jnp.bfloat16 for x in jax.tree.leaves(state))
    assert losses[True] != losses[False]
    np.testing.assert_allclose(losses[True], losses[False], rtol=0.02)


# -- accumulated batches


def _halves(batch):
    return [jax.tree.map(lambda x, k=k: x[k::2], batch) for k in (0, 1)]


def _two_steps(config, batch):
    """States after two steps with a batch, and after four with its halves."""
    whole, parts = (
        make_task(dataclasses.replace(config, accumulate=count)) for count in (1, 2)
    )
    one = jax.jit(whole.init)(jax.random.key(0))
    two = jax.jit(parts.init)(jax.random.key(0))
    update, update_half = jax.jit(whole.update), jax.jit(parts.update)
    for _ in range(2):
        one, _ = update(one, batch, jax.random.key(1))
        for number, half in enumerate(_halves(batch)):
            before = two
            two, _ = update_half(two, half, jax.random.key(1))
            moved = _largest_difference(before["generator"], two["generator"])
            assert moved > 1e-6 if number else moved == 0
    return one, two


def test_two_halves_of_a_batch_make_one_step_of_the_task(config, batch, monkeypatch):
    """With a painter of one convolution in place of the network."""

    def paint(network, params, images, source, target, noise, *, remat):
        kernel = params["encoder"]["kernel"]
        painted = jax.lax.conv_general_dilated(
            images[:, 0],
            kernel,
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return {"image": jnp.tanh(painted)}

    kernel = jnp.full((3, 3, 3, 3), 0.1)
    monkeypatch.setattr(task_module, "repose", paint)
    monkeypatch.setattr(
        task_module, "init_generator", lambda *_: {"encoder": {"kernel": kernel}}
    )
    one, two = _two_steps(dataclasses.replace(config, learning_rate=0.01), batch)
    for name in ("generator", "average"):
        moved, expected = (s[name]["encoder"]["kernel"] for s in (two, one))
        np.testing.assert_allclose(moved, expected, atol=1e-5)
        assert np.abs(expected - kernel).max() > 0.005


@pytest.mark.slow
def test_two_halves_of_a_batch_make_one_step(config, batch, monkeypatch):
    """In the gradients: Adam makes steps of rounding where a gradient should be 0.

    A bias before a normalisation has such a gradient.
    """
    # Each half would draw its own noise.
    monkeypatch.setattr(jax.random, "normal", lambda key, shape: jnp.zeros(shape))
    one, two = _two_steps(dataclasses.replace(config, adversarial=1.0), batch)
    for name in ("generator_optimizer", "discriminator_optimizer"):
        expected = jax.tree.leaves(one[name][0].mu)
        moments = jax.tree.leaves(two[name].inner_opt_state[0].mu)
        largest = max(np.abs(moment).max() for moment in expected)
        for a, b in zip(moments, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * largest)


def test_accumulation_costs_one_copy_of_the_parameters(config, key):
    config = dataclasses.replace(config, accumulate=2)
    state = jax.eval_shape(make_task(config).init, key)
    plain = jax.eval_shape(
        make_task(dataclasses.replace(config, accumulate=1)).init, key
    )
    sizes = [
        sum(math.prod(x.shape) for x in jax.tree.leaves(s["generator_optimizer"]))
        for s in (plain, state)
    ]
    assert sizes[1] < 1.6 * sizes[0]  # one more copy: the sum of the gradients
