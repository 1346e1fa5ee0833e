"""Continued runs: every number as in a run that was never stopped."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from volhuman.data.loader import make_loader
from volhuman.errors import InputError
from volhuman.training.config import TrainOptions
from volhuman.training.loop import load_state, steps_made, train

sys.path.append(str(Path(__file__).parent))
toy = importlib.import_module("training_toy")


def _loader(**options):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(50, 3)).astype(np.float32)
    records = [{"x": row, "y": np.sin(row.sum(keepdims=True))} for row in x]
    noisy = lambda record, random: {
        **record,
        "x": record["x"] + random.normal(size=3).astype(np.float32) / 10,
    }
    return make_loader(
        records, batch_size=toy.BATCH, seed=3, transform=noisy, **options
    )


def _run(folder, steps, **changes):
    options = toy.options(folder, steps=steps, log_every=4, **changes)
    options_of_evaluation = {"evaluate_every": 5, "image_every": 5}
    return train(
        toy.regression(),
        _loader(num_threads=steps % 3),
        TrainOptions(**vars(options) | options_of_evaluation),
        validation=_loader(num_epochs=1, shuffle=False),
    )


def test_a_continued_run_has_every_number_of_a_straight_one(tmp_path, capfd):
    """Stops lie within a row of metrics, and the threads of the loader differ."""
    straight = _run(tmp_path / "straight", 23)
    for steps in (6, 7, 18, 23):
        continued = _run(tmp_path / "continued", steps)
    assert "continuing after step 18 of 23" in capfd.readouterr().err
    toy.assert_same(straight, continued)
    for kind in ("training", "validation"):
        a, b = (
            (tmp_path / run / f"{kind}.csv").read_bytes()
            for run in ("straight", "continued")
        )
        assert a == b and a.count(b"\n") in (5, 6)


def test_rows_after_the_checkpoint_are_written_once(tmp_path):
    """The run is lost after step 8 although the last checkpoint is of step 6."""

    def lose():
        raise RuntimeError("lost")

    batches = toy.Numbers(toy.BATCH, hooks={8: lose})
    with pytest.raises(RuntimeError, match="lost"):
        train(toy.regression(), batches, toy.options(tmp_path, save_every=3))
    assert [row["step"] for row in toy.rows(tmp_path)] == list(range(1, 8))
    train(toy.regression(), toy.Numbers(toy.BATCH), toy.options(tmp_path, save_every=3))
    assert [row["step"] for row in toy.rows(tmp_path)] == list(range(1, 21))
    train(toy.regression(), toy.Numbers(toy.BATCH), toy.options(tmp_path / "straight"))
    assert toy.rows(tmp_path) == toy.rows(tmp_path / "straight")


def test_a_finished_run_is_not_trained_further(tmp_path):
    first = train(
        toy.regression(), toy.Numbers(toy.BATCH), toy.options(tmp_path, steps=4)
    )
    rows = toy.rows(tmp_path)

    def refuse():
        raise AssertionError("a batch was read")

    batches = toy.Numbers(toy.BATCH, hooks={0: refuse, 4: refuse})
    toy.assert_same(
        train(toy.regression(), batches, toy.options(tmp_path, steps=4)), first
    )
    assert toy.rows(tmp_path) == rows


def test_a_run_that_is_further_is_not_ended_earlier(tmp_path):
    batches = toy.Numbers(toy.BATCH)
    train(
        toy.regression(), batches, toy.options(tmp_path, steps=4), config={"steps": 4}
    )
    with pytest.raises(
        InputError, match=r"has made 4 steps, more than the 3 .* steps=4"
    ):
        train(
            toy.regression(),
            batches,
            toy.options(tmp_path, steps=3),
            config={"steps": 3},
        )
    assert json.loads((tmp_path / "config.json").read_text()) == {"steps": 4}
    assert steps_made(tmp_path) == 4 and steps_made(tmp_path / "none") == 0


def test_a_run_continues_on_other_devices(tmp_path):
    train(toy.regression(), toy.Numbers(toy.BATCH), toy.options(tmp_path / "one"))
    for steps, count in ((8, 8), (20, 2)):
        options = toy.options(tmp_path / "many", steps=steps, num_devices=count)
        train(toy.regression(), toy.Numbers(toy.BATCH), options)
    np.testing.assert_allclose(
        toy.losses(tmp_path / "one"), toy.losses(tmp_path / "many"), rtol=1e-5
    )


def test_load_state_gives_the_newest_and_the_best(tmp_path):
    options = {"save_every": 5, "evaluate_every": 5, "keep_best": "error"}
    last = train(
        toy.regression(),
        toy.Numbers(toy.BATCH),
        toy.options(tmp_path, keep_last=1, best_is="max", **options),
        validation=toy.Numbers(toy.BATCH, count=2),
    )
    step, newest = load_state(toy.regression(), tmp_path)
    assert step == 20
    toy.assert_same(newest, last)
    # The error falls, so the first evaluation has the largest one.
    step, best = load_state(toy.regression(), tmp_path, best="error", best_is="max")
    assert step == 5 and int(best["step"]) == 5
    with pytest.raises(InputError, match="metric 'loss'"):
        load_state(toy.regression(), tmp_path, best="loss")
    with pytest.raises(InputError, match="there is no checkpoint"):
        load_state(toy.regression(), tmp_path / "empty")
