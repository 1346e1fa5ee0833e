"""Reads motions that others recorded, AMASS and BVH, as poses of the 24 joints.

World axes of a motion: y up, metres; a person whose root does not turn looks along z.
Body axes are those of `body.model`: x to the subject's left, y up, z to the front, T-pose
where all angles are 0.

Letters in shapes: T frames.
"""

import contextlib
import dataclasses
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from volhuman.body.bvh import Bvh, find_joints, parse_bvh, posed_nodes, zero_positions
from volhuman.body.skeleton import JOINT_INDEX, JOINT_NAMES, NUM_JOINTS, PARENTS
from volhuman.body.smpl_files import _check_npy_header
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
_Y_UP_FROM_Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])

_SIDES = ("left", "right")
# Bones that point in the retargeted body where they point in the file, by their joints.
_LIMBS = {
    f"{side}_{joint}": f"{side}_{end}"
    for joint, end in [
        ("hip", "knee"),
        ("knee", "ankle"),
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
    ]
    for side in _SIDES
}
# Bones whose direction is mostly a matter of where a rig puts the joints: between rigs
# with flat feet the line from ankle to toes differs by 30 degrees. They keep their place
# on the bone before, unless they differ so much that it must be the pose.
_LOOSE = {
    f"{side}_{joint}": f"{side}_{end}"
    for joint, end in [("collar", "shoulder"), ("ankle", "foot"), ("wrist", "hand")]
    for side in _SIDES
}
_LOOSE_COSINE = np.cos(np.radians(45))


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
    origin of SMPL, about 0.2 m above the pelvis: the path of the pelvis is right up to a
    constant.

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
            raise ValueError(
                f"its arrays take {total} bytes, more than {_MAX_AMASS_BYTES}"
            )
        arrays = {}
        for key, member in members.items():
            # Before allocation: a header may claim gigabytes.
            _check_npy_header(archive, member, sizes[member])
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
    bad = np.argwhere(~np.isfinite(pose).all(-1))
    if len(bad):
        frame, joint = bad[0]
        raise ValueError(f"poses is not finite at frame {frame}, {JOINT_NAMES[joint]}")
    return pose


def _amass_translation(arrays: dict[str, np.ndarray], num_frames: int) -> np.ndarray:
    """Returns `(T, 3)` float64 metres in the file's axes."""
    if "trans" not in arrays:
        raise ValueError("it has no array trans; give a motion file of AMASS")
    translation = arrays["trans"].astype(np.float64)
    if translation.shape != (num_frames, 3):
        raise ValueError(
            f"trans has shape {translation.shape}, expected ({num_frames}, 3) as poses "
            f"has {num_frames} frames"
        )
    bad = np.argwhere(~np.isfinite(translation).all(-1))
    if len(bad):
        raise ValueError(f"trans is not finite at frame {bad[0, 0]}")
    return translation


def _amass_rate(arrays: dict[str, np.ndarray]) -> float:
    key = next((key for key in _RATE_NAMES if key in arrays), None)
    if key is None:
        return _DEFAULT_RATE
    if arrays[key].size != 1 or not 0 < arrays[key].item() < np.inf:
        raise ValueError(
            f"{key} is {arrays[key].tolist()}, expected one number above 0"
        )
    return float(arrays[key].item())


# -- BVH


def read_bvh(path: str | Path, *, unit: float | None = None) -> Motion:
    """Reads a BVH file and carries its motion over to the body.

    Thighs, shins, upper arms and forearms point in every frame where they point in the
    file, whatever its zero pose is: T-pose, A-pose, bent elbows. Trunk, head, hands and
    feet turn in every frame as they turn in the file, starting from the rest of the body
    in the file's zero pose; their bones have no one direction that all rigs agree on.
    Joints that the file lacks follow their parent. Names: see `body.bvh.find_joints`.

    Up is the axis on which the shoulders of the zero pose lie above the hips, front the
    axis that its left and right then leave; where the zero pose does not stand, up is
    the axis of the trunk in the mean of all frames, and the heading is left as it is.

    Known limit: a limb whose zero pose is opposite to the body's rest pose (legs up)
    gets the right direction, but its turn about itself is arbitrary by a constant.

    Args:
        path: `.bvh` of one person.
        unit: Metres per unit of the file, default chosen so that thigh and shin
            together are as long as the body's.

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
        rest = np.asarray(load_template().joints, np.float64)
        if unit is None:
            unit = _guess_unit(bvh, nodes, zero, rest)
        rotations, positions = posed_nodes(bvh, nodes["pelvis"])
        body_axes, y_up_from_file = _find_axes(nodes, zero, positions)
        alignments = _align_bones(bvh, nodes, zero, rest, body_axes)
        oriented = _orient_joints(bvh, nodes, rotations, positions, alignments, rest)
    oriented = y_up_from_file @ oriented
    parents = oriented[:, np.maximum(PARENTS, 0)]
    parents[:, 0] = np.eye(3)
    local = np.swapaxes(parents, -1, -2) @ oriented
    pose = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec()
    translation = positions[nodes["pelvis"]] @ y_up_from_file.T * unit
    return _build_motion(
        path, pose.reshape(-1, NUM_JOINTS, 3), translation, 1 / bvh.frame_time
    )


def _guess_unit(
    bvh: Bvh, nodes: dict[str, int], zero: np.ndarray, rest: np.ndarray
) -> float:
    """Returns metres per file unit from the lengths of thighs and shins."""
    bones = [joint for joint in _LIMBS if joint.endswith(("hip", "knee"))]
    own = sum(np.linalg.norm(_rest_bone(joint, rest)) for joint in bones)
    theirs = sum(
        np.linalg.norm(zero[_end_node(bvh, nodes, joint)] - zero[nodes[joint]])
        for joint in bones
    )
    return own / theirs if theirs > 0 else 1.0


def _rest_bone(joint: str, rest: np.ndarray) -> np.ndarray:
    """Returns the bone `(3,)` of a limb in the T-posed body, metres."""
    end = _LIMBS.get(joint) or _LOOSE[joint]
    return rest[JOINT_INDEX[end]] - rest[JOINT_INDEX[joint]]


def _end_node(bvh: Bvh, nodes: dict[str, int], joint: str) -> int:
    """Returns the node where a bone ends: its end joint, else its first child."""
    end = nodes.get(_LIMBS.get(joint) or _LOOSE[joint])
    if end is not None:
        return end
    children = np.flatnonzero(bvh.parents == nodes[joint])
    return int(children[0]) if len(children) else nodes[joint]


def _find_axes(
    nodes: dict[str, int], zero: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Finds left, up and front of the zero pose, and the rotation to y-up.

    Args:
        nodes: Node by joint name.
        zero: `(N, 3)` zero pose.
        positions: `(N, T, 3)` posed nodes.

    Returns:
        Axes of the body in the zero pose as columns `(3, 3)`, and the rotation `(3, 3)`
        by quarter turns from the file's world to a motion's.

    Raises:
        ValueError: If the zero pose has no up or no left.
    """
    middle = lambda joint, points: (
        sum(points[nodes[f"{s}_{joint}"]] for s in _SIDES) / 2
    )
    across = lambda joint: zero[nodes[f"left_{joint}"]] - zero[nodes[f"right_{joint}"]]
    trunk = middle("shoulder", zero) - middle("hip", zero)
    thighs = middle("knee", zero) - middle("hip", zero)
    size = np.linalg.norm(trunk)
    # Quarter turns: a rig that leans by a few degrees does not tilt the floor.
    stands = trunk @ thighs < -0.7 * size * np.linalg.norm(thighs)
    up = _nearest_axis(trunk) if stands else trunk
    left = next(
        (
            line
            for line in (across("hip"), across("shoulder"))
            if np.linalg.norm(np.cross(line, up)) > 0.01 * size * np.linalg.norm(up)
        ),
        None,
    )
    if left is None:
        raise ValueError("left and right of its zero pose are not apart")
    body_axes = _frame(left, up)
    if stands:
        return body_axes, _frame(_nearest_axis(body_axes[:, 0]), up).T
    posed = middle("shoulder", positions) - middle("hip", positions)
    up = _nearest_axis(posed.mean(0))
    return body_axes, _minimal_rotation(up, np.array([0.0, 1, 0]))


def _nearest_axis(vector: np.ndarray) -> np.ndarray:
    axis = np.zeros(3)
    largest = np.argmax(np.abs(vector))
    axis[largest] = np.copysign(1, vector[largest])
    return axis


def _frame(left: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Returns left, up and front as columns: up exactly, left as near as possible."""
    up = up / np.linalg.norm(up)
    left = left - (left @ up) * up
    left = left / np.linalg.norm(left)
    return np.stack([left, up, np.cross(left, up)], axis=1)


def _align_bones(
    bvh: Bvh,
    nodes: dict[str, int],
    zero: np.ndarray,
    rest: np.ndarray,
    body_axes: np.ndarray,
) -> np.ndarray:
    """Finds the pose of the body that looks like the zero pose of the file.

    Each bone starts where the bone before carried it and takes the shortest way, so that
    knees and elbows keep the sense of their hinges.

    Returns:
        `(24, 3, 3)` rotations from T-pose to the zero pose in the file's axes.

    Raises:
        ValueError: If a limb has no length.
    """
    alignments = np.empty((NUM_JOINTS, 3, 3))
    for number, joint in enumerate(JOINT_NAMES):
        alignments[number] = alignments[PARENTS[number]] if number else body_axes
        if joint not in nodes or (joint not in _LIMBS and joint not in _LOOSE):
            continue
        end = _end_node(bvh, nodes, joint)
        bone = zero[end] - zero[nodes[joint]]
        start = alignments[number] @ _rest_bone(joint, rest)
        lengths = np.linalg.norm(bone) * np.linalg.norm(start)
        if joint in _LIMBS and lengths == 0:
            raise ValueError(
                f"the bone of joint {bvh.names[nodes[joint]]!r} has no length"
            )
        if joint in _LIMBS or bone @ start < _LOOSE_COSINE * lengths:
            alignments[number] = _minimal_rotation(start, bone) @ alignments[number]
    return alignments


def _orient_joints(
    bvh: Bvh,
    nodes: dict[str, int],
    rotations: np.ndarray,
    positions: np.ndarray,
    alignments: np.ndarray,
    rest: np.ndarray,
) -> np.ndarray:
    """Returns the joints' world rotations `(T, 24, 3, 3)` in the file's axes."""
    oriented = np.empty((len(bvh.values), NUM_JOINTS, 3, 3))
    for number, joint in enumerate(JOINT_NAMES):
        if joint not in nodes:
            oriented[:, number] = oriented[:, PARENTS[number]]
            continue
        oriented[:, number] = rotations[nodes[joint]] @ alignments[number]
        if joint in _LIMBS:
            # Rigs with twist bones bend a little between the ends of a limb.
            end = _end_node(bvh, nodes, joint)
            bone = positions[end] - positions[nodes[joint]]
            start = oriented[:, number] @ _rest_bone(joint, rest)
            oriented[:, number] = _minimal_rotation(start, bone) @ oriented[:, number]
    return oriented


def _minimal_rotation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Returns the shortest rotations `(..., 3, 3)` between directions `(..., 3)`.

    Opposite directions are joined by a half turn about some normal; where one of the two
    has no length, nothing turns.
    """
    lengths = np.linalg.norm(source, axis=-1) * np.linalg.norm(target, axis=-1)
    safe = np.where(lengths > 0, lengths, 1)[..., None]
    normal = np.cross(source, target) / safe
    sine = np.linalg.norm(normal, axis=-1, keepdims=True)
    cosine = (source * target).sum(-1, keepdims=True) / safe
    # Among the normals of opposite directions, the one in the plane of the two axes
    # along which the source is long.
    others = np.cross(source, np.eye(3)[np.argmin(np.abs(source), axis=-1)])
    others /= np.maximum(np.linalg.norm(others, axis=-1, keepdims=True), 1e-300)
    opposite = (cosine < 0) & (sine < 1e-9)
    axis = np.where(opposite, others, normal / np.where(sine > 0, sine, 1))
    vector = axis * np.arctan2(sine, cosine)
    flat = Rotation.from_rotvec(vector.reshape(-1, 3)).as_matrix()
    return flat.reshape(*vector.shape[:-1], 3, 3)


# -- both


def _build_motion(
    path: Path, pose: np.ndarray, translation: np.ndarray, rate: float
) -> Motion:
    """Narrows to float32, in which numbers of absurd size overflow."""
    with np.errstate(over="ignore"):
        pose, translation = pose.astype(np.float32), translation.astype(np.float32)
    if not np.isfinite(pose).all() or not np.isfinite(translation).all():
        raise InputError(f"{path} holds positions or angles that are out of range.")
    return Motion(pose, translation, float(rate), path.stem)


@contextlib.contextmanager
def _input_errors(path: Path) -> Iterator[None]:
    """Turns whatever a file provokes into an InputError with path and cause."""
    if not os.path.isfile(path):
        raise InputError(f"{path} is not a file; give the path of a motion.")
    try:
        yield
    except InputError:
        raise
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
