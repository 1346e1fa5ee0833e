"""Development of pictures: exposure, colour, blur, grain, and the bytes of files."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from volhuman.people.photography import (
    Development,
    develop,
    encode,
    sample_development,
)

PLAIN = Development()


@pytest.fixture
def picture():
    """A smooth picture below the highlights, with all hues."""
    x = np.linspace(0, 1, 64)
    u, v = np.meshgrid(x, x)
    return np.stack([0.05 + 0.8 * u, 0.1 + 0.7 * v, 0.85 - 0.8 * u * v], axis=-1)


def test_the_plain_development_keeps_the_picture(picture):
    developed = develop(picture, PLAIN)
    assert developed.shape == picture.shape and developed.dtype == np.uint8
    assert np.abs(developed / 255 - picture).max() < 0.51 / 255


def test_highlights_roll_off_without_a_step_and_in_order():
    ramp = np.broadcast_to(np.linspace(0, 1, 512)[:, None, None], (512, 512, 3))
    developed = develop(ramp, PLAIN)[:, 0, 0].astype(int)
    below = np.linspace(0, 1, 512) ** 2.2 < 0.8
    assert np.abs(developed - np.linspace(0, 255, 512))[below].max() <= 0.51
    step = np.diff(developed)
    assert step.min() >= 0 and step.max() <= 1
    brighter = develop(ramp, dataclasses.replace(PLAIN, exposure=2.0))[:, 0, 0]
    assert (np.diff(brighter.astype(int)) >= 0).all() and brighter[-1] <= 255


def test_twice_the_exposure_is_twice_the_light(picture):
    dim = picture * 0.6
    light = lambda exposure: (
        (develop(dim, dataclasses.replace(PLAIN, exposure=exposure)) / 255.0) ** 2.2
    )
    once, twice = light(1.0), light(2.0)
    usual = (once > 0.05) & (twice < 0.75)
    assert usual.mean() > 0.2
    np.testing.assert_allclose(twice[usual] / once[usual], 2, rtol=0.06)


def test_white_balance_scales_the_light_of_each_colour():
    grey = np.full((8, 8, 3), 0.5)
    balance = (1.2, 1.0, 0.8)
    developed = develop(grey, dataclasses.replace(PLAIN, white_balance=balance))
    light = (developed[0, 0] / 255.0) ** 2.2 / 0.5**2.2
    np.testing.assert_allclose(light, balance, rtol=0.02)


def test_contrast_turns_about_mid_grey():
    values = np.array([0.3, 0.5, 0.7])
    picture = np.broadcast_to(values[:, None, None], (3, 3, 3))
    developed = (
        develop(picture, dataclasses.replace(PLAIN, contrast=1.5))[:, 0, 0] / 255
    )
    np.testing.assert_allclose(developed, 0.5 + 1.5 * (values - 0.5), atol=0.003)


def test_a_vignette_darkens_the_corners_alone():
    grey = np.full((65, 65, 3), 0.5)
    developed = develop(grey, dataclasses.replace(PLAIN, vignette=0.3))[..., 0] / 255.0
    light = developed**2.2 / 0.5**2.2
    assert light[32, 32] == pytest.approx(1, abs=0.02)
    assert light[0, 0] == pytest.approx(0.7, abs=0.03)
    np.testing.assert_array_equal(developed, developed[::-1, ::-1])


def test_blur_is_relative_to_the_size_and_keeps_the_light():
    for size in (64, 128):
        picture = np.zeros((size, size, 3))
        picture[size // 2 :] = 0.8
        blurred = (
            develop(picture, dataclasses.replace(PLAIN, blur=8.0))[:, 0, 0] / 255.0
        )
        light = blurred**2.2 / 0.8**2.2
        width = np.interp(0.84, light, np.arange(size)) - np.interp(
            0.16, light, np.arange(size)
        )
        assert width / size == pytest.approx(2 * 8 / 256, rel=0.15), "two sigma"


def test_grain_has_the_stated_deviation_and_its_seed():
    grey = np.full((128, 128, 3), 0.5)
    grainy = dataclasses.replace(PLAIN, noise=0.02, seed=3)
    developed = develop(grey, grainy)
    assert developed.std() / 255 == pytest.approx(0.02, rel=0.05)
    assert abs(developed.mean() / 255 - 0.5) < 1e-3
    np.testing.assert_array_equal(develop(grey, grainy), developed)
    other = develop(grey, dataclasses.replace(grainy, seed=4))
    assert (other != developed).mean() > 0.7


@pytest.mark.parametrize("quality, form", [(0, "PNG"), (60, "JPEG"), (97, "JPEG")])
def test_files_decode_to_the_picture(picture, quality, form):
    development = dataclasses.replace(PLAIN, quality=quality)
    developed = develop(picture, development)
    data = encode(developed, development)
    image = Image.open(io.BytesIO(data))
    assert image.format == form and image.size == (64, 64) and image.mode == "RGB"
    error = np.abs(np.asarray(image).astype(int) - developed)
    assert error.max() == 0 if quality == 0 else 0 < error.mean() < 4
    assert encode(developed, development) == data


def test_a_lower_quality_makes_a_smaller_file(picture):
    noisy = develop(picture, dataclasses.replace(PLAIN, noise=0.02))
    sizes = [
        len(encode(noisy, dataclasses.replace(PLAIN, quality=quality)))
        for quality in (60, 80, 97)
    ]
    assert sizes == sorted(sizes) and sizes[0] < 0.7 * sizes[-1]


def test_the_same_seed_gives_the_same_bytes(picture):
    pair = []
    for _ in range(2):
        development = sample_development(np.random.default_rng(11))
        pair.append(encode(develop(picture, development), development))
    assert pair[0] == pair[1]


def test_drawn_developments_stay_within_their_ranges():
    drawn = [sample_development(np.random.default_rng(seed)) for seed in range(100)]
    for one in drawn:
        assert 0.5 < one.exposure < 1.9 and 0.8 < one.contrast < 1.25
        assert len(one.white_balance) == 3 and one.white_balance[1] == 1
        assert all(0.75 < factor < 1.3 for factor in one.white_balance)
        assert 0 <= one.vignette <= 0.3 and 0 <= one.blur < 1
        assert 0 < one.noise < 0.03 and 60 <= one.quality < 100
    assert {one.vignette > 0 for one in drawn} == {True, False}
    assert {one.blur > 0 for one in drawn} == {True, False}
    assert len({one.seed for one in drawn}) == len(drawn)
