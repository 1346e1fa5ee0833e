"""Scalars and pictures for TensorBoard, written at once and without TensorFlow."""

import contextlib
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

_MOST_PICTURES = 16


class TensorBoard:
    """Scalars and pictures for TensorBoard."""

    def __init__(self, folder: Path, *, last_step: int, warn: Callable[[str], None]):
        """Begins a file of events; TensorBoard hides older ones after `last_step`.

        Args:
            folder: Folder of the files of all runs in it.
            last_step: Step that the run continues from.
            warn: Told once when an event cannot be written.
        """
        # tensorboardX imports torch where it is installed, which takes seconds.
        from tensorboardX import event_file_writer, proto, summary

        self._summary, self._proto = summary, proto
        self._open_file = event_file_writer.EventsWriter
        self._folder = folder
        self._file = None
        self._warn = warn
        self._warned = False
        start = proto.event_pb2.SessionLog(status=proto.event_pb2.SessionLog.START)
        self._write(proto.event_pb2.Event(step=last_step + 1, session_log=start))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars."""
        parts = [self._summary.scalar(name, value) for name, value in values.items()]
        self._write_summaries(step, parts)

    def pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Writes one picture a name, made of all of `(B, H, W, 3)` in [0, 1]."""
        parts = [
            self._summary.image(name, picture_grid(batch), dataformats="HWC")
            for name, batch in pictures.items()
        ]
        self._write_summaries(step, parts)

    def close(self) -> None:
        """Closes the file."""
        if self._file:
            with contextlib.suppress(OSError):
                self._file.close()

    def _write_summaries(self, step, parts):
        """Writes one event: every event costs a synchronisation of the disk."""
        values = [value for part in parts for value in part.value]
        summary = self._proto.summary_pb2.Summary(value=values)
        event = self._proto.event_pb2.Event(step=step, summary=summary)
        event.wall_time = time.time()
        self._write(event)

    def _write(self, event):
        # Two runs within a second must not write into one file.
        name = secrets.token_hex(8)
        try:
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = self._open_file(str(self._folder / "events"), f".{name}")
            self._file.write_event(event)
            self._file.flush()
        except OSError as error:
            # What follows a part of an event cannot be read: a new file begins.
            self.close()
            self._file = None
            for path in self._folder.glob(f"*.{name}"):
                path.unlink(missing_ok=True)
            if not self._warned:
                self._warn(f"{self._folder}: {error.strerror or error}")
            self._warned = True


def picture_grid(pictures: np.ndarray) -> np.ndarray:
    """Arranges pictures in a nearly square grid, row by row.

    Args:
        pictures: `(B, H, W, 3)` in [0, 1]; the first 16 are shown.

    Returns:
        `(rows H, columns W, 3)` uint8; empty places are black.
    """
    pictures = np.asarray(pictures, np.float32)[:_MOST_PICTURES]
    count, height, width, channels = pictures.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    pictures = np.nan_to_num(np.clip(pictures, 0, 1) * 255 + 0.5).astype(np.uint8)
    padded = np.pad(pictures, [(0, rows * columns - count), (0, 0), (0, 0), (0, 0)])
    grid = padded.reshape(rows, columns, height, width, channels)
    return grid.swapaxes(1, 2).reshape(rows * height, columns * width, channels)
