"""Bodies by the regressor: crops, hypotheses, refinement."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.body.template import load_template
from volhuman.deform_and_learn.body_config import NETWORKS
from volhuman.deform_and_learn.estimate import (
    Estimator,
    estimate_body,
    estimate_hypotheses,
    refine_bodies,
)
from volhuman.deform_and_learn.registration import (
    KEYPOINTS_LATER,
    RegistrationOptions,
    body_and_camera,
    empty_observation,
    project_observed,
    take_body,
)
from volhuman.deform_and_learn.regressor import (
    NUM_OUTPUTS,
    join_outputs,
    rest_outputs,
    split_outputs,
)
from volhuman.geometry.camera import Crop

SPOT = np.array([70.0, 44.0])


def _spot_picture():
    """A photograph whose only content is a bright spot."""
    y, x = np.mgrid[:100, :120] + 0.5
    light = np.exp(-((x - SPOT[0]) ** 2 + (y - SPOT[1]) ** 2) / 18)
    return np.repeat(light[..., None], 3, axis=-1).astype(np.float32)


def _find_spot(images):
    """A body that stands where the spot is, as large as the spot."""
    light = images.astype(np.float64)[..., 0]
    centres = (2 * np.arange(light.shape[1]) + 1) / light.shape[1] - 1
    total = light.sum((1, 2))
    x = (light * centres).sum((1, 2)) / total
    y = (light * centres[:, None]).sum((1, 2)) / total
    outputs = np.tile(rest_outputs(), (len(images), 1))
    outputs[:, -2:] = np.stack([x, y], -1)
    outputs[:, -3] = 0.5 * np.log(total / 255)
    return jnp.asarray(outputs)


@pytest.fixture(scope="module")
def estimator():
    return Estimator(NETWORKS["small"], load_template(), _find_spot)


def _pixels(body, crop):
    return np.asarray(body.translation) * float(crop.size) / 2 + crop.centre


def test_a_body_stands_where_the_picture_shows_it(estimator):
    crop = Crop(np.array([60.0, 50.0], np.float32), np.float32(80.0))
    body = estimate_body(estimator, _spot_picture(), crop)
    np.testing.assert_allclose(_pixels(body, crop), SPOT, atol=0.2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rgb: (255 * rgb).astype(np.uint8), r"uint8 from 0 to 2\d\d"),
        (lambda rgb: 255 * rgb, r"from \S+ to 2\d\d"),
        (lambda rgb: rgb * np.nan, "from nan"),
        (lambda rgb: rgb[..., 0], r"expected \(H, W, 3\)"),
        (lambda rgb: np.concatenate([rgb, rgb[..., :1]], -1), r"expected \(H, W, 3\)"),
    ],
)
def test_what_is_no_photograph_is_refused(estimator, change, words):
    crop = Crop(np.array([60.0, 50.0], np.float32), np.float32(80.0))
    with pytest.raises(ValueError, match=words):
        estimate_body(estimator, change(_spot_picture()), crop)


def test_hypotheses_from_other_crops_and_mirrors_agree_in_place_and_size(estimator):
    crop = Crop(np.array([60.0, 50.0], np.float32), np.float32(80.0))
    bodies = estimate_hypotheses(estimator, _spot_picture(), crop, 5)
    assert bodies.pose.shape == (5, 23, 3)
    for number in range(5):
        body = take_body(bodies, number)
        np.testing.assert_allclose(_pixels(body, crop), SPOT, atol=0.3)
    np.testing.assert_allclose(bodies.log_scale, bodies.log_scale[0], atol=0.05)
    np.testing.assert_allclose(bodies.raw_rotation, [rest_rotation()] * 5, atol=1e-5)


def rest_rotation():
    return np.asarray(split_outputs(jnp.asarray(rest_outputs()), 10).raw_rotation)


def test_the_hypothesis_in_the_middle_stands_first(estimator):
    """One bent arm among straight ones is not the first."""

    def predict(images):
        outputs = np.array(_find_spot(images))
        outputs[0, 3 * 17 : 3 * 18] = [0, 0, 1.2]
        return jnp.asarray(outputs)

    odd = dataclasses.replace(estimator, predict=predict)
    crop = Crop(np.array([60.0, 50.0], np.float32), np.float32(80.0))
    bodies = estimate_hypotheses(odd, _spot_picture(), crop, 4)
    bent = np.abs(np.asarray(bodies.pose)).max((1, 2)) > 1
    assert bent.tolist() == [False, False, False, True]


@pytest.mark.slow
def test_refinement_brings_every_hypothesis_onto_the_key_points():
    model = load_template()
    generator = np.random.default_rng(0)
    truth = rest_outputs() + 0.15 * generator.standard_normal(NUM_OUTPUTS)
    truth[69:93] = 1
    body = split_outputs(jnp.asarray(truth, jnp.float32), model.num_shape)
    observation = empty_observation()
    _, keypoints, _ = project_observed(model, observation, body)
    observation = dataclasses.replace(
        observation,
        keypoints=keypoints[:, :2],
        keypoint_weights=jnp.ones(len(keypoints)),
    )
    starts = truth + 0.1 * generator.standard_normal((3, NUM_OUTPUTS))
    starts = split_outputs(jnp.asarray(starts, jnp.float32), model.num_shape)
    options = RegistrationOptions(
        stages=(KEYPOINTS_LATER,), steps=(150,), learning_rate=0.03
    )
    refined, losses = refine_bodies(model, observation, starts, options)
    assert (np.diff(losses) >= 0).all()
    project = jax.vmap(lambda b: project_observed(model, observation, b)[1][:, :2])
    errors = lambda b: jnp.abs(project(b) - keypoints[:, :2]).mean((1, 2))
    assert (errors(refined) < 0.2 * errors(starts).min()).all()
    assert join_outputs(refined).shape == (3, NUM_OUTPUTS)
    rotation = body_and_camera(model, take_body(refined, 0))[1].rotation
    assert float(jnp.linalg.det(rotation)) == pytest.approx(1, abs=1e-5)
