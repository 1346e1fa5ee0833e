"""Cameras on the host: the camera model of `geometry` as oracle, rays, framing."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from volhuman.geometry.camera import (
    Pinhole,
    WeakPerspective,
    project_pinhole,
    project_weak,
)
from volhuman.people.cameras import (
    look_at,
    metres_per_view,
    pixel_rays,
    pixels_from_view,
    sample_camera,
    towards_camera,
    view_from_body,
)

PELVIS = np.array([0.02, -0.03, 0.05])
SIZE = 40


@pytest.fixture
def points():
    return np.random.default_rng(0).uniform(-0.8, 0.8, (200, 3))


@pytest.fixture(params=["pinhole", "weak"])
def camera(request):
    rotation = Rotation.from_rotvec([2.9, 0.4, -0.3]).as_matrix()
    if request.param == "weak":
        return WeakPerspective(np.float64(0.8), rotation, np.array([0.1, -0.05]))
    position = np.array([0.1, -0.2, 4.0])
    return Pinhole(np.float64(2.5), np.array([0.07, -0.04]), rotation, position)


def test_the_picture_plane_is_that_of_the_camera_model(camera, points):
    project = project_weak if isinstance(camera, WeakPerspective) else project_pinhole
    expected = np.asarray(project(camera, points.astype(np.float32)))
    found = view_from_body(camera, points, PELVIS)
    np.testing.assert_allclose(found[:, :2], expected[:, :2], atol=2e-6)


def test_depth_is_zero_at_the_pelvis_and_in_view_units(camera, points):
    found = view_from_body(camera, points, PELVIS)
    assert view_from_body(camera, PELVIS[None], PELVIS)[0, 2] == pytest.approx(0)
    along = (points - PELVIS) @ np.asarray(camera.rotation)[2]
    scale = metres_per_view(camera, PELVIS)
    np.testing.assert_allclose(found[:, 2] * scale, along, atol=1e-12)


def test_a_metre_at_the_pelvis_is_as_long_as_stated(camera):
    across = np.asarray(camera.rotation)[0]
    pair = np.stack([PELVIS - across / 2, PELVIS + across / 2])
    view = view_from_body(camera, pair, PELVIS)
    length = np.linalg.norm(np.diff(view[:, :2], axis=0))
    assert length * metres_per_view(camera, PELVIS) == pytest.approx(1, abs=1e-12)


def test_pixels_cover_the_view_square():
    view = np.array([[-1.0, -1, 0.5], [1, 1, -0.5], [0, 0, 0]])
    pixels = pixels_from_view(view, 64)
    np.testing.assert_allclose(pixels[:, :2], [[0, 0], [64, 64], [32, 32]])
    # Depth in pixels as well: the picture's proportions are those of the person.
    np.testing.assert_allclose(pixels[:, 2], [16, -16, 0])


@pytest.mark.parametrize("distance", [1.0, 4.0, 11.0])
def test_points_on_a_ray_project_to_its_pixel(camera, distance):
    origin, direction = pixel_rays(camera, SIZE)
    assert origin.shape == direction.shape == (SIZE, SIZE, 3)
    np.testing.assert_allclose(np.linalg.norm(direction, axis=-1), 1, atol=1e-12)
    on_ray = (origin + distance * direction).reshape(-1, 3)
    pixels = pixels_from_view(view_from_body(camera, on_ray, PELVIS), SIZE)
    row, column = np.divmod(np.arange(SIZE**2), SIZE)
    expected = np.stack([column + 0.5, row + 0.5], axis=1)
    np.testing.assert_allclose(pixels[:, :2], expected, atol=1e-9)


def test_rays_start_before_the_person_and_run_away_from_the_camera(camera):
    origin, direction = pixel_rays(camera, SIZE)
    axis = np.asarray(camera.rotation)[2]
    assert ((direction @ axis) > 0.5).all()
    assert ((PELVIS - origin) @ axis > 1).all()


def test_viewing_directions_point_back_along_the_rays(camera):
    origin, direction = (ray.reshape(-1, 3) for ray in pixel_rays(camera, SIZE))
    points = origin + 3.7 * direction
    np.testing.assert_allclose(towards_camera(camera, points), -direction, atol=1e-9)


@pytest.mark.parametrize("focal", [None, 3.0])
@pytest.mark.parametrize(
    "yaw, pitch, roll", [(0, 0, 0), (2.1, 0.2, 0.1), (-1, -0.3, 0)]
)
def test_the_centre_is_in_the_middle_and_the_border_at_the_reach(
    focal, yaw, pitch, roll
):
    centre = np.array([0.1, 0.2, -0.1])
    camera = look_at(yaw, pitch, roll, centre=centre, reach=1.3, focal=focal)
    assert isinstance(camera, WeakPerspective if focal is None else Pinhole)
    rotation = np.asarray(camera.rotation)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    border = centre + 1.3 * rotation[:2]
    view = view_from_body(camera, np.stack([centre, *border]), PELVIS)
    np.testing.assert_allclose(view[:, :2], [[0, 0], [1, 0], [0, 1]], atol=1e-12)


@pytest.mark.parametrize("focal", [None, 3.0])
def test_without_turns_the_person_faces_the_camera(focal):
    """The person's left is at the right of the picture, up is up, the front is near."""
    camera = look_at(0, 0, 0, centre=np.zeros(3), reach=1.0, focal=focal)
    view = view_from_body(camera, 0.1 * np.eye(3), np.zeros(3))
    left, up, front = view
    assert left[0] > 0.09 and abs(left[1]) < 1e-9
    assert up[1] < -0.09 and abs(up[0]) < 1e-9
    assert front[2] < -0.09


@pytest.mark.parametrize("focal", [None, 3.0])
@pytest.mark.parametrize("yaw", [-2.5, -1.0, 0.0, 0.5, np.pi / 2, np.pi])
def test_yaw_turns_the_person_to_the_right_of_the_picture(focal, yaw):
    camera = look_at(yaw, 0, 0, centre=np.zeros(3), reach=1.0, focal=focal)
    nose, top = view_from_body(
        camera, np.array([[0, 0, 0.01], [0, 0.01, 0]]), 0 * PELVIS
    )
    np.testing.assert_allclose(
        nose, [0.01 * np.sin(yaw), 0, -0.01 * np.cos(yaw)], atol=2e-4
    )
    np.testing.assert_allclose(top, [0, -0.01, 0], atol=1e-9)


@pytest.mark.parametrize("focal", [None, 3.0])
@pytest.mark.parametrize("yaw", [-2.5, -1.0, 0.0, 0.5, np.pi / 2, np.pi])
def test_pitch_looks_down_from_wherever_the_camera_stands(focal, yaw):
    pitch = 0.3
    camera = look_at(yaw, pitch, 0, centre=np.zeros(3), reach=1.0, focal=focal)
    towards = towards_camera(camera, np.zeros((1, 3)))[0]
    assert np.arcsin(towards[1]) == pytest.approx(pitch), "it stands above"
    assert np.arctan2(-towards[0], towards[2]) == pytest.approx(
        np.arctan2(np.sin(yaw), np.cos(yaw))
    )
    up = np.asarray(camera.rotation) @ [0, 1, 0]
    assert abs(up[0]) < 1e-9, "and is not tilted"
    assert up[2] < 0, "the head is nearer than the feet"


@pytest.mark.parametrize("yaw", [0.0, 1.5])
def test_roll_turns_the_picture_in_its_plane(yaw):
    place = lambda roll: look_at(yaw, 0, roll, centre=np.zeros(3), reach=1.0)
    before, after = (np.asarray(place(roll).rotation) for roll in (0, 0.2))
    np.testing.assert_allclose(before[2], after[2], atol=1e-12)
    np.testing.assert_allclose((before[:2] * after[:2]).sum(1), np.cos(0.2))


def test_handheld_cameras_hold_the_whole_person(posed_of):
    points = posed_of(0, "bent").vertices[::7]
    fills = []
    for seed in range(50):
        camera = sample_camera(np.random.default_rng(seed), points)
        view = view_from_body(camera, points, PELVIS)[:, :2]
        assert np.abs(view).max() < 1, seed
        fills.append((view.max(0) - view.min(0)).max() / 2)
        assert 1.9 < float(camera.focal) < 5.7, "20 to 55 degrees"
        np.testing.assert_allclose(
            np.asarray(camera.rotation) @ np.asarray(camera.rotation).T,
            np.eye(3),
            atol=1e-12,
        )
    assert min(fills) > 0.7 and max(fills) < 0.96
    assert np.ptp(fills) > 0.1, "people are of different sizes"


def test_a_drawn_camera_stands_where_it_is_told_and_else_all_around(posed_of):
    points = posed_of(0, "bent").vertices[::7]

    def yaw_of(camera):
        x, _, z = towards_camera(camera, np.zeros((1, 3)))[0]
        return np.arctan2(-x, z)

    for yaw in (0.0, 2.0, -1.2):
        camera = sample_camera(np.random.default_rng(1), points, yaw=yaw)
        assert np.cos(yaw_of(camera) - yaw) > np.cos(0.12)
    drawn = [
        yaw_of(sample_camera(np.random.default_rng(seed), points)) for seed in range(40)
    ]
    assert len(np.unique(np.floor(np.array(drawn) / (np.pi / 2)))) == 4


def test_the_same_state_gives_the_same_camera(points):
    pair = [sample_camera(np.random.default_rng(5), points) for _ in range(2)]
    for name in ("focal", "principal", "rotation", "position"):
        np.testing.assert_array_equal(getattr(pair[0], name), getattr(pair[1], name))
