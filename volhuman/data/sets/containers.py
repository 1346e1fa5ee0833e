"""HDF5 files and videos, whose readers are optional parts of this package."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

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


def read_video(path: Path, step: int) -> Iterator[tuple[int, np.ndarray]]:
    """Reads every `step`-th frame of a video: its number and uint8 `(H, W, 3)`.

    Raises:
        InputError: If imageio is not installed, or the video is damaged.
    """
    try:
        import imageio.v3

        frames = imageio.v3.imiter(path, plugin="FFMPEG")
        for number, frame in enumerate(frames):
            if number % step == 0:
                yield number, frame
    except ImportError as error:  # Of imageio, or by it of its decoder.
        raise InputError(
            f"{path} needs imageio; run pip install 'volhuman[video]'"
        ) from error
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path} cannot be decoded ({reason}); copy the video again"
        ) from error


def hdf5_array(file: Any, key: str, path: Path) -> Any:
    """Returns an array of an open HDF5 file, unread.

    Raises:
        InputError: If it is missing.
    """
    if key not in file:
        raise InputError(f"{path}: no {key!r} among its arrays {sorted(file)[:12]}")
    return file[key]
