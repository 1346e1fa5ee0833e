"""Rendering in parallel: seeds, splits, intact files, interruption, the lock."""

import concurrent.futures
import fcntl
import importlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from volhuman.data import people_build
from volhuman.data.people_build import (
    check_record,
    hold_lock,
    is_intact,
    person_path,
    person_seed,
    read_person,
    render_people,
    split_of_person,
    write_person,
)
from volhuman.errors import InputError

# Worker processes import it by name, so it must lie on the path that they inherit.
sys.path.append(str(Path(__file__).parent))
people_double = importlib.import_module("people_double")

FEATURES = people_double.record_features("pairs", 16)


def _render(folder, seeds, **changes):
    options = {
        "variant": "pairs",
        "size": 16,
        "num_workers": 2,
        "make_records": people_double.person_records,
        "features": FEATURES,
    }
    render_people(folder, seeds, **(options | changes))


def _assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for name, value in a.items():
            if isinstance(value, bytes | str):
                assert b[name] == value
            else:
                assert b[name].dtype == value.dtype
                np.testing.assert_array_equal(b[name], value)


# -- seeds and splits


def test_seeds_are_fixed_distinct_and_below_2_to_the_63():
    assert person_seed(0, 0) == 7896617691693857887
    assert person_seed(5, 123) == 2837712913127944820
    seeds = {person_seed(s, i) for s in range(20) for i in range(200)}
    assert len(seeds) == 4000 and all(0 <= seed < 2**63 for seed in seeds)
    assert all(type(seed) is int for seed in seeds)


def test_splits_have_their_shares_and_do_not_change_with_the_number_of_people():
    splits = [split_of_person(index) for index in range(200)]
    counts = {name: splits.count(name) for name in people_build.SPLITS}
    assert counts == {"train": 180, "validation": 10, "test": 10}
    assert set(splits[:3]) == set(people_build.SPLITS)


# -- files


def test_a_person_is_read_as_it_was_written(tmp_path):
    records = people_double.person_records(5, variant="pairs", size=16)
    records[0]["recipe"] = ""
    records[1]["recipe"] = "Pullover, grün\0"
    write_person(tmp_path / "a.npz", records)
    _assert_same(records, read_person(tmp_path / "a.npz"))
    assert is_intact(tmp_path / "a.npz", FEATURES)
    assert os.listdir(tmp_path) == ["a.npz"]


def test_every_damage_to_a_file_is_noticed(tmp_path):
    """Cut anywhere, or a byte changed in any of the data."""
    path = tmp_path / "a.npz"
    write_person(path, people_double.person_records(5, variant="pairs", size=16))
    raw = path.read_bytes()
    for length in range(0, len(raw), 97):
        path.write_bytes(raw[:length])
        assert not is_intact(path, FEATURES)
    joints = people_double.person_records(5, variant="pairs", size=16)[0]["joints"]
    place = raw.index(joints.tobytes()) + 50
    path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
    assert not is_intact(path, FEATURES)
    with pytest.raises(InputError, match=r"a\.npz.*damaged"):
        read_person(path)
    path.unlink()
    assert not is_intact(path, FEATURES)


def test_a_file_of_other_features_is_not_taken_for_intact(tmp_path):
    path = tmp_path / "a.npz"
    records = people_double.person_records(5, variant="pairs", size=16)
    write_person(path, records)
    assert not is_intact(path, people_double.record_features("pairs", 32))
    assert not is_intact(path, {"image": FEATURES["image"]})
    write_person(path, [])
    assert not is_intact(path, FEATURES)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no/a\.npz.*data_dir"):
        write_person(tmp_path / "no" / "a.npz", [])


@pytest.mark.parametrize(
    "change, words",
    [
        ({"joints": np.zeros((23, 3), np.float32)}, "joints is float32 .23, 3."),
        ({"joints": np.zeros((24, 3))}, "joints is float64"),
        ({"joints": [[0.0] * 3] * 24}, "joints is None"),
        ({"vertex": np.zeros((2, 2), np.int32)}, "vertex is int32 .2, 2."),
        (
            {"image": np.zeros((16, 16, 3), np.uint8)},
            "image is ndarray, expected bytes",
        ),
        ({"recipe": b"tee"}, "recipe is bytes, expected str"),
        ({"shoes": b""}, "shoes"),
    ],
)
def test_records_that_do_not_fit_the_features_are_named(change, words):
    (record, *_) = people_double.person_records(6, variant="pairs", size=16)
    check_record(record, FEATURES)
    with pytest.raises(ValueError, match=words):
        check_record(record | change, FEATURES)


# -- rendering


def test_people_are_rendered_whatever_the_number_of_workers(tmp_path):
    seeds = [person_seed(0, index) for index in range(7)]
    for num_workers in (1, 3):
        folder = tmp_path / str(num_workers)
        folder.mkdir()
        _render(folder, seeds, num_workers=num_workers)
        assert len(list(folder.iterdir())) == 7
        for seed in seeds:
            wanted = people_double.person_records(seed, variant="pairs", size=16)
            _assert_same(wanted, read_person(person_path(folder, seed)))


def test_intact_people_are_kept_and_damaged_ones_rendered_anew(tmp_path, monkeypatch):
    seeds = list(range(6))
    _render(tmp_path, seeds)
    before = {s: person_path(tmp_path, s).stat().st_mtime_ns for s in seeds}
    person_path(tmp_path, 2).write_bytes(person_path(tmp_path, 2).read_bytes()[:-99])
    person_path(tmp_path, 4).unlink()
    (tmp_path / ".leftover.part").write_bytes(b"half")
    trace = tmp_path / "trace"
    monkeypatch.setenv("TRACE", str(trace))
    _render(tmp_path, seeds, make_records=people_double.slow_records)
    begun = {int(line.split()[0]) for line in trace.read_text().splitlines()}
    assert begun == {2, 4}
    for seed in set(seeds) - begun:
        assert person_path(tmp_path, seed).stat().st_mtime_ns == before[seed]
    assert all(is_intact(person_path(tmp_path, seed), FEATURES) for seed in seeds)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("num_workers", [1, 3])
def test_at_most_two_people_for_each_worker_are_in_flight(
    tmp_path, monkeypatch, num_workers
):
    """The pool is replaced by threads that count; every person is still rendered."""
    lock, counts, most = threading.Lock(), [0], [0]

    class CountingPool(concurrent.futures.ThreadPoolExecutor):
        def __init__(self, num_workers, mp_context, initializer, initargs):
            people_build._stop = initargs[0]
            super().__init__(num_workers)

        def submit(self, *arguments):
            with lock:
                counts[0] += 1
                most[0] = max(most[0], counts[0])
            future = super().submit(*arguments)
            future.add_done_callback(self._finish)
            return future

        def _finish(self, _):
            with lock:
                counts[0] -= 1

    monkeypatch.setattr(concurrent.futures, "ProcessPoolExecutor", CountingPool)
    monkeypatch.setattr(people_build, "_stop", None)
    _render(tmp_path, range(40), num_workers=num_workers)
    assert most[0] == 2 * num_workers and counts[0] == 0
    assert len(list(tmp_path.iterdir())) == 40


def test_a_failure_names_the_person(tmp_path):
    with pytest.raises(RuntimeError, match="no such trousers") as failure:
        _render(tmp_path, [11], make_records=people_double.failing_records)
    assert "person with seed 11" in failure.value.__notes__[0]


def test_a_worker_that_is_killed_is_reported(tmp_path):
    with pytest.raises(InputError, match=r"worker process was killed.*num_workers"):
        _render(tmp_path, [1, 2], make_records=people_double.dying_records)


def test_workers_import_neither_jax_nor_tensorflow_datasets(tmp_path):
    with pytest.raises(RuntimeError, match=r"heavy: \[\]"):
        _render(tmp_path, [1], make_records=people_double.heavy_modules)


def test_workers_use_one_thread_each_and_no_gpu_and_the_environment_is_restored(
    tmp_path, monkeypatch
):
    trace = tmp_path / "trace"
    monkeypatch.setenv("TRACE", str(trace))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    _render(tmp_path, [1, 2], make_records=people_double.slow_records)
    for line in trace.read_text().splitlines():
        assert line.split()[2:] == ["1", "cpu"]
    assert os.environ["OMP_NUM_THREADS"] == "7" and "MKL_NUM_THREADS" not in os.environ


# -- the lock


def test_a_second_build_is_refused_while_the_first_runs(tmp_path):
    path = tmp_path / "work" / "pairs.lock"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import pathlib, sys\n"
            "from volhuman.data.people_build import hold_lock\n"
            "with hold_lock(pathlib.Path(sys.argv[1])):\n"
            "    print('held', flush=True); sys.stdin.read()\n",
            path,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(InputError, match=r"pairs\.lock: another build"),
            hold_lock(path),
        ):
            pass
        assert path.exists(), "a refused build may not take the lock away"
    finally:
        holder.kill()
        holder.communicate()
    assert path.exists(), "the lock of the dead process"
    with hold_lock(path):
        assert path.exists()
    assert not path.exists()


def test_a_lock_file_that_was_replaced_meanwhile_is_not_taken_for_the_lock(
    tmp_path, monkeypatch
):
    """The last holder removes the file between our opening and our locking of it."""
    path, flock, turns = tmp_path / "a.lock", fcntl.flock, []

    def late_flock(file, operation):
        if not turns:
            path.unlink()
            path.touch()
        turns.append(file)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late_flock)
    refused = pytest.raises(InputError, match="another build")
    with hold_lock(path), refused, hold_lock(path):
        pass
    assert len(turns) == 3


def test_the_lock_is_given_back_after_an_error(tmp_path):
    path = tmp_path / "a.lock"
    with pytest.raises(KeyError), hold_lock(path):
        raise KeyError
    with hold_lock(path):
        pass


def test_a_folder_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"file/a\.lock.*data_dir"),
        hold_lock(tmp_path / "file" / "a.lock"),
    ):
        pass
