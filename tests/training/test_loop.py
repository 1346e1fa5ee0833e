"""The loop: the same numbers on any devices; evaluation; and why it stops."""

import importlib
import json
import os
import signal
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from volhuman.errors import InputError
from volhuman.training import optimizer
from volhuman.training.config import TrainOptions
from volhuman.training.loop import load_state, train
from volhuman.training.stop import Diverged, Terminated

sys.path.append(str(Path(__file__).parent))
toy = importlib.import_module("training_toy")

# -- devices


@pytest.mark.parametrize("make_task", [toy.regression, toy.adversarial])
def test_eight_devices_have_the_losses_of_one(tmp_path, make_task):
    for count in (1, 8):
        folder = tmp_path / str(count)
        train(
            make_task(), toy.Numbers(toy.BATCH), toy.options(folder, num_devices=count)
        )
    one, eight = toy.rows(tmp_path / "1"), toy.rows(tmp_path / "8")
    assert len(one) == len(eight) == 20
    for name in one[0]:
        np.testing.assert_allclose(
            [row[name] for row in one], [row[name] for row in eight], rtol=1e-5
        )


def test_training_lowers_the_loss(tmp_path):
    train(toy.regression(), toy.Numbers(toy.BATCH), toy.options(tmp_path, steps=100))
    losses = toy.losses(tmp_path)
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])


def test_the_same_seed_gives_the_same_state_and_another_seed_another(tmp_path):
    states = [
        train(
            toy.regression(),
            toy.Numbers(toy.BATCH),
            toy.options(tmp_path / str(number), steps=3, seed=seed),
        )
        for number, seed in enumerate((5, 5, 6))
    ]
    toy.assert_same(states[0], states[1])
    kernels = [np.asarray(state["params"]["first"]["kernel"]) for state in states]
    assert (kernels[0] != kernels[2]).any()


def test_accumulated_steps_equal_a_larger_batch(tmp_path):
    """Four steps of 4 examples against one of 16, without noise."""

    class Quarters(toy.Numbers):
        def __next__(self):
            number, part = divmod(self.number, 4)
            whole = toy.Numbers(toy.BATCH)
            whole.number = number
            batch = {name: value[part::4] for name, value in next(whole).items()}
            self.number += 1
            return batch

    tx = optimizer.adam(0.01, clip_norm=0.5)
    large = train(
        toy.regression(tx, noise=0.0),
        toy.Numbers(toy.BATCH),
        toy.options(tmp_path / "large", steps=5),
    )
    tx = optimizer.adam(0.01, clip_norm=0.5, accumulate=4)
    small = train(
        toy.regression(tx, noise=0.0),
        Quarters(4),
        toy.options(tmp_path / "small", steps=20, batch_size=4),
    )
    for a, b in zip(
        jax.tree.leaves(large["params"]), jax.tree.leaves(small["params"]), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    start = toy.regression().init(
        jax.random.split(jax.random.key(0))[0]  # the loop's key of the first state
    )
    assert optax.tree.norm(optax.tree.sub(large["params"], start["params"])) > 0.01


# -- evaluation


def test_evaluation_weighs_batches_by_their_size(tmp_path):
    """16 and 5 examples; 5 cannot be split over 8 devices."""

    class TwoSizes(toy.Numbers):
        def __next__(self):
            batch = super().__next__()
            return (
                batch
                if self.number == 1
                else {name: value[:5] for name, value in batch.items()}
            )

    state = train(
        toy.regression(),
        toy.Numbers(toy.BATCH),
        toy.options(tmp_path, steps=2, evaluate_every=2, num_devices=8),
        validation=TwoSizes(toy.BATCH, count=2),
    )
    batches = TwoSizes(toy.BATCH)
    x, y = (
        np.concatenate(parts)
        for parts in zip(*(next(batches).values() for _ in range(2)))
    )
    average = jax.tree.map(np.asarray, state["average"])
    hidden = np.tanh(x @ average["first"]["kernel"] + average["first"]["bias"])
    error = ((hidden @ average["second"]["kernel"] - y) ** 2).mean()
    assert len(x) == 21
    (row,) = toy.rows(tmp_path, "validation")
    assert row["step"] == 2
    np.testing.assert_allclose(row["error"], error, rtol=1e-5)


# -- stopping


def test_a_loss_that_is_not_finite_stops_before_the_next_checkpoint(tmp_path):
    task = toy.regression(spoil=("loss", 8))
    with pytest.raises(Diverged) as stop:
        train(task, toy.Numbers(toy.BATCH), toy.options(tmp_path, save_every=3))
    message = str(stop.value)
    assert "loss is nan at step 8" in message and "steps 7 to 8" in message
    assert "the checkpoint of step 6 is kept" in message
    step, state = load_state(toy.regression(), tmp_path)
    assert step == 6 and np.isfinite(state["ballast"]).all()
    assert [row["step"] for row in toy.rows(tmp_path)] == list(range(1, 8))


def test_a_state_that_is_not_finite_is_not_saved(tmp_path):
    """The losses of this task do not show it."""
    task = toy.regression(ballast=3, spoil=("state", 8))
    with pytest.raises(Diverged, match=r"ballast .* step 9, .* steps 7 to 9"):
        train(task, toy.Numbers(toy.BATCH), toy.options(tmp_path, save_every=3))
    assert load_state(toy.regression(ballast=3), tmp_path)[0] == 6


def test_sigterm_saves_at_the_end_of_the_step(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    hooks = {4: lambda: os.kill(os.getpid(), signal.SIGTERM)}
    with pytest.raises(Terminated, match=r"SIGTERM after step 5; .* step 5 is") as stop:
        train(
            toy.regression(), toy.Numbers(toy.BATCH, hooks=hooks), toy.options(tmp_path)
        )
    assert stop.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    # The keys are those that the run began with, whatever the seed says now.
    continued = train(
        toy.regression(), toy.Numbers(toy.BATCH), toy.options(tmp_path, seed=9)
    )
    straight = train(
        toy.regression(), toy.Numbers(toy.BATCH), toy.options(tmp_path / "again")
    )
    toy.assert_same(continued, straight)


def test_data_that_end_early_are_refused(tmp_path):
    batches = toy.Numbers(toy.BATCH, count=7)
    with pytest.raises(InputError, match="ended after step 7 of 20"):
        train(toy.regression(), batches, toy.options(tmp_path))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"steps": 0}, "steps is 0"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"best_is": "low"}, "best_is is 'low'"),
        ({"keep_best": "error"}, "not evaluated"),
        ({"keep_best": "error", "evaluate_every": 3}, "multiple of evaluate_every"),
        ({"keep_best": "eror", "evaluate_every": 50}, "expected one of error"),
        ({"workdir": ""}, "workdir is empty"),
        ({"num_devices": 9}, "num_devices is 9, expected at most the 8"),
        ({"num_devices": 3}, "multiple of the 3 devices"),
        ({"batch_size": 8}, "has 16 examples, expected 8"),
    ],
)
def test_unusable_options_are_refused_by_name(tmp_path, changes, words):
    options = TrainOptions(**vars(toy.options(tmp_path)) | changes)
    with pytest.raises(InputError, match=words):
        train(
            toy.regression(),
            toy.Numbers(toy.BATCH),
            options,
            validation=toy.Numbers(toy.BATCH, count=1),
        )


def test_an_evaluation_without_data_is_refused(tmp_path):
    options = toy.options(tmp_path, evaluate_every=5)
    with pytest.raises(InputError, match="no validation data"):
        train(toy.regression(), toy.Numbers(toy.BATCH), options)
    with pytest.raises(InputError, match="have no batch"):
        train(
            toy.regression(),
            toy.Numbers(toy.BATCH),
            options,
            validation=toy.Numbers(toy.BATCH, count=0),
        )


def test_an_update_that_changes_the_state_s_form_is_refused(tmp_path):
    task = toy.regression()

    def update(state, batch, key):
        state, metrics = task.update(state, batch, key)
        return state | {"step": state["step"].astype(np.float32)}, metrics

    changed = toy.Task(task.init, update)
    with pytest.raises(ValueError, match=r"form of the state: \['step'\]"):
        train(changed, toy.Numbers(toy.BATCH), toy.options(tmp_path))


# -- the folder of a run


def test_a_folder_belongs_to_one_configuration(tmp_path):
    def run(steps, **config):
        options = toy.options(tmp_path, steps=steps)
        numbers = toy.Numbers(toy.BATCH)
        config["steps"] = steps
        train(
            toy.regression(), numbers, options, config=config, changeable=("data_dir",)
        )

    run(2, width=16, depth=2, data_dir="here")
    run(4, width=16, depth=2, data_dir="there")
    with pytest.raises(InputError) as refusal:
        run(6, width=32, layers=2, data_dir="there")
    message = str(refusal.value)
    for words in (
        "depth (was 2, is absent)",
        "layers (was absent, is 2)",
        "width (was 16, is 32)",
    ):
        assert words in message
    assert "steps" not in message and "data_dir" not in message and "\n" not in message
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved == {"width": 16, "depth": 2, "data_dir": "there", "steps": 4}


def test_a_folder_belongs_to_one_model(tmp_path):
    train(toy.regression(), toy.Numbers(toy.BATCH), toy.options(tmp_path, steps=2))
    with pytest.raises(InputError) as refusal:
        train(toy.adversarial(), toy.Numbers(toy.BATCH), toy.options(tmp_path))
    message = str(refusal.value)
    assert "only in the file: average/first/bias" in message
    assert "only in the model: optimizers/discriminator/0/count" in message
    assert "version 0.1.0" in message


def test_two_runs_in_one_folder_are_refused(tmp_path):
    def second():
        train(toy.regression(), toy.Numbers(toy.BATCH), toy.options(tmp_path))

    batches = toy.Numbers(toy.BATCH, hooks={3: second})
    with pytest.raises(InputError, match="another training runs in this folder"):
        train(toy.regression(), batches, toy.options(tmp_path))
    # The first one has ended, and with it its hold.
    train(toy.regression(), toy.Numbers(toy.BATCH), toy.options(tmp_path, steps=2))
    assert not (tmp_path / "training.lock").exists()


def test_without_a_terminal_there_is_one_line_a_row(tmp_path, capfd):
    options = toy.options(tmp_path, steps=9, log_every=3)
    train(toy.regression(), toy.Numbers(toy.BATCH), options)
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "step 3/9",
        "step 6/9",
        "step 9/9",
    ]
    assert all("loss" in line and "steps/s" in line for line in lines)
