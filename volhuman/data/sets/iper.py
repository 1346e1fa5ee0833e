"""iPER: 206 videos of 30 people in 103 outfits, one turning and one moving freely each.

Splits: the official lists name 164 videos for training and 42 for the evaluation. The
42 are the two videos of each of `TEST_OUTFITS`; the reposing paper holds 21 further
outfits (`VALIDATION_OUTFITS`) out of the official training videos. Official training
data are therefore `train+validation`, which its published results use as well.
"""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from volhuman.body.part_transforms import PANOPTIC19
from volhuman.data.sets.building import SetBuilder, array, picture, text
from volhuman.data.sets.files import (
    first_file,
    need_file,
    need_folder,
    pickled_array,
    read_lines,
    read_pickle_dict,
)
from volhuman.data.sets.outfits import outfit_key
from volhuman.data.sets.pictures import read_picture
from volhuman.data.sets.reposing_folder import (
    PosedFrame,
    posed_frame_example,
    posed_frame_features,
    read_posed_frames,
)
from volhuman.errors import InputError


def _outfits(person: str, *clothes: int) -> tuple[str, ...]:
    return tuple(f"{person}-{cloth}" for cloth in clothes)


# Source: the split of the authors of "Reposing Humans by Warping 3D Features".
VALIDATION_OUTFITS = (
    *_outfits("001", 2, 4, 5, 6, 14, 16, 21, 29),
    *_outfits("004", 2),
    *_outfits("006", 1),
    *_outfits("009", 4, 7),
    *_outfits("012", 1),
    *_outfits("015", 2, 3),
    *_outfits("018", 1),
    *_outfits("019", 1, 3),
    *_outfits("021", 1),
    *_outfits("024", 2),
    *_outfits("028", 1),
)
TEST_OUTFITS = (
    *_outfits("001", 9, 11, 18, 19, 31),
    *_outfits("004", 1),
    *_outfits("007", 1),
    *_outfits("009", 5),
    *_outfits("010", 1, 2, 3),
    *_outfits("011", 1),
    *_outfits("012", 2),
    *_outfits("017", 1),
    *_outfits("019", 2),
    *_outfits("023", 3),
    *_outfits("024", 7, 8),
    *_outfits("025", 1),
    *_outfits("026", 1),
    *_outfits("029", 1),
)
OUTFIT_DEPTH = 2
_OFFICIAL_VIDEOS = {"train.txt": 164, "val.txt": 42}


@dataclasses.dataclass(frozen=True, eq=False)
class IperFrame:
    """A frame of a video with the body that was fitted to it.

    Attributes:
        name: "001/9/1/000": person, clothes, action, frame.
        outfit: "001-9".
        action: 1 turning in A-pose, 2 free motion.
        path: The picture.
        pose: `(24, 3)` axis-angle, SMPL.
        shape: `(10,)`.
        camera: `(3,)` scale and translation x, y of a weak perspective onto [-1, 1].
        keypoints: `(19, 2)` in [-1, 1], x right, y down.
    """

    name: str
    outfit: str
    action: int
    path: Path
    pose: np.ndarray
    shape: np.ndarray
    camera: np.ndarray
    keypoints: np.ndarray


def split_of_outfit(outfit: str) -> str:
    """Returns "train", "validation" or "test"."""
    if outfit in TEST_OUTFITS:
        return "test"
    return "validation" if outfit in VALIDATION_OUTFITS else "train"


def read_videos(folder: Path, *, complete: bool = True) -> list[str]:
    """Reads the official lists of videos.

    Args:
        folder: Folder with `train.txt` and `val.txt`.
        complete: Whether all 206 videos must be listed.

    Returns:
        Names such as "001/9/1", sorted.

    Raises:
        InputError: If a list is missing or short, a line is no video, or a video stands
            in the wrong list.
    """
    videos: list[str] = []
    for file_name, official in _OFFICIAL_VIDEOS.items():
        path = need_file(folder / file_name, "it comes with iPER and lists its videos")
        lines = read_lines(path)
        if complete and len(lines) != official:
            raise InputError(
                f"{path} lists {len(lines)} videos, the official list has {official}; "
                "copy it again, or set complete=False to build a part"
            )
        for line in lines:
            parts = line.split("/")
            if len(parts) != 3 or not all(part.isdigit() for part in parts):
                raise InputError(
                    f"{path}: {line!r} is no video, expected a line such as 001/9/1"
                )
            is_test = split_of_outfit(outfit_key(line, OUTFIT_DEPTH)) == "test"
            if is_test != (file_name == "val.txt"):
                raise InputError(
                    f"{path}: {line} does not belong into this list; take the lists "
                    "of the official release"
                )
        videos += lines
    return sorted(videos)


def read_frames(folder: Path, video: str) -> list[IperFrame]:
    """Reads the frames of a video and the bodies fitted to them.

    Args:
        folder: Folder with `images` (or `images_HD`) and `smpls`.
        video: "001/9/1".

    Returns:
        The frames in order.

    Raises:
        InputError: If a file is missing or damaged, or the numbers of pictures and
            bodies differ, as in a folder that was copied by half.
    """
    pictures = folder / "images" / video
    if not pictures.is_dir():
        pictures = folder / "images_HD" / video
    number_of = {
        int(file.stem): file
        for file in need_folder(
            pictures,
            f"extract the frames of {video.replace('/', '_')}.mp4 there as 000.jpg, "
            "001.jpg, ...",
        ).iterdir()
        if file.stem.isdigit() and file.suffix.lower() in (".jpg", ".png")
    }
    places = [folder / "smpls" / video, folder / "smpls" / video.replace("/", "_")]
    remedy = "it comes with iPER (smpls.zip)"
    path = first_file([place / "pose_shape.pkl" for place in places], remedy)
    points_path = first_file([place / "kps.pkl" for place in places], remedy)
    body = read_pickle_dict(path)
    pose = pickled_array(body, "pose", (None, 72), path)
    count = len(pose)
    shape = pickled_array(body, "shape", (count, 10), path)
    cameras = pickled_array(body, "cams", (count, 3), path)
    points = pickled_array(
        read_pickle_dict(points_path), "kps", (count, 19, 2), points_path
    )
    if sorted(number_of) != list(range(count)):
        raise InputError(
            f"{pictures}: {len(number_of)} pictures, but {path} has {count} bodies, "
            f"for the frames 0 to {count - 1}; extract or copy the frames again"
        )
    return [
        IperFrame(
            name=f"{video}/{number_of[i].stem}",
            outfit=outfit_key(video, OUTFIT_DEPTH),
            action=int(video.rpartition("/")[2]),
            path=number_of[i],
            pose=pose[i].reshape(24, 3),
            shape=shape[i],
            camera=cameras[i],
            keypoints=points[i],
        )
        for i in range(count)
    ]


class Iper(SetBuilder):
    """Builder of iPER."""

    name = "volhuman_iper"
    TITLE = "iPER"
    HOMEPAGE = "https://svip-lab.github.io/dataset/iPER_dataset.html"
    LICENSE = "Non-commercial research; see the data set's home page."
    LAYOUTS: ClassVar = {
        "official": "train.txt, val.txt, images/001/9/1/000.jpg and "
        "smpls/001/9/1/pose_shape.pkl, kps.pkl",
        "reposing": "images/001/9/1/000.png and poses.pkl with 3D poses",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Ask for iPER at https://svip-lab.github.io/dataset/iPER_dataset.html (research
    only) and lay it out as

        train.txt, val.txt                     lists of videos, "001/9/1" a line
        images/001/9/1/000.jpg ...             frames of 001_9_1.mp4 (or images_HD)
        smpls/001/9/1/pose_shape.pkl, kps.pkl  (or smpls/001_9_1/...)

    or, for the layout "reposing" with 3D poses of 19 joints,

        images/001/9/1/000.png ...             256 x 256
        poses.pkl                              {"001": {"9": {"1": {"000": (19, 3)}}}}
    """

    def set_features(self) -> dict[str, Any]:
        """Returns the features of a frame."""
        if self.builder_config.layout == "reposing":
            return posed_frame_features()
        return {
            "image": picture("RGB."),
            "outfit": text("Person and clothes, '001-9'."),
            "action": tfds.features.Scalar(np.int32, doc="1 turning, 2 free motion."),
            "pose": array("SMPL axis-angle, root first.", (24, 3)),
            "shape": array("SMPL shape.", (10,)),
            "camera": array("Weak perspective onto [-1, 1]: scale, x, y.", (3,)),
            "keypoints": array("As in the file: [-1, 1], x right, y down.", (19, 2)),
        }

    def set_metadata(self) -> dict[str, Any]:
        """Returns the order of the 3D joints."""
        if self.builder_config.layout == "reposing":
            return {"joint_names": list(PANOPTIC19.names)}
        return {}

    def read_index(self, folder: Path) -> dict[str, list]:
        """Reads lists, bodies and poses."""
        complete = self.builder_config.complete
        if self.builder_config.layout == "reposing":
            frames = read_posed_frames(folder, OUTFIT_DEPTH)
        else:
            frames = []
            for video in read_videos(folder, complete=complete):
                frames += read_frames(folder, video)
        splits: dict[str, list] = {"train": [], "validation": [], "test": []}
        for frame in frames:
            splits[split_of_outfit(frame.outfit)].append(frame)
        if complete:
            _check_outfits(folder, splits)
        return splits

    def make_examples(self, record: IperFrame | PosedFrame):
        """Makes the example of a frame."""
        if isinstance(record, PosedFrame):
            return [(record.name, posed_frame_example(record))]
        example = {
            "image": read_picture(record.path),
            "outfit": record.outfit,
            "action": record.action,
            "pose": record.pose,
            "shape": record.shape,
            "camera": record.camera,
            "keypoints": record.keypoints,
        }
        return [(record.name, example)]


def _check_outfits(folder: Path, splits: dict[str, list]) -> None:
    for split, outfits in (("validation", VALIDATION_OUTFITS), ("test", TEST_OUTFITS)):
        missing = sorted(set(outfits) - {frame.outfit for frame in splits[split]})
        if missing:
            raise InputError(
                f"{folder}: {len(missing)} of the {len(outfits)} {split} outfits have "
                f"no frame, the first is {missing[0]}; copy the rest, or set "
                "complete=False to build a part"
            )
