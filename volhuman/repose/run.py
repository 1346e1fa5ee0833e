"""The command that trains, measures, describes and uses the reposing network."""

from volhuman.errors import InputError
from volhuman.repose.config import ReposeConfig, check_numbers
from volhuman.repose.describe import describe_networks
from volhuman.repose.evaluate import evaluate_network
from volhuman.repose.joint_files import EstimateBody
from volhuman.repose.predict import repose_photographs
from volhuman.repose.train import export_network, train_network

MODES = ("train", "export", "describe", "evaluate", "predict")


def run_repose(config: ReposeConfig, estimate: EstimateBody | None = None) -> int:
    """Runs the command; returns the exit code.

    Args:
        config: Options.
        estimate: Gives the body in a photograph of which no joints are given.

    Raises:
        InputError: If an option, the data or a checkpoint cannot be used.
    """
    if config.mode not in MODES:
        raise InputError(
            f"the configuration's mode is {config.mode!r}, expected one of "
            f"{', '.join(MODES)}"
        )
    check_numbers(config)
    if config.mode == "describe":
        print(describe_networks(config))
    elif config.mode == "export":
        export_network(config)
    elif config.mode == "evaluate":
        return evaluate_network(config)
    elif config.mode == "predict":
        return repose_photographs(config, estimate)
    else:
        train_network(config)
    return 0
