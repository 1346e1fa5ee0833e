"""Reading index and annotation files, with errors that name the file and the place."""

import json
import math
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from volhuman.body.smpl_files import check_npy_header
from volhuman.errors import InputError
from volhuman.safe_pickle import load_pickle, load_pickled

_MAX_TEXT = 1 << 30
_MAX_ARRAY = 1 << 31
# A pickle of one array for each of iPER's 250,000 frames takes six million operations.
_MAX_OPERATIONS = 40_000_000


def need_file(path: Path, remedy: str) -> Path:
    """Returns the path of a file that must be there.

    Raises:
        InputError: If it is missing or no file; `remedy` says where it comes from.
    """
    if not os.path.isfile(path):
        raise InputError(f"{path} is missing; {remedy}")
    return path


def need_folder(path: Path, remedy: str) -> Path:
    """Returns the path of a folder that must be there.

    Raises:
        InputError: If it is missing or no folder.
    """
    if not os.path.isdir(path):
        raise InputError(f"the folder {path} is missing; {remedy}")
    return path


def first_file(paths: Sequence[Path], remedy: str) -> Path:
    """Returns the first of some files that is there.

    Raises:
        InputError: If none is; names the first and the number of the others.
    """
    for path in paths:
        if os.path.isfile(path):
            return path
    others = f" (nor {', '.join(map(str, paths[1:]))})" if paths[1:] else ""
    raise InputError(f"{paths[0]} is missing{others}; {remedy}")


def read_bytes(path: Path, *, max_bytes: int = _MAX_TEXT) -> bytes:
    """Reads a file.

    Raises:
        InputError: If it is missing, larger than `max_bytes`, or cannot be read.
    """
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= max_bytes else b""
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}); copy it again"
        ) from error
    if size > max_bytes:
        raise InputError(f"{path} has {size} bytes, at most {max_bytes} are read")
    return data


def read_lines(path: Path) -> list[str]:
    """Reads the lines of a text file of Unix or Windows, stripped of white space.

    Empty lines at the end are left out.

    Raises:
        InputError: If the file is missing or no text.
    """
    try:
        content = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text file ({error}); copy it again") from error
    return [line.strip() for line in content.rstrip().splitlines()]


def read_json_index(path: Path) -> Any:
    """Reads JSON; an object that has one key twice is refused.

    Raises:
        InputError: If the file is missing, damaged or cut, or repeats a key.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        item = dict(pairs)
        if len(item) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise InputError(f"{path}: the key {twice!r} stands twice in one object")
        return item

    data = read_bytes(path)
    try:
        return json.loads(data, object_pairs_hook=unique)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is no JSON, or cut ({error}); copy it again"
        ) from error


def need_key(item: Any, key: str, kind: type | tuple, path: Path, place: str) -> Any:
    """Returns `item[key]` of a JSON object.

    Args:
        item: The object.
        key: Its key.
        kind: Type or types that the value must have; truth values are no numbers.
        path: File, for the message.
        place: Which object of the file, for the message.

    Raises:
        InputError: If `item` is no object, lacks the key, or its value is of another
            type.
    """
    if not isinstance(item, dict) or key not in item:
        raise InputError(f"{path}: {place} has no {key!r}; restore the file")
    value = item[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(
            f"{path}: {key!r} of {place} is {str(value)[:40]!r}, expected "
            f"{_kind_name(kind)}"
        )
    return value


def number_array(
    values: Any, shape: Sequence[int | None], path: Path, place: str
) -> np.ndarray:
    """Converts to finite float32 numbers of a shape.

    Args:
        values: Nested lists or an array.
        shape: Expected shape, None for an axis of any length.
        path: File, for the message.
        place: What it is, for the message.

    Raises:
        InputError: If it is something else.
    """
    try:
        numbers = np.asarray(values, np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{path}: {place} is not made of numbers ({error})") from error
    fits = numbers.ndim == len(shape) and all(
        expected in (None, size) for expected, size in zip(shape, numbers.shape)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise InputError(
            f"{path}: {place} has shape {numbers.shape}, expected ({wanted})"
        )
    if not (np.abs(numbers) < 1e30).all():
        raise InputError(f"{path}: {place} holds a number that is not finite")
    return numbers.astype(np.float32)


def read_pickle_dict(path: Path) -> dict:
    """Reads a pickled dict through the allow-list that never runs code.

    Raises:
        InputError: If the file is missing, unsafe, damaged, or holds something else.
    """
    content = load_pickle(path, max_operations=_MAX_OPERATIONS)
    if not isinstance(content, dict):
        raise InputError(
            f"{path} holds a {type(content).__name__}, expected a dict; copy it again"
        )
    return content


def pickled_array(
    content: dict, key: str, shape: Sequence[int | None], path: Path
) -> np.ndarray:
    """Returns an array of a pickled dict as finite float32 numbers.

    Raises:
        InputError: If it is missing or of another shape.
    """
    if key not in content:
        raise InputError(
            f"{path}: no {key!r} among its keys {sorted(map(str, content))[:12]}"
        )
    return number_array(content[key], shape, path, key)


def read_npz_array(path: Path, key: str) -> np.ndarray:
    """Reads an array of numbers or text from an `.npz` file.

    Raises:
        InputError: If the file or the array is missing, damaged, lies about its size,
            or holds Python objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            member = _npz_member(archive, key, path)
            check_npy_header(archive, member.filename, member.file_size)
            with archive.open(member) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)
    except InputError:
        raise
    # Damaged archives fail with BadZipFile, zlib.error, ValueError, EOFError and more.
    except Exception as error:
        raise InputError(f"{path}: {key!r} cannot be read ({error})") from error


def read_npz_object(path: Path, key: str) -> Any:
    """Reads a Python object that `np.savez` wrapped in an array, without running code.

    The object is pickled behind the header of the array; the pickle goes through the
    allow-list of `volhuman.safe_pickle`.

    Raises:
        InputError: If the file or the object is missing, damaged or unsafe.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            member = _npz_member(archive, key, path)
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                read_header = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, _, dtype = read_header(stream)
                data = stream.read()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: {key!r} cannot be read ({error})") from error
    if shape != () or not dtype.hasobject:
        raise InputError(
            f"{path}: {key!r} is an array of {dtype} {shape}, expected one object"
        )
    content = load_pickled(data, f"{path}: {key!r}", max_operations=_MAX_OPERATIONS)
    if not isinstance(content, np.ndarray) or content.shape != ():
        raise InputError(f"{path}: {key!r} does not hold the object that it announces")
    return content.item()


def _npz_member(archive: zipfile.ZipFile, key: str, path: Path) -> zipfile.ZipInfo:
    names = {item.filename.removesuffix(".npy"): item for item in archive.infolist()}
    if key not in names:
        raise InputError(f"{path}: no {key!r} among its arrays {sorted(names)[:12]}")
    if names[key].file_size > _MAX_ARRAY:
        raise InputError(
            f"{path}: {key!r} takes {names[key].file_size} bytes, at most {_MAX_ARRAY} "
            "are read"
        )
    return names[key]


def _kind_name(kind: type | tuple) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        int: "a whole number",
        float: "a number",
    }
    return " or ".join(names[each] for each in kinds)


def finite_number(value: Any, path: Path, place: str) -> float:
    """Returns a finite number of a text or JSON file.

    Raises:
        InputError: If it is something else.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not abs(number) < 1e30:
        raise InputError(f"{path}: {place} is {str(value)[:40]!r}, expected a number")
    return number
