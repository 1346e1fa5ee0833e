"""Surfaces of analytic volumes, bad volumes, depth and normals of a sphere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trimesh

from volhuman.errors import InputError
from volhuman.geometry.sampling import view_grid
from volhuman.geometry.surface import (
    depth_from_occupancy,
    extract_surface,
    normals_from_depth,
)

SIZES = (32, 28, 40)
CENTRE, AXES = np.array([0.1, -0.15, 0.05]), np.array([0.5, 0.6, 0.7])


def ellipsoid(sizes=SIZES, centre=CENTRE, axes=AXES):
    """A smooth field that is 0.5 on the ellipsoid and grows inwards."""
    grid = np.float64(view_grid(*sizes))
    radius = np.linalg.norm((grid - centre) / axes, axis=-1)
    return np.float32(np.clip(0.5 + 2 * (1 - radius), 0, 1))


def as_mesh(volume, **options):
    vertices, faces = extract_surface(volume, **options)
    assert vertices.dtype == np.float32 and faces.dtype == np.int32
    return trimesh.Trimesh(vertices, faces, process=False)


def test_an_ellipsoid_has_its_place_volume_and_orientation():
    """Half-voxel places: the mean signed offset is below 0.05 voxel on every axis."""
    mesh = as_mesh(ellipsoid())
    assert mesh.is_watertight and mesh.is_winding_consistent
    expected = 4 / 3 * np.pi * AXES.prod()
    np.testing.assert_allclose(mesh.volume, expected, rtol=0.01)  # positive: outwards
    assert mesh.body_count == 1
    np.testing.assert_allclose(mesh.center_mass, CENTRE, atol=1e-3)
    local = (mesh.vertices - CENTRE) / AXES
    # Signed distance in voxels, by the gradient of the implicit function.
    radius = np.linalg.norm(local, axis=1)
    offset = (radius - 1) / np.linalg.norm(local / AXES, axis=1) * radius
    assert abs(offset.mean()) < 0.05 * 2 / max(SIZES)
    voxel = 2 / np.array([SIZES[1], SIZES[0], SIZES[2]])
    middle = (mesh.bounds[0] + mesh.bounds[1]) / 2
    assert (np.abs(middle - CENTRE) < 0.05 * voxel).all()
    np.testing.assert_allclose(np.ptp(mesh.bounds, axis=0) / 2, AXES, rtol=0.01)


def test_a_level_of_its_own():
    """At 0.25 the ellipsoid is larger: 2 (1 - r) = -0.25."""
    mesh = as_mesh(ellipsoid(), level=0.25)
    expected = 4 / 3 * np.pi * AXES.prod() * 1.125**3
    np.testing.assert_allclose(mesh.volume, expected, rtol=0.01)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_body_that_touches_the_border_is_closed_there(axis, side):
    centre = side * 0.8 * np.eye(3)[axis]
    mesh = as_mesh(ellipsoid(centre=centre, axes=np.full(3, 0.5)))
    assert mesh.is_watertight and mesh.volume > 0
    edge = np.abs(mesh.vertices[:, axis]).max()
    voxel = 2 / np.array([SIZES[1], SIZES[0], SIZES[2]])[axis]
    assert 1 - voxel / 2 <= edge <= 1 + voxel / 2


def test_a_full_volume_and_a_single_voxel_are_closed():
    full = as_mesh(np.ones((4, 5, 6), np.float32))
    assert full.is_watertight
    np.testing.assert_allclose(full.bounds[1], 1, atol=1e-6)
    np.testing.assert_allclose(full.bounds[0], -1, atol=1e-6)
    single = np.zeros((5, 4, 6), np.float32)
    single[1, 3, 2] = 1
    mesh = as_mesh(single)
    assert mesh.is_watertight and mesh.volume > 0
    centre = (np.array([2 * 3 + 1, 2 * 1 + 1, 2 * 2 + 1]) / [4, 5, 6]) - 1
    np.testing.assert_allclose(mesh.bounds.mean(0), centre, atol=1e-6)


def test_cutting_to_the_occupied_box_changes_nothing():
    """Against marching cubes over the whole padded volume."""
    skimage_measure = pytest.importorskip("skimage.measure")
    volume = ellipsoid((20, 18, 22), axes=np.array([0.3, 0.2, 0.4]))
    vertices, _ = extract_surface(volume)
    whole, *_ = skimage_measure.marching_cubes(np.pad(volume, 1), 0.5)
    view = (2 * (whole[:, [1, 0, 2]] - 1) + 1) / [18, 20, 22] - 1
    assert len(view) == len(vertices)
    np.testing.assert_allclose(
        vertices[np.lexsort(vertices.T.round(5))], view[np.lexsort(view.T.round(5))],
        atol=1e-5,
    )  # fmt: skip


@pytest.mark.parametrize("seed", [0, 1])
def test_noise_gives_a_closed_surface_without_faces_of_no_area(seed):
    """Many components and tunnels; values on the level itself keep their area."""
    generator = np.random.default_rng(seed)
    mesh = as_mesh(generator.uniform(size=(7, 8, 6)).astype(np.float32))
    assert mesh.is_watertight and mesh.volume > 0 and (mesh.area_faces > 0).all()
    tied = as_mesh(generator.choice([0, 0.5, 1], (7, 8, 6)).astype(np.float32))
    assert (tied.area_faces > 0).all()


def test_a_surface_through_voxel_centres_is_closed():
    """Midpoints between voxels of 0 and 1 lie on the level exactly."""
    volume = ellipsoid((9, 8, 10)) > 0.5
    for axis in range(3):
        volume = np.repeat(np.float32(volume), 2, axis)
        ends = np.moveaxis(volume, axis, 0)
        ends[1:-1:2] = (ends[1:-1:2] + ends[2::2]) / 2
    assert (volume == 0.5).any()
    mesh = as_mesh(volume)
    assert mesh.is_watertight and mesh.volume > 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_refuses_voxels_that_are_no_numbers(bad):
    volume = ellipsoid((6, 6, 6))
    volume[2, 3, 4] = bad
    with pytest.raises(InputError, match="1 voxels that are NaN or infinite"):
        extract_surface(volume)


def test_refuses_empty_volumes_wrong_shapes_and_levels():
    with pytest.raises(InputError, match=r"no voxel exceeds the level 0.5 .* 0.3"):
        extract_surface(np.full((4, 4, 4), 0.3))
    with pytest.raises(InputError, match="no voxel exceeds"):
        extract_surface(np.zeros((4, 4, 4)))
    with pytest.raises(InputError, match="no voxel exceeds the level 1"):
        extract_surface(np.ones((4, 4, 4)), level=1)
    with pytest.raises(ValueError, match="volume has shape"):
        extract_surface(np.zeros((4, 4)))
    with pytest.raises(ValueError, match="level is 0, expected"):
        extract_surface(np.ones((4, 4, 4)), level=0)
    with pytest.raises(ValueError, match="level is nan"):
        extract_surface(np.ones((4, 4, 4)), level=float("nan"))


@pytest.fixture(scope="module")
def ball():
    """A binary ball of radius 0.7 off the centre, `(40, 36, 48)`."""
    grid = np.asarray(view_grid(40, 36, 48))
    return jnp.asarray(np.linalg.norm(grid - CENTRE, axis=-1) < 0.7, jnp.float32)


def analytic_depth(shape, side):
    """Depth of the near (-1) or far (+1) half of the ball's surface, NaN outside."""
    height, width = shape
    x, y = np.meshgrid(
        (2 * np.arange(width) + 1) / width - 1, (2 * np.arange(height) + 1) / height - 1
    )
    squared = 0.7**2 - (x - CENTRE[0]) ** 2 - (y - CENTRE[1]) ** 2
    return CENTRE[2] + side * np.sqrt(np.where(squared > 0, squared, np.nan))


@pytest.mark.parametrize("from_back", [False, True])
def test_depth_of_a_ball_is_its_first_surface(variant, ball, from_back):
    depth = np.asarray(
        variant(lambda v: depth_from_occupancy(v, from_back=from_back))(ball)
    )
    occupied = np.asarray(ball)
    z = (2 * np.arange(48) + 1) / 48 - 1
    for i, j in np.ndindex(depth.shape):
        column = z[occupied[i, j] > 0]
        if len(column) == 0:
            assert depth[i, j] == (-99 if from_back else 99)
        else:
            expected = column.max() if from_back else column.min()
            np.testing.assert_allclose(depth[i, j], expected, atol=1e-6)
    hit = np.abs(depth) < 1
    analytic = analytic_depth(depth.shape, 1 if from_back else -1)
    error = (depth - analytic)[hit]
    assert np.abs(error).max() <= 2 / 48
    sharp = depth_from_occupancy(ball, from_back=from_back, sharpness=9999.0)
    np.testing.assert_allclose(sharp, depth, atol=1e-5)


def test_a_mirrored_volume_has_the_mirrored_depth(ball):
    front = depth_from_occupancy(ball)
    np.testing.assert_allclose(
        depth_from_occupancy(ball[:, ::-1]), front[:, ::-1], atol=1e-6
    )
    np.testing.assert_allclose(depth_from_occupancy(ball[::-1]), front[::-1], atol=1e-6)
    np.testing.assert_allclose(
        depth_from_occupancy(ball[..., ::-1], from_back=True), -front, atol=1e-6
    )


@pytest.mark.parametrize("from_back", [False, True])
def test_gradient_of_the_depth_matches_finite_differences(from_back):
    occupancy = np.random.default_rng(0).uniform(0.1, 0.9, (3, 2, 5))
    run = lambda v: depth_from_occupancy(v, from_back=from_back, far=3.0)
    factors = np.array([[1.0, -2], [0.5, 3], [2, 1]])
    gradient = jax.grad(lambda v: (run(v) * factors).sum())(jnp.float32(occupancy))
    z = (2 * np.arange(5) + 1) / 5 - 1
    far = -3.0 if from_back else 3.0
    along = z * occupancy + far * (1 - occupancy)
    best = along.argmax(-1) if from_back else along.argmin(-1)
    expected = np.zeros_like(occupancy)
    for i, j in np.ndindex(3, 2):
        expected[i, j, best[i, j]] = factors[i, j] * (z[best[i, j]] - far)
    np.testing.assert_allclose(gradient, expected, atol=1e-5)
    # Voxels that tie (an empty column is `far` everywhere) share the gradient.
    tied = jax.grad(lambda v: run(v).sum())(jnp.zeros((1, 1, 5)))
    np.testing.assert_allclose(tied[0, 0], (z - far) / 5, atol=1e-6)


@pytest.mark.parametrize("from_back", [False, True])
def test_normals_of_a_ball_point_outwards(variant, from_back):
    """Off the silhouette they are the directions from the centre."""
    analytic = analytic_depth((60, 48), 1 if from_back else -1)
    mask = ~np.isnan(analytic)
    depth = jnp.asarray(np.where(mask, analytic, 99.0), jnp.float32)
    normals = np.asarray(
        variant(lambda d, m: normals_from_depth(d, m, from_back=from_back))(
            depth, jnp.asarray(mask)
        )
    )
    y, x = np.meshgrid(
        (2 * np.arange(60) + 1) / 60 - 1,
        (2 * np.arange(48) + 1) / 48 - 1,
        indexing="ij",
    )
    expected = (np.stack([x, y, analytic], axis=-1) - CENTRE) / 0.7
    inner = np.linalg.norm(expected[..., :2], axis=-1) < 0.75
    error = np.degrees(np.arccos(np.clip((normals * expected).sum(-1), -1, 1)))[inner]
    assert error.max() < 3 and error.mean() < 0.5 and inner.sum() > 200
    assert (np.sign(normals[mask][:, 2]) == (1 if from_back else -1)).all()
    np.testing.assert_array_equal(normals[~mask], 0)
    np.testing.assert_allclose(np.linalg.norm(normals[mask], axis=1), 1, atol=1e-5)


def test_the_silhouette_does_not_leak_into_the_normals():
    """A flat shape has one normal up to its border, whatever lies outside it."""
    mask = np.zeros((9, 8), bool)
    mask[2:7, 3:6] = True
    mask[0, 0] = True  # a pixel alone, in the corner
    outcomes = []

    @jax.jit
    def both(depth):
        normals, pull = jax.vjp(lambda d: normals_from_depth(d, mask), depth)
        return normals, pull(jnp.ones_like(normals))[0]

    for outside in (0.0, 99.0, np.nan):
        depth = jnp.asarray(np.where(mask, 0.2, outside), jnp.float32)
        normals, gradient = both(depth)
        assert np.isfinite(gradient).all()
        outcomes.append(np.asarray(normals))
        np.testing.assert_allclose(normals[mask], [[0, 0, -1]] * mask.sum(), atol=1e-6)
    np.testing.assert_array_equal(outcomes[0], outcomes[1])


@pytest.mark.parametrize("slope", [(0.5, 0), (0, -0.8), (0.3, 0.4)])
def test_normals_of_a_plane_are_exact_inside(slope):
    height, width = 10, 14
    x = (2 * np.arange(width) + 1) / width - 1
    y = (2 * np.arange(height) + 1) / height - 1
    depth = jnp.float32(slope[0] * x[None] + slope[1] * y[:, None])
    normals = normals_from_depth(depth, jnp.ones((height, width), bool))
    expected = np.array([*slope, -1]) / np.linalg.norm([*slope, -1])
    np.testing.assert_allclose(
        normals[1:-1, 1:-1], np.broadcast_to(expected, (8, 12, 3)), atol=1e-5
    )


def test_vmap_equals_a_loop(ball):
    batch = jnp.stack([ball, ball[::-1]])
    depth = jax.jit(jax.vmap(depth_from_occupancy))(batch)
    normals = jax.jit(jax.vmap(normals_from_depth))(depth, depth < 1)
    for number in range(2):
        single = depth_from_occupancy(batch[number])
        np.testing.assert_array_equal(depth[number], single)
        expected = normals_from_depth(single, single < 1)
        np.testing.assert_allclose(normals[number], expected, atol=1e-6)


def test_says_which_shape_is_wrong():
    with pytest.raises(ValueError, match="occupancy has shape"):
        depth_from_occupancy(jnp.zeros((3, 3)))
    with pytest.raises(ValueError, match="mask has shape"):
        normals_from_depth(jnp.zeros((3, 4)), jnp.zeros((4, 3), bool))
