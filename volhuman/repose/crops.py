"""The square part of a photograph that the network sees.

A person must be as large in it as in the pictures that the network was trained on. In
those of `people.cameras` the size of a person (`figure.figure_size`) is 0.67 of the
side in the median, 0.59 to 0.75 in 90 of 100 pictures, and the joints reach over 0.79
of the side at most in 95 of 100.
"""

import numpy as np

from volhuman.geometry.camera import Crop

_SHARE, _LEAST_SHARE = 0.67, 0.56
_REACH = 0.8


def choose_crop(
    size: float, source: np.ndarray, targets: np.ndarray, *, reach: float = _REACH
) -> Crop:
    """Chooses a crop by the size of a person, with room for what they will do.

    Args:
        size: Size of the person in pixels, above 0.
        source: `(J, 2)` joints in the photograph, pixels.
        targets: `(N, 2)` joints that should be inside too.
        reach: Share of the side that the joints may take.

    Returns:
        The crop. All joints are in the middle where they fit; if they do not, the
        person of the photograph is inside and the targets are as far as possible.
    """
    both = np.concatenate([source, targets])
    low, high = both.min(0), both.max(0)
    own_low, own_high = source.min(0), source.max(0)
    side = np.clip((high - low).max() / reach, size / _SHARE, size / _LEAST_SHARE)
    side = max(side, (own_high - own_low).max())
    # The middle of all, unless that pushes the person to the border.
    room = np.maximum(reach * side - (own_high - own_low), 0) / 2
    own = (own_low + own_high) / 2
    centre = np.clip((low + high) / 2, own - room, own + room)
    return Crop(centre.astype(np.float32), np.float32(side))


def crop_joints(joints: np.ndarray, crop: Crop, size: int) -> np.ndarray:
    """Converts joints `(..., 3)` from pixels of the photograph to those of a crop."""
    corner = np.array([*(crop.centre - crop.size / 2), 0.0])
    return (joints - corner) * (size / float(crop.size))
