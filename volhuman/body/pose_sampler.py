"""Random poses within hand-authored joint limits, without any motion capture.

Five kinds of pose (stand, walk, arms, wild, sit) are drawn joint by joint from ranges
written down here; poses in which the body passes through itself are rejected.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from volhuman.body.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from volhuman.errors import InputError

KINDS = {"stand": 0.25, "walk": 0.2, "arms": 0.2, "wild": 0.25, "sit": 0.1}
_SIDES = {"left": 1.0, "right": -1.0}
_ATTEMPTS = 50

# Radius of the capsule around the bone that ends in each joint, in metres, for the
# collision test; thinner than the flesh, because touching is allowed.
_RADII = {
    "left_knee": 0.055,
    "left_ankle": 0.04,
    "left_foot": 0.03,
    "left_elbow": 0.035,
    "left_wrist": 0.03,
    "left_hand": 0.03,
    "spine2": 0.1,
    "spine3": 0.11,
    "neck": 0.08,
    "head": 0.06,
}
_HEAD_LENGTH = 0.14


def sample_pose(
    generator: np.random.Generator, rest_joints: np.ndarray, kind: str | None = None
) -> np.ndarray:
    """Draws a pose in which the body does not pass through itself.

    Args:
        generator: Source of randomness; the same state gives the same pose.
        rest_joints: `(24, 3)` T-posed joints of the person, metres.
        kind: One of `KINDS`, default drawn by their shares.

    Returns:
        `(24, 3)` float32 axis-angle; the root does not turn.

    Raises:
        InputError: If the kind is unknown.
    """
    if kind is None:
        kind = generator.choice(list(KINDS), p=list(KINDS.values()))
    if kind not in KINDS:
        raise InputError(f"pose kind is {kind!r}, expected one of {', '.join(KINDS)}")
    pose = np.zeros((24, 3))
    for _ in range(_ATTEMPTS):
        pose = _draw(generator, kind)
        if not collides(pose, rest_joints):
            break
        # Rejected poses are drawn again; what collides fifty times is relaxed instead.
        pose = pose * 0.6
    return pose.astype(np.float32)


def collides(pose: np.ndarray, rest_joints: np.ndarray) -> bool:
    """Tests whether limbs pass through each other, the trunk or the head.

    Args:
        pose: `(24, 3)` axis-angle.
        rest_joints: `(24, 3)` metres.

    Returns:
        True where two capsules of bones that are not neighbours overlap.
    """
    starts, ends, radii, names = _capsules(pose, rest_joints)
    first, second = _tested_pairs(tuple(names))
    distance = _segment_distance(
        starts[first], ends[first], starts[second], ends[second]
    )
    return bool((distance < radii[first] + radii[second]).any())


def posed_joints(pose: np.ndarray, rest_joints: np.ndarray) -> np.ndarray:
    """Posed joints `(24, 3)` of one pose `(24, 3)`, metres, on the host."""
    return posed_frames(pose, rest_joints)[0]


def posed_frames(
    pose: np.ndarray, rest_joints: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Forward kinematics of one pose on the host, in float64, all scales 1.

    Args:
        pose: `(24, 3)` axis-angle.
        rest_joints: `(24, 3)` metres.

    Returns:
        Posed joints `(24, 3)` and the rotations `(24, 3, 3)` from rest to posed axes.
    """
    relative = Rotation.from_rotvec(pose).as_matrix()
    rotations, joints = relative.copy(), np.array(rest_joints, np.float64)
    for joint in range(1, 24):
        parent = PARENTS[joint]
        rotations[joint] = rotations[parent] @ relative[joint]
        offset = rest_joints[joint] - rest_joints[parent]
        joints[joint] = joints[parent] + rotations[parent] @ offset
    return joints, rotations


def _capsules(pose, rest_joints):
    """Posed bones as segments with radii; the head is a segment upwards."""
    joints, rotations = posed_frames(pose, rest_joints)
    starts, ends, radii, names = [], [], [], []
    for name in JOINT_NAMES:
        radius = _RADII.get(name, _RADII.get(name.replace("right_", "left_")))
        if radius is not None:
            joint = JOINT_INDEX[name]
            starts.append(joints[PARENTS[joint]])
            ends.append(joints[joint])
            radii.append(radius)
            names.append(name)
    head = JOINT_INDEX["head"]
    starts.append(joints[head])
    ends.append(joints[head] + rotations[head] @ np.array([0, _HEAD_LENGTH, 0.02]))
    return (
        np.array(starts),
        np.array(ends),
        np.array([*radii, 0.075]),
        [*names, "head_top"],
    )


def _tested_pairs(names):
    """Pairs of bones that may collide: limbs of two chains, and limb with trunk."""

    def chain(name):
        if "knee" in name or "ankle" in name or "foot" in name:
            return name.split("_")[0] + "_leg"
        if name.startswith(("left_", "right_")):
            return name.split("_")[0] + "_arm"
        return "trunk"

    # Upper arms start inside the trunk, thighs inside the hips.
    roots = {"left_elbow", "right_elbow", "left_knee", "right_knee"}
    pairs = [
        (i, j)
        for i, first in enumerate(names)
        for j, second in enumerate(names[:i])
        if chain(first) != chain(second)
        and not (first in roots and chain(second) == "trunk")
        and not (second in roots and chain(first) == "trunk")
        and {first, second} != {"left_knee", "right_knee"}
    ]
    return np.array(pairs).T


def _segment_distance(a0, a1, b0, b1):
    """Distance between pairs of segments, all `(P, 3)`, by dense sampling of both."""
    steps = np.linspace(0, 1, 9)[:, None, None]
    on_a, on_b = a0 + steps * (a1 - a0), b0 + steps * (b1 - b0)
    return np.linalg.norm(on_a[:, None] - on_b[None], axis=-1).min((0, 1))


def _draw(generator, kind):
    """One pose of a kind, before the collision test."""
    pose = np.zeros((24, 3))
    _draw_trunk(pose, generator, kind)
    phase, stride = generator.uniform(0, 2 * np.pi), generator.uniform(12, 38)
    for side in _SIDES:
        swing = phase + (0 if side == "left" else np.pi)
        _draw_arm(pose, generator, kind, side, swing, stride)
        _draw_leg(pose, generator, kind, side, swing + np.pi, stride)
    return pose


def _draw_trunk(pose, generator, kind):
    normal = generator.standard_normal
    wide = {"wild": 2.5, "sit": 1.6}.get(kind, 1.4)
    bend = generator.uniform(-5, 60) if kind == "wild" else 4 + 6 * normal()
    twist, lean = normal() * 9 * wide, normal() * 5 * wide
    for name, share in (("spine1", 0.35), ("spine2", 0.35), ("spine3", 0.3)):
        noise = normal(3) * 2
        pose[JOINT_INDEX[name]] = np.deg2rad(
            np.array([bend, twist, lean]) * share + noise
        )
    pose[JOINT_INDEX["neck"]] = np.deg2rad([normal() * 9, normal() * 10, normal() * 6])
    pose[JOINT_INDEX["head"]] = np.deg2rad([normal() * 10, normal() * 16, normal() * 6])


def _draw_arm(pose, generator, kind, side, swing, stride):
    """Arm: lowered from the T-pose, swung forwards, turned about itself, bent."""
    sign, normal, uniform = _SIDES[side], generator.standard_normal, generator.uniform
    down, forward = uniform(55, 80), normal() * 14
    turn, bend = normal() * 15, abs(normal() * 22) + 8
    if kind == "walk":
        forward = 0.9 * stride * np.sin(swing)
        bend = 20 + 0.4 * stride * (1 + np.sin(swing))
    elif kind == "arms":
        down, forward = uniform(-60, 75), uniform(-25, 90)
        turn, bend = uniform(-40, 60), uniform(0, 130)
    elif kind == "wild":
        down, forward = uniform(-80, 80), uniform(-40, 110)
        turn, bend = uniform(-70, 80), uniform(0, 140)
    elif kind == "sit":
        down, forward, turn, bend = (
            uniform(50, 75),
            uniform(0, 55),
            normal() * 25,
            (uniform(10, 100)),
        )
    elif generator.random() < 0.25:  # hand on the hip
        down, forward, bend, turn = 50, -15, 95, 50
    shoulder = _turn("x", -forward) * _turn("z", -sign * down) * _turn("x", turn)
    pose[JOINT_INDEX[f"{side}_shoulder"]] = shoulder.as_rotvec()
    lift = np.clip((45 - down) * 0.18, -4, 20)
    pose[JOINT_INDEX[f"{side}_collar"]] = np.deg2rad(
        [0, -sign * forward * 0.08, sign * lift]
    )
    pose[JOINT_INDEX[f"{side}_elbow"]] = np.deg2rad(
        [normal() * 12, -sign * bend, normal() * 3]
    )
    pose[JOINT_INDEX[f"{side}_wrist"]] = np.deg2rad(normal(3) * [14, 11, 15])


def _draw_leg(pose, generator, kind, side, swing, stride):
    """Leg: hip flexion, abduction and rotation, knee, ankle."""
    sign, normal, uniform = _SIDES[side], generator.standard_normal, generator.uniform
    flexion, abduction = normal() * 5, uniform(-3, 6)
    rotation, knee = normal() * 9, abs(normal() * 6)
    if kind == "walk":
        flexion = stride * np.sin(swing) + 5
        knee = max(3.0, 32 * np.sin(swing + 1.9) + 20)
    elif kind == "arms":
        flexion, abduction, knee = normal() * 15, uniform(0, 20), abs(normal() * 20)
    elif kind == "wild":
        flexion, abduction = uniform(-30, 110), uniform(-5, 50)
        knee, rotation = uniform(0, 130), uniform(-25, 35)
    elif kind == "sit":
        flexion, abduction, knee = uniform(70, 100), uniform(2, 22), uniform(60, 110)
    elif generator.random() < 0.35:  # weight on the other leg
        flexion, abduction, knee = uniform(0, 20), uniform(2, 16), uniform(5, 40)
    hip = (
        _turn("x", -flexion)
        * _turn("z", sign * abduction)
        * _turn("y", sign * rotation)
    )
    pose[JOINT_INDEX[f"{side}_hip"]] = hip.as_rotvec()
    pose[JOINT_INDEX[f"{side}_knee"]] = np.deg2rad([knee, normal() * 3, 0])
    pose[JOINT_INDEX[f"{side}_ankle"]] = np.deg2rad(
        [normal() * 9, sign * uniform(0, 12), normal() * 4]
    )


def _turn(axis, degrees):
    return Rotation.from_euler(axis, degrees, degrees=True)
