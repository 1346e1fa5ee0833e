"""Converts the authors' reposing checkpoint (TensorFlow) to weights of the package.

Command: python experiments/convert_repose_checkpoint.py CHECKPOINT TARGET.safetensors \
        [--discriminator=FILE.safetensors]
Needs the extra [convert]. CHECKPOINT is what TensorFlow calls the prefix, such as
`model.ckpt-149999` for the files `model.ckpt-149999.index` and
`model.ckpt-149999.data-00000-of-00001`; either file's name will do.
Hardware and time: one CPU core, half a minute.
Expected: TARGET with 47,005,427 numbers (188 MB), which `load_generator` of
`volhuman.repose.weights` reads.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from flax import traverse_util

from volhuman.errors import InputError
from volhuman.repose.forward import init_generator
from volhuman.repose.model import Discriminator
from volhuman.repose.parts import find_joint_set
from volhuman.repose.published_weights import (
    PUBLISHED,
    import_variables,
    published_names,
)
from volhuman.repose.weights import save_generator
from volhuman.training.export import export_weights

_FLAGS = flags.FLAGS
flags.DEFINE_string(
    "discriminator", "", "File for the discriminator's weights; empty for none."
)

_FILE = re.compile(r"\.(index|data-\d{5}-of-\d{5}|meta)$")
_SCOPES = ("GAN/Generator/", "GAN/Discriminator/")
# Built by the authors' code and read by nothing: the encoder stops after block 2, the
# discriminator after block 3.
_DEAD = re.compile(
    r"GAN/(Generator/resnet_v2_50/(block3|block4|postnorm)"
    r"|Discriminator/resnet_v2_50/(block4|postnorm))/"
)
_OPTIMIZER = re.compile(r"(^|/)(Adam(_\d+)?|beta[12]_power(_\d+)?|global_step)$")


class Reader(Protocol):
    """What `tf.train.load_checkpoint` returns."""

    def get_variable_to_shape_map(self) -> Mapping[str, Sequence[int]]:
        """Returns the shapes of all variables."""

    def get_tensor(self, name: str) -> np.ndarray:
        """Reads one variable."""


def open_checkpoint(source: str | Path) -> Reader:
    """Opens a checkpoint of TensorFlow's second format.

    Args:
        source: Prefix of the files, or one of them.

    Raises:
        InputError: If it is missing or no checkpoint, or TensorFlow is not installed.
    """
    prefix = Path(_FILE.sub("", str(source)))
    index = prefix.with_name(f"{prefix.name}.index")
    if not index.is_file():
        raise InputError(
            f"{index}: there is no such file; give the prefix of a checkpoint, such as "
            "model.ckpt-149999"
        )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise InputError(
            f"{source}: reading it needs TensorFlow; pip install -e '.[convert]'"
        ) from error
    try:
        return tf.train.load_checkpoint(str(prefix))
    # DataLossError, NotFoundError, RuntimeError, ... as the file is damaged.
    except Exception as error:
        raise InputError(f"{index}: is no checkpoint ({_reason(error)})") from error


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the variables that the networks read, by their names."""
    side, joints = PUBLISHED.image_size, len(find_joint_set(PUBLISHED.joint_set).names)
    picture = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    heatmaps = (1, side, side, PUBLISHED.critic_slices, joints)
    key = jax.random.key(0)
    params = {
        "generator": jax.eval_shape(lambda k: init_generator(PUBLISHED, k), key),
        "discriminator": jax.eval_shape(
            Discriminator(PUBLISHED).init,
            key,
            picture,
            picture,
            jax.ShapeDtypeStruct(heatmaps, jnp.float32),
        )["params"],
    }
    names = published_names()
    leaves = traverse_util.flatten_dict(params, sep="/")
    return {names[path]: leaf.shape for path, leaf in leaves.items()}


def check_variables(
    found: Mapping[str, Sequence[int]], expected: Mapping[str, tuple[int, ...]]
) -> Counter:
    """Compares a checkpoint with the networks.

    Args:
        found: Shapes in the checkpoint.
        expected: Shapes that the networks read.

    Returns:
        Number of variables of each kind: "read", "dead", "optimizer" and "other", which
        belong to neither network (the perceptual loss, a pose estimator).

    Raises:
        InputError: If variables of the two networks are missing, unknown, or of other
            shapes.
    """
    kinds, unknown = Counter(), []
    for name in sorted(found):
        if name in expected:
            kinds["read"] += 1
        elif _OPTIMIZER.search(name):
            kinds["optimizer"] += 1
        elif _DEAD.match(name):
            kinds["dead"] += 1
        elif name.startswith(_SCOPES):
            unknown.append(name)
        else:
            kinds["other"] += 1
    different = [
        f"{name} {tuple(found[name])} instead of {shape}"
        for name, shape in expected.items()
        if name in found and tuple(found[name]) != shape
    ]
    for problem, names in (
        ("lacks", [name for name in expected if name not in found]),
        ("has other shapes:", different),
        ("holds unknown variables:", unknown),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise InputError(
                f"the checkpoint {problem} {', '.join(names[:3])}{more}; give one of "
                "the published reposing network"
            )
    return kinds


def convert(
    reader: Reader,
    target: str | Path,
    *,
    checkpoint: str,
    discriminator: str | Path | None = None,
) -> Counter:
    """Writes the weights of a checkpoint as float32.

    Args:
        reader: The checkpoint.
        target: `.safetensors` file of the generator; it must not exist.
        checkpoint: Name of the checkpoint, stored with the weights; the number at its
            end is the step.
        discriminator: The same for the discriminator, None to leave it out.

    Returns:
        As `check_variables`.

    Raises:
        InputError: If the checkpoint is not of these networks or damaged, or a file
            cannot be written.
    """
    for path in filter(None, (target, discriminator)):
        if Path(path).suffix != ".safetensors" or Path(path).exists():
            raise InputError(f"{path}: give a new file that ends in .safetensors")
    expected = expected_shapes()
    kinds = check_variables(reader.get_variable_to_shape_map(), expected)
    generator, critic = import_variables(
        {name: _read(reader, name, checkpoint) for name in expected}
    )
    number = re.search(r"-(\d+)$", checkpoint)
    step, config = int(number[1]) if number else 0, {"checkpoint": checkpoint}
    save_generator(
        target, PUBLISHED, generator, config=config, step=step, dtype="float32"
    )
    if discriminator:
        export_weights(discriminator, critic, config=config, step=step, dtype="float32")
    return kinds


def _read(reader, name, checkpoint):
    try:
        array = np.asarray(reader.get_tensor(name), np.float32)
    # DataLossError, NotFoundError, RuntimeError, ... as the file is damaged.
    except Exception as error:
        raise InputError(
            f"{checkpoint}: {name} cannot be read ({_reason(error)}); copy all files "
            "of the checkpoint again"
        ) from error
    if not np.isfinite(array).all():
        raise InputError(f"{checkpoint}: {name} holds numbers that are not finite")
    return array


def _reason(error):
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def main(arguments):
    if len(arguments) != 3:
        sys.exit(__doc__)
    _, source, target = arguments
    try:
        kinds = convert(
            open_checkpoint(source),
            target,
            checkpoint=_FILE.sub("", Path(source).name),
            discriminator=_FLAGS.discriminator or None,
        )
    except InputError as error:
        sys.exit(f"convert_repose_checkpoint: {error}")
    print(
        f"{target}: {kinds['read']} variables read; left out: {kinds['optimizer']} of "
        f"the optimiser, {kinds['dead']} that nothing reads, {kinds['other']} of other "
        "networks"
    )


if __name__ == "__main__":
    app.run(main)
