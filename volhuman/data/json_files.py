"""Reading JSON that a user gives, with errors that name the file and the place."""

import json
import math
from pathlib import Path

from volhuman.errors import InputError

_MAXIMUM_BYTES = 64 << 20
_LARGEST = 1e30


def read_json(path: str | Path) -> object:
    """Reads a JSON file.

    Raises:
        InputError: If the file is missing, too large, not UTF-8 or not JSON.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > _MAXIMUM_BYTES:
            raise InputError(
                f"{path}: the file has {size} bytes, at most {_MAXIMUM_BYTES} are "
                "read; give the annotation of one photograph"
            )
        return json.loads(path.read_text(encoding="utf-8"))
    except InputError:
        raise
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise InputError(f"{path}: {reason}; give an annotation in JSON") from error
    # ValueError: broken UTF-8, broken JSON, or an integer of thousands of digits.
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: not JSON ({error}); give an annotation in JSON"
        ) from error


def number(value: object, path: str | Path, place: str) -> float:
    """Returns a finite number.

    Raises:
        InputError: If it is something else; names the file and the place in it.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{path}: {place} is {value!r}, expected a number")
    try:
        value = float(value)
    except OverflowError:  # an integer of hundreds of digits
        value = math.inf
    # Beyond float32 a value would become infinite further on.
    if not abs(value) < _LARGEST:
        raise InputError(
            f"{path}: {place} is {value}, expected a finite number; "
            "leave the point out or set its confidence to 0"
        )
    return value
