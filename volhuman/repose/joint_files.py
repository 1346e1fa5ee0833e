"""Reads 3D joints: from the registration, or from any 3D pose estimator.

Four forms are recognised from their content:

* `body.json` of the registration: joints in metres, camera and crop; converted as its
  overlay is drawn;
* `{"unit": "mm", "joints": {name: [x, y, z]}, "focal": f, "centre": [cx, cy]}`: camera
  axes (x right, y down, z away from the camera), with the focal length (one number, or
  two for x and y) and the optical axis in pixels of the photograph; "m" as well;
* `{"unit": "pixels", "joints": {name: [x, y, z]}}`: pixels of the photograph and depth
  in pixels from the pelvis; "focal" and "centre" may be added;
* either of the last two with `"joint_set"` and joints as a list of [x, y, z] in its
  order, or a list of frames of such lists; also as the arrays of an `.npz` file. There,
  null, NaN and in pixels exactly [0, 0, 0] stand for a missing joint.

Joints that a format lacks are filled in (`repose.completion`); names that the figure
does not have are left out.
"""

import dataclasses
import math
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from volhuman.body.keypoints import BODY25, COCO17
from volhuman.body.part_transforms import PANOPTIC19
from volhuman.body.skeleton import JOINT_NAMES
from volhuman.data.json_files import number, read_json
from volhuman.data.sets.files import read_npz_array
from volhuman.errors import InputError
from volhuman.geometry.camera import Crop, WeakPerspective
from volhuman.render.shading import screen_points
from volhuman.repose.completion import EXTRA_NAMES, REQUIRED, complete_figure
from volhuman.repose.figure import PELVIS, POINT_NAMES
from volhuman.repose.lens import Lens, unproject

UNITS = ("mm", "m", "pixels")
# Orders of arrays. Points that lie elsewhere than ours of that name are left out.
JOINT_ORDERS: dict[str, tuple[str | None, ...]] = {
    "body24": JOINT_NAMES,
    "panoptic19": tuple(
        None if name in ("neck", "pelvis") else name for name in PANOPTIC19.names
    ),
    "coco17": COCO17,
    "body25": BODY25,
    "h36m17": (
        None, "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee",
        "left_ankle", None, None, None, "head_top", "left_shoulder", "left_elbow",
        "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
    ),
}  # fmt: skip
_KNOWN = (*POINT_NAMES, *EXTRA_NAMES)
_NEAREST = 1e-6
_LARGEST = 1e7
_REGISTRATION = (
    "python -m volhuman.main --config=experiments/register.py --config.input=PHOTO "
    "--config.keypoints=FILE"
)


EstimateBody = Callable[[Path], Mapping[str, Any]]
"""Gives what `body.json` of the body estimator holds, for a photograph."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """A person as a photograph shows them, or each frame of a film.

    Attributes:
        points: `(T, 29, 3)` the figure before the camera in pixels (`repose.lens`), the
            pelvis at depth 0.
        lens: The camera; without perspective where the file names none.
        position: `(T, 3)` the pelvis in camera axes, in the unit of the file; None for
            files in pixels, which do not tell how far away somebody is.
        rate: Frames a second; None where unknown.
        warnings: Sentences about how the joints were found.
    """

    points: np.ndarray
    lens: Lens
    position: np.ndarray | None
    rate: float | None
    warnings: tuple[str, ...] = ()


def read_joints(path: str | Path, *, is_target: bool = False) -> Seen:
    """Reads the joints of one person.

    Joints in mm or m become pixels by `x = f X / Z + c` with the depth
    `(Z - Z_pelvis) * f / Z_pelvis`, for which f is the mean of two focal lengths.

    Args:
        path: `.json`, or `.npz` with the arrays `joints`, `unit`, `joint_set` and the
            optional `focal`, `centre` and `fps`.
        is_target: The place in the photograph does not matter: joints in mm or m
            without a camera, or relative to the pelvis, will do.

    Returns:
        The person; T is 1 but for lists of frames.

    Raises:
        InputError: If the file has another form, lacks a joint, or holds a value that
            is not finite; names file, frame and joint.
    """
    path = Path(path)
    content = _read_npz(path) if path.suffix.lower() == ".npz" else read_json(path)
    if isinstance(content, dict) and {"camera", "crop", "joints"} <= content.keys():
        return seen_of_body(content, path)
    if not isinstance(content, dict) or "unit" not in content:
        raise InputError(
            f"{path}: these are no 3D joints, which are an object with 'joints' and "
            f"'unit' ({', '.join(UNITS)}); for 2D key points run {_REGISTRATION} and "
            "give its body.json"
        )
    if content["unit"] not in UNITS:
        raise InputError(
            f"{path}: the unit is {content['unit']!r}, expected {', '.join(UNITS)}"
        )
    given = _named_joints(content, path)
    if content["unit"] == "pixels":
        seen = _from_pixels(given, content, path)
    elif is_target and _is_without_place(given, content):
        seen = _from_pixels(given, {}, path)  # any unit will do
    else:
        seen = _from_metric(given, content, path)
    rate = content.get("fps")
    if rate is not None and not 0 < number(rate, path, "fps") < np.inf:
        raise InputError(f"{path}: fps is {rate}, expected a number above 0")
    return dataclasses.replace(seen, rate=rate and float(rate))


def _read_npz(path: Path) -> dict[str, object]:
    """The arrays as JSON would hold them; numbers stay arrays."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; give 3D joints")
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not an npz file ({error}); save it again") from error
    content = {}
    for name in names & {"joints", "unit", "joint_set", "focal", "centre", "fps"}:
        array = read_npz_array(path, name)
        content[name] = array if name == "joints" else array.tolist()
    return content


# -- the forms


def seen_of_body(content: Mapping[str, Any], path: Path) -> Seen:
    """Takes the joints of a body through the weak perspective camera of its overlay.

    Args:
        content: What `body.json` holds.
        path: Where it came from, for messages.

    Raises:
        InputError: If it lacks a joint or holds a value that is not finite.
    """
    given = _from_names(content["joints"], path)
    camera, crop = content["camera"], content["crop"]
    camera = WeakPerspective(
        _numbers(camera, "scale", (), path),
        _numbers(camera, "rotation", (3, 3), path),
        _numbers(camera, "translation", (2,), path),
    )
    crop = Crop(_numbers(crop, "centre", (2,), path), _numbers(crop, "size", (), path))
    if not (camera.scale > 0 and crop.size > 0):
        raise InputError(
            f"{path}: scale and size of its camera are {camera.scale} and {crop.size}, "
            "expected numbers above 0; run the registration again"
        )
    pixels = {}
    for name, joint in given.items():
        screen = screen_points(joint, camera, crop)
        pixels[name] = screen * [1, 1, crop.size / 2]
    points = complete_figure(pixels)
    points[..., 2] -= points[:, PELVIS, None, 2]
    warnings = content.get("warnings", [])
    known = tuple(map(str, warnings)) if isinstance(warnings, list) else ()
    return Seen(points, Lens(), None, None, known)


def _from_pixels(given: dict, content: dict, path: Path) -> Seen:
    lens = Lens()
    if "focal" in content:
        focal, centre = _intrinsics(content, path)
        lens = Lens(1 / float(focal.mean()), centre)
    points = complete_figure({k: unproject(lens, joint) for k, joint in given.items()})
    points[..., 2] -= points[:, PELVIS, None, 2]
    return Seen(points, lens, None, None)


def _is_without_place(given: dict, content: dict) -> bool:
    """Tells whether there is no camera, or joints lie around it."""
    nearest = min(joint[:, 2].min() for joint in given.values())
    return "focal" not in content or nearest < _NEAREST


def _from_metric(given: dict, content: dict, path: Path) -> Seen:
    if "focal" not in content:
        raise InputError(
            f"{path}: joints in {content['unit']} need 'focal' and 'centre', the "
            "camera's focal length and optical axis in pixels of the photograph; "
            "without a camera give the joints in pixels"
        )
    focal, centre = _intrinsics(content, path)
    for name, joint in given.items():
        near = np.flatnonzero(joint[:, 2] < _NEAREST)
        if len(near):
            raise InputError(
                f"{path}: frame {near[0]}, {name} has z = {joint[near[0], 2]:g}, "
                "expected the distance from the camera, above 0; joints relative to "
                "the pelvis do not tell where in the photograph they are"
            )
    points = complete_figure(given)
    # Of a joint that is filled in nothing is known but that it belongs to the person.
    position = points[:, PELVIS].copy()
    mean = float(focal.mean())
    scale = mean / position[:, None, 2:]
    points = points * [*(focal / mean), 1] - position[:, None] * [0, 0, 1]
    return Seen(points * scale, Lens(1 / mean, centre), position, None)


# -- their parts


def _intrinsics(content: dict, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Focal lengths of x and y, and the optical axis, both `(2,)` in pixels."""
    shape = (2,) if isinstance(content["focal"], Sequence) else ()
    focal = np.broadcast_to(_numbers(content, "focal", shape, path), 2)
    if not (focal > 0).all():
        raise InputError(
            f"{path}: focal is {content['focal']}, expected pixels above 0"
        )
    return focal, _numbers(content, "centre", (2,), path)


def _numbers(content: object, key: str, shape: tuple, path: Path) -> np.ndarray:
    """Numbers of one shape in an object of a file."""
    if not isinstance(content, Mapping) or key not in content:
        raise InputError(f"{path}: {key!r} is missing, expected numbers {shape}")

    def checked(value, left):
        if not left:
            return number(value, path, key)
        if not isinstance(value, list) or len(value) != left[0]:
            raise InputError(
                f"{path}: {key} is {str(content[key])[:60]}, expected "
                f"{' x '.join(map(str, shape)) or 'one'} numbers"
            )
        return [checked(item, left[1:]) for item in value]

    return np.array(checked(content[key], shape), np.float64)


def _named_joints(content: dict, path: Path) -> dict[str, np.ndarray]:
    """Joints `(T, 3)` by name."""
    joints = content.get("joints")
    if isinstance(joints, Mapping):
        return _from_names(joints, path)
    if not isinstance(joints, list | np.ndarray) or len(joints) == 0:
        raise InputError(f"{path}: 'joints' holds none, expected [x, y, z] by name")
    order = JOINT_ORDERS.get(str(content.get("joint_set")))
    if order is None:
        raise InputError(
            f"{path}: 'joint_set' is {content.get('joint_set')!r}, expected one of "
            f"{', '.join(JOINT_ORDERS)} for joints without names"
        )
    frames = _as_array(joints, path)
    if (
        frames.ndim not in (2, 3)
        or frames.shape[-2:] != (len(order), 3)
        or not frames.size
    ):
        raise InputError(
            f"{path}: joints have shape {frames.shape}, expected ({len(order)}, 3) or "
            f"(frames, {len(order)}, 3) for {content['joint_set']}"
        )
    frames = frames.reshape(-1, len(order), 3)
    used = [i for i, name in enumerate(order) if name in _KNOWN]
    frames, names = frames[:, used], [order[i] for i in used]
    missing = np.isnan(frames).all(-1)
    if content["unit"] == "pixels":  # in mm it may be the pelvis
        missing |= (frames == 0).all(-1)
    _check_frames(frames, missing, names, path)
    # What is filled in is filled in for all frames.
    given = {n: frames[:, i] for i, n in enumerate(names) if not missing[:, i].any()}
    return _check_complete(given, (), path)


def _check_frames(frames, missing, names: Sequence[str], path: Path) -> None:
    """Refuses numbers that are no joints, and joints that miss in some frames only."""
    bad = ~missing & ~(np.abs(frames) < _LARGEST).all(-1)
    needed = np.array([name in REQUIRED for name in names])
    gone = missing & needed & ~missing.all(0)
    for is_wrong, text in (
        (bad, "expected finite numbers"),
        (gone, "which stands for a missing joint"),
    ):
        if is_wrong.any():
            frame, joint = np.argwhere(is_wrong)[0]
            raise InputError(
                f"{path}: frame {frame}, {names[joint]} is "
                f"{frames[frame, joint].tolist()}, {text}; remove the frame or "
                "estimate the joint again"
            )


def _as_array(joints: list | np.ndarray, path: Path) -> np.ndarray:
    if isinstance(joints, np.ndarray) and joints.dtype.kind not in "iuf":
        raise InputError(f"{path}: joints are {joints.dtype}, expected numbers")
    nothing = [math.nan] * 3
    try:
        if isinstance(joints, list):
            joints = [_known(item, nothing) for item in joints]
        return np.asarray(joints, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path}: joints are no table of numbers ({error}); give [x, y, z] for "
            "every joint"
        ) from error


def _known(item: object, nothing: list[float]) -> object:
    """A joint or a frame of joints, whose null ones become numbers that are none."""
    if item is None:
        return nothing
    if isinstance(item, list) and any(x is None or isinstance(x, list) for x in item):
        if all(x is None for x in item) and len(item) == len(nothing):
            return nothing
        return [_known(x, nothing) for x in item]
    return item


def _from_names(joints: object, path: Path) -> dict[str, np.ndarray]:
    """Joints `(1, 3)` by name; null ones and unknown names are left out."""
    if not isinstance(joints, Mapping):
        raise InputError(f"{path}: 'joints' is no object of [x, y, z] by name")
    given, unknown = {}, []
    for name, joint in joints.items():
        known = _SPELLINGS.get(_plain(name))
        if known is None:
            unknown.append(name)
        elif joint is not None:
            if not isinstance(joint, list) or len(joint) != 3:
                raise InputError(
                    f"{path}: {name} is {str(joint)[:60]}, expected [x, y, z]; for 2D "
                    f"key points run {_REGISTRATION} and give its body.json"
                )
            values = [number(value, path, name) for value in joint]
            if max(map(abs, values)) >= _LARGEST:
                raise InputError(f"{path}: {name} is {joint}, too large for a picture")
            given[known] = np.array([values])
    return _check_complete(given, unknown, path)


def _check_complete(given: dict, unknown: Sequence[str], path: Path) -> dict:
    missing = [name for name in REQUIRED if name not in given]
    if missing:
        others = f" (unknown names: {', '.join(unknown[:8])})" if unknown else ""
        raise InputError(
            f"{path}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} "
            f"missing{others}; reposing needs hips, knees, ankles, shoulders, elbows "
            "and wrists"
        )
    return given


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


# Left_Hip, LHip and l_hip are left_hip.
_SPELLINGS = {_plain(name): name for name in _KNOWN} | {
    _plain(name.replace("left_", "l").replace("right_", "r")): name for name in _KNOWN
}
