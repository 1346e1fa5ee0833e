"""Sampled poses: repeatable, within the limits of the joints, free of collisions."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from volhuman.body.pose_sampler import KINDS, collides, sample_pose
from volhuman.body.skeleton import JOINT_INDEX, PARENTS, mirror_pose
from volhuman.body.template import load_template
from volhuman.errors import InputError

NUM_POSES = 150


@pytest.fixture(scope="module")
def rest():
    return np.asarray(load_template().joints)


@pytest.fixture(scope="module", params=KINDS)
def poses(request, rest):
    generator = np.random.default_rng(0)
    return np.stack(
        [sample_pose(generator, rest, request.param) for _ in range(NUM_POSES)]
    )


def degrees(poses, name):
    return np.rad2deg(poses[:, JOINT_INDEX[name]])


def posed_joints(pose, rest):
    """Naive forward kinematics in float64."""
    rotations = list(Rotation.from_rotvec(pose))
    joints = np.array(rest, np.float64)
    for joint in range(1, 24):
        parent = PARENTS[joint]
        offset = rest[joint] - rest[parent]
        joints[joint] = joints[parent] + rotations[parent].apply(offset)
        rotations[joint] = rotations[parent] * rotations[joint]
    return joints


def test_the_same_state_gives_the_same_pose_and_another_seed_another(rest):
    def draw(seed, kind):
        generator = np.random.default_rng(seed)
        return np.stack([sample_pose(generator, rest, kind) for _ in range(3)])

    for kind in (None, *KINDS):
        np.testing.assert_array_equal(draw(1, kind), draw(1, kind))
        assert np.abs(draw(1, kind) - draw(2, kind)).max() > 0.1
        assert np.abs(np.diff(draw(1, kind), axis=0)).max() > 0.1


def test_poses_are_free_of_collisions_and_of_the_right_form(poses, rest):
    assert poses.shape == (NUM_POSES, 24, 3) and poses.dtype == np.float32
    assert np.isfinite(poses).all()
    assert not any(collides(pose, rest) for pose in poses)
    # The root, hands and feet are not drawn.
    for name in ("pelvis", "left_foot", "right_foot", "left_hand", "right_hand"):
        np.testing.assert_array_equal(degrees(poses, name), 0)


def test_joints_stay_within_their_limits(poses):
    """Knees bend backwards only, elbows forwards only, nothing beyond anatomy."""
    for side, sign in (("left", 1), ("right", -1)):
        knee, elbow = degrees(poses, f"{side}_knee"), degrees(poses, f"{side}_elbow")
        assert (knee[:, 0] >= 0).all() and (knee[:, 0] <= 130.1).all()
        assert (np.abs(knee[:, 2]) < 1e-6).all() and (np.abs(knee[:, 1]) < 15).all()
        bend = -sign * elbow[:, 1]
        assert (bend >= -1e-6).all() and (bend < 140.1).all()
        for name, limit in (("wrist", 80), ("ankle", 45), ("collar", 30), ("hip", 130)):
            turn = np.linalg.norm(degrees(poses, f"{side}_{name}"), axis=1)
            assert turn.max() < limit, name
    for name, limit in (("neck", 55), ("head", 90)):
        assert np.linalg.norm(degrees(poses, name), axis=1).max() < limit
    spine = [
        Rotation.from_rotvec(poses[:, JOINT_INDEX[f"spine{n}"]]) for n in (1, 2, 3)
    ]
    trunk = spine[0] * spine[1] * spine[2]
    assert np.rad2deg(trunk.magnitude()).max() < 110


def test_seated_people_have_raised_thighs_and_standing_people_have_not(rest):
    generator = np.random.default_rng(1)
    drop = {}
    for kind in ("sit", "stand"):
        heights = []
        for _ in range(40):
            joints = posed_joints(sample_pose(generator, rest, kind), rest)
            hip, knee = (
                joints[JOINT_INDEX["left_hip"]],
                joints[JOINT_INDEX["left_knee"]],
            )
            heights.append((hip - knee)[1] / np.linalg.norm(hip - knee))
        drop[kind] = np.array(heights)
    assert drop["stand"].min() > 0.85 and drop["sit"].max() < 0.5


def test_a_walking_person_swings_arms_and_legs_in_opposition(rest):
    generator = np.random.default_rng(2)
    forward = {"left_knee": [], "right_knee": [], "left_elbow": [], "right_elbow": []}
    for _ in range(100):
        joints = posed_joints(sample_pose(generator, rest, "walk"), rest)
        for name, values in forward.items():
            joint = JOINT_INDEX[name]
            values.append(joints[joint, 2] - joints[PARENTS[joint], 2])
    correlation = lambda a, b: np.corrcoef(forward[a], forward[b])[0, 1]
    assert correlation("left_knee", "right_knee") < -0.5
    assert correlation("left_knee", "right_elbow") > 0.4
    assert correlation("left_knee", "left_elbow") < -0.4


def test_left_and_right_are_alike_on_average(rest):
    generator = np.random.default_rng(3)
    poses = np.stack([sample_pose(generator, rest) for _ in range(400)])
    difference = poses.mean(0) - mirror_pose(poses).mean(0)
    error = np.hypot(poses.std(0), mirror_pose(poses).std(0)) / 20 + 1e-6
    assert np.abs(difference / error).max() < 5


def collision_cases():
    crossed, through, hands = (np.zeros((24, 3)) for _ in range(3))
    # The left arm lowered beside the body, the lower arm turned into the belly.
    through[JOINT_INDEX["left_shoulder"]] = [0, 0, np.deg2rad(-75)]
    through[JOINT_INDEX["left_elbow"]] = [0, 0, np.deg2rad(-110)]
    # Shins crossed through each other.
    crossed[JOINT_INDEX["left_hip"]] = [0, 0, np.deg2rad(-20)]
    crossed[JOINT_INDEX["right_hip"]] = [0, 0, np.deg2rad(20)]
    # Both hands at one place before the chest.
    for side, sign in (("left", 1), ("right", -1)):
        hands[JOINT_INDEX[f"{side}_shoulder"]] = [0, -sign * np.deg2rad(60), 0]
        hands[JOINT_INDEX[f"{side}_elbow"]] = [0, -sign * np.deg2rad(100), 0]
    return {"arm through trunk": through, "legs crossed": crossed, "hands": hands}


@pytest.mark.parametrize("case", collision_cases())
def test_limbs_that_pass_through_the_body_collide(rest, case):
    pose = collision_cases()[case]
    assert collides(pose, rest)
    assert collides(mirror_pose(pose), rest), "and so does the mirror image"


def test_the_rest_pose_and_arms_at_the_sides_do_not_collide(rest):
    assert not collides(np.zeros((24, 3)), rest)
    hanging = np.zeros((24, 3))
    hanging[JOINT_INDEX["left_shoulder"]] = [0, 0, np.deg2rad(-70)]
    hanging[JOINT_INDEX["right_shoulder"]] = [0, 0, np.deg2rad(70)]
    assert not collides(hanging, rest)


def test_collisions_do_not_depend_on_where_the_body_stands(rest):
    generator = np.random.default_rng(4)
    outcomes = []
    for _ in range(30):
        pose = generator.normal(0, 0.8, (24, 3))
        turned = pose.copy()
        turned[0] = generator.normal(size=3)
        first = collides(pose, rest)
        outcomes.append(first)
        assert collides(turned, rest + np.array([1, 2, 3])) == first
    assert 0 < sum(outcomes) < 30


def test_an_unknown_kind_is_named(rest):
    with pytest.raises(
        InputError, match=r"pose kind is 'dance', expected one of stand"
    ):
        sample_pose(np.random.default_rng(0), rest, "dance")
    assert sum(KINDS.values()) == pytest.approx(1)
