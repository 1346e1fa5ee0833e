"""Evaluation during a training: means over batches, and pictures of the first one.

Every process evaluates its own batches on its own devices and only the sums meet, so
processes may have different numbers of batches, and the last batch any size.
"""

from collections.abc import Iterator

import jax
import numpy as np

from volhuman.errors import InputError
from volhuman.training.config import TrainOptions
from volhuman.training.metrics import WeightedMeans, to_floats
from volhuman.training.parallel import (
    gather_json,
    make_mesh,
    num_examples,
    place_batch,
    replicated,
    to_local,
)
from volhuman.training.task import Batch, Batches, State, Task

Pictures = dict[str, np.ndarray]


class Evaluation:
    """Evaluates states on the same batches every time."""

    def __init__(
        self,
        task: Task,
        batches: Batches,
        options: TrainOptions,
        *,
        abstract: State,
        root: np.ndarray,
    ):
        """Prepares an evaluation; nothing is computed.

        Args:
            task: With an `evaluate`.
            batches: Every evaluation begins at their position of now.
            options: Options of the training.
            abstract: Shapes and types of the state.
            root: Words of the key of the run.

        Raises:
            InputError: If there is no batch, or no metric of the name
                `options.keep_best`.
        """
        self._batches = batches
        self._start = batches.get_state()
        self._most = options.evaluate_batches
        self._mesh = make_mesh(options.num_devices, local=True)
        # Keys of batches, not of steps: states are compared on the same random numbers.
        words = np.asarray(
            jax.random.key_data(
                jax.random.fold_in(jax.random.wrap_key_data(root), 2**32 - 1)
            )
        )

        def evaluate(state, batch, number):
            key = jax.random.fold_in(jax.random.wrap_key_data(words), number)
            return task.evaluate(state, batch, key)

        self._evaluate = jax.jit(evaluate, out_shardings=replicated(self._mesh))
        self._check_metric(options.keep_best, abstract)

    def _check_metric(self, name: str, abstract: State) -> None:
        batch = next(self._take(1), None)
        if batch is None:
            raise InputError(
                "the validation data have no batch; give more data or a smaller "
                "batch_size"
            )
        metrics, _ = self._evaluate.eval_shape(abstract, batch, np.uint32(0))
        if name and name not in metrics:
            raise InputError(
                f"keep_best is {name!r}, expected one of {', '.join(metrics)} (what "
                "the evaluation measures)"
            )

    def measure(self, state: State) -> tuple[dict[str, float], Pictures]:
        """Returns means over all batches and the pictures of the first one."""
        return self._run(state, self._most)

    def draw(self, state: State) -> Pictures:
        """Returns the pictures of the first batch."""
        return self._run(state, 1)[1]

    def _run(self, state, most):
        state = to_local(state, self._mesh)
        means, pictures = WeightedMeans(), {}
        for number, batch in enumerate(self._take(most)):
            metrics, drawn = self._evaluate(
                state, place_batch(batch, self._mesh), np.uint32(number)
            )
            means.add(to_floats(metrics), num_examples(batch))
            if number == 0:
                pictures = jax.tree.map(np.asarray, jax.device_get(drawn))
        means.merge(gather_json(means.parts()))
        return means.means(), pictures

    def _take(self, most: int) -> Iterator[Batch]:
        """The first batches; all for 0."""
        self._batches.set_state(self._start)
        number = 0
        while not most or number < most:
            try:
                yield next(self._batches)
            except StopIteration:
                return
            number += 1
