"""From MakeHuman's body to one closed outer surface.

The body of the base mesh is closed already, but its surface runs on into the mouth and
the eye sockets. These cavities have charts of their own in the texture, by which they
are found; they are removed and capped. All functions index vertices of the base mesh.
"""

import dataclasses

import numpy as np
from assets import Assets
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# The cavities have 293 to 398 quads, the charts of the outer skin many more.
_MAX_CAVITY_QUADS = 500
# A cavity nearer to the middle plane than this is the mouth, metres.
_MAX_MOUTH_OFFSET = 0.01
# Discs in the texture that hold the nipples: centre u, v and radius.
_NIPPLES = ((0.3245, 0.70, 0.017), (0.4355, 0.70, 0.017))


@dataclasses.dataclass(frozen=True)
class Surface:
    """Triangles with texture.

    Attributes:
        faces: Vertex indices, counter-clockwise from outside, `(m, 3)` int.
        texture_faces: Indices into `texture`, `(m, 3)` int.
        texture: Texture coordinates in [0, 1], `(t, 2)` float64.
    """

    faces: np.ndarray
    texture_faces: np.ndarray
    texture: np.ndarray


@dataclasses.dataclass(frozen=True)
class HarmonicFill:
    """A linear operator that replaces a region by a smooth membrane over its rim.

    Attributes:
        region: Replaced vertices, `(r,)` int.
        rim: Vertices around the region, `(b,)` int.
        matrix: `x[region] = matrix @ x[rim]`, `(r, b)` float64.
    """

    region: np.ndarray
    rim: np.ndarray
    matrix: np.ndarray

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Fills the region in positions or displacements `(..., n, 3)`."""
        filled = values.copy()
        filled[..., self.region, :] = self.matrix @ values[..., self.rim, :]
        return filled


def front_of_eyeball(assets: Assets, side: str) -> int:
    """Finds the foremost vertex of the eyeball helper; `side` is `l` or `r`."""
    eyeball = assets.vertex_groups[f"helper-{side}-eye"]
    return int(eyeball[np.argmax(assets.vertices[eyeball, 2])])


def close_body(assets: Assets) -> Surface:
    """Builds the closed body without cavities.

    The mouth is capped by triangles between the vertices of its rim, each eye by a fan
    to the front of the eyeball helper.
    """
    body = assets.groups["body"]
    charts = _charts(body.texture, len(assets.texture))
    names, sizes = np.unique(charts, return_counts=True)
    cavities = names[sizes < _MAX_CAVITY_QUADS]
    skin = ~np.isin(charts, cavities)
    quads, texture_quads = body.vertices[skin], body.texture[skin]

    faces, texture_faces = _split_quads(quads, texture_quads, assets.vertices)
    parts, texture_parts, texture = [faces], [texture_faces], [assets.texture]
    corners, first = np.unique(quads, return_index=True)
    texture_of_vertex = dict(zip(corners, texture_quads.ravel()[first]))
    for cavity in cavities:
        inside = body.vertices[charts == cavity]
        rim = _boundary_loop(inside)
        texture_rim = np.array([texture_of_vertex[vertex] for vertex in rim])
        offset = assets.vertices[np.unique(inside), 0].mean()
        if abs(offset) < _MAX_MOUTH_OFFSET:
            cap = _minimal_area_triangles(assets.vertices[rim])
            parts.append(rim[cap])
            texture_parts.append(texture_rim[cap])
        else:
            pole = front_of_eyeball(assets, "l" if offset > 0 else "r")
            texture_pole = sum(len(part) for part in texture)
            texture.append(assets.texture[texture_rim].mean(axis=0, keepdims=True))
            parts.append(_fan(rim, pole))
            texture_parts.append(_fan(texture_rim, texture_pole))
    return Surface(
        np.concatenate(parts), np.concatenate(texture_parts), np.concatenate(texture)
    )


def nipple_fill(surface: Surface) -> HarmonicFill:
    """Prepares the operator that flattens the nipples.

    It is linear, so it applies to the targets' displacements as well as to positions.
    """
    vertices, first = np.unique(surface.faces, return_index=True)
    texture = surface.texture[surface.texture_faces.ravel()[first]]
    inside = np.zeros(len(vertices), bool)
    for u, v, radius in _NIPPLES:
        inside |= np.hypot(*(texture - [u, v]).T) < radius
    region = vertices[inside]

    edges = np.concatenate([surface.faces[:, [i, (i + 1) % 3]] for i in range(3)])
    edges = np.concatenate([edges, edges[:, ::-1]])
    edges = np.unique(edges[np.isin(edges[:, 0], region)], axis=0)
    rim = np.setdiff1d(edges[:, 1], region)
    # The Laplacian vanishes inside: degree * x = sum of the neighbours.
    columns = np.concatenate([region, rim])
    adjacency = np.zeros((len(region), len(columns)))
    place = {vertex: i for i, vertex in enumerate(columns)}
    for vertex, neighbour in edges:
        adjacency[place[vertex], place[neighbour]] = 1
    inner, outer = np.split(adjacency, [len(region)], axis=1)
    laplacian = np.diag(adjacency.sum(axis=1)) - inner
    return HarmonicFill(region, rim, np.linalg.solve(laplacian, outer))


def _charts(texture_quads: np.ndarray, num_texture: int) -> np.ndarray:
    """Labels each quad by the connected piece of the texture that it lies in."""
    start = np.repeat(texture_quads[:, 0], 3)
    end = texture_quads[:, 1:].ravel()
    shape = (num_texture, num_texture)
    graph = coo_array((np.ones(len(start)), (start, end)), shape=shape)
    _, labels = connected_components(graph, directed=False)
    return labels[texture_quads[:, 0]]


def _split_quads(
    quads: np.ndarray, texture_quads: np.ndarray, vertices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts each quad along its shorter diagonal."""
    corners = vertices[quads]
    first = np.linalg.norm(corners[:, 0] - corners[:, 2], axis=1)
    second = np.linalg.norm(corners[:, 1] - corners[:, 3], axis=1)
    along_first = first <= second

    def split(indices: np.ndarray) -> np.ndarray:
        a, b = indices[along_first], indices[~along_first]
        return np.concatenate(
            [a[:, [0, 1, 2]], a[:, [0, 2, 3]], b[:, [0, 1, 3]], b[:, [1, 2, 3]]]
        )

    return split(quads), split(texture_quads)


def _boundary_loop(quads: np.ndarray) -> np.ndarray:
    """Walks around a patch in the sense of its faces, `(k,)` int.

    Raises:
        ValueError: If the boundary is not a single loop.
    """
    edges = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    directed = set(map(tuple, edges.tolist()))
    following = {a: b for a, b in sorted(directed) if (b, a) not in directed}
    loop = [min(following)]
    while following[loop[-1]] != loop[0]:
        loop.append(following[loop[-1]])
    if len(loop) != len(following):
        raise ValueError("the boundary of a cavity is not a single loop")
    return np.array(loop)


def _fan(loop: np.ndarray, pole: int) -> np.ndarray:
    return np.stack([loop, np.roll(loop, -1), np.full(len(loop), pole)], axis=1)


def _minimal_area_triangles(polygon: np.ndarray) -> np.ndarray:
    """Triangulates a closed polygon in space without new vertices.

    Dynamic programming over the sub-polygons `i..j`: the triangle on the chord `i, j`
    has its tip at the k that makes the total area smallest.

    Args:
        polygon: Corners in order, `(k, 3)`.

    Returns:
        Corner indices of `k - 2` triangles in the sense of the polygon.
    """
    count = len(polygon)
    area = np.zeros((count, count))
    tip = np.zeros((count, count), int)
    for gap in range(2, count):
        for i in range(count - gap):
            j = i + gap
            k = np.arange(i + 1, j)
            cross = np.cross(polygon[k] - polygon[i], polygon[j] - polygon[i])
            total = area[i, k] + area[k, j] + np.linalg.norm(cross, axis=1) / 2
            tip[i, j] = k[np.argmin(total)]
            area[i, j] = total.min()
    triangles, chords = [], [(0, count - 1)]
    while chords:
        i, j = chords.pop()
        if j - i >= 2:
            k = int(tip[i, j])
            triangles.append((i, k, j))
            chords += [(i, k), (k, j)]
    return np.array(triangles)
