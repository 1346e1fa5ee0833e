"""Garments on the body's own surface: it is pushed out where something covers it.

The dressed surface stays one closed mesh with the body's faces and skinning weights, so
it can be posed, exported and voxelised like the body. Fabric that leaves the body
(skirts, tails, coats) is added by `people.drape`, hair by `people.hair`.
"""

import dataclasses

import numpy as np

from volhuman.people import fields
from volhuman.people.folds import squared_edges
from volhuman.people.noise import fractal_noise, smoothstep
from volhuman.people.recipe import Footwear, Hair, Lower, Recipe, Upper
from volhuman.people.surface import FineBody
from volhuman.render.shading import vertex_normals

_EDGE = 0.006


@dataclasses.dataclass(frozen=True)
class DressedSurface:
    """The T-posed body with its clothes, V vertices of `FineBody`.

    Attributes:
        skin: `(V, 3)` the bare body of this shape, metres.
        vertices: `(V, 3)` with clothes pressed to the body and shoes on.
        slack: `(V,)` how far the fabric can hang away from the body, metres.
        wrinkle: `(V,)` height of folds that a full compression raises, metres.
        edges: `(E,)` squared lengths of the skin's edges, metres squared.
        joints: `(24, 3)` rest joints of this shape.
    """

    skin: np.ndarray
    vertices: np.ndarray
    slack: np.ndarray
    wrinkle: np.ndarray
    edges: np.ndarray
    joints: np.ndarray


def dress(body: FineBody, recipe: Recipe) -> DressedSurface:
    """Puts a recipe's clothes on the body.

    Args:
        body: The fine body.
        recipe: Who wears what.

    Returns:
        The dressed surface in T-pose.
    """
    shape = np.asarray(recipe.shape)
    skin = body.rest + body.shape_dirs @ shape
    thickness = np.zeros(len(skin))
    slack, wrinkle = np.zeros(len(skin)), np.zeros(len(skin))
    layers = [_upper(body, skin, garment, recipe.seed) for garment in recipe.uppers]
    if recipe.lower is not None:
        layers.insert(0, _lower(body, skin, recipe.lower, recipe.seed))
    else:
        field = fields.under_skirt(body.rest)
        layers.insert(0, (field, np.full(len(skin), 0.003), 0 * field, 0 * field))
    for field, tight, loose, folds in layers:
        cover = smoothstep(field, -_EDGE, _EDGE)
        thickness = np.maximum(thickness, np.maximum(tight, 0.001) * cover)
        slack = np.maximum(slack * (1 - cover), loose * cover)
        wrinkle = wrinkle * (1 - cover) + folds * cover
    thickness = np.maximum(thickness, _hair_cap(body, recipe))
    shod, covered = _shoes(body, skin, recipe.footwear)
    if recipe.lower is not None:
        covered = covered & (fields.lower(body.rest, recipe.lower) <= 0)
    thickness = np.where(covered, 0, thickness)
    vertices = shod + _outwards(body, skin) * thickness[:, None]
    _keep_legs_apart(vertices, body.rest, slack)
    joints = body.joints + body.joint_dirs @ shape
    edges = squared_edges(skin)
    return DressedSurface(skin, vertices, slack, wrinkle, edges, joints)


def _outwards(body: FineBody, skin):
    """Unit directions in which cloth lies on the skin, parallel across its folds."""
    direction = vertex_normals(skin, body.faces)
    for _ in range(12):
        direction = 0.5 * direction + 0.5 * (body.neighbours @ direction)
    return direction / np.linalg.norm(direction, axis=1, keepdims=True)


def _keep_legs_apart(vertices, rest, slack):
    """Keeps the fabric of each leg on its side of the middle, in place."""
    x, y, _ = rest.T
    leg = (y < -0.1) & (np.abs(x) < 0.3) & (np.abs(x) > 1e-4)
    side = np.sign(x[leg])
    free = np.maximum(side * vertices[leg, 0], 0.002 + slack[leg])
    vertices[leg, 0] = side * free


def _taut(body: FineBody, skin, field, *, rounds, cap):
    """How far fabric stretched over the body stands off its hollows, `(V,)` metres."""
    inside = smoothstep(field, -0.02, 0.03)[:, None]
    stretched = skin
    for _ in range(rounds):
        stretched = stretched + 0.8 * inside * (body.neighbours @ stretched - stretched)
    outwards = ((stretched - skin) * vertex_normals(skin, body.faces)).sum(1)
    outwards = np.clip(outwards, 0, cap)
    for _ in range(8):
        outwards = 0.5 * outwards + 0.5 * (body.neighbours @ outwards)
    return outwards


def _upper(body: FineBody, skin, garment: Upper, seed):
    """Field, tight thickness, slack and fold height of an upper garment."""
    rest = body.rest
    x, y, _ = rest.T
    field, on_arm = fields.upper(rest, garment), fields.arm(rest)
    looseness = np.clip(garment.slack / 0.02, 0.3, 1.5)
    tight = garment.offset + (1 - on_arm) * looseness * _taut(
        body, skin, field, rounds=110, cap=0.05
    )
    along_sleeve = smoothstep(np.abs(x), 0.21, garment.sleeve)
    short_sleeve = 0.016 if garment.sleeve < 0.57 else 0.005
    tight = tight + on_arm * along_sleeve * short_sleeve * looseness
    fold = np.where(
        on_arm > 0.5,
        0.7 * fractal_noise(rest * [22.0, 10, 10], octaves=2, seed=seed + 1),
        fractal_noise(rest * [9.0, 4, 9], octaves=2, seed=seed + 2)
        + 0.4 * fractal_noise(rest * [5.0, 12, 5], octaves=2, seed=seed + 3),
    )
    ease = 0.4 + 0.6 * np.clip(garment.offset / 0.008, 0, 1.5)
    inner = np.clip(field / 0.03, 0, 1)
    tight = tight + 0.005 * garment.roughness * ease * fold * inner
    if garment.kind == "hoodie":
        tight = tight + _hood(rest)
    if garment.neckline == "collar":
        tight = tight + 0.01 * smoothstep(y, 0.5, 0.52)
    # Loose fabric hangs from shoulder and elbow to the waist and to the open cuff.
    hangs = np.where(
        on_arm > 0.5,
        0.4
        * smoothstep(np.abs(x), 0.2, 0.3)
        * (1 - smoothstep(np.abs(x), garment.sleeve - 0.05, garment.sleeve))
        if garment.sleeve > 0.57
        else along_sleeve,
        1 - smoothstep(y, 0.32, 0.5),
    )
    return field, tight, garment.slack * hangs, _fold_height(garment, inner)


def _hood(rest):
    """A hood that lies on the back."""
    x, y, z = rest.T
    behind = smoothstep(-z, 0.0, 0.06) * smoothstep(y, 0.42, 0.5)
    return 0.04 * behind * (1 - smoothstep(np.abs(x), 0.08, 0.13))


def _fold_height(garment: Upper | Lower, inner):
    stiff = 0.35 if garment.offset < 0.003 else 1.0
    return 0.016 * stiff * garment.roughness * inner


def _lower(body: FineBody, skin, garment: Lower, seed):
    """Field, tight thickness, slack and fold height of trousers."""
    rest = body.rest
    x, y, _ = rest.T
    field = fields.lower(rest, garment)
    is_tight = garment.kind == "leggings"
    tight = garment.offset + 0.6 * _taut(body, skin, field, rounds=45, cap=0.025)
    widest = -0.35 if garment.kind == "shorts" else -0.72
    tight = tight + garment.flare * smoothstep(-y, 0.12, -widest)
    # Fabric piles up over the shoes, behind the knee and at the hip.
    piles = smoothstep(-y, 0.66, 0.8) + 0.6 * np.exp(-(((y + 0.42) / 0.07) ** 2))
    piles = piles + 0.7 * np.exp(-(((y + 0.05) / 0.05) ** 2))
    folds = 0.0035 * fractal_noise(rest * [9.0, 6, 9], octaves=2, seed=seed + 4)
    folds = folds + 0.005 * piles * fractal_noise(
        rest * [8.0, 30, 8], octaves=1, seed=seed + 5
    )
    tight = tight + (0 if is_tight else 1) * garment.roughness * folds
    # Between the thighs there is no room.
    between = np.exp(-((np.abs(x) / 0.035) ** 2))
    between = between * smoothstep(-y, 0.02, 0.06) * smoothstep(y, -0.35, -0.05)
    room = 1 - 0.8 * between
    inner = np.clip(field / 0.03, 0, 1)
    slack = garment.slack * smoothstep(-y, -0.02, 0.1) * room
    return field, tight * room, slack, _fold_height(garment, inner) * room


def _hair_cap(body: FineBody, recipe: Recipe):
    """Thickness of the hair that lies on the scalp, under the locks; or of a cap."""
    rest, hair = body.rest, recipe.hair
    if hair.style == "bald":
        return np.zeros(len(rest))
    x, y, z = rest.T
    cover = smoothstep(fields.scalp(rest, hair), -0.008, 0.008)
    if recipe.hat is not None:
        peak = smoothstep(z, 0.112, 0.135) * np.exp(-(((y - 0.742) / 0.016) ** 2))
        return (0.014 + 0.07 * peak * (np.abs(x) < 0.075)) * cover
    return _cap_thickness(rest, hair, recipe.seed) * cover


def _cap_thickness(rest, hair: Hair, seed):
    scalp = {"buzz": 0.004, "curly": 0.6 * hair.length, "bob": 0.018, "long": 0.016}
    height = scalp.get(hair.style, 0.01) * hair.volume
    frequency = [34.0, 34, 34] if hair.style == "curly" else [26.0, 12, 26]
    uneven = fractal_noise(rest * frequency, octaves=2, seed=seed + 6)
    crown = smoothstep(rest[:, 1], 0.66, 0.78)
    return height * (0.6 + 0.4 * crown + 0.3 * uneven)


def _shoes(body: FineBody, skin, footwear: Footwear):
    """Vertices `(V, 3)` with shoes instead of feet, and where those are `(V,)` bool."""
    if footwear.kind == "bare":
        return skin, np.zeros(len(skin), bool)
    rest, field = body.rest, fields.shoe(body.rest, footwear)
    inside = smoothstep(field, -0.01, 0.01)[:, None]
    last = skin
    for _ in range(70):
        last = last + 0.6 * inside * (body.neighbours @ last - last)
    normals = vertex_normals(last, body.faces)
    # Smoothing took the toes away; toe cap, heel and leather give the volume back.
    leather = 0.010 + 0.014 * smoothstep(rest[:, 2], 0.06, 0.17)
    leather = leather + 0.006 * smoothstep(-rest[:, 2], 0.0, 0.05)
    upper = last + normals * leather[:, None]
    ground = skin[:, 1].min()
    near_ground = smoothstep(ground - upper[:, 1], -0.03, -0.012)[:, None]
    upper = upper + near_ground * normals * [0.004, 0, 0.004]
    sole = upper[:, 1] < ground + 0.006
    upper[:, 1] = np.where(sole, ground - 0.014, upper[:, 1])
    cover = smoothstep(field, -0.004, 0.004)[:, None]
    return skin * (1 - cover) + upper * cover, cover[:, 0] > 0.5
