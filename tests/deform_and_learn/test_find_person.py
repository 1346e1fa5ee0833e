"""Which part of a photograph the regressor looks at."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from volhuman.body.keypoints import KEYPOINT_NAMES
from volhuman.data.images import Photograph
from volhuman.data.keypoints import Keypoints
from volhuman.deform_and_learn.find_person import find_person, parse_box, read_mask
from volhuman.errors import InputError


def _photograph(mask=None):
    rgb = np.full((100, 160, 3), 0.5, np.float32)
    return Photograph(Path("photo.png"), rgb, mask, ())


def _mask(rows, columns):
    mask = np.zeros((100, 160), bool)
    mask[rows, columns] = True
    return mask


def _keypoints():
    positions = np.zeros((len(KEYPOINT_NAMES), 2), np.float32)
    positions[:2] = [[30, 20], [50, 80]]
    confidence = np.zeros(len(KEYPOINT_NAMES), np.float32)
    confidence[:2] = 1
    return Keypoints(positions, confidence)


def test_the_most_certain_evidence_decides():
    alpha = np.zeros((100, 160), np.float32)
    alpha[10:30, 100:120] = 1
    given = {
        "keypoints": _keypoints(),
        "mask": _mask(slice(40, 60), slice(10, 20)),
        "box": (60, 30, 20, 40),
    }
    expected = [("key points", (40, 50)), ("mask", (15, 50)), ("box", (70, 50))]
    for name, centre in expected:
        crop, source = find_person(_photograph(alpha), **given)
        assert source == name
        np.testing.assert_allclose(crop.centre, centre)
        del given[next(iter(given))]
    crop, source = find_person(_photograph(alpha))
    assert source == "alpha"
    np.testing.assert_allclose(crop.centre, (110, 20))


def test_doubtful_points_do_not_move_the_crop():
    keypoints = _keypoints()
    keypoints.positions[2:6] = 40
    keypoints.confidence[2:6] = 0.9
    alone, _ = find_person(_photograph(), keypoints=keypoints)
    keypoints.positions[6:8] = [[0, 0], [159, 99]]
    keypoints.confidence[6:8] = 0.02
    crop, _ = find_person(_photograph(), keypoints=keypoints)
    np.testing.assert_array_equal(crop.centre, alone.centre)
    # Where nothing else is there, they are better than nothing.
    keypoints.confidence[:6] = 0
    crop, _ = find_person(_photograph(), keypoints=keypoints)
    np.testing.assert_allclose(crop.centre, (79.5, 49.5))


def test_marks_in_one_spot_are_refused():
    keypoints = _keypoints()
    keypoints.positions[:2] = [[30, 20], [33, 24]]
    with pytest.raises(InputError, match=r"photo\.png: all its marks lie within 4"):
        find_person(_photograph(), keypoints=keypoints)


def test_without_evidence_the_whole_photograph_is_taken():
    opaque = np.ones((100, 160), np.float32)
    chipped = opaque.copy()
    chipped[:2, :9] = 0
    for mask in (None, opaque, chipped):
        crop, source = find_person(_photograph(mask))
        assert source == "whole photograph"
        assert crop.size == 160
        np.testing.assert_allclose(crop.centre, (80, 50))


def test_a_crop_has_the_room_that_training_pictures_have():
    crop, _ = find_person(_photograph(), box=(60, 20, 10, 50))
    assert 1.1 < float(crop.size) / 50 < 1.4


@pytest.mark.parametrize("box", [(200, 10, 50, 50), (-40, 0, 45, 90)])
def test_a_box_beside_the_photograph_is_refused(box):
    with pytest.raises(InputError, match="less than 8 pixels of the photograph"):
        find_person(_photograph(), box=box)


def test_boxes_are_four_numbers():
    assert parse_box(" ") is None
    assert parse_box("1, 2.5,30 ,40") == (1, 2.5, 30, 40)
    for text in ("1,2,3", "1,2,3,x", "1,2,0,4", "nan,1,2,3", "1,2,3,-4", "1;2;3;4"):
        with pytest.raises(InputError, match="expected x, y, width, height"):
            parse_box(text)


def test_masks_are_read_and_checked(tmp_path):
    mask = _mask(slice(40, 60), slice(10, 20))
    Image.fromarray((255 * mask).astype(np.uint8)).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (100, 160)), mask)
    with pytest.raises(InputError, match=r"expected \(90, 160\) as the photograph"):
        read_mask(tmp_path / "m.png", (90, 160))
    Image.fromarray(np.zeros((100, 160), np.uint8)).save(tmp_path / "black.png")
    with pytest.raises(InputError, match="the mask is empty"):
        read_mask(tmp_path / "black.png", (100, 160))
