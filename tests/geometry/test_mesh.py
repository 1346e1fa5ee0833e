"""Meshes: k-d tree and trimesh as oracles, degenerate faces, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial
import trimesh

from volhuman.geometry.mesh import (
    closest_point,
    face_normals,
    nearest_vertices,
    point_to_surface,
    vertex_normals,
)

CLOSEST = jax.jit(closest_point)
DISTANCE = jax.jit(point_to_surface)
SLOPE = jax.jit(jax.grad(lambda *a: point_to_surface(*a).sum(), argnums=(0, 1)))


@pytest.fixture(scope="module")
def sphere():
    return trimesh.creation.icosphere(subdivisions=2, radius=0.8)


@pytest.fixture(scope="module")
def rough():
    """A closed surface with dents, and faces of very different sizes."""
    mesh = trimesh.creation.icosphere(subdivisions=2)
    generator = np.random.default_rng(0)
    mesh.vertices *= generator.uniform(0.5, 1.2, (len(mesh.vertices), 1))
    return mesh


def numpy_mesh(mesh):
    return np.float32(mesh.vertices), np.int32(mesh.faces)


def test_normals_equal_trimesh_and_point_outwards(variant, rough):
    vertices, faces = map(jnp.asarray, numpy_mesh(rough))
    normals = np.asarray(variant(vertex_normals)(vertices, faces))
    by_area = np.zeros((len(vertices), 3))
    for face, normal, area in zip(rough.faces, rough.face_normals, rough.area_faces):
        by_area[face] += normal * area
    by_area /= np.linalg.norm(by_area, axis=1, keepdims=True)
    np.testing.assert_allclose(normals, by_area, atol=1e-5)
    raw = np.asarray(face_normals(vertices, faces))
    np.testing.assert_allclose(
        raw, 2 * rough.area_faces[:, None] * rough.face_normals, atol=1e-5
    )


def test_normals_of_a_sphere_are_its_directions(sphere):
    vertices, faces = numpy_mesh(sphere)
    normals = vertex_normals(vertices, faces)
    np.testing.assert_allclose(normals, vertices / 0.8, atol=0.03)


def test_a_vertex_without_area_has_normal_zero_and_no_gradient():
    """Vertex 3 has no face, vertex 4 only a face that is a line."""
    vertices = jnp.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5], [2, 0, 0]], float)
    faces = jnp.array([[0, 1, 2], [0, 1, 4]])
    normals, pull = jax.vjp(lambda v: vertex_normals(v, faces), vertices)
    expected = [[0, 0, 1]] * 3 + [[0, 0, 0]] * 2
    np.testing.assert_allclose(normals, expected, atol=1e-6)
    assert np.isfinite(pull(jnp.ones_like(normals))[0]).all()


# Fewer vertices than blocks, one more, no multiple of the blocks, many a block.
@pytest.mark.parametrize("count", [5, 193, 1000])
@pytest.mark.parametrize("nearest", [1, 4])
def test_nearest_vertices_equal_the_kd_tree(count, nearest):
    generator = np.random.default_rng(count)
    vertices = generator.normal(size=(count, 3)).astype(np.float32)
    points = generator.normal(0, 1.5, (300, 3)).astype(np.float32)
    distances, numbers = jax.jit(nearest_vertices, static_argnums=2)(
        points, vertices, nearest
    )
    expected, neighbours = scipy.spatial.cKDTree(vertices).query(points, nearest)
    np.testing.assert_allclose(distances, expected.reshape(300, nearest), atol=1e-5)
    np.testing.assert_array_equal(numbers, neighbours.reshape(300, nearest))


def test_all_vertices_of_a_small_mesh_come_in_order():
    """k = V, with equal vertices and points on vertices; no padding is returned."""
    vertices = np.float32([[0, 0, 0], [1, 0, 0], [1, 0, 0], [0, 3, 0], [-1, 0, 0]])
    distances, numbers = nearest_vertices(vertices, vertices, 5)
    expected = np.sort(np.linalg.norm(vertices[:, None] - vertices, axis=-1), axis=1)
    np.testing.assert_allclose(distances, expected, atol=1e-6)
    assert (np.sort(numbers, axis=1) == np.arange(5)).all()
    gradient = jax.grad(lambda p: nearest_vertices(p, vertices, 2)[0].sum())(
        jnp.asarray(vertices)
    )
    assert np.isfinite(gradient).all()


def test_gradient_of_the_distance_to_vertices_is_the_direction():
    vertices = np.float32([[0, 0, 0], [4, 0, 0]])
    points = jnp.array([[1.0, 1, 0]])
    slope = jax.grad(lambda p, v: nearest_vertices(p, v, 1)[0].sum(), argnums=(0, 1))
    by_points, by_vertices = slope(points, jnp.asarray(vertices))
    unit = np.array([1, 1, 0]) / np.sqrt(2)
    np.testing.assert_allclose(by_points[0], unit, atol=1e-6)
    np.testing.assert_allclose(by_vertices, [-unit, np.zeros(3)], atol=1e-6)


@pytest.mark.parametrize("bad", [0, 6])
def test_refuses_more_neighbours_than_vertices(bad):
    with pytest.raises(ValueError, match=f"num_nearest is {bad}, expected 1 to 5"):
        nearest_vertices(jnp.zeros((2, 3)), jnp.zeros((5, 3)), bad)


def naive_closest(points, vertices, faces):
    """Distance to every triangle by regions of Ericson's book, in loops."""

    def on_segment(p, a, b):
        along = b - a
        share = (p - a) @ along / (along @ along) if along @ along > 0 else 0.0
        return a + np.clip(share, 0, 1) * along

    distances = np.full(len(points), np.inf)
    for number, p in enumerate(np.float64(points)):
        for a, b, c in np.float64(vertices)[faces]:
            options = [on_segment(p, a, b), on_segment(p, b, c), on_segment(p, c, a)]
            normal = np.cross(b - a, c - a)
            if normal @ normal > 1e-18:
                foot = p - (p - a) @ normal / (normal @ normal) * normal
                sides = [
                    np.cross(y - x, foot - x) @ normal
                    for x, y in ((a, b), (b, c), (c, a))
                ]
                if min(sides) >= 0:
                    options.append(foot)
            best = min(np.linalg.norm(p - option) for option in options)
            distances[number] = min(distances[number], best)
    return distances


def check_answer(points, vertices, faces, closest, barycentric, face):
    """The three results describe one point of the surface."""
    np.testing.assert_allclose(np.sum(barycentric, axis=1), 1, atol=1e-5)
    assert np.min(barycentric) >= -1e-6
    on_face = np.einsum("nk,nkc->nc", barycentric, vertices[faces[face]])
    np.testing.assert_allclose(on_face, closest, atol=1e-5)


def test_closest_points_equal_trimesh(rough):
    vertices, faces = numpy_mesh(rough)
    points = np.random.default_rng(1).uniform(-1.5, 1.5, (300, 3)).astype(np.float32)
    closest, barycentric, face = map(np.asarray, CLOSEST(points, vertices, faces))
    expected, distance, _ = trimesh.proximity.closest_point(rough, points)
    found = np.linalg.norm(points - closest, axis=1)
    np.testing.assert_allclose(found, distance, atol=2e-6)
    unique = np.abs(closest - expected).max(1) < 1e-4
    assert unique.mean() > 0.98, "but for ties the points agree as well"
    check_answer(points, vertices, faces, closest, barycentric, face)
    np.testing.assert_allclose(DISTANCE(points, vertices, faces), distance, atol=2e-6)


def test_agrees_with_igl(rough):
    igl = pytest.importorskip("igl")
    points = np.random.default_rng(2).uniform(-1.5, 1.5, (300, 3))
    squared, *_ = igl.point_mesh_squared_distance(points, rough.vertices, rough.faces)
    vertices, faces = numpy_mesh(rough)
    found = DISTANCE(np.float32(points), vertices, faces)
    np.testing.assert_allclose(found, np.sqrt(squared), atol=2e-6)


# Lines, points, doubled corners and slivers beside proper faces; 33 faces are no
# multiple of the 32 of a block.
DEGENERATE_VERTICES = np.float32(
    [
        [0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 0, 1], [0, 1e-4, 1], [0.5, 2, 0.3],
        [1, 1, 1], [1, 1, 1], [-1, -1, -1], [0.3, 0, 0],
    ]
)  # fmt: skip
DEGENERATE_FACES = {
    "a line": [[0, 1, 2]],
    "a line, corners exchanged": [[2, 0, 1]],
    "a point": [[1, 1, 1]],
    "equal corners": [[6, 7, 8]],
    "first two equal": [[0, 0, 5]],
    "last two equal": [[0, 5, 5]],
    "outer two equal": [[0, 5, 0]],
    "sliver": [[0, 3, 4]],
    "long flat": [[0, 2, 9]],
    "one proper": [[0, 1, 5]],
    "all": [[0, 1, 2], [1, 1, 1], [0, 3, 4], [5, 6, 7], [0, 0, 5], [0, 1, 5]] * 5
    + [[5, 8, 3], [2, 9, 8], [6, 7, 6]],
}


@pytest.mark.parametrize("case", DEGENERATE_FACES)
def test_degenerate_faces_count_as_their_edges(case):
    faces = np.int32(DEGENERATE_FACES[case])
    padded = np.concatenate([faces, np.repeat(faces[:1], 33 - len(faces), 0)])
    generator = np.random.default_rng(3)
    points = generator.uniform(-1.5, 2.5, (40, 3)).astype(np.float32)
    points[0], points[1] = DEGENERATE_VERTICES[faces[0, 0]], [0.5, 0, 0]
    closest, barycentric, face = map(
        np.asarray, CLOSEST(points, DEGENERATE_VERTICES, padded)
    )
    expected = naive_closest(points, DEGENERATE_VERTICES, faces)
    found = np.linalg.norm(points - closest, axis=1)
    np.testing.assert_allclose(found, expected, atol=5e-6)
    check_answer(points, DEGENERATE_VERTICES, padded, closest, barycentric, face)
    gradients = SLOPE(points, DEGENERATE_VERTICES, padded)
    assert all(np.isfinite(g).all() for g in gradients)


def test_gradient_of_the_distance_is_the_unit_direction(sphere):
    """Away from the surface inside and outside; zero on it."""
    vertices, faces = numpy_mesh(sphere)
    points = np.random.default_rng(4).uniform(-1.2, 1.2, (40, 3)).astype(np.float32)
    points[0] = vertices[faces[0]].mean(0)
    points[1], points[2] = vertices[7], vertices[faces[5][:2]].mean(0)
    by_points, by_vertices = map(np.asarray, SLOPE(points, vertices, faces))
    closest, _, _ = CLOSEST(points, vertices, faces)
    offset = points - np.asarray(closest)
    length = np.linalg.norm(offset, axis=1, keepdims=True)
    away = length[:, 0] > 1e-3
    unit = offset[away] / length[away]
    np.testing.assert_allclose(by_points[away], unit, atol=2e-3)
    assert np.isfinite(by_points).all() and np.isfinite(by_vertices).all()
    np.testing.assert_array_equal(by_points[1], 0)
    # Moving points and surface together changes nothing.
    np.testing.assert_allclose(by_points.sum(0) + by_vertices.sum(0), 0, atol=1e-4)


def test_vmap_equals_a_loop(sphere):
    vertices, faces = numpy_mesh(sphere)
    points = np.random.default_rng(5).normal(size=(2, 40, 3)).astype(np.float32)
    meshes = np.stack([vertices, vertices * [1, 0.5, 2]]).astype(np.float32)
    mapped = jax.jit(jax.vmap(point_to_surface, in_axes=(0, 0, None)))(
        points, meshes, faces
    )
    for number in range(2):
        single = DISTANCE(points[number], meshes[number], faces)
        np.testing.assert_allclose(mapped[number], single, atol=1e-6)
