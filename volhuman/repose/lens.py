"""How a figure before a camera becomes joints in pixels with depth.

The network reads joints as x, y in pixels and a depth in pixels that is 0 at the
pelvis. The paper leaves the depth open; the rule here is that of the synthetic people,
`depth = (Z - Z_pelvis) * f / Z_pelvis`, so that a bone is as long across the picture as
into it. (The published code leaves this conversion to its user.)

Camera axes: x right, y down, z away from the camera. A figure is measured in pixels at
the distance of its pelvis, `(X, Y, Z - Z_pelvis) * f / Z_pelvis` with X, Y from the
optical axis: lengths in it are true up to one factor, whatever the perspective does.
"""

import dataclasses

import numpy as np

from volhuman.repose.figure import PELVIS

# What comes closer to the camera than this share of the pelvis's distance is seen as
# if it stayed there.
_NEAREST = 0.1


@dataclasses.dataclass(frozen=True)
class Lens:
    """The camera of a photograph, without distortion.

    Attributes:
        inverse_focal: One over the focal length in pixels; 0 sees without perspective.
        centre: `(2,)` the optical axis in pixels; without perspective any point.
    """

    inverse_focal: float = 0.0
    centre: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(2))


def project(lens: Lens, points: np.ndarray) -> np.ndarray:
    """Projects figures to pixels.

    Args:
        lens: The camera.
        points: `(..., P, 3)` camera axes, pixels at the distance where z is 0.

    Returns:
        `(..., P, 3)`: x, y in pixels and the depth in pixels, 0 at the pelvis.
    """
    near = np.maximum(1 + points[..., 2:] * lens.inverse_focal, _NEAREST)
    pelvis = slice(PELVIS, PELVIS + 1)
    depth = (points[..., 2:] - points[..., pelvis, 2:]) / near[..., pelvis, :]
    return np.concatenate([lens.centre + points[..., :2] / near, depth], axis=-1)


def unproject(lens: Lens, joints: np.ndarray) -> np.ndarray:
    """Inverse of `project` for figures whose pelvis is at z = 0."""
    near = np.maximum(1 + joints[..., 2:] * lens.inverse_focal, _NEAREST)
    return np.concatenate(
        [(joints[..., :2] - lens.centre) * near, joints[..., 2:]], axis=-1
    )
