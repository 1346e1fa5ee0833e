"""HDF5 files, whose reader is an optional part of this package."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from volhuman.data.sets.files import need_file
from volhuman.errors import InputError


@contextlib.contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """Opens an HDF5 file for reading.

    Raises:
        InputError: If h5py is not installed, or the file is missing or damaged.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            f"{path} needs h5py; run pip install 'volhuman[datasets]'"
        ) from error
    try:
        with h5py.File(need_file(path, "unpack the archive again"), "r") as file:
            yield file
    except InputError:
        raise
    # What the caller does with the file must not be taken for damage: no other errors.
    except (OSError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path} cannot be read ({reason}); copy it again") from error


def hdf5_array(file: Any, key: str, path: Path) -> Any:
    """Returns an array of an open HDF5 file, unread.

    Raises:
        InputError: If it is missing.
    """
    if key not in file:
        raise InputError(f"{path}: no {key!r} among its arrays {sorted(file)[:12]}")
    return file[key]
