"""Results on disk: complete or absent, and never in place of anything else."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from volhuman.errors import InputError


def check_replaceable(
    folder: Path, results: Collection[str], *, overwrite: bool
) -> None:
    """Checks that writing a folder destroys nothing but what may be replaced.

    Args:
        folder: Folder of one result.
        results: Names of the files that a result consists of.
        overwrite: Whether an earlier result may be replaced.

    Raises:
        InputError: If it exists and nothing may be replaced, is no folder or a link,
            holds a file that is no result, or lies where nothing can be written.
    """
    above = next(place for place in folder.absolute().parents if place.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError(
            f"{above}: not a folder that can be written; choose another --config.output"
        )
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder}: not a folder; choose another --config.output")
    if folder.exists() and not overwrite:
        raise InputError(
            f"{folder}: results exist already; add --config.overwrite=True or choose "
            "another --config.output"
        )
    foreign = sorted({p.name for p in folder.glob("*")} - set(results))
    if foreign:
        raise InputError(
            f"{folder}: holds {foreign[0]!r}, which is no result and would be lost; "
            "choose another --config.output"
        )


def replace_file(path: Path, content: bytes) -> None:
    """Writes a file so that the old or the new one is there, never a part.

    Raises:
        InputError: If it cannot be written.
    """
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}; make room or choose another folder, "
            "then run the same command again"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # Renamed already, or never created.
            part.unlink()


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Gives an empty folder that replaces another at the end, or vanishes on failure.

    Raises:
        InputError: If the file system refuses.
    """
    part = folder.with_name(f".{folder.name}.part")
    old = folder.with_name(f".{folder.name}.old")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        yield part
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            os.replace(folder, old)
        os.replace(part, folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"{folder}: {error.strerror or error}; nothing of it was written, choose "
            "another --config.output"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
