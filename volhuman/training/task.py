"""The contract between a system and the training loop: three pure functions."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import jax

State = Any
"""A pytree of arrays: parameters, optimiser states, averages, anything a step needs.

Every floating number in it is finite as long as training is sound: the loop refuses to
save a state that holds another.
"""

Batch = Any
"""A pytree of numeric arrays whose leading axis is the batch."""

Metrics = dict[str, jax.Array]
"""Scalars by name; means over the batch, so that a mean over batches has a meaning."""


class Batches(Protocol):
    """Batches for this process, and a position that can be saved.

    `volhuman.data.loader.Loader` is one.
    """

    def __next__(self) -> Batch:
        """Returns the next batch."""

    def get_state(self) -> dict[str, Any]:
        """Returns the position as a dict that JSON can hold."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues at a position."""


@dataclasses.dataclass(frozen=True)
class Task:
    """What is trained and how. The loop knows nothing else of a system.

    All three functions are compiled by the loop. They see the whole batch of all
    devices and hosts: a mean over the leading axis is the mean over everything.

    Attributes:
        init: `init(key)` makes the state. It is traced: large arrays that it needs
            beside the key belong into its result, not into its code.
        update: `update(state, batch, key)` makes one step and returns the new state and
            the step's metrics, under the same names every time. The key is another one
            every step. One that also takes the option `axis_name=None` and hands it to
            `parallel.average` can run under `jax.pmap` as well (`parallel.as_pmap`).
        evaluate: `evaluate(state, batch, key)` returns metrics, each a mean over the
            batch, and pictures `(B, H, W, 3)` in [0, 1] by name. The batches may have
            two sizes: the last one can be smaller. None for no evaluation.
    """

    init: Callable[[jax.Array], State]
    update: Callable[[State, Batch, jax.Array], tuple[State, Metrics]]
    evaluate: (
        Callable[[State, Batch, jax.Array], tuple[Metrics, dict[str, jax.Array]]] | None
    ) = None
