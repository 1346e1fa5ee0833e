"""Readers of the three forms in which Human3.6M is mostly passed around.

* Folders of pictures, one for each subject, action, part and camera, with a
  `matlab_meta.mat` (from the recordings by the tools of Sun and Zhou et al.).
* Archives of SPIN: one row a picture, 24 joints.
* Sequences of VideoPose3D: joints without pictures, in the world and in four cameras.

Positions leave this module in metres and in the order of `HUMAN36M_17`.
"""

import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from volhuman.data.sets.files import (
    need_file,
    number_array,
    read_bytes,
    read_npz_array,
    read_npz_object,
)
from volhuman.data.sets.human36m_joints import (
    HUMAN36M_17,
    HUMAN36M_32,
    SPIN_24,
    reorder,
)
from volhuman.errors import InputError

TRAIN_SUBJECTS = (1, 5, 6, 7, 8)
TEST_SUBJECTS = (9, 11)
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
# Folders number the actions from 2.
ACTIONS = (
    *("Directions", "Discussion", "Eating", "Greeting", "Phoning", "Posing"),
    *("Purchases", "Sitting", "SittingDown", "Smoking", "Photo", "Waiting"),
    *("Walking", "WalkDog", "WalkTogether"),
)
_RENAMED = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog"}
_FOLDER = re.compile(r"s_(\d+)_act_(\d+)_subact_(\d+)_ca_(\d+)")
_PICTURE = re.compile(r"S(\d+)_(.+)\.(\d{8})_(\d+)\.jpg")
# From hip to knee of an adult; tells metres from millimetres.
_THIGH = (0.25, 0.7)
_MAX_MAT = 1 << 28


@dataclasses.dataclass(frozen=True, eq=False)
class PoseFrame:
    """One frame with its pose.

    Attributes:
        name: Unique name.
        subject: 1, 5, 6, 7, 8, 9 or 11.
        action: "Directions 1": action and, where known, part.
        camera: Camera, or "" where the pose is in the world.
        frame: Number in the video, from 0.
        joints: `(17, 3)` metres. In a camera: x right, y down, z away. In the world: z
            up.
        keypoints: `(C, 17, 3)` pixels x, y and confidence, in C cameras.
        box: `(4,)` x, y, width, height of the person in pixels, or zeros.
        path: Picture, or None.
    """

    name: str
    subject: int
    action: str
    camera: str
    frame: int
    joints: np.ndarray
    keypoints: np.ndarray
    box: np.ndarray
    path: Path | None


def read_folder(folder: Path, stride: int) -> list[PoseFrame]:
    """Reads one folder of pictures, such as `s_01_act_02_subact_01_ca_01`.

    Args:
        folder: The folder.
        stride: Every how many frames one is taken.

    Returns:
        Frames with joints in the camera.

    Raises:
        InputError: If the annotations are missing or damaged.
    """
    subject, action, part, camera = _folder_numbers(folder)
    path = need_file(folder / "matlab_meta.mat", "it holds the poses of this folder")
    content = _read_mat(path)
    count = number_array(_field(content, "num_images", path), (1, 1), path, "count")
    count = int(count.item())
    joints = _field(content, "Y3d_mono", path)
    points = _field(content, "Y2d", path)
    joints = number_array(joints, (3 * 17, count), path, "Y3d_mono").T / 1000
    points = number_array(points, (2 * 17, count), path, "Y2d").T
    joints, points = joints.reshape(-1, 17, 3), points.reshape(-1, 17, 2)
    check_metres(joints, path)
    return [
        PoseFrame(
            name=f"{folder.name}/{frame + 1:06d}",
            subject=subject,
            action=f"{ACTIONS[action - 2]} {part}",
            camera=CAMERAS[camera - 1],
            frame=frame,
            # A copy, which does not keep the frames between.
            joints=joints[frame].copy(),
            keypoints=_with_confidence(points[None, frame]),
            box=np.zeros(4, np.float32),
            path=folder / f"{folder.name}_{frame + 1:06d}.jpg",
        )
        for frame in range(0, count, stride)
    ]


def read_archive(path: Path, pictures: Path) -> list[PoseFrame]:
    """Reads an archive of SPIN.

    Args:
        path: `.npz` file with `imgname`, `center`, `scale`, `S` and, where present,
            `part`.
        pictures: Folder that the names of the pictures begin in.

    Returns:
        Frames with joints in the camera, relative to the pelvis.

    Raises:
        InputError: If the file is missing, damaged or not an archive of Human3.6M.
    """
    need_file(path, "it is one of SPIN's dataset_extras")
    names = read_npz_array(path, "imgname").astype(str)
    count = len(names)
    number = lambda key, *shape: number_array(
        read_npz_array(path, key), (count, *shape), path, key
    )
    order = reorder(SPIN_24, HUMAN36M_17)
    center, scale = number("center", 2), number("scale")
    joints = number("S", 24, 4)[:, order]
    if not (joints[..., 3] > 0).all():
        raise InputError(
            f"{path}: a joint of S has confidence 0; expected the 17 joints of "
            "Human3.6M in SPIN's order"
        )
    check_metres(joints[..., :3], path)
    keypoints = np.zeros((count, 17, 3), np.float32)
    if _has(path, "part"):
        keypoints = number("part", 24, 3)[:, order]
    # The scale is the side of the person's square box in units of 200 pixels.
    side = 200 * np.repeat(scale[:, None], 2, axis=1)
    boxes = np.concatenate([center - side / 2, side], axis=1)
    return [
        PoseFrame(
            **_parse_picture(name, f"{path}: row {row}"),
            joints=joints[row, :, :3],
            keypoints=keypoints[None, row],
            box=boxes[row],
            path=pictures / name,
        )
        for row, name in enumerate(names)
    ]


def read_sequences(
    path: Path, points_path: Path, strides: dict[int, int]
) -> list[PoseFrame]:
    """Reads VideoPose3D's files.

    Args:
        path: `data_3d_h36m.npz`.
        points_path: `data_2d_h36m_gt.npz`.
        strides: Every how many frames one is taken, by subject; others are left out.

    Returns:
        Frames with joints in the world and key points in the four cameras.

    Raises:
        InputError: If a file is missing, unsafe, damaged, or the two do not belong
            together.
    """
    need_file(path, "VideoPose3D's prepare_data_h36m.py makes it")
    need_file(points_path, "VideoPose3D's prepare_data_h36m.py makes it")
    sequences = _by_subject(read_npz_object(path, "positions_3d"), path)
    points = _by_subject(read_npz_object(points_path, "positions_2d"), points_path)
    _check_order(read_npz_object(points_path, "metadata"), points_path)
    order = reorder(HUMAN36M_32, HUMAN36M_17)
    frames = []
    for subject, stride in strides.items():
        for action in sorted(sequences.get(subject, {})):
            place = f"S{subject} {action}"
            joints = sequences[subject][action]
            joints = number_array(joints, (None, 32, 3), path, place)[:, order]
            check_metres(joints, path)
            views = points.get(subject, {}).get(action)
            if not isinstance(views, list) or len(views) != len(CAMERAS):
                raise InputError(f"{points_path}: {place} is not there in four cameras")
            views = [
                number_array(view, (None, 17, 2), points_path, place) for view in views
            ]
            # A video may go on after the last pose.
            if min(map(len, views)) < len(joints):
                raise InputError(
                    f"{points_path}: {place} has {min(map(len, views))} frames, but "
                    f"{path} has {len(joints)}"
                )
            frames += [
                PoseFrame(
                    name=f"S{subject}/{action}/{frame:06d}",
                    subject=subject,
                    action=action_name(action),
                    camera="",
                    frame=frame,
                    joints=joints[frame].copy(),
                    keypoints=_with_confidence(
                        np.stack([view[frame] for view in views])
                    ),
                    box=np.zeros(4, np.float32),
                    path=None,
                )
                for frame in range(0, len(joints), stride)
            ]
    return frames


def action_name(text: str) -> str:
    """Returns "Photo 1" for "TakingPhoto_1": one name for each action in all forms."""
    words = text.replace("_", " ").split()
    return " ".join([_RENAMED.get(words[0], words[0]), *words[1:]])


def check_metres(joints: np.ndarray, path: Path) -> None:
    """Checks the unit of poses `(N, 17, 3)` by the length of the right thigh.

    Raises:
        InputError: If it is not that of a person in metres.
    """
    hip, knee = reorder(HUMAN36M_17, ("right_hip", "right_knee"))
    length = float(np.median(np.linalg.norm(joints[:, hip] - joints[:, knee], axis=-1)))
    if len(joints) and not _THIGH[0] <= length <= _THIGH[1]:
        raise InputError(
            f"{path}: the thigh is {length:.3g} m long, which is no person in this "
            "form's unit and order of joints"
        )


def _parse_picture(name: str, place: str) -> dict[str, Any]:
    """What the name of a picture says: the first fields of `PoseFrame`."""
    match = _PICTURE.fullmatch(Path(name).name)
    if match is None or ".." in Path(name).parts or Path(name).is_absolute():
        raise InputError(
            f"{place} names {name!r}, expected a picture such as "
            "S1_Directions_1.54138969_000001.jpg"
        )
    return {
        "name": Path(name).stem,
        "subject": int(match[1]),
        "action": action_name(match[2]),
        "camera": match[3],
        "frame": int(match[4]) - 1,
    }


def _folder_numbers(folder: Path) -> tuple[int, int, int, int]:
    match = _FOLDER.fullmatch(folder.name)
    numbers = tuple(map(int, match.groups())) if match else (0, 0, 0, 0)
    subject, action, _, camera = numbers
    known = subject in TRAIN_SUBJECTS + TEST_SUBJECTS
    if not (known and 2 <= action <= 16 and 1 <= camera <= 4):
        raise InputError(
            f"{folder}: expected a name such as s_01_act_02_subact_01_ca_01"
        )
    return numbers


def _read_mat(path: Path) -> dict:
    import scipy.io

    try:
        return scipy.io.loadmat(io.BytesIO(read_bytes(path, max_bytes=_MAX_MAT)))
    except InputError:
        raise
    # SciPy's reader fails with its own errors, zlib's, NotImplementedError and more.
    except Exception as error:
        raise InputError(f"{path} is no MATLAB file, or cut ({error})") from error


def _field(content: dict, key: str, path: Path) -> Any:
    if key not in content:
        names = sorted(name for name in content if not name.startswith("__"))
        raise InputError(f"{path}: no {key!r} among its arrays {names}")
    return content[key]


def _has(path: Path, key: str) -> bool:
    with np.load(path, allow_pickle=False) as archive:
        return key in archive.files


def _by_subject(content: Any, path: Path) -> dict[int, dict]:
    """The sequences by the number of the subject."""
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no dict of subjects")
    subjects = {}
    for name, actions in content.items():
        match = re.fullmatch(r"S(\d+)", str(name))
        if match is None or not isinstance(actions, dict):
            raise InputError(f"{path}: {name!r} is no subject, expected S1, S5, ...")
        subjects[int(match[1])] = actions
    return subjects


def _check_order(metadata: Any, path: Path) -> None:
    """Checks that left and right of the 2D joints are those of `HUMAN36M_17`."""
    sides = [
        [index for index, name in enumerate(HUMAN36M_17) if name.startswith(side)]
        for side in ("left_", "right_")
    ]
    metadata = metadata if isinstance(metadata, dict) else {}
    symmetry = metadata.get("keypoints_symmetry")
    lists = symmetry if isinstance(symmetry, list | tuple) else []
    if [sorted(side) for side in lists if isinstance(side, list | tuple)] != sides:
        raise InputError(
            f"{path}: left and right joints are {symmetry}, expected {sides}; take the "
            "ground truth (gt) of VideoPose3D"
        )


def _with_confidence(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)
