"""Skin with a painted face: lips, eyes, brows, beard and glasses.

The features are functions of rest coordinates like the garments, with the positions of
the embedded body's face: mouth at y = 0.608, eyes at 0.682, brows at 0.703, half a
distance of 0.030 from the middle. Colours are sRGB `(N, 3)`.
"""

import numpy as np

from volhuman.people.noise import fractal_noise, smoothstep
from volhuman.people.recipe import Recipe
from volhuman.people.textures import mix


def paint_skin(recipe: Recipe, rest: np.ndarray) -> np.ndarray:
    """Colours the skin at rest coordinates `(N, 3)`: `(N, 3)` in [0, 1]."""
    mottled = fractal_noise(rest * 25, octaves=2, seed=5)
    colour = np.asarray(recipe.skin) * (1 + 0.04 * mottled)[:, None]
    # Hands are redder than arms.
    red = 0.6 * (np.abs(rest[:, 0]) > 0.70)
    colour = colour * (1 - 0.16 * red[:, None] * [0.0, 0.8, 0.8])
    in_face = (rest[:, 1] > 0.55) & (rest[:, 2] > 0.02) & (np.abs(rest[:, 0]) < 0.09)
    colour[in_face] = _face(recipe, rest[in_face], colour[in_face], mottled[in_face])
    return np.clip(colour, 0, 1)


def _face(recipe, rest, colour, mottled):
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    front = smoothstep(z, 0.055, 0.075) * (y > 0.56)
    skin = np.asarray(recipe.skin)
    cheek = _spot(x - 0.045, 0.022, y - 0.645, 0.022)
    nose = _spot(x, 0.014, y - 0.642, 0.012)
    blush = (0.16 * front * np.clip(cheek + nose, 0, 1))[:, None]
    colour = colour * (1 - blush * [0.0, 0.8, 0.8])
    colour, lips = _mouth(recipe, colour, skin, x, y, front * (z > 0.085))
    colour = _eyes(recipe, colour, x, y, front)
    if recipe.hair.beard:
        colour = _beard(recipe, colour, x, y, z, mottled, lips)
    if recipe.glasses is not None:
        colour = _glasses(recipe, colour, x, y, front)
    return colour


def _spot(u, half_width, v, half_height):
    """A soft spot: 1 at its middle."""
    return np.exp(-((u / half_width) ** 2) - (v / half_height) ** 2)


def _mouth(recipe, colour, skin, x, y, front):
    half_height = np.where(y > 0.6075, 0.0095, 0.0115)
    inside = 1 - (x / 0.026) ** 2 - ((y - 0.6075) / half_height) ** 2
    lips = smoothstep(inside, -0.2, 0.25) * front
    tint = [0.84, 0.45, 0.46] if recipe.feminine else [0.86, 0.60, 0.58]
    colour = mix(colour, lips, skin * tint)
    gap = _spot(x, 0.024, y - 0.6095, 0.0022) * front
    nostril = _spot(x - 0.008, 0.004, y - 0.6335, 0.003) * front
    return colour * (1 - 0.65 * gap - 0.45 * nostril)[:, None], lips


def _eyes(recipe, colour, x, y, front):
    skin_light = np.mean(recipe.skin)
    socket = _spot(x - 0.030, 0.02, y - 0.688, 0.014) * front
    colour = colour * (1 - 0.16 * socket)[:, None]
    inside = 1 - ((x - 0.030) / 0.0145) ** 2 - ((y - 0.6815) / 0.0062) ** 2
    white = smoothstep(np.clip(inside, -1, 1), -0.1, 0.25) * front
    sclera = np.array([0.70, 0.69, 0.68]) * (0.45 + 0.65 * skin_light)
    colour = mix(colour, white, sclera)
    inside = 1 - ((x - 0.029) / 0.0062) ** 2 - ((y - 0.6815) / 0.0062) ** 2
    iris = smoothstep(inside, -0.1, 0.3) * white
    irises = [(0.12, 0.08, 0.05), (0.2, 0.13, 0.07), (0.2, 0.3, 0.4), (0.2, 0.3, 0.2)]
    number = recipe.seed % (4 if skin_light > 0.55 else 2)
    colour = mix(colour, iris, irises[number])
    lid = ((x - 0.030) / 0.0145) ** 4
    lid = lid + ((y - 0.6875 + 0.10 * (x - 0.03)) / 0.0028) ** 2
    dark = (0.65 if recipe.feminine else 0.45) * np.exp(-lid) * front
    colour = colour * (1 - dark)[:, None]
    arch = y - 0.7035 + 0.25 * np.maximum(x - 0.038, 0)
    brow = np.exp(-(((x - 0.031) / 0.017) ** 6) - (arch / 0.0045) ** 2) * front
    return mix(colour, 0.85 * brow, np.asarray(recipe.hair.colour) * 0.8)


def _beard(recipe, colour, x, y, z, mottled, lips):
    edge = 0.628 - y + 0.25 * np.maximum(x - 0.02, 0) + 0.004 * mottled
    cover = smoothstep(edge, 0, 0.012) * smoothstep(y, 0.55, 0.575)
    cover = cover * smoothstep(z, 0.02, 0.05) * (1 - lips)
    density = 0.28 if recipe.hair.beard == 1 else 0.75
    return mix(colour, density * cover, np.asarray(recipe.hair.colour) * 0.9)


def _glasses(recipe, colour, x, y, front):
    radius = np.hypot((x - 0.031) / 1.15, y - 0.681)
    rim = smoothstep(0.0035 - np.abs(radius - 0.0195), -0.001, 0.001)
    bridge = smoothstep(0.003 - np.abs(y - 0.688), -0.001, 0.001) * (x < 0.012)
    return mix(colour, np.maximum(rim, bridge) * front, recipe.glasses)
