"""Tables of metrics in CSV that continue without double rows."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from volhuman.errors import InputError
from volhuman.training.manifest import write_text


class CsvTable:
    """A table of metrics, one row a step, that continues without double rows."""

    def __init__(self, path: Path, *, last_step: int, warn: Callable[[str], None]):
        """Opens a table and removes rows after a step, and a row without an end.

        Args:
            path: File; made with the first row.
            last_step: Step that the run continues from.
            warn: Told once when a row cannot be written.

        Raises:
            InputError: If the file is not such a table or cannot be written.
        """
        self._path = path
        self._columns: list[str] = []
        self._warn = warn
        self._warned = False
        try:
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            lines = text[: text.rfind("\n") + 1].splitlines() or ["step,"]
            if not lines[0].startswith("step,"):
                raise ValueError("another first column")
            kept = [line for line in lines[1:] if int(line.split(",")[0]) <= last_step]
            if kept:
                self._columns = lines[0].split(",")[1:]
                write_text(path, "\n".join([lines[0], *kept, ""]))
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"{path}: {error.strerror or error}; choose a workdir that can be "
                "written"
            ) from error
        except ValueError as error:
            raise InputError(
                f"{path}: not a table of metrics; move it out of the folder"
            ) from error

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends a row: complete, or not at all if the disk is full.

        Raises:
            InputError: If the metrics are not those of the table.
        """
        names = sorted(values)
        text = ",".join([str(step), *(f"{values[name]:.9g}" for name in names)]) + "\n"
        if not self._columns:
            text = ",".join(["step", *names]) + "\n" + text
        elif names != self._columns:
            raise InputError(
                f"{self._path}: its columns are {', '.join(self._columns)} but the "
                f"metrics are {', '.join(names)}; move the file out of the folder"
            )
        try:
            _append(self._path, text.encode())
            self._columns = names
        except OSError as error:
            if not self._warned:
                self._warn(f"{self._path}: {error.strerror or error}")
            self._warned = True


def _append(path: Path, data: bytes) -> None:
    """Appends bytes; takes a part back if not all of them could be written."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(file).st_size
        try:
            while data:
                data = data[os.write(file, data) :]
        except OSError:
            os.ftruncate(file, size)
            raise
    finally:
        os.close(file)
