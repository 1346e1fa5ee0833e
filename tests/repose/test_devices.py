"""The training of the reposing network on several devices and in several processes.

Augmentation, noise and both networks are on. The programs take a minute to compile.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(__file__).with_name("devices_program.py")
STEPS = 20


def _start(folder, *, num_devices, **options):
    given = {"workdir": str(folder), "steps": STEPS, "batch_size": 8, "log_every": 1}
    environment = {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={num_devices}",
        "JAX_COMPILATION_CACHE_DIR": str(REPOSITORY / ".jax_cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.02",
    }
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), json.dumps(given | options)],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(*processes):
    texts = [process.communicate(timeout=1500)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(texts), texts


def _curves(folder):
    """Every metric of every step, without the number of the step."""
    rows = (folder / "training.csv").read_text().splitlines()
    names = rows[0].split(",")
    assert {"loss", "adversarial", "discriminator"} <= set(names)
    table = np.loadtxt(rows[1:], delimiter=",", ndmin=2)
    assert table.shape == (STEPS, len(names)) and np.isfinite(table).all()
    return table[:, [name != "step" for name in names]]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The curves of one device."""
    folder = tmp_path_factory.mktemp("alone")
    _finish(_start(folder, num_devices=1))
    return _curves(folder)


@pytest.mark.slow
def test_eight_devices_have_the_losses_of_one(alone, tmp_path):
    _finish(_start(tmp_path, num_devices=8))
    np.testing.assert_allclose(_curves(tmp_path), alone, rtol=1e-5)


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(alone, tmp_path):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{server.getsockname()[1]}"
    _finish(
        *(
            _start(
                tmp_path,
                num_devices=2,
                coordinator=address,
                num_processes=2,
                process_id=rank,
            )
            for rank in range(2)
        )
    )
    np.testing.assert_allclose(_curves(tmp_path), alone, rtol=1e-5)
