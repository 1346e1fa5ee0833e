"""Names of the published network's variables, and their import.

The authors' TensorFlow checkpoints hold variables by name. `experiments/
convert_repose_checkpoint.py` reads them, lets this module turn them into parameters of
`Generator` and `Discriminator` with `Network(published=True)`, and writes the generator
to a file that `repose.weights.load_generator` reads.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from flax import traverse_util

from volhuman.errors import InputError
from volhuman.repose.config import PAPER, Network

PUBLISHED: Network = dataclasses.replace(PAPER, published=True)

_CONV = {"kernel": "kernel", "bias": "bias"}
_SLIM = {"kernel": "weights", "bias": "biases"}
_NORM = {"scale": "gamma", "bias": "beta"}


def published_names() -> dict[str, str]:
    """Returns the checkpoint's name of every parameter, by our path.

    Paths are joined by "/" and begin with "generator" or "discriminator".
    """
    names: dict[str, str] = {}
    for ours, theirs, builder in (
        ("generator", "GAN/Generator", _generator),
        ("discriminator", "GAN/Discriminator", _discriminator),
    ):
        for path, name in builder().items():
            names[f"{ours}/{path}"] = f"{theirs}/{name}"
    return names


def import_variables(
    variables: Mapping[str, np.ndarray],
) -> tuple[dict, dict]:
    """Turns variables of a checkpoint into parameters.

    Args:
        variables: Arrays by their published names; others are ignored (the checkpoints
            hold optimiser slots and blocks that nothing reads).

    Returns:
        Parameters of generator and discriminator.

    Raises:
        InputError: If variables are missing.
    """
    names = published_names()
    missing = sorted(name for name in names.values() if name not in variables)
    if missing:
        raise InputError(
            f"the checkpoint lacks {len(missing)} of {len(names)} variables, the first "
            f"is {missing[0]!r}; give a checkpoint of the published reposing network"
        )
    flat = {
        tuple(path.split("/")): np.asarray(variables[name], np.float32)
        for path, name in names.items()
    }
    nested = traverse_util.unflatten_dict(flat)
    return nested["generator"], nested["discriminator"]


def _generator():
    network, names = PUBLISHED, {}
    _add_trunk(names, "encoder", network.encoder)
    norms, volumes, images, partial = (_Counter(n) for n in _COUNTED)
    # The order in which the published code creates its layers.
    _add(names, "pose_root", volumes.next(), _CONV)
    _add_volume_units(names, "pose_units", norms, volumes)
    stages = len(network.background)
    for direction, count in (("down", stages), ("up", stages)):
        for stage in range(1, count + 1):
            path = f"background/{direction}{stage}"
            _add(names, path, partial.next(), _CONV)
            bare = (direction, stage) in (("down", 1), ("up", stages))
            if not bare:
                _add(names, f"{path}_norm", norms.next(), _NORM)
    _add(names, "lift_norm", norms.next(), _NORM)
    _add(names, "lift", images.next(), _CONV)
    _add_volume_units(names, "volume_units", norms, volumes)
    _add_volume_units(names, "merge_units", norms, volumes)
    channels = None
    for unit, (features, _, _) in enumerate(network.decoder):
        theirs = "bottleneck_v2_transposed" + (f"_{unit}" if unit else "")
        path = f"decoder_{unit}"
        _add(names, f"{path}/norm", f"{theirs}/preact", _NORM)
        convs = ["conv1", "conv2", "conv3"]
        convs += ["shortcut"] if features != channels else []
        for conv in convs:
            _add(names, f"{path}/{conv}", f"{theirs}/{conv}", _SLIM)
        channels = features
    _add(names, "head_norm", norms.next(), _NORM)
    _add(names, "head", images.next(), _CONV)
    return names


def _discriminator():
    names: dict[str, str] = {}
    _add_trunk(names, "trunk", PUBLISHED.critic)
    _add(names, "norm", "GroupNorm", _NORM)
    _add(names, "head", "conv2d", _CONV)
    return names


_COUNTED = ("GroupNorm", "conv3d", "conv2d", "pconv")


class _Counter:
    """Counts layers of one kind as TensorFlow names them: norm, norm_1, norm_2."""

    def __init__(self, kind):
        self._kind, self._count = kind, 0

    def next(self):
        number, self._count = self._count, self._count + 1
        return f"{self._kind}_{number}" if number else self._kind


def _add(names, path, theirs, leaves):
    for ours, leaf in leaves.items():
        names[f"{path}/{ours}"] = f"{theirs}/{leaf}"


def _add_volume_units(names, path, norms, volumes):
    for unit in range(PUBLISHED.volume_units):
        for number in (1, 2):
            _add(names, f"{path}_{unit}/norm{number}", norms.next(), _NORM)
            _add(names, f"{path}_{unit}/conv{number}", volumes.next(), _CONV)


def _add_trunk(names, path, stages):
    _add(names, f"{path}/root", "resnet_v2_50/conv1", _SLIM)
    for stage, (_, _, units, _, _) in enumerate(stages, 1):
        for unit in range(1, units + 1):
            theirs = f"resnet_v2_50/block{stage}/unit_{unit}/bottleneck_v2"
            ours = f"{path}/stage{stage}_unit{unit}"
            _add(names, f"{ours}/norm", f"{theirs}/preact", _NORM)
            for number in (1, 2):
                conv = f"{theirs}/conv{number}"
                names[f"{ours}/conv{number}/kernel"] = f"{conv}/weights"
                _add(names, f"{ours}/norm{number}", f"{conv}/GroupNorm", _NORM)
            _add(names, f"{ours}/conv3", f"{theirs}/conv3", _SLIM)
            if unit == 1:
                _add(names, f"{ours}/shortcut", f"{theirs}/shortcut", _SLIM)
