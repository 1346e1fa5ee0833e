"""Fabrics: colours as functions of rest coordinates, sharp at any resolution.

Rest coordinates are `(N, 3)` as in `people.surface`; colours are sRGB `(N, 3)`.
"""

from collections.abc import Callable

import numpy as np

from volhuman.people.noise import fractal_noise, noise, smoothstep
from volhuman.people.recipe import Pattern


def cloth_coordinates(
    rest: np.ndarray, *, on_leg: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Unrolls sleeves, trunk and legs: metres around and along, `(N,)` each.

    Args:
        rest: Rest coordinates.
        on_leg: Unroll around the legs instead of the trunk.
    """
    x, y, z = rest.T
    if on_leg:
        leg = np.sign(x) * (0.106 + 0.036 * smoothstep(-y, 0.0, 0.84))
        return 0.075 * np.arctan2(x - leg, z - 0.01), y
    on_arm = (np.abs(x) > 0.2) & (y > 0.3)
    around = np.where(
        on_arm,
        0.05 * np.arctan2(z - 0.009, y - 0.468),
        0.135 * np.arctan2(x, z - 0.02),
    )
    return around, np.where(on_arm, -np.abs(x), y)


def paint(pattern: Pattern, rest: np.ndarray, *, on_leg: bool = False) -> np.ndarray:
    """Colours a fabric.

    Args:
        pattern: The fabric.
        rest: Rest coordinates.
        on_leg: Whether the pattern runs around the legs.

    Returns:
        `(N, 3)` in [0, 1].
    """
    u, v = cloth_coordinates(rest, on_leg=on_leg)
    ground = np.tile(np.asarray(pattern.colours[0]), (len(rest), 1))
    colour = PATTERNS[pattern.kind](pattern, ground, rest, u, v)
    # Wear: a fine weave and large, faint spots.
    weave = 0.05 * noise(rest * 90, seed=pattern.seed + 3)
    worn = 0.07 * fractal_noise(rest * 9, octaves=2, seed=pattern.seed + 4)
    return np.clip(colour * (1 + weave + worn)[:, None], 0, 1)


def mix(colour: np.ndarray, amount: np.ndarray, other) -> np.ndarray:
    """Blends `(N, 3)` colours towards another by amounts `(N,)`."""
    amount = amount[:, None]
    return colour * (1 - amount) + np.asarray(other) * amount


def _step(x):
    """A soft step from 0 to 1 at 0."""
    return smoothstep(x, -0.08, 0.08)


def _plain(pattern, colour, rest, u, v):
    return colour


def _hstripe(pattern, colour, rest, u, v):
    across = np.mod(v * pattern.frequency * 0.6, 1)
    return mix(colour, _step(pattern.duty - across), pattern.colours[1])


def _vstripe(pattern, colour, rest, u, v):
    across = np.mod(u * pattern.frequency, 1)
    return mix(colour, _step(pattern.duty - across), pattern.colours[1])


def _plaid(pattern, colour, rest, u, v):
    _, second, third = pattern.colours
    for across in (v, u):
        repeat = np.mod(across * pattern.frequency * 0.45, 1)
        colour = mix(colour, 0.5 * _step(0.5 - repeat), second)
        colour = mix(colour, 0.7 * _step(0.08 - np.abs(repeat - 0.75)), third)
    return colour


def _dots(pattern, colour, rest, u, v):
    repeat = pattern.frequency * 0.8
    row = np.floor(v * repeat)
    down = np.mod(v * repeat, 1) - 0.5
    across = np.mod(u * repeat + 0.5 * np.mod(row, 2), 1) - 0.5
    inside = (0.3 - np.hypot(down, across)) * 3
    return mix(colour, _step(inside), pattern.colours[1])


def _blobs(pattern, colour, rest, u, v):
    _, second, third = pattern.colours
    for seed, level, other in ((0, 0.25, second), (5, 0.35, third)):
        height = fractal_noise(
            rest * pattern.frequency * 0.9 + seed, octaves=2, seed=pattern.seed + seed
        )
        colour = mix(colour, _step((height - level) * 3), other)
    return colour


def _camouflage(pattern, colour, rest, u, v):
    ground, second, third = (np.asarray(colour) for colour in pattern.colours)
    second, third = 0.7 * second + 0.3 * ground, 0.6 * third + 0.4 * ground
    for seed, level, other in ((0, 0.1, second), (5, 0.25, third)):
        height = fractal_noise(
            rest * pattern.frequency * 0.45 + seed, octaves=3, seed=pattern.seed + seed
        )
        colour = mix(colour, (height > level) * 1.0, other)
    return colour


def _blocks(pattern, colour, rest, u, v):
    below = _step((v - 0.25) * 60)
    return mix(colour, below, pattern.colours[1])


def _gradient(pattern, colour, rest, u, v):
    return mix(colour, smoothstep(v, -0.05, 0.45), pattern.colours[1])


def _melange(pattern, colour, rest, u, v):
    fibre = fractal_noise(rest * 260, octaves=2, seed=pattern.seed)
    return colour * (1 + 0.25 * fibre)[:, None]


def _floral(pattern, colour, rest, u, v):
    """Five-petalled flowers scattered over the fabric."""
    repeat = pattern.frequency * 0.5
    cell_u, cell_v = np.floor(u * repeat), np.floor(v * repeat)
    cell = np.stack([cell_u, cell_v, 0 * u], axis=1) * 7.3 + 0.37
    shift_u = 0.25 * noise(cell, seed=pattern.seed)
    shift_v = 0.25 * noise(cell, seed=pattern.seed + 1)
    across = np.mod(u * repeat, 1) - 0.5 + shift_u
    down = np.mod(v * repeat, 1) - 0.5 + shift_v
    radius, angle = np.hypot(across, down), np.arctan2(down, across)
    petals = 0.2 + 0.07 * np.cos(5 * angle + 6 * shift_u)
    colour = mix(colour, _step((petals - radius) * 5), pattern.colours[1])
    return mix(colour, _step((0.07 - radius) * 8), pattern.colours[2])


PATTERNS: dict[str, Callable] = {
    "plain": _plain,
    "hstripe": _hstripe,
    "vstripe": _vstripe,
    "plaid": _plaid,
    "dots": _dots,
    "blobs": _blobs,
    "camouflage": _camouflage,
    "blocks": _blocks,
    "gradient": _gradient,
    "melange": _melange,
    "floral": _floral,
}
