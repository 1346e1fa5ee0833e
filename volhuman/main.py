r"""The command line of volhuman.

    python -m volhuman.main --config=experiments/register.py --config.input=PHOTO \
        --config.keypoints=FILE --config.output=DIR
    python -m volhuman.main --config=experiments/people.py --config.mode=build
    python -m volhuman.main --config=experiments/evaluate.py --config.kind=images

    python -m volhuman.main --config=experiments/repose.py
    python -m volhuman.main --config=experiments/depth_gan.py
    python -m volhuman.main --config=experiments/body.py

Exit codes: 0 done, 1 unexpected failure, 2 unusable input (one sentence says which),
3 training diverged, 130 interrupted, 143 terminated after saving.
"""

import inspect
import logging
import os
import sys
from collections.abc import Callable

from volhuman import configuration
from volhuman.data.config import PeopleOptions
from volhuman.deform_and_learn.body_config import BodyConfig
from volhuman.deform_and_learn.config import RegisterConfig
from volhuman.deform_and_learn.depth_config import DepthGanConfig
from volhuman.errors import InputError
from volhuman.evaluation.config import EvaluateConfig
from volhuman.repose.config import ReposeConfig
from volhuman.training.stop import TrainingStopped

_INTERRUPTED = 130


def run(arguments: list[str]) -> int:
    """Runs the task of a configuration; returns the exit code."""
    # JAX reports every accelerator it looks for; only what the task says matters here.
    logging.getLogger("jax").setLevel(logging.ERROR)
    if {"-h", "--help"} & set(arguments[1:]):
        print(_help())
        return 0
    try:
        config = configuration.parse(arguments)
        if config.get("task") not in _TASKS:
            raise InputError(
                f"the configuration's task is {config.get('task')!r}, expected one of "
                f"{', '.join(_TASKS)}"
            )
        options, task = _TASKS[config.task]
        return task(configuration.as_dataclass(config, options))
    except InputError as error:
        print(f"volhuman: {error}", file=sys.stderr)
        return 2
    except TrainingStopped as stop:
        print(f"volhuman: {stop}", file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        print("volhuman: interrupted; finished results are kept", file=sys.stderr)
        return _INTERRUPTED


def _help() -> str:
    options = [
        f"Options of experiments/{name}.py, as --config.NAME=VALUE:\n\n"
        + inspect.getdoc(options)
        for name, (options, _) in _TASKS.items()
    ]
    return "\n\n".join([__doc__, *options])


# The tasks import what they need when they run: help and configuration errors need not
# wait for JAX.


def _register(options: RegisterConfig) -> int:
    from volhuman.deform_and_learn.predict import register_photographs

    return register_photographs(options)


def _people(options: PeopleOptions) -> int:
    from volhuman.data.people_task import run_people

    return run_people(options)


def _evaluate(options: EvaluateConfig) -> int:
    from volhuman.evaluation.task import evaluate_folders

    return evaluate_folders(options)


def _repose(config: ReposeConfig) -> int:
    from volhuman.pipeline import body_of_photograph
    from volhuman.repose.run import run_repose

    return run_repose(config, body_of_photograph)


def _depth_gan(config: DepthGanConfig) -> int:
    from volhuman.deform_and_learn.depth_run import run_depth_gan

    return run_depth_gan(config)


def _body(config: BodyConfig) -> int:
    from volhuman.deform_and_learn.body_run import run_body

    return run_body(config)


_TASKS: dict[str, tuple[type, Callable[..., int]]] = {
    "register": (RegisterConfig, _register),
    "people": (PeopleOptions, _people),
    "evaluate": (EvaluateConfig, _evaluate),
    "repose": (ReposeConfig, _repose),
    "depth_gan": (DepthGanConfig, _depth_gan),
    "body": (BodyConfig, _body),
}


if __name__ == "__main__":
    code = run(sys.argv)
    if code == _INTERRUPTED:
        # A computation may still run, and ending the interpreter under it can crash.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
