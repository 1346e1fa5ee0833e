"""Motion files, written here in their on-disk form from poses that are known."""

import io
import os
import zipfile

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from volhuman.body.bvh import find_joints, parse_bvh
from volhuman.body.motion import read_amass, read_bvh, read_motion
from volhuman.body.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS
from volhuman.body.template import load_template
from volhuman.errors import InputError

REST = np.asarray(load_template().joints, np.float64)
NUM_FRAMES = 4
ORDERS = ("ZXY", "XYZ", "ZYX")
# The trunk is carried as a whole and not bone by bone.
LIMBS = [
    (JOINT_INDEX[f"{side}_{start}"], JOINT_INDEX[f"{side}_{end}"])
    for side in ("left", "right")
    for start, end in [
        ("hip", "knee"),
        ("knee", "ankle"),
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
    ]
]
CMU_NAMES = {
    "pelvis": "Hips",
    "spine1": "LowerBack",
    "spine2": "Spine",
    "spine3": "Spine1",
    "neck": "Neck",
    "head": "Head",
    "hip": "UpLeg",
    "knee": "Leg",
    "ankle": "Foot",
    "foot": "ToeBase",
    "collar": "Shoulder",
    "shoulder": "Arm",
    "elbow": "ForeArm",
    "wrist": "Hand",
    "hand": "HandMiddle1",
}
POSER_NAMES = {
    **CMU_NAMES,
    "pelvis": "hip",
    "spine1": "abdomen",
    "spine2": "abdomen2",
    "spine3": "chest",
    "hip": "Thigh",
    "knee": "Shin",
    "foot": "Toe",
    "collar": "Collar",
    "shoulder": "Shldr",
    "hand": "Mid1",
}
KINECT_NAMES = {
    **{joint: joint.title() for joint in CMU_NAMES},
    "pelvis": "HipCenter",
}


def _spell(style: str, joint: str) -> str:
    """Returns what a rig calls one of the 24 joints."""
    side, _, base = joint.rpartition("_")
    if style == "smpl":
        return joint
    if style == "cmu":
        return side.title() + CMU_NAMES[base]
    if style == "mixamo":
        return "mixamorig:" + side.title() + CMU_NAMES[base]
    if style == "poser":
        return side[:1] + POSER_NAMES[base]
    if style == "kinect":
        return KINECT_NAMES[base] + side.title()
    if style == "biped":
        words = {
            "hip": "Thigh",
            "knee": "Calf",
            "pelvis": "Pelvis",
            "collar": "Clavicle",
        }
        words |= {"shoulder": "UpperArm", "elbow": "Forearm", "foot": "Toe0"}
        return " ".join(
            ["Bip01", side[:1].upper(), words.get(base, CMU_NAMES[base])]
        ).replace("  ", " ")
    words = {"pelvis": "root", "hip": "upperleg01", "knee": "lowerleg01", "foot": "toe"}
    words |= {"shoulder": "upperarm01", "elbow": "lowerarm01", "hand": "finger3-1"}
    words |= {"collar": "clavicle", "wrist": "wrist", "ankle": "foot"}
    return words.get(base, base) + (f".{side[0].upper()}" if side else "")


def _pose_frames(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns random poses `(T, 24, 3)` and a walk of the pelvis `(T, 3)`."""
    generator = np.random.default_rng(seed)
    pose = generator.normal(scale=0.5, size=(NUM_FRAMES, 24, 3))
    return pose, generator.normal(size=(NUM_FRAMES, 3))


def _globals(pose: np.ndarray) -> np.ndarray:
    """Chains `(24, 3)` axis-angle to world rotations `(24, 3, 3)`, joint by joint."""
    world = np.empty((24, 3, 3))
    for joint in range(24):
        local = Rotation.from_rotvec(pose[joint]).as_matrix()
        world[joint] = local if joint == 0 else world[PARENTS[joint]] @ local
    return world


def _place(pose: np.ndarray) -> np.ndarray:
    """Returns the joints `(24, 3)` of a pose, the pelvis at 0."""
    world, joints = _globals(pose), np.zeros((24, 3))
    for joint in range(1, 24):
        parent = PARENTS[joint]
        joints[joint] = joints[parent] + world[parent] @ (REST[joint] - REST[parent])
    return joints


def _directions(joints: np.ndarray, pairs: list[tuple[int, int]]) -> np.ndarray:
    bones = np.array([joints[end] - joints[start] for start, end in pairs])
    return bones / np.linalg.norm(bones, axis=-1, keepdims=True)


def _assert_same_bones(motion, pose: np.ndarray, pairs=None, tolerance=1e-4) -> None:
    """Compares world bone directions in every frame, in radians."""
    pairs = pairs or [(PARENTS[joint], joint) for joint in range(1, 24)]
    for read, wanted in zip(motion.pose, pose, strict=True):
        first, second = (_directions(_place(p), pairs) for p in (read, wanted))
        sine = np.linalg.norm(np.cross(first, second), axis=-1)
        assert np.arctan2(sine, (first * second).sum(-1)).max() < tolerance


def _write_bvh(
    path,
    pose: np.ndarray,
    translation: np.ndarray,
    *,
    zero_pose: np.ndarray | None = None,
    order: str = "ZXY",
    style: str = "cmu",
    world: np.ndarray | None = None,
    unit: float = 0.01,
    spread_positions: bool = False,
    rate: float = 30.0,
):
    """Writes poses of the embedded skeleton as BVH.

    Args:
        path: File to write.
        pose: `(T, 24, 3)`.
        translation: `(T, 3)` metres.
        zero_pose: `(24, 3)` the pose in which the file's angles are 0, default T-pose.
        order: Rotation channels from first to last.
        style: Names.
        world: `(3, 3)` from the body's y-up world to the file's.
        unit: Metres per unit of the file.
        spread_positions: Whether every joint has position channels.
        rate: Frames per second.

    Returns:
        The path.
    """
    world = np.eye(3) if world is None else world
    zero_pose = np.zeros((24, 3)) if zero_pose is None else zero_pose
    zero_world = _globals(zero_pose)
    zero = (_place(zero_pose) @ world.T) / unit
    children = [[c for c in range(24) if PARENTS[c] == joint] for joint in range(24)]
    rotations = " ".join(f"{axis}rotation" for axis in order)
    visited = []
    lines = ["HIERARCHY"]

    def write_joint(joint: int, depth: int) -> None:
        visited.append(joint)
        parent = PARENTS[joint]
        offset = zero[joint] - zero[parent] if joint else np.zeros(3)
        has_position = joint == 0 or spread_positions
        positions = "Xposition Yposition Zposition " if has_position else ""
        indent = "\t" * depth
        kind = "JOINT" if joint else "ROOT"
        lines.append(f"{indent}{kind} {_spell(style, JOINT_NAMES[joint])}")
        lines.append(f"{indent}{{")
        lines.append(
            f"{indent}\tOFFSET {offset[0]:.8f} {offset[1]:.8f} {offset[2]:.8f}"
        )
        count = 6 if has_position else 3
        lines.append(f"{indent}\tCHANNELS {count} {positions}{rotations}")
        for child in children[joint]:
            write_joint(child, depth + 1)
        if not children[joint]:
            lines.append(f"{indent}\tEnd Site")
            lines.append(f"{indent}\t{{\n{indent}\t\tOFFSET 0 1 0\n{indent}\t}}")
        lines.append(f"{indent}}}")

    write_joint(0, 0)
    lines += ["MOTION", f"Frames: {len(pose)}", f"Frame Time: {1 / rate:.8f}"]
    for frame, place in zip(pose, translation):
        # The file's rotation of a joint takes its bone from the zero pose to the frame.
        turned = [
            world @ posed @ still.T @ world.T
            for posed, still in zip(_globals(frame), zero_world)
        ]
        numbers = []
        for joint in visited:
            parent = turned[PARENTS[joint]] if joint else np.eye(3)
            local = Rotation.from_matrix(parent.T @ turned[joint])
            if joint == 0:
                numbers += (world @ place / unit).tolist()
            elif spread_positions:
                numbers += (zero[joint] - zero[PARENTS[joint]]).tolist()
            numbers += local.as_euler(order, degrees=True).tolist()
        lines.append(" ".join(f"{number:.7f}" for number in numbers))
    path.write_text("\n".join(lines) + "\n")
    return path


def _a_pose(**angles: float) -> np.ndarray:
    """Returns a pose with arms down and legs apart, like the rest pose of many rigs."""
    pose = np.zeros((24, 3))
    for sign, side in ((1, "left"), (-1, "right")):
        pose[JOINT_INDEX[f"{side}_shoulder"]] = [0, 0, -sign * np.radians(45)]
        pose[JOINT_INDEX[f"{side}_elbow"]] = [0, -sign * np.radians(30), 0]
        pose[JOINT_INDEX[f"{side}_hip"]] = [0, 0, sign * np.radians(15)]
    return pose


Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
X_FRONT = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])


@pytest.mark.filterwarnings("ignore:Gimbal lock")
class TestBvh:
    @pytest.mark.parametrize("order", ORDERS)
    def test_poses_of_the_own_skeleton_come_back(self, tmp_path, order):
        pose, translation = _pose_frames()
        path = _write_bvh(tmp_path / "t.bvh", pose, translation, order=order)
        motion = read_bvh(path)
        _assert_same_bones(motion, pose)
        expected = np.stack([_globals(frame) for frame in pose])
        read = np.stack([_globals(frame) for frame in motion.pose])
        np.testing.assert_allclose(read, expected, atol=1e-5)
        np.testing.assert_allclose(motion.translation, translation, atol=1e-5)
        assert motion.pose.dtype == motion.translation.dtype == np.float32
        assert motion.pose.shape == (NUM_FRAMES, 24, 3)
        assert motion.rate == pytest.approx(30)
        assert motion.name == "t"

    @pytest.mark.parametrize(
        "style", ["mixamo", "poser", "kinect", "biped", "makehuman"]
    )
    def test_other_names(self, tmp_path, style):
        pose, translation = _pose_frames(1)
        path = _write_bvh(tmp_path / "n.bvh", pose, translation, style=style)
        _assert_same_bones(read_bvh(path), pose)

    def test_smpl_names_map_to_themselves(self, tmp_path):
        path = _write_bvh(tmp_path / "s.bvh", *_pose_frames(), style="smpl")
        bvh = parse_bvh(path)
        for joint, node in find_joints(bvh).items():
            assert bvh.names[node] == joint

    def test_names_in_capitals(self, tmp_path):
        pose, translation = _pose_frames(2)
        path = _write_bvh(tmp_path / "c.bvh", pose, translation)
        path.write_text(path.read_text().upper())
        _assert_same_bones(read_bvh(path), pose)

    @pytest.mark.parametrize("order", ORDERS)
    def test_a_pose_as_zero_pose(self, tmp_path, order):
        pose, translation = _pose_frames(3)
        path = _write_bvh(
            tmp_path / "a.bvh", pose, translation, zero_pose=_a_pose(), order=order
        )
        motion = read_bvh(path)
        _assert_same_bones(motion, pose)
        np.testing.assert_allclose(motion.translation, translation, atol=1e-5)

    def test_limbs_follow_whatever_the_zero_pose(self, tmp_path):
        pose, translation = _pose_frames(4)
        zero_pose = np.random.default_rng(5).normal(scale=0.7, size=(24, 3))
        # The trunk stands: its zero pose defines what upright means.
        for joint in ("pelvis", "spine1", "spine2", "spine3"):
            zero_pose[JOINT_INDEX[joint]] = 0
        for side in ("left", "right"):
            zero_pose[JOINT_INDEX[f"{side}_hip"]] *= 0.3
        path = _write_bvh(tmp_path / "r.bvh", pose, translation, zero_pose=zero_pose)
        _assert_same_bones(read_bvh(path), pose, LIMBS)

    @pytest.mark.parametrize("world", [Z_UP, X_FRONT, Z_UP @ X_FRONT])
    @pytest.mark.parametrize("zero_pose", [None, _a_pose()])
    def test_other_world_axes(self, tmp_path, world, zero_pose):
        pose, translation = _pose_frames(6)
        path = _write_bvh(
            tmp_path / "w.bvh", pose, translation, world=world, zero_pose=zero_pose
        )
        motion = read_bvh(path)
        _assert_same_bones(motion, pose)
        np.testing.assert_allclose(motion.translation, translation, atol=1e-5)

    @pytest.mark.parametrize("world", [np.eye(3), Z_UP])
    def test_zero_pose_that_does_not_stand(self, tmp_path, world):
        """All bones of such rigs lie along one axis; up shows in the frames alone."""
        zero_pose = np.zeros((24, 3))
        zero_pose[0] = [0, 0, -np.pi / 2]
        for side in ("left", "right"):
            zero_pose[JOINT_INDEX[f"{side}_hip"]] = [-np.radians(150), 0, 0]
        pose = np.random.default_rng(7).normal(scale=0.3, size=(NUM_FRAMES, 24, 3))
        path = _write_bvh(
            tmp_path / "x.bvh", pose, pose[:, 0], zero_pose=zero_pose, world=world
        )
        motion = read_bvh(path)
        _assert_same_bones(motion, pose, LIMBS)
        np.testing.assert_allclose(motion.translation, pose[:, 0], atol=1e-5)

    def test_left_arm_up_is_left_arm_up(self, tmp_path):
        pose = np.zeros((1, 24, 3))
        pose[0, JOINT_INDEX["left_shoulder"]] = [0, 0, np.radians(80)]
        for zero_pose, world in [(None, None), (_a_pose(), Z_UP)]:
            path = _write_bvh(
                tmp_path / "l.bvh",
                pose,
                np.zeros((1, 3)),
                zero_pose=zero_pose,
                world=world,
            )
            joints = _place(read_bvh(path).pose[0])
            left, right = (joints[JOINT_INDEX[f"{s}_wrist"]] for s in ("left", "right"))
            head = joints[JOINT_INDEX["head"]]
            assert left[1] > head[1] > right[1]
            assert left[0] > 0 > right[0]

    def test_twist_bones_between_the_ends_of_a_limb(self, tmp_path):
        """An extra joint in the thigh bends it; the knee must be where it is."""
        path = tmp_path / "twist.bvh"
        path.write_text(_short_rig(twist_bone=True))
        joints = _place(read_bvh(path).pose[1])
        knee = [0, -2 - 2 * np.cos(np.radians(40)), -2 * np.sin(np.radians(40))]
        pair = [(JOINT_INDEX["left_hip"], JOINT_INDEX["left_knee"])]
        expected = knee / np.linalg.norm(knee)
        np.testing.assert_allclose(_directions(joints, pair)[0], expected, atol=1e-5)

    @pytest.mark.parametrize(("angle", "kept"), [(20, True), (-20, True), (70, False)])
    def test_where_a_rig_puts_the_toes_is_no_pose(self, tmp_path, angle, kept):
        """Soles that are flat in the zero pose stay flat, but a tiptoe is a pose."""
        zero_pose = np.zeros((24, 3))
        for side, out in (("left", 1), ("right", -1)):
            pitch = Rotation.from_euler("x", angle, degrees=True)
            yaw = Rotation.from_euler("y", 10 * out, degrees=True)
            zero_pose[JOINT_INDEX[f"{side}_ankle"]] = (yaw * pitch).as_rotvec()
        path = _write_bvh(
            tmp_path / "f.bvh", zero_pose[None], np.zeros((1, 3)), zero_pose=zero_pose
        )
        foot = [(JOINT_INDEX["left_ankle"], JOINT_INDEX["left_foot"])]
        read, rest, written = (
            _directions(_place(pose), foot)[0]
            for pose in (read_bvh(path).pose[0], np.zeros((24, 3)), zero_pose)
        )
        heading = lambda toes: np.degrees(np.arctan2(toes[0], toes[2]))
        assert heading(read) == pytest.approx(heading(written), abs=2)
        assert read[1] == pytest.approx((rest if kept else written)[1], abs=0.01)

    def test_unit(self, tmp_path):
        pose, translation = _pose_frames(9)
        for unit in (0.01, 0.1, 0.0564):
            path = _write_bvh(tmp_path / "u.bvh", pose, translation, unit=unit)
            guessed, given = read_bvh(path), read_bvh(path, unit=2 * unit)
            np.testing.assert_allclose(guessed.translation, translation, atol=1e-4)
            np.testing.assert_allclose(given.translation, 2 * translation, atol=1e-4)
            np.testing.assert_array_equal(guessed.pose, given.pose)
        for unit in (0, -1, np.nan, np.inf):
            with pytest.raises(ValueError, match="unit is"):
                read_bvh(path, unit=unit)

    def test_positions_of_other_joints_do_not_stretch_bones(self, tmp_path):
        pose, translation = _pose_frames(10)
        path = _write_bvh(tmp_path / "p.bvh", pose, translation, spread_positions=True)
        motion = read_bvh(path)
        _assert_same_bones(motion, pose)
        np.testing.assert_allclose(motion.translation, translation, atol=1e-5)

    def test_root_above_the_hips_carries_them(self, tmp_path):
        pose, translation = _pose_frames(11)
        path = _write_bvh(tmp_path / "h.bvh", pose, translation)
        text = path.read_text().replace("ROOT Hips", "JOINT Hips", 1)
        text = text.replace(
            "HIERARCHY", "HIERARCHY\nROOT Reference {\nOFFSET 0 0 0\nCHANNELS 0", 1
        ).replace("MOTION", "}\nMOTION", 1)
        path.write_text(text)
        motion = read_bvh(path)
        _assert_same_bones(motion, pose)
        np.testing.assert_allclose(motion.translation, translation, atol=1e-5)

    def test_short_rig(self, tmp_path):
        """No collars, hands, feet, neck or lower spine: they follow their parents."""
        path = tmp_path / "short.bvh"
        path.write_text(_short_rig())
        motion = read_bvh(path)
        still = ["spine2", "spine3", "neck"]
        still += [
            f"left_{part}" for part in ("collar", "ankle", "foot", "wrist", "hand")
        ]
        for joint in still:
            np.testing.assert_allclose(motion.pose[:, JOINT_INDEX[joint]], 0, atol=1e-6)
        shin = [(JOINT_INDEX["left_knee"], JOINT_INDEX["left_ankle"])]
        forearm = [(JOINT_INDEX["right_elbow"], JOINT_INDEX["right_wrist"])]
        straight, bent = (_place(frame) for frame in motion.pose)
        lowered = [0, -np.cos(np.radians(40)), -np.sin(np.radians(40))]
        np.testing.assert_allclose(
            _directions(straight, shin)[0], [0, -1, 0], atol=1e-5
        )
        np.testing.assert_allclose(_directions(bent, shin)[0], lowered, atol=1e-5)
        np.testing.assert_allclose(_directions(bent, forearm)[0], [-1, 0, 0], atol=1e-5)
        assert motion.rate == pytest.approx(120, rel=1e-4)

    def test_line_ends_and_marks_of_windows(self, tmp_path):
        path = tmp_path / "short.bvh"
        path.write_bytes(b"\xef\xbb\xbf" + _short_rig().replace("\n", "\r\n").encode())
        assert read_bvh(path).pose.shape == (2, 24, 3)

    @pytest.mark.parametrize(
        ("old", "new", "cause"),
        [
            ("MOTION", "MOVE", "no line MOTION"),
            ("HIERARCHY", "HIERARCHIE", "line 1"),
            ("ROOT Hips", "JOINT Hips", "line 2: 'JOINT Hips' is out of place"),
            ("}\nMOTION", "MOTION", "HIERARCHY is not complete"),
            ("}\nMOTION", "}\n}\nMOTION", "out of place"),
            ("}\nMOTION", "}\nROOT Second\nMOTION", "'ROOT Second' is out of place"),
            ("OFFSET 0 0 0\n", "", "ends without OFFSET"),
            ("OFFSET 0 0 0", "OFFSET 0 0", "OFFSET 0 0, expected x y z"),
            ("OFFSET 0 0 0", "OFFSET 0 0 inf", "OFFSET 0 0 inf"),
            ("OFFSET 0 0 0", "OFFSET 0 0 1e30", "OFFSET 0 0 1e30"),
            ("CHANNELS 6", "CHANNELS 5", "CHANNELS 5"),
            ("Xposition", "Xscale", "Xscale"),
            ("Xposition", "Yposition", "different ones"),
            ("Frames: 2", "Frames: 3", "announces 3 frames and has 2 lines"),
            ("Frames: 2", "Frames: 0", "Frames is '0'"),
            ("Frames: 2", "Frames: -2", "Frames is '-2'"),
            ("Frames: 2", "Frame: 2", "Frames:"),
            ("0.0083333", "0", "Frame Time is '0'"),
            ("0.0083333", "nan", "Frame Time is 'nan'"),
            ("0.0083333", "soon", "Frame Time is 'soon'"),
            ("1 2 3", "1 2", "has fewer than 36 numbers"),
            ("1 2 3", "1 2 3 4", "has more than 36 numbers"),
            ("1 2 3", "1 2 x", "'x'"),
            ("1 2 3", "1 nan 3", "frame 1 of joint 'Hips' is nan"),
            ("1 2 3", "1 1e300 3", "frame 1 of joint 'Hips' is 1e+300"),
            ("JOINT LeftKnee", "JOINT Foo", "it has no left_knee"),
            ("JOINT LeftKnee", "JOINT Foo", "its joints are Hips"),
            ("OFFSET 0 -4 0", "OFFSET 0 0 0", "left_hip has no length"),
        ],
    )
    def test_bad_text(self, tmp_path, old, new, cause):
        text = _short_rig()
        assert old in text
        path = tmp_path / "bad.bvh"
        path.write_text(text.replace(old, new))
        with pytest.raises(InputError) as caught:
            read_bvh(path)
        assert str(path) in str(caught.value)
        assert cause in str(caught.value)

    def test_left_and_right_of_the_hips_or_else_the_shoulders(self, tmp_path):
        path = tmp_path / "narrow.bvh"
        narrow = _short_rig().replace("OFFSET 1 ", "OFFSET -1 ")
        path.write_text(narrow)
        np.testing.assert_allclose(read_bvh(path).pose[:, 0], 0, atol=1e-6)
        path.write_text(narrow.replace("OFFSET 2 ", "OFFSET -2 "))
        with pytest.raises(InputError, match="left and right"):
            read_bvh(path)

    def test_sizes_are_bounded(self, tmp_path, monkeypatch):
        path = tmp_path / "big.bvh"
        path.write_text(_short_rig())
        for limit, cause in [
            ("_MAX_BYTES", "bytes"),
            ("_MAX_NODES", "joints"),
            ("_MAX_NODE_FRAMES", "lines"),
            ("_MAX_HEADER_LINE", "characters"),
        ]:
            with monkeypatch.context() as patch:
                patch.setattr(f"volhuman.body.bvh.{limit}", 10)
                with pytest.raises(InputError, match=cause):
                    read_bvh(path)
        path.write_text("ROOT a {\nOFFSET 0 0 0\n" + "JOINT b {\n" * 5000 + "MOTION")
        with pytest.raises(InputError, match="more than 1024 joints"):
            read_bvh(path)


def _short_rig(*, twist_bone: bool = False) -> str:
    """Returns a rig of the essential joints and the head, in two frames.

    In the second one the left knee, or the twist bone in the left thigh, turns by 40
    degrees about x.
    """

    def bone(name: str, offset: str, *inner: str) -> str:
        return (
            f"JOINT {name}\n{{\nOFFSET {offset}\nCHANNELS 3 Zrotation Xrotation "
            f"Yrotation\n{''.join(inner)}}}\n"
        )

    end = lambda offset: f"End Site\n{{ OFFSET {offset} }}\n"
    hierarchy = ""
    for side, sign in (("Left", 1), ("Right", -1)):
        knee = lambda drop: bone(f"{side}Knee", f"0 {drop} 0", end("0 -4 0"))  # noqa: B023
        thigh = knee("-4")
        if twist_bone and side == "Left":
            thigh = bone("LeftHipRoll", "0 -2 0", knee("-2"))
        hierarchy += bone(f"{side}Hip", f"{sign} 0 0", thigh)
    arms = ""
    for side, sign in (("Left", 1), ("Right", -1)):
        elbow = bone(f"{side}Elbow", f"{3 * sign} 0 0", end(f"{3 * sign} 0 0"))
        arms += bone(f"{side}Shoulder", f"{2 * sign} 0 0", elbow)
    hierarchy += bone("Chest", "0 3 0", bone("Head", "0 3 0", end("0 1 0")), arms)
    names = [line.split()[1] for line in hierarchy.splitlines() if "JOINT" in line]
    bent = "LeftHipRoll" if twist_bone else "LeftKnee"
    turned = " ".join("0 40 0" if name == bent else "0 0 0" for name in names)
    return (
        "HIERARCHY\nROOT Hips\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition "
        f"Zposition Zrotation Xrotation Yrotation\n{hierarchy}}}\nMOTION\nFrames: 2\n"
        f"Frame Time: 0.0083333\n{'0 ' * (6 + 3 * len(names))}\n1 2 3 0 0 0 {turned}\n"
    )


def _write_npz(path, **changes):
    """Writes a motion of SMPL-H as AMASS does; a change of None removes an array."""
    generator = np.random.default_rng(0)
    arrays = {
        "poses": generator.normal(scale=0.3, size=(5, 156)),
        "trans": generator.normal(size=(5, 3)),
        "mocap_framerate": np.array(120.0),
        "betas": np.zeros(16),
        "gender": np.array("female"),
        **changes,
    }
    np.savez(
        path, **{name: array for name, array in arrays.items() if array is not None}
    )
    return path


class TestAmass:
    def test_round_trip(self, tmp_path):
        path = _write_npz(tmp_path / "m_poses.npz")
        motion = read_amass(path, up="y")
        with np.load(path) as arrays:
            body = arrays["poses"][:, :66].reshape(5, 22, 3)
            np.testing.assert_allclose(motion.pose[:, :22], body, atol=1e-6)
            np.testing.assert_allclose(motion.translation, arrays["trans"], atol=1e-6)
        np.testing.assert_array_equal(motion.pose[:, 22:], 0)
        assert motion.pose.dtype == motion.translation.dtype == np.float32
        assert (motion.rate, motion.name) == (120, "m_poses")

    def test_z_up_turns_the_root_and_the_path_alone(self, tmp_path):
        path = _write_npz(tmp_path / "m.npz")
        same, turned = read_amass(path, up="y"), read_amass(path)
        np.testing.assert_array_equal(same.pose[:, 1:], turned.pose[:, 1:])
        for before, after in zip(same.pose, turned.pose, strict=True):
            first, second = _place(before), _place(after)
            np.testing.assert_allclose(second[:, 1], first[:, 2], atol=1e-5)
            np.testing.assert_allclose(second[:, 2], -first[:, 1], atol=1e-5)

    def test_person_walks_upright_and_forward(self, tmp_path):
        """In AMASS a quarter turn about x stands the person up, looking along -y."""
        num_frames = 10
        for heading, direction in [(0, [0, 0, 1]), (90, [1, 0, 0])]:
            stand = Rotation.from_euler("x", 90, degrees=True)
            root = Rotation.from_euler("z", heading, degrees=True) * stand
            poses = np.zeros((num_frames, 156))
            poses[:, :3] = root.as_rotvec()
            steps = np.arange(num_frames)[:, None] * 0.1
            forward = root.apply([0, 0, 1])
            trans = steps * forward + [0, 0, 0.9]
            motion = read_amass(
                _write_npz(tmp_path / "w.npz", poses=poses, trans=trans)
            )
            joints = _place(motion.pose[0])
            above = joints[JOINT_INDEX["head"]] - joints[0]
            assert above[1] > 0.6
            path = np.diff(motion.translation, axis=0)
            np.testing.assert_allclose(
                path, 0.1 * np.tile(direction, (9, 1)), atol=1e-6
            )
            np.testing.assert_allclose(motion.translation[:, 1], 0.9, atol=1e-6)
            toes = joints[JOINT_INDEX["left_foot"]] - joints[JOINT_INDEX["left_ankle"]]
            assert toes @ np.array(direction) > 0.1

    @pytest.mark.parametrize("size", [66, 72, 156, 165])
    def test_pose_sizes(self, tmp_path, size):
        poses = np.random.default_rng(1).normal(size=(3, size)).astype(np.float32)
        path = _write_npz(tmp_path / "s.npz", poses=poses, trans=np.zeros((3, 3)))
        pose = read_amass(path, up="y").pose.reshape(3, 72)
        kept = 72 if size == 72 else 66
        np.testing.assert_array_equal(pose[:, :kept], poses[:, :kept])
        np.testing.assert_array_equal(pose[:, kept:], 0)

    @pytest.mark.parametrize(
        ("changes", "rate"),
        [
            ({"mocap_framerate": None}, 30),
            ({"mocap_framerate": np.array([60])}, 60),
            ({"mocap_framerate": None, "mocap_frame_rate": np.array(100.0)}, 100),
        ],
    )
    def test_rates(self, tmp_path, changes, rate):
        assert read_amass(_write_npz(tmp_path / "r.npz", **changes)).rate == rate

    @pytest.mark.parametrize(
        ("changes", "cause"),
        [
            ({"poses": None}, "no array poses"),
            ({"trans": None}, "no array trans"),
            ({"poses": np.zeros((5, 63))}, "(5, 63)"),
            ({"poses": np.zeros((0, 156))}, "(0, 156)"),
            ({"poses": np.zeros(156)}, "(156,)"),
            ({"poses": np.zeros((5, 156), complex)}, "complex128"),
            ({"poses": np.array([["a"] * 156] * 5)}, "expected numbers"),
            ({"poses": np.full((5, 156), 1e300)}, "expected radians"),
            ({"trans": np.full((5, 3), 1e300)}, "out of range"),
            ({"trans": np.zeros((4, 3))}, "(4, 3)"),
            ({"trans": np.full((5, 3), np.inf)}, "trans is not finite at frame 0"),
            ({"mocap_framerate": np.array(0)}, "mocap_framerate is 0"),
            ({"mocap_framerate": np.array(np.nan)}, "mocap_framerate is nan"),
            ({"mocap_framerate": np.zeros(2)}, "mocap_framerate is [0.0, 0.0]"),
        ],
    )
    def test_bad_arrays(self, tmp_path, changes, cause):
        path = _write_npz(tmp_path / "bad.npz", **changes)
        with pytest.raises(InputError) as caught:
            read_amass(path)
        assert str(path) in str(caught.value)
        assert cause in str(caught.value)

    def test_first_bad_number_is_named(self, tmp_path):
        poses = np.zeros((5, 156))
        poses[3, 3 * JOINT_INDEX["left_knee"] + 1] = np.nan
        poses[4, 0] = np.inf
        poses[1, 100] = np.nan  # A finger, which is not read.
        path = _write_npz(tmp_path / "nan.npz", poses=poses)
        with pytest.raises(InputError, match="frame 3, left_knee"):
            read_amass(path)

    def test_objects_are_refused_and_never_run(self, tmp_path):
        marker = tmp_path / "ran"

        class Poison:
            def __reduce__(self):
                return os.mkdir, (str(marker),)

        path = tmp_path / "poison.npz"
        np.savez(path, poses=np.array([Poison()], object), trans=np.zeros((5, 3)))
        with pytest.raises(InputError, match="Python objects"):
            read_amass(path)
        assert not marker.exists()

    def test_objects_beside_the_motion_are_not_touched(self, tmp_path):
        labels = np.array([{"marker": 1}], object)
        assert read_amass(_write_npz(tmp_path / "l.npz", labels=labels)).rate == 120

    def test_headers_and_archives_that_lie(self, tmp_path, monkeypatch):
        path = tmp_path / "lie.npz"
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 156)}
        )
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("poses.npy", header.getvalue())
        with pytest.raises(InputError, match="claims"):
            read_amass(path)
        monkeypatch.setattr("volhuman.body.motion._MAX_AMASS_BYTES", 1000)
        with pytest.raises(InputError, match="more than 1000"):
            read_amass(_write_npz(tmp_path / "big.npz"))

    def test_damaged_archives(self, tmp_path):
        whole = _write_npz(tmp_path / "whole.npz").read_bytes()
        path = tmp_path / "cut.npz"
        for content in (b"", b"no archive", whole[: len(whole) // 2]):
            path.write_bytes(content)
            with pytest.raises(InputError, match=r"cut\.npz is damaged"):
                read_amass(path)

    def test_option(self, tmp_path):
        with pytest.raises(ValueError, match="up is 'x', expected one of y, z"):
            read_amass(_write_npz(tmp_path / "m.npz"), up="x")


class TestReadMotion:
    def test_suffixes(self, tmp_path):
        pose, translation = _pose_frames()
        bvh = read_motion(_write_bvh(tmp_path / "a.BVH", pose, translation))
        npz = read_motion(str(_write_npz(tmp_path / "b.npz")))
        assert (bvh.name, npz.name) == ("a", "b")
        with pytest.raises(InputError, match=r"c\.fbx .* \.npz, \.bvh"):
            read_motion(tmp_path / "c.fbx")

    @pytest.mark.parametrize(
        "name", ["none.bvh", "none.npz", "folder.bvh", "folder.npz"]
    )
    def test_what_is_no_file(self, tmp_path, name):
        if name.startswith("folder"):
            (tmp_path / name).mkdir()
        with pytest.raises(InputError, match="is not a file"):
            read_motion(tmp_path / name)
