"""Measures steps a second and memory of the reposing network's presets.

Command: python experiments/repose_speed.py [--rows=small,medium] [--steps=5] \
        [--mixed_precision] [--remat]
Hardware and time: the devices that JAX finds. Two CPU cores: 10 minutes, most of which
is compilation; the published sizes take 3 GB.
Expected: the table in README, section "Speed". Memory is XLA's account of the compiled
program: arguments, results and temporary buffers, without what is given back in place.
On CPU `--remat` saves nothing: its compiler merges the second computation with the
first.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from volhuman.repose.config import ReposeConfig, network_of
from volhuman.repose.forward import init_generator, repose
from volhuman.repose.parts import find_joint_set
from volhuman.repose.task import make_task

_FLAGS = flags.FLAGS
flags.DEFINE_list("rows", [], "Rows to measure, by the first word; empty for all.")
flags.DEFINE_integer("steps", 5, "Steps to time after the first one.", lower_bound=1)
flags.DEFINE_bool("mixed_precision", False, "Train in bfloat16.")
flags.DEFINE_bool("remat", False, "Compute activations again for the gradient.")


class Measurement(NamedTuple):
    """One line of the table.

    Attributes:
        wall: Median seconds of a step.
        processor: Median seconds of all CPU cores together.
        memory: Bytes of the compiled program.
        compile: Seconds of compilation.
    """

    wall: float
    processor: float
    memory: int
    compile: float


def measure(
    function: Callable, *arguments: jax.Array, steps: int, carries: bool
) -> Measurement:
    """Times a function after compiling it.

    Args:
        function: Function of arrays.
        *arguments: Its arguments.
        steps: How often to call it.
        carries: Whether the first result takes the place of the first argument.
    """
    start = time.perf_counter()
    jitted = jax.jit(function, donate_argnums=(0,) if carries else ())
    program = jitted.lower(*arguments).compile()
    compiled = time.perf_counter() - start
    account = program.memory_analysis()
    memory = account.argument_size_in_bytes + account.output_size_in_bytes
    memory += account.temp_size_in_bytes - account.alias_size_in_bytes
    first, *others = arguments
    seconds = []
    for _ in range(steps + 1):
        before = time.perf_counter(), time.process_time()
        result = jax.block_until_ready(program(first, *others))
        seconds.append(
            [time.perf_counter() - before[0], time.process_time() - before[1]]
        )
        if carries:
            first = result[0]
    wall, processor = np.median(seconds[1:], axis=0)
    return Measurement(wall, processor, memory, compiled)


def measure_training(config: ReposeConfig, steps: int) -> Measurement:
    """Measures training steps on pictures of noise."""
    task = make_task(config)
    state = jax.jit(task.init)(jax.random.key(0))
    batch = _batch(config)
    return measure(
        task.update, state, batch, jax.random.key(1), steps=steps, carries=True
    )


def measure_forward(config: ReposeConfig) -> Measurement:
    """Measures one reposed picture."""
    network, batch = network_of(config), _batch(config)
    params = jax.jit(lambda key: init_generator(network, key))(jax.random.key(0))
    pictures = jnp.asarray(batch["image_source"], jnp.float32) / 127.5 - 1
    paint = lambda params, images, *joints: repose(
        network, params, images, *joints, jnp.zeros((*images[:, 0, ..., :1].shape,))
    )["image"]
    return measure(
        paint,
        params,
        pictures[:, None],
        batch["joints_source"][:, None],
        batch["joints_target"],
        steps=1,
        carries=False,
    )


def _batch(config):
    network = network_of(config)
    side, count = network.image_size, config.batch_size
    generator = np.random.default_rng(0)
    joints = len(find_joint_set(network.joint_set).names)
    places = generator.uniform(0.2, 0.8, (2, count, joints, 3)) - [0, 0, 0.5]
    source, target = generator.integers(0, 256, (2, count, side, side, 3), np.uint8)
    return {
        "image_source": source,
        "image_target": target,
        "mask_target": np.full((count, side, side), 255, np.uint8),
        "joints_source": np.float32(places[0] * side),
        "joints_target": np.float32(places[1] * side),
    }


def main(arguments):
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}")
    train = ReposeConfig(mixed_precision=_FLAGS.mixed_precision, remat=_FLAGS.remat)
    change = lambda **changes: dataclasses.replace(train, **changes)
    rows = {
        "small, without discriminator": change(adversarial=0.0),
        "small": train,
        "medium, without discriminator": change(
            network="medium", batch_size=2, adversarial=0.0
        ),
        "medium": change(network="medium", batch_size=2),
        "paper, forward": change(network="paper", batch_size=1),
    }
    device = jax.devices()[0]
    print(f"{jax.device_count()} x {device.device_kind} ({device.platform})")
    print("| network | batch | steps/s | processor s a step | MB | compilation s |")
    print("|---|---|---|---|---|---|")
    for label, config in rows.items():
        if _FLAGS.rows and label.split(",")[0] not in _FLAGS.rows:
            continue
        if "forward" in label:
            result = measure_forward(config)
        else:
            result = measure_training(config, _FLAGS.steps)
        print(
            f"| {label} | {config.batch_size} | {1 / result.wall:.3g} | "
            f"{result.processor:.3g} | {result.memory / 1e6:.0f} | "
            f"{result.compile:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    app.run(main)
