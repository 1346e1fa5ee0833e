"""Training steps of the regressor, and errors of bodies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.deform_and_learn.body_config import BodyConfig
from volhuman.deform_and_learn.fitted_people import FittedPeople, make_reader
from volhuman.deform_and_learn.regressor import rest_outputs
from volhuman.deform_and_learn.regressor_task import (
    TRAINED,
    joint_errors,
    make_task,
    seen_joints,
)

# The fits of these tests are wrong: their points must not outweigh the annotations.
CONFIG = BodyConfig(
    network="tiny",
    batch_size=8,
    learning_rate=3e-3,
    schedule="constant",
    augment=False,
    point_weight=0.0,
    place_weight=1.0,
)


@pytest.fixture(scope="module")
def batch(people):
    count = len(people)
    fits = {
        "fit": np.tile(rest_outputs(), (count, 1)),
        "fit_weight": np.ones(count, np.float32),
        "keypoint_depths": np.zeros((count, 40), np.float32),
        "depth_weights": np.zeros((count, 40), np.float32),
    }
    read = make_reader(32, keep=tuple(fits))
    fitted = FittedPeople(people, fits)
    examples = [read(fitted[n], np.random.default_rng(n)) for n in range(count)]
    return {name: np.stack([e[name] for e in examples]) for name in TRAINED}


def test_steps_lower_every_term_but_the_distance_to_fits_that_are_wrong(batch):
    task = make_task(CONFIG, steps=100)
    state = jax.jit(task.init)(jax.random.key(0))
    update = jax.jit(task.update)
    seen = []
    for number in range(60):
        state, metrics = update(state, batch, jax.random.key(number))
        seen.append(metrics)
    assert int(state["step"]) == 60
    assert seen[-1]["loss"] < 0.7 * seen[0]["loss"]
    assert seen[-1]["dense"] < 0.7 * seen[0]["dense"]
    assert seen[-1]["keypoints"] < 0.7 * seen[0]["keypoints"]
    assert seen[-1]["places"] < seen[0]["places"]
    # The average follows the parameters.
    apart = jax.tree.map(
        lambda a, b: float(jnp.abs(a - b).max()), state["average"], state["params"]
    )
    assert 0 < max(jax.tree.leaves(apart)) < 0.5


def test_pictures_without_a_fit_teach_by_their_marks_alone(batch):
    task = make_task(CONFIG, steps=100)
    state = jax.jit(task.init)(jax.random.key(0))
    unfitted = batch | {"fit_weight": np.zeros(8, np.float32), "fit": 0 * batch["fit"]}
    state, metrics = jax.jit(task.update)(state, unfitted, jax.random.key(0))
    assert metrics["parameters"] == 0 and metrics["points"] == 0
    assert metrics["dense"] > 0 and metrics["places"] > 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state["params"]))


def test_errors_do_not_depend_on_size_and_place_but_on_the_sign_of_depths():
    generator = np.random.default_rng(0)
    outputs = rest_outputs() + 0.3 * generator.standard_normal((4, 105))
    joints = jax.vmap(seen_joints)(jnp.asarray(outputs, jnp.float32))
    moved = 1.7 * joints + 300.0
    for name, values in joint_errors(moved, joints).items():
        np.testing.assert_allclose(values, 0, atol=1e-2, err_msg=name)
    mirrored = joints * jnp.array([1, 1, -1])
    errors = joint_errors(mirrored, joints)
    assert (errors["flipped"] == 1).all() and (errors["MPJPE"] > 10).all()
