"""Folds that a pose makes: cloth wrinkles where compressed and hangs where loose.

The stretch of the skinned surface is measured edge by edge against the T-pose, along
the limb and sheared across it. Compression raises bands across the limb (inner elbow,
hip crease), shear raises diagonal ones (twisted trunk, raised shoulder).
"""

import dataclasses
import functools

import numpy as np
from scipy import sparse

from volhuman.people import fields
from volhuman.people.noise import noise, ridges
from volhuman.people.surface import FineBody, fine_body, mesh_edges
from volhuman.render.shading import vertex_normals

_SMOOTHING = 5


@dataclasses.dataclass(frozen=True)
class _Strain:
    """Linear maps from squared edge lengths to the strain of each vertex."""

    edges: np.ndarray
    along: sparse.csr_array
    across: sparse.csr_array


def fold_displacement(
    wrinkle: np.ndarray, rest_edges: np.ndarray, posed_skin: np.ndarray, seed: int
) -> np.ndarray:
    """Computes the height of the folds of a dressed surface in a pose.

    Args:
        wrinkle: `(V,)` height that full compression raises, metres.
        rest_edges: `(E,)` `squared_edges` of the T-posed surface.
        posed_skin: `(V, 3)` that surface, skinned.
        seed: Seed of the pattern.

    Returns:
        `(V,)` metres along the normals.
    """
    body = fine_body()
    strain = _strain_maps()
    change = squared_edges(posed_skin) / np.maximum(rest_edges, 1e-12) - 1
    along, across = strain.along @ change, strain.across @ change
    for _ in range(_SMOOTHING):
        along = 0.4 * along + 0.6 * (body.neighbours @ along)
        across = 0.4 * across + 0.6 * (body.neighbours @ across)
    compression = np.sqrt(np.clip(-along, 0, 0.8))
    tension = np.clip(along, 0, 1)
    shear = np.clip(np.abs(across), 0, 0.8)
    bands, rising, falling = _patterns(seed)
    diagonal = np.where(across > 0, rising, falling)
    height = compression * bands + 0.8 * np.sqrt(shear) * diagonal
    return wrinkle * height * (1 - 0.6 * tension)


def squared_edges(vertices: np.ndarray) -> np.ndarray:
    """Squared lengths `(E,)` of the edges of the fine body with vertices `(V, 3)`."""
    a, b = _strain_maps().edges.T
    x, y, z = (vertices[a] - vertices[b]).T
    return x * x + y * y + z * z


def hang(vertices: np.ndarray, normals: np.ndarray, slack: np.ndarray) -> np.ndarray:
    """Lets loose fabric hang: it rests on what is below it and sags underneath.

    Args:
        vertices: `(V, 3)` posed surface, y up against gravity.
        normals: `(V, 3)` unit normals.
        slack: `(V,)` how far the fabric can leave the body, metres.

    Returns:
        `(V, 3)` metres.
    """
    sag = slack * (0.55 - 0.5 * normals[:, 1])
    return vertices + sag[:, None] * normals


@functools.cache
def _strain_maps() -> _Strain:
    body = fine_body()
    edges = mesh_edges(body.faces)
    direction = body.rest[edges[:, 1]] - body.rest[edges[:, 0]]
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-12)
    limb = np.where((fields.arm(body.rest) > 0.5)[:, None], [1.0, 0, 0], [0.0, 1.0, 0])
    around = np.cross(vertex_normals(body.rest, body.faces), limb)
    around /= np.maximum(np.linalg.norm(around, axis=1, keepdims=True), 1e-6)

    def collect(weight_of):
        """Weighted means over the edges of each vertex."""
        entries = []
        for end in range(2):
            vertex = edges[:, end]
            u = (direction * limb[vertex]).sum(1)
            v = (direction * around[vertex]).sum(1)
            entries.append((vertex, np.arange(len(edges)), *weight_of(u, v)))
        row, column, value, norm = (np.concatenate(part) for part in zip(*entries))
        total = np.bincount(row, norm, len(body.rest))
        value = value / np.maximum(total[row], 1e-9)
        return sparse.csr_array(
            (value, (row, column)), shape=(len(body.rest), len(edges))
        )

    return _Strain(
        edges=edges,
        along=collect(lambda u, v: (u**2, u**2)),
        across=collect(lambda u, v: (u * v, (u * v) ** 2 + 0.05)),
    )


@functools.lru_cache(maxsize=4)
def _patterns(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ridges across the limbs and along both diagonals, about [-0.5, 0.7]."""
    body: FineBody = fine_body()
    rest = body.rest
    on_arm = fields.arm(rest) > 0.5
    around = np.where(on_arm, np.arctan2(rest[:, 2], rest[:, 1] - 0.468), 0)
    radius = np.where(np.abs(rest[:, 1]) < 0.09, 0.13, 0.10)
    angle = np.arctan2(rest[:, 0], rest[:, 2] - 0.01)
    around = np.where(on_arm, 0.045 * around, radius * angle)
    along = np.where(on_arm, np.abs(rest[:, 0]), rest[:, 1])
    side = np.where(on_arm, np.sign(rest[:, 0]), 0.0)
    warp = 0.012 * noise(rest * 11, seed=seed + 21)

    def pattern(u, v, number):
        points = np.stack([(u + warp) * 27, v * 5, side * 3 + number], axis=1)
        return ridges(points, seed=seed + 31 + number) - 0.35

    return (
        pattern(along, around, 0),
        pattern(0.7 * (along + around), 0.7 * (along - around), 1),
        pattern(0.7 * (along - around), 0.7 * (along + around), 2),
    )
