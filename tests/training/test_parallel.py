"""Data parallelism: the same update under jit and under pmap, and honest batches."""

import importlib
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.errors import InputError
from volhuman.training import parallel
from volhuman.training.config import TrainOptions

sys.path.append(str(Path(__file__).parent))
toy = importlib.import_module("training_toy")


def _split_by_hand(batch, num_devices):
    return {
        name: value.reshape(num_devices, -1, *value.shape[1:])
        for name, value in batch.items()
    }


@pytest.mark.parametrize("make_task", [toy.regression, toy.adversarial])
def test_an_update_gives_the_same_under_jit_and_pmap(make_task, key):
    """Without noise, because every device draws its own."""
    task = make_task(noise=0.0)
    batches = toy.Numbers(24)
    one = eight = jax.jit(task.init)(key)
    jitted, mapped = jax.jit(task.update), parallel.as_pmap(task.update)
    for _ in range(5):
        batch = next(batches)
        one, metrics = jitted(one, batch, key)
        eight, mapped_metrics = mapped(eight, _split_by_hand(batch, 8), key)
        for name, value in metrics.items():
            np.testing.assert_allclose(value, mapped_metrics[name], rtol=1e-5)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(eight), strict=True):
        if jnp.issubdtype(a.dtype, jnp.floating):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_every_device_of_a_pmap_has_random_numbers_of_its_own(key):
    def update(state, batch, key, axis_name=None):
        noise = jax.random.normal(key)
        return state, {
            "mean": parallel.average(noise, axis_name),
            "square": parallel.average(noise**2, axis_name),
        }

    _, metrics = parallel.as_pmap(update)(jnp.zeros(()), jnp.zeros((8, 1)), key)
    assert metrics["square"] - metrics["mean"] ** 2 > 0.1


def test_average_is_the_mean_over_devices():
    values = jnp.arange(8.0)
    mapped = jax.pmap(lambda x: parallel.average({"x": x}, "data"), axis_name="data")
    np.testing.assert_allclose(mapped(values)["x"], np.full(8, 3.5))
    assert parallel.average(values, None) is values


@pytest.mark.parametrize("num_examples, shards", [(16, 8), (12, 1)])
def test_a_batch_is_split_where_the_devices_can_share_it(num_examples, shards):
    """12 examples do not fit 8 devices: every one has them all."""
    batch = {"x": np.arange(num_examples * 2.0).reshape(-1, 2), "n": [1] * num_examples}
    placed = parallel.place_batch(
        {"x": batch["x"], "n": np.array(batch["n"])}, parallel.make_mesh()
    )
    np.testing.assert_array_equal(placed["x"], batch["x"])
    assert len(placed["x"].sharding.device_set) == 8
    (size,) = {shard.data.shape[0] for shard in placed["x"].addressable_shards}
    assert size == num_examples // shards


@pytest.mark.parametrize(
    "batch, words",
    [
        ({"name": np.array(["a", "b"])}, "field name of the batch is"),
        ({"file": np.array([b"a", None], object)}, "field file of the batch is object"),
        ({"x": np.zeros((2, 3)), "n": np.zeros(3)}, r"the lengths \[2, 3\]"),
        ({"x": np.zeros((2, 3)), "n": np.float32(3)}, "leading batch axis"),
    ],
)
def test_what_is_not_a_batch_of_numbers_is_refused(batch, words):
    with pytest.raises(ValueError, match=words):
        parallel.num_examples(batch)


def test_a_mesh_has_the_wanted_devices():
    assert parallel.make_mesh().shape == {"data": 8}
    assert parallel.make_mesh(3).shape == {"data": 3}
    with pytest.raises(InputError, match="num_devices is 9"):
        parallel.make_mesh(9)


def test_loader_options_share_a_batch_evenly(monkeypatch):
    options = TrainOptions(workdir="run", steps=1, batch_size=12, seed=7)
    assert parallel.loader_options(options) == {
        "batch_size": 12,
        "seed": 7,
        "shard": (0, 1),
    }
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    monkeypatch.setattr(jax, "process_index", lambda: 2)
    assert parallel.loader_options(options)["batch_size"] == 4
    assert parallel.loader_options(options)["shard"] == (2, 3)
    monkeypatch.setattr(jax, "process_count", lambda: 5)
    with pytest.raises(InputError, match="multiple of the 5 processes"):
        parallel.loader_options(options)
