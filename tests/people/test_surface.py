"""Subdivision: a loop over dictionaries and trimesh as oracles; the fine body."""

import numpy as np
import pytest
import trimesh

from volhuman.body.template import load_template
from volhuman.people.surface import (
    QUARTERS,
    fine_body,
    loop_subdivision,
    mesh_edges,
    neighbour_mean,
)


@pytest.fixture(scope="module")
def body():
    return fine_body()


@pytest.fixture(scope="module")
def template():
    return load_template()


def octahedron():
    vertices = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1.5]])
    vertices = np.concatenate([vertices, [[0.2, 0, -1]]])
    ring = [0, 2, 1, 3]
    faces = [[ring[k], ring[(k + 1) % 4], 4] for k in range(4)]
    faces += [[ring[(k + 1) % 4], ring[k], 5] for k in range(4)]
    return vertices, np.array(faces)


def tetrahedron():
    vertices = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.3]])
    return vertices, np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])


def ball():
    mesh = trimesh.creation.icosphere(subdivisions=1)
    return mesh.vertices * np.linspace(0.7, 1.3, len(mesh.vertices))[
        :, None
    ], mesh.faces


def torus():
    """A regular mesh: all valences are 6."""
    mesh = trimesh.creation.torus(1.0, 0.4, major_sections=9, minor_sections=6)
    return np.array(mesh.vertices), np.array(mesh.faces)


MESHES = {"tetrahedron": tetrahedron, "octahedron": octahedron, "ball": ball}
MESHES["torus"] = torus


def naive_loop(vertices, faces):
    """Corners `(F, 4, 3, 3)` of the subdivided faces by Loop's rules."""
    around, opposite = {}, {}
    for a, b, c in faces.tolist():
        for i, j, k in ((a, b, c), (b, c, a), (c, a, b)):
            around.setdefault(i, set()).update((j, k))
            opposite.setdefault(frozenset((i, j)), []).append(k)

    def old(i):
        n = len(around[i])
        beta = 3 / 16 if n == 3 else 3 / (8 * n)
        return (1 - n * beta) * vertices[i] + beta * sum(vertices[j] for j in around[i])

    def new(i, j):
        first, second = opposite[frozenset((i, j))]
        near, far = vertices[i] + vertices[j], vertices[first] + vertices[second]
        return 3 / 8 * near + 1 / 8 * far

    quarters = []
    for a, b, c in faces.tolist():
        ab, bc, ca = new(a, b), new(b, c), new(c, a)
        middle = [ab, bc, ca]
        quarters.append([[old(a), ab, ca], [ab, old(b), bc], [ca, bc, old(c)], middle])
    return np.array(quarters)


@pytest.mark.parametrize("name", MESHES)
def test_subdivision_equals_a_loop_over_faces(name):
    vertices, faces = MESHES[name]()
    matrix, fine = loop_subdivision(faces, len(vertices))
    assert len(fine) == 4 * len(faces)
    quarters = (matrix @ vertices)[fine].reshape(4, len(faces), 3, 3)
    expected = naive_loop(vertices, faces).transpose(1, 0, 2, 3)
    np.testing.assert_allclose(quarters[:3], expected[:3], atol=1e-12)
    # The middle triangle may begin at any of its corners, in the same sense.
    turned = [np.roll(quarters[3], turn, axis=1) for turn in range(3)]
    error = np.abs(np.stack(turned) - expected[3]).max((2, 3)).min(0)
    assert error.max() < 1e-12


@pytest.mark.parametrize("name", ["tetrahedron", "torus"])
def test_subdivision_equals_trimesh_where_both_rules_agree(name):
    """trimesh has Loop's own weights, the same for valences 3 and 6."""
    vertices, faces = MESHES[name]()
    matrix, _ = loop_subdivision(faces, len(vertices))
    expected, _ = trimesh.remesh.subdivide_loop(vertices, faces, iterations=1)
    found = matrix @ vertices
    assert len(found) == len(expected)
    order = lambda points: points[np.lexsort(np.round(points, 9).T)]
    np.testing.assert_allclose(order(found), order(np.array(expected)), atol=1e-12)


@pytest.mark.parametrize("name", MESHES)
def test_subdivision_keeps_a_mesh_closed_and_does_not_move_constants(name):
    vertices, faces = MESHES[name]()
    matrix, fine = loop_subdivision(faces, len(vertices))
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-12)
    assert matrix.min() >= 0
    coarse = trimesh.Trimesh(vertices, faces, process=False)
    mesh = trimesh.Trimesh(matrix @ vertices, fine, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert np.sign(mesh.volume) == np.sign(coarse.volume)
    assert abs(mesh.volume) < abs(coarse.volume)
    assert mesh.euler_number == coarse.euler_number


def test_the_fine_body_is_one_closed_surface(body):
    assert body.rest.shape == (27_554, 3) and body.faces.shape == (55_104, 3)
    assert body.num_coarse == 13_776
    mesh = trimesh.Trimesh(body.rest, body.faces, process=False)
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.euler_number == 2 and mesh.body_count == 1
    assert 0.05 < mesh.volume < 0.08, "litres of an adult"


def test_every_number_of_the_fine_body_is_in_float64(body):
    for name in ("rest", "shape_dirs", "weights", "joints", "joint_dirs"):
        assert getattr(body, name).dtype == np.float64, name


def test_weights_are_shares_of_the_joints(body, template):
    assert body.weights.shape == (27_554, 24)
    assert body.weights.min() >= 0
    np.testing.assert_allclose(body.weights.sum(1), 1, atol=1e-12)
    coarse = np.asarray(template.weights).T
    assert np.abs(body.weights[: len(coarse)] - coarse).max() < 0.3
    assert (body.weights[: len(coarse)].argmax(1) == coarse.argmax(1)).mean() > 0.97


def test_shape_directions_are_subdivided_as_positions_are(body, template):
    shape = np.random.default_rng(0).standard_normal(template.num_shape)
    coefficients = np.concatenate([[1.0], shape])
    coarse = np.einsum(
        "s,scv->vc", coefficients, np.asarray(template.basis, np.float64)
    )
    matrix, _ = loop_subdivision(np.asarray(template.faces), template.num_vertices)
    np.testing.assert_allclose(
        body.rest + body.shape_dirs @ shape, matrix @ coarse, atol=1e-12
    )
    np.testing.assert_array_equal(body.joints, np.asarray(template.joints, np.float64))
    np.testing.assert_array_equal(
        body.joint_dirs, np.asarray(template.joint_dirs, np.float64)
    )


def test_quarters_lead_from_fine_faces_to_those_of_the_template(body, template):
    coarse = np.asarray(template.template, np.float64)[np.asarray(template.faces)]
    quarter, face = np.divmod(np.arange(len(body.faces)), body.num_coarse)
    expected = np.einsum("fck,fkx->fcx", QUARTERS[quarter], coarse[face])
    distance = np.linalg.norm(body.rest[body.faces] - expected, axis=-1)
    # Subdivision rounds corners off; it moves nothing to a neighbouring face.
    assert np.median(distance) < 1e-3 and distance.max() < 8e-3


def test_quarters_tile_the_face():
    np.testing.assert_allclose(QUARTERS.sum(-1), 1)
    corners = QUARTERS[..., :2]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    # Equal areas in the sense of the whole face, which has twice the area 1.
    np.testing.assert_allclose(area, np.full(4, 0.25), atol=1e-12)


def test_edges_occur_once_and_lower_vertex_first():
    _, faces = octahedron()
    edges = mesh_edges(faces)
    expected = {
        tuple(sorted((f[k], f[k - 1]))) for f in faces.tolist() for k in range(3)
    }
    assert set(map(tuple, edges.tolist())) == expected and len(edges) == 12


def test_neighbour_mean_averages_over_the_vertices_along_edges(body):
    points = np.random.default_rng(1).standard_normal((len(body.rest), 3))
    averaged = body.neighbours @ points
    np.testing.assert_allclose(body.neighbours.sum(1), 1, atol=1e-12)
    for vertex in (0, 500, 6889, 6890, 20_000, len(points) - 1):
        around = np.setdiff1d(body.faces[(body.faces == vertex).any(1)], [vertex])
        np.testing.assert_allclose(averaged[vertex], points[around].mean(0), atol=1e-12)


def test_a_vertex_without_faces_has_no_neighbours_and_no_nan():
    matrix = neighbour_mean(np.array([[0, 1, 2]]), 4)
    np.testing.assert_allclose(matrix @ np.array([1.0, 2, 4, 8]), [3, 2.5, 1.5, 0])
