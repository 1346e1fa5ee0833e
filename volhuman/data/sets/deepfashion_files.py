"""Readers of DeepFashion's In-shop index files, and of the lists of PATN.

An item is photographed in several colours, each colour in several views:
`MEN/Denim/id_00000080/01_1_front.jpg` is item 80 in colour 01, shot 1, from the front.
An outfit is one colour of one item, "MEN-Denim-id_00000080-01".
"""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np

from volhuman.data.sets.files import need_file, number_array, read_lines
from volhuman.errors import InputError

NUM_IMAGES, NUM_ITEMS = 52712, 7982
STATUSES = ("train", "query", "gallery")
# Pairs of PATN, by split.
NUM_PAIRS = {"train": 101966, "test": 8570}
_PATH = re.compile(
    r"(?:img/)?(?P<gender>MEN|WOMEN)/(?P<category>\w+)/(?P<item>id_\d{8})/"
    r"(?P<color>\d+)_(?P<shot>\d+)_(?P<view>\w+)\.jpg"
)
_FLAT = re.compile(
    r"fashion(?P<gender>MEN|WOMEN)(?P<category>[A-Za-z_]+?)id(?P<item>\d{8})(?P<color>\d\d)_"
    r"(?P<shot>\d+)(?P<view>[a-z]+)\.(?:jpg|png)"
)


@dataclasses.dataclass(frozen=True)
class FashionImage:
    """A picture of an item.

    Attributes:
        name: "MEN/Denim/id_00000080/01_1_front".
        gender: "MEN" or "WOMEN".
        category: "Denim".
        item: "id_00000080".
        color: "01".
        shot: "1".
        view: "front", "side", "back", "full", "additional" or "flat".
    """

    name: str
    gender: str
    category: str
    item: str
    color: str
    shot: str
    view: str

    @property
    def outfit(self) -> str:
        """One colour of one item."""
        return f"{self.gender}-{self.category}-{self.item}-{self.color}"


@dataclasses.dataclass(frozen=True)
class FashionPair:
    """A pair of PATN.

    Attributes:
        name: Number of the pair in its list, and both pictures.
        source: File name of the picture that is given.
        target: File name of the picture whose pose is taken.
    """

    name: str
    source: str
    target: str


def parse_image_path(text: str) -> FashionImage | None:
    """Reads what a path of the release says; None for another form."""
    return _image(_PATH.fullmatch(text), "{}")


def parse_flat_name(text: str) -> FashionImage | None:
    """Reads what a name of PATN says, "fashionMENDenimid0000008001_1front.jpg".

    Returns:
        The picture with the names of the release, or None for another form.
    """
    return _image(_FLAT.fullmatch(text), "id_{}")


def _image(match: re.Match | None, item_form: str) -> FashionImage | None:
    if match is None:
        return None
    parts = match.groupdict()
    parts["item"] = item_form.format(parts["item"])
    name = "{gender}/{category}/{item}/{color}_{shot}_{view}".format(**parts)
    return FashionImage(name=name, **parts)


def read_partition(
    path: Path, *, complete: bool = True
) -> dict[str, list[FashionImage]]:
    """Reads `list_eval_partition.txt`.

    Its first line is the number of rows, its second the names of the columns.

    Args:
        path: The file.
        complete: Whether it must be the official list.

    Returns:
        The pictures by status.

    Raises:
        InputError: If the file is missing, has another number of rows than it says, or
            a row is not of its form.
    """
    lines = read_lines(need_file(path, "it comes with the In-shop benchmark (Eval)"))
    if len(lines) < 2 or not lines[0].isdigit():
        raise InputError(f"{path}: the first line is not the number of its rows")
    if lines[1].split() != ["image_name", "item_id", "evaluation_status"]:
        raise InputError(f"{path}: the second line does not name the three columns")
    rows = lines[2:]
    if len(rows) != int(lines[0]):
        raise InputError(
            f"{path} has {len(rows)} rows, but its first line says {lines[0]}; copy it "
            "again"
        )
    splits: dict[str, list[FashionImage]] = {status: [] for status in STATUSES}
    for number, row in enumerate(rows, start=3):
        words = row.split()
        image = parse_image_path(words[0]) if words else None
        if len(words) != 3 or image is None or words[2] not in splits:
            raise InputError(
                f"{path}: line {number} is {' '.join(words)[:99]!r}, expected a "
                f"picture, its item, and one of {', '.join(STATUSES)}"
            )
        if words[1] != image.item:
            raise InputError(
                f"{path}: line {number} gives item {words[1]} to a picture of "
                f"{image.item}"
            )
        splits[words[2]].append(image)
    items = {image.item for images in splits.values() for image in images}
    if complete and (len(rows), len(items)) != (NUM_IMAGES, NUM_ITEMS):
        raise InputError(
            f"{path} lists {len(rows)} pictures of {len(items)} items, the official "
            f"list {NUM_IMAGES} of {NUM_ITEMS}; set complete=False to build a part"
        )
    return splits


def read_pair_list(
    path: Path, split: str, *, complete: bool = True
) -> list[FashionPair]:
    """Reads a list of pairs of PATN: CSV with the columns `from` and `to`.

    Args:
        path: `fasion-resize-pairs-train.csv`, spelt so.
        split: "train" or "test".
        complete: Whether it must be the official list.

    Raises:
        InputError: If the file is missing, a row is no pair of names, or rows are
            missing.
    """
    lines = read_lines(need_file(path, "get it from the authors of PATN"))
    if not lines or lines[0].split(",") != ["from", "to"]:
        raise InputError(f"{path}: the first line is not 'from,to'")
    pairs = []
    for number, line in enumerate(lines[1:]):
        words = line.split(",")
        if len(words) != 2 or not all(map(parse_flat_name, words)):
            raise InputError(
                f"{path}: line {number + 2} is {line[:100]!r}, expected two names such "
                "as fashionMENDenimid0000008001_1front.jpg"
            )
        stems = [word.rpartition(".")[0] for word in words]
        pairs.append(FashionPair(f"{number:06d}/{stems[0]}/{stems[1]}", *words))
    if complete and len(pairs) != NUM_PAIRS[split]:
        raise InputError(
            f"{path} has {len(pairs)} pairs, the official list {NUM_PAIRS[split]}; "
            "copy it again, or set complete=False to build a part"
        )
    return pairs


def read_keypoint_table(path: Path) -> dict[str, np.ndarray]:
    """Reads the key points of PATN: columns `name:keypoints_y:keypoints_x`.

    Args:
        path: `fasion-resize-annotation-train.csv`, spelt so.

    Returns:
        For every picture `(18, 3)`: pixels x, y and 1, or zeros where a point was not
        found (-1 in the file). The order is that of OpenPose's COCO model.

    Raises:
        InputError: If the file is missing, a row is not of its form, or names a picture
            a second time.
    """
    lines = read_lines(need_file(path, "get it from the authors of PATN"))
    if not lines or lines[0].split(":") != ["name", "keypoints_y", "keypoints_x"]:
        raise InputError(f"{path}: the first line is not name:keypoints_y:keypoints_x")
    table: dict[str, np.ndarray] = {}
    for number, line in enumerate(lines[1:], start=2):
        name, *columns = line.split(":")
        name = name.strip()
        if len(columns) != 2:
            raise InputError(f"{path}: line {number} has no two lists after the name")
        if name in table:
            raise InputError(f"{path}: line {number} names {name} a second time")
        place = f"line {number}"
        try:
            lists = [json.loads(column) for column in columns]
        except ValueError as error:
            raise InputError(f"{path}: {place} holds no lists ({error})") from error
        y, x = (number_array(values, (18,), path, place) for values in lists)
        found = (x >= 0) & (y >= 0)
        points = np.stack([x, y, np.ones_like(x)], axis=1)
        table[name] = np.where(found[:, None], points, 0).astype(np.float32)
    return table
