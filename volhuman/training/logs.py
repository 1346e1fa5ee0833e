"""What a training shows and writes beside its checkpoints.

A disk that is full does not end a training: each kind of file says so once, and what
could not be written is left out.
"""

import collections
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from volhuman.training.tables import CsvTable
from volhuman.training.tensorboard import TensorBoard


class Progress:
    """A bar on a terminal; elsewhere one line a row of metrics."""

    def __init__(self, step: int, steps: int):
        """Begins at a step."""
        self._bar = tqdm(
            total=steps, initial=step, unit="step", disable=None, file=sys.stderr
        )
        self._steps = steps
        self._last: tuple[int, float] | None = None
        # When the last two steps were made: rows come one step late, or at once.
        self._made: collections.deque[tuple[int, float]] = collections.deque(maxlen=2)

    def advance(self, step: int) -> None:
        """Says that a step is made; the first one, which compiles, is not timed."""
        self._bar.update()
        self._made.append((step, time.monotonic()))
        if self._last is None:
            self._last = self._made[-1]

    def show(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Shows a row of metrics, and the steps a second since the last one."""
        text = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        if kind != "training":
            self._bar.write(f"step {step}: {kind} {text}", file=sys.stderr)
            return
        if not self._bar.disable:
            self._bar.set_postfix_str(text)
            return
        made, speed = dict(self._made).get(step), ""
        if made is not None and step > self._last[0]:
            rate = (step - self._last[0]) / max(made - self._last[1], 1e-9)
            speed = f" ({rate:.3g} steps/s)"
            self._last = step, made
        print(f"step {step}/{self._steps}: {text}{speed}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Ends the bar."""
        self._bar.close()


class Logs:
    """Tables, TensorBoard and progress of a run, for its first process alone."""

    def __init__(self, workdir: str | Path, *, step: int, steps: int):
        """Continues the files of a folder from a step.

        Raises:
            InputError: If a file cannot be read or written.
        """
        workdir = Path(workdir)
        self._tables = {
            kind: CsvTable(workdir / f"{kind}.csv", last_step=step, warn=self._warn)
            for kind in ("training", "validation")
        }
        self._board = TensorBoard(
            workdir / "tensorboard", last_step=step, warn=self._warn
        )
        self._progress = Progress(step, steps)

    def _warn(self, text: str) -> None:
        tqdm.write(f"volhuman: {text}; training goes on without it", file=sys.stderr)

    def advance(self, step: int) -> None:
        """Says that a step is made."""
        self._progress.advance(step)

    def row(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Writes and shows a row of metrics.

        Args:
            kind: "training" or "validation".
            step: Step of the row.
            values: Metrics by name.
        """
        self._tables[kind].write(step, values)
        self._board.scalars(step, {f"{kind}/{k}": v for k, v in values.items()})
        self._progress.show(step, kind, values)

    def pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Writes pictures `(B, H, W, 3)` in [0, 1] by name."""
        self._board.pictures(step, pictures)

    def close(self) -> None:
        """Closes the files and ends the bar."""
        self._board.close()
        self._progress.close()
