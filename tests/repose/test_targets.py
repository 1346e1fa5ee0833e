"""Targets: poses, motions and joint files become one figure over time."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from volhuman.body.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from volhuman.errors import InputError
from volhuman.repose.figure import PELVIS, POINT_INDEX, pose_figure, rest_figure
from volhuman.repose.joint_files import read_joints
from volhuman.repose.targets import Sampling, read_target

POSES = np.random.default_rng(1).normal(0, 0.3, (9, 24, 3))
PATH = np.linspace([0, 0.9, 0], [0.8, 1.0, 1.6], 9)


def _amass(folder, pose=POSES, path=PATH, rate=10.0):
    """A motion as AMASS has it: z up."""
    up = Rotation.from_euler("x", 90, degrees=True)
    pose = pose.copy()
    pose[:, 0] = (up * Rotation.from_rotvec(pose[:, 0])).as_rotvec()
    file = folder / "motion.npz"
    np.savez(
        file, poses=pose.reshape(-1, 72), trans=up.apply(path), mocap_framerate=rate
    )
    return file


def _bvh(folder, turns, path, rate=10.0):
    """A T-posed skeleton of the embedded body whose joints turn about z alone."""
    rest = rest_figure()[:24] * 100
    lines, order = ["HIERARCHY"], []

    def write(joint):
        order.append(joint)
        offset = rest[joint] - rest[PARENTS[joint]] if joint else np.zeros(3)
        positions = "6 Xposition Yposition Zposition " if joint == 0 else "3 "
        lines.append(f"{'JOINT' if joint else 'ROOT'} {JOINT_NAMES[joint]}")
        lines.append("{")
        lines.append("OFFSET " + " ".join(map(str, offset)))
        lines.append(f"CHANNELS {positions}Zrotation Xrotation Yrotation")
        children = np.flatnonzero(joint == PARENTS)
        for child in children:
            write(child)
        if not len(children):
            lines.append("End Site\n{\nOFFSET 0 1 0\n}")
        lines.append("}")

    write(0)
    lines.extend(["MOTION", f"Frames: {len(turns)}", f"Frame Time: {1 / rate}"])
    for angles, place in zip(turns, path * 100, strict=True):
        row = [*place]
        for joint in order:
            row += [np.degrees(angles.get(JOINT_NAMES[joint], 0.0)), 0.0, 0.0]
        lines.append(" ".join(map(str, row)))
    file = folder / "motion.bvh"
    file.write_text("\n".join(lines) + "\n")
    return file


def _joint_file(path, points, **changes):
    camera = {} if "unit" in changes else {"focal": 800, "centre": [256, 256]}
    content = {"unit": "mm"} | camera | changes
    content["joints"] = dict(zip(JOINT_NAMES, np.asarray(points)[:24].tolist()))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def _seen(figure, place=(0.0, 0.0, 3.0)):
    """A figure as a camera sees it, mm."""
    return (figure * [1, -1, -1] + place) * 1000


# -- poses


def test_a_pose_is_read_from_every_form(tmp_path):
    expected = pose_figure(POSES[:1])
    named = {"pose_axis_angle": dict(zip(JOINT_NAMES, POSES[0].tolist()))}
    contents = [{"pose": POSES[0].tolist()}, {"pose": POSES[0].ravel().tolist()}, named]
    for content in contents:
        path = tmp_path / "pose.json"
        path.write_text(json.dumps(content))
        target = read_target(path, Sampling())
        np.testing.assert_allclose(target.points, expected, atol=1e-9)
        assert target.path is None and not target.is_seen
    for pose in (POSES[0], POSES[0].ravel()):
        np.savez(tmp_path / "pose.npz", pose=pose)
        target = read_target(tmp_path / "pose.npz", Sampling())
        np.testing.assert_allclose(target.points, expected, atol=1e-9)


# -- motions


def test_a_motion_keeps_poses_and_path_at_its_own_rate(tmp_path):
    target = read_target(_amass(tmp_path), Sampling(fps=10))
    np.testing.assert_allclose(target.points, pose_figure(POSES), atol=1e-4)
    np.testing.assert_allclose(target.path, PATH, atol=1e-5)
    assert not target.is_seen


def test_bvh_raises_the_left_arm_and_walks(tmp_path):
    turns = [{"left_shoulder": angle} for angle in np.linspace(0, 1.2, 9)]
    target = read_target(_bvh(tmp_path, turns, PATH), Sampling(fps=10))
    hand, shoulder = (POINT_INDEX[f"left_{name}"] for name in ("hand", "shoulder"))
    height = (target.points[:, hand] - target.points[:, shoulder])[:, 1]
    reach = np.linalg.norm(target.points[0, hand] - target.points[0, shoulder])
    np.testing.assert_allclose(
        height, reach * np.sin(np.linspace(0, 1.2, 9)), atol=0.01
    )
    assert (target.points[:, hand, 0] > 0).all()  # the person's left is +x
    np.testing.assert_allclose(target.path - target.path[0], PATH - PATH[0], atol=1e-4)


def test_rotations_are_resampled_along_the_shortest_way(tmp_path):
    pose = np.zeros((2, 24, 3))
    pose[0, JOINT_INDEX["left_shoulder"]] = [0, 0, 3.0]
    pose[1, JOINT_INDEX["left_shoulder"]] = [0, 0, -3.0]  # over the half turn
    file = _amass(tmp_path, pose, np.zeros((2, 3)), rate=1.0)
    target = read_target(file, Sampling(fps=2))
    middle = np.zeros((1, 24, 3))
    middle[0, JOINT_INDEX["left_shoulder"]] = [0, 0, np.pi]
    np.testing.assert_allclose(target.points[1:2], pose_figure(middle), atol=1e-4)


def test_rotations_between_frames_are_those_of_slerp(tmp_path):
    target = read_target(_amass(tmp_path, rate=1.0), Sampling(fps=4))
    moments = np.arange(33) / 4
    between = [
        Slerp(range(9), Rotation.from_rotvec(POSES[:, joint]))(moments).as_rotvec()
        for joint in range(24)
    ]
    expected = pose_figure(np.stack(between, axis=1))
    np.testing.assert_allclose(target.points, expected, atol=1e-4)


@pytest.mark.parametrize(
    "options, moments",
    [
        ({"fps": 10}, range(9)),
        ({"fps": 5}, [0, 2, 4, 6, 8]),
        ({"fps": 3}, [0, 10 / 3, 20 / 3]),
        ({"fps": 10, "start": 0.35}, [3.5, 4.5, 5.5, 6.5, 7.5]),
        ({"fps": 10, "duration": 0.3}, [0, 1, 2]),
        ({"fps": 10, "start": 0.8}, [8]),
        ({"fps": 10, "start": 0.5, "duration": 99.0}, [5, 6, 7, 8]),
        ({"fps": 1, "duration": 0.01}, [0]),
    ],
)
def test_frames_are_taken_at_the_wanted_moments(tmp_path, options, moments):
    target = read_target(_amass(tmp_path), Sampling(**options))
    expected = [np.interp(list(moments), range(9), PATH[:, axis]) for axis in range(3)]
    np.testing.assert_allclose(target.path, np.stack(expected, 1), atol=1e-5)
    assert len(target.points) == len(list(moments))


def test_too_many_frames_are_refused_before_they_are_made(tmp_path):
    file = _amass(tmp_path, rate=1e-4)  # a day long
    with pytest.raises(InputError, match=r"2000001 frames.*max_frames"):
        read_target(file, Sampling(fps=25))
    target = read_target(file, Sampling(fps=25, start=7.0, duration=0.2))
    assert len(target.points) == 5


def test_a_start_behind_the_end_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"start=0\.9"):
        read_target(_amass(tmp_path), Sampling(start=0.9))


# -- joints that a camera saw


def test_joints_in_mm_stand_upright_where_they_are(tmp_path):
    figure = pose_figure(POSES[:1])[0]
    path = _joint_file(tmp_path / "joints.json", _seen(figure, (0.4, -0.2, 3.5)))
    target = read_target(path, Sampling())
    assert target.is_seen
    np.testing.assert_allclose(target.points[0, :24], figure[:24] * 1000, atol=1e-6)
    np.testing.assert_allclose(target.path, [[400, 200, -3500]])


def test_a_folder_is_read_in_natural_order(tmp_path):
    figures = pose_figure(POSES)
    for number in range(9):
        place = PATH[number] * [1, -1, -1] + [0, 0, 4]
        _joint_file(
            tmp_path / "film" / f"frame{number + 5}.json", _seen(figures[number], place)
        )
    (tmp_path / "film" / ".hidden.json").write_text("no joints")
    # A frame may be arrays.
    content = json.loads((tmp_path / "film" / "frame9.json").read_text())
    (tmp_path / "film" / "frame9.json").unlink()
    joints = np.array([content["joints"][name] for name in JOINT_NAMES])
    np.savez(
        tmp_path / "film" / "frame9.npz",
        joint_set="body24",
        **(content | {"joints": joints}),
    )
    target = read_target(tmp_path / "film", Sampling())
    np.testing.assert_allclose(target.points[:, :24], figures[:, :24] * 1000, atol=1e-6)
    np.testing.assert_allclose(
        target.path - target.path[0], (PATH - PATH[0]) * 1000, atol=1e-6
    )
    part = read_target(tmp_path / "film", Sampling(fps=10, start=0.5, duration=0.2))
    np.testing.assert_allclose(part.points, target.points[5:7])
    with pytest.raises(InputError, match="max_frames"):
        read_target(tmp_path / "film", Sampling(max_frames=8))


def test_results_of_the_registration_are_a_film(tmp_path):
    figures = pose_figure(POSES)
    for number in (9, 10):
        _joint_file(
            tmp_path / f"frame{number}" / "body.json", _seen(figures[number - 9])
        )
    film = read_target(tmp_path, Sampling())
    one = read_target(tmp_path / "frame10", Sampling())  # the folder of one result
    np.testing.assert_allclose(film.points[1:, :24], one.points[:, :24])
    assert len(film.points) == 2


def test_pixels_tell_no_path_and_have_one_size_each(tmp_path):
    figure = pose_figure(POSES[:1])[0] * [1, -1, -1]
    for number, scale in enumerate((100, 150)):
        _joint_file(
            tmp_path / f"{number}.json", figure * scale + [99, 99, 0], unit="pixels"
        )
    target = read_target(tmp_path, Sampling())
    assert target.path is None and target.is_seen
    np.testing.assert_allclose(target.points[0], target.points[1], atol=1e-3)


def test_frames_in_one_file_are_resampled(tmp_path):
    figures = _seen(pose_figure(POSES))[:, :24]
    path = tmp_path / "film.npz"
    np.savez(
        path, joints=figures, unit="mm", joint_set="body24", fps=10.0,
        focal=800.0, centre=np.array([256.0, 256.0]),
    )  # fmt: skip
    target = read_target(path, Sampling(fps=20))
    assert target.points.shape == (17, 29, 3)
    whole = read_joints(path)
    middle = (whole.points[3] + whole.points[4]) / 2 * [1, -1, -1]
    middle = (middle - middle[PELVIS]) * 3000 / 800
    np.testing.assert_allclose(target.points[7], middle, atol=1e-6)


# -- what cannot be used


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("pose.json", {"pose": [1, 2, 3]}, ["24 x 3"]),
        ("pose.json", {"pose": [[1, 2]] * 24}, ["3 numbers"]),
        ("pose.json", {"pose": ["x"] * 72}, ["pelvis", "'x'"]),
        ("pose.json", {"pose": [0.0] * 71 + [float("nan")]}, ["right_hand", "nan"]),
        ("pose.json", {"pose": [0.0] * 71 + [5000]}, ["right_hand", "5000"]),
        ("pose.json", {"pose_axis_angle": {"pelvis": [0, 0, 0]}}, ["left_hip"]),
        ("pose.json", {"pose": None}, ["24 x 3"]),
        ("joints.json", {"nose": [1, 2]}, ["register.py"]),
        ("motion.fbx", "x", ["not a target", ".bvh"]),
        ("motion.bvh", "HIERARCHY", ["MOTION"]),
        ("motion.npz", "x", ["npz"]),
        ("missing.bvh", None, ["missing.bvh"]),
        ("missing.npz", None, ["missing.npz"]),
        ("missing.json", None, ["missing.json"]),
        ("missing.png", None, ["no such file or folder"]),
        ("missing", None, ["no such file or folder"]),
    ],
)
def test_what_is_no_target_is_named(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError) as error:
        read_target(path, Sampling())
    for word in [str(path), *words]:
        assert word in str(error.value)


def test_arrays_that_are_no_pose_are_refused(tmp_path):
    path = tmp_path / "pose.npz"
    for pose in (np.zeros((23, 3)), np.array(["x"] * 72), np.full((24, 3), np.nan)):
        np.savez(path, pose=pose)
        with pytest.raises(InputError, match=r"pose\.npz"):
            read_target(path, Sampling())


def test_folders_without_joints_or_with_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no"):
        read_target(tmp_path, Sampling())
    figures = _seen(pose_figure(POSES[:2]))[:, :24]
    content = {"unit": "mm", "focal": 800, "centre": [0, 0], "joint_set": "body24"}
    (tmp_path / "a.json").write_text(json.dumps(content | {"joints": figures.tolist()}))
    with pytest.raises(InputError, match=r"a\.json.*several frames"):
        read_target(tmp_path, Sampling())
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InputError, match=r"a\.json"):
        read_target(tmp_path, Sampling())
