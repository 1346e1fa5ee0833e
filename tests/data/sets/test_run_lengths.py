"""COCO's run lengths: round trips, and text that pycocotools wrote."""

import numpy as np
import pytest

from volhuman.data.sets.run_lengths import decode_mask, encode_mask

# Written by pycocotools 2.0.11.
RECTANGLES = "4161M000004"  # 5 x 7
DISC = (
    "^[:e0V7:H6J6K4K6K4M2M4L4M2N2M4M2N2N2N2N2N2N2N2N2N2O0O2N2N2O0O2O0O2N2O0O2O000O2O0"
    "O2O000O2O000O2O0000000O2O0000000000000000000000000000000000000001N100000001N1000"
    "1N10001N101N10001N101N2N101N101N2N2N101N2N2N2N2N2N2N2N2N2N3L3N2N3L4L3N3L5J5L5J6J"
    "8Fglg0"
)


def _rectangles():
    mask = np.zeros((5, 7), np.uint8)
    mask[1:3, 2:6] = 1
    mask[4, 0] = 1
    return mask


def _disc():
    y, x = np.mgrid[:256, :256]
    return ((x - 100) ** 2 + (y - 120) ** 2 < 60**2).astype(np.uint8)


@pytest.mark.parametrize(
    "mask, text", [(_rectangles(), RECTANGLES), (_disc(), DISC)], ids=["small", "disc"]
)
def test_text_is_that_of_pycocotools(mask, text):
    assert encode_mask(mask) == text
    np.testing.assert_array_equal(decode_mask(text, mask.shape), mask)


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.98, 1])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (13, 29), (256, 256)])
def test_masks_survive_the_round_trip(share, shape):
    mask = (np.random.default_rng(3).random(shape) < share).astype(np.uint8)
    np.testing.assert_array_equal(decode_mask(encode_mask(mask), shape), mask)


def test_runs_go_down_the_columns_and_begin_with_zeros():
    # One 0, two 1s, three 0s: the first column is 0 1, the second 1 0, the third 0 0.
    mask = [[0, 1, 0], [1, 0, 0]]
    np.testing.assert_array_equal(decode_mask([1, 2, 3], (2, 3)), mask)
    np.testing.assert_array_equal(decode_mask("123", (2, 3)), mask)
    np.testing.assert_array_equal(decode_mask([0, 6], (2, 3)), np.ones((2, 3)))


@pytest.mark.parametrize(
    "text, word",
    [
        ("12", "sum to 3"),
        ("1234", "sum"),
        ("12O", "sum"),
        ("12\n", "character"),
        ("12~", "character"),
        ("12P", "ends early"),
        ("P" * 40 + "1", "absurd"),
        ("", "sum to 0"),
    ],
)
def test_text_of_another_mask_is_refused(text, word):
    with pytest.raises(ValueError, match=word):
        decode_mask(text, (2, 3))


def test_a_run_of_absurd_length_allocates_nothing():
    with pytest.raises(ValueError, match="sum"):
        decode_mask([0, 10**15], (2, 3))
