"""Training steps of the depth GAN: who learns when, and what a short training does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.deform_and_learn import depth_task
from volhuman.deform_and_learn.depth_config import DepthGanConfig
from volhuman.deform_and_learn.depth_task import make_task
from volhuman.deform_and_learn.pose_batches import PoseBatches
from volhuman.deform_and_learn.poses_2d import sample_joints, view_joints
from volhuman.training.parallel import as_pmap

SMALL = DepthGanConfig(width=64, batch_size=64, steps=200, learning_rate=2e-3)


@pytest.fixture(scope="module")
def people():
    return sample_joints(64, seed=0)


@pytest.fixture(scope="module")
def batches(people):
    batches = PoseBatches(people, batch_size=SMALL.batch_size, seed=0)
    return [next(batches) for _ in range(2)]


@pytest.fixture(scope="module")
def start():
    return jax.jit(make_task(SMALL).init)(jax.random.key(0))


@pytest.fixture(scope="module")
def update():
    return jax.jit(make_task(SMALL).update)


def _moved(before, after):
    """Names of the parts of a state in which a number has changed."""
    differs = lambda a, b: not np.array_equal(np.asarray(a), np.asarray(b))
    return {
        name
        for name in before
        if any(jax.tree.leaves(jax.tree.map(differs, before[name], after[name])))
    }


def test_only_networks_whose_gate_is_open_learn(monkeypatch, start, batches):
    def step(gates):
        monkeypatch.setattr(depth_task, "update_gates", lambda accuracy: gates)
        return make_task(SMALL).update(start, batches[0], jax.random.key(1))

    step = jax.jit(step)
    for lifter in (True, False):
        for critic in (True, False):
            after, metrics = step((jnp.array(lifter), jnp.array(critic)))
            expected = {"step"}
            expected |= {"lifter", "lifter_optimizer", "average"} if lifter else set()
            expected |= {"critic", "critic_optimizer"} if critic else set()
            assert _moved(start, after) == expected
            assert set(metrics) == {"lifter", "critic", "accuracy", "direction"}


def test_a_short_training_turns_people_the_right_way_round(start, people, update):
    state = jax.tree.map(np.copy, start)
    data = PoseBatches(people, batch_size=SMALL.batch_size, seed=1)
    rows = []
    for step in range(SMALL.steps):
        state, metrics = update(state, next(data), jax.random.key(step))
        rows.append(metrics)
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    mean = lambda name, part: np.mean([float(row[name]) for row in rows[part]])
    late, early = slice(-20, None), slice(0, 5)
    assert mean("direction", late) < 0.4 * mean("direction", early)
    assert 0.4 < mean("accuracy", late) < 0.95
    seen = view_joints(np.random.default_rng(5), sample_joints(100, seed=7))
    evaluate = jax.jit(make_task(SMALL).evaluate)
    before, _ = evaluate(start, {"joints": seen}, jax.random.key(0))
    after, pictures = evaluate(state, {"joints": seen}, jax.random.key(0))
    assert set(after) == {"MPJPE", "PA-MPJPE", "flipped"} and pictures == {}
    assert after["flipped"] < 0.4 < before["flipped"] < 0.6


def test_a_step_runs_on_eight_devices(start, batches, update):
    poses = batches[0]["poses"].reshape(8, -1, 17, 2)
    state, metrics = as_pmap(make_task(SMALL).update)(
        start, {"poses": poses}, jax.random.key(0)
    )
    assert _moved(start, state) == set(start)
    _, one = update(start, batches[0], jax.random.key(0))
    # Other angles, the same poses.
    for name in ("direction", "critic", "lifter"):
        np.testing.assert_allclose(metrics[name], one[name], rtol=0.2)
    np.testing.assert_allclose(metrics["direction"], one["direction"], rtol=1e-4)
