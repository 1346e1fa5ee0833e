"""Human3.6M in the three forms of `human36m_files`, split by Protocol #1.

Protocol #1: subjects 1, 5, 6, 7 and 8 for training, 9 and 11 for the test, errors after
alignment of the pelvis alone. Of the 50 frames a second, folders and sequences give
every 5th for training and every 200th for the test (as Zhou et al. evaluate); archives
are thinned already and are taken whole.
"""

import dataclasses
import itertools
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from volhuman.data.sets.building import SetBuilder, SetConfig, array, picture, text
from volhuman.data.sets.files import need_folder
from volhuman.data.sets.human36m_files import (
    ACTIONS,
    CAMERAS,
    TEST_SUBJECTS,
    TRAIN_SUBJECTS,
    PoseFrame,
    read_archive,
    read_folder,
    read_sequences,
)
from volhuman.data.sets.human36m_joints import HUMAN36M_17
from volhuman.data.sets.pictures import read_picture
from volhuman.errors import InputError

SPLITS = {"train": TRAIN_SUBJECTS, "test": TEST_SUBJECTS}
ARCHIVES = {"train": "h36m_train.npz", "test": "h36m_valid_protocol1.npz"}
# The recording of this one is damaged, and most copies leave it out.
_DAMAGED = "s_11_act_02_subact_02_ca_01"
_NUM_SEQUENCES = 30  # of a subject


@dataclasses.dataclass(eq=False, kw_only=True)
class Human36mConfig(SetConfig):
    """Options of Human3.6M.

    Attributes:
        train_stride: Every how many frames one is taken for training.
        test_stride: The same for the test. Archives are taken whole.
    """

    train_stride: int = 5
    test_stride: int = 200

    def __post_init__(self):
        if min(self.train_stride, self.test_stride) < 1:
            raise InputError(
                f"strides are {self.train_stride} and {self.test_stride}, expected at "
                "least 1"
            )
        super().__post_init__()

    def option_words(self) -> list[str]:
        """Returns the strides, where they count."""
        if self.layout == "archive":
            return []
        return [f"every{self.train_stride}", f"{self.test_stride}"]


class Human36m(SetBuilder):
    """Builder of Human3.6M."""

    name = "volhuman_human36m"
    TITLE = "Human3.6M"
    CONFIG = Human36mConfig
    HOMEPAGE = "http://vision.imar.ro/human3.6m"
    LICENSE = "Academic use after registration; no redistribution."
    LAYOUTS: ClassVar = {
        "folders": "s_01_act_02_subact_01_ca_01/ with pictures and matlab_meta.mat",
        "archive": "h36m_train.npz, h36m_valid_protocol1.npz and the pictures that "
        "they name",
        "sequences": "data_3d_h36m.npz and data_2d_h36m_gt.npz",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Register at http://vision.imar.ro/human3.6m (academic use), download the recordings,
    and preprocess them with the tools of one of

        folders    s_01_act_02_subact_01_ca_01/s_01_act_02_subact_01_ca_01_000001.jpg
                   and matlab_meta.mat, for every subject, action, part and camera
        archive    h36m_train.npz, h36m_valid_protocol1.npz (SPIN, dataset_extras) and
                   images/S1_Directions_1.54138969_000001.jpg ...
        sequences  data_3d_h36m.npz, data_2d_h36m_gt.npz (VideoPose3D)
    """

    def set_features(self) -> dict[str, Any]:
        """Returns the features of a frame."""
        layout = self.builder_config.layout
        in_world = layout == "sequences"
        axes = "in the world, z up" if in_world else "x right, y down, z away"
        about = ", relative to the pelvis" if layout == "archive" else ""
        features = {
            "subject": tfds.features.Scalar(np.int32, doc="Subject."),
            "action": text("Action and part, 'Directions 1'."),
            "frame": tfds.features.Scalar(np.int32, doc="Number in the video, from 0."),
            "joints": array(f"Metres, {axes}{about}.", (17, 3)),
            "keypoints": array(
                "Pixels x, y, confidence, in each camera.",
                (len(CAMERAS) if in_world else 1, 17, 3),
            ),
        }
        if not in_world:
            features["image"] = picture("RGB.")
            features["camera"] = text("Number of the camera.")
            features["box"] = array("Pixels x, y, width, height; 0 unknown.", (4,))
        return features

    def set_metadata(self) -> dict[str, Any]:
        """Returns the order of joints and cameras."""
        return {"joint_names": list(HUMAN36M_17), "cameras": list(CAMERAS)}

    def read_index(self, folder: Path) -> dict[str, list[PoseFrame]]:
        """Reads the annotations."""
        config = self.builder_config
        strides = {"train": config.train_stride, "test": config.test_stride}
        if config.layout == "sequences":
            frames = _read_sequences(folder, strides, config.complete)
        elif config.layout == "archive":
            frames = _read_archives(folder, config.complete)
        else:
            frames = []
            for split, place in _list_folders(folder, config.complete):
                frames += read_folder(place, strides[split])
        splits: dict[str, list[PoseFrame]] = {split: [] for split in SPLITS}
        for frame in frames:
            splits[_split(frame.subject)].append(frame)
        return splits

    def make_examples(self, record: PoseFrame):
        """Makes the example of a frame."""
        example = {
            "subject": record.subject,
            "action": record.action,
            "frame": record.frame,
            "joints": record.joints,
            "keypoints": record.keypoints,
        }
        if record.path is not None:
            example["image"] = read_picture(record.path)
            example["camera"] = record.camera
            example["box"] = record.box
        return [(record.name, example)]


def _split(subject: int) -> str:
    return "train" if subject in TRAIN_SUBJECTS else "test"


def _list_folders(folder: Path, complete: bool) -> list[tuple[str, Path]]:
    """The folders of all recordings with their split."""
    wanted = {
        f"s_{subject:02d}_act_{action:02d}_subact_{part:02d}_ca_{camera:02d}": split
        for split, subjects in SPLITS.items()
        for subject, action, part, camera in itertools.product(
            subjects, range(2, 2 + len(ACTIONS)), (1, 2), range(1, 1 + len(CAMERAS))
        )
    }
    missing = [name for name in wanted if not (folder / name).is_dir()]
    if complete and set(missing) - {_DAMAGED}:
        raise InputError(
            f"{folder}: {len(missing)} of {len(wanted)} folders are missing, the first "
            f"is {missing[0]}; copy the rest, or set complete=False to build a part"
        )
    return [
        (split, folder / name) for name, split in wanted.items() if name not in missing
    ]


def _read_archives(folder: Path, complete: bool) -> list[PoseFrame]:
    frames = []
    for split, file_name in ARCHIVES.items():
        path = folder / file_name
        if not complete and not path.is_file():
            continue
        rows = read_archive(path, folder)
        strangers = {row.subject for row in rows} - set(SPLITS[split])
        if strangers:
            raise InputError(
                f"{path}: subject {min(strangers)} is not one of the split {split} "
                f"({', '.join(map(str, SPLITS[split]))}) of Protocol #1"
            )
        frames += rows
    return frames


def _read_sequences(folder: Path, strides: dict[str, int], complete: bool):
    by_subject = {
        subject: strides[split]
        for split, subjects in SPLITS.items()
        for subject in subjects
    }
    need_folder(folder, "it holds VideoPose3D's files")
    path = folder / "data_3d_h36m.npz"
    frames = read_sequences(path, folder / "data_2d_h36m_gt.npz", by_subject)
    for subject in by_subject if complete else ():
        actions = {
            frame.name.split("/")[1] for frame in frames if frame.subject == subject
        }
        if len(actions) != _NUM_SEQUENCES:
            raise InputError(
                f"{path}: subject {subject} has {len(actions)} of {_NUM_SEQUENCES} "
                "sequences; make the file again, or set complete=False"
            )
    return frames
