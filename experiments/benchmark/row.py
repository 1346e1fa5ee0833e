"""One row of the benchmark, and the check that both sides agree."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Row(NamedTuple):
    """One line of the table."""

    name: str
    peer_name: str
    bar: float
    ours: Callable[[], object]
    peer: Callable[[], object]


def close(name, ours, peer, tolerance):
    error = float(np.abs(np.asarray(ours) - np.asarray(peer)).max())
    if not error <= tolerance:
        raise AssertionError(f"{name}: results differ by {error:.2g} > {tolerance:.2g}")
