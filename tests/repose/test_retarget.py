"""Carrying a target over to the photographed person."""

import dataclasses

import numpy as np
import pytest

from volhuman.body.model import rest_joints
from volhuman.body.pose_sampler import posed_joints
from volhuman.body.template import load_template
from volhuman.people.cameras import look_at, pixels_from_view, view_from_body
from volhuman.repose.completion import complete_figure
from volhuman.repose.figure import (
    PELVIS,
    POINT_INDEX,
    POINT_NAMES,
    bone_lengths,
    figure_size,
    heading,
    pose_figure,
    rest_figure,
    turn,
)
from volhuman.repose.joint_files import Seen
from volhuman.repose.lens import Lens, project, unproject
from volhuman.repose.retarget import Placement, place_target
from volhuman.repose.targets import Target

GENERATOR = np.random.default_rng(4)
POSES = GENERATOR.normal(0, 0.25, (6, 24, 3)) * np.r_[0, np.ones(23)][:, None]
FIGURES = pose_figure(POSES)
LENS = Lens(1 / 500, np.array([120.0, 140.0]))
SIDE = 256


def _seen(figure, lens=LENS, place=(10.0, -20.0, 0.0), scale=100):
    points = figure * [scale, -scale, -scale]
    return Seen((points - points[PELVIS] + place)[None], lens, None, None)


def _own(joints, source):
    """The placed joints as a figure with y up, in pixels from their own pelvis."""
    points = unproject(source.lens, joints)
    return (points - points[:, PELVIS, None]) * [1, -1, -1]


def _target(figures, path=None, is_seen=False):
    return Target(figures - figures[:, PELVIS, None], path, is_seen)


SOURCE = _seen(turn(FIGURES[0], 0.8))


# -- the same pose


@pytest.mark.parametrize("lens", [LENS, Lens()])
@pytest.mark.parametrize("is_seen", [True, False])
@pytest.mark.parametrize("proportions", ["source", "target"])
def test_the_own_pose_gives_the_own_joints(lens, is_seen, proportions):
    source = _seen(turn(FIGURES[0], 0.8), lens)
    # What a camera saw comes with its heading, a pose may face anywhere.
    target = _target((turn(FIGURES[:1], 0.8) if is_seen else FIGURES[:1]) * 3, None)
    target = dataclasses.replace(target, is_seen=is_seen)
    joints = place_target(source, target, Placement(proportions=proportions))
    expected = project(lens, source.points)
    np.testing.assert_allclose(joints, expected, atol=1e-4)


def test_another_pose_of_a_synthetic_person_is_where_its_camera_sees_it():
    """Ground truth: the conventions of `people.records`, a person of another shape."""
    body = load_template()
    shape = np.random.default_rng(8).normal(0, 1, 10).astype(np.float32)
    rest = np.asarray(rest_joints(body, shape), np.float64)
    poses = [POSES[1], POSES[2]]
    first, second = (posed_joints(pose, rest) for pose in poses)
    # Both stand on the same ground, over the same place.
    second[:, 1] += first[:, 1].min() - second[:, 1].min()
    second[:, [0, 2]] += first[0, [0, 2]] - second[0, [0, 2]]
    camera = look_at(0.0, 0.0, 0.0, centre=np.zeros(3), reach=1.2, focal=3.0)
    joints = [
        pixels_from_view(view_from_body(camera, points, points[0]), SIDE)
        for points in (first, second)
    ]
    lens = Lens(2 / (SIDE * 3.0), np.full(2, SIDE / 2))
    given = unproject(lens, joints[0])
    names = POINT_NAMES[:24]
    points = complete_figure(dict(zip(names, given[:, None])))
    source = Seen(points, lens, None, None)
    target = Target(pose_figure(poses[1][None]), None, False)
    placed = place_target(source, target, Placement(facing="recorded"))[0, :24]
    error = np.linalg.norm(placed - joints[1], axis=-1)
    # Rest directions of bones differ a little between shapes.
    assert error.max() < 0.03 * figure_size(points[0])
    assert error.mean() < 0.012 * figure_size(points[0])


# -- proportions


def test_bones_keep_the_lengths_of_the_photographed_person():
    longer = rest_figure() * [1.0, 1.2, 1.0]
    target = _target(pose_figure(POSES) * [1.3, 0.9, 1.1])
    for source in (SOURCE, _seen(longer)):
        own = _own(place_target(source, target, Placement()), source)
        expected = bone_lengths(source.points[0])
        np.testing.assert_allclose(bone_lengths(own), np.tile(expected, (6, 1)))


def test_proportions_of_the_target_are_scaled_to_the_person():
    figures = pose_figure(POSES) * [1.3, 0.9, 1.1]
    placement = Placement(proportions="target", facing="recorded")
    own = _own(place_target(SOURCE, _target(figures), placement), SOURCE)
    ratio = (
        np.linalg.norm(own, axis=-1)[:, 1:] / np.linalg.norm(figures, axis=-1)[:, 1:]
    )
    np.testing.assert_allclose(ratio, ratio[0, 0])
    sizes = figure_size(own)
    assert np.median(sizes) == pytest.approx(figure_size(SOURCE.points[0]))


# -- facing


def test_the_first_frame_faces_as_the_person_does():
    target = _target(np.stack([turn(f, 2.0 + 0.1 * n) for n, f in enumerate(FIGURES)]))
    source_heading = heading(SOURCE.points[0] * [1, -1, -1])
    turned = heading(_own(place_target(SOURCE, target, Placement()), SOURCE))
    assert turned[0] == pytest.approx(source_heading)
    # The rest of the motion turns with it.
    change = heading(target.points) - heading(target.points[0])
    np.testing.assert_allclose(
        np.exp(1j * (turned - turned[0])), np.exp(1j * change), atol=0.2
    )
    for placement, is_seen in (
        (Placement(facing="recorded"), False),
        (Placement(), True),
    ):
        seen = dataclasses.replace(target, is_seen=is_seen)
        kept = heading(_own(place_target(SOURCE, seen, placement), SOURCE))
        np.testing.assert_allclose(kept[0], heading(target.points[0]), atol=0.1)
    seen = dataclasses.replace(target, is_seen=True)
    turned = place_target(SOURCE, seen, Placement(facing="source"))
    assert heading(_own(turned, SOURCE))[0] == pytest.approx(source_heading)


def test_left_is_right_in_the_picture_and_the_nose_is_near_for_who_faces_the_camera():
    facing = _seen(rest_figure())
    joints = place_target(facing, _target(turn(FIGURES[3:4], 2.0)), Placement())[0]
    at = lambda name: joints[POINT_INDEX[name]]
    assert at("left_shoulder")[0] > at("right_shoulder")[0]
    assert at("left_hip")[0] > at("right_hip")[0]
    assert at("head")[1] < at("pelvis")[1] < at("left_ankle")[1]
    assert at("nose")[2] < at("head")[2]
    assert at("left_foot")[2] < at("left_ankle")[2]


# -- place


def _lowest(joints, source):
    points = unproject(source.lens, joints)
    # The pelvis is at depth 0 in joints; heights need no more than that.
    return points[..., 1].max(-1)


def test_poses_without_a_height_stand_where_the_person_stands():
    target = _target(FIGURES * 2)
    joints = place_target(SOURCE, target, Placement())
    own = SOURCE.points[0, :, 1].max()
    np.testing.assert_allclose(_lowest(joints, SOURCE), own, rtol=1e-9)
    xy = joints[:, PELVIS, 0]
    np.testing.assert_allclose(xy, project(LENS, SOURCE.points)[0, PELVIS, 0])


def test_a_jump_is_kept_and_the_ground_is_that_of_the_photograph():
    height = np.r_[np.zeros(10), np.sin(np.linspace(0, np.pi, 9)) * 0.4, np.zeros(10)]
    figures = np.repeat(FIGURES[1:2], len(height), axis=0)
    path = np.stack([height * 0, height + 5, height * 0], 1)
    joints = place_target(SOURCE, _target(figures, path), Placement())
    lift = SOURCE.points[0, :, 1].max() - _lowest(joints, SOURCE)
    scale = figure_size(SOURCE.points[0]) / figure_size(FIGURES[1])
    np.testing.assert_allclose(lift, height * scale, atol=1e-6)


def test_feet_stay_on_the_ground_while_somebody_stands_up():
    crouched = POSES[0].copy()
    for side in ("left", "right"):
        crouched[POINT_INDEX[f"{side}_hip"]] += [-1.2, 0, 0]
        crouched[POINT_INDEX[f"{side}_knee"]] += [1.8, 0, 0]
    share = np.linspace(0, 1, 12)[:, None, None]
    figures = pose_figure((1 - share) * crouched + share * POSES[0])
    height = -figures[..., 1].min(1)
    assert np.ptp(height) > 0.1
    path = np.stack([height * 0, height, height * 0], 1)
    joints = place_target(SOURCE, _target(figures, path), Placement())
    ground = SOURCE.points[0, :, 1].max()
    # Their proportions differ a little from those of the recorded body.
    error = np.abs(_lowest(joints, SOURCE) - ground) / figure_size(SOURCE.points[0])
    assert error.max() < 0.01


def test_in_place_the_pelvis_stays_and_with_travel_it_follows_the_turned_path():
    figures = np.repeat(turn(FIGURES[:1], -0.7), 5, axis=0)
    steps = np.linspace(0, 1, 5)[:, None]
    # Forwards, as the figure faces.
    forwards = turn(np.array([0.0, 0.0, 1.0]), heading(figures[0]))
    target = _target(figures, steps * forwards + [7, 3, -5])
    flat = _seen(rest_figure(), Lens())
    stays = place_target(flat, target, Placement())[:, PELVIS]
    np.testing.assert_allclose(stays[:, 0], flat.points[0, PELVIS, 0], atol=1e-9)
    # The source faces the camera: forwards is towards it, which only a lens shows.
    near = _seen(rest_figure())
    moved = place_target(near, target, Placement(travel=True))
    across = place_target(flat, target, Placement(travel=True))
    # It begins where the person is.
    np.testing.assert_allclose(across[:, PELVIS, 0], stays[:, 0], atol=1e-6)
    spread = np.ptp(moved[..., 1], axis=1)
    assert (np.diff(spread) > 0).all() and (moved[:, PELVIS, 2] == 0).all()
    recorded = place_target(flat, target, Placement(travel=True, facing="recorded"))
    scale = figure_size(flat.points[0]) / figure_size(figures[0])
    np.testing.assert_allclose(
        np.diff(recorded[:, PELVIS, 0]), scale * forwards[0] / 4, rtol=1e-6
    )


def test_travel_needs_a_path_and_options_are_checked():
    target = _target(FIGURES)
    for placement in (
        Placement(travel=True),
        Placement(facing="left"),
        Placement(proportions="both"),
    ):
        with pytest.raises(ValueError):
            place_target(SOURCE, target, placement)


# -- smoothing


def test_smoothing_keeps_what_stands_still_and_what_moves_evenly():
    still = _target(np.repeat(FIGURES[:1], 30, axis=0))
    plain, smooth = (
        place_target(SOURCE, still, Placement(smoothing=s)) for s in (0.0, 3.0)
    )
    np.testing.assert_allclose(smooth, plain, atol=1e-9)
    path = np.linspace([0, 0, 0], [3, 0, 0], 60)
    walk = _target(np.repeat(FIGURES[:1], 60, axis=0), path)
    options = {"travel": True, "facing": "recorded"}
    plain, smooth = (
        place_target(SOURCE, walk, Placement(smoothing=s, **options)) for s in (0, 2)
    )
    # No phase: away from the ends an even motion is not delayed.
    change = (plain - plain[:1]) - (smooth - smooth[:1])
    np.testing.assert_allclose(np.diff(change[10:-10], axis=0), 0, atol=0.05)


def test_smoothing_removes_jitter_and_keeps_bone_lengths():
    noise = np.random.default_rng(0).normal(0, 0.03, (40, 29, 3))
    target = _target(FIGURES[:1] + noise, is_seen=True)
    plain, smooth = (
        place_target(SOURCE, target, Placement(smoothing=s)) for s in (0.0, 2.0)
    )
    jitter = lambda joints: np.abs(np.diff(joints, 2, axis=0)).mean()
    assert jitter(smooth) < 0.2 * jitter(plain)
    lengths = bone_lengths(_own(smooth, SOURCE))
    np.testing.assert_allclose(
        lengths, np.tile(bone_lengths(SOURCE.points[0]), (40, 1))
    )
    one = place_target(SOURCE, _target(FIGURES[:1]), Placement(smoothing=5.0))
    np.testing.assert_allclose(
        one, place_target(SOURCE, _target(FIGURES[:1]), Placement())
    )


# -- degenerate people


def test_limbs_without_length_stay_finite():
    figure = FIGURES[0].copy()
    for name in ("wrist", "hand"):
        figure[POINT_INDEX[f"left_{name}"]] = figure[POINT_INDEX["left_elbow"]]
    for source, target in (
        (_seen(figure), _target(FIGURES)),
        (SOURCE, _target(figure[None])),
        (SOURCE, _target(np.zeros((2, 29, 3)))),
    ):
        assert np.isfinite(place_target(source, target, Placement(smoothing=1.0))).all()
