"""The part of a photograph that the network sees."""

import numpy as np
import pytest

from volhuman.data.photograph_crops import crop_photograph
from volhuman.geometry.camera import Crop
from volhuman.repose.crops import choose_crop, crop_joints


def _crop(x, y, size):
    return Crop(np.array([x, y], np.float32), np.float32(size))


def test_joints_stay_on_what_they_mark():
    scene = np.zeros((90, 120, 3), np.float32)
    scene[30:33, 70:73] = 1  # around (71.5, 31.5)
    crop = _crop(65, 40, 50)
    x, y, z = crop_joints(np.array([71.5, 31.5, -7.0]), crop, 100)
    picture = crop_photograph(scene, crop, 100)[..., 0]
    rows, columns = np.indices(picture.shape) + 0.5
    mass = picture.sum()
    assert (picture * columns).sum() / mass == pytest.approx(x, abs=0.05)
    assert (picture * rows).sum() / mass == pytest.approx(y, abs=0.05)
    assert z == pytest.approx(-14.0)


def test_people_are_as_large_as_in_training_wherever_the_target_is():
    source = np.array([[100.0, 50.0], [140.0, 150.0]])
    for target, share in [
        (source, 0.67),
        (source + np.array([20, 0]), 0.67),
        (source + np.array([75, 0]), None),
        (source + np.array([900, 0]), 0.56),
    ]:
        crop = choose_crop(100.0, source, target)
        if share is not None:
            assert 100 / crop.size == pytest.approx(share)
        else:
            assert 0.56 < 100 / crop.size < 0.67
        low, high = crop.centre - crop.size / 2, crop.centre + crop.size / 2
        assert (source >= low).all() and (source <= high).all()
        if share != 0.56:
            assert (target >= low).all() and (target <= high).all()


def test_all_joints_are_in_the_middle_where_they_fit():
    source = np.array([[100.0, 50.0], [140.0, 150.0]])
    crop = choose_crop(100.0, source, source + np.array([30, 10]))
    np.testing.assert_allclose(crop.centre, [135, 105])


def test_whoever_is_longer_than_people_are_is_inside_too():
    source = np.array([[0.0, 0.0], [300.0, 20.0]])  # wrong joints
    crop = choose_crop(100.0, source, source + np.array([500, 0]))
    np.testing.assert_allclose(crop.centre[0], 150)
    assert crop.size == 300
