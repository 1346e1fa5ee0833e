"""The stick figure: lengths, headings, joint sets, and the points that formats lack."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from volhuman.body.part_transforms import BODY24, PANOPTIC19
from volhuman.body.pose_sampler import posed_joints, sample_pose
from volhuman.body.skeleton import JOINT_INDEX, PARENTS
from volhuman.repose.completion import REQUIRED, complete_figure
from volhuman.repose.figure import (
    FACE_NAMES,
    POINT_INDEX,
    POINT_NAMES,
    bone_lengths,
    figure_size,
    heading,
    pose_figure,
    rest_figure,
    rest_points,
    select_joints,
    set_lengths,
    turn,
)

REST = rest_figure()


@pytest.fixture(scope="module")
def poses():
    generator = np.random.default_rng(3)
    kinds = ("stand", "walk", "arms", "wild", "sit")
    return np.stack([sample_pose(generator, REST[:24], kind) for kind in kinds])


@pytest.fixture(scope="module")
def figures(poses):
    return pose_figure(poses)


def _scaled_sides(points, factor):
    """Lengthens the left forearm."""
    points = points.copy()
    elbow, wrist, hand = (
        POINT_INDEX[f"left_{name}"] for name in ("elbow", "wrist", "hand")
    )
    step = (factor - 1) * (points[..., wrist, :] - points[..., elbow, :])
    points[..., wrist, :] += step
    points[..., hand, :] += step
    return points


# -- posing


def test_joints_of_a_pose_are_those_of_the_sampler_and_the_face_follows_the_head(
    poses, figures
):
    for pose, figure in zip(poses, figures, strict=True):
        joints = posed_joints(pose, REST[:24])
        np.testing.assert_allclose(figure[:24], joints - joints[0], atol=1e-6)
        world = np.eye(3)
        chain = [JOINT_INDEX["head"]]
        while chain[-1]:
            chain.append(int(PARENTS[chain[-1]]))
        for joint in reversed(chain):
            world = world @ Rotation.from_rotvec(pose[joint]).as_matrix()
        offset = REST[24:] - REST[JOINT_INDEX["head"]]
        expected = figure[JOINT_INDEX["head"]] + offset @ world.T
        np.testing.assert_allclose(figure[24:], expected, atol=1e-6)


# -- lengths


def test_lengths_that_were_set_are_the_lengths_and_directions_stay(figures):
    lengths = bone_lengths(REST * [1.3, 0.8, 1.1])
    moved = set_lengths(figures, lengths)
    np.testing.assert_allclose(bone_lengths(moved), np.tile(lengths, (5, 1)))
    for joint in range(1, 24):
        before, after = (x[:, joint] - x[:, PARENTS[joint]] for x in (figures, moved))
        cross = np.linalg.norm(np.cross(before, after), axis=-1)
        assert cross.max() < 1e-12 and ((before * after).sum(-1) > 0).all()
    np.testing.assert_array_equal(moved[:, 0], figures[:, 0])


def test_own_lengths_change_nothing_and_sides_are_averaged(figures):
    same = set_lengths(figures[0], bone_lengths(figures[0]))
    np.testing.assert_allclose(same, figures[0], atol=1e-12)
    uneven = bone_lengths(_scaled_sides(figures[0], 1.5))
    left, right = (POINT_INDEX[f"{side}_wrist"] for side in ("left", "right"))
    ratio = uneven[left] / bone_lengths(figures[0])[left]
    assert uneven[left] == uneven[right] and ratio == pytest.approx(1.25)


def test_size_does_not_depend_on_pose_and_grows_with_scale(figures):
    sizes = figure_size(figures * 7)
    np.testing.assert_allclose(sizes, 7 * figure_size(REST), rtol=1e-6)
    assert 1.3 < figure_size(REST) < 1.7  # metres


def test_bones_without_length_stay_finite(figures):
    points = figures.copy()
    points[:, POINT_INDEX["left_wrist"]] = points[:, POINT_INDEX["left_elbow"]]
    moved = set_lengths(points, bone_lengths(REST))
    assert np.isfinite(moved).all()
    collapsed = set_lengths(np.zeros((29, 3)), bone_lengths(REST))
    np.testing.assert_array_equal(collapsed, 0)


# -- heading


@pytest.mark.parametrize("angle", [-3.0, -0.5, 0.0, 1.2, 3.1])
def test_heading_is_the_turn_and_turning_back_faces_the_camera(angle):
    turned = turn(REST, angle)
    assert heading(turned) == pytest.approx(angle)
    assert heading(turn(turned, -angle)) == pytest.approx(0, abs=1e-9)
    # From z, where the nose is, towards x.
    nose = turned[POINT_INDEX["nose"]] - turned[POINT_INDEX["head"]]
    assert np.arctan2(nose[0], nose[2]) == pytest.approx(angle)


def test_who_lies_on_one_side_has_some_heading():
    lying = REST @ Rotation.from_euler("z", 90, degrees=True).as_matrix().T
    assert np.isfinite(heading(lying)) and heading(np.zeros((29, 3))) == 0


# -- joint sets


def test_joint_sets_are_selected_by_name(figures):
    np.testing.assert_array_equal(select_joints(figures, BODY24), figures[:, :24])
    panoptic = select_joints(figures, PANOPTIC19)
    assert panoptic.shape == (5, 19, 3)
    for name in ("left_wrist", "right_ankle", "nose", "left_ear"):
        number = PANOPTIC19.names.index(name)
        np.testing.assert_array_equal(
            panoptic[:, number], figures[:, POINT_INDEX[name]]
        )
    hips = [POINT_INDEX[f"{side}_hip"] for side in ("left", "right")]
    pelvis = panoptic[:, PANOPTIC19.names.index("pelvis")]
    np.testing.assert_allclose(pelvis, figures[:, hips].mean(1))


# -- completion


def _named(points, names):
    return {name: points[..., POINT_INDEX[name], :] for name in names}


def test_nothing_that_was_given_changes(figures):
    np.testing.assert_allclose(complete_figure(_named(figures, POINT_NAMES)), figures)
    needed = complete_figure(_named(figures, REQUIRED))
    for name in REQUIRED:
        number = POINT_INDEX[name]
        np.testing.assert_allclose(needed[:, number], figures[:, number])


def test_a_t_pose_comes_back_from_the_needed_joints_wherever_it_stands():
    """Oracle: the proportions are those of the T-pose itself."""
    turned = Rotation.from_euler("xyz", [0.3, 2.0, -0.4]).as_matrix()
    points = 3.7 * REST @ turned.T + [5, -2, 8]
    given = {name: value[None] for name, value in _named(points, REQUIRED).items()}
    np.testing.assert_allclose(complete_figure(given)[0], points, atol=1e-5)


@pytest.mark.parametrize(
    "extra, near, metres",
    [
        ((), ("pelvis", "spine1", "left_collar"), 0.03),
        ((), ("spine2", "spine3", "neck"), 0.12),
        ((), ("left_hand", "right_hand"), 0.07),
        (("left_ear", "right_ear"), ("head",), 0.1),
    ],
)
def test_joints_of_poses_are_filled_in_near_the_truth(figures, extra, near, metres):
    filled = complete_figure(_named(figures, (*REQUIRED, *extra)))
    for name in near:
        error = filled[:, POINT_INDEX[name]] - figures[:, POINT_INDEX[name]]
        assert np.linalg.norm(error, axis=-1).max() < metres, name


def test_toes_and_the_top_of_the_head_are_used():
    rest = {name: value[None] for name, value in rest_points().items()}
    names = (*REQUIRED, "left_big_toe", "right_big_toe", "head_top")
    given = {name: rest[name] + 0.0 for name in names}
    given["left_big_toe"] = given["left_big_toe"] + [[0.1, 0, 0]]
    given["head_top"] = given["head_top"] + [[0, 0, 0.1]]
    plain = complete_figure({name: rest[name] for name in names})[0]
    moved = complete_figure(given)[0]
    change = moved - plain
    foot, head = POINT_INDEX["left_foot"], POINT_INDEX["head"]
    assert 0.05 < change[foot, 0] < 0.1 and 0.02 < change[head, 2] < 0.08
    other = POINT_INDEX["right_foot"]
    np.testing.assert_allclose(change[other], 0, atol=1e-12)


def test_joints_at_one_place_are_completed_with_finite_ones():
    given = {name: np.full((2, 3), 4.0) for name in REQUIRED}
    completed = complete_figure(given)
    assert completed.shape == (2, len(POINT_NAMES), 3)
    np.testing.assert_allclose(completed, 4.0)


def test_a_needed_joint_that_is_missing_is_named(figures):
    given = _named(figures, [name for name in REQUIRED if name != "left_knee"])
    with pytest.raises(KeyError, match="left_knee"):
        complete_figure(given)


def test_the_face_looks_where_the_shoulders_do():
    given = {name: value[None] for name, value in _named(REST, REQUIRED).items()}
    for angle in (0.0, 2.5):
        turned = {name: turn(value, angle) for name, value in given.items()}
        face = complete_figure(turned)[0, [POINT_INDEX[name] for name in FACE_NAMES]]
        np.testing.assert_allclose(face, turn(REST[24:], angle), atol=1e-5)


@pytest.mark.parametrize("angle", [0.6, 1.5, 2.9])
def test_feet_bend_with_the_shin(angle):
    given = {name: value[None] for name, value in _named(REST, REQUIRED).items()}
    bend = Rotation.from_euler("x", angle).as_matrix()
    knee = POINT_INDEX["left_knee"]
    carry = lambda point: REST[knee] + (point - REST[knee]) @ bend.T
    shin = REST[POINT_INDEX["left_ankle"]] - REST[knee]
    # The bend is the smallest one that takes the shin there.
    axis = np.cross(shin, shin @ bend.T)
    length = np.linalg.norm(axis)
    cosine = shin @ (shin @ bend.T) / (shin @ shin)
    smallest = Rotation.from_rotvec(axis / length * np.arccos(cosine)).as_matrix()
    given["left_ankle"] = carry(given["left_ankle"])
    foot = REST[POINT_INDEX["left_foot"]] - REST[POINT_INDEX["left_ankle"]]
    expected = given["left_ankle"][0] + foot @ smallest.T
    filled = complete_figure(given)[0]
    np.testing.assert_allclose(filled[POINT_INDEX["left_foot"]], expected, atol=1e-9)
