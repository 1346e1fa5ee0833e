"""DensePose's annotations: COCO's JSON with points on the body's surface.

A point is given by its place in the box of the person and by part (I) and texture
coordinates (U, V) on DensePose's chart of SMPL. Left and right are the person's own.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from volhuman.data.sets.files import (
    need_file,
    need_key,
    number_array,
    read_json_index,
)
from volhuman.data.sets.run_lengths import decode_mask
from volhuman.errors import InputError

# Part number I, from 1; a limb's two charts are its two sides.
SURFACE_PARTS = (
    "torso_back",
    "torso_front",
    "right_hand",
    "left_hand",
    "left_foot",
    "right_foot",
    "right_upper_leg",
    "left_upper_leg",
    "right_upper_leg",
    "left_upper_leg",
    "right_lower_leg",
    "left_lower_leg",
    "right_lower_leg",
    "left_lower_leg",
    "left_upper_arm",
    "right_upper_arm",
    "left_upper_arm",
    "right_upper_arm",
    "left_lower_arm",
    "right_lower_arm",
    "left_lower_arm",
    "right_lower_arm",
    "right_head",
    "left_head",
)
# Label of the part masks, from 1; 0 is no part.
MASK_PARTS = (
    "torso",
    "right_hand",
    "left_hand",
    "left_foot",
    "right_foot",
    "right_upper_leg",
    "left_upper_leg",
    "right_lower_leg",
    "left_lower_leg",
    "left_upper_arm",
    "right_upper_arm",
    "left_lower_arm",
    "right_lower_arm",
    "head",
)
MASK_SIZE = 256
# Places in the box run from 0 to 256 as Detectron 2 reads them. The notebooks of the
# first release divide by 255, which moves points by up to 1/255 of the box.
PLACE_SCALES = (256, 255)
_ROUNDING = 1e-3


@dataclasses.dataclass(frozen=True)
class AnnotatedImage:
    """A picture of the index.

    Attributes:
        number: Its id.
        file_name: As in the JSON.
        size: Width and height, or None where the file does not say.
        entry: The JSON object.
    """

    number: int
    file_name: str
    size: tuple[int, int] | None
    entry: dict


@dataclasses.dataclass(frozen=True)
class DensePerson:
    """A person with a dense annotation, not converted yet.

    Attributes:
        name: Id of the annotation.
        image: The picture.
        entry: The JSON object.
        place: How messages call it.
        index: The JSON file.
    """

    name: str
    image: AnnotatedImage
    entry: dict
    place: str
    index: Path


@dataclasses.dataclass(frozen=True, eq=False)
class DenseAnnotation:
    """The dense annotation of one person.

    Attributes:
        box: `(4,)` x, y, width, height in pixels.
        positions: `(N, 2)` pixels x, y of the picture.
        part: `(N,)` int32, 1 to 24 (`SURFACE_PARTS`).
        uv: `(N, 2)` in [0, 1].
        part_mask: `(256, 256)` uint8 over the box, 0 to 14 (`MASK_PARTS`).
        keypoints: `(K, 3)` pixels x, y and visibility 0, 1 or 2.
    """

    box: np.ndarray
    positions: np.ndarray
    part: np.ndarray
    uv: np.ndarray
    part_mask: np.ndarray
    keypoints: np.ndarray


@dataclasses.dataclass(frozen=True)
class DenseIndex:
    """What one JSON file holds.

    Attributes:
        people: Those with a dense annotation.
        num_without: Number of annotations without one.
        keypoint_names: As the file's categories name them.
    """

    people: list[DensePerson]
    num_without: int
    keypoint_names: tuple[str, ...]


def read_dense_index(path: Path) -> DenseIndex:
    """Reads the annotations of a split.

    Args:
        path: JSON file.

    Returns:
        The people with dense annotations, sorted by picture and annotation.

    Raises:
        InputError: If the file is missing, cut, lacks a key, or refers to a picture
            that it does not list.
    """
    content = read_json_index(need_file(path, "it holds the annotations of a split"))
    images = {}
    for position, entry in enumerate(_list(content, "images", path)):
        image = _image(entry, path, f"image {position}")
        if image.number in images:
            raise InputError(f"{path}: two images have the id {image.number}")
        images[image.number] = image
    people, num_without = [], 0
    for position, entry in enumerate(_list(content, "annotations", path)):
        number = need_key(entry, "id", int, path, f"annotation {position}")
        place = f"annotation {number}"
        image = images.get(need_key(entry, "image_id", int, path, place))
        if image is None:
            raise InputError(
                f"{path}: {place} belongs to image {entry['image_id']}, which the file "
                "does not list; copy it again"
            )
        if "dp_I" in entry or "dp_x" in entry:
            people.append(DensePerson(str(number), image, entry, place, path))
        else:
            num_without += 1
    people.sort(key=lambda person: (person.image.number, int(person.name)))
    return DenseIndex(people, num_without, _keypoint_names(content, path))


def read_annotation(
    person: DensePerson, num_keypoints: int, *, scale: int = 256
) -> DenseAnnotation:
    """Converts the dense annotation of a person.

    Args:
        person: Entry of the index.
        num_keypoints: Number of key points of the set.
        scale: One of `PLACE_SCALES`.

    Returns:
        The annotation.

    Raises:
        InputError: If a list is missing, or lists differ in length or hold values out
            of range.
    """
    entry, path, place = person.entry, person.index, person.place
    box = number_array(
        need_key(entry, "bbox", list, path, place), (4,), path, f"bbox of {place}"
    )
    if not (box[2:] > 0).all():
        raise InputError(f"{path}: the bbox of {place} has no area")
    columns = {}
    for key in ("dp_I", "dp_U", "dp_V", "dp_x", "dp_y"):
        values = need_key(entry, key, list, path, place)
        columns[key] = number_array(values, (None,), path, f"{key} of {place}")
        if len(columns[key]) != len(columns["dp_I"]):
            raise InputError(
                f"{path}: {place} has {len(columns[key])} values in {key} but "
                f"{len(columns['dp_I'])} in dp_I"
            )
    part = columns["dp_I"]
    if not np.isin(part, np.arange(1, len(SURFACE_PARTS) + 1)).all():
        raise InputError(f"{path}: dp_I of {place} holds a number that is not 1 to 24")
    uv = _within(np.stack([columns["dp_U"], columns["dp_V"]], 1), 1, path, place)
    places = _within(
        np.stack([columns["dp_x"], columns["dp_y"]], 1), MASK_SIZE, path, place
    )
    keypoints = np.zeros((num_keypoints, 3), np.float32)
    if "keypoints" in entry:
        keypoints = number_array(
            need_key(entry, "keypoints", list, path, place),
            (3 * num_keypoints,),
            path,
            f"keypoints of {place}",
        ).reshape(-1, 3)
    return DenseAnnotation(
        box=box,
        positions=box[:2] + places * box[2:] / scale,
        part=part.astype(np.int32),
        uv=uv,
        part_mask=_part_mask(entry, path, place),
        keypoints=keypoints,
    )


def _part_mask(entry: dict, path: Path, place: str) -> np.ndarray:
    """The 14 masks as one map of labels; where two overlap, the later one counts."""
    labels = np.zeros((MASK_SIZE, MASK_SIZE), np.uint8)
    masks = (
        need_key(entry, "dp_masks", list, path, place) if "dp_masks" in entry else []
    )
    if len(masks) not in (0, len(MASK_PARTS)):
        raise InputError(
            f"{path}: {place} has {len(masks)} dp_masks, expected {len(MASK_PARTS)}"
        )
    for label, mask in enumerate(masks, start=1):
        if not mask:  # The part is not visible.
            continue
        counts = need_key(mask, "counts", str, path, f"mask {label} of {place}")
        try:
            labels[decode_mask(counts, (MASK_SIZE, MASK_SIZE)) > 0] = label
        except ValueError as error:
            raise InputError(f"{path}: mask {label} of {place}: {error}") from error
    return labels


def _within(values: np.ndarray, most: float, path: Path, place: str) -> np.ndarray:
    slack = _ROUNDING * most
    if values.size and not -slack <= values.min() <= values.max() <= most + slack:
        raise InputError(
            f"{path}: a coordinate of {place} is {values.min():g} or {values.max():g}, "
            f"expected 0 to {most:g}"
        )
    return np.clip(values, 0, most)


def _image(entry: Any, path: Path, place: str) -> AnnotatedImage:
    number = need_key(entry, "id", int, path, place)
    size = None
    if "width" in entry or "height" in entry:
        width, height = (
            need_key(entry, key, int, path, place) for key in ("width", "height")
        )
        size = (width, height)
    file_name = need_key(entry, "file_name", str, path, place)
    if Path(file_name).is_absolute() or ".." in Path(file_name).parts:
        raise InputError(f"{path}: {place} leads out of the folder ({file_name!r})")
    return AnnotatedImage(number, file_name, size, entry)


def _keypoint_names(content: dict, path: Path) -> tuple[str, ...]:
    for category in content.get("categories") or []:
        names = category.get("keypoints") if isinstance(category, dict) else None
        if names and isinstance(names, list):
            return tuple(map(str, names))
    raise InputError(f"{path}: no category has 'keypoints'; take the official file")


def _list(content: Any, key: str, path: Path) -> Iterable[Any]:
    return need_key(content, key, list, path, "the file")
