"""Checkpoints: what is damaged is never used, and what is good is never lost."""

import json
import os
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.errors import InputError
from volhuman.training import manifest
from volhuman.training.arrays import (
    empty_arrays,
    first_not_finite,
    from_arrays,
    signature,
    to_arrays,
)
from volhuman.training.checkpoint import Checkpoints


def _state(number):
    return {
        "params": {"kernel": jnp.full((3, 4), number, jnp.float32)},
        "pair": (jnp.arange(number), jnp.asarray(number, jnp.int32)),
        "half": jnp.full(2, number, jnp.bfloat16),
        "flag": jnp.asarray([True, False]),
        "empty": jnp.zeros((0, 3)),
        "key": jax.random.key(number),
        "keys": jax.random.split(jax.random.key(number, impl="rbg"), 2),
    }


STATE = {**_state(7), "pair": (jnp.arange(5), jnp.asarray(7, jnp.int32))}
ARRAYS, SIGNATURE = to_arrays(STATE), signature(STATE)
EMPTY = empty_arrays(jax.eval_shape(lambda: STATE))


class _Saved:
    """Checkpoints of a folder, and what they told the user."""

    def __init__(self, folder, **options):
        self.said = []
        self.checkpoints = Checkpoints(folder, warn=self.said.append, **options)
        self.folder = folder

    def save(self, *steps, **metrics):
        for step in steps:
            arrays = ARRAYS | {"pair/1": np.asarray(step, np.int32)}
            assert self.checkpoints.save(
                step,
                arrays,
                signature=SIGNATURE,
                metrics=metrics,
                content={"data": [{"number": step}]},
            )

    def restore(self):
        return self.checkpoints.restore_newest(SIGNATURE, EMPTY)

    def steps(self):
        return [int(p.name) for p in sorted(self.folder.iterdir(), key=_number)]


def _number(path):
    return int(re.match(r"\d+", path.name).group())


@pytest.fixture(scope="module")
def three_steps(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three") / "steps"
    _Saved(folder, keep_last=3).save(10, 20, 30)
    return folder


@pytest.fixture
def saved(tmp_path, three_steps):
    """Checkpoints of the steps 10, 20 and 30."""
    shutil.copytree(three_steps, tmp_path / "steps")
    return _Saved(tmp_path / "steps", keep_last=3)


# -- round trip


def test_a_state_of_every_kind_of_array_comes_back(tmp_path):
    saved = _Saved(tmp_path)
    saved.save(7)
    checkpoint = saved.restore()
    assert checkpoint.step == 7 and checkpoint.content == {"data": [{"number": 7}]}
    state = from_arrays(checkpoint.arrays, jax.eval_shape(lambda: STATE))
    assert jax.tree.structure(state) == jax.tree.structure(STATE)
    assert signature(state) == SIGNATURE
    for name, array in to_arrays(state).items():
        assert array.dtype == ARRAYS[name].dtype
        np.testing.assert_array_equal(array, ARRAYS[name])
    for name in ("key", "keys"):
        draw = lambda keys: jax.random.normal(jnp.ravel(keys)[-1], (3,))
        np.testing.assert_array_equal(draw(state[name]), draw(STATE[name]))


def test_an_empty_or_absent_folder_has_no_checkpoint(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        saved = _Saved(folder)
        assert saved.restore() is None and saved.said == []


# -- damage


def _files(folder):
    """Files that hold something, the manifest last."""
    paths = [p for p in folder.rglob("*") if p.is_file() and p.stat().st_size]
    return sorted(paths, key=lambda path: (path.name == manifest.NAME, str(path)))


def _flip(path, position):
    data = bytearray(path.read_bytes())
    data[int(position * (len(data) - 1))] ^= 1
    path.write_bytes(bytes(data))


NUM_FILES = 9


def test_the_step_has_as_many_files_as_are_damaged_below(saved):
    assert len(_files(saved.folder / "30")) >= NUM_FILES


@pytest.mark.parametrize("file", range(-NUM_FILES, 0))
@pytest.mark.parametrize("position", [0, 0.5, 1])
def test_one_flipped_bit_in_any_file_is_noticed(saved, file, position):
    path = _files(saved.folder / "30")[file]
    _flip(path, position)
    checkpoint = saved.restore()
    assert checkpoint.step == 20 and checkpoint.content["data"] == [{"number": 20}]
    assert int(checkpoint.arrays["pair/1"]) == 20
    (said,) = saved.said
    assert "30: the checkpoint is refused" in said and path.name in said


def _truncate(folder):
    path = _files(folder)[0]
    os.truncate(path, path.stat().st_size - 1)


def _truncate_the_manifest(folder):
    path = folder / manifest.NAME
    os.truncate(path, path.stat().st_size // 2)


def _lose_a_file(folder):
    _files(folder)[0].unlink()


def _lose_the_manifest(folder):
    (folder / manifest.NAME).unlink()


def _empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def _empty_manifest(folder):
    (folder / manifest.NAME).write_text("")


def _foreign_manifest(folder):
    (folder / manifest.NAME).write_text(json.dumps([1, 2]))


@pytest.mark.parametrize(
    "damage",
    [
        _truncate,
        _truncate_the_manifest,
        _lose_a_file,
        _lose_the_manifest,
        _empty,
        _empty_manifest,
        _foreign_manifest,
    ],
)
def test_the_next_older_intact_step_is_used_and_training_can_go_on(saved, damage):
    damage(saved.folder / "30")
    assert saved.restore().step == 20
    assert len(saved.said) == 1 and "refused" in saved.said[0]
    saved.save(25)
    # The refused step does not count among the three that are kept.
    assert saved.steps() == [10, 20, 25]
    saved.save(30)
    assert saved.restore().step == 30 and len(saved.said) == 1


def test_two_damaged_steps_are_both_named(saved):
    _truncate(saved.folder / "30")
    _lose_a_file(saved.folder / "20")
    assert saved.restore().step == 10
    assert [re.search(r"(\d+): the", said).group(1) for said in saved.said] == [
        "30",
        "20",
    ]


def test_training_does_not_begin_anew_when_all_steps_are_damaged(saved):
    for step in (10, 20, 30):
        _truncate(saved.folder / str(step))
    with pytest.raises(InputError, match="all checkpoints are damaged"):
        saved.restore()
    assert saved.steps() == [10, 20, 30]


def test_unfinished_saves_are_ignored_and_removed(saved):
    names = ["40.orbax-checkpoint-tmp", "35.orbax-checkpoint-tmp-1234", "40"]
    for name in names:
        (saved.folder / name / "state").mkdir(parents=True)
    (saved.folder / "notes").mkdir()
    assert saved.restore().step == 30
    saved.save(50)
    assert sorted(path.name for path in saved.folder.iterdir()) == [
        "20",
        "30",
        "50",
        "notes",
    ]


def test_additional_files_do_no_harm(saved):
    (saved.folder / "30" / "notes.txt").write_text("the good one")
    (saved.folder / "readme").write_text("not a step")
    assert saved.restore().step == 30 and saved.said == []


# -- what is kept


def test_the_newest_and_the_best_steps_stay(tmp_path):
    saved = _Saved(tmp_path, keep_last=2, keep_best="error")
    for step, error in enumerate([5.0, 2.0, 4.0, 3.0, 2.0, 9.0, float("nan")]):
        saved.save(step, error=error)
        newest = [max(step - 1, 0), step]
        assert set(newest) <= set(saved.steps())
    assert saved.steps() == [1, 5, 6]
    assert saved.checkpoints.restore_best(SIGNATURE, EMPTY).step == 1


def test_the_largest_metric_can_be_the_best(tmp_path):
    saved = _Saved(tmp_path, keep_last=1, keep_best="score", best_is="max")
    for step, score in enumerate([1.0, 3.0, 2.0]):
        saved.save(step, score=score)
    saved.save(3)  # a step that was not evaluated
    assert saved.steps() == [1, 3]


def test_a_damaged_best_step_is_refused(tmp_path):
    saved = _Saved(tmp_path, keep_last=1, keep_best="error")
    saved.save(1, error=1.0)
    saved.save(2, error=2.0)
    _truncate(tmp_path / "1")
    with pytest.raises(InputError, match="best checkpoint is damaged"):
        saved.checkpoints.restore_best(SIGNATURE, EMPTY)
    _truncate_the_manifest(tmp_path / "1")
    saved.said.clear()
    assert saved.checkpoints.restore_best(SIGNATURE, EMPTY).step == 2
    assert "1: the checkpoint is refused" in saved.said[0]


# -- failures to write


def test_a_failed_save_leaves_the_older_steps_and_says_so(saved, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(manifest, "write_manifest", fail)
    arguments = {"signature": SIGNATURE, "metrics": {}, "content": {}}
    assert not saved.checkpoints.save(40, ARRAYS, **arguments)
    (said,) = saved.said
    assert (
        "step 40 could not be written" in said and "the last one is of step 30" in said
    )
    assert "No space left" in said
    assert saved.steps() == [10, 20, 30]
    monkeypatch.undo()
    saved.save(40)
    assert saved.restore().step == 40


def test_a_folder_that_cannot_be_written_is_a_failed_save(tmp_path):
    (tmp_path / "file").write_text("")
    saved = _Saved(tmp_path / "file" / "steps")
    arguments = {"signature": SIGNATURE, "metrics": {}, "content": {}}
    assert not saved.checkpoints.save(1, ARRAYS, **arguments)
    assert "there is none yet" in saved.said[0]


# -- other models


@pytest.mark.parametrize(
    "change, words",
    [
        ({"new": jnp.zeros(2)}, "only in the model: new"),
        ({"half": jnp.zeros(2)}, "half (bfloat16[2] in the file, float32[2] in the"),
        ({"flag": jnp.zeros(3, bool)}, "flag (bool[2] in the file, bool[3] in the mod"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(saved, change, words):
    other = STATE | change
    with pytest.raises(InputError, match=re.escape(words)):
        saved.checkpoints.restore_newest(signature(other), to_arrays(other))


def test_long_lists_of_differences_are_cut(saved):
    other = {str(number): jnp.zeros(1) for number in range(20)}
    with pytest.raises(InputError) as refusal:
        saved.checkpoints.restore_newest(signature(other), to_arrays(other))
    assert "only in the model: 0, 1, 10, 11, 12 and 15 more" in str(refusal.value)


# -- arrays


def test_two_arrays_of_one_path_are_refused():
    with pytest.raises(ValueError, match="same path"):
        to_arrays({"a": {"b": jnp.zeros(1)}, "a/b": jnp.zeros(1)})


def test_numbers_that_are_not_finite_are_found():
    good = {"a": np.zeros(2), "n": np.arange(3), "half": np.zeros(2, jnp.bfloat16)}
    assert first_not_finite(good) == ""
    for name, value in (("a", np.inf), ("half", np.nan)):
        bad = good | {name: np.full(2, value, good[name].dtype)}
        assert first_not_finite(bad) == name
