"""Reads what a person shall do: joints of another photograph, a pose, a motion.

A target is a photograph, whose joints are estimated; a file of 3D joints
(`repose.joint_files`); a folder of them, or of results
of the registration, in natural order; a motion (BVH, AMASS); or a pose of the 24 joints
as axis-angle relative to the parent: `.npz` with an array `pose`, JSON with `pose`
(24 x 3 or 72 numbers) or with `pose_axis_angle` by name.
"""

import dataclasses
import math
import re
import zipfile
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from volhuman.body.motion import Motion, read_motion
from volhuman.body.skeleton import JOINT_NAMES, NUM_JOINTS
from volhuman.data.images import is_picture
from volhuman.data.json_files import number, read_json
from volhuman.data.sets.files import read_npz_array
from volhuman.errors import InputError
from volhuman.repose.figure import PELVIS, figure_size, pose_figure
from volhuman.repose.joint_files import EstimateBody, Seen, read_joints, seen_of_body

# What the registration calls the file in the folder of each photograph.
REGISTERED = "body.json"
_UPRIGHT = np.array([1.0, -1.0, -1.0])  # camera axes to y up, and back
_MAX_ANGLE = 1000.0
_KINDS = (
    "a photograph, joints or a pose (.json, .npz), a motion (.bvh, or .npz of AMASS), "
    "or a folder of joint files"
)
_POSE_KEYS = {"pose", "pose_axis_angle"}


@dataclasses.dataclass(frozen=True)
class Target:
    """A figure over time in a room of its own.

    Attributes:
        points: `(T, 29, 3)` y up, any unit, the pelvis at 0; who faces the camera
            looks along z.
        path: `(T, 3)` the pelvis in the same axes and unit up to a constant, or None
            where the file does not tell.
        is_seen: A camera saw it, so that its heading is that of a picture.
        warnings: Sentences about how it was found.
    """

    points: np.ndarray
    path: np.ndarray | None
    is_seen: bool
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """Which frames of a motion are taken.

    Attributes:
        fps: Frames a second.
        start: Seconds that are left out at the beginning.
        duration: Seconds that are taken, 0 for all.
        max_frames: More are refused.
    """

    fps: float = 25.0
    start: float = 0.0
    duration: float = 0.0
    max_frames: int = 500


def read_target(
    path: str | Path, sampling: Sampling, estimate: EstimateBody | None = None
) -> Target:
    """Reads a target of any kind.

    Motions are resampled: rotations along the shortest way, positions linearly. Files
    without a rate, and folders, have the wanted one.

    Args:
        path: File or folder.
        sampling: The frames to take.
        estimate: Gives what `body.json` holds for a photograph; without it photographs
            are no targets.

    Raises:
        InputError: If it cannot be used, holds no frame where it should begin, or more
            than the limit.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder; give {_KINDS}")
    if (path / REGISTERED).is_file():
        path = path / REGISTERED
    if path.is_dir():
        return _from_folder(path, sampling)
    if estimate is not None and is_picture(path):
        return _from_seen(seen_of_body(estimate(path), path), sampling, path)
    kind = _kind(path)
    if kind == "motion":
        return _from_motion(read_motion(path), sampling, path)
    if kind == "pose":
        return Target(pose_figure(_read_pose(path)[None]), None, False)
    return _from_seen(read_joints(path, is_target=True), sampling, path)


def _kind(path: Path) -> str:
    """What a file holds: "motion", "pose" or "joints"."""
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        return "motion"
    if suffix == ".npz":
        try:
            with zipfile.ZipFile(path) as archive:
                names = set(archive.namelist())
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path}: not an npz file ({error}); save it again"
            ) from error
        kinds = {"poses.npy": "motion", "pose.npy": "pose"}
        return next((k for name, k in kinds.items() if name in names), "joints")
    if suffix == ".json":
        content = read_json(path)
        has_joints = isinstance(content, dict) and "joints" in content
        has_pose = isinstance(content, dict) and _POSE_KEYS & content.keys()
        return "pose" if has_pose and not has_joints else "joints"
    raise InputError(f"{path}: not a target; give {_KINDS}")


def _read_pose(path: Path) -> np.ndarray:
    """Returns `(24, 3)` axis-angle."""
    if path.suffix.lower() == ".npz":
        pose = read_npz_array(path, "pose")
        kind, shape = pose.dtype.kind, pose.shape
        if kind not in "iuf" or shape not in ((NUM_JOINTS, 3), (3 * NUM_JOINTS,)):
            raise InputError(
                f"{path}: pose is {pose.dtype} {shape}, expected 24 x 3 or 72 numbers"
            )
    else:
        content = read_json(path)
        pose = content.get("pose", content.get("pose_axis_angle"))
        pose = np.array(_pose_numbers(pose, path), np.float64)
    pose = pose.reshape(NUM_JOINTS, 3).astype(np.float64)
    bad = np.flatnonzero(~(np.abs(pose) < _MAX_ANGLE).all(-1))
    if len(bad):
        raise InputError(
            f"{path}: {JOINT_NAMES[bad[0]]} turns by {pose[bad[0]].tolist()}, expected "
            "radians"
        )
    return pose


def _pose_numbers(pose: object, path: Path) -> list[float]:
    """The 72 numbers of a pose in JSON."""
    if isinstance(pose, dict):
        missing = [name for name in JOINT_NAMES if name not in pose]
        if missing:
            raise InputError(
                f"{path}: the pose has no {missing[0]}, expected all of "
                f"{', '.join(JOINT_NAMES)}"
            )
        pose = [pose[name] for name in JOINT_NAMES]
    if isinstance(pose, list) and len(pose) == NUM_JOINTS:
        if not all(isinstance(item, list) and len(item) == 3 for item in pose):
            raise InputError(f"{path}: a joint of the pose does not have 3 numbers")
        pose = [value for item in pose for value in item]
    if not isinstance(pose, list) or len(pose) != 3 * NUM_JOINTS:
        raise InputError(f"{path}: the pose does not have 24 x 3 numbers")
    names = [name for name in JOINT_NAMES for _ in range(3)]
    return [number(value, path, name) for value, name in zip(pose, names, strict=True)]


def _from_motion(motion: Motion, sampling: Sampling, path: Path) -> Target:
    before, after, share = _frames(len(motion.pose), motion.rate, sampling, path)
    start, end = (
        Rotation.from_rotvec(motion.pose[index].reshape(-1, 3))
        for index in (before, after)
    )
    way = (start.inv() * end).as_rotvec() * np.repeat(share, NUM_JOINTS)[:, None]
    pose = (start * Rotation.from_rotvec(way)).as_rotvec().reshape(-1, NUM_JOINTS, 3)
    between = _mix(motion.translation.astype(np.float64), before, after, share)
    return Target(pose_figure(pose), between, False)


def _from_seen(seen: Seen, sampling: Sampling, path: Path) -> Target:
    before, after, share = _frames(
        len(seen.points), seen.rate or sampling.fps, sampling, path
    )
    points = _upright(_mix(seen.points, before, after, share))
    if seen.position is None:
        return Target(points, None, True, seen.warnings)
    # From pixels back to the unit of the path.
    unit = _mix(seen.position[:, 2:], before, after, share) * seen.lens.inverse_focal
    position = _mix(seen.position, before, after, share) * _UPRIGHT
    return Target(points * unit[..., None], position, True)


def _from_folder(folder: Path, sampling: Sampling) -> Target:
    patterns = ("*.json", "*.npz", f"*/{REGISTERED}")
    found = [file for pattern in patterns for file in folder.glob(pattern)]
    names = {str(file.relative_to(folder)): file for file in found}
    files = [names[n] for n in sorted(names, key=_natural) if not n.startswith(".")]
    if not files:
        raise InputError(
            f"{folder}: holds no .json or .npz file; put one joint file a frame into it"
        )
    first, _, _ = _frames(len(files), sampling.fps, sampling, folder)
    frames = [
        _from_seen(read_joints(files[n], is_target=True), Sampling(), files[n])
        for n in first
    ]
    several = next((f for f, t in zip(first, frames) if len(t.points) > 1), None)
    if several is not None:
        raise InputError(f"{files[several]}: holds several frames, expected one a file")
    paths = [frame.path for frame in frames]
    if any(path is None for path in paths):
        # Each photograph has its own scale.
        points = [f.points / max(figure_size(f.points)[0], 1e-9) for f in frames]
        return Target(np.concatenate(points), None, True)
    points = np.concatenate([frame.points for frame in frames])
    return Target(points, np.concatenate(paths), True)


def _frames(
    count: int, rate: float, sampling: Sampling, path: Path
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames before and after each wanted moment, and the share of the latter."""
    length = (count - 1) / rate - sampling.start
    if length < -1e-6:
        raise InputError(
            f"{path}: lasts {(count - 1) / rate:g} s, "
            f"--config.start={sampling.start:g} is behind its end"
        )
    # The slack admits rates that are no binary fraction.
    wanted = int(max(length, 0) * sampling.fps + 1e-6) + 1
    if sampling.duration:
        wanted = min(wanted, max(math.ceil(sampling.duration * sampling.fps - 1e-6), 1))
    if wanted > sampling.max_frames:
        raise InputError(
            f"{path}: gives {wanted} frames at {sampling.fps:g} a second, at most "
            f"{sampling.max_frames} are made; take a part with "
            "--config.duration=SECONDS or raise --config.max_frames"
        )
    moment = (sampling.start + np.arange(wanted) / sampling.fps) * rate
    # What is meant to fall on a frame does so exactly.
    moment = np.where(
        np.abs(moment - np.round(moment)) < 1e-6, np.round(moment), moment
    )
    before = np.clip(np.floor(moment), 0, count - 1).astype(int)
    after = np.minimum(before + 1, count - 1)
    return before, after, moment - before


def _mix(values, before, after, share):
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    return values[before] + share * (values[after] - values[before])


def _upright(points: np.ndarray) -> np.ndarray:
    """Camera axes to y up, the pelvis at 0."""
    return (points - points[:, PELVIS, None]) * _UPRIGHT


def _natural(name: str) -> list:
    """Sorts frame9 before frame10."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if part.isdecimal() else part for part in parts]
