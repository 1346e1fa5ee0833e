"""The command that trains or describes the reposing network."""

import dataclasses

import numpy as np

from volhuman.data.loader import make_loader, open_people
from volhuman.errors import InputError
from volhuman.nn.perceptual import load_vgg19
from volhuman.repose.config import ReposeConfig, network_of
from volhuman.repose.describe import describe_networks
from volhuman.repose.task import FIELDS, make_task
from volhuman.training.config import TrainOptions
from volhuman.training.loop import train
from volhuman.training.parallel import loader_options

MODES = ("train", "describe")
_EVALUATION_BATCHES = 8
# What may differ when a run continues.
_CHANGEABLE = ("mode", "data_dir", "vgg")


def run_repose(config: ReposeConfig) -> int:
    """Runs the command; returns the exit code.

    Raises:
        InputError: If an option, the data or a checkpoint cannot be used.
    """
    if config.mode not in MODES:
        raise InputError(
            f"the configuration's mode is {config.mode!r}, expected one of "
            f"{', '.join(MODES)}"
        )
    if config.mode == "describe":
        print(describe_networks(config))
    else:
        train_network(config)
    return 0


def train_network(config: ReposeConfig) -> None:
    """Trains on the synthetic people, continuing where an earlier run stood."""
    network = network_of(config)
    if network.joint_set != "body24":
        raise InputError(
            f"the network {config.network!r} reads joints of {network.joint_set}, the "
            "synthetic people have those of body24; train medium or small"
        )
    options = TrainOptions(
        workdir=config.workdir,
        steps=config.steps,
        batch_size=config.batch_size,
        seed=config.seed,
        save_every=config.save_every,
        evaluate_every=config.evaluate_every,
        evaluate_batches=_EVALUATION_BATCHES,
        image_every=config.evaluate_every,
        log_every=config.log_every,
        num_devices=config.num_devices,
    )
    sources = [
        open_people(
            config.data_dir,
            "pairs",
            split,
            size=network.image_size,
            num_people=config.num_people or None,
        )
        for split in ("train", "validation")
    ]
    validation = make_loader(
        sources[1],
        batch_size=config.batch_size,
        seed=0,
        num_epochs=1,
        shuffle=False,
        transform=keep_fields,
    )
    train(
        make_task(config, vgg=load_vgg19(config.vgg) if config.vgg else None),
        make_loader(sources[0], transform=keep_fields, **loader_options(options)),
        options,
        validation=validation,
        config=dataclasses.asdict(config),
        changeable=_CHANGEABLE,
    )


def keep_fields(record: dict, generator: np.random.Generator) -> dict:
    """Keeps what the training reads of a record of pairs."""
    return {name: record[name] for name in FIELDS}
