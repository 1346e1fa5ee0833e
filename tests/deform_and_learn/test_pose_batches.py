"""Batches of poses: functions of their number, different for every process."""

import json

import numpy as np
import pytest

from volhuman.deform_and_learn.pose_batches import PoseBatches, read_in_order
from volhuman.errors import InputError

PEOPLE = np.random.default_rng(0).normal(size=(10, 17, 3)).astype(np.float32)


def _take(batches, count=3):
    return np.stack([next(batches)["poses"] for _ in range(count)])


def test_a_saved_position_continues_with_the_same_batches():
    batches = PoseBatches(PEOPLE, batch_size=4, seed=2)
    _take(batches)
    state = json.loads(json.dumps(batches.get_state()))
    expected = _take(batches)
    again = PoseBatches(PEOPLE, batch_size=4, seed=2)
    again.set_state(state)
    np.testing.assert_array_equal(_take(again), expected)


def test_a_position_of_other_poses_is_refused():
    state = PoseBatches(PEOPLE, batch_size=4, seed=2).get_state()
    for people, seed in ((PEOPLE[:9], 2), (PEOPLE, 3)):
        with pytest.raises(InputError, match="continue with the same poses"):
            PoseBatches(people, batch_size=4, seed=seed).set_state(state)


def test_processes_and_seeds_draw_different_poses():
    first, *others = (
        _take(PoseBatches(PEOPLE, batch_size=4, seed=seed, shard=shard))
        for seed, shard in ((0, (0, 2)), (0, (1, 2)), (1, (0, 2)))
    )
    assert all((first != other).any((2, 3)).all() for other in others)


def test_poses_of_a_file_come_as_they_are_and_people_anew():
    poses = PEOPLE[..., :2]
    drawn = _take(PoseBatches(poses, batch_size=16, seed=0)).reshape(-1, 17, 2)
    matches = (drawn[:, None] == poses).all((2, 3))
    assert (matches.sum(1) == 1).all() and matches.any(0).all()
    seen = _take(PoseBatches(PEOPLE[:1], batch_size=16, seed=0)).reshape(-1, 34)
    assert len(np.unique(seen, axis=0)) == len(seen)
    # Two coordinates of a turned person never reach beyond its joints.
    reach = np.linalg.norm(PEOPLE[0], axis=1)
    lengths = np.linalg.norm(seen.reshape(-1, 17, 2), axis=2)
    assert (lengths <= reach + 1e-4).all()


def test_validation_reads_everybody_once_in_order():
    batches = list(read_in_order(PEOPLE, 4))
    assert [len(batch["joints"]) for batch in batches] == [4, 4, 2]
    joints = np.concatenate([batch["joints"] for batch in batches])
    np.testing.assert_array_equal(joints, PEOPLE)
