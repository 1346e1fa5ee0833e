"""Files of 3D joints: their forms agree, and what cannot be used is named."""

import copy
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.body.keypoints import COCO17
from volhuman.body.model import pose_body, rest_params
from volhuman.body.part_transforms import PANOPTIC19
from volhuman.body.skeleton import JOINT_NAMES
from volhuman.body.template import load_template
from volhuman.deform_and_learn import results
from volhuman.errors import InputError
from volhuman.geometry.camera import Crop, WeakPerspective
from volhuman.repose.completion import REQUIRED
from volhuman.repose.figure import (
    PELVIS,
    POINT_INDEX,
    pose_figure,
    select_joints,
)
from volhuman.repose.joint_files import JOINT_ORDERS, read_joints
from volhuman.repose.lens import project

FOCAL, CENTRE = 700.0, [310.0, 250.0]
POSE = np.random.default_rng(2).normal(0, 0.25, (3, 24, 3))
# Camera axes in mm: upright, three metres away, not in the middle.
FIGURES = pose_figure(POSE) * [1000, -1000, -1000] + [200, -100, 3000]
FIGURE = FIGURES[0]


def _by_name(points, names=JOINT_NAMES):
    return {name: points[POINT_INDEX[name]].tolist() for name in names}


def _metric(**changes):
    content = {"unit": "mm", "joints": _by_name(FIGURE)}
    return content | {"focal": FOCAL, "centre": CENTRE} | changes


def _pixels(figure=FIGURE):
    """The same joints in pixels, by the documented rule."""
    distance = figure[..., 2:]
    pelvis = figure[..., PELVIS, None, 2:]
    xy = figure[..., :2] * FOCAL / distance + CENTRE
    return np.concatenate([xy, (distance - pelvis) * FOCAL / pelvis], -1)


def _write(folder, content):
    path = folder / "joints.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def _read(folder, content):
    seen = read_joints(_write(folder, content))
    return project(seen.lens, seen.points)


# -- forms


def test_millimetres_become_pixels_by_the_documented_rule(tmp_path):
    joints = _read(tmp_path, _metric())
    assert joints.shape == (1, 29, 3)
    np.testing.assert_allclose(joints[0, :24], _pixels()[:24], atol=1e-6)
    metres = {n: (np.array(j) / 1000).tolist() for n, j in _by_name(FIGURE).items()}
    again = _read(tmp_path, _metric(unit="m", joints=metres))
    np.testing.assert_allclose(again, joints, atol=1e-6)


def test_pixels_and_millimetres_of_the_same_person_agree(tmp_path):
    metric = read_joints(_write(tmp_path, _metric()))
    content = {"unit": "pixels", "joints": _by_name(_pixels())}
    flat = _read(tmp_path, content)
    np.testing.assert_allclose(
        flat[:, :24], project(metric.lens, metric.points)[:, :24]
    )
    # With the camera they agree in everything, also in what was filled in.
    camera = {"focal": [FOCAL, FOCAL], "centre": CENTRE}
    seen = read_joints(_write(tmp_path, content | camera))
    np.testing.assert_allclose(seen.points, metric.points, atol=1e-3)
    assert seen.position is None
    np.testing.assert_allclose(metric.position, [FIGURE[PELVIS]])


def test_two_focal_lengths_stretch_the_picture(tmp_path):
    joints = _read(tmp_path, _metric(focal=[FOCAL, 2 * FOCAL]))[0]
    expected = FIGURE[:24, :2] / FIGURE[:24, 2:] * [FOCAL, 2 * FOCAL] + CENTRE
    np.testing.assert_allclose(joints[:24, :2], expected, atol=1e-6)


def test_joints_of_the_registration_lie_where_its_overlay_draws_them(tmp_path):
    model = load_template()
    params = rest_params(model)
    params = type(params)(
        jnp.asarray(POSE[1], jnp.float32), params.shape + 0.5, params.scales * 1.1,
        jnp.array([0.1, -0.2, 0.3]),
    )  # fmt: skip
    turn = np.array([[0.8, 0, 0.6], [0, -1, 0], [0.6, 0, -0.8]], np.float32)
    camera = WeakPerspective(np.float32(0.9), turn, np.array([0.1, -0.05], np.float32))
    crop = Crop(np.array([260.0, 300.0], np.float32), np.float32(640))
    posed = jax.jit(pose_body)(model, params)
    record = results.body_record(model, params, camera, crop, posed)
    joints = _read(tmp_path, record)[0, :24]
    drawn = [record["keypoints_pixels"][name] for name in JOINT_NAMES]
    np.testing.assert_allclose(joints[:, :2], drawn, atol=0.01)
    # Depths in the same pixels: the body only turned and grew.
    metres = np.asarray(posed.joints)
    np.testing.assert_allclose(
        np.linalg.norm(joints - joints[0], axis=1),
        np.linalg.norm(metres - metres[0], axis=1) * 0.9 * 320,
        rtol=1e-4,
    )
    assert joints[0, 2] == 0
    # Who faces the camera has the feet nearer than the ankles.
    front = (metres @ turn.T)[:, 2]
    assert (np.sign(joints[1:, 2]) == np.sign(front[1:] - front[0])).all()


@pytest.mark.parametrize("joint_set", JOINT_ORDERS)
def test_joint_sets_are_read_by_their_order(tmp_path, joint_set):
    content = {"unit": "pixels", "joint_set": joint_set, "joints": _all(joint_set)}
    needed = [POINT_INDEX[name] for name in REQUIRED]
    change = (_read(tmp_path, content)[0] - _pixels())[needed]
    np.testing.assert_allclose(change[:, :2], 0, atol=1e-6)
    # The depth is relative to a pelvis that may have been filled in.
    np.testing.assert_allclose(np.ptp(change[:, 2]), 0, atol=1e-6)
    assert np.abs(change[:, 2]).max() < 10


def _all(joint_set):
    """Pixels of a joint set; zeros where the figure has no such point."""
    truth = _pixels()
    return [
        truth[POINT_INDEX[name]].tolist() if name in POINT_INDEX else [0.0, 0.0, 0.0]
        for name in JOINT_ORDERS[joint_set]
    ]


def test_orders_have_the_joints_that_are_needed():
    for order in JOINT_ORDERS.values():
        assert set(REQUIRED) <= set(order)
    sizes = {name: len(order) for name, order in JOINT_ORDERS.items()}
    assert sizes == {
        "body24": 24,
        "panoptic19": 19,
        "coco17": 17,
        "body25": 25,
        "h36m17": 17,
    }


def test_panoptic_joints_come_back_for_the_published_network(tmp_path):
    truth = select_joints(_pixels(), PANOPTIC19)
    content = {"unit": "pixels", "joint_set": "panoptic19", "joints": truth.tolist()}
    read = select_joints(_read(tmp_path, content)[0], PANOPTIC19)
    np.testing.assert_allclose(read[:, :2], truth[:, :2], atol=1e-6)
    np.testing.assert_allclose(np.ptp(read[:, 2] - truth[:, 2]), 0, atol=1e-6)


def test_frames_come_from_lists_and_from_npz(tmp_path):
    frames = _pixels(FIGURES)[:, :24]
    content = {"unit": "pixels", "joint_set": "body24", "joints": frames.tolist()}
    listed = read_joints(_write(tmp_path, content | {"fps": 30}))
    assert listed.points.shape == (3, 29, 3) and listed.rate == 30
    path = tmp_path / "joints.npz"
    np.savez(path, joints=frames, unit="pixels", joint_set="body24", fps=30.0)
    np.testing.assert_allclose(read_joints(path).points, listed.points)
    metric = FIGURES[:, :24].astype(np.float32)
    camera = {"focal": np.array(FOCAL), "centre": np.array(CENTRE)}
    np.savez(path, joints=metric, unit="mm", joint_set="body24", **camera)
    seen = read_joints(path)
    np.testing.assert_allclose(
        project(seen.lens, seen.points)[:, :24], frames, atol=1e-2
    )
    assert seen.rate is None and seen.position.shape == (3, 3)


def test_names_may_be_spelt_in_several_ways(tmp_path):
    spelt = {
        name.replace("left_", "L").replace("right_", "Right ").title(): joint
        for name, joint in _by_name(FIGURE).items()
    }
    np.testing.assert_array_equal(
        _read(tmp_path, _metric(joints=spelt)), _read(tmp_path, _metric())
    )


def test_joints_that_can_be_filled_in_may_be_null_or_absent(tmp_path):
    joints = _by_name(FIGURE) | {"left_hand": None}
    del joints["spine2"]
    content = _metric(joints=joints | {"thorax": [1, 2, 3]})
    read, whole = _read(tmp_path, content), _read(tmp_path, _metric())
    others = [
        i for name, i in POINT_INDEX.items() if name not in ("left_hand", "spine2")
    ]
    np.testing.assert_allclose(read[:, others], whole[:, others], atol=1e-6)
    assert np.isfinite(read).all() and np.abs(read - whole).max() < 25


# -- what cannot be used


def _joints(**changes):
    joints = _by_name(FIGURE) | changes
    return {name: joint for name, joint in joints.items() if joint != "absent"}


BODY = {
    "camera": {"scale": 1.0, "rotation": np.eye(3).tolist(), "translation": [0, 0]},
    "crop": {"centre": [5, 5], "size": 10},
    "joints": _by_name(FIGURE),
}


@pytest.mark.parametrize(
    "content, words",
    [
        ("", ["JSON"]),
        ("{", ["JSON"]),
        ([], ["register.py", "body.json"]),
        ({}, ["register.py", "body.json"]),
        ({"nose": [3, 4], "left_hip": [5, 6]}, ["register.py", "body.json"]),
        ({"people": [{"pose_keypoints_2d": [1.0] * 75}]}, ["register.py"]),
        ({"keypoints": [1.0] * 51}, ["register.py"]),
        ({"joints": _by_name(FIGURE)}, ["'unit'"]),
        (_metric(unit="inch"), ["'inch'", "mm"]),
        (_metric(unit=["mm"]), ["['mm']"]),
        (_metric(joints={}), ["left_hip", "missing"]),
        (_metric(joints=[]), ["'joints'"]),
        (_metric(joints=None), ["'joints'"]),
        (_metric(joints=3), ["'joints'"]),
        (_metric(joints=_joints(left_knee="absent")), ["left_knee is missing"]),
        (_metric(joints=_joints(left_knee=None)), ["left_knee is missing"]),
        (
            _metric(joints=_joints(left_knee="absent", left_nee=[1, 2, 3])),
            ["left_knee is missing", "left_nee"],
        ),
        (_metric(joints=_joints(left_knee=[1, 2])), ["left_knee", "register.py"]),
        (_metric(joints=_joints(left_knee="there")), ["left_knee", "there"]),
        (_metric(joints=_joints(left_knee=[1, 2, "3"])), ["left_knee", "'3'"]),
        (_metric(joints=_joints(left_knee=[1, float("nan"), 3])), ["left_knee", "nan"]),
        (_metric(joints=_joints(left_knee=[1, float("inf"), 3])), ["left_knee", "inf"]),
        (_metric(joints=_joints(left_knee=[1, 2, 1e20])), ["left_knee", "large"]),
        (_metric(joints=_joints(left_knee=[1, 2, 10**400])), ["left_knee"]),
        (
            _metric(joints=_joints(left_knee=[1, 2, -5])),
            ["left_knee", "-5", "distance"],
        ),
        (_metric(joints=_joints(pelvis=[0, 0, 0])), ["pelvis", "distance"]),
        ({"unit": "mm", "joints": _by_name(FIGURE)}, ["'focal'", "'centre'"]),
        (_metric(focal=0), ["focal"]),
        (_metric(focal=[700]), ["focal"]),
        (_metric(focal="wide"), ["focal", "wide"]),
        (_metric(centre=[1, 2, 3]), ["centre"]),
        (_metric(centre=None), ["centre"]),
        (_metric(joints=FIGURE.tolist()), ["'joint_set'", "body24"]),
        (_metric(joints=FIGURE.tolist(), joint_set="mpii"), ["'mpii'", "body24"]),
        (_metric(joints=FIGURE.tolist(), joint_set="body24"), ["(29, 3)", "(24, 3)"]),
        (_metric(joints=[[1, 2], [3]], joint_set="body24"), ["table"]),
        (_metric(joints=[["a"] * 3] * 24, joint_set="body24"), ["table"]),
        (
            _metric(joints=[[1, float("nan"), 2]] * 24, joint_set="body24"),
            ["frame 0, pelvis", "nan"],
        ),
        (_metric(fps=0), ["fps", "0"]),
        (_metric(fps="fast"), ["fps", "fast"]),
        (BODY | {"joints": [1, 2]}, ["joints"]),
        (BODY | {"camera": 3}, ["scale"]),
        (BODY | {"camera": BODY["camera"] | {"scale": -1}}, ["scale", "-1"]),
        (BODY | {"camera": BODY["camera"] | {"rotation": [1]}}, ["rotation", "3 x 3"]),
        (BODY | {"crop": {"centre": [5, 5]}}, ["size"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_used_is_named_in_one_sentence(tmp_path, content, words):
    path = _write(tmp_path, content)
    with pytest.raises(InputError) as error:
        read_joints(path)
    text = str(error.value)
    assert text.startswith(str(path)) and "\n" not in text
    for word in words:
        assert word in text


def test_what_estimators_write_for_a_missing_joint_is_missing(tmp_path):
    joints = _pixels()[[POINT_INDEX[name] for name in COCO17]]
    whole = {"unit": "pixels", "joint_set": "coco17", "joints": joints.tolist()}
    nose, wrist = COCO17.index("nose"), COCO17.index("left_wrist")
    expected = None
    for nothing in (None, [0, 0, 0], [None, None, None], [float("nan")] * 3):
        content = copy.deepcopy(whole)
        content["joints"][nose] = nothing
        points = read_joints(_write(tmp_path, content)).points
        # Filled in: the same whatever stood for it, and not in the corner.
        expected = points if expected is None else expected
        np.testing.assert_array_equal(points, expected)
        content["joints"][wrist] = nothing
        with pytest.raises(InputError, match="left_wrist is missing"):
            read_joints(_write(tmp_path, content))
        frames = [whole["joints"], content["joints"]]
        with pytest.raises(InputError, match=r"frame 1, left_wrist .*missing joint"):
            read_joints(_write(tmp_path, whole | {"joints": frames}))


def test_joints_relative_to_the_pelvis_are_a_target(tmp_path):
    """As most 3D estimators give them: what a person shall do, not where they are."""
    relative = FIGURE[:24] - FIGURE[PELVIS]
    content = {"unit": "mm", "joint_set": "body24", "joints": relative.tolist()}
    for extra in ({}, {"focal": 700, "centre": [1, 2]}):
        path = _write(tmp_path, content | extra)
        with pytest.raises(InputError, match=r"focal|relative to the pelvis"):
            read_joints(path)
        seen = read_joints(path, is_target=True)
        np.testing.assert_allclose(seen.points[0, :24], relative, atol=1e-6)
        assert seen.position is None


def test_broken_npz_files_are_refused(tmp_path):
    path = tmp_path / "joints.npz"
    with pytest.raises(InputError, match="no such file"):
        read_joints(path)
    path.write_bytes(b"not an archive")
    with pytest.raises(InputError, match="npz"):
        read_joints(path)
    np.savez(path, joints=np.array([None] * 72), unit="mm", joint_set="body24")
    with pytest.raises(InputError, match="joints"):
        read_joints(path)
    np.savez(path, joints=np.full((24, 3), "x"), unit="mm", joint_set="body24")
    with pytest.raises(InputError, match="numbers"):
        read_joints(path)
    frames = np.ones((2, 24, 3))
    frames[1, 4] = np.nan
    np.savez(path, joints=frames, unit="pixels", joint_set="body24")
    with pytest.raises(InputError, match="frame 1, left_knee"):
        read_joints(path)


def test_all_joints_at_one_place_are_read(tmp_path):
    content = _metric(joints=_by_name(np.tile([10.0, 20.0, 3000.0], (29, 1))))
    assert np.isfinite(_read(tmp_path, content)).all()


def test_coco_names_are_those_of_the_key_points():
    assert JOINT_ORDERS["coco17"] == COCO17
