"""Checkpoints that survive kills, full disks and damaged files.

A step lies in a folder of its number: the arrays as Orbax writes them in `state/`, and
a manifest. A folder without a valid manifest is not a checkpoint.
"""

import dataclasses
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from volhuman.errors import InputError
from volhuman.training import manifest
from volhuman.training.arrays import check_same


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a step left behind.

    Attributes:
        step: Number of steps made.
        arrays: The state, as `arrays.to_arrays` gives it.
        content: What else was saved, as JSON holds it.
    """

    step: int
    arrays: dict[str, np.ndarray]
    content: dict[str, Any]


def _warn(text: str) -> None:
    print(f"volhuman: {text}", file=sys.stderr)


class Checkpoints:
    """The checkpoints of one run, for one process at a time.

    Attributes:
        folder: Folder of all steps.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        keep_last: int = 2,
        keep_best: str = "",
        best_is: str = "min",
        warn: Callable[[str], None] = _warn,
    ):
        """Opens a folder, which need not exist.

        Args:
            folder: Folder of all steps.
            keep_last: Number of newest steps that stay.
            keep_best: Metric whose best step stays as well; empty for none.
            best_is: "min" or "max".
            warn: Takes one sentence for the user.
        """
        self.folder = Path(folder).absolute()  # Orbax takes no other
        self._keep_last = keep_last
        self._keep_best = keep_best
        self._sign = {"min": 1, "max": -1}[best_is]
        self._warn = warn
        self._refused: set[int] = set()

    def steps(self) -> list[int]:
        """Returns the numbers of the complete steps, ascending."""
        complete = (s for s, path in self._folders() if (path / manifest.NAME).exists())
        return sorted(complete)

    def save(
        self,
        step: int,
        arrays: Mapping[str, np.ndarray],
        *,
        signature: Mapping[str, str],
        metrics: Mapping[str, float],
        content: Mapping[str, Any],
    ) -> bool:
        """Saves a step and removes those that need not be kept.

        A failure to write is reported to `warn` and leaves all earlier steps as they
        are: a training need not end because a disk is full for a while.

        Args:
            step: Number of steps made.
            arrays: The state.
            signature: Its types and shapes, as `arrays.signature` gives them.
            metrics: Of the evaluation of this very step; may be empty.
            content: What else to save; JSON must be able to hold it.

        Returns:
            Whether the step is saved.
        """
        try:
            self._remove_leftovers()
            self._remove(step)
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._manager() as manager:
                # Orbax refuses arrays without elements; their shape says it all.
                filled = {name: x for name, x in arrays.items() if x.size}
                save = ocp.args.Composite(state=ocp.args.StandardSave(filled))
                manager.save(step, args=save, force=True)
            record = {"version": manifest.VERSION, "signature": dict(signature)}
            record |= {"metrics": dict(metrics), "content": dict(content)}
            manifest.write_manifest(self.folder / str(step), record)
        # Orbax and TensorStore wrap failures of the disk in errors of many kinds.
        except Exception as error:
            self._warn(self._failure(step, error))
            self._remove_leftovers()
            return False
        for refused in self._refused - {step}:
            self._remove(refused)
        self._refused.clear()
        self._prune()
        return True

    def restore_newest(
        self, signature: Mapping[str, str], empty: Mapping[str, np.ndarray]
    ) -> Checkpoint | None:
        """Restores the newest intact step.

        Args:
            signature: Types and shapes of the model's state.
            empty: Arrays of the state's names, shapes and types.

        Returns:
            The step; None if none was ever completed.

        Raises:
            InputError: If the newest intact step belongs to another model, or all are
                damaged.
        """
        for step, _ in sorted(self._folders(), reverse=True):
            checkpoint = self._restore(step, signature, empty)
            if checkpoint is not None:
                return checkpoint
        if self.steps():
            raise InputError(
                f"{self.folder}: all checkpoints are damaged; restore them from a "
                "copy, or delete the folder to train from the beginning"
            )
        return None

    def restore_best(
        self, signature: Mapping[str, str], empty: Mapping[str, np.ndarray]
    ) -> Checkpoint:
        """Restores the step with the best metric.

        Args:
            signature: As in `restore_newest`.
            empty: As in `restore_newest`.

        Raises:
            InputError: If no step has the metric, or the best one is damaged or belongs
                to another model.
        """
        for _, folder in self._folders():
            try:
                manifest.read_manifest(folder)
            except ValueError as error:
                self._warn(f"{folder}: the checkpoint is refused: {error}")
        step = self._best_step()
        if step is None:
            raise InputError(
                f"{self.folder}: no checkpoint has the metric {self._keep_best!r}; "
                "train with evaluate_every and keep_best, or take the newest"
            )
        checkpoint = self._restore(step, signature, empty)
        if checkpoint is None:
            raise InputError(
                f"{self.folder / str(step)}: the best checkpoint is damaged; restore "
                "it from a copy, or take the newest"
            )
        return checkpoint

    def _restore(self, step, signature, empty) -> Checkpoint | None:
        """Restores a step; None, with a warning, if it is damaged."""
        folder = self.folder / str(step)
        try:
            record = manifest.check_folder(folder)
        except ValueError as error:
            self._refused.add(step)
            self._warn(f"{folder}: the checkpoint is refused: {error}")
            return None
        written = f"{folder}, written by version {record['version']},"
        check_same(written, record["signature"], signature)
        filled = {name: array for name, array in empty.items() if array.size}
        try:
            with self._manager() as manager:
                restore = ocp.args.Composite(state=ocp.args.StandardRestore(filled))
                arrays = dict(manager.restore(step, args=restore)["state"])
        # The files are as they were written; Orbax raises what it likes.
        except Exception as error:
            raise InputError(
                f"{written} is intact but cannot be read ({_first_line(error)}); use "
                "the version of orbax-checkpoint that wrote it"
            ) from error
        arrays |= {name: array for name, array in empty.items() if not array.size}
        return Checkpoint(step, arrays, record["content"])

    def _manager(self) -> ocp.CheckpointManager:
        """Opens Orbax's manager; a new one each time sees what is on the disk now.

        Its own choices (intervals, deletion, best step) are not used. Saving blocks:
        the manifest must not come before the files.
        """
        options = ocp.CheckpointManagerOptions(
            create=False,
            enable_async_checkpointing=False,
            lightweight_initialize=True,
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                primary_host=jax.process_index(),
                active_processes={jax.process_index()},
                barrier_sync_key_prefix="volhuman",
            ),
        )
        return ocp.CheckpointManager(self.folder, options=options)

    def _failure(self, step: int, error: Exception) -> str:
        steps = self.steps()
        last = f"the last one is of step {steps[-1]}" if steps else "there is none yet"
        return (
            f"{self.folder}: the checkpoint of step {step} could not be written "
            f"({_first_line(error)}); training goes on, {last}"
        )

    def _folders(self) -> Iterator[tuple[int, Path]]:
        """Folders of steps, complete or not, in any order."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if path.name.isdecimal() and path.is_dir():
                    yield int(path.name), path

    def _remove_leftovers(self) -> None:
        """Removes what killed or failed saves left."""
        for _, path in list(self._folders()):
            if not (path / manifest.NAME).exists():
                shutil.rmtree(path, ignore_errors=True)
        for path in self.folder.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(path, ignore_errors=True)

    def _remove(self, step: int) -> None:
        folder = self.folder / str(step)
        # First, so that a kill leaves an unfinished folder and not a damaged one.
        (folder / manifest.NAME).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def _prune(self) -> None:
        steps = self.steps()
        kept = {*steps[-self._keep_last :], self._best_step()}
        for step in steps:
            if step not in kept:
                self._remove(step)

    def _best_step(self) -> int | None:
        """The best step by its stored metric, the earlier of equal ones."""
        best, least = None, math.inf
        for step, folder in sorted(self._folders()):
            try:
                metrics = manifest.read_manifest(folder)["metrics"]
            except ValueError:  # unfinished or damaged
                continue
            value = self._sign * metrics.get(self._keep_best, math.nan)
            if value < least:
                best, least = step, value
        return best


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
