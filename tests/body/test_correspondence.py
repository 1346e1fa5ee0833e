"""Points on the surface: found again from rest, from a chart, and when posed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trimesh

from volhuman.body.correspondence import (
    SurfacePoints,
    points_at_vertices,
    points_from_rest,
    points_from_uv,
    surface_positions,
)
from volhuman.body.model import pose_body, rest_params
from volhuman.body.template import load_template


@pytest.fixture(scope="module")
def body():
    return load_template()


@pytest.fixture(scope="module")
def samples(body):
    """Random points on the surface with their faces, and beside it."""
    generator = np.random.default_rng(0)
    faces = generator.choice(len(body.faces), 40, replace=False)
    weights = generator.dirichlet(np.ones(3), 40)
    corners = np.asarray(body.template)[np.asarray(body.faces)[faces]]
    return np.float32(np.einsum("nk,nkc->nc", weights, corners))


def test_points_on_the_surface_are_found_again(body, samples):
    points = points_from_rest(body, samples)
    np.testing.assert_allclose(points.barycentric.sum(1), 1, atol=1e-5)
    assert (np.asarray(points.barycentric) >= -1e-6).all()
    positions = surface_positions(points, body.template)
    np.testing.assert_allclose(positions, samples, atol=2e-6)


def test_points_off_the_surface_take_the_closest_as_trimesh_does(body, samples):
    beside = samples + np.random.default_rng(1).normal(0, 0.05, samples.shape)
    found = surface_positions(points_from_rest(body, beside), body.template)
    mesh = trimesh.Trimesh(body.template, body.faces, process=False)
    _, distance, _ = trimesh.proximity.closest_point(mesh, np.float32(beside))
    np.testing.assert_allclose(
        np.linalg.norm(found - beside, axis=1), distance, atol=2e-6
    )


def test_snapping_takes_the_nearest_vertex(body, samples):
    points = points_from_rest(body, samples, snap=True)
    offset = samples[:, None] - np.asarray(body.template)
    nearest = np.linalg.norm(offset, axis=-1).argmin(1)
    np.testing.assert_array_equal(points.vertices, np.stack([nearest] * 3, axis=1))
    np.testing.assert_array_equal(points.barycentric, [[1, 0, 0]] * len(samples))


def test_points_move_with_the_posed_body(body, samples):
    """Each stays in its face, at its place; differentiable in the vertices."""
    params = rest_params(body)
    generator = np.random.default_rng(2)
    pose = jnp.float32(generator.normal(0, 0.4, params.pose.shape))
    params = dataclasses.replace(params, pose=pose)
    vertices = jax.jit(pose_body)(body, params).vertices
    points = points_from_rest(body, samples)
    positions, pull = jax.vjp(lambda v: surface_positions(points, v), vertices)
    for position, corners, weights in zip(
        positions, points.vertices, points.barycentric
    ):
        expected = sum(w * vertices[c] for w, c in zip(weights, corners))
        np.testing.assert_allclose(position, expected, atol=1e-6)
    by_vertices = np.asarray(pull(jnp.ones_like(positions))[0])
    np.testing.assert_allclose(by_vertices.sum(0), len(samples), rtol=1e-5)
    touched = np.flatnonzero(np.abs(by_vertices).max(1))
    assert set(touched) <= set(np.asarray(points.vertices).ravel())


def test_points_at_vertices_are_the_vertices(body):
    numbers = np.array([0, 6889, 17, 17])
    points = points_at_vertices(numbers)
    positions = surface_positions(points, body.template)
    np.testing.assert_array_equal(positions, body.template[numbers])


def test_chart_points_take_the_nearest_entry_of_their_own_part():
    generator = np.random.default_rng(3)
    chart = {
        "table_part": generator.integers(1, 5, 60),
        "table_uv": generator.uniform(size=(60, 2)),
        "table_vertices": generator.permutation(1000)[:60],
    }
    part, uv = generator.integers(1, 5, 30), generator.uniform(size=(30, 2))
    points = points_from_uv(part, uv, **chart)
    assert isinstance(points, SurfacePoints)
    for number in range(30):
        own = np.flatnonzero(chart["table_part"] == part[number])
        distance = np.linalg.norm(chart["table_uv"][own] - uv[number], axis=1)
        expected = chart["table_vertices"][own[distance.argmin()]]
        assert (np.asarray(points.vertices[number]) == expected).all()
    # Every entry finds itself.
    again = points_from_uv(chart["table_part"], chart["table_uv"], **chart)
    np.testing.assert_array_equal(again.vertices[:, 0], chart["table_vertices"])


def test_a_part_that_the_chart_lacks_is_named():
    chart = {
        "table_part": np.array([1, 2, 2]),
        "table_uv": np.zeros((3, 2)),
        "table_vertices": np.arange(3),
    }
    with pytest.raises(ValueError, match=r"part 7 is not in the chart.*\[1, 2\]"):
        points_from_uv(np.array([1, 7]), np.zeros((2, 2)), **chart)
