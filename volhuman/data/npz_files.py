"""Writing arrays so that a complete file or none is there."""

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from volhuman.errors import InputError


def write_npz(
    path: Path, arrays: Mapping[str, np.ndarray], *, option: str = "output"
) -> None:
    """Writes arrays by name into an `.npz` file, replacing an existing one.

    Args:
        path: The file; its folder exists.
        arrays: The arrays.
        option: Name of the option that chose the folder, for messages.

    Raises:
        InputError: If the file cannot be written.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}; free space on the disk or choose "
            f"another {option}, then run the same command again"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # Renamed already, or never created.
            temporary.unlink()
