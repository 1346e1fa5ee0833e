"""Options of the training loop."""

import dataclasses

from volhuman.errors import InputError

CHANGEABLE = frozenset(
    (
        "workdir",
        "steps",
        "save_every",
        "keep_last",
        "keep_best",
        "best_is",
        "evaluate_every",
        "evaluate_batches",
        "log_every",
        "image_every",
        "num_devices",
        "coordinator",
        "process_id",
    )
)
"""Options that may differ in a run that continues another."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How long a training runs, and what it writes when.

    Attributes:
        workdir: Folder of this run: checkpoints, metrics, configuration. A run that is
            started again with the same folder continues.
        steps: Number of the last step.
        batch_size: Examples of one step, over all devices and hosts.
        seed: Seed of the initial state, of the keys of the steps and of the data,
            below 2**32.
        accumulate: Steps whose gradients are averaged into one update of the
            parameters. The loop does not read it: the task gives it to
            `optimizer.adam`.
        save_every: Steps between checkpoints. The last step is always saved.
        keep_last: Number of newest checkpoints to keep.
        keep_best: Metric of the evaluation whose best checkpoint is kept as well; empty
            for none. Needs `save_every` to be a multiple of `evaluate_every`.
        best_is: Whether the "min" or the "max" of that metric is best.
        evaluate_every: Steps between evaluations, 0 for none.
        evaluate_batches: Batches of an evaluation, 0 for as many as there are.
        log_every: Steps over which metrics are averaged into one row.
        image_every: Steps between pictures of the evaluation's first batch, 0 for none.
        num_devices: Devices of every host to use, 0 for all.
        coordinator: Address host:port of the first process when several train together;
            empty for one process.
        num_processes: Number of processes; read with `coordinator` only.
        process_id: Number of this process, from 0; read with `coordinator` only.
    """

    workdir: str
    steps: int
    batch_size: int
    seed: int = 0
    accumulate: int = 1
    save_every: int = 1000
    keep_last: int = 2
    keep_best: str = ""
    best_is: str = "min"
    evaluate_every: int = 0
    evaluate_batches: int = 0
    log_every: int = 100
    image_every: int = 0
    num_devices: int = 0
    coordinator: str = ""
    num_processes: int = 1
    process_id: int = 0


_LEAST = {
    "steps": 1,
    "batch_size": 1,
    "seed": 0,
    "accumulate": 1,
    "save_every": 1,
    "keep_last": 1,
    "evaluate_every": 0,
    "evaluate_batches": 0,
    "log_every": 1,
    "image_every": 0,
    "num_devices": 0,
    "num_processes": 1,
    "process_id": 0,
}


def check_options(options: TrainOptions) -> None:
    """Refuses options that no training can use.

    Raises:
        InputError: Naming the option, its value and what is expected.
    """
    if not options.workdir:
        raise InputError("workdir is empty; give a folder for the run")
    for name, least in _LEAST.items():
        value = getattr(options, name)
        if value < least:
            raise InputError(f"{name} is {value}, expected at least {least}")
    if options.seed >= 2**32:
        raise InputError(f"seed is {options.seed}, expected 0 to {2**32 - 1}")
    if options.best_is not in ("min", "max"):
        raise InputError(f"best_is is {options.best_is!r}, expected min or max")
    every = options.evaluate_every
    if options.keep_best and (not every or options.save_every % every):
        raise InputError(
            f"keep_best is {options.keep_best!r}, but checkpoints (every "
            f"{options.save_every} steps) are not evaluated (evaluate_every is "
            f"{every}); make save_every a multiple of evaluate_every"
        )
    if options.coordinator and options.process_id >= options.num_processes:
        raise InputError(
            f"process_id is {options.process_id}, expected 0 to "
            f"{options.num_processes - 1} (num_processes is {options.num_processes})"
        )
