"""Pairs of all pictures of a person."""

import numpy as np
import pytest

from volhuman.data.frame_pairs import FramePairs
from volhuman.errors import InputError


def records(people, pairs=2):
    """Pictures are their numbers: ten times the person plus the frame."""
    return [
        {
            f"image_{end}": np.array(10 * person + 2 * pair + side)
            for side, end in enumerate(("source", "target"))
        }
        for person in range(people)
        for pair in range(pairs)
    ]


@pytest.mark.parametrize("pairs", [1, 2, 3])
def test_every_ordered_pair_of_a_persons_pictures_comes_once(pairs):
    source = FramePairs(records(3, pairs), ["image"], pairs=pairs)
    found = {(int(r["image_source"]), int(r["image_target"])) for r in source}
    frames = range(2 * pairs)
    expected = {
        (10 * person + a, 10 * person + b)
        for person in range(3)
        for a in frames
        for b in frames
        if a != b
    }
    assert found == expected
    assert len(source) == len(expected)


def test_refuses_a_set_with_half_a_person():
    with pytest.raises(InputError, match="3 pairs"):
        FramePairs(records(3, 1), ["image"])
