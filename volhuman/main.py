r"""The command line of volhuman.

    python -m volhuman.main --config=experiments/register.py --config.input=PHOTO \
        --config.keypoints=FILE --config.output=DIR

Exit codes: 0 done, 1 unexpected failure, 2 unusable input (one sentence says which),
130 interrupted.
"""

import inspect
import logging
import sys

from volhuman import configuration
from volhuman.deform_and_learn.config import RegisterConfig
from volhuman.errors import InputError

_REGISTER = "experiments/register.py"


def run(arguments: list[str]) -> int:
    """Runs the task of a configuration; returns the exit code."""
    # JAX reports every accelerator it looks for; only what the task says matters here.
    logging.getLogger("jax").setLevel(logging.ERROR)
    if {"-h", "--help"} & set(arguments[1:]):
        print(f"{__doc__}\nOptions of {_REGISTER}, as --config.NAME=VALUE:\n")
        print(inspect.getdoc(RegisterConfig))
        return 0
    try:
        config = configuration.parse(arguments)
        tasks = {"register": _register}
        if config.get("task") not in tasks:
            raise InputError(
                f"the configuration's task is {config.get('task')!r}, expected one of "
                f"{', '.join(tasks)}"
            )
        return tasks[config.task](config)
    except InputError as error:
        print(f"volhuman: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("volhuman: interrupted; finished results are kept", file=sys.stderr)
        return 130


def _register(config) -> int:
    # Imported here: help and configuration errors need not wait for JAX.
    from volhuman.deform_and_learn.predict import register_photographs

    return register_photographs(configuration.as_dataclass(config, RegisterConfig))


if __name__ == "__main__":
    sys.exit(run(sys.argv))
