"""Files of generator weights: they carry the sizes of their network."""

import dataclasses
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jax

from volhuman.errors import InputError
from volhuman.repose.config import Network
from volhuman.repose.forward import init_generator
from volhuman.training.export import export_weights, load_weights, read_weights_header

SHIPPED = "repose_small.safetensors"


def save_generator(
    path: str | Path,
    network: Network,
    params: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    step: int,
    dtype: str = "float16",
) -> str:
    """Writes a generator's weights with its sizes; returns their digest.

    Args:
        path: File that ends in `.safetensors`; replaced where it exists.
        network: Sizes.
        params: Parameters of the generator.
        config: Options of the training, stored beside them.
        step: Steps made.
        dtype: "float16" or "float32".

    Raises:
        InputError: If the file cannot be written.
    """
    stored = {"network": dataclasses.asdict(network), "training": dict(config)}
    return export_weights(path, params, config=stored, step=step, dtype=dtype)


def load_generator(path: str | Path = "") -> tuple[Network, dict[str, Any]]:
    """Reads a generator's weights.

    Args:
        path: File that `save_generator` wrote; empty for the weights of the package.

    Returns:
        Sizes and float32 parameters.

    Raises:
        InputError: If the file is missing, damaged, or of another network.
    """
    if not path:
        with resources.as_file(resources.files("volhuman") / "assets") as assets:
            return load_generator(assets / SHIPPED)
    network = _parse_network(path, read_weights_header(path).config)
    like = jax.eval_shape(lambda key: init_generator(network, key), jax.random.key(0))
    return network, load_weights(path, like).params


def _parse_network(path, config):
    """The sizes in a file's configuration; JSON knows lists only."""
    try:
        return Network(
            **{name: _tuples(value) for name, value in config["network"].items()}
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: these are not the weights of a reposing network; give a file "
            "that the training of experiments/repose.py exported"
        ) from error


def _tuples(value):
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
