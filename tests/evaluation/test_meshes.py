"""Sampling and closest points: trimesh as the oracle, uniformity, unusable meshes."""

import numpy as np
import pytest
import scipy.stats
import trimesh

from volhuman.evaluation.meshes import (
    Mesh,
    closest_on_surface,
    distance_to_surface,
    mesh_problem,
    sample_surface,
)

TRIANGLE = Mesh(np.array([[0, 0, 0], [2, 0, 0], [0, 1, 0.0]]), np.array([[0, 1, 2]]))


def _rough(subdivisions=2):
    """A closed surface with dents, and faces of very different sizes."""
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions)
    generator = np.random.default_rng(0)
    mesh.vertices *= generator.uniform(0.5, 1.2, (len(mesh.vertices), 1))
    return mesh


def _mesh(mesh):
    return Mesh(np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces))


# One face, one group of points and one more, several groups.
@pytest.mark.parametrize("faces, points", [(1, 1), (25, 256), (25, 257), (320, 1000)])
@pytest.mark.parametrize("spread", [0.05, 1.5, 100.0])
def test_distances_equal_trimesh(faces, points, spread):
    oracle = _rough()
    oracle = trimesh.Trimesh(oracle.vertices, oracle.faces[:faces], process=False)
    queries = np.random.default_rng(1).normal(0, spread, (points, 3))
    expected = trimesh.proximity.closest_point_naive(oracle, queries)[1]
    mesh = _mesh(oracle)
    closest, face = closest_on_surface(queries, mesh)
    distances = np.linalg.norm(queries - closest, axis=1)
    np.testing.assert_allclose(distances, expected, rtol=1e-6, atol=1e-6)
    # The point lies on the face that is named.
    for k in range(0, points, 97):
        alone = Mesh(mesh.vertices, mesh.faces[face[k], None])
        own = distance_to_surface(closest[k, None], alone)
        assert own < 1e-5 * spread


def test_a_mesh_of_more_faces_than_one_turn_compares():
    """20,480 faces, seen from the centre of a sphere: every face is a candidate."""
    sphere = trimesh.creation.icosphere(subdivisions=5)
    generator = np.random.default_rng(0)
    dent = generator.integers(len(sphere.vertices))
    sphere.vertices[dent] *= 0.8
    closest, face = closest_on_surface(np.zeros((3, 3)), _mesh(sphere))
    np.testing.assert_allclose(closest, sphere.vertices[[dent] * 3], atol=1e-6)
    assert (sphere.faces[face] == dent).any(1).all()


def test_faces_of_very_different_sizes_are_not_overlooked():
    """The centre of the large face is far from its closest point."""
    small = _mesh(trimesh.creation.icosphere(subdivisions=1, radius=0.1))
    large = np.array([[-50, -1, 0.2], [50, -1, 0.2], [50, 60, 0.2]])
    vertices = np.concatenate([small.vertices, large])
    faces = np.concatenate([small.faces, [np.arange(3) + len(small.vertices)]])
    points = np.random.default_rng(0).uniform(-0.3, 0.3, (300, 3))
    points[:, 2] += 0.3
    expected = np.abs(points[:, 2] - 0.2)
    distances = distance_to_surface(points, Mesh(vertices, faces))
    assert (distances <= expected + 1e-6).all()
    outside = np.linalg.norm(points, axis=1) - 0.1 > expected
    np.testing.assert_allclose(distances[outside], expected[outside], atol=1e-6)


def test_far_from_the_origin_nothing_is_lost():
    """In float32 a mesh at 1000 m has steps of 0.06 mm."""
    mesh = _mesh(_rough())
    queries = np.random.default_rng(1).normal(0, 1.5, (200, 3))
    away = np.array([1000.0, -500.0, 2000.0])
    expected = distance_to_surface(queries, mesh)
    moved = distance_to_surface(queries + away, Mesh(mesh.vertices + away, mesh.faces))
    np.testing.assert_allclose(moved, expected, atol=1e-6)


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_distances_scale_with_the_unit(unit):
    mesh = _mesh(_rough())
    queries = np.random.default_rng(1).normal(0, 1.5, (200, 3))
    scaled = distance_to_surface(queries * unit, Mesh(mesh.vertices * unit, mesh.faces))
    np.testing.assert_allclose(
        scaled / unit, distance_to_surface(queries, mesh), atol=1e-6
    )


def test_the_distance_along_a_normal_is_exact():
    generator = np.random.default_rng(0)
    points = sample_surface(generator, TRIANGLE, 500)
    for shift in (1e-6, 0.01, 3.0):
        distances = distance_to_surface(points + np.array([0, 0, shift]), TRIANGLE)
        np.testing.assert_allclose(distances, shift, rtol=0.1 if shift < 1e-5 else 1e-9)


# -- sampling


def test_samples_are_uniform_over_the_area():
    mesh = _mesh(_rough())
    points = sample_surface(np.random.default_rng(3), mesh, 40_000)
    # The face of a sample is where its distance is 0; its centre decides ties.
    _, _, face = trimesh.proximity.closest_point_naive(_rough(), points[:3000])
    counts = np.bincount(face, minlength=len(mesh.faces))
    expected = mesh.areas / mesh.areas.sum() * len(face)
    kept = expected > 5
    statistic = ((counts - expected)[kept] ** 2 / expected[kept]).sum()
    assert scipy.stats.chi2.sf(statistic, kept.sum() - 1) > 1e-3
    np.testing.assert_allclose(distance_to_surface(points, mesh), 0, atol=5e-6)


def test_samples_are_uniform_within_a_face():
    """Barycentric coordinates of a uniform triangle have mean 1/3, variance 1/18."""
    points = sample_surface(np.random.default_rng(0), TRIANGLE, 50_000)
    b, c = points[:, 0] / 2, points[:, 1]
    weights = np.stack([1 - b - c, b, c])
    assert weights.min() >= -1e-12
    np.testing.assert_allclose(weights.mean(1), 1 / 3, atol=5e-3)
    np.testing.assert_allclose(weights.var(1), 1 / 18, rtol=0.03)
    covariance = np.cov(weights)[np.triu_indices(3, 1)]
    np.testing.assert_allclose(covariance, -1 / 36, rtol=0.06)


def test_faces_without_area_are_never_drawn():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [9, 9, 9], [8, 8, 8.0]])
    faces = np.array([[3, 3, 3], [3, 4, 3], [0, 1, 2], [4, 4, 4]])
    points = sample_surface(np.random.default_rng(0), Mesh(vertices, faces), 1000)
    assert (points[:, 2] == 0).all() and (points.sum(1) <= 1 + 1e-12).all()


def test_the_same_seed_draws_the_same_points():
    draws = [
        sample_surface(np.random.default_rng(seed), TRIANGLE, 5) for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.allclose(draws[0], draws[2])


# -- unusable meshes


NO_FACES = Mesh(np.zeros((3, 3)), np.zeros((0, 3), int))
NO_AREA = Mesh(np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0.0]]), np.array([[0, 1, 2]]))


def _spoiled(value):
    vertices = TRIANGLE.vertices.copy()
    vertices[1, 2] = value
    return Mesh(vertices, TRIANGLE.faces)


@pytest.mark.parametrize(
    "mesh, reason",
    [
        (NO_FACES, "no faces"),
        (NO_AREA, "no area"),
        (_spoiled(np.nan), "not finite"),
        (_spoiled(np.inf), "not finite"),
        (_spoiled(1e300), "not finite"),
    ],
)
def test_unusable_meshes_are_named_and_cannot_be_sampled(mesh, reason):
    assert reason in mesh_problem(mesh)
    with pytest.raises(ValueError, match=reason):
        sample_surface(np.random.default_rng(0), mesh, 3)


def test_a_vertex_without_a_face_may_be_anything():
    vertices = np.concatenate([TRIANGLE.vertices, [[np.nan] * 3]])
    assert mesh_problem(Mesh(vertices, TRIANGLE.faces)) is None
    assert mesh_problem(TRIANGLE) is None
