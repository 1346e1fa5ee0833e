"""Pairs of one outfit: what may be drawn, how often, and the list that is published."""

import collections
import json

import numpy as np
import pytest

from volhuman.data.sets.outfits import (
    FramePair,
    group_frames,
    outfit_key,
    read_pairs,
    sample_pairs,
    write_pairs,
)
from volhuman.errors import InputError

# One outfit with many frames, two with few, one with a single frame.
COUNTS = {"001-1": 40, "001-2": 2, "002-1": 3, "003-1": 1}
NAMES = [
    f"{outfit.replace('-', '/')}/1/{frame:03d}"
    for outfit, count in COUNTS.items()
    for frame in range(count)
]
GROUPS = group_frames(NAMES, 2)


def test_outfits_are_named_by_the_first_components():
    assert outfit_key("001/9/1/000", 2) == "001-9"
    name = "WOMEN/Dresses/id_00000002/02/1_front"
    assert outfit_key(name, 4) == "WOMEN-Dresses-id_00000002-02"
    assert {outfit: len(frames) for outfit, frames in GROUPS.items()} == COUNTS


def test_a_pair_is_two_distinct_frames_of_one_outfit():
    for pair in sample_pairs(GROUPS, 500, seed=0):
        assert pair.source != pair.target
        outfit = outfit_key(pair.source, 2)
        assert outfit == outfit_key(pair.target, 2) != "003-1"
        assert {pair.source, pair.target} <= set(GROUPS[outfit])


def test_outfits_are_drawn_uniformly_however_many_frames_they_have():
    drawn = collections.Counter(
        outfit_key(pair.source, 2) for pair in sample_pairs(GROUPS, 3000, seed=1)
    )
    assert set(drawn) == {"001-1", "001-2", "002-1"}
    # Five standard deviations of a binomial with p = 1/3.
    assert np.abs(np.array(list(drawn.values())) - 1000).max() < 5 * 25.8


def test_frames_come_in_both_orders():
    pairs = {
        (pair.source, pair.target)
        for pair in sample_pairs({"a": ["a/0", "a/1"]}, 30, seed=2)
    }
    assert pairs == {("a/0", "a/1"), ("a/1", "a/0")}


def test_the_draw_depends_on_the_seed_alone():
    pairs = sample_pairs(GROUPS, 50, seed=3)
    backwards = dict(reversed(GROUPS.items()))
    assert sample_pairs(backwards, 50, seed=3) == pairs
    assert sample_pairs(GROUPS, 50, seed=4) != pairs
    # A longer list begins with the shorter one.
    assert sample_pairs(GROUPS, 80, seed=3)[:50] == pairs


def test_no_outfit_with_two_frames_is_refused():
    with pytest.raises(InputError, match="two frames"):
        sample_pairs({"a": ["a/0"], "b": ["b/0"]}, 1, seed=0)


def test_a_published_list_comes_back(tmp_path):
    path = tmp_path / "pairs.json"
    pairs = sample_pairs(GROUPS, 10_000, seed=5)
    write_pairs(path, pairs, data_set="volhuman_iper test", seed=5)
    assert read_pairs(path, NAMES) == pairs
    assert json.loads(path.read_text())["seed"] == 5
    assert [file.name for file in tmp_path.iterdir()] == ["pairs.json"]


@pytest.mark.parametrize(
    "content, word",
    [
        ({"pairs": [["001/1/1/000", "001/1/1/777"]]}, "'001/1/1/777'"),
        ({"pairs": [["001/1/1/000"]]}, "no pair"),
        ({"pairs": [["001/1/1/000", ["x"]]]}, "'x'"),
        ({"pairs": 3}, "a list"),
        ({}, "no 'pairs'"),
    ],
)
def test_lists_that_do_not_fit_the_set_are_refused(tmp_path, content, word):
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=word) as refusal:
        read_pairs(path, NAMES)
    assert str(path) in str(refusal.value)


def test_a_list_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(InputError, match=r"pairs\.json"):
        write_pairs(tmp_path / "no" / "pairs.json", [], data_set="x", seed=0)


def test_pairs_compare_by_value():
    assert FramePair("a", "b") == FramePair("a", "b") != FramePair("b", "a")
