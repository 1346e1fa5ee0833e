"""Fills in the points of the figure that a joint format lacks.

Formats agree on hips, knees, ankles, shoulders, elbows and wrists; those are needed.
Everything else is placed by the proportions of the embedded body's T-pose:

* pelvis, spine, neck and collars lie along the line between the middles of hips and
  shoulders; their offset from it turns with hips and shoulders, interpolated;
* the head lies on the line from the neck to the middle of the ears, or to the top of
  the head, or continues the trunk;
* a hand continues the forearm, a foot lies on the line from ankle to big toe, or turns
  with the hips and bends with the shin;
* nose, eyes and ears turn with the shoulders and bend with the neck.
"""

from collections.abc import Mapping

import numpy as np

from volhuman.repose.figure import FACE_NAMES, POINT_NAMES, rest_points, unit

REQUIRED = tuple(
    f"{side}_{name}"
    for name in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
    for side in ("left", "right")
)
# What else is used where it is given.
EXTRA_NAMES = ("head_top", "left_big_toe", "right_big_toe")
_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck", "left_collar", "right_collar")


def complete_figure(given: Mapping[str, np.ndarray]) -> np.ndarray:
    """Completes the points of one person.

    Args:
        given: Points `(T, 3)` by name, in any right-handed axes and unit; all of
            `REQUIRED`, and any of `figure.POINT_NAMES` and `EXTRA_NAMES`.

    Returns:
        `(T, 29, 3)` float64; what was given is unchanged.

    Raises:
        KeyError: If a required joint is missing.
    """
    points = {name: np.asarray(value, np.float64) for name, value in given.items()}
    trunk = _Trunk(points)
    for name in _TRUNK:
        points.setdefault(name, trunk.place(name))
    if "head" not in points:
        points["head"] = _place_head(points, trunk)
    for side in ("left", "right"):
        hand, foot = f"{side}_hand", f"{side}_foot"
        if hand not in points:
            points[hand] = _continue(points, f"{side}_elbow", f"{side}_wrist", hand)
        if foot not in points and f"{side}_big_toe" in points:
            points[foot] = _along(points, f"{side}_ankle", foot, f"{side}_big_toe")
        elif foot not in points:
            points[foot] = trunk.carry(f"{side}_knee", f"{side}_ankle", foot, 0.0)
    for name in FACE_NAMES:
        if name not in points:
            points[name] = trunk.carry("neck", "head", name, 1.0)
    return np.stack([points[name] for name in POINT_NAMES], axis=1)


class _Trunk:
    """The line from hips to shoulders; its axes turn from the one to the other."""

    def __init__(self, points):
        self.points, self.rest = points, _rest()
        self.hips, self.line = _trunk_line(points)
        self.rest_hips, self.rest_line = _trunk_line(self.rest)
        self.scale = _norm(self.line) / _norm(self.rest_line)

    def place(self, name):
        """The point of this name, where it is in the T-pose."""
        offset = self.rest[name] - self.rest_hips
        share = (offset @ self.rest_line) / (self.rest_line @ self.rest_line)
        across = offset - share * self.rest_line
        turned = _rotate(self._rotation(share), across)
        return self.hips + share * self.line + self.scale * turned

    def carry(self, start, end, name, share):
        """A point beyond the bone from start to end, which the trunk turns there."""
        turned = self._rotation(share)
        bone = _rotate(turned, self.rest[end] - self.rest[start])
        actual = self.points[end] - self.points[start]
        offset = _rotate(turned, self.rest[name] - self.rest[end])
        return self.points[end] + self.scale * _bend(offset, bone, actual)

    def _rotation(self, share):
        """Rotation `(T, 3, 3)` from the T-pose, at this share of the line."""
        return _axes(self.points, self.line, share) @ np.swapaxes(
            _axes(self.rest, self.rest_line, share), -1, -2
        )


def _rest():
    rest = rest_points()
    return rest | {"mid_ear": (rest["left_ear"] + rest["right_ear"]) / 2}


def _trunk_line(points):
    middle = lambda name: (points[f"left_{name}"] + points[f"right_{name}"]) / 2
    return middle("hip"), middle("shoulder") - middle("hip")


def _axes(points, line, share):
    """Left, up along the line, and front as columns; 0 where there is no direction."""
    side = lambda name: unit(points[f"left_{name}"] - points[f"right_{name}"])
    up = unit(line)
    share = np.clip(share, 0, 1)
    left = (1 - share) * side("hip") + share * side("shoulder")
    front = unit(np.cross(left, up))
    return np.stack([np.cross(up, front), up, front], axis=-1)


def _place_head(points, trunk):
    if "left_ear" in points and "right_ear" in points:
        middle = (points["left_ear"] + points["right_ear"]) / 2
        return _along(points | {"mid_ear": middle}, "neck", "head", "mid_ear")
    if "head_top" in points:
        return _along(points, "neck", "head", "head_top")
    return trunk.place("head")


def _along(points, start, name, tip):
    """A point on the line from start to tip, at its share of it in the T-pose."""
    rest = _rest()
    line = rest[tip] - rest[start]
    share = (rest[name] - rest[start]) @ line / (line @ line)
    return points[start] + share * (points[tip] - points[start])


def _continue(points, start, end, name):
    """A point beyond the end of a bone, in the bone's direction."""
    rest = _rest()
    share = _norm(rest[name] - rest[end]) / _norm(rest[end] - rest[start])
    return points[end] + share * (points[end] - points[start])


def _bend(vectors, source, target):
    """Turns vectors by the smallest angle that takes one direction to another."""
    a, b = unit(source), unit(target)
    dot = lambda x, y: (x * y).sum(-1, keepdims=True)
    # For opposite directions this mirrors, which is as good as any half turn.
    middle = dot(a + b, vectors) / np.maximum(1 + dot(a, b), 1e-9) * (a + b)
    return vectors + 2 * dot(a, vectors) * b - middle


def _norm(vectors):
    return np.linalg.norm(vectors, axis=-1, keepdims=True)


def _rotate(matrices, vectors):
    return (matrices @ vectors[..., None])[..., 0]
