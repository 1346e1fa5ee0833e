"""Smooth noise in space, the same on every machine.

Values stand on an integer lattice that repeats after 32 cells and are blended in
between. Points are `(N, 3)`; a frequency is a factor on them.
"""

import functools

import numpy as np

_BITS = 5
_PERIOD = 1 << _BITS


def noise(points: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Evaluates value noise of lattice spacing 1.

    Args:
        points: `(N, 3)`.
        seed: Seeds give unrelated noises.

    Returns:
        `(N,)` in [-1, 1], continuous with its first derivative.
    """
    cell = np.floor(points)
    fraction = points - cell
    fraction = fraction * fraction * (3 - 2 * fraction)
    cell = cell.astype(np.int64) + _shift(seed)
    table = _table()
    low, high = cell & (_PERIOD - 1), (cell + 1) & (_PERIOD - 1)
    x = (low[:, 0] << 2 * _BITS, high[:, 0] << 2 * _BITS)
    y = (low[:, 1] << _BITS, high[:, 1] << _BITS)
    z = (low[:, 2], high[:, 2])
    u, v, w = fraction.T

    def along_z(at_x, at_y):
        first = table[at_x + at_y + z[0]]
        return first + w * (table[at_x + at_y + z[1]] - first)

    def along_y(at_x):
        first = along_z(at_x, y[0])
        return first + v * (along_z(at_x, y[1]) - first)

    first = along_y(x[0])
    return first + u * (along_y(x[1]) - first)


def fractal_noise(points: np.ndarray, *, octaves: int = 3, seed: int = 0) -> np.ndarray:
    """Sums noises of doubled frequency and halved height: `(N,)` in (-2, 2)."""
    return sum(
        noise(points * 2**octave, seed=seed + octave) * 0.5**octave
        for octave in range(octaves)
    )


def ridges(points: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Evaluates noise with creases where it crosses zero: `(N,)` in [0, 1]."""
    return (1 - np.abs(noise(points, seed=seed))) ** 2


@functools.cache
def _table() -> np.ndarray:
    bits = np.random.Philox(key=20200614).random_raw(_PERIOD**3)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1


@functools.lru_cache(maxsize=4096)
def _shift(seed: int) -> np.ndarray:
    bits = np.random.Philox(key=seed % 2**63).random_raw(3)
    return (bits % np.uint64(_PERIOD)).astype(np.int64)


def smoothstep(
    x: np.ndarray, low: float | np.ndarray = 0.0, high: float | np.ndarray = 1.0
) -> np.ndarray:
    """Rises smoothly from 0 at `low` to 1 at `high`, elementwise."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
