"""Metrics of the steps: averaged into rows, and a stop where one is not finite."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from volhuman.training.stop import Diverged, what_is_kept
from volhuman.training.task import Metrics


class MetricWindow:
    """Averages the metrics of consecutive steps into rows.

    It looks at the metrics of a step when those of the next come, so that the host
    does not wait for a computation that has just begun.
    """

    def __init__(
        self,
        log_every: int,
        write: Callable[[int, dict[str, float]], None],
        *,
        last_saved: Callable[[], int],
    ):
        """Makes an empty window.

        Args:
            log_every: A row comes at every multiple of it.
            write: Takes the step and the means of a row.
            last_saved: Gives the step of the newest checkpoint, for the message of a
                training that diverged.
        """
        self._log_every = log_every
        self._write = write
        self._last_saved = last_saved
        self._pending: tuple[int, Metrics] | None = None
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, step: int, metrics: Metrics) -> None:
        """Takes the metrics of a step and looks at those of the one before.

        Raises:
            Diverged: If one of the step before is not finite.
            ValueError: If one is not a scalar, or the names have changed.
        """
        previous, self._pending = self._pending, (step, metrics)
        if previous:
            self._take(*previous)

    def flush(self) -> None:
        """Looks at the metrics of the newest step too, waiting for it.

        Raises:
            Diverged: If one is not finite.
        """
        previous, self._pending = self._pending, None
        if previous:
            self._take(*previous)

    def get_state(self) -> dict[str, Any]:
        """Returns the sums of the row that is not full yet; flush before."""
        return {"sums": dict(self._sums), "count": self._count}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continues the row of a state."""
        self._sums, self._count = dict(state["sums"]), state["count"]

    def _take(self, step: int, metrics: Metrics) -> None:
        values = to_floats(metrics)
        for name, value in values.items():
            if not math.isfinite(value):
                raise diverged(f"{name} is {value} at step", step, self._last_saved())
        if self._count and set(values) != set(self._sums):
            raise ValueError(
                f"step {step} has the metrics {sorted(values)}, the steps before have "
                f"{sorted(self._sums)}"
            )
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        if step % self._log_every == 0:
            means = {name: total / self._count for name, total in self._sums.items()}
            self._sums, self._count = {}, 0
            self._write(step, means)


def diverged(what: str, step: int, last_saved: int) -> Diverged:
    """Makes the exception of a training whose numbers are not finite any more."""
    return Diverged(
        f"{what} {step}, which steps {last_saved + 1} to {step} have led to; "
        f"{what_is_kept(last_saved)}; try a lower learning rate or clip_norm"
    )


def to_floats(metrics: Metrics) -> dict[str, float]:
    """Copies metrics to this host.

    Raises:
        ValueError: If one is not a scalar.
    """
    values = jax.device_get(metrics)
    for name, value in values.items():
        if np.ndim(value):
            raise ValueError(
                f"metric {name} has the shape {np.shape(value)}, expected a scalar"
            )
    return {name: float(value) for name, value in values.items()}


class WeightedMeans:
    """Means of the metrics of batches, weighted by their numbers of examples."""

    def __init__(self):
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, values: Mapping[str, float], count: int) -> None:
        """Adds the means over one batch of `count` examples."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + count * value
        self._count += count

    def merge(self, others: list[list[Any]]) -> None:
        """Replaces the sums by those of several, as `parts` gives them."""
        self._sums, self._count = {}, 0
        for sums, count in others:
            for name, total in sums.items():
                self._sums[name] = self._sums.get(name, 0.0) + total
            self._count += count

    def parts(self) -> list[Any]:
        """Returns sums and number of examples."""
        return [self._sums, self._count]

    def means(self) -> dict[str, float]:
        """Returns the means."""
        return {name: total / self._count for name, total in self._sums.items()}
