"""Hair as closed locks that grow from the scalp, fall, and lie on the head.

A lock is a flattened tube that ends in a point. Its path starts at a point of the
scalp, follows the direction in which the style is combed, falls, and is kept outside
the head, the neck and the shoulders.
"""

import dataclasses

import numpy as np
from scipy.spatial import cKDTree

from volhuman.body.skeleton import JOINT_INDEX
from volhuman.people import fields
from volhuman.people.drape import tube_faces
from volhuman.people.noise import smoothstep
from volhuman.people.recipe import Hair, Recipe
from volhuman.people.surface import FineBody
from volhuman.render.shading import vertex_normals

_AROUND = 6
_CROWN = np.array([0.0, 0.775, -0.05])
_TIE = np.array([0.0, 0.715, -0.085])


@dataclasses.dataclass(frozen=True)
class HairMesh:
    """Locks of one person, T-posed.

    Attributes:
        vertices: `(N, 3)` metres.
        faces: `(F, 3)`, each lock closed, normals outwards.
        rest: `(N, 3)` rest coordinates.
        weights: `(N, 24)` skinning weights.
        shade: `(N,)` brightness of the colour.
    """

    vertices: np.ndarray
    faces: np.ndarray
    rest: np.ndarray
    weights: np.ndarray
    shade: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Style:
    """How locks of a style grow: how many, how wide, and how stiff they are."""

    count: int
    width: float
    thickness: float
    lift: float
    gravity: float
    num_steps: int


_STYLES = {
    "short": _Style(170, 0.013, 0.006, 0.35, 0.05, 6),
    "swept": _Style(170, 0.014, 0.006, 0.3, 0.08, 8),
    "curly": _Style(220, 0.017, 0.012, 0.9, 0.05, 5),
    "bob": _Style(130, 0.020, 0.007, 0.25, 0.35, 10),
    "long": _Style(130, 0.021, 0.007, 0.25, 0.4, 15),
    "ponytail": _Style(110, 0.016, 0.006, 0.05, 0.0, 7),
    "bun": _Style(110, 0.016, 0.006, 0.05, 0.0, 7),
}


def grow_hair(body: FineBody, skin: np.ndarray, recipe: Recipe) -> HairMesh | None:
    """Grows the locks of a person.

    Args:
        body: The fine body.
        skin: `(V, 3)` the bare T-posed person.
        recipe: Who it is.

    Returns:
        The locks, or None for bald and shorn heads and under a cap.
    """
    hair = recipe.hair
    if hair.style not in _STYLES or recipe.hat is not None:
        return None
    style = _STYLES[hair.style]
    generator = np.random.default_rng([20200614, recipe.seed, 3])
    roots = _roots(body, hair, style.count, generator)
    head = _Head(body, skin)
    paths = _grow(head, body, skin, hair, style, roots, generator)
    widths = style.width * generator.uniform(0.7, 1.3, len(roots))
    if hair.style in ("ponytail", "bun"):
        extra = _tail(head, hair, generator) if hair.style == "ponytail" else _bun(head)
        vertices, faces, shade = _join(
            [_tubes(paths, widths, style.thickness, generator), extra]
        )
    else:
        vertices, faces, shade = _tubes(paths, widths, style.thickness, generator)
    rest = vertices - head.offset
    return HairMesh(vertices, faces, rest, _weights(rest), shade)


class _Head:
    """Head, neck and shoulders that locks stay outside of."""

    def __init__(self, body, skin):
        near = (body.rest[:, 1] > 0.2) & (np.abs(body.rest[:, 0]) < 0.3)
        self.points = skin[near]
        self.normals = vertex_normals(skin, body.faces)[near]
        self.tree = cKDTree(self.points)
        is_head = body.rest[:, 1] > 0.6
        self.offset = (skin - body.rest)[is_head].mean(0)

    def keep_outside(self, points, clearance):
        """Moves points to at least `clearance` from the skin; also returns normals."""
        _, nearest = self.tree.query(points)
        normal = self.normals[nearest]
        distance = ((points - self.points[nearest]) * normal).sum(1)
        push = np.maximum(clearance - distance, 0)[:, None]
        return points + push * normal, normal


def _roots(body, hair, count, generator):
    """Vertices of the scalp, far from each other."""
    candidates = np.nonzero(fields.scalp(body.rest, hair) > 0.002)[0]
    points = body.rest[candidates] + 0.002 * generator.standard_normal(
        (len(candidates), 3)
    )
    chosen = [int(generator.integers(len(candidates)))]
    distance = np.full(len(candidates), np.inf)
    for _ in range(count - 1):
        newest = ((points - points[chosen[-1]]) ** 2).sum(1)
        distance = np.minimum(distance, newest)
        chosen.append(int(distance.argmax()))
    return candidates[chosen]


def _comb(hair: Hair, rest, generator):
    """Direction in which hair is combed at rest points `(N, 3)`."""
    x, y, z = rest.T
    if hair.style in ("ponytail", "bun"):
        return _TIE - rest
    if hair.style == "curly":
        return generator.standard_normal(rest.shape)
    if hair.style == "short":
        return rest - _CROWN + 0.03 * generator.standard_normal(rest.shape)
    side = np.where(x > hair.parting, 1.0, -1.0)
    if hair.style == "swept":
        back = np.stack([0.9 * side + 0 * x, 0.2 + 0 * x, -0.5 + 0 * x], axis=1)
        return back + 0.25 * generator.standard_normal(rest.shape)
    # Parted hair falls to the sides in front and straight down behind.
    front = smoothstep(z, -0.02, 0.08) * smoothstep(y, 0.68, 0.76)
    sideways = side * (0.35 + 0.65 * front)
    down = np.stack([sideways, -0.5 + 0 * x, -0.35 * front - 0.1], axis=1)
    return down + 0.08 * generator.standard_normal(rest.shape)


def _grow(head, body, skin, hair: Hair, style: _Style, roots, generator):
    """Paths `(L, S + 1, 3)` of the locks."""
    rest, count = body.rest[roots], len(roots)
    combed = _unit(_comb(hair, rest, generator))
    points = skin[roots]
    _, normal = head.keep_outside(points, 0.0)
    direction = _unit(combed - 0.6 * (combed * normal).sum(1)[:, None] * normal)
    direction = _unit(direction + style.lift * hair.volume * normal)
    length = hair.length * generator.uniform(0.75, 1.15, count)
    if hair.style in ("ponytail", "bun"):
        length = np.linalg.norm(_TIE + head.offset - points, axis=1) * 1.05
    step = (length / style.num_steps)[:, None]
    clearance = 0.5 * style.thickness * generator.uniform(0.6, 2.2, count)
    clearance = clearance * hair.volume + 0.002
    phase = generator.uniform(0, 2 * np.pi, count)
    path = [points - 0.004 * normal]
    for turn in range(style.num_steps):
        pull = np.array([0, -style.gravity, 0])
        if hair.style in ("ponytail", "bun"):
            pull = _unit(_TIE + head.offset - points)
        direction = _unit(direction + pull)
        wave = np.sin(phase + 9.0 * length * turn / 0.05 / style.num_steps)
        side = np.cross(direction, normal)
        points = points + step * direction + (hair.curl * 0.35 * wave)[:, None] * side
        reach = np.minimum(1.0, (turn + 1) / 2)
        points, normal = head.keep_outside(points, clearance * reach)
        # What points into the head slides along it.
        into = np.minimum((direction * normal).sum(1), 0)[:, None]
        direction = _unit(direction - into * normal)
        path.append(points)
    return np.stack(path, axis=1)


def _tubes(paths, widths, thickness, generator):
    """Flattened tubes around paths: vertices, faces, and a brightness a vertex."""
    count, num_rings = paths.shape[:2]
    tangent = _unit(np.gradient(paths, axis=1))
    outwards = paths - np.array([0.0, 0.69, 0.0]) * [1, 1, 1]
    outwards[..., 1] *= 0.3
    side = _unit(np.cross(tangent, outwards))
    upwards = np.cross(side, tangent)
    along = np.linspace(0, 1, num_rings)
    taper = np.sqrt(np.clip(1 - along**2.5, 0.03, 1)) * smoothstep(along, -0.35, 0.25)
    angle = np.arange(_AROUND) * (2 * np.pi / _AROUND)
    cosine, sine = np.cos(angle)[:, None], np.sin(angle)[:, None]
    across = (widths[:, None] * taper / 2)[:, :, None, None] * cosine
    upright = (thickness * taper)[:, None, None] * sine
    rings = (
        paths[:, :, None] + across * side[:, :, None] + upright * upwards[:, :, None]
    )
    vertices = np.concatenate([rings.reshape(count, -1, 3), paths[:, [0, -1]]], axis=1)
    size = vertices.shape[1]
    faces = tube_faces(num_rings, _AROUND)
    faces = (faces[None] + size * np.arange(count)[:, None, None]).reshape(-1, 3)
    tone = generator.uniform(0.72, 1.25, count)[:, None]
    shade = tone * np.repeat(0.75 + 0.35 * along, _AROUND)
    ends = tone * np.array([0.75, 1.1])
    shade = np.concatenate([shade, ends], axis=1)
    return orient_outwards(vertices.reshape(-1, 3), faces), faces, shade.reshape(-1)


def orient_outwards(vertices, faces):
    """Flips faces in place where the mesh as a whole is inside out."""
    corners = vertices[faces]
    volume = (corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum()
    if volume < 0:
        faces[:, [1, 2]] = faces[:, [2, 1]]
    return vertices


def _tail(head, hair: Hair, generator):
    """Locks of a ponytail that fall from the tie."""
    count, num_steps = 14, 12
    start = _TIE + head.offset
    points = np.tile(start, (count, 1)) + 0.006 * generator.standard_normal((count, 3))
    direction = _unit(
        np.array([0.0, 0.15, -1.0]) + 0.25 * generator.standard_normal((count, 3))
    )
    step = hair.length * generator.uniform(0.85, 1.1, (count, 1)) / num_steps
    path = [points]
    for _ in range(num_steps):
        direction = _unit(direction + np.array([0, -0.45, 0]))
        points, _ = head.keep_outside(points + step * direction, 0.016)
        path.append(points)
    paths = np.stack(path, axis=1)
    return _tubes(paths, np.full(count, 0.026), 0.011, generator)


def _bun(head):
    """A knot of hair: a ball, flattened against the head."""
    num_rings, count = 10, 16
    polar = np.linspace(0.12, np.pi - 0.12, num_rings)
    around = np.arange(count) * (2 * np.pi / count)
    radius = 0.034 * (1 + 0.06 * np.sin(5 * around)[None] * np.sin(polar)[:, None])
    rings = np.stack(
        [
            radius * np.sin(polar)[:, None] * np.sin(around),
            radius * np.cos(polar)[:, None] + 0 * around,
            0.8 * radius * np.sin(polar)[:, None] * np.cos(around),
        ],
        axis=-1,
    )
    centre = _TIE + head.offset + [0, 0.02, -0.018]
    vertices = np.concatenate([rings.reshape(-1, 3), [[0, 0.034, 0]], [[0, -0.034, 0]]])
    faces = tube_faces(num_rings, count)
    return orient_outwards(vertices, faces) + centre, faces, np.ones(len(vertices))


def _join(meshes):
    """One mesh of several (vertices, faces, shade)."""
    start = np.cumsum([0] + [len(mesh[0]) for mesh in meshes])
    return (
        np.concatenate([mesh[0] for mesh in meshes]),
        np.concatenate([mesh[1] + first for mesh, first in zip(meshes, start)]),
        np.concatenate([mesh[2] for mesh in meshes]),
    )


def _weights(rest):
    """Hair moves with the head; below the chin more and more with the chest."""
    weights = np.zeros((len(rest), 24))
    with_head = smoothstep(rest[:, 1], 0.42, 0.62)
    weights[:, JOINT_INDEX["head"]] = with_head
    weights[:, JOINT_INDEX["neck"]] = 0.3 * (1 - with_head)
    weights[:, JOINT_INDEX["spine3"]] = 0.7 * (1 - with_head)
    return weights


def _unit(vectors):
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(length, 1e-9)
