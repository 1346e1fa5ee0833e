"""Folders of items with equal names, and files of joints."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from volhuman.data.json_files import number, read_json
from volhuman.errors import InputError

JOINT_SUFFIXES = (".json",)


def list_items(folder: str | Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """Lists the files directly in a folder by their stem, sorted.

    Hidden files, sub-folders, other suffixes and symbolic links to outside of the
    folder are left out.

    Args:
        folder: The folder.
        suffixes: Lower-case suffixes that count.

    Raises:
        InputError: If the folder is missing, holds no such file, or two of one stem.
    """
    folder = Path(folder)
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(
            f"{folder}: {error.strerror}; give a folder of {', '.join(suffixes)} files"
        ) from error
    home = folder.resolve()
    items: dict[str, Path] = {}
    for path in entries:
        if path.name.startswith(".") or path.suffix.lower() not in suffixes:
            continue
        if not os.path.isfile(path) or not path.resolve().is_relative_to(home):
            continue
        if path.stem in items:
            raise InputError(
                f"{path}: {items[path.stem].name} has the same stem; keep one of them"
            )
        items[path.stem] = path
    if not items:
        raise InputError(
            f"{folder}: holds none of {', '.join(suffixes)}; put the files directly "
            "into it"
        )
    return items


@dataclasses.dataclass(frozen=True, eq=False)
class Joints:
    """Joints of one person.

    Attributes:
        names: Of every joint; numbers as text where the file has none.
        positions: `(J, 3)`, 0 for missing ones.
        visible: `(J,)` bool.
    """

    names: tuple[str, ...]
    positions: np.ndarray
    visible: np.ndarray


def read_joints(path: str | Path) -> Joints:
    """Reads 3D joints in JSON.

    A list of [x, y, z], or an object {"name": [x, y, z], ...}, alone or under the key
    "joints" (as registration writes it); null stands for a missing joint.

    Raises:
        InputError: If the file has another form or a value is not a finite number.
    """
    content = read_json(path)
    if isinstance(content, dict) and "joints" in content:
        content = content["joints"]
    if isinstance(content, list):
        content = {str(index): entry for index, entry in enumerate(content)}
    if not isinstance(content, dict) or not content:
        raise InputError(
            f"{path}: no joints; expected a list of [x, y, z] or an object of them"
        )
    positions = np.zeros((len(content), 3))
    visible = np.zeros(len(content), bool)
    for index, (name, entry) in enumerate(content.items()):
        if entry is None:
            continue
        if not isinstance(entry, list) or len(entry) != 3:
            raise InputError(f"{path}: joint {name} is {entry!r}, expected [x, y, z]")
        positions[index] = [number(value, path, f"joint {name}") for value in entry]
        visible[index] = True
    return Joints(tuple(content), positions, visible)
