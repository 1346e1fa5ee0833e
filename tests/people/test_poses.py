"""Poses without intersections: known collisions are found, drawn poses have none."""

import numpy as np
import pytest
from scipy.optimize import minimize

from volhuman.body.pose_sampler import KINDS, posed_joints, sample_pose
from volhuman.body.skeleton import JOINT_INDEX
from volhuman.errors import InputError
from volhuman.people.person import pose_person
from volhuman.people.poses import (
    TOLERANCE,
    intersection_depth,
    sample_posed_person,
)


def reach(person, target):
    """A pose whose left hand is near a point, the rest in T-pose."""
    arm = [JOINT_INDEX["left_shoulder"], JOINT_INDEX["left_elbow"]]

    def pose_of(values):
        pose = np.zeros((24, 3))
        pose[arm] = values.reshape(2, 3)
        return pose

    def distance(values):
        joints = posed_joints(pose_of(values), person.surface.joints)
        away = joints[JOINT_INDEX["left_hand"]] - target
        return away @ away + 1e-4 * values @ values

    start = np.array([0, -0.6, -0.6, 0, -1.2, 0])
    found = minimize(distance, start, method="Powell", options={"maxiter": 15})
    assert found.fun < 0.01
    return pose_of(found.x)


@pytest.mark.parametrize("seed", [0, 1, 4, 43])
def test_the_t_pose_and_a_calm_stance_touch_nothing(posed_of, seed):
    assert intersection_depth(posed_of(seed, "rest")) == 0
    assert intersection_depth(posed_of(seed, "standing")) <= TOLERANCE


@pytest.mark.parametrize("seed", [0, 8])
def test_a_hand_in_the_belly_is_found(person_of, seed):
    person = person_of(seed)
    inside = reach(person, np.array([0.02, 0.15, 0.02]))
    assert intersection_depth(pose_person(person, inside)) > 0.03
    before = reach(person, np.array([0.1, 0.15, 0.45]))
    assert intersection_depth(pose_person(person, before)) <= TOLERANCE


def test_a_hand_in_a_wide_skirt_is_found_and_beside_it_is_not(person_of, recipe_with):
    recipe = recipe_with(
        lambda r: (
            r.lower is None and r.hangings[0].length > 0.7 and r.hangings[0].flare > 0.3
        )
    )
    person = person_of(recipe.seed)
    pose = np.zeros((24, 3))
    for degrees, collides in ((45, False), (85, True)):
        pose[JOINT_INDEX["left_shoulder"], 2] = -np.deg2rad(degrees)
        depth = intersection_depth(pose_person(person, pose))
        assert (depth > 3 * TOLERANCE) if collides else (depth == 0)


@pytest.mark.parametrize("seed", [0, 8])
def test_crossed_legs_are_found(person_of, seed):
    pose = np.zeros((24, 3))
    pose[JOINT_INDEX["left_hip"], 2] = -np.deg2rad(18)
    pose[JOINT_INDEX["right_hip"], 2] = np.deg2rad(18)
    assert intersection_depth(pose_person(person_of(seed), pose)) > 0.02
    pose *= -1
    assert intersection_depth(pose_person(person_of(seed), pose)) == 0


def test_depth_does_not_depend_on_where_the_person_faces(person_of):
    person = person_of(0)
    pose = reach(person, np.array([0.02, 0.15, 0.02]))
    depth = intersection_depth(pose_person(person, pose))
    pose[0, 1] = 2.0
    turned = intersection_depth(pose_person(person, pose))
    # Boxes along the axes only choose which points are looked at.
    assert turned == pytest.approx(depth, abs=2e-3)


def test_drawn_poses_do_not_intersect(person_of):
    for seed in range(8):
        generator = np.random.default_rng([seed, 5])
        posed = sample_posed_person(generator, person_of(seed))
        assert intersection_depth(posed) <= TOLERANCE, seed


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_pose_is_drawn_by_name(person_of, kind):
    generator = np.random.default_rng(2)
    posed = sample_posed_person(generator, person_of(4), kind=kind)
    assert posed.pose.shape == (24, 3) and np.isfinite(posed.pose).all()
    assert intersection_depth(posed) <= TOLERANCE
    raised = posed.joints[JOINT_INDEX["left_knee"]] - posed.joints[1]
    assert (kind != "sit") or raised[2] > 0.2, "thighs forwards"


def test_unknown_kinds_are_refused(person_of):
    with pytest.raises(InputError, match="'dance', expected one of stand, walk"):
        sample_posed_person(np.random.default_rng(0), person_of(0), kind="dance")


def test_the_turn_is_that_of_the_root(person_of):
    frames = [
        sample_posed_person(np.random.default_rng(7), person_of(1), turn=turn)
        for turn in (0.0, 0.9)
    ]
    np.testing.assert_allclose(frames[1].pose[0], [0, 0.9, 0], atol=1e-7)
    np.testing.assert_array_equal(frames[0].pose[1:], frames[1].pose[1:])
    hips = [frame.joints[1] - frame.joints[2] for frame in frames]
    angle = [np.arctan2(-hip[2], hip[0]) for hip in hips]
    assert angle[1] - angle[0] == pytest.approx(0.9, abs=1e-5)


def test_the_same_state_gives_the_same_pose(person_of):
    pair = [
        sample_posed_person(np.random.default_rng(3), person_of(0)) for _ in range(2)
    ]
    np.testing.assert_array_equal(pair[0].pose, pair[1].pose)
    np.testing.assert_array_equal(pair[0].vertices, pair[1].vertices)
    other = sample_posed_person(np.random.default_rng(4), person_of(0))
    assert np.abs(other.pose - pair[0].pose).max() > 0.1


def test_a_free_pose_is_kept_as_it_was_drawn(person_of):
    """Nothing is opened or drawn again where nothing intersects."""
    person, kept = person_of(8), 0
    for seed in range(3):
        generator, twin = np.random.default_rng(seed), np.random.default_rng(seed)
        drawn = sample_pose(twin, person.surface.joints, "stand")
        posed = sample_posed_person(generator, person, kind="stand")
        first = intersection_depth(pose_person(person, drawn)) <= TOLERANCE
        assert np.array_equal(posed.pose, drawn) == first
        kept += first
    assert kept > 0
