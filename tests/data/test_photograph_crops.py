"""Crops of photographs, resampled for networks."""

import numpy as np
import pytest
from PIL import Image

from volhuman.data.photograph_crops import crop_photograph
from volhuman.geometry.camera import Crop


def _crop(x, y, size):
    return Crop(np.array([x, y], np.float32), np.float32(size))


def _scene(height=90, width=120):
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([x / width, y / height, 0.5 + 0.4 * np.sin(x / 9)], -1).astype(
        np.float32
    )


@pytest.mark.parametrize("size", [16, 64, 200])
def test_a_ramp_stays_a_ramp_at_any_size(size):
    picture = crop_photograph(_scene(), _crop(60, 45, 50), size)
    centres = 35 + (np.arange(size) + 0.5) * 50 / size
    np.testing.assert_allclose(picture[size // 2, :, 0], centres / 120, atol=2e-3)
    rows = 20 + (np.arange(size) + 0.5) * 50 / size
    np.testing.assert_allclose(picture[:, size // 3, 1], rows / 90, atol=2e-3)


@pytest.mark.parametrize("size", [20, 60])
def test_inside_it_is_the_bicubic_of_pillow(size):
    scene = np.random.default_rng(0).random((90, 120)).astype(np.float32)
    ours = crop_photograph(np.stack([scene] * 3, -1), _crop(57.5, 45, 40), size)[..., 0]
    theirs = Image.fromarray(scene).resize(
        (size, size), Image.Resampling.BICUBIC, box=(37.5, 25, 77.5, 65)
    )
    # Pillow does not look beyond the box.
    inner = slice(size // 5, -(size // 5))
    theirs = np.clip(np.asarray(theirs), 0, 1)
    np.testing.assert_allclose(ours[inner, inner], theirs[inner, inner], atol=1e-5)


def test_beyond_the_photograph_its_border_is_repeated():
    picture = crop_photograph(_scene(), _crop(0, 45, 60), 30)
    np.testing.assert_allclose(picture[:, :13, 0], picture[:, :1, 0].repeat(13, 1))
    assert np.ptp(picture[15, 17:, 0]) > 0.1
    whole = crop_photograph(_scene(), _crop(60, 45, 4000), 32)
    np.testing.assert_allclose(whole[0, 0, :2], [0.5 / 120, 0.5 / 90], atol=1e-6)
    np.testing.assert_allclose(whole[-1, -1, :2], [1 - 0.5 / 120, 1 - 0.5 / 90])


def test_fine_texture_is_averaged_and_not_aliased():
    stripes = np.zeros((256, 256, 3), np.float32)
    stripes[:, ::2] = 1
    picture = crop_photograph(stripes, _crop(128, 128, 240), 29)
    np.testing.assert_allclose(picture, 0.5, atol=0.02)


def test_values_stay_in_range():
    edges = (np.indices((40, 40, 3)).sum(0) // 5 % 2).astype(np.float32)
    picture = crop_photograph(edges, _crop(20, 20, 30), 64)
    assert picture.min() >= 0 and picture.max() <= 1 and picture.dtype == np.float32
