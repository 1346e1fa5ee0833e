"""Lets a photographed person do what a target shows, as joints in the photograph.

The target's directions of bones are kept. By default the bones get the lengths of the
photographed person, who stays over the same place of the picture: the lowest joint is
as high in it as the lowest joint of the photograph. Up in the picture is taken as the
vertical.
"""

import dataclasses

import numpy as np
from scipy.ndimage import gaussian_filter1d

from volhuman.checks import check_option
from volhuman.repose.figure import (
    PELVIS,
    bone_lengths,
    figure_size,
    heading,
    set_lengths,
    turn,
)
from volhuman.repose.joint_files import Seen
from volhuman.repose.lens import project
from volhuman.repose.targets import Target

PROPORTIONS = ("source", "target")
FACINGS = ("auto", "source", "recorded")
_UPRIGHT = np.array([1.0, -1.0, -1.0])  # camera axes to y up, and back
# Feet sink into the ground in some frames of most recordings.
_GROUND_PERCENTILE = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Placement:
    """How a target is carried over.

    Attributes:
        proportions: "source" gives bones the lengths of the photographed person,
            "target" keeps the proportions and fits the size.
        facing: "source" turns the first frame about the vertical until it faces as the
            person in the photograph, "recorded" turns nothing; "auto" leaves what a
            camera saw and turns poses and motions.
        travel: Follow the path of the pelvis over the ground, which is otherwise left
            out. Its height is followed in any case where the target tells it.
        smoothing: Standard deviation, in frames, of a Gaussian over time; 0 for none.
    """

    proportions: str = "source"
    facing: str = "auto"
    travel: bool = False
    smoothing: float = 0.0


def place_target(source: Seen, target: Target, placement: Placement) -> np.ndarray:
    """Gives the joints of the photographed person in every frame of the target.

    A target whose file tells no height of the pelvis stands on the ground in every
    frame.

    Args:
        source: The photographed person, one frame.
        target: What to do.
        placement: Options; `travel` needs a target with a path.

    Returns:
        `(T, 29, 3)`: x, y in pixels of the photograph and depth in pixels, 0 at the
        pelvis. Equal to the source's own where the target shows its pose, and left and
        right bones are equally long.

    Raises:
        ValueError: If an option is unknown, or a path is missing.
    """
    check_option("proportions", placement.proportions, PROPORTIONS)
    check_option("facing", placement.facing, FACINGS)
    if placement.travel and target.path is None:
        raise ValueError("travel needs a target that tells where the pelvis is")
    pelvis = source.points[0, PELVIS]
    own = (source.points[0] - pelvis) * _UPRIGHT
    scale = figure_size(own) / max(np.median(figure_size(target.points)), 1e-9)
    points = _smooth(target.points, placement.smoothing) * scale
    if placement.proportions == "source":
        points = set_lengths(points, bone_lengths(own))
    path = np.zeros((len(points), 3))
    if target.path is not None:
        path = _smooth(target.path - target.path[0], placement.smoothing) * scale
    if placement.facing == "source" or (
        placement.facing == "auto" and not target.is_seen
    ):
        angle = heading(own) - heading(points[0])
        points, path = turn(points, angle), turn(path, angle)
    path[:, 1] += _ground_offset(points, path, target, own)
    if not placement.travel:
        path[:, [0, 2]] = 0
    return project(source.lens, (points + path[:, None]) * _UPRIGHT + pelvis)


def _ground_offset(points, path, target, own):
    """What lifts the target to the ground that the photographed person stands on."""
    lowest = points[..., 1].min(-1)
    if target.path is None:
        return own[:, 1].min() - lowest
    return own[:, 1].min() - np.percentile(lowest + path[:, 1], _GROUND_PERCENTILE)


def _smooth(values, deviation):
    if not deviation or len(values) == 1:
        return values.copy()
    return gaussian_filter1d(values, deviation, axis=0, mode="nearest")
