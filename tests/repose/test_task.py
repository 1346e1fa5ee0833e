"""Training steps: the loss falls, both networks move, evaluation is of the average."""

import dataclasses

import jax
import numpy as np
import pytest

from volhuman.repose import task as task_module
from volhuman.repose.config import ReposeConfig
from volhuman.repose.losses import (
    discriminator_loss,
    generator_adversarial_loss,
    kernel_decay,
)
from volhuman.repose.task import make_task, picture_metrics


@pytest.fixture(scope="module")
def batch(joints):
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    masks = np.zeros((2, 32, 32), np.uint8)
    masks[:, 8:24, 12:20] = 255
    return {
        "image_source": pictures,
        "image_target": pictures[:, :, ::-1],
        "mask_target": masks,
        "joints_source": joints[:2],
        "joints_target": joints[1:],
    }


@pytest.fixture
def config(monkeypatch, network):
    monkeypatch.setattr(task_module, "network_of", lambda config: network)
    return ReposeConfig(learning_rate=2e-3, augment=False)


@pytest.mark.parametrize(
    "adversarial", [pytest.param(0.0, marks=pytest.mark.slow), 1.0]
)
def test_a_few_steps_lower_the_distance(config, batch, adversarial):
    task = make_task(dataclasses.replace(config, adversarial=adversarial))
    state = jax.jit(task.init)(jax.random.key(0))
    assert ("discriminator" in state) == bool(adversarial)
    before = jax.tree.map(np.asarray, state)
    update, distances = jax.jit(task.update), []
    for step in range(8):
        state, metrics = update(state, batch, jax.random.key(step))
        distances.append(float(metrics["distance"]))
    assert distances[-1] < 0.97 * distances[0]
    for name in {"generator", "average", "discriminator"} & set(state):
        moved = jax.tree.map(
            lambda a, b: np.abs(a - b).max(), before[name], state[name]
        )
        assert max(jax.tree.leaves(moved)) > 1e-4, name


@pytest.mark.slow
def test_augmentation_changes_what_is_seen(config, batch):
    losses = []
    for augment in (False, True):
        task = make_task(dataclasses.replace(config, augment=augment, adversarial=0.0))
        state = jax.jit(task.init)(jax.random.key(0))
        step = jax.jit(task.update)
        losses.append(
            {float(step(state, batch, jax.random.key(k))[1]["l1"]) for k in range(3)}
        )
    assert max(losses[1]) - min(losses[1]) > 10 * (max(losses[0]) - min(losses[0]))


@pytest.mark.slow
def test_evaluation_uses_the_average_and_true_metrics(config, batch):
    task = make_task(dataclasses.replace(config, adversarial=0.0))
    state = jax.jit(task.init)(jax.random.key(0))
    evaluate = jax.jit(task.evaluate)
    metrics, pictures = evaluate(state, batch, jax.random.key(0))
    assert set(metrics) == {"ssim", "ssim_foreground", "l1"}
    assert pictures["painted"].shape == (2, 32, 32, 3)
    other = state | {"generator": jax.tree.map(np.zeros_like, state["generator"])}
    same, _ = evaluate(other, batch, jax.random.key(0))
    assert metrics["l1"] == same["l1"]


def test_the_truth_is_perfect(batch):
    truth = batch["image_target"].astype(np.float32) / 127.5 - 1
    metrics = picture_metrics(truth, truth, batch["mask_target"])
    np.testing.assert_allclose(metrics["ssim"], 1, atol=1e-6)
    np.testing.assert_allclose(metrics["ssim_foreground"], 1, atol=1e-6)
    np.testing.assert_allclose(metrics["l1"], 0, atol=1e-7)


def test_adversarial_losses_have_their_minima_where_they_should():
    real = np.linspace(-4, 8, 1201)
    losses = [float(discriminator_loss(np.array([r]), np.array([-30.0]))) for r in real]
    assert abs(1 / (1 + np.exp(-real[np.argmin(losses)])) - 0.875) < 1e-2
    assert generator_adversarial_loss(np.array([5.0])) < generator_adversarial_loss(
        np.array([-5.0])
    )


def test_only_kernels_decay():
    params = {"a": {"kernel": np.full((2,), 3.0), "bias": np.ones(5)}, "b": {}}
    assert kernel_decay(params, ("a",)) == 9.0


def test_a_training_begins_with_the_weights_it_is_given(config, params):
    state = make_task(config, initial=params).init(jax.random.key(5))
    for name in ("generator", "average"):
        jax.tree.map(np.testing.assert_array_equal, state[name], params)
