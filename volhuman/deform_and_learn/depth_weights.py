"""Files of lifter weights: they carry their width and the layout of their joints."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from volhuman.deform_and_learn.depth_config import LAYOUTS
from volhuman.deform_and_learn.depth_gan import Lifter
from volhuman.deform_and_learn.poses_2d import NUM_JOINTS_17
from volhuman.errors import InputError
from volhuman.training.export import export_weights, load_weights, read_weights_header

SHIPPED = "depth_gan.safetensors"


def save_depth_gan(
    path: str | Path,
    params: Mapping[str, Any],
    *,
    layout: str,
    config: Mapping[str, Any],
    step: int,
) -> str:
    """Writes a lifter's weights in half precision; returns their digest.

    Args:
        path: File that ends in `.safetensors`; replaced where it exists.
        params: Parameters of the lifter.
        layout: Which joints it reads (`poses_2d.joint_mixture`).
        config: Options of the training, stored beside them.
        step: Steps made.

    Raises:
        InputError: If the file cannot be written.
    """
    width = params["perceptron"]["layer1"]["kernel"].shape[1]
    stored = {"lifter": {"width": width, "layout": layout}, "training": dict(config)}
    return export_weights(path, params, config=stored, step=step)


def load_depth_gan(path: str | Path = "") -> dict[str, Any]:
    """Reads a lifter's parameters, for `depth_gan.lift_depths`.

    Args:
        path: File that `save_depth_gan` wrote; empty for the weights of the package,
            which read the joints of Human3.6M.

    Returns:
        float32 parameters.

    Raises:
        InputError: If the file is missing, damaged, or of another network.
    """
    if not path:
        with resources.as_file(resources.files("volhuman") / "assets") as assets:
            return load_depth_gan(assets / SHIPPED)
    width, _ = _read_sizes(path)
    poses = jax.ShapeDtypeStruct((1, NUM_JOINTS_17, 2), jnp.float32)
    like = jax.eval_shape(Lifter(width).init, jax.random.key(0), poses)["params"]
    return load_weights(path, like).params


def read_layout(path: str | Path = "") -> str:
    """Reads which joints a file's lifter needs: a layout of `poses_2d`.

    Raises:
        InputError: If the file is missing, damaged, or of another network.
    """
    if not path:
        with resources.as_file(resources.files("volhuman") / "assets") as assets:
            return read_layout(assets / SHIPPED)
    return _read_sizes(path)[1]


def _read_sizes(path):
    lifter = read_weights_header(path).config.get("lifter")
    sizes = lifter if isinstance(lifter, dict) else {}
    width, layout = sizes.get("width"), sizes.get("layout")
    if type(width) is not int or not 1 <= width <= 16_384 or layout not in LAYOUTS:
        raise InputError(
            f"{path}: these are not the weights of a depth GAN; give a file that the "
            "training of experiments/depth_gan.py exported"
        )
    return width, layout
