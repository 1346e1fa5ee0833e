"""The body's surface made fine enough for clothes: one Loop subdivision, on the host.

Conventions: rest coordinates are those of the T-posed mean body (metres, x to the
person's left, y up, z to the front, origin at the pelvis). Everything is float64, so
that the last bits, which differ from machine to machine, never reach a picture.
"""

import dataclasses
import functools

import numpy as np
from scipy import sparse

from volhuman.body.template import load_template


@dataclasses.dataclass(frozen=True)
class FineBody:
    """The subdivided embedded body, V = 27,554 vertices and F = 55,104 faces.

    Face f is a quarter of face `f % num_coarse` of the template: quarter
    `f // num_coarse`, 0 to 2 at its corners and 3 in the middle.

    Attributes:
        rest: `(V, 3)` rest coordinates.
        shape_dirs: `(V, 3, S)` change with the shape, metres.
        weights: `(V, 24)` skinning weights.
        faces: `(F, 3)`.
        neighbours: `(V, V)` sparse; multiplying takes the mean over the neighbours.
        joints: `(24, 3)` rest joints of the mean body.
        joint_dirs: `(24, 3, S)`.
        num_coarse: Faces of the template.
    """

    rest: np.ndarray
    shape_dirs: np.ndarray
    weights: np.ndarray
    faces: np.ndarray
    neighbours: sparse.csr_array
    joints: np.ndarray
    joint_dirs: np.ndarray
    num_coarse: int


@functools.cache
def fine_body() -> FineBody:
    """Returns the subdivided embedded body; made once per process."""
    body = load_template()
    coarse_faces = np.asarray(body.faces, np.int64)
    basis = np.asarray(body.basis, np.float64)
    matrix, faces = loop_subdivision(coarse_faces, body.num_vertices)
    columns = np.concatenate([basis.reshape(-1, body.num_vertices).T], axis=1)
    fine = (matrix @ columns).reshape(-1, 1 + body.num_shape, 3)
    weights = matrix @ np.asarray(body.weights, np.float64).T
    return FineBody(
        rest=np.ascontiguousarray(fine[:, 0]),
        shape_dirs=np.ascontiguousarray(fine[:, 1:].transpose(0, 2, 1)),
        weights=weights / weights.sum(1, keepdims=True),
        faces=faces,
        neighbours=neighbour_mean(faces, len(fine)),
        joints=np.asarray(body.joints, np.float64),
        joint_dirs=np.asarray(body.joint_dirs, np.float64),
        num_coarse=len(coarse_faces),
    )


# Barycentric weights in the template's face of the corners of its four quarters.
QUARTERS = np.array(
    [
        [[1, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]],
        [[0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5]],
        [[0.5, 0, 0.5], [0, 0.5, 0.5], [0, 0, 1]],
        [[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]],
    ]
)


def loop_subdivision(
    faces: np.ndarray, num_vertices: int
) -> tuple[sparse.csr_array, np.ndarray]:
    """Builds one Loop subdivision of a closed mesh as a linear map.

    Source: Loop, "Smooth subdivision surfaces based on triangles", 1987, with Warren's
    weights.

    Args:
        faces: `(F, 3)`; every edge has two faces.
        num_vertices: Number of vertices V.

    Returns:
        Matrix `(V + E, V)` from old to new vertices, one new one an edge, and the new
        faces `(4 F, 3)`: first all first corners, then the second, third, and middles.
    """
    edges, face_edges = _edges(faces)
    valence = np.bincount(edges.reshape(-1), minlength=num_vertices)
    beta = np.where(valence == 3, 3 / 16, 3 / (8 * np.maximum(valence, 1)))
    vertex = np.arange(num_vertices)
    middle = num_vertices + np.arange(len(edges))
    # Corners opposite to each edge: two, in the order of the faces.
    order = np.argsort(face_edges.reshape(-1), kind="stable")
    opposite = faces[:, [2, 0, 1]].reshape(-1)[order].reshape(-1, 2)
    a, b = edges.T
    entries = [
        (vertex, vertex, 1 - valence * beta),
        (a, b, beta[a]),
        (b, a, beta[b]),
        *((middle, edges[:, k], np.full(len(edges), 3 / 8)) for k in range(2)),
        *((middle, opposite[:, k], np.full(len(edges), 1 / 8)) for k in range(2)),
    ]
    row, column, value = (np.concatenate(part) for part in zip(*entries, strict=True))
    size = (num_vertices + len(edges), num_vertices)
    ab, bc, ca = (face_edges + num_vertices).T
    a, b, c = faces.T
    corners = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    fine = np.concatenate([np.stack(corner, axis=1) for corner in corners])
    return sparse.csr_array((value, (row, column)), shape=size), fine


def _edges(faces):
    """Edges `(E, 2)`, and the numbers `(F, 3)` of each face's edges 01, 12, 20."""
    pairs = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1)
    edges, number = np.unique(
        np.sort(pairs.reshape(-1, 2), axis=1), axis=0, return_inverse=True
    )
    return edges, number.reshape(-1, 3)


def mesh_edges(faces: np.ndarray) -> np.ndarray:
    """Returns the edges `(E, 2)` of a mesh, lower vertex first, each once."""
    return _edges(faces)[0]


def neighbour_mean(faces: np.ndarray, num_vertices: int) -> sparse.csr_array:
    """Builds the matrix `(V, V)` that averages values over the neighbours."""
    a, b = mesh_edges(faces).T
    ones = np.ones(2 * len(a))
    links = (np.concatenate([a, b]), np.concatenate([b, a]))
    matrix = sparse.csr_array((ones, links), shape=(num_vertices, num_vertices))
    count = np.maximum(np.bincount(links[0], minlength=num_vertices), 1)
    return sparse.csr_array(sparse.diags_array(1 / count) @ matrix)
