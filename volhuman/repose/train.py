"""Training of the reposing network on the synthetic people, and its weights."""

from pathlib import Path
from typing import Any

import jax

from volhuman.data.frame_pairs import FramePairs
from volhuman.data.loader import make_loader
from volhuman.errors import InputError
from volhuman.nn.perceptual import load_vgg19
from volhuman.repose.config import ReposeConfig, network_of, training_options
from volhuman.repose.pairs import make_reader, open_pairs, read_in_order
from volhuman.repose.task import make_task
from volhuman.repose.weights import load_generator, save_generator
from volhuman.training.config import TrainOptions
from volhuman.training.export import read_weights_header
from volhuman.training.loop import load_state, train
from volhuman.training.manifest import file_digest
from volhuman.training.parallel import connect, loader_options
from volhuman.training.task import Task
from volhuman.training.workdir import check_config

WEIGHTS = "generator.safetensors"
_EVALUATION_BATCHES = 8
# What may differ when a run continues.
_CHANGEABLE = ("mode", "data_dir", "remat")
# What says where and how a training ran, and nothing about its weights.
_PLACES = {"mode", "workdir", "data_dir", "initial", "num_devices", "log_every"}
_PLACES |= {"coordinator", "num_processes", "process_id"}


def train_network(config: ReposeConfig) -> None:
    """Trains, continuing where an earlier run stood, and writes the weights.

    Raises:
        InputError: If an option, the data or a checkpoint cannot be used.
    """
    network = network_of(config)
    options = TrainOptions(
        workdir=config.workdir,
        steps=config.steps,
        batch_size=config.batch_size,
        seed=config.seed,
        accumulate=config.accumulate,
        save_every=config.save_every,
        evaluate_every=config.evaluate_every,
        evaluate_batches=_EVALUATION_BATCHES,
        image_every=config.evaluate_every,
        log_every=config.log_every,
        num_devices=config.num_devices,
        coordinator=config.coordinator,
        num_processes=config.num_processes,
        process_id=config.process_id,
    )
    # Before the data are read: each process reads its share.
    connect(options)
    pairs = FramePairs(
        open_pairs(config, network, "train"), ("image", "mask", "joints")
    )
    train(
        _task(config),
        make_loader(pairs, transform=make_reader(network), **loader_options(options)),
        options,
        validation=read_in_order(
            open_pairs(config, network, "validation"), network, config.batch_size
        ),
        config=_run_options(config),
        changeable=_CHANGEABLE,
    )
    if jax.process_index() == 0:
        export_network(config)


def export_network(config: ReposeConfig) -> str:
    """Writes the averaged parameters of the newest checkpoint as `WEIGHTS`.

    Returns:
        The digest.

    Raises:
        InputError: If there is no checkpoint of this configuration.
    """
    task, options = _task(config), _run_options(config)
    check_config(config.workdir, options, changeable=_CHANGEABLE)
    step, state = load_state(task, config.workdir)
    stored = {name: options[name] for name in options.keys() - _PLACES}
    if config.initial:
        stored["initial"] = read_weights_header(config.initial).sha256
    path = Path(config.workdir) / WEIGHTS
    digest = save_generator(
        path,
        network_of(config),
        state["average"],
        config=stored,
        step=step,
    )
    print(f"{path}: step {step}, sha256 {digest}")
    return digest


def _run_options(config: ReposeConfig) -> dict[str, Any]:
    """The options that the run depends on; VGG19's file may move, but not change."""
    options = training_options(config)
    if config.vgg:
        options["vgg"] = f"sha256 {file_digest(Path(config.vgg))}"
    return options


def _task(config: ReposeConfig) -> Task:
    vgg = load_vgg19(config.vgg) if config.vgg else None
    return make_task(config, vgg=vgg, initial=_initial(config))


def _initial(config: ReposeConfig) -> dict[str, Any] | None:
    """The generator's parameters to begin with."""
    if not config.initial:
        return None
    network, params = load_generator(config.initial)
    if network != network_of(config):
        raise InputError(
            f"--config.initial is {config.initial}, which has other sizes than the "
            f"network {config.network} with warp {config.warp} and pose {config.pose}; "
            "give weights of that network"
        )
    return params
