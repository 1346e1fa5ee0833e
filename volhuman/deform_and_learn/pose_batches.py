"""Batches of 2D poses for the depth GAN: of a file, or of people seen anew each time.

A pose is 34 numbers, and a step of the GAN takes a few milliseconds, so batches are
drawn whole: a loader of single records would take longer than the step.
"""

from typing import Any

import numpy as np

from volhuman.data.loader import Loader, make_loader
from volhuman.deform_and_learn.poses_2d import view_joints
from volhuman.errors import InputError


class PoseBatches:
    """Endless batches {"poses": (B, 17, 2)}; each is a function of its number.

    Poses `(N, 17, 2)` are drawn as they are; joints `(N, 17, 3)` in body axes are seen
    by new cameras every time.
    """

    def __init__(
        self,
        people: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        shard: tuple[int, int] = (0, 1),
    ):
        """Begins with the first batch.

        Args:
            people: 2D poses `(N, 17, 2)`, or joints `(N, 17, 3)`.
            batch_size: Poses in a batch of this process.
            seed: Seed of what is drawn.
            shard: (index, count) of this process; processes draw different poses.
        """
        self._people = people
        self._batch_size = batch_size
        self._settings = {"num_people": len(people), "seed": seed}
        self._stream = (seed, *shard)
        self._number = 0

    def __next__(self) -> dict[str, np.ndarray]:
        generator = np.random.default_rng([*self._stream, self._number])
        self._number += 1
        chosen = generator.integers(0, len(self._people), self._batch_size)
        people = self._people[chosen]
        if people.shape[-1] == 3:
            people = view_joints(generator, people)[..., :2]
        return {"poses": people}

    def get_state(self) -> dict[str, Any]:
        """Returns the position: the number of the next batch."""
        return {**self._settings, "next": self._number}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues at a position.

        Raises:
            InputError: If the state belongs to other poses.
        """
        for name, value in self._settings.items():
            if state.get(name) != value:
                raise InputError(
                    f"the saved position has {name} {state.get(name)}, but the poses "
                    f"have {value}; continue with the same poses and options"
                )
        self._number = state["next"]


def read_in_order(joints: np.ndarray, batch_size: int) -> Loader:
    """Reads people as cameras see them once, in order.

    Args:
        joints: `(N, 17, 3)`, metres.
        batch_size: People in a batch.
    """
    return make_loader(
        [{"joints": person} for person in joints],
        batch_size=batch_size,
        seed=0,
        num_epochs=1,
        shuffle=False,
    )
