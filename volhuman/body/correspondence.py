"""Points on the body's surface, named so that they move with it.

A surface point is three vertices and barycentric weights; it can be found from a rest
position, from texture coordinates, or be a vertex itself.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.body.model import BodyModel
from volhuman.geometry.mesh import closest_point, nearest_vertices


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SurfacePoints:
    """N points on a mesh.

    Attributes:
        vertices: `(N, 3)` vertex numbers.
        barycentric: `(N, 3)` weights that sum to 1.
    """

    vertices: jax.Array
    barycentric: jax.Array


def points_at_vertices(vertices: jax.Array) -> SurfacePoints:
    """Returns the surface points that lie on the given vertices `(N,)`."""
    vertices = jnp.asarray(vertices, jnp.int32)
    barycentric = jnp.zeros((len(vertices), 3)).at[:, 0].set(1)
    return SurfacePoints(jnp.stack([vertices] * 3, axis=-1), barycentric)


def points_from_rest(
    model: BodyModel, rest: jax.Array, *, snap: bool = False
) -> SurfacePoints:
    """Finds surface points from positions on the T-posed mean body.

    Args:
        model: Body model.
        rest: `(N, 3)` metres.
        snap: Take the nearest vertex, as the paper does, instead of the closest point
            of the surface.

    Returns:
        The surface points.
    """
    rest = jnp.asarray(rest, jnp.float32)
    if snap:
        return points_at_vertices(nearest_vertices(rest, model.template, 1)[1][:, 0])
    _, barycentric, face = closest_point(rest, model.template, model.faces)
    return SurfacePoints(model.faces[face], barycentric)


def points_from_uv(
    part: np.ndarray,
    uv: np.ndarray,
    *,
    table_part: np.ndarray,
    table_uv: np.ndarray,
    table_vertices: np.ndarray,
) -> SurfacePoints:
    """Finds surface points from body part and texture coordinates (I, U, V).

    Each point takes the vertex of the same part whose (U, V) is nearest.

    Source: Yoshiyasu & Gamez, "Learning body shape and pose from dense
        correspondences",
    section 6.1.

    Args:
        part: `(N,)` part numbers I.
        uv: `(N, 2)` in [0, 1].
        table_part: `(T,)` part of each entry of the chart.
        table_uv: `(T, 2)` its texture coordinates.
        table_vertices: `(T,)` its vertex.

    Returns:
        The surface points.

    Raises:
        ValueError: If a part does not occur in the chart.
    """
    unknown = np.setdiff1d(part, table_part)
    if len(unknown):
        raise ValueError(
            f"part {unknown[0]} is not in the chart, expected one of "
            f"{np.unique(table_part).tolist()}"
        )
    squared = ((uv[:, None] - table_uv[None]) ** 2).sum(-1)
    squared[part[:, None] != table_part[None]] = np.inf
    return points_at_vertices(table_vertices[squared.argmin(1)])


def surface_positions(points: SurfacePoints, vertices: jax.Array) -> jax.Array:
    """Evaluates surface points on posed vertices `(V, 3)`: `(N, 3)`."""
    return (points.barycentric[..., None] * vertices[points.vertices]).sum(-2)
