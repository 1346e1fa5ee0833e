"""Paired timing of processor time on one core.

Every round runs each candidate once in random order, so that a ratio compares two times
taken under the same conditions; the median over the rounds is reported.
"""

import os
import random
import time
from collections.abc import Callable

import numpy as np

_SLICE = 0.02


def pin_to_one_core() -> None:
    """Pins the process to one core; call it before NumPy or JAX start threads."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def compare(
    ours: Callable[[], object],
    peer: Callable[[], object],
    *,
    rounds: int = 9,
    finish: Callable[[object], object],
) -> tuple[float, float, float]:
    """Times two functions.

    Args:
        ours: Our function, already compiled.
        peer: The other one.
        rounds: Rounds to run.
        finish: Waits for a result (asynchronous dispatch).

    Returns:
        Median seconds of ours and of the peer, and the median ratio peer / ours.
    """
    candidates = {"ours": ours, "peer": peer}
    repeats = {}
    for name, function in candidates.items():
        finish(function())
        start = time.process_time()
        finish(function())
        elapsed = max(time.process_time() - start, 1e-6)
        repeats[name] = int(np.clip(_SLICE / elapsed, 1, 200))
    times = {name: [] for name in candidates}
    order = list(candidates)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            start = time.process_time()
            for _ in range(repeats[name]):
                finish(candidates[name]())
            times[name].append((time.process_time() - start) / repeats[name])
    ratio = np.median(np.array(times["peer"]) / np.array(times["ours"]))
    return np.median(times["ours"]), np.median(times["peer"]), float(ratio)
