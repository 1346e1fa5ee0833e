"""The rasteriser against a loop over pixels, and exact covers.

The loop uses another formula (signs of three edge functions and a plane through the
corners), so that an error in the barycentric weights cannot hide in both.
"""

import numpy as np
import pytest
import trimesh

from volhuman.render import rasterize as rasterize_module
from volhuman.render.rasterize import (
    Fragments,
    interpolate,
    rasterize,
    visible_vertices,
)

SHAPE = (23, 31)  # H, W


def _edge(a, b, point):
    return (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])


def _slow(points, faces, shape):
    """Face and depth of every pixel, one face and one pixel at a time."""
    face = np.full(shape, -1)
    depth = np.full(shape, np.inf)
    for number, corners in enumerate(points[faces]):
        a, b, c = corners
        normal = np.cross(b - a, c - a)
        if not np.isfinite(corners).all() or normal[2] == 0:
            continue
        for y, x in np.ndindex(*shape):
            centre = (x + 0.5, y + 0.5)
            sides = [_edge(*pair, centre) for pair in ((a, b), (b, c), (c, a))]
            if min(sides) < 0 < max(sides):
                continue
            # The plane normal . (p - a) = 0 solved for z.
            across = normal[0] * (centre[0] - a[0]) + normal[1] * (centre[1] - a[1])
            z = a[2] - across / normal[2]
            if z < depth[y, x]:
                face[y, x], depth[y, x] = number, z
    return face, depth


def _check_against_loop(points, faces, shape):
    expected_face, expected_depth = _slow(points, faces, shape)
    fragments = rasterize(points, faces, shape)
    np.testing.assert_array_equal(fragments.face, expected_face)
    seen = expected_face >= 0
    np.testing.assert_allclose(fragments.depth[seen], expected_depth[seen], rtol=1e-5)
    assert np.isposinf(fragments.depth[~seen]).all()
    return fragments


@pytest.mark.parametrize("seed", range(4))
def test_random_triangles_equal_the_loop(seed):
    """Small, large, off-screen and crossing triangles of both orientations."""
    generator = np.random.default_rng(seed)
    size = np.repeat([2.0, 8.0, 40.0], 20)[:, None, None]
    centre = generator.uniform(-5, 36, (60, 1, 2))
    corners = generator.normal(size=(60, 3, 2)) * size + centre
    # Large ones lie further back on average, or they would hide the rest.
    depth = generator.uniform(-3, 3, (60, 3, 1)) + 0.15 * size
    points = np.concatenate([corners, depth], -1).reshape(-1, 3)
    faces = np.arange(180).reshape(60, 3)
    fragments = _check_against_loop(points, faces, SHAPE)
    # The scene must not be trivial: many faces win somewhere, some pixels are empty.
    assert len(np.unique(fragments.face)) > 15


def test_a_scene_of_many_batches_equals_one_of_a_single_batch(monkeypatch):
    generator = np.random.default_rng(5)
    points = generator.uniform(-5, 36, (300, 3))
    faces = generator.integers(0, 300, (200, 3))
    whole = rasterize(points, faces, SHAPE)
    monkeypatch.setattr(rasterize_module, "_PIXELS_A_BATCH", 64)
    parts = rasterize(points, faces, SHAPE)
    for name in ("face", "depth", "barycentric"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_types_and_empty_pixels_are_as_documented():
    points = np.array([[2, 2, 1], [9, 2, 1], [2, 9, 1.0]])
    fragments = rasterize(points, np.array([[0, 1, 2]]), SHAPE)
    assert isinstance(fragments, Fragments)
    assert fragments.face.dtype == np.int32 and fragments.face.shape == SHAPE
    assert fragments.depth.dtype == np.float32
    assert fragments.barycentric.dtype == np.float32
    assert fragments.mask.any() and not fragments.mask.all()
    empty = ~fragments.mask
    assert (fragments.barycentric[empty] == 0).all()
    np.testing.assert_allclose(fragments.barycentric[~empty].sum(-1), 1, atol=1e-6)
    assert (fragments.barycentric >= -1e-6).all()


# -- exact covers


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("shift", [0.0, 0.5, 0.25])
def test_a_closed_square_covers_every_pixel_once(flip, shift):
    """Two triangles share the diagonal; shifted by 0.5 it runs through the centres."""
    low, high = 2 + shift, 12 + shift
    corners = np.array([[low, low], [high, low], [high, high], [low, high]])
    points = np.c_[corners, np.zeros(4)]
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    faces = faces[:, ::-1] if flip else faces
    halves = [rasterize(points, face[None], SHAPE).mask for face in faces]
    whole = rasterize(points, faces, SHAPE)
    centre = np.arange(31) + 0.5
    inside = (centre >= low) & (centre <= high)
    expected = inside[None, :] & inside[:23, None]
    np.testing.assert_array_equal(whole.mask, expected)
    # On the shared edge both halves cover; the buffer keeps the first of them.
    np.testing.assert_array_equal(whole.face[halves[0]], 0)
    np.testing.assert_array_equal(whole.face[halves[1] & ~halves[0]], 1)


def test_a_fan_of_triangles_leaves_no_hole_inside():
    """Every pixel of a polygon is covered whatever the slopes of its shared edges."""
    angles = np.sort(np.random.default_rng(2).uniform(0, 2 * np.pi, 60))
    rim = np.c_[15 + 14 * np.cos(angles), 11 + 10 * np.sin(angles)]
    points = np.c_[np.r_[[[15.3, 11.1]], rim], np.zeros(61)]
    numbers = np.arange(60)
    faces = np.c_[0 * numbers, 1 + numbers, 1 + (numbers + 1) % 60]
    mask = rasterize(points, faces, SHAPE).mask
    y, x = np.mgrid[:23, :31] + 0.5
    across = [
        (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
        for a, b in zip(rim, np.roll(rim, -1, 0), strict=True)
    ]
    np.testing.assert_array_equal(mask, (np.array(across) >= 0).all(0))


@pytest.mark.parametrize("far", [1e3, 1e6])
def test_a_triangle_far_larger_than_the_picture_fills_it(far):
    points = np.array([[-far, -far, 2], [far, -far, 2], [0, far, 2.0]])
    fragments = rasterize(points, np.array([[0, 1, 2]]), SHAPE)
    assert fragments.mask.all()
    np.testing.assert_allclose(fragments.depth, 2, rtol=1e-6)


# -- depth


def _square(x, y, size, z):
    corners = np.array([[x, y], [x + size, y], [x + size, y + size], [x, y + size]])
    return np.c_[corners, np.full(4, z)]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_the_nearest_square_wins_in_any_order(order):
    squares = [_square(2, 2, 10, 5.0), _square(4, 4, 10, -5.0), _square(6, 6, 10, 0.0)]
    points = np.concatenate([squares[k] for k in order])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    faces = np.concatenate([faces + 4 * k for k in range(3)])
    depth = rasterize(points, faces, SHAPE).depth
    assert depth[3, 3] == 5 and depth[5, 5] == -5 and depth[7, 7] == -5
    assert depth[15, 15] == 0 and np.isinf(depth[0, 0])


def test_equal_depths_go_to_the_lower_number(monkeypatch):
    points = np.concatenate([_square(2, 2, 10, 1.0), _square(2, 2, 10, 1.0)])
    faces = np.array([[4, 5, 6], [0, 1, 2], [0, 2, 3], [4, 6, 7]])
    for batch in (2_000_000, 1):
        monkeypatch.setattr(rasterize_module, "_PIXELS_A_BATCH", batch)
        face = rasterize(points, faces, SHAPE).face
        assert set(np.unique(face)) == {-1, 0, 2}


# -- what is not drawn


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "corners",
    [
        [[5, 5, 0], [5, 5, 0], [5, 5, 0]],
        [[0, 5.5, 0], [10, 5.5, 0], [20, 5.5, 0]],
        [[5, 5, 0], [15, 5, 0], [5, np.nan, 0]],
        [[5, 5, 0], [15, 5, np.nan], [5, 15, 0]],
        [[5, 5, 0], [np.inf, 5, 0], [5, 15, 0]],
        [[5, 5, -np.inf], [15, 5, 0], [5, 15, 0]],
        [[-50, 5, 0], [-40, 5, 0], [-50, 15, 0]],
        [[40, 5, 0], [50, 5, 0], [40, 15, 0]],
        [[5, -30, 0], [15, -30, 0], [5, -20, 0]],
        [[5, 30, 0], [15, 30, 0], [5, 50, 0]],
        [[5.6, 5.6, 0], [6.4, 5.6, 0], [5.6, 6.4, 0]],
    ],
    ids=[
        "point",
        "line",
        "nan",
        "nan-depth",
        "inf",
        "inf-depth",
        "left",
        "right",
        "above",
        "below",
        "between",
    ],
)
def test_faces_without_pixels_change_nothing(corners):
    """Degenerate, not finite, off-screen, and smaller than the grid of centres."""
    points = np.concatenate([_square(3, 3, 12, 1.0), np.array(corners, float)])
    square = np.array([[0, 1, 2], [0, 2, 3]])
    alone = rasterize(points, square, SHAPE)
    both = rasterize(points, np.concatenate([[[4, 5, 6]], square]), SHAPE)
    np.testing.assert_array_equal(both.mask, alone.mask)
    np.testing.assert_array_equal(both.depth, alone.depth)
    np.testing.assert_array_equal(both.face[both.mask], alone.face[alone.mask] + 1)
    nothing = rasterize(points, np.array([[4, 5, 6]]), SHAPE)
    assert not nothing.mask.any()


def test_no_faces_at_all():
    fragments = rasterize(np.zeros((4, 3)), np.zeros((0, 3), int), SHAPE)
    assert not fragments.mask.any()


# -- values


def test_interpolation_of_the_position_gives_the_pixel_centre():
    generator = np.random.default_rng(3)
    points = generator.uniform(0, 30, (40, 3))
    faces = generator.integers(0, 40, (30, 3))
    fragments = rasterize(points, faces, SHAPE)
    values = interpolate(fragments, faces, points)
    assert values.dtype == np.float32 and values.shape == (*SHAPE, 3)
    y, x = np.mgrid[:23, :31] + 0.5
    seen = fragments.mask
    assert seen.sum() > 200
    for k, expected in enumerate((x, y, fragments.depth)):
        np.testing.assert_allclose(values[seen][:, k], expected[seen], atol=1e-3)
    assert (values[~seen] == 0).all()


def test_a_corner_on_a_pixel_centre_takes_its_value():
    points = np.array([[4.5, 4.5, 0], [20.5, 6.5, 0], [8.5, 18.5, 0]])
    faces = np.array([[0, 1, 2]])
    values = interpolate(rasterize(points, faces, SHAPE), faces, np.eye(3))
    for corner, (x, y, _) in enumerate(points):
        np.testing.assert_allclose(values[int(y), int(x)], np.eye(3)[corner], atol=1e-6)


# -- visibility


@pytest.mark.filterwarnings("error")
def test_the_near_half_of_a_sphere_is_visible():
    sphere = trimesh.creation.icosphere(subdivisions=4)
    direction = np.asarray(sphere.vertices)
    points = direction * 40 + [50, 50, 0]
    visible = visible_vertices(points, sphere.faces, (100, 100), 3.0)
    # At z = -0.3 depth changes by 2.2 over half a pixel; nearer the rim by more.
    assert visible[direction[:, 2] < -0.3].all()
    assert not visible[direction[:, 2] > 0.3].any()


@pytest.mark.filterwarnings("error")
def test_a_wall_hides_what_is_behind_and_not_what_is_off_screen_or_in_front():
    marks = [[7, 7, 2], [7, 7, 0], [7, 7, 1.05], [25, 7, 2], [-1, 7, 0], [7, 23.5, 0]]
    points = np.concatenate([_square(2, 2, 10, 1.0), marks])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    visible = visible_vertices(points, faces, SHAPE, 0.1)
    assert visible[4:].tolist() == [False, True, True, True, False, False]
