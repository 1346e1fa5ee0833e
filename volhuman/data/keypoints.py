"""Reads 2D key points in COCO-17, OpenPose BODY_25 and named form.

All forms are JSON and end in the same arrays, in the order of
`body.keypoints.KEYPOINT_NAMES`. Positions are pixels of the photograph.
"""

import dataclasses
import difflib
from pathlib import Path

import numpy as np

from volhuman.body.keypoints import BODY25, COCO17, KEYPOINT_INDEX, KEYPOINT_NAMES
from volhuman.data.json_files import number, read_json
from volhuman.errors import InputError

# Fewer points than this leave the body's orientation and size open.
MINIMUM_KEYPOINTS = 6
# Detectors give what they did not find somewhere, with less confidence than this.
_SURE = 0.2
_FORMS = (
    "COCO-17 (a list of 51 numbers, or {'keypoints': [...]}), OpenPose BODY_25 "
    "({'people': [{'pose_keypoints_2d': [75 numbers]}]}), or named joints "
    "({'left_elbow': [x, y], ...})"
)


@dataclasses.dataclass(frozen=True)
class Keypoints:
    """Key points of one person.

    Attributes:
        positions: `(K, 2)` pixels x, y, 0 for missing ones.
        confidence: `(K,)` in [0, 1], 0 for missing ones.
    """

    positions: np.ndarray
    confidence: np.ndarray


def read_keypoints(path: str | Path) -> Keypoints:
    """Reads the key points of one person; the form is recognised from the file.

    In the forms with a third number it is the confidence; COCO's visibility 1 and 2
    count as present, 0 as missing. OpenPose writes 0, 0, 0 for a missing point. A named
    point may be null.

    Args:
        path: JSON file.

    Returns:
        The key points.

    Raises:
        InputError: If the file has another form, holds no or several people, names an
            unknown joint, or holds a value that is not finite.
    """
    content = read_json(path)
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        content = content[0]
    if isinstance(content, dict) and "people" in content:
        return _from_openpose(content["people"], path)
    if isinstance(content, dict) and "keypoints" in content:
        content = content["keypoints"]
    if isinstance(content, dict) and "joints" in content:
        content = content["joints"]
    if isinstance(content, dict):
        return _from_names(content, path)
    if isinstance(content, list) and any(isinstance(item, dict) for item in content):
        raise InputError(
            f"{path}: the list has {len(content)} entries, expected one person; keep "
            "the entry of the person to fit"
        )
    if isinstance(content, list):
        return _from_list(content, path)
    raise InputError(f"{path}: not a key point file; expected {_FORMS}")


def check_keypoints(
    keypoints: Keypoints, shape: tuple[int, int], path: str | Path
) -> None:
    """Checks that key points can be used with a photograph.

    Args:
        keypoints: Key points.
        shape: (H, W) of the photograph.
        path: File they came from, for the message.

    Raises:
        InputError: If a point lies outside the photograph or too few are present.
    """
    present = np.nonzero(keypoints.confidence > 0)[0]
    height, width = shape
    for index in present:
        x, y = keypoints.positions[index]
        if not (0 <= x <= width and 0 <= y <= height):
            raise InputError(
                f"{path}: {KEYPOINT_NAMES[index]} lies at ({x:g}, {y:g}), outside the "
                f"photograph of {width} x {height} pixels; correct it or set its "
                "confidence to 0"
            )
    if len(present) < MINIMUM_KEYPOINTS:
        names = ", ".join(KEYPOINT_NAMES[index] for index in present) or "none"
        raise InputError(
            f"{path}: {len(present)} key points are present ({names}), expected at "
            f"least {MINIMUM_KEYPOINTS}; mark more points"
        )


def sure_positions(keypoints: Keypoints) -> np.ndarray:
    """Returns the positions `(N, 2)` of the points that say where the person is.

    Points of little confidence are left out where enough others remain.
    """
    present = keypoints.confidence > 0
    sure = keypoints.confidence >= _SURE
    enough = sure.sum() >= MINIMUM_KEYPOINTS
    return keypoints.positions[sure if enough else present]


def _from_openpose(people: object, path) -> Keypoints:
    if not isinstance(people, list) or not people:
        raise InputError(f"{path}: 'people' holds nobody; expected one person")
    if len(people) > 1:
        raise InputError(
            f"{path}: 'people' holds {len(people)} people, expected one; keep the "
            "entry of the person to fit"
        )
    person = people[0]
    numbers = person.get("pose_keypoints_2d") if isinstance(person, dict) else None
    if not isinstance(numbers, list):
        raise InputError(f"{path}: the person has no list 'pose_keypoints_2d'")
    return _from_list(numbers, path)


def _from_list(numbers: list, path) -> Keypoints:
    """A flat list, or a list of triples, of COCO-17 or BODY_25."""
    if numbers and all(isinstance(item, list) for item in numbers):
        if any(len(item) != 3 for item in numbers):
            raise InputError(f"{path}: a key point does not have 3 numbers x, y, score")
        numbers = [value for item in numbers for value in item]
    by_length = {51: COCO17, 75: BODY25}
    if len(numbers) not in by_length:
        raise InputError(
            f"{path}: {len(numbers)} numbers, expected 51 (COCO-17) or 75 (BODY_25)"
        )
    names = by_length[len(numbers)]
    entries = {
        name: numbers[3 * index : 3 * index + 3] for index, name in enumerate(names)
    }
    return _assemble(entries, path)


def _from_names(entries: dict, path) -> Keypoints:
    for name in entries:
        if name not in KEYPOINT_INDEX:
            close = difflib.get_close_matches(str(name), KEYPOINT_NAMES, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"expected {_FORMS}"
            raise InputError(f"{path}: unknown joint {name!r}; {hint}")
    return _assemble(entries, path)


def _assemble(entries: dict, path) -> Keypoints:
    positions = np.zeros((len(KEYPOINT_NAMES), 2), np.float32)
    confidence = np.zeros(len(KEYPOINT_NAMES), np.float32)
    for name, entry in entries.items():
        if entry is None:
            continue
        if not isinstance(entry, list) or len(entry) not in (2, 3):
            raise InputError(
                f"{path}: {name} is {entry!r}, expected [x, y] or [x, y, confidence]"
            )
        score = number(entry[2], path, f"confidence of {name}") if entry[2:] else 1.0
        if score <= 0:
            continue
        index = KEYPOINT_INDEX[name]
        positions[index] = [number(value, path, name) for value in entry[:2]]
        confidence[index] = min(score, 1.0)
    return Keypoints(positions, confidence)
