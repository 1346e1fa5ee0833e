"""Projection of figures, against the cameras of the synthetic people."""

import numpy as np
import pytest

from volhuman.people.cameras import look_at, pixels_from_view, view_from_body
from volhuman.repose.figure import PELVIS, pose_figure, rest_figure
from volhuman.repose.lens import Lens, project, unproject

SIDE = 128


def _pose():
    return pose_figure(np.random.default_rng(0).normal(0, 0.3, (1, 24, 3)))[0]


def _camera(points, focal):
    """A camera from the side and above, and the lens that it has in pixels."""
    camera = look_at(
        0.7, 0.2, 0.05, centre=points.mean(0) + 0.1, reach=1.1, focal=focal
    )
    if focal is None:
        return camera, Lens()
    centre = (np.asarray(camera.principal) + 1) * SIDE / 2
    return camera, Lens(2 / (SIDE * float(camera.focal)), centre)


@pytest.mark.parametrize("focal", [2.0, 6.0, None])
def test_pixels_with_depth_of_synthetic_people_are_undone(focal):
    """What is unprojected has the true lengths, up to one factor."""
    points = _pose()
    camera, lens = _camera(points, focal)
    view = view_from_body(camera, points, points[PELVIS])
    joints = pixels_from_view(view, SIDE)
    figure = unproject(lens, joints)
    own = (points - points[PELVIS]) @ np.asarray(camera.rotation).T
    seen = figure - figure[PELVIS]
    factor = np.linalg.norm(seen) / np.linalg.norm(own)
    np.testing.assert_allclose(seen, factor * own, atol=1e-5)
    np.testing.assert_allclose(project(lens, figure), joints, atol=1e-5)


@pytest.mark.parametrize("focal", [2.0, 6.0])
def test_who_comes_nearer_grows_and_is_measured_anew(focal):
    """The camera moved towards the person is the person moved to the camera."""
    points = _pose()
    camera, lens = _camera(points, focal)
    figure = unproject(
        lens, pixels_from_view(view_from_body(camera, points, points[PELVIS]), SIDE)
    )
    distance = np.asarray(camera.rotation)[2] @ points[PELVIS] + camera.position[2]
    unit = 1 / lens.inverse_focal / distance  # pixels a metre
    step = 0.3
    moved = project(lens, figure - [0, 0, step * unit])
    nearer = points - step * np.asarray(camera.rotation)[2]
    truth = pixels_from_view(view_from_body(camera, nearer, nearer[PELVIS]), SIDE)
    np.testing.assert_allclose(moved, truth, atol=1e-5)
    assert np.ptp(moved[:, 1]) > np.ptp(project(lens, figure)[:, 1])


def test_depth_is_zero_at_the_pelvis_and_grows_away_from_the_camera():
    figure = rest_figure() * [1, -1, -1] * 50 + [64, 64, 12]
    joints = project(Lens(1 / 300, np.array([64.0, 64.0])), figure)
    assert joints[PELVIS, 2] == 0
    assert (np.argsort(joints[:, 2]) == np.argsort(figure[:, 2])).all()


def test_points_at_the_camera_and_behind_it_stay_finite():
    figure = np.tile([3.0, 4.0, 0.0], (29, 1))
    figure[5:, 2] = -np.linspace(90, 500, 24)
    joints = project(Lens(1 / 100), figure)
    assert np.isfinite(joints).all() and np.abs(joints[:, :2]).max() <= 40 + 1e-9
