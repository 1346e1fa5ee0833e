"""Whatever happens to a picture happens to its marks and to its body alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.body.template import load_template
from volhuman.data.augmentation import Geometry
from volhuman.deform_and_learn.fitted_people import FIELDS, make_reader
from volhuman.deform_and_learn.registration import project_observed
from volhuman.deform_and_learn.regressor import (
    NUM_OUTPUTS,
    rest_outputs,
    split_outputs,
)
from volhuman.deform_and_learn.regressor_augmentation import (
    augment_example,
    change_geometry,
)
from volhuman.deform_and_learn.regressor_task import TRAINED, observe


@pytest.fixture(scope="module")
def example(people):
    """A picture whose marks are the projections of its body."""
    record = people[0]
    example = make_reader(32)(record, np.random.default_rng(0))
    assert set(example) == set(FIELDS)
    generator = np.random.default_rng(1)
    fit = rest_outputs() + 0.3 * generator.standard_normal(NUM_OUTPUTS)
    count = len(example["keypoints"])
    example = {name: example[name] for name in TRAINED if name in example} | {
        "fit": jnp.asarray(fit, jnp.float32),
        "fit_weight": jnp.ones(()),
        "keypoint_depths": jnp.zeros(count),
        "depth_weights": jnp.asarray(generator.uniform(size=count), jnp.float32),
    }
    dense, keypoints = _projected(example)
    return example | {
        "dense_points": dense,
        "keypoints": keypoints[:, :2],
        "keypoint_depths": keypoints[:, 2],
    }


@jax.jit
def _projected(example):
    model = load_template()
    body = split_outputs(example["fit"], model.num_shape)
    dense, keypoints, _ = project_observed(model, observe(example), body)
    return dense, keypoints


@pytest.mark.parametrize("flip", [False, True])
def test_the_body_follows_the_picture(example, flip):
    geometry = Geometry(
        jnp.float32(0.4), jnp.array([3.0, -2.0]), jnp.float32(1.3), jnp.array(flip)
    )
    image = example["image"].astype(np.float32) / 255
    changed = change_geometry(geometry, example | {"image": image}, load_template())
    dense, keypoints = _projected(changed)
    np.testing.assert_allclose(dense, changed["dense_points"], atol=2e-5)
    np.testing.assert_allclose(keypoints[:, :2], changed["keypoints"], atol=2e-5)
    np.testing.assert_allclose(keypoints[:, 2], changed["keypoint_depths"], atol=2e-5)
    # The marks did move.
    moved = np.abs(changed["keypoints"] - example["keypoints"]).max()
    assert moved > 0.1


def test_random_changes_stay_in_range(example):
    keys = jax.random.split(jax.random.key(0), 8)
    model = load_template()
    example = jax.tree.map(jnp.asarray, example)
    change = jax.jit(jax.vmap(lambda key: augment_example(key, example, model)))
    changed = change(keys)
    assert changed["image"].shape == (8, 32, 32, 3)
    assert float(changed["image"].min()) >= 0 and float(changed["image"].max()) <= 1
    assert len(np.unique(np.asarray(changed["fit"][:, -1]))) == 8
    spread = lambda points: np.ptp(np.asarray(points), axis=-2).max(-1)
    ratio = spread(changed["dense_points"]) / spread(example["dense_points"])
    assert (ratio > 0.6).all() and (ratio < 1.6).all()
