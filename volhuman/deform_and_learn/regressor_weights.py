"""Files of regressor weights: they carry the sizes of their network."""

import dataclasses
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jax

from volhuman.deform_and_learn.body_config import BodyNetwork
from volhuman.deform_and_learn.regressor_task import init_regressor
from volhuman.errors import InputError
from volhuman.training.export import export_weights, load_weights, read_weights_header

SHIPPED = "body_small.safetensors"
_KINDS = ("params", "batch_stats")


def save_regressor(
    path: str | Path,
    network: BodyNetwork,
    variables: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    step: int,
) -> str:
    """Writes a regressor's weights in half precision; returns their digest.

    Args:
        path: File that ends in `.safetensors`; replaced where it exists.
        network: Sizes.
        variables: "params" and, where the network has them, "batch_stats".
        config: Options of the training, stored beside them.
        step: Steps made.

    Raises:
        InputError: If the file cannot be written.
    """
    stored = {"network": dataclasses.asdict(network), "training": dict(config)}
    kept = {kind: variables[kind] for kind in _KINDS if variables.get(kind)}
    return export_weights(path, kept, config=stored, step=step)


def load_regressor(path: str | Path = "") -> tuple[BodyNetwork, dict[str, Any]]:
    """Reads a regressor's weights.

    Args:
        path: File that `save_regressor` wrote; empty for the weights of the package.

    Returns:
        Sizes and float32 variables of `regressor.Regressor`.

    Raises:
        InputError: If the file is missing, damaged, or of another network.
    """
    if not path:
        with resources.as_file(resources.files("volhuman") / "assets") as assets:
            return load_regressor(assets / SHIPPED)
    network = _parse_network(path, read_weights_header(path).config)
    like = jax.eval_shape(lambda key: init_regressor(network, key), jax.random.key(0))
    return network, load_weights(path, like).params


def _parse_network(path, config) -> BodyNetwork:
    """The sizes in a file's configuration; JSON knows lists only."""
    try:
        sizes = dict(config["network"])
        sizes["stages"] = tuple(tuple(stage) for stage in sizes["stages"])
        return BodyNetwork(**sizes)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: these are not the weights of a body estimator, or those of an "
            "earlier version; give a file that the training of experiments/body.py "
            "exported"
        ) from error
