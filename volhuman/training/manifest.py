"""The manifest of a checkpoint: it says that the folder is complete and unchanged.

It holds the size and the SHA-256 of every other file of the folder and is written last.
Orbax alone restores a flipped bit without a word and takes an empty folder for the
newest step.
"""

import hashlib
import importlib
import json
import os
from pathlib import Path
from typing import Any

NAME = "manifest.json"
VERSION: str = importlib.import_module("volhuman").__version__
"""Version of this package, stored with what it writes."""


def write_manifest(folder: Path, content: dict[str, Any]) -> None:
    """Writes the manifest of a folder whose files are all there.

    Args:
        folder: The folder.
        content: What else to store; JSON must be able to hold it.

    Raises:
        OSError: If it cannot be written.
    """
    files = {
        str(path.relative_to(folder)): [path.stat().st_size, file_digest(path)]
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    write_text(folder / NAME, json.dumps(_sealed({"content": content, "files": files})))


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns the content of a manifest without looking at the other files.

    Raises:
        ValueError: If it is missing or damaged.
    """
    return _read(folder)["content"]


def check_folder(folder: Path) -> dict[str, Any]:
    """Compares all files with the manifest and returns its content.

    Raises:
        ValueError: If the manifest is missing or damaged, or a file is missing or not
            as it was written; the message is part of a sentence.
    """
    manifest = _read(folder)
    for name, (size, digest) in manifest["files"].items():
        path = folder / name
        try:
            found = path.stat().st_size
            if found != size:
                raise ValueError(f"{name} has {found} bytes, expected {size}")
            if file_digest(path) != digest:
                raise ValueError(f"{name} has changed since it was written")
        except OSError as error:
            raise ValueError(f"{name}: {error.strerror or error}") from error
    return manifest["content"]


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Writes a file so that the old or the new one is there, never a part.

    Raises:
        OSError: If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _sealed(content: dict[str, Any]) -> dict[str, Any]:
    """Adds a digest of the manifest itself."""
    text = json.dumps(content, sort_keys=True)
    return content | {"sha256": hashlib.sha256(text.encode()).hexdigest()}


def _read(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / NAME).read_text(encoding="utf-8"))
        seal = manifest.pop("sha256")
        intact = _sealed(manifest)["sha256"] == seal
    except FileNotFoundError as error:
        raise ValueError("it was not finished") from error
    # Broken UTF-8 or JSON, or JSON of another form.
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{NAME} is damaged") from error
    if not intact:
        raise ValueError(f"{NAME} is damaged")
    return manifest
