"""The protocol of Liquid Warping GAN: sources, ranges with both ends, refusals."""

import json

import pytest

from volhuman.data.sets.iper_protocol import (
    FrameRange,
    read_protocol,
    self_imitation_pairs,
)
from volhuman.errors import InputError


def _entry(video, frames=("000.jpg", "120.jpg", "219.jpg"), last=3):
    return {
        "source": list(frames),
        "view": [0, 120, 240],
        "s_n": {"1": [frames[0]], "3": list(frames)},
        "self_imitation": {"target": video, "range": [1, last]},
        "cross_imitation": {"target": "007/1/2", "range": [180, 182]},
        "flag": [180, 182],
    }


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "iPER_protocol.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_videos_come_in_the_order_of_the_file(write):
    path = write({"val": {"010/1/1": _entry("010/1/1"), "001/9/1": _entry("001/9/1")}})
    first, second = read_protocol(path)
    assert (first.video, second.video) == ("010/1/1", "001/9/1")
    assert first.sources == {1: ("000.jpg",), 3: ("000.jpg", "120.jpg", "219.jpg")}
    assert first.self_imitation == FrameRange("010/1/1", 1, 3)
    assert first.cross_imitation == FrameRange("007/1/2", 180, 182)


def test_every_source_generates_every_frame_of_the_range(write):
    long = ("0000.jpg", "0120.jpg", "0219.jpg")
    path = write(
        {"val": {"a/1/1": _entry("a/1/1"), "b/1/2": _entry("b/1/2", long, last=2)}}
    )
    pairs = list(self_imitation_pairs(read_protocol(path)))
    assert len(pairs) == 3 * 3 + 3 * 2
    assert [(pair.source, pair.target) for pair in pairs[:4]] == [
        ("a/1/1/000", "a/1/1/001"),
        ("a/1/1/000", "a/1/1/002"),
        ("a/1/1/000", "a/1/1/003"),
        ("a/1/1/120", "a/1/1/001"),
    ]
    # A longer video has four digits.
    assert (pairs[-1].source, pairs[-1].target) == ("b/1/2/0219", "b/1/2/0002")
    single = self_imitation_pairs(read_protocol(path), num_sources=1)
    assert len(list(single)) == 3 + 2


def test_a_number_of_sources_without_a_list_is_refused(write):
    path = write({"val": {"a/1/1": _entry("a/1/1")}})
    with pytest.raises(InputError, match="none of 8"):
        list(self_imitation_pairs(read_protocol(path), num_sources=8))


def _without(key):
    entry = _entry("a/1/1")
    del entry[key]
    return {"val": {"a/1/1": entry}}


def _with(**changes):
    return {"val": {"a/1/1": _entry("a/1/1") | changes}}


@pytest.mark.parametrize(
    "content, words",
    [
        ({}, ["'val'"]),
        (_without("s_n"), ["a/1/1", "'s_n'"]),
        (_without("cross_imitation"), ["a/1/1", "'cross_imitation'"]),
        (_with(s_n={"3": ["000.jpg"]}), ["'s_n'", "'3'"]),
        (_with(s_n={"1": ["first.jpg"]}), ["'s_n'", "first.jpg"]),
        (_with(self_imitation={"target": "a/1/1"}), ["'range'", "self_imitation"]),
        (_with(self_imitation={"target": "a", "range": [5, 2]}), ["[5, 2]"]),
        (_with(self_imitation={"target": "a", "range": [0.5, 2]}), ["[0.5, 2]"]),
        ('{"val": {"a": {}, "a": {}}}', ["'a'", "twice"]),
        ('{"val": {', ["cut"]),
        ("[]", ["'val'"]),
    ],
)
def test_a_file_of_another_form_is_refused(write, content, words):
    path = write(content)
    with pytest.raises(InputError) as refusal:
        read_protocol(path)
    for word in (str(path), *words):
        assert word in str(refusal.value)
