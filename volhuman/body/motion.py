"""Reads motions that others recorded, AMASS and BVH, as poses of the 24 joints.

World axes of a motion: y up, metres; a person whose root does not turn looks along z.
Body axes are those of `body.model`: x to the subject's left, y up, z to the front, a
T-pose where all angles are 0.

Letters in shapes: T frames.
"""

import contextlib
import dataclasses
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from volhuman.body.bvh import (
    Bvh,
    find_axes,
    find_joints,
    parse_bvh,
    posed_nodes,
    zero_positions,
)
from volhuman.body.skeleton import JOINT_INDEX, JOINT_NAMES, NUM_JOINTS, PARENTS
from volhuman.body.smpl_files import check_npy_header
from volhuman.body.template import load_template
from volhuman.checks import check_option
from volhuman.errors import InputError

# Twenty minutes of SMPL-X at 120 frames a second take 190 MB.
_MAX_AMASS_BYTES = 1 << 28
_RATE_NAMES = ("mocap_framerate", "mocap_frame_rate")
_DEFAULT_RATE = 30.0
# Pose numbers per frame: SMPL's body joints alone, SMPL, SMPL-H, SMPL-X.
_POSE_SIZES = (66, 72, 156, 165)
_NUM_BODY_JOINTS = 22
_MAX_ANGLE = 1000.0
_Y_UP_FROM_Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])

# Bones that point in the retargeted body where they point in the file, by their joints.
_LIMBS = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist"}
# Bones whose direction is mostly a matter of where a rig puts the joints: between rigs
# with flat feet the line from ankle to toes differs by 30 degrees. They keep their
# angle to the bone before, unless it differs so much that it must be the pose.
_LOOSE = {"collar": "shoulder", "ankle": "foot", "wrist": "hand"}
_LOOSE_COSINE = np.cos(np.radians(45))
_MIN_LENGTH = 1e-9
_SIDES = ("left", "right")


@dataclasses.dataclass(frozen=True)
class Motion:
    """Poses of one person over time.

    Attributes:
        pose: `(T, 24, 3)` float32 axis-angle relative to the parent; entry 0 turns the
            body in the world.
        translation: `(T, 3)` float32 position of the pelvis, metres, y up.
        rate: Frames per second.
        name: Name of the file without suffix.
    """

    pose: np.ndarray
    translation: np.ndarray
    rate: float
    name: str


def read_motion(path: str | Path) -> Motion:
    """Reads a motion with the reader that its suffix names and its defaults.

    Args:
        path: `.npz` of AMASS or `.bvh`.

    Returns:
        The motion.

    Raises:
        InputError: If the suffix is another one, or the file cannot be used.
    """
    readers = {".npz": read_amass, ".bvh": read_bvh}
    suffix = Path(path).suffix.lower()
    if suffix not in readers:
        raise InputError(f"{path} is no motion file; give one of {', '.join(readers)}.")
    return readers[suffix](path)


# -- AMASS


def read_amass(path: str | Path, *, up: str = "z") -> Motion:
    """Reads a motion in the format of AMASS.

    Fingers, face and body shape are left out. AMASS measures the translation from the
    origin of SMPL, about 0.2 m above the pelvis: the path is right up to a constant.

    Args:
        path: `.npz` with `poses` `(T, 66 | 72 | 156 | 165)`, `trans` `(T, 3)` and
            `mocap_framerate` or `mocap_frame_rate`, without which 30 is assumed.
        up: Axis of the file that points up, "z" as in AMASS or "y".

    Returns:
        The motion; the joints left_hand and right_hand turn only where the file has
        the 72 numbers of SMPL.

    Raises:
        InputError: If the file cannot be read safely, lacks an array, or holds one of a
            wrong shape or with numbers that are not finite.
        ValueError: If `up` is another word.
    """
    check_option("up", up, ("y", "z"))
    path = Path(path)
    with _input_errors(path):
        arrays = _read_arrays(path, ("poses", "trans", *_RATE_NAMES))
        pose = _amass_pose(arrays)
        translation = _amass_translation(arrays, len(pose))
        rate = _amass_rate(arrays)
        if up == "z":
            root = Rotation.from_matrix(_Y_UP_FROM_Z_UP) * Rotation.from_rotvec(
                pose[:, 0]
            )
            pose[:, 0] = root.as_rotvec()
            translation = translation @ _Y_UP_FROM_Z_UP.T
        return _build_motion(path, pose, translation, rate)


def _read_arrays(path: Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Reads the arrays of these names that an npz has, and nothing else in it."""
    with zipfile.ZipFile(path) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist()}
        members = {key: f"{key}.npy" for key in keys if f"{key}.npy" in sizes}
        total = sum(sizes[member] for member in members.values())
        if total > _MAX_AMASS_BYTES:
            raise ValueError(f"its arrays take more than {_MAX_AMASS_BYTES} bytes")
        arrays = {}
        for key, member in members.items():
            # Before allocation: a header may claim gigabytes.
            check_npy_header(archive, member, sizes[member])
            with archive.open(member) as stream:
                arrays[key] = np.lib.format.read_array(stream, allow_pickle=False)
            if arrays[key].dtype.kind not in "iuf":
                raise ValueError(f"{key} is {arrays[key].dtype}, expected numbers")
    return arrays


def _amass_pose(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Returns `(T, 24, 3)` float64 axis-angle."""
    if "poses" not in arrays:
        raise ValueError("it has no array poses; give a motion file of AMASS")
    poses = arrays["poses"]
    if poses.ndim != 2 or len(poses) == 0 or poses.shape[1] not in _POSE_SIZES:
        sizes = ", ".join(map(str, _POSE_SIZES))
        raise ValueError(f"poses has shape {poses.shape}, expected (T, one of {sizes})")
    num_joints = NUM_JOINTS if poses.shape[1] == 72 else _NUM_BODY_JOINTS
    pose = np.zeros((len(poses), NUM_JOINTS, 3))
    pose[:, :num_joints] = poses[:, : 3 * num_joints].reshape(len(poses), -1, 3)
    bad = np.argwhere(~(np.abs(pose) < _MAX_ANGLE).all(-1))
    if len(bad):
        place = f"frame {bad[0, 0]}, {JOINT_NAMES[bad[0, 1]]}"
        raise ValueError(f"poses at {place} is {pose[*bad[0]]}, expected radians")
    return pose


def _amass_translation(arrays: dict[str, np.ndarray], num_frames: int) -> np.ndarray:
    """Returns `(T, 3)` float64 metres in the file's axes."""
    if "trans" not in arrays:
        raise ValueError("it has no array trans; give a motion file of AMASS")
    translation = arrays["trans"].astype(np.float64)
    if translation.shape != (num_frames, 3):
        expected = f"({num_frames}, 3) like poses"
        raise ValueError(f"trans has shape {translation.shape}, expected {expected}")
    bad = np.argwhere(~np.isfinite(translation).all(-1))
    if len(bad):
        raise ValueError(f"trans is not finite at frame {bad[0, 0]}")
    return translation


def _amass_rate(arrays: dict[str, np.ndarray]) -> float:
    key = next((key for key in _RATE_NAMES if key in arrays), None)
    if key is None:
        return _DEFAULT_RATE
    if arrays[key].size != 1 or not 0 < arrays[key].item() < np.inf:
        raise ValueError(f"{key} is {arrays[key].tolist()}, expected one above 0")
    return float(arrays[key].item())


# -- BVH


def read_bvh(path: str | Path, *, unit: float | None = None) -> Motion:
    """Reads a BVH file and carries its motion over to the body.

    Thighs, shins, upper arms and forearms point in every frame where they point in the
    file, whatever its zero pose is: T-pose, A-pose, bent elbows. Trunk, head, hands and
    feet turn as they turn in the file, starting from the rest of the body in the file's
    zero pose: rigs do not agree on where their bones point. Joints that the file lacks
    follow their parent. Names: see `body.bvh.find_joints`.

    Up is the axis on which the shoulders of the zero pose lie above the hips, front the
    axis that its left and right then leave; where the zero pose does not stand, up is
    the axis of the trunk in the mean of all frames, and the heading is left as it is.

    A limb whose zero pose is opposite to the T-pose (legs up) gets the right direction,
    but its turn about itself is arbitrary by a constant.

    Args:
        path: `.bvh` of one person.
        unit: Metres per unit of the file, default chosen so that thighs and shins are
            as long as the body's.

    Returns:
        The motion.

    Raises:
        InputError: If the file cannot be read, is not BVH, announces other than it
            holds, is too large, or lacks pelvis, hips, knees, shoulders or elbows.
        ValueError: If the unit is not positive.
    """
    if unit is not None and not 0 < unit < np.inf:
        raise ValueError(f"unit is {unit}, expected metres above 0 or None")
    path = Path(path)
    with _input_errors(path):
        bvh = parse_bvh(path)
        nodes = find_joints(bvh)
        zero = zero_positions(bvh)
        bones = _find_bones(bvh, nodes, zero)
        rotations, positions = posed_nodes(bvh, nodes["pelvis"])
        body_axes, y_up_from_file = find_axes(nodes, zero, positions)
        alignments = _align_bones(bones, body_axes)
        oriented = _orient_joints(nodes, bones, rotations, positions, alignments)
        oriented = y_up_from_file @ oriented
        parents = oriented[:, np.maximum(PARENTS, 0)]
        parents[:, 0] = np.eye(3)
        local = np.swapaxes(parents, -1, -2) @ oriented
        pose = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec()
        pose = pose.reshape(-1, NUM_JOINTS, 3)
        unit = unit or _guess_unit(bones)
        translation = positions[nodes["pelvis"]] @ y_up_from_file.T * unit
        return _build_motion(path, pose, translation, 1 / bvh.frame_time)


class _Bone(NamedTuple):
    """A bone that has a direction in the file: its two nodes, and it in two poses."""

    start: int
    end: int
    zero: np.ndarray  # (3,) in the zero pose, file axes and units
    rest: np.ndarray  # (3,) in the T-pose, metres
    is_limb: bool


def _find_bones(bvh: Bvh, nodes: dict[str, int], zero: np.ndarray) -> dict[str, _Bone]:
    """Returns bones by joint; a limb without an end joint ends at its first child."""
    rest = np.asarray(load_template().joints, np.float64)
    bones = {}
    for joint, end_joint in (_LIMBS | _LOOSE).items():
        for side in _SIDES:
            start, end = (f"{side}_{name}" for name in (joint, end_joint))
            if start not in nodes:
                continue
            ends = [nodes[end]] if end in nodes else []
            if joint in _LIMBS:
                ends += np.flatnonzero(bvh.parents == nodes[start]).tolist()
            if ends:
                place = nodes[start], ends[0]
                in_file = zero[place[1]] - zero[place[0]]
                in_rest = rest[JOINT_INDEX[end]] - rest[JOINT_INDEX[start]]
                bones[start] = _Bone(*place, in_file, in_rest, joint in _LIMBS)
                if joint in _LIMBS and np.linalg.norm(in_file) < _MIN_LENGTH:
                    raise ValueError(f"the bone of its {start} has no length")
    return bones


def _guess_unit(bones: dict[str, _Bone]) -> float:
    """Returns metres per file unit from the lengths of thighs and shins."""
    legs = [bone for joint, bone in bones.items() if joint.endswith(("hip", "knee"))]
    own = sum(np.linalg.norm(bone.rest) for bone in legs)
    return own / sum(np.linalg.norm(bone.zero) for bone in legs)


def _align_bones(bones: dict[str, _Bone], body_axes: np.ndarray) -> np.ndarray:
    """Finds the pose of the body that looks like the zero pose of the file.

    Each bone starts where the bone before carried it and takes the shortest way, so
    that knees and elbows keep the sense of their hinges.

    Returns:
        `(24, 3, 3)` rotations from T-pose to the zero pose in the file's axes.
    """
    alignments = np.empty((NUM_JOINTS, 3, 3))
    for number, joint in enumerate(JOINT_NAMES):
        alignments[number] = alignments[PARENTS[number]] if number else body_axes
        if joint not in bones:
            continue
        bone = bones[joint]
        start = alignments[number] @ bone.rest
        carrier = bones.get(JOINT_NAMES[PARENTS[number]])
        if not bone.is_limb and carrier:
            # Toes that point outwards do so in all rigs: turn about the shin.
            turn = _rotation_about(carrier.zero, start, bone.zero)
            alignments[number], start = turn @ alignments[number], turn @ start
        lengths = np.linalg.norm(bone.zero) * np.linalg.norm(start)
        if bone.is_limb or bone.zero @ start < _LOOSE_COSINE * lengths:
            alignments[number] = (
                _minimal_rotation(start, bone.zero) @ alignments[number]
            )
    return alignments


def _orient_joints(
    nodes: dict[str, int],
    bones: dict[str, _Bone],
    rotations: np.ndarray,
    positions: np.ndarray,
    alignments: np.ndarray,
) -> np.ndarray:
    """Returns the joints' world rotations `(T, 24, 3, 3)` in the file's axes."""
    oriented = np.empty((rotations.shape[1], NUM_JOINTS, 3, 3))
    for number, joint in enumerate(JOINT_NAMES):
        if joint not in nodes:
            oriented[:, number] = oriented[:, PARENTS[number]]
            continue
        oriented[:, number] = rotations[nodes[joint]] @ alignments[number]
        if joint in bones and bones[joint].is_limb:
            # Rigs with twist bones bend a little between the ends of a limb.
            bone = bones[joint]
            target = positions[bone.end] - positions[bone.start]
            start = oriented[:, number] @ bone.rest
            oriented[:, number] = _minimal_rotation(start, target) @ oriented[:, number]
    return oriented


def _rotation_about(
    axis: np.ndarray, source: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """Returns the turn about an axis that brings source nearest to target, all `(3,)`.

    Where one of the two is nearly along the axis, as a hand on a forearm, none is told.
    """
    across = lambda vector: vector - (vector @ axis) / (axis @ axis) * axis
    for vector in (source, target):
        if np.linalg.norm(across(vector)) <= 0.3 * np.linalg.norm(vector):
            return np.eye(3)
    return _minimal_rotation(across(source), across(target))


def _minimal_rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Returns the shortest rotations `(..., 3, 3)` between directions `(..., 3)`.

    Opposite directions are joined by a half turn about some normal; where one of the
    two has no length, nothing turns.
    """
    normal = np.cross(source, target)
    size = np.linalg.norm(source, axis=-1) * np.linalg.norm(target, axis=-1)
    real = size + (source * target).sum(-1)
    # The cross product with the axis on which the source is shortest is never 0.
    other = np.cross(source, np.eye(3)[np.argmin(np.abs(source), axis=-1)])
    is_opposite = np.linalg.norm(normal, axis=-1) + real < 1e-9 * size
    normal = np.where(is_opposite[..., None], other, normal)
    real = np.where(is_opposite, 0, np.where(size > 0, real, 1))
    quaternions = np.concatenate([normal, real[..., None]], axis=-1)
    matrices = Rotation.from_quat(quaternions.reshape(-1, 4)).as_matrix()
    return matrices.reshape(*real.shape, 3, 3)


def _build_motion(
    path: Path, pose: np.ndarray, translation: np.ndarray, rate: float
) -> Motion:
    """Narrows to float32, in which numbers of absurd size overflow."""
    pose, translation = pose.astype(np.float32), translation.astype(np.float32)
    if not np.isfinite(pose).all() or not np.isfinite(translation).all():
        raise ValueError("its positions or angles are out of range")
    return Motion(pose, translation, float(rate), path.stem)


@contextlib.contextmanager
def _input_errors(path: Path) -> Iterator[None]:
    """Turns whatever a file provokes into an InputError with path and cause."""
    if not os.path.isfile(path):
        raise InputError(f"{path} is not a file; give the path of a motion.")
    try:
        # What overflows is refused at the end.
        with np.errstate(over="ignore", invalid="ignore"):
            yield
    except ValueError as error:
        raise InputError(f"{path} is not usable: {error}.") from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}); check its permissions."
        ) from error
    # Damaged archives fail with BadZipFile, zlib.error, RuntimeError (a password),
    # NotImplementedError (a compression), EOFError and more.
    except Exception as error:
        cause = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{path} is damaged ({cause}); copy it again.") from error
