"""Measures how many bodies a second are fitted in batches.

Command: python experiments/registration_speed.py [--batch_size=64] [--steps=200]
Hardware and time: the devices that JAX finds; one CPU core, a minute, half of which is
compilation.
Expected: one line: fits a second with compiled code, and of processor time.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from volhuman.body.keypoints import KEYPOINT_INDEX, KEYPOINT_NAMES
from volhuman.body.template import load_template
from volhuman.deform_and_learn.fitted_people import ANNOTATED, NUM_DENSE
from volhuman.deform_and_learn.registration import (
    PAPER_FIRST,
    RegistrationOptions,
    project_observed,
    register,
)
from volhuman.deform_and_learn.regressor import (
    NUM_OUTPUTS,
    rest_outputs,
    split_outputs,
)
from volhuman.deform_and_learn.regressor_task import observe

_BATCH = flags.DEFINE_integer("batch_size", 64, "Bodies at a time.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 200, "Adam steps of a fit.", lower_bound=1)
_STARTS = flags.DEFINE_integer("starts", 4, "Starting yaws of a fit.", lower_bound=1)
_REPEATS = 3


def main(_) -> None:
    """Measures and prints."""
    options = RegistrationOptions(
        stages=(PAPER_FIRST,), steps=(_STEPS.value,), num_starts=_STARTS.value
    )
    fit = jax.jit(
        lambda examples: jax.vmap(
            lambda example: register(load_template(), observe(example), options)
        )(examples)
    )
    examples = make_examples(_BATCH.value)
    jax.block_until_ready(fit(examples))
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(_REPEATS):
        jax.block_until_ready(fit(examples))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    count = _REPEATS * _BATCH.value
    device = jax.devices()[0]
    print(
        f"{jax.device_count()} x {device.device_kind}: {count / wall:.1f} fits a "
        f"second, {count / processor:.1f} a second of processor time; {_BATCH.value} "
        f"at a time, {_STARTS.value} starts, {_STEPS.value} steps, {NUM_DENSE} dense "
        "points"
    )


def make_examples(count: int) -> dict[str, jax.Array]:
    """Bodies in random poses with exact annotations."""
    generator = np.random.default_rng(0)
    model = load_template()
    outputs = rest_outputs() + 0.2 * generator.standard_normal((count, NUM_OUTPUTS))
    weights = np.zeros(len(KEYPOINT_NAMES), np.float32)
    weights[[KEYPOINT_INDEX[name] for name in ANNOTATED]] = 1
    faces = generator.integers(0, len(model.faces), (count, NUM_DENSE))
    zeros = jnp.zeros((count, len(weights)))
    examples = {
        "keypoints": jnp.zeros((count, len(weights), 2)),
        "keypoint_weights": jnp.tile(weights, (count, 1)),
        "keypoint_depths": zeros,
        "depth_weights": zeros,
        "dense_points": jnp.zeros((count, NUM_DENSE, 2)),
        "dense_vertices": jnp.asarray(model.faces)[faces],
        "dense_barycentric": jnp.full((count, NUM_DENSE, 3), 1 / 3),
    }

    def project(example, outputs):
        body = split_outputs(outputs, model.num_shape)
        dense, keypoints, _ = project_observed(model, observe(example), body)
        return dense, keypoints[:, :2]

    dense, keypoints = jax.jit(jax.vmap(project))(
        examples, jnp.asarray(outputs, jnp.float32)
    )
    return examples | {"dense_points": dense, "keypoints": keypoints}


if __name__ == "__main__":
    app.run(main)
