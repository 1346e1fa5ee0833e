"""What is seen where: colour, gloss and garment label of every point of a person.

The body's surface is skin where nothing covers it; garments are laid over it in the
order in which they are put on, by the same fields that shaped the mesh.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from volhuman.people import fields
from volhuman.people.face import paint_skin
from volhuman.people.noise import fractal_noise, noise, smoothstep
from volhuman.people.recipe import LABEL, Footwear, Lower, Recipe, Upper
from volhuman.people.textures import cloth_coordinates, mix, paint


@dataclasses.dataclass(frozen=True)
class Material:
    """Surface of N points.

    Attributes:
        colour: `(N, 3)` sRGB.
        gloss: `(N,)` strength of the highlight.
        label: `(N,)` int, index into `recipe.LABELS`.
    """

    colour: np.ndarray
    gloss: np.ndarray
    label: np.ndarray


def material_at(recipe: Recipe, part: str, number: int, rest: np.ndarray) -> Material:
    """Finds the material of points of one part.

    Args:
        recipe: Who wears what.
        part: Name of the part (`person.Part`).
        number: Its number.
        rest: `(N, 3)` rest coordinates.

    Returns:
        The material.
    """
    if part == "hair":
        return _constant(_hair_colour(recipe, rest), 0.2, "hair")
    if part != "body":
        hanging = recipe.hangings[number]
        colour = paint(hanging.pattern, rest)
        if hanging.label != "skirt":
            is_outer = hanging.label == "outerwear"
            owner = next(g for g in recipe.uppers if g.is_outer == is_outer)
            colour = _front_details(owner, colour, rest)
        return _constant(colour, 0.03, hanging.label)
    layers = list(_layers(recipe, rest))
    top = _topmost(layers, len(rest))
    colour, gloss = np.zeros((len(rest), 3)), np.full(len(rest), 0.10)
    bare = top == 0
    colour[bare] = paint_skin(recipe, rest[bare])
    # Only what is seen is painted.
    for rank, layer in enumerate(layers, 1):
        seen = top == rank
        if seen.any():
            colour[seen], gloss[seen] = layer.paint(rest[seen]), layer.gloss
    return Material(colour, gloss, _labels(layers, top))


def label_at(recipe: Recipe, part: str, number: int, rest: np.ndarray) -> np.ndarray:
    """Finds the garment labels `(N,)` of points, as in `material_at` but unpainted."""
    if part == "hair":
        return np.full(len(rest), LABEL["hair"])
    if part != "body":
        return np.full(len(rest), LABEL[recipe.hangings[number].label])
    layers = list(_layers(recipe, rest))
    return _labels(layers, _topmost(layers, len(rest)))


@dataclasses.dataclass(frozen=True)
class _Layer:
    """One covering of the body: where it is, what it is, and how it is painted."""

    covered: np.ndarray
    label: str
    gloss: float
    paint: Callable[[np.ndarray], np.ndarray]


def _topmost(layers, count):
    """Rank of the outermost covering of each point, 0 for bare skin."""
    top = np.zeros(count, np.int64)
    for rank, layer in enumerate(layers, 1):
        top[layer.covered] = rank
    return top


def _labels(layers, top):
    table = [LABEL["skin"], *(LABEL[layer.label] for layer in layers)]
    return np.array(table)[top]


def _constant(colour, gloss, name):
    count = len(colour)
    return Material(colour, np.full(count, gloss), np.full(count, LABEL[name]))


def _layers(recipe: Recipe, rest):
    """Coverings from the innermost to the outermost."""
    x, y, _ = rest.T
    footwear, on_leg = recipe.footwear, np.abs(x) < 0.3
    plain = lambda colour: lambda points: np.tile(colour, (len(points), 1))
    yield _Layer((y < footwear.sock_top) & on_leg, "socks", 0.02, plain(footwear.sock))
    if footwear.tights is not None:
        sheer = 0.25 * np.asarray(recipe.skin) + 0.75 * np.asarray(footwear.tights)
        yield _Layer((y < 0.1) & on_leg, "socks", 0.06, plain(sheer))
    yield _Layer(
        fields.shoe(rest, footwear) > 0,
        "footwear",
        0.18,
        lambda points: _shoe(footwear, points),
    )
    if recipe.lower is not None:
        trousers = recipe.lower
        covered = fields.lower(rest, trousers) > 0
        yield _Layer(
            covered, "trousers", 0.03, lambda points: _trousers(trousers, points)
        )
        if trousers.belt is not None:
            belt = on_leg & (y > trousers.waist - 0.033) & (y < trousers.waist - 0.001)
            yield _Layer(
                belt, "accessory", 0.25, lambda points: _belt(trousers, points)
            )
    else:
        skirt = next(h for h in recipe.hangings if h.label == "skirt")
        covered = fields.under_skirt(rest) > 0
        yield _Layer(
            covered, "skirt", 0.03, lambda points: paint(skirt.pattern, points)
        )
    for garment in recipe.uppers:
        name = "outerwear" if garment.is_outer else "top"
        shine = 0.3 if garment.kind == "jacket" and recipe.seed % 2 else 0.03
        paint_upper = lambda points, garment=garment: _upper(garment, points)
        yield _Layer(fields.upper(rest, garment) > 0, name, shine, paint_upper)
        if garment.neckline == "collar":
            yield _Layer(_collar(rest, garment), name, 0.03, paint_upper)
    yield from _head(recipe, rest)


def _head(recipe: Recipe, rest):
    hair = recipe.hair
    if hair.style == "bald":
        return
    strands = noise(rest * [240.0, 40, 240], seed=3)
    covered = fields.scalp(rest, hair) + 0.004 * strands > 0
    yield _Layer(covered, "hair", 0.2, lambda points: _hair_colour(recipe, points))
    if recipe.hat is not None:
        crown = covered & (rest[:, 1] > 0.7)
        yield _Layer(crown, "accessory", 0.05, lambda points: _cap(recipe, points))


def _hair_colour(recipe: Recipe, rest):
    hair = recipe.hair
    frequency = 90.0 if hair.style == "curly" else np.array([240.0, 16, 240])
    strands = fractal_noise(rest * frequency, octaves=2, seed=3)
    colour = np.asarray(hair.colour) * (1 + 0.35 * strands)[:, None]
    if hair.style == "buzz":
        colour = 0.55 * colour + 0.45 * np.asarray(recipe.skin)
    return np.clip(colour, 0.01, 1)


def _cap(recipe: Recipe, rest):
    angle = np.arctan2(rest[:, 0], rest[:, 2] - 0.02) / (np.pi / 3)
    seam = np.exp(-(((np.mod(angle + 0.5, 1) - 0.5) / 0.03) ** 2))
    return np.asarray(recipe.hat) * (1 - 0.3 * seam)[:, None]


def _shoe(footwear: Footwear, rest):
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    colour = np.tile(footwear.colour, (len(rest), 1))
    if footwear.kind == "sneaker":
        rows = np.abs(np.mod(z * 70, 1) - 0.5) < 0.22
        lace = rows & (z > 0.055) & (z < 0.12) & (np.abs(x - 0.15) < 0.018)
        lace &= y > -0.885
        colour[lace] = np.clip(np.asarray(footwear.sole) * 1.1, 0, 1)
    colour[y < -0.893] = footwear.sole
    return colour


def _belt(garment: Lower, rest):
    colour = np.tile(garment.belt, (len(rest), 1))
    colour[(np.abs(rest[:, 0]) < 0.018) & (rest[:, 2] > 0.05)] = (0.72, 0.70, 0.62)
    return colour


def _line(distance, half_width):
    """A thin dark line: 1 on it."""
    return np.exp(-((distance / half_width) ** 2))


def _trousers(garment: Lower, rest):
    """Fabric with seams, pockets and hems; the fade of jeans, the stripe of sweats."""
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    colour = paint(garment.pattern, rest, on_leg=True)
    if garment.kind == "jeans":
        thigh = np.exp(-(((y + 0.22) / 0.16) ** 2)) * smoothstep(z, 0.02, 0.09)
        seat = np.exp(-(((y + 0.12) / 0.1) ** 2)) * smoothstep(-z, 0.02, 0.07)
        twill = 0.10 * noise(rest * [340.0, 60, 340], seed=8)
        colour = colour * (1 + 0.45 * (thigh + 0.6 * seat) + twill)[:, None]
    around, _ = cloth_coordinates(rest, on_leg=True)
    if garment.kind == "sweats":
        colour[np.abs(around * np.sign(rest[:, 0]) - 0.118) < 0.011] = garment.stripe
    if garment.kind == "leggings":
        return np.clip(colour, 0, 1)
    dark = 0.3 * _line(np.abs(around) - 0.118, 0.0035) * (y < 0.05)
    dark = dark + 0.4 * _line(x, 0.0025) * (z > 0.05) * (y > -0.06)
    slant = _line(y - 0.045 + 1.1 * (x - 0.10), 0.003)
    dark = dark + 0.4 * slant * (x > 0.085) * (z > 0.0) * (y > -0.02)
    dark = dark + 0.3 * (np.abs(y - garment.hem - 0.012) < 0.0018)
    behind = (z < -0.03) & (np.abs(x - 0.085) < 0.05) & (y < 0.0) & (y > -0.085)
    rim = (np.abs(np.abs(x - 0.085) - 0.05) < 0.004) | (y > -0.005) | (y < -0.08)
    dark = dark + 0.35 * (behind & rim)
    return np.clip(colour * (1 - np.clip(dark, 0, 0.8))[:, None], 0, 1)


def _upper(garment: Upper, rest):
    """Fabric with motif, ribs, seams, and what its kind has in front."""
    x, y, _ = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    colour = paint(garment.pattern, rest)
    if garment.motif:
        colour = _motif(garment, colour, rest)
    below_neck = fields.neckline(rest, garment.neckline)
    rib = (garment.sleeve - x < 0.018) & (x > 0.2)
    rib |= (np.abs(y - garment.hem) < 0.016) | (below_neck < 0.012)
    darker = 0.95 if garment.kind == "tank" else 0.82
    colour = colour * np.where(rib, darker, 1)[:, None]
    shoulder = 0.25 * _line(x - 0.195, 0.003) * (y > 0.35)
    return _front_details(garment, colour * (1 - shoulder)[:, None], rest)


def _front_details(garment: Upper, colour, rest):
    """Placket, buttons, zip, pockets and lapels on the front of a garment."""
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    front = z > 0.03
    if garment.kind == "shirt":
        colour[front & (np.abs(x - 0.014) < 0.0016)] *= 0.65
        button = np.hypot(rest[:, 0], np.mod(y, 0.075) - 0.037) < 0.0052
        colour[front & button] = np.clip(garment.trim, 0.1, 0.9)
        side, height = np.abs(rest[:, 0] - 0.075), np.abs(y - 0.33)
        rim = (np.abs(side - 0.038) < 0.003) | (np.abs(height - 0.042) < 0.003)
        colour[front & (side < 0.038) & (height < 0.042) & rim] *= 0.7
    elif garment.kind == "hoodie":
        edge = 0.12 - 0.3 * np.maximum(y - 0.06, 0)
        pocket = front & (y < 0.13) & (y > 0.0) & (x < edge)
        colour[pocket & ((x > edge - 0.007) | (y > 0.124))] *= 0.7
        colour[front & (x < 0.003)] = (0.6, 0.6, 0.6)
    elif garment.is_outer:
        gap = fields.opening(rest, garment) if garment.opening else 0.002 + 0 * x
        colour[front & (x < gap + 0.006)] *= 0.5
        lapel = gap + 0.055 * smoothstep(y, 0.2, 0.42)
        colour[front & (np.abs(x - lapel) < 0.003) & (y > 0.2)] *= 0.55
        pocket = front & (np.abs(y - 0.03) < 0.003) & (np.abs(x - 0.11) < 0.045)
        colour[pocket] *= 0.55
        if not garment.opening:
            button = np.hypot(rest[:, 0] - 0.02, np.mod(y, 0.11) - 0.05) < 0.008
            colour[front & button] = garment.trim
    return colour


def _collar(rest, garment: Upper):
    """The folded collar around the neck."""
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    band = (0.565 - y > 0.035) & (y > 0.45) & (x < 0.11) & (z < 0.02)
    return band & (fields.neckline(rest, garment.neckline) <= 0)


def _motif(garment: Upper, colour, rest):
    """A print on the chest: a disc, a block, or rows like lettering."""
    x, y, z = rest.T
    across, up = x / 0.085, (y - 0.31) / 0.07
    front = z > 0.03
    disc = front & (np.hypot(across, up) < 1)
    block = front & (np.maximum(np.abs(across), np.abs(up) * 1.1) < 1)
    if garment.motif == 3:
        cell = np.stack([np.floor(x * 90), np.floor(y * 60), 0 * x], axis=1) * 1.7
        block &= np.abs(noise(cell, seed=garment.pattern.seed)) > 0.22
    outer = disc if garment.motif == 1 else block
    colour = mix(colour, outer * 1.0, garment.motif_colours[0])
    if garment.motif == 3:
        return colour
    inner = outer & (np.hypot(across * 1.5, up * 1.5) < 0.8)
    return mix(colour, inner * 1.0, garment.motif_colours[1])
