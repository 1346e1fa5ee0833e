"""The training loop.

    state <- init, or the newest intact checkpoint
    every step:    state, metrics <- update(state, next batch, key of the step)
    now and then:  a row of metrics, an evaluation, pictures, a checkpoint

The state, the position of the data, and the row of metrics that is not full yet are in
the checkpoint; the key of a step is a function of its number. So a run that was stopped
continues with the very numbers that would have come.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from volhuman.errors import InputError
from volhuman.training import parallel
from volhuman.training.arrays import (
    empty_arrays,
    first_not_finite,
    from_arrays,
    signature,
    to_arrays,
)
from volhuman.training.checkpoint import Checkpoints
from volhuman.training.config import TrainOptions, check_options
from volhuman.training.evaluation import Evaluation
from volhuman.training.logs import Logs
from volhuman.training.metrics import MetricWindow, diverged
from volhuman.training.stop import Terminated, notice_termination, what_is_kept
from volhuman.training.task import Batch, Batches, State, Task
from volhuman.training.workdir import hold_workdir, keep_config


def train(
    task: Task,
    batches: Batches,
    options: TrainOptions,
    *,
    validation: Batches | None = None,
    config: Mapping[str, Any] | None = None,
    changeable: Collection[str] = (),
) -> State:
    """Trains until the last step, continuing where an earlier run stood.

    Args:
        task: What is trained.
        batches: Endless batches of this process; see `parallel.loader_options`.
        options: Options of the loop.
        validation: Batches of the evaluation; every evaluation begins at the position
            that they have now.
        config: All options of the run as JSON can hold them; written to
            `workdir/config.json`. A run that continues must agree with them.
        changeable: Keys of `config` that may differ in a run that continues, beside
            those of `config.CHANGEABLE`.

    Returns:
        The state after the last step.

    Raises:
        InputError: If an option is unusable, another run holds the folder, its
            checkpoints belong to another model or configuration, are all damaged or
            further than the last step, or the batches end early.
        Diverged: If a metric or the state is not finite.
        Terminated: If SIGTERM arrived; the state was saved.
    """
    check_options(options)
    parallel.connect(options)
    with contextlib.ExitStack() as stack:
        if jax.process_index() == 0:
            stack.enter_context(hold_workdir(options.workdir))
        run = _Run(task, batches, options)
        run.check_steps()
        if config is not None and jax.process_index() == 0:
            run.keep_config(config, changeable)
        run.restore()
        if options.evaluate_every or options.image_every:
            run.prepare_evaluation(validation)
        if jax.process_index() == 0:
            run.logs = Logs(options.workdir, step=run.step, steps=options.steps)
            stack.callback(run.logs.close)
        is_terminated = stack.enter_context(_termination())
        while run.step < options.steps:
            run.make_step()
            run.finish_step(stop=is_terminated(run.step))
        return run.state


def load_state(
    task: Task, workdir: str | Path, *, best: str = "", best_is: str = "min"
) -> tuple[int, State]:
    """Loads the state of a training: the newest intact one, or the best.

    Args:
        task: What was trained.
        workdir: Folder of the run.
        best: Metric, as in `TrainOptions.keep_best`; empty for the newest.
        best_is: "min" or "max".

    Returns:
        Number of steps made, and the state.

    Raises:
        InputError: If there is no intact checkpoint or it belongs to another model.
    """
    abstract = jax.eval_shape(task.init, jax.random.key(0))
    checkpoints = Checkpoints(_folder(workdir), keep_best=best, best_is=best_is)
    restore = checkpoints.restore_best if best else checkpoints.restore_newest
    checkpoint = restore(signature(abstract), empty_arrays(abstract))
    if checkpoint is None:
        raise InputError(
            f"{workdir}: there is no checkpoint; give the workdir of a training"
        )
    return checkpoint.step, jax.device_put(from_arrays(checkpoint.arrays, abstract))


def steps_made(workdir: str | Path) -> int:
    """Returns the number of the newest checkpoint in the folder of a run, 0 if none."""
    return max(Checkpoints(_folder(workdir)).steps(), default=0)


@contextlib.contextmanager
def _termination() -> Iterator[Callable[[int], bool]]:
    """Notices SIGTERM; gives a function that says whether to stop after a step."""
    if jax.process_count() > 1:
        # A signal to one process reaches all through JAX's own service, which chooses
        # a step that all of them will come to.
        yield multihost_utils.reached_preemption_sync_point
        return
    with notice_termination() as event:
        yield lambda step: event.is_set()


def _folder(workdir: str | Path) -> Path:
    return Path(workdir) / "checkpoints"


class _Run:
    """A training between two steps.

    Attributes:
        checkpoints: Of this run.
        logs: On the first process, None on others.
        step: Number of steps made.
        state: State after them.
    """

    def __init__(self, task: Task, batches: Batches, options: TrainOptions):
        self._task, self._batches, self._options = task, batches, options
        self._mesh = parallel.make_mesh(options.num_devices)
        if options.batch_size % self._mesh.size:
            raise InputError(
                f"batch_size is {options.batch_size}, expected a multiple of the "
                f"{self._mesh.size} devices"
            )
        json.dumps(batches.get_state())  # fails now rather than at the first save
        words = jax.random.key_data(jax.random.split(jax.random.key(options.seed)))
        self._first_key, self._root = np.asarray(words)
        self._abstract = jax.eval_shape(task.init, jax.random.key(0))
        self._update = self._compile_update()
        self._evaluation: Evaluation | None = None
        # Virtual devices of a CPU deadlock when steps overlap.
        self._wait = jax.default_backend() == "cpu" and self._mesh.size > 1
        self._window = MetricWindow(
            options.log_every, self._write_row, last_saved=lambda: self._saved
        )
        self._saved = 0
        self.checkpoints = Checkpoints(
            _folder(options.workdir),
            keep_last=options.keep_last,
            keep_best=options.keep_best,
            best_is=options.best_is,
        )
        self.logs: Logs | None = None
        self.step = 0
        self.state: State = None

    def _compile_update(self):
        whole, parts = parallel.replicated(self._mesh), parallel.split(self._mesh)

        def update(state, batch, root, number):
            key = jax.random.fold_in(jax.random.wrap_key_data(root), number)
            return self._task.update(state, batch, key)

        return jax.jit(
            update,
            in_shardings=(whole, parts, whole, whole),
            out_shardings=whole,
            donate_argnums=0,
        )

    # -- beginning

    def check_steps(self) -> None:
        """Refuses to end before the newest checkpoint, whose state is further on."""
        made = steps_made(self._options.workdir)
        if made > self._options.steps:
            raise InputError(
                f"{self._options.workdir}: the run in this folder has made {made} "
                f"steps, more than the {self._options.steps} that are asked for; give "
                f"steps={made} or more, or another workdir"
            )

    def keep_config(
        self, config: Mapping[str, Any], changeable: Collection[str]
    ) -> None:
        """Writes the configuration; refuses another one than that of a checkpoint."""
        keep_config(
            self._options.workdir,
            config,
            changeable=changeable,
            continues=bool(self.checkpoints.steps()),
        )

    def restore(self) -> None:
        """Makes the first state, or takes the newest intact checkpoint."""
        expected, arrays = signature(self._abstract), empty_arrays(self._abstract)
        record = None
        if jax.process_index() == 0:
            checkpoint = self.checkpoints.restore_newest(expected, arrays)
            if checkpoint is not None:
                arrays = checkpoint.arrays
                record = {"step": checkpoint.step} | checkpoint.content
        record = parallel.gather_json(record)[0]
        whole = parallel.replicated(self._mesh)
        if record is None:
            init = lambda words: self._task.init(jax.random.wrap_key_data(words))
            self.state = jax.jit(init, out_shardings=whole)(self._first_key)
            return
        arrays = parallel.broadcast_arrays(arrays)
        place = lambda arrays: from_arrays(arrays, self._abstract)
        self.state = jax.jit(place, out_shardings=whole)(arrays)
        self._continue(record)

    def _continue(self, record: dict[str, Any]) -> None:
        self.step = self._saved = record["step"]
        self._root = np.array(record["root"], self._root.dtype)
        self._window.set_state(record["window"])
        positions = record["data"]
        if len(positions) != jax.process_count():
            raise InputError(
                f"{self._options.workdir}: the run was trained by {len(positions)} "
                f"processes, not {jax.process_count()}; continue with as many"
            )
        self._batches.set_state(positions[jax.process_index()])
        if jax.process_index() == 0:
            text = f"volhuman: continuing after step {self.step}"
            print(f"{text} of {self._options.steps}", file=sys.stderr)

    def prepare_evaluation(self, validation: Batches | None) -> None:
        """Prepares the evaluation that the options ask for."""
        if validation is None or self._task.evaluate is None:
            raise InputError(
                "evaluate_every or image_every is set, but there are no validation "
                "data or nothing is evaluated in this task; set both to 0"
            )
        self._evaluation = Evaluation(
            self._task,
            validation,
            self._options,
            abstract=self._abstract,
            root=self._root,
        )

    # -- steps

    def make_step(self) -> None:
        """Updates the state with the next batch."""
        batch = parallel.place_batch(self._next_batch(), self._mesh)
        # Functions that map example by example ask for the mesh (nn.parallel).
        with jax.set_mesh(self._mesh):
            self.state, metrics = self._update(
                self.state, batch, self._root, np.uint32(self.step)
            )
        if self._wait:
            jax.block_until_ready(metrics)
        if self.step == self._saved:
            self._check_form()
        self.step += 1
        self._window.add(self.step, metrics)
        if self.logs:
            self.logs.advance(self.step)

    def _next_batch(self) -> Batch:
        try:
            batch = next(self._batches)
        except StopIteration as error:
            raise InputError(
                f"the training data ended after step {self.step} of "
                f"{self._options.steps}; read them without num_epochs"
            ) from error
        count = parallel.num_examples(batch)
        expected = self._options.batch_size // jax.process_count()
        if count != expected:
            raise InputError(
                f"a training batch of this process has {count} examples, expected "
                f"{expected}; read the data with parallel.loader_options"
            )
        return batch

    def _check_form(self) -> None:
        """An update that changes the form of the state could not be continued."""
        before, after = signature(self._abstract), signature(self.state)
        if before != after:
            changed = dict(before.items() ^ after.items())
            raise ValueError(
                f"the update changes the form of the state: {sorted(changed)}"
            )

    def _write_row(self, step: int, means: dict[str, float]) -> None:
        if self.logs:
            self.logs.row("training", step, means)

    def finish_step(self, *, stop: bool) -> None:
        """Evaluates and saves where it is time to.

        Raises:
            Terminated: If `stop` and there would be more steps.
        """
        options, last = self._options, self.step == self._options.steps
        metrics = {} if stop else self._evaluate()
        if stop or last or self.step % options.save_every == 0:
            self._save(metrics)
        if last and jax.process_index() == 0 and self._saved != self.step:
            raise InputError(
                f"{options.workdir}: the last step could not be saved; "
                f"{what_is_kept(self._saved)}; make room and run the same command again"
            )
        if stop and not last:
            raise Terminated(
                f"stopped by SIGTERM after step {self.step}; "
                f"{what_is_kept(self._saved)}; run the same command again to continue"
            )

    def _evaluate(self) -> dict[str, float]:
        """Measures and draws, as far as it is time to; returns what was measured."""
        measure, draw = (
            every and self.step % every == 0
            for every in (self._options.evaluate_every, self._options.image_every)
        )
        metrics, pictures = {}, {}
        if measure or draw:
            self._window.flush()  # a training that diverged is not worth measuring
        if measure:
            metrics, pictures = self._evaluation.measure(self.state)
        elif draw:
            pictures = self._evaluation.draw(self.state)
        if self.logs and metrics:
            self.logs.row("validation", self.step, metrics)
        if self.logs and draw:
            self.logs.pictures(self.step, pictures)
        return metrics

    def _save(self, metrics: dict[str, float]) -> None:
        self._window.flush()
        arrays = to_arrays(self.state)
        name = first_not_finite(arrays)
        if name:
            raise diverged(
                f"{name} of the state is not finite after step", self.step, self._saved
            )
        content = {
            "root": self._root.tolist(),
            "window": self._window.get_state(),
            "data": parallel.gather_json(self._batches.get_state()),
        }
        if jax.process_index() == 0 and self.checkpoints.save(
            self.step,
            arrays,
            signature=signature(self._abstract),
            metrics=metrics,
            content=content,
        ):
            self._saved = self.step
