"""Whole processes: killed while they save, on a full disk, and several together."""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from volhuman.training import manifest
from volhuman.training.arrays import empty_arrays, signature
from volhuman.training.checkpoint import Checkpoints

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(__file__).with_name("training_toy.py")
BALLAST = 200_000
BATCH = 16


def _environment(num_devices=1):
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={num_devices}",
        "JAX_COMPILATION_CACHE_DIR": str(REPOSITORY / ".jax_cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.02",
    }


def _start(folder, *, num_devices=1, **options):
    given = {"workdir": str(folder), "batch_size": BATCH, "log_every": 1} | options
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), json.dumps(given)],
        env=_environment(num_devices),
        stderr=subprocess.PIPE,
        text=True,
    )


def _complete(folder):
    return {int(p.parent.name) for p in folder.glob(f"checkpoints/*/{manifest.NAME}")}


def _last_row(folder):
    text = (folder / "training.csv").read_text()
    return int(text[: text.rfind("\n")].splitlines()[-1].split(",")[0])


def _restore(folder, said, **options):
    sys.path.append(str(PROGRAM.parent))
    import training_toy

    task = training_toy.regression(**options)
    abstract = jax.eval_shape(task.init, jax.random.key(0))
    checkpoints = Checkpoints(folder / "checkpoints", warn=said.append)
    return checkpoints.restore_newest(signature(abstract), empty_arrays(abstract))


def _kill_while_saving(folder, seconds, **options):
    """Starts a run that saves every step, and kills it after two new checkpoints."""
    before = _complete(folder)
    process = _start(folder, steps=10**6, save_every=1, ballast=BALLAST, **options)
    deadline = time.monotonic() + 60
    while len(_complete(folder) - before) < 2 and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    time.sleep(seconds)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    return process.stderr.read()


def _kill_again_and_again(folder, times):
    generator = random.Random(times)
    newest, unfinished = 0, 0
    for _ in range(times):
        text = _kill_while_saving(folder, generator.uniform(0, 0.2))
        assert "refused" not in text or "was not finished" in text
        if newest:
            assert f"continuing after step {newest} of" in text
        said = []
        checkpoint = _restore(folder, said, ballast=BALLAST)
        # Nothing that was complete is damaged, and at most one interval is lost.
        assert all("was not finished" in words for words in said)
        assert checkpoint.step == max(_complete(folder))
        assert checkpoint.step >= _last_row(folder) - 1
        assert int(checkpoint.arrays["step"]) == checkpoint.step > newest
        newest = checkpoint.step
        tmp = list(folder.glob("checkpoints/*orbax-checkpoint-tmp*"))
        numbers = [p for p in folder.glob("checkpoints/*") if p.name.isdecimal()]
        unfinished += bool(tmp) or len(numbers) > len(_complete(folder))
        # Leftovers are removed: they are at most those of the last kill.
        assert len(tmp) <= 1
    return newest, unfinished


def _finish(folder, steps, **options):
    process = _start(folder, steps=steps, save_every=10**6, ballast=BALLAST, **options)
    _, text = process.communicate(timeout=120)
    assert process.returncode == 0, text
    return text


def test_three_kills_lose_at_most_the_step_that_was_being_saved(tmp_path):
    _kill_again_and_again(tmp_path, 3)


@pytest.mark.slow
def test_twenty_kills_change_no_number(tmp_path):
    newest, unfinished = _kill_again_and_again(tmp_path / "killed", 20)
    assert unfinished >= 5, "too few kills hit a save"
    for name in ("killed", "straight"):
        _finish(tmp_path / name, newest + 5)
    tables = [
        (tmp_path / name / "training.csv").read_bytes()
        for name in ("killed", "straight")
    ]
    assert tables[0] == tables[1]
    arrays = [
        _restore(tmp_path / name, [], ballast=BALLAST).arrays
        for name in ("killed", "straight")
    ]
    for name, array in arrays[0].items():
        np.testing.assert_array_equal(array, arrays[1][name], err_msg=name)


def test_training_outlives_a_full_disk(tmp_path):
    """No file may grow in steps 4 to 9; the table and the checkpoints both fail."""
    limits = {"4": 0, "9": -1}
    process = _start(tmp_path, steps=12, save_every=2, keep_last=9, limits=limits)
    _, text = process.communicate(timeout=120)
    assert process.returncode == 0, text
    assert _complete(tmp_path) == {2, 4, 10, 12}
    for step in (6, 8):
        assert f"checkpoint of step {step} could not be written" in text
    assert text.count("the last one is of step 4") == 2
    assert text.count("training.csv: File too large; training goes on") == 1
    assert text.count("tensorboard: File too large; training goes on") == 1
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and not p.stat().st_size]
    rows = (tmp_path / "training.csv").read_text().splitlines()
    steps = [int(row.split(",")[0]) for row in rows[1:]]
    assert steps == [1, 2, 3, 9, 10, 11, 12] or steps == [1, 2, 3, 4, 9, 10, 11, 12]
    assert all(len(row.split(",")) == 3 for row in rows)
    said = []
    assert _restore(tmp_path, said).step == 12 and said == []


def _free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def _start_two(folder, **options):
    together = {"coordinator": f"127.0.0.1:{_free_port()}", "num_processes": 2}
    return [
        _start(folder, num_devices=2, process_id=rank, **together, **options)
        for rank in range(2)
    ]


def _wait(processes):
    texts = [process.communicate(timeout=120)[1] for process in processes]
    return [process.returncode for process in processes], texts


@pytest.mark.slow
def test_two_processes_have_the_numbers_of_one(tmp_path):
    """Ten steps in one go, and in two with a stop between."""
    options = {"evaluate_every": 5, "image_every": 5, "save_every": 3}
    alone = _start(tmp_path / "alone", steps=10, **options)
    assert alone.communicate(timeout=120) and alone.returncode == 0
    for steps in (4, 10):
        codes, texts = _wait(_start_two(tmp_path / "two", steps=steps, **options))
        assert codes == [0, 0], texts
    assert "continuing after step 4 of 10" in texts[0] and "step" not in texts[1]
    for kind in ("training", "validation"):
        one, two = (
            np.loadtxt(tmp_path / name / f"{kind}.csv", delimiter=",", skiprows=1)
            for name in ("alone", "two")
        )
        assert one.shape == two.shape
        np.testing.assert_allclose(one, two, rtol=1e-5)
    one, two = (_restore(tmp_path / name, []).arrays for name in ("alone", "two"))
    for name, array in one.items():
        np.testing.assert_allclose(array, two[name], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_two_processes_stop_at_the_same_step(tmp_path):
    """The SIGTERM reaches one of them only."""
    processes = _start_two(tmp_path, steps=10**6, save_every=10**6)
    deadline = time.monotonic() + 60
    while not (tmp_path / "training.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)
    codes, texts = _wait(processes)
    assert codes == [143, 143], texts
    (step,) = _complete(tmp_path)
    assert all(f"SIGTERM after step {step}" in text for text in texts)
