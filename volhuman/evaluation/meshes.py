"""Triangle meshes on the host: sampling, closest points, and what makes one unusable.

Conventions of every function here: float64 NumPy arrays, points `(N, 3)`. Meshes have
any size, so the compiled search below sees one padded shape only.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import scipy.spatial

from volhuman.geometry.mesh import closest_point

_POINTS_A_GROUP = 256
_FACES_A_TURN = 8192
# Beyond this squares overflow float32.
_LARGEST = 1e15


@dataclasses.dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh.

    Attributes:
        vertices: `(V, 3)` float64.
        faces: `(F, 3)` vertex numbers.
    """

    vertices: np.ndarray
    faces: np.ndarray

    @property
    def corners(self) -> np.ndarray:
        """`(F, 3, 3)`: the three corners of every face."""
        return self.vertices[self.faces]

    @property
    def areas(self) -> np.ndarray:
        """`(F,)`: area of every face."""
        a, b, c = np.moveaxis(self.corners, 1, 0)
        return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def mesh_problem(mesh: Mesh) -> str | None:
    """Returns why no distance to a mesh can be measured, None where it can."""
    if not len(mesh.faces):
        return "it has no faces"
    if not (np.abs(mesh.corners) < _LARGEST).all():
        return "it has vertices that are not finite"
    if not mesh.areas.sum() > 0:
        return "its faces have no area"
    return None


def sample_surface(
    generator: np.random.Generator, mesh: Mesh, count: int
) -> np.ndarray:
    """Draws points that are uniformly distributed over the area of a surface.

    Args:
        generator: Source of randomness.
        mesh: A mesh with area.
        count: Number of points.

    Returns:
        `(count, 3)`.

    Raises:
        ValueError: If the mesh cannot be sampled.
    """
    problem = mesh_problem(mesh)
    if problem:
        raise ValueError(f"the mesh cannot be sampled: {problem}")
    ends = np.cumsum(mesh.areas)
    # `right` skips faces without area; a product may round up to the last end.
    face = np.searchsorted(ends, generator.random(count) * ends[-1], side="right")
    face = np.minimum(face, np.searchsorted(ends, ends[-1]))
    # The square root makes the density of the distance from corner a uniform in area.
    root, share = np.sqrt(generator.random(count)), generator.random(count)
    weights = np.stack([1 - root, root * (1 - share), root * share], axis=1)
    return np.einsum("nk,nkc->nc", weights, mesh.corners[face])


def closest_on_surface(points: np.ndarray, mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Finds the closest point of a surface to every point, exactly.

    Neighbouring points are taken together and compared with every face that can be
    closest to one of them: the nearest face centre bounds their distance from above.
    Faces and barycentric coordinates are found in float32, the point itself is formed
    in float64: its distance along the face's normal is exact to double precision, its
    place in the face to about 1e-7 of the distance to its neighbours. 10,000 points
    against 220,000 faces take a second.

    Args:
        points: `(N, 3)`, N at least 1.
        mesh: A mesh with at least one face.

    Returns:
        Closest points `(N, 3)` and the faces `(N,)` they lie on.
    """
    points, corners = np.asarray(points, np.float64), mesh.corners
    centres = corners.mean(1)
    radius = np.linalg.norm(corners - centres[:, None], axis=2).max(1)
    bound = scipy.spatial.cKDTree(centres).query(points)[0]
    order = scipy.spatial.cKDTree(points, leafsize=_POINTS_A_GROUP).indices
    closest, faces = np.empty_like(points), np.empty(len(points), np.int64)
    for start in range(0, len(points), _POINTS_A_GROUP):
        group = order[start : start + _POINTS_A_GROUP]
        middle = points[group].mean(0)
        spread = np.linalg.norm(points[group] - middle, axis=1).max()
        reach = (spread + bound[group].max()) * (1 + 1e-9)
        near = np.linalg.norm(centres - middle, axis=1) - radius <= reach
        near = np.nonzero(near)[0]
        closest[group], number = _closest_among(points[group], corners[near], middle)
        faces[group] = near[number]
    return closest, faces


def _closest_among(points, corners, middle):
    """Closest points and face numbers; coordinates around a middle keep float32 exact.

    Groups and faces are padded to one shape, so that one compiled program serves all.
    """
    closest, faces = np.empty_like(points), np.zeros(len(points), np.int64)
    least = np.full(len(points), np.inf)
    unit = max(np.abs(corners - middle).max(), np.abs(points - middle).max(), 1e-30)
    padding = _POINTS_A_GROUP - len(points)
    queries = np.pad((points - middle) / unit, ((0, padding), (0, 0)), "edge")
    for start in range(0, len(corners), _FACES_A_TURN):
        part = corners[start : start + _FACES_A_TURN]
        padding = _FACES_A_TURN - len(part)
        padded = np.pad((part - middle) / unit, ((0, padding), (0, 0), (0, 0)), "edge")
        weights, face = _search(
            jnp.asarray(queries, jnp.float32), jnp.asarray(padded, jnp.float32)
        )
        weights = np.asarray(weights, np.float64)[: len(points)]
        weights = weights / weights.sum(1, keepdims=True)
        # Padding repeats the last face.
        face = np.minimum(np.asarray(face)[: len(points)], len(part) - 1)
        found = np.einsum("nk,nkc->nc", weights, part[face])
        distance = np.linalg.norm(points - found, axis=1)
        better = distance < least
        closest[better], faces[better] = found[better], face[better] + start
        least[better] = distance[better]
    return closest, faces


def distance_to_surface(points: np.ndarray, mesh: Mesh) -> np.ndarray:
    """Returns the distance `(N,)` of every point to a surface, as closely."""
    return np.linalg.norm(points - closest_on_surface(points, mesh)[0], axis=1)


@jax.jit
def _search(points, corners):
    """Barycentric coordinates and faces; corners `(F, 3, 3)`."""
    faces = jnp.arange(3 * corners.shape[0], dtype=jnp.int32).reshape(-1, 3)
    _, barycentric, face = closest_point(points, corners.reshape(-1, 3), faces)
    return barycentric, face
