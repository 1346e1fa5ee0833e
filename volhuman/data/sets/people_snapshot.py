"""People-Snapshot (VideoAvatar): 24 videos of people who turn before a camera.

The masks, key points and poses are HDF5 files, which need h5py, and the pictures are a
video, which needs imageio: `pip install 'volhuman[datasets,video]'`. Pictures are
stored as PNG, so that nothing is lost a second time; take every tenth frame or fewer
unless the disk is large.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from volhuman.data.films import read_video
from volhuman.data.sets.building import (
    SetBuilder,
    SetConfig,
    array,
    packed,
    picture,
    text,
)
from volhuman.data.sets.containers import hdf5_array, open_hdf5
from volhuman.data.sets.files import (
    need_file,
    number_array,
    pickled_array,
    read_pickle_dict,
)
from volhuman.data.sets.keypoint_orders import COCO18
from volhuman.data.sets.pictures import encode_png
from volhuman.errors import InputError

# Detectors ran on some videos with one frame more or less at the end.
_MAXIMUM_DIFFERENCE = 1


@dataclasses.dataclass(frozen=True)
class SnapshotSubject:
    """One video with its files.

    Attributes:
        name: "female-3-casual".
        gender: "male" or "female".
        folder: Its files.
    """

    name: str
    gender: str
    folder: Path


@dataclasses.dataclass(frozen=True, eq=False)
class SnapshotCamera:
    """A pinhole camera with lens distortion; the world is the camera's frame.

    Attributes:
        focal: `(2,)` pixels.
        center: `(2,)` pixels.
        distortion: `(5,)` k1, k2, p1, p2, k3.
        size: Width and height.
    """

    focal: np.ndarray
    center: np.ndarray
    distortion: np.ndarray
    size: tuple[int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class SnapshotTracks:
    """What is known of every frame of a video.

    Attributes:
        poses: `(T, 24, 3)` axis-angle.
        translations: `(T, 3)` metres, camera frame: x right, y down, z away.
        shape: `(10,)`.
        keypoints: `(T, 18, 3)` pixels x, y and confidence, in the order of `COCO18`.
    """

    poses: np.ndarray
    translations: np.ndarray
    shape: np.ndarray
    keypoints: np.ndarray


def read_subjects(folder: Path) -> list[SnapshotSubject]:
    """Lists the videos, sorted by name.

    Raises:
        InputError: If there is none, or a file of one is missing.
    """
    subjects = []
    for place in sorted(folder.iterdir()):
        gender = place.name.partition("-")[0]
        if gender not in ("male", "female") or not place.is_dir():
            continue
        for name in (
            "camera.pkl",
            "masks.hdf5",
            "keypoints.hdf5",
            "reconstructed_poses.hdf5",
            f"{place.name}.mp4",
        ):
            need_file(place / name, "unpack the archive of this subject again")
        subjects.append(SnapshotSubject(place.name, gender, place))
    if not subjects:
        raise InputError(
            f"{folder}: no folder such as female-3-casual is there; unpack the "
            "archives of People-Snapshot"
        )
    return subjects


def read_camera(path: Path) -> SnapshotCamera:
    """Reads `camera.pkl`, which Python 2 wrote.

    Raises:
        InputError: If it is missing, unsafe or lacks a value.
    """
    content = read_pickle_dict(path)
    for key in ("width", "height"):
        if key not in content:
            raise InputError(f"{path}: no {key!r} among its keys; copy it again")
    for key in ("camera_t", "camera_rt"):
        moved = pickled_array(content, key, (3,), path)
        if np.abs(moved).max() > 1e-6:
            raise InputError(f"{path}: {key} is {moved}, expected zeros in this set")
    return SnapshotCamera(
        focal=pickled_array(content, "camera_f", (2,), path),
        center=pickled_array(content, "camera_c", (2,), path),
        distortion=pickled_array(content, "camera_k", (5,), path),
        size=(int(content["width"]), int(content["height"])),
    )


def read_tracks(folder: Path) -> SnapshotTracks:
    """Reads poses and key points of a video.

    Raises:
        InputError: If a file is missing, damaged, or of another form, or h5py is not
            installed.
    """
    path = folder / "reconstructed_poses.hdf5"
    with open_hdf5(path) as file:
        poses = hdf5_array(file, "pose", path)[:]
        translations = hdf5_array(file, "trans", path)[:]
        shape = hdf5_array(file, "betas", path)[:]
    poses = number_array(poses, (None, 72), path, "pose")
    points_path = folder / "keypoints.hdf5"
    with open_hdf5(points_path) as file:
        points = hdf5_array(file, "keypoints", points_path)[:]
    return SnapshotTracks(
        poses=poses.reshape(-1, 24, 3),
        translations=number_array(translations, (len(poses), 3), path, "trans"),
        shape=number_array(np.reshape(shape, -1), (10,), path, "betas"),
        keypoints=number_array(points, (None, 54), points_path, "keypoints").reshape(
            -1, 18, 3
        ),
    )


@dataclasses.dataclass(eq=False, kw_only=True)
class SnapshotConfig(SetConfig):
    """Options of People-Snapshot.

    Attributes:
        step: Every how many frames one is taken.
    """

    step: int = 10

    def __post_init__(self):
        if self.step < 1:
            raise InputError(f"step is {self.step}, expected at least 1")
        super().__post_init__()

    def option_words(self) -> list[str]:
        """Returns the step."""
        return [f"every{self.step}"]


class PeopleSnapshot(SetBuilder):
    """Builder of People-Snapshot; the only split is `test`."""

    name = "volhuman_people_snapshot"
    TITLE = "People-Snapshot (VideoAvatar)"
    CONFIG = SnapshotConfig
    HOMEPAGE = "https://graphics.tu-bs.de/people-snapshot"
    LICENSE = "Non-commercial research; registration required."
    LAYOUTS: ClassVar = {
        "official": "<subject>/ with <subject>.mp4, camera.pkl, masks.hdf5, "
        "keypoints.hdf5 and reconstructed_poses.hdf5"
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Register at https://graphics.tu-bs.de/people-snapshot (research only) and unpack the
    archives of the subjects into one folder:

        female-3-casual/
            female-3-casual.mp4  camera.pkl  masks.hdf5  keypoints.hdf5
            reconstructed_poses.hdf5

    Needs pip install 'volhuman[datasets,video]'.
    """

    def set_features(self) -> dict[str, Any]:
        """Returns the features of a frame."""
        return {
            "subject": text("Subject and clothes."),
            "gender": text("'male' or 'female': which SMPL model the body needs."),
            "frame": tfds.features.Scalar(np.int32, doc="Number in the video."),
            "image": picture("RGB, with the distortion of the lens."),
            "mask": packed("1 person.", (None, None), "uint8"),
            "keypoints": array("Pixels x, y and confidence.", (18, 3)),
            "pose": array("SMPL axis-angle, root first.", (24, 3)),
            "shape": array("SMPL shape.", (10,)),
            "translation": array("Metres; x right, y down, z away.", (3,)),
            "focal": array("Pixels.", (2,)),
            "center": array("Pixels.", (2,)),
            "distortion": array("k1, k2, p1, p2, k3.", (5,)),
        }

    def set_metadata(self) -> dict[str, Any]:
        """Returns the names of the key points."""
        return {"keypoint_names": list(COCO18)}

    def read_index(self, folder: Path) -> dict[str, list[SnapshotSubject]]:
        """Lists the videos."""
        return {"test": read_subjects(folder)}

    def make_examples(self, record: SnapshotSubject):
        """Decodes a video and joins its frames with masks and poses.

        Of a broken video that is skipped, the frames before the defect are kept.
        """
        camera = read_camera(record.folder / "camera.pkl")
        tracks = read_tracks(record.folder)
        for number, frame, mask in _pictures(record, tracks, self.builder_config.step):
            for name, pixels in (("mask", mask), ("picture", frame)):
                if pixels.shape[1::-1] != camera.size:
                    raise InputError(
                        f"{record.folder}: the {name} of frame {number} has "
                        f"{pixels.shape[1]} x {pixels.shape[0]} pixels, the camera "
                        f"{camera.size[0]} x {camera.size[1]}; unpack the archive again"
                    )
            example = {
                "subject": record.name,
                "gender": record.gender,
                "frame": number,
                "image": encode_png(frame),
                "mask": (mask > 0).astype(np.uint8),
                "keypoints": tracks.keypoints[number],
                "pose": tracks.poses[number],
                "shape": tracks.shape,
                "translation": tracks.translations[number],
                "focal": camera.focal,
                "center": camera.center,
                "distortion": camera.distortion,
            }
            yield f"{record.name}/{number:06d}", example


def _pictures(
    subject: SnapshotSubject, tracks: SnapshotTracks, step: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Number, picture and mask of every `step`-th frame."""
    path = subject.folder / "masks.hdf5"
    last = -1
    with open_hdf5(path) as file:
        masks = hdf5_array(file, "masks", path)
        count = _common_length(
            subject.folder,
            masks=len(masks),
            poses=len(tracks.poses),
            keypoints=len(tracks.keypoints),
        )
        for number, frame in read_video(subject.folder / f"{subject.name}.mp4", step):
            if number >= count:
                break
            last = number
            yield number, frame, np.asarray(masks[number])
    if last + step < count - _MAXIMUM_DIFFERENCE:
        raise InputError(
            f"{subject.folder}: the video ends at frame {last}, but there are {count} "
            "masks; copy it again"
        )


def _common_length(folder: Path, **lengths: int) -> int:
    """Number of frames that all files know."""
    if max(lengths.values()) - min(lengths.values()) > _MAXIMUM_DIFFERENCE:
        known = ", ".join(f"{count} {name}" for name, count in lengths.items())
        raise InputError(
            f"{folder}: the files do not belong to one video ({known}); unpack the "
            "archive again"
        )
    return min(lengths.values())
