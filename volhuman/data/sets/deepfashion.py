"""DeepFashion, In-shop Clothes Retrieval: 52,712 pictures of 7,982 items of clothing.

Layouts: `inshop` is the release with its official partition; `pairs` are the pairs of
PATN, on which most reposing papers report; `reposing` is the folder form of the
reposing paper, with 3D poses. For the last, the authors list the outfits of validation
and test (2,061 each) in their code; write them into `validation_outfits.txt` and
`test_outfits.txt`, one "WOMEN-Dresses-id_00000002-02" a line.
"""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from volhuman.body.part_transforms import PANOPTIC19
from volhuman.data.sets.building import SetBuilder, array, picture, text
from volhuman.data.sets.deepfashion_files import (
    FashionImage,
    FashionPair,
    parse_flat_name,
    read_keypoint_table,
    read_pair_list,
    read_partition,
)
from volhuman.data.sets.files import first_file, need_folder
from volhuman.data.sets.keypoint_orders import COCO18
from volhuman.data.sets.pictures import read_picture
from volhuman.data.sets.reposing_folder import (
    PosedFrame,
    posed_frame_example,
    posed_frame_features,
    read_outfit_list,
    read_posed_frames,
)
from volhuman.errors import InputError

OUTFIT_DEPTH = 4


@dataclasses.dataclass(frozen=True, eq=False)
class ListedImage:
    """A picture of the partition with its file."""

    name: str
    image: FashionImage
    path: Path


@dataclasses.dataclass(frozen=True, eq=False)
class ListedPair:
    """A pair of PATN with its files and key points `(18, 3)`."""

    name: str
    pair: FashionPair
    folder: Path
    source_points: np.ndarray
    target_points: np.ndarray


class DeepFashion(SetBuilder):
    """Builder of DeepFashion In-shop."""

    name = "volhuman_deepfashion"
    TITLE = "DeepFashion In-shop"
    HOMEPAGE = "http://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html"
    LICENSE = "Non-commercial research; password on request."
    LAYOUTS: ClassVar = {
        "inshop": "Eval/list_eval_partition.txt and Img/img/<gender>/<category>/...",
        "pairs": "fasion-resize-pairs-<split>.csv, fasion-resize-annotation-<split>"
        ".csv, train/ and test/ (PATN)",
        "reposing": "images/<gender>/<category>/<item>/<color>/, poses.pkl, "
        "validation_outfits.txt and test_outfits.txt",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Ask for the password at
    http://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html (research
    only) and unpack the In-shop benchmark:

        Eval/list_eval_partition.txt
        Img/img/MEN/Denim/id_00000080/01_1_front.jpg ...

    For the layout "pairs" take the lists and pictures of PATN (Pose-Transfer):

        fasion-resize-pairs-train.csv       fasion-resize-pairs-test.csv
        fasion-resize-annotation-train.csv  fasion-resize-annotation-test.csv
        train/fashionMENDenimid0000008001_1front.jpg ...  test/...

    For the layout "reposing" with 3D poses of 19 joints:

        images/MEN/Denim/id_00000080/01/1_front.png ...
        poses.pkl  validation_outfits.txt  test_outfits.txt
    """

    def set_features(self) -> dict[str, Any]:
        """Returns the features of a picture or a pair."""
        if self.builder_config.layout == "reposing":
            return posed_frame_features()
        if self.builder_config.layout == "pairs":
            points = "Pixels x, y and 1; zeros where not found."
            return {
                "source_image": picture("RGB."),
                "target_image": picture("RGB."),
                "source_keypoints": array(points, (18, 3)),
                "target_keypoints": array(points, (18, 3)),
                "source": text("Name in the release."),
                "target": text("Name in the release."),
                "outfit": text("Of the source."),
            }
        return {
            "image": picture("RGB."),
            "outfit": text("One colour of one item."),
            "item": text("Item of clothing."),
            "gender": text("'MEN' or 'WOMEN'."),
            "category": text("Kind of clothing."),
            "view": text("front, side, back, full, additional or flat."),
        }

    def set_metadata(self) -> dict[str, Any]:
        """Returns the names of the key points or joints."""
        if self.builder_config.layout == "pairs":
            return {"keypoint_names": list(COCO18)}
        if self.builder_config.layout == "reposing":
            return {"joint_names": list(PANOPTIC19.names)}
        return {}

    def read_index(self, folder: Path) -> dict[str, list]:
        """Reads the lists of the layout."""
        complete = self.builder_config.complete
        if self.builder_config.layout == "reposing":
            return read_reposing_splits(folder)
        if self.builder_config.layout == "pairs":
            return {
                split: read_listed_pairs(folder, split, complete=complete)
                for split in ("train", "test")
            }
        path = first_file(
            [
                folder / "Eval/list_eval_partition.txt",
                folder / "list_eval_partition.txt",
            ],
            "it comes with the In-shop benchmark",
        )
        root = folder / "Img" if (folder / "Img").is_dir() else folder
        need_folder(root / "img", "unpack img.zip of the In-shop benchmark")
        return {
            status: [
                ListedImage(image.name, image, root / "img" / f"{image.name}.jpg")
                for image in images
            ]
            for status, images in read_partition(path, complete=complete).items()
        }

    def make_examples(self, record: ListedImage | ListedPair | PosedFrame):
        """Makes the example of a picture or a pair."""
        if isinstance(record, PosedFrame):
            return [(record.name, posed_frame_example(record))]
        if isinstance(record, ListedPair):
            return [(record.name, _pair_example(record))]
        image = record.image
        example = {
            "image": read_picture(record.path),
            "outfit": image.outfit,
            "item": image.item,
            "gender": image.gender,
            "category": image.category,
            "view": image.view,
        }
        return [(record.name, example)]


def read_listed_pairs(
    folder: Path, split: str, *, complete: bool = True
) -> list[ListedPair]:
    """Reads the pairs of a split with the key points of both pictures.

    Raises:
        InputError: If a file is missing or damaged, or a picture has no key points.
    """
    path = folder / f"fasion-resize-annotation-{split}.csv"
    pairs = read_pair_list(
        folder / f"fasion-resize-pairs-{split}.csv", split, complete=complete
    )
    points = read_keypoint_table(path)
    pictures = need_folder(folder / split, f"it holds the pictures of {split}")
    listed = []
    for pair in pairs:
        for file_name in (pair.source, pair.target):
            if file_name not in points:
                raise InputError(
                    f"{path}: no key points of {file_name}, which a pair names; take "
                    "both lists of one release"
                )
        listed.append(
            ListedPair(
                pair.name, pair, pictures, points[pair.source], points[pair.target]
            )
        )
    return listed


def read_reposing_splits(folder: Path) -> dict[str, list[PosedFrame]]:
    """Reads the folder form with the two lists of outfits; the rest is for training.

    Raises:
        InputError: If a file is missing or damaged, or the lists name an outfit that is
            not there or stands in both.
    """
    frames = read_posed_frames(folder, OUTFIT_DEPTH)
    outfits = {frame.outfit for frame in frames}
    split_of: dict[str, str] = {}
    for split in ("validation", "test"):
        path = folder / f"{split}_outfits.txt"
        for outfit in read_outfit_list(path):
            if outfit not in outfits:
                raise InputError(f"{path}: the outfit {outfit!r} has no picture")
            if outfit in split_of:
                raise InputError(f"{path}: {outfit!r} is in {split_of[outfit]} as well")
            split_of[outfit] = split
    splits: dict[str, list] = {"train": [], "validation": [], "test": []}
    for frame in frames:
        splits[split_of.get(frame.outfit, "train")].append(frame)
    return splits


def _pair_example(record: ListedPair) -> dict[str, Any]:
    pair = record.pair
    source, target = parse_flat_name(pair.source), parse_flat_name(pair.target)
    return {
        "source_image": read_picture(record.folder / pair.source),
        "target_image": read_picture(record.folder / pair.target),
        "source_keypoints": record.source_points,
        "target_keypoints": record.target_points,
        "source": source.name,
        "target": target.name,
        "outfit": source.outfit,
    }
