"""Shaded pictures: where the body lies, which side is lit, what the options do."""

import jax
import numpy as np
import pytest
import trimesh

from volhuman.body.model import pose_body, rest_params
from volhuman.body.skeleton import JOINT_INDEX
from volhuman.body.template import load_template
from volhuman.geometry.camera import FACING_CAMERA, Crop, WeakPerspective, project_weak
from volhuman.render.rasterize import rasterize
from volhuman.render.shading import (
    SKIN,
    overlay,
    render_view,
    screen_points,
    shade,
    turntable,
    vertex_normals,
)

RED, GREEN, BLUE = np.eye(3, dtype=np.float32)


@pytest.fixture(scope="module")
def sphere():
    """Vertices and faces of a unit sphere."""
    mesh = trimesh.creation.icosphere(subdivisions=3)
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


@pytest.fixture(scope="module")
def body():
    model = load_template()
    posed = pose_body(model, rest_params(model))
    return np.asarray(posed.vertices), np.asarray(model.faces), np.asarray(posed.joints)


def _camera(scale=0.5, translation=(0.0, 0.0)):
    return WeakPerspective(np.float32(scale), FACING_CAMERA, np.array(translation))


# -- projection


def test_screen_points_are_the_projection_in_pixels_of_the_crop():
    generator = np.random.default_rng(0)
    points = generator.normal(size=(20, 3)).astype(np.float32)
    camera = _camera(0.7, (0.2, -0.1))
    crop = Crop(np.array([130.0, 90.0]), np.float32(160.0))
    view = np.asarray(project_weak(jax.tree.map(np.float32, camera), points))
    pixels = screen_points(points, camera, crop)
    np.testing.assert_allclose(pixels[:, :2], view[:, :2] * 80 + [130, 90], atol=1e-3)
    np.testing.assert_allclose(pixels[:, 2], view[:, 2], atol=1e-5)


# -- normals and light


def test_vertex_normals_of_a_sphere_point_outwards(sphere):
    vertices, faces = sphere
    normals = vertex_normals(vertices, faces)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)
    assert ((normals * vertices).sum(1) > 0.99).all()
    flipped = vertex_normals(vertices, faces[:, ::-1])
    np.testing.assert_allclose(flipped, -normals, atol=1e-12)


def test_vertex_normals_agree_with_trimesh_on_the_body(body):
    vertices, faces, _ = body
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    summed = np.zeros_like(vertices, dtype=np.float64)
    for corner in range(3):
        np.add.at(
            summed, faces[:, corner], mesh.face_normals * mesh.area_faces[:, None]
        )
    expected = summed / np.linalg.norm(summed, axis=1, keepdims=True)
    np.testing.assert_allclose(vertex_normals(vertices, faces), expected, atol=1e-3)


@pytest.mark.filterwarnings("error")
def test_vertices_without_area_have_a_finite_normal():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5.0]])
    normals = vertex_normals(vertices, np.array([[0, 1, 2], [0, 1, 1]]))
    np.testing.assert_allclose(normals, [[0, 0, 1]] * 3 + [[0, 0, 0]])


def _lit(sphere, colours=None):
    vertices, faces = sphere
    points = vertices * [40, 40, 40] + [50, 50, 0]
    fragments = rasterize(points, faces, (100, 100))
    return shade(fragments, faces, vertices, colours), fragments


def test_light_falls_from_above_at_the_viewers_right(sphere):
    """View axes: y down, z away, so the viewer stands at -z."""
    picture, fragments = _lit(sphere)
    brightness = picture.mean(-1)
    assert (picture[~fragments.mask] == 0).all()
    assert (picture[fragments.mask] > 0).all() and picture.max() <= 1
    assert brightness[50, 70] > brightness[50, 30] + 0.05
    assert brightness[30, 50] > brightness[70, 50] + 0.05
    y, x = np.unravel_index(brightness.argmax(), brightness.shape)
    assert x > 55 and y < 45


def test_shading_scales_the_colour_and_keeps_its_hue(sphere):
    vertices, _ = sphere
    green, fragments = _lit(sphere, np.tile(GREEN * 0.5, (len(vertices), 1)))
    assert (green[..., [0, 2]] == 0).all()
    skin, _ = _lit(sphere)
    seen = fragments.mask
    factor = green[seen][:, 1] / 0.5
    unclipped = (skin[seen] < 1).all(-1)
    np.testing.assert_allclose(
        skin[seen][unclipped], (factor[:, None] * SKIN)[unclipped], rtol=1e-4
    )


@pytest.mark.filterwarnings("error")
def test_normals_of_length_zero_give_the_ambient_light(sphere):
    vertices, faces = sphere
    fragments = rasterize(vertices * 40 + 50, faces, (100, 100))
    picture = shade(fragments, faces, np.zeros_like(vertices))
    assert np.ptp(picture[fragments.mask], axis=0).max() < 1e-5
    assert picture[fragments.mask].min() > 0


# -- overlay


@pytest.fixture(scope="module")
def photograph():
    return np.random.default_rng(1).random((90, 120, 3)).astype(np.float32)


CROP = Crop(np.array([70.0, 40.0], np.float32), np.float32(60.0))


def test_opacity_0_is_the_photograph(photograph, sphere):
    picture = overlay(photograph, *sphere, _camera(), CROP, opacity=0.0)
    np.testing.assert_allclose(picture, photograph, atol=1e-6)


def test_a_sphere_is_drawn_as_the_disc_of_its_projection(photograph, sphere):
    """Radius 0.5 of the view's half side of 30 pixels, at the crop's centre."""
    vertices, faces = sphere
    colours = np.tile(RED, (len(vertices), 1))
    picture = overlay(
        photograph, vertices, faces, _camera(), CROP, colours=colours, opacity=1.0
    )
    assert picture.shape == photograph.shape and picture.dtype == np.float32
    y, x = np.mgrid[:90, :120] + 0.5
    distance = np.hypot(x - 70, y - 40)
    inside, outside = distance < 13.5, distance > 16
    assert (picture[inside][:, 1:] == 0).all() and (picture[inside][:, 0] > 0).all()
    np.testing.assert_array_equal(picture[outside], photograph[outside])


def test_opacity_blends_between_photograph_and_body(photograph, sphere):
    draw = lambda opacity: overlay(
        photograph, *sphere, _camera(), CROP, opacity=opacity
    )
    np.testing.assert_allclose(draw(0.3), 0.7 * photograph + 0.3 * draw(1.0), atol=1e-5)


def test_the_nearer_of_two_spheres_is_seen(photograph, sphere):
    """Body axis z points to the viewer."""
    vertices, faces = sphere
    both = np.concatenate([vertices - [0, 0, 3], vertices * 0.5 + [0, 0, 3]])
    colours = np.repeat([BLUE, GREEN], len(vertices), axis=0)
    picture = overlay(
        photograph,
        both,
        np.concatenate([faces + len(vertices), faces]),
        _camera(),
        CROP,
        colours=colours,
        opacity=1.0,
    )
    assert picture[40, 70].argmax() == 1 and picture[40, 81].argmax() == 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("translation", [(50.0, 0.0), (0.0, -50.0)])
def test_a_body_outside_the_photograph_changes_nothing(photograph, sphere, translation):
    picture = overlay(photograph, *sphere, _camera(0.5, translation), CROP, opacity=1.0)
    np.testing.assert_array_equal(picture, photograph)


# -- views and turntable


def test_render_view_shows_the_body_upright_on_a_light_ground(body):
    vertices, faces, joints = body
    colours = np.tile(BLUE, (len(vertices), 1))
    camera = _camera(0.9)
    picture = render_view(vertices, faces, camera, 128, colours=colours)
    assert picture.shape == (128, 128, 3)
    crop = Crop(np.full(2, 64.0), np.float32(128))
    for name in ("head", "spine3", "left_knee", "right_elbow"):
        x, y = screen_points(joints[[JOINT_INDEX[name]]], camera, crop)[0, :2]
        assert (picture[int(y), int(x), :2] == 0).all(), name
    assert picture[2, 2].min() > 0.9
    rows = np.nonzero((picture[..., 0] < 0.5).any(1))[0]
    head_y, foot_y = (
        screen_points(vertices[[k]], camera, crop)[0, 1]
        for k in (vertices[:, 1].argmax(), vertices[:, 1].argmin())
    )
    assert abs(rows[0] - head_y) < 2 and abs(rows[-1] - foot_y) < 2


def _sided(body):
    """The left half red, the right half green, upright and centred."""
    vertices, faces, _ = body
    vertices = vertices - (vertices.min(0) + vertices.max(0)) / 2
    colours = np.where(vertices[:, :1] > 0, RED, GREEN)
    return vertices, faces, colours


def _mean_column(picture, channel):
    """Mean column of the pixels in which a channel is the strongest by far."""
    strong = picture[..., channel] > 2 * np.delete(picture, channel, -1).max(-1)
    assert strong.any()
    return np.nonzero(strong)[1].mean()


def test_turntable_begins_at_the_front_with_the_left_hand_at_the_right(body):
    vertices, faces, colours = _sided(body)
    frames = turntable(vertices, faces, size=96, num_frames=4, colours=colours)
    assert len(frames) == 4 and all(frame.shape == (96, 96, 3) for frame in frames)
    reach = max(
        np.linalg.norm(vertices[:, [0, 2]], axis=1).max(), np.abs(vertices[:, 1]).max()
    )
    expected = render_view(vertices, faces, _camera(0.94 / reach), 96, colours=colours)
    np.testing.assert_allclose(frames[0], expected, atol=1e-5)
    assert _mean_column(frames[0], 0) > 55 and _mean_column(frames[0], 1) < 41
    # Half a turn later the person is seen from behind.
    assert _mean_column(frames[2], 0) < 41 and _mean_column(frames[2], 1) > 55


def test_turntable_turns_all_around_without_leaving_the_frame(body):
    vertices, faces, _ = body
    shifted = vertices - [5, -3, 2]  # it centres the body itself
    frames = turntable(shifted, faces, size=64, num_frames=5)
    widths = []
    for frame in frames:
        drawn = frame.mean(-1) < 0.9
        assert not drawn[[0, -1]].any() and not drawn[:, [0, -1]].any()
        widths.append(np.ptp(np.nonzero(drawn.any(0))[0]))
    # T-pose: widest from the front; the turn is symmetric in time.
    assert widths[0] == max(widths) > 1.3 * min(widths)
    for early, late in ((1, 4), (2, 3)):
        assert abs(widths[early] - widths[late]) <= 2
