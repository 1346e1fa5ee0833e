"""Bodies over time: smoothing, and motions that others can read."""

import jax.numpy as jnp
import numpy as np

from volhuman.body.motion import read_motion
from volhuman.body.template import load_template
from volhuman.deform_and_learn.regressor import (
    NUM_OUTPUTS,
    join_outputs,
    rest_outputs,
    split_outputs,
)
from volhuman.deform_and_learn.smooth_bodies import smooth_film, write_motion
from volhuman.geometry.camera import Crop


def _crop(x, y, size):
    return Crop(np.array([x, y], np.float32), np.float32(size))


def _body(outputs):
    return split_outputs(jnp.asarray(outputs, jnp.float32), 10)


def _standing(crop, pixel, pixels_a_metre):
    """A body in the rest pose at a pixel of the photograph."""
    outputs = rest_outputs()
    half = float(crop.size) / 2
    outputs[-2:] = (np.asarray(pixel) - crop.centre) / half
    outputs[-3] = np.log(pixels_a_metre / half)
    return _body(outputs)


def test_a_still_person_stays_still_though_the_crops_jump():
    crops = [_crop(50 + 20 * (n % 2), 60 - 5 * n, 100 + 30 * (n % 3)) for n in range(7)]
    bodies = [_standing(crop, (64, 70), 55) for crop in crops]
    smoothed = smooth_film(bodies, crops, 2.0)
    for before, after in zip(bodies, smoothed, strict=True):
        np.testing.assert_allclose(join_outputs(after), join_outputs(before), atol=2e-6)


def test_trembling_is_smoothed_away():
    generator = np.random.default_rng(0)
    still = rest_outputs() + 0.2 * generator.standard_normal(NUM_OUTPUTS)
    noise = 0.1 * generator.standard_normal((40, NUM_OUTPUTS))
    bodies = [_body(still + shake) for shake in noise]
    crops = [_crop(0, 0, 2)] * len(bodies)
    smoothed = smooth_film(bodies, crops, 3.0)
    spread = lambda film: np.std([b.pose for b in film], axis=0).mean()
    assert spread(smoothed) < 0.5 * spread(bodies)
    for body in smoothed:
        np.testing.assert_allclose(
            body.raw_rotation @ body.raw_rotation.T, np.eye(3), atol=1e-5
        )


def test_a_motion_is_read_back_as_it_was_seen(tmp_path):
    """Who walks to the right of the picture, facing it, moves to their left."""
    model = load_template()
    generator = np.random.default_rng(1)
    pose = 0.3 * generator.standard_normal((23, 3)).astype(np.float32)
    crops = [_crop(50 + 10 * n, 60, 100) for n in range(4)]
    bodies = []
    for number, crop in enumerate(crops):
        outputs = np.array(join_outputs(_standing(crop, (50 + 6 * number, 60), 40)))
        outputs[:69] = pose.reshape(-1)
        bodies.append(_body(outputs))
    centres = [np.array([80, 60])] * 4
    write_motion(
        tmp_path / "motion.npz", model, bodies, crops, centres=centres, rate=10
    )
    motion = read_motion(tmp_path / "motion.npz")
    assert motion.rate == 10
    np.testing.assert_allclose(motion.pose[:, 1:22], [pose[:21]] * 4, atol=1e-5)
    np.testing.assert_allclose(motion.pose[:, 0], np.zeros((4, 3)), atol=1e-5)
    steps = np.diff(motion.translation, axis=0)
    np.testing.assert_allclose(steps, [[6 / 40, 0, 0]] * 3, atol=1e-5)


def test_who_grows_in_the_middle_of_the_picture_does_not_move_aside(tmp_path):
    model, crop = load_template(), _crop(960, 540, 900)
    bodies = [_standing(crop, (960, 540), size) for size in (200, 300, 400)]
    path = tmp_path / "motion.npz"
    centres = [np.array([960, 540])] * 3
    write_motion(path, model, bodies, [crop] * 3, centres=centres, rate=10)
    np.testing.assert_allclose(read_motion(path).translation, 0, atol=1e-5)
