"""Key point files: three forms, one order of names, and every refusal by name."""

import json

import numpy as np
import pytest

from volhuman.body.keypoints import BODY25, COCO17, KEYPOINT_INDEX, KEYPOINT_NAMES
from volhuman.data.keypoints import (
    MINIMUM_KEYPOINTS,
    Keypoints,
    check_keypoints,
    read_keypoints,
)
from volhuman.errors import InputError

SHAPE = (200, 100)  # H, W


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "joints.json"
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def _positions(names):
    """A different place inside the photograph for every name."""
    return {name: [3.0 + 2 * i, 5.5 + 3 * i] for i, name in enumerate(names)}


def _flat(names, score=2):
    return [value for place in _positions(names).values() for value in (*place, score)]


def _refused(path, *words):
    with pytest.raises(InputError) as refusal:
        read_keypoints(path)
    message = str(refusal.value)
    assert str(path) in message and "\n" not in message
    for word in words:
        assert word in message
    return message


def _expect(keypoints, names, confidence=1.0):
    """Every name stands at its place with its confidence, every other is absent."""
    places = _positions(names)
    assert keypoints.positions.shape == (len(KEYPOINT_NAMES), 2)
    for name, index in KEYPOINT_INDEX.items():
        assert keypoints.positions[index].tolist() == places.get(name, [0, 0]), name
        expected = confidence if name in places else 0
        assert keypoints.confidence[index] == np.float32(expected), name


# -- forms


@pytest.mark.parametrize(
    "wrap",
    [
        lambda flat: flat,
        lambda flat: {"keypoints": flat},
        lambda flat: {"keypoints": flat, "image_id": 7, "category_id": 1, "score": 0.9},
        lambda flat: [{"keypoints": flat, "image_id": 7}],
        lambda flat: [flat[i : i + 3] for i in range(0, 51, 3)],
        lambda flat: {"keypoints": [flat[i : i + 3] for i in range(0, 51, 3)]},
    ],
    ids=["flat", "annotation", "result", "results list", "triples", "dict of triples"],
)
def test_all_forms_of_coco_read_the_same(write, wrap):
    _expect(read_keypoints(write(wrap(_flat(COCO17)))), COCO17)


@pytest.mark.parametrize("triples", [False, True])
def test_openpose_body25(write, triples):
    flat = _flat(BODY25, 0.25)
    if triples:
        flat = [flat[i : i + 3] for i in range(0, 75, 3)]
    content = {"version": 1.3, "people": [{"pose_keypoints_2d": flat}]}
    _expect(read_keypoints(write(content)), BODY25, 0.25)


def test_openpose_neck_is_not_the_neck_joint(write):
    content = {"people": [{"pose_keypoints_2d": _flat(BODY25, 1)}]}
    confidence = read_keypoints(write(content)).confidence
    assert confidence[KEYPOINT_INDEX["mid_shoulder"]] == 1
    assert confidence[KEYPOINT_INDEX["neck"]] == 0


@pytest.mark.parametrize("wrap", [lambda named: named, lambda named: {"joints": named}])
def test_named_joints_in_any_order_with_null_and_confidence(write, wrap):
    named = _positions(("left_elbow", "head_top", "right_big_toe"))
    named["head_top"].append(0.5)
    named = dict(reversed(named.items())) | {"nose": None}
    keypoints = read_keypoints(write(wrap(named)))
    assert keypoints.positions[KEYPOINT_INDEX["left_elbow"]].tolist() == [3.0, 5.5]
    present = {
        KEYPOINT_NAMES[i]: float(keypoints.confidence[i])
        for i in np.nonzero(keypoints.confidence)[0]
    }
    assert present == {"left_elbow": 1, "head_top": 0.5, "right_big_toe": 1}


@pytest.mark.parametrize("score", [0, 0.0, -1])
def test_a_point_without_confidence_is_missing_whatever_stands_there(write, score):
    flat = _flat(COCO17)
    at = 3 * COCO17.index("left_knee")
    # Other programs write NaN there, which Python's JSON reads.
    flat[at : at + 3] = [float("nan"), -7, score]
    keypoints = read_keypoints(write(flat))
    index = KEYPOINT_INDEX["left_knee"]
    assert keypoints.confidence[index] == 0
    assert keypoints.positions[index].tolist() == [0, 0]
    assert (keypoints.confidence > 0).sum() == 16


def test_coco_visibility_counts_as_present_or_not(write):
    flat = _flat(COCO17)
    flat[2::3] = [0, 1, 2] * 5 + [0, 1]
    confidence = read_keypoints(write(flat)).confidence
    for name, visibility in zip(COCO17, flat[2::3], strict=True):
        assert confidence[KEYPOINT_INDEX[name]] == min(visibility, 1)


# -- refusals


@pytest.mark.parametrize("count", [0, 1, 17, 34, 50, 52, 54, 74, 76])
def test_refuses_another_number_of_values(write, count):
    _refused(write([1.0] * count), f"{count} numbers", "51", "75")


@pytest.mark.parametrize("size", [2, 4])
def test_refuses_lists_that_are_no_triples(write, size):
    _refused(write([[1.0] * size] * 17), "3 numbers")


@pytest.mark.parametrize("count", [0, 2, 3])
def test_openpose_refuses_nobody_and_several_people(write, count):
    person = {"pose_keypoints_2d": _flat(BODY25)}
    message = _refused(write({"people": [person] * count}), "people")
    assert str(count) in message or count == 0


def test_refuses_a_results_list_of_several_people(write):
    person = {"keypoints": _flat(COCO17)}
    _refused(write([person, person]), "2 entries", "one person")


@pytest.mark.parametrize("people", [{}, "x", [[]], [{}], [{"pose_keypoints_2d": 3}]])
def test_openpose_refuses_people_of_another_form(write, people):
    _refused(write({"people": people}))


@pytest.mark.parametrize(
    "wrong, near",
    [("left_elbw", "left_elbow"), ("Nose", "nose"), ("rightknee", "right_knee")],
)
def test_unknown_joint_names_the_nearest(write, wrong, near):
    _refused(write({wrong: [1, 2]}), repr(wrong), repr(near))


def test_a_joint_like_no_other_lists_the_forms(write):
    _refused(write({"qqqq": [1, 2]}), "'qqqq'", "COCO-17", "BODY_25")


@pytest.mark.parametrize(
    "literal", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 400, "1e39"]
)
@pytest.mark.parametrize("place", ["x", "y", "confidence"])
def test_refuses_numbers_that_are_not_finite(write, literal, place):
    entry = {"x": "1", "y": "2", "confidence": "0.5"} | {place: literal}
    path = write('{"left_wrist": [' + ", ".join(entry.values()) + "]}")
    _refused(path, "left_wrist", "finite")


@pytest.mark.parametrize("value", ['"12"', "true", "null", "[1]", "{}"])
def test_refuses_values_that_are_no_numbers(write, value):
    path = write(f'{{"nose": [{value}, 2]}}')
    _refused(path, "nose", repr(json.loads(value)), "expected a number")


@pytest.mark.parametrize("entry", [[], [1], [1, 2, 3, 4], 5, "1,2", {"x": 1, "y": 2}])
def test_refuses_entries_of_another_form(write, entry):
    _refused(write({"nose": entry}), "nose is", "[x, y]")


@pytest.mark.parametrize("content", ['"text"', "3", "null", "true"])
def test_refuses_json_of_another_kind(write, content):
    _refused(write(content), "not a key point file")


# -- against the photograph


def _keypoints(count, place=(50.0, 60.0)):
    positions = np.zeros((len(KEYPOINT_NAMES), 2), np.float32)
    confidence = np.zeros(len(KEYPOINT_NAMES), np.float32)
    positions[:count], confidence[:count] = place, 0.3
    return Keypoints(positions, confidence)


@pytest.mark.parametrize("place", [(0, 0), (100, 200), (0, 200), (99.5, 0.5)])
def test_the_border_belongs_to_the_photograph(place):
    check_keypoints(_keypoints(MINIMUM_KEYPOINTS, place), SHAPE, "joints.json")


@pytest.mark.parametrize("place", [(-0.5, 60), (100.5, 60), (50, -1), (50, 150e3)])
def test_refuses_a_point_outside_the_photograph(place):
    keypoints = _keypoints(MINIMUM_KEYPOINTS)
    keypoints.positions[2] = place
    with pytest.raises(InputError) as refusal:
        check_keypoints(keypoints, SHAPE, "joints.json")
    for word in ("joints.json", KEYPOINT_NAMES[2], f"{place[0]:g}", "100 x 200"):
        assert word in str(refusal.value)
    # The same place does not matter where the point is missing.
    keypoints.confidence[2] = 0
    keypoints.confidence[10] = 1
    check_keypoints(keypoints, SHAPE, "joints.json")


@pytest.mark.parametrize("count", [0, 1, MINIMUM_KEYPOINTS - 1])
def test_refuses_too_few_points(count):
    with pytest.raises(InputError) as refusal:
        check_keypoints(_keypoints(count), SHAPE, "joints.json")
    for word in ("joints.json", str(count), str(MINIMUM_KEYPOINTS)):
        assert word in str(refusal.value)
    check_keypoints(_keypoints(MINIMUM_KEYPOINTS), SHAPE, "joints.json")
