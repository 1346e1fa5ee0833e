"""Protocol #1 on frames of the form that Human3.6M's reader gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.deform_and_learn import measure_human36m as module
from volhuman.deform_and_learn.body_config import NETWORKS
from volhuman.deform_and_learn.measure_human36m import (
    measure_human36m,
    score_human36m,
)
from volhuman.deform_and_learn.regressor import NUM_OUTPUTS, rest_outputs

NETWORK = NETWORKS["tiny"]
SPOT = (70, 44)


def _frames(outputs, count, *, box):
    """Frames whose only content is a person-sized square, with the joints of a body."""
    joints = np.asarray(jax.jit(module._joints_17)(outputs), np.float32) / 1000
    image = np.zeros((100, 120, 3), np.uint8)
    image[30:60, 60:80] = 255
    marks = np.array([[60, 30, 1.0], [80, 60, 1.0]] + [[70, 45, 1.0]] * 15)
    return [
        {
            "image": image,
            "box": np.array([60, 30, 20, 30.0]) if box else np.zeros(4),
            "keypoints": marks[None].astype(np.float32),
            # Someone larger, elsewhere.
            "joints": 1.3 * joints + [0.5, 0.2, 4.0],
            "subject": 9 + 2 * (number % 2),
            "action": "Walking 1",
            "frame": number,
        }
        for number in range(count)
    ]


@pytest.mark.parametrize("box", [True, False])
def test_who_is_found_as_they_are_differs_by_their_bone_lengths_alone(monkeypatch, box):
    generator = np.random.default_rng(0)
    outputs = jnp.asarray(
        rest_outputs() + 0.2 * generator.standard_normal(NUM_OUTPUTS), jnp.float32
    )
    seen = []

    def make_predict(network, variables):
        return lambda images: seen.append(images) or jnp.tile(outputs, (len(images), 1))

    monkeypatch.setattr(module, "make_predict", make_predict)
    measured = measure_human36m(NETWORK, {}, _frames(outputs, 35, box=box))
    assert {n: len(v) for n, v in measured.values.items()} == dict.fromkeys(
        measured.values, 35
    )
    assert set(measured.people) == {"9 Walking 1", "11 Walking 1"}
    np.testing.assert_allclose(measured.values["PA-MPJPE, 17 joints"], 0, atol=0.05)
    # The truth keeps its size, the estimate gets the canonical one.
    plain = measured.values["MPJPE, 17 joints"]
    assert (plain > 1).all() and np.ptp(plain) < 1e-3
    # The person fills the picture that the network is given.
    bright = seen[0][0][..., 0] > 128
    assert 0.35 < bright.mean() < 0.65
    labels = " ".join(score_human36m(measured))
    assert "17 joints" in labels and "14 joints" in labels


def test_the_joints_are_those_of_human36m():
    joints = jax.jit(module._joints_17)(jnp.asarray(rest_outputs()))
    assert joints.shape == (17, 3)
    # Facing the camera, the person's right is on the left; y points down.
    assert joints[1, 0] < joints[4, 0] and joints[14, 0] < joints[11, 0]
    assert joints[10, 1] < joints[8, 1] < joints[0, 1] < joints[3, 1]
