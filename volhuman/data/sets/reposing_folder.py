"""The folder form of pictures and 3D poses that the reposing paper's authors read.

    images/<key 1>/.../<frame>.png     pictures
    poses.pkl                          nested dict with the same keys; leaves (19, 3)

A pose is in pixels of the 256 x 256 picture: x right, y down, z away from the camera
with 0 in the middle of the body. Left is the person's left.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from volhuman.data.sets.building import array, picture, text
from volhuman.data.sets.files import (
    need_file,
    need_folder,
    number_array,
    read_lines,
    read_pickle_dict,
)
from volhuman.data.sets.outfits import outfit_key
from volhuman.data.sets.pictures import read_picture
from volhuman.errors import InputError


@dataclasses.dataclass(frozen=True, eq=False)
class PosedFrame:
    """A picture with its pose.

    Attributes:
        name: Path below `images` without suffix.
        outfit: Its outfit.
        path: The picture.
        joints: `(19, 3)` pixels, in the order of `body.part_transforms.PANOPTIC19`.
    """

    name: str
    outfit: str
    path: Path
    joints: np.ndarray


def read_posed_frames(folder: Path, depth: int) -> list[PosedFrame]:
    """Reads the index of the folder form.

    Args:
        folder: Folder with `images` and `poses.pkl`.
        depth: Number of path components that name an outfit.

    Returns:
        The frames that have a pose, sorted by name.

    Raises:
        InputError: If a file is missing or damaged, or pictures and poses do not belong
            together.
    """
    images = need_folder(
        folder / "images", "it holds the pictures as images/<key>/.../<frame>.png"
    )
    path = need_file(folder / "poses.pkl", "it holds the 3D poses of the pictures")
    poses = dict(_leaves(read_pickle_dict(path), ()))
    pictures = {
        file.relative_to(images).with_suffix("").as_posix(): file
        for file in images.rglob("*")
        if file.suffix.lower() in (".png", ".jpg")
    }
    _check_same(path, "a pose", poses, images, "a picture", pictures)
    frames = []
    for name in sorted(poses):
        if name.count("/") < depth:
            raise InputError(
                f"{path}: {name!r} has fewer than {depth} levels above its frame; "
                "expected the layout of the other data set, or another one"
            )
        joints = number_array(poses[name], (19, 3), path, f"the pose {name!r}")
        frames.append(PosedFrame(name, outfit_key(name, depth), pictures[name], joints))
    return frames


def read_outfit_list(path: Path) -> list[str]:
    """Reads a list of outfits, one a line.

    Raises:
        InputError: If the file is missing or names an outfit twice.
    """
    outfits = read_lines(
        need_file(path, "write the outfits of this split into it, one key a line")
    )
    if len(set(outfits)) < len(outfits):
        twice = next(outfit for outfit in outfits if outfits.count(outfit) > 1)
        raise InputError(f"{path}: the outfit {twice!r} stands there twice")
    return outfits


def posed_frame_features() -> dict[str, Any]:
    """Returns the features of a frame of this form."""
    return {
        "image": picture("RGB."),
        "outfit": text("Outfit that pairs share."),
        "joints": array(
            "Pixels; x right, y down, z away, z 0 in the middle of the body.", (19, 3)
        ),
    }


def posed_frame_example(frame: PosedFrame) -> dict[str, Any]:
    """Makes the example of a frame.

    Raises:
        InputError: If the picture is missing or broken.
    """
    return {
        "image": read_picture(frame.path),
        "outfit": frame.outfit,
        "joints": frame.joints,
    }


def _leaves(node: dict, keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        place = (*keys, str(key))
        if isinstance(value, dict):
            yield from _leaves(value, place)
        else:
            yield "/".join(place), value


def _check_same(first_path, first, names, second_path, second, others) -> None:
    """Checks that two collections have the same names."""
    for path, kind, here, there in (
        (first_path, second, names, others),
        (second_path, first, others, names),
    ):
        missing = sorted(set(here) - set(there))
        if missing:
            raise InputError(
                f"{path}: {len(missing)} of {len(here)} entries have no counterpart "
                f"({kind}), the first is {missing[0]!r}; copy both again"
            )
