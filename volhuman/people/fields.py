"""Where garments and hair cover the body: signed functions of rest coordinates.

Every function takes rest coordinates `(N, 3)` (`people.surface`) and returns about the
distance in metres to the border of the covered region, `(N,)`, positive inside. The
same function places the cloth on the mesh and its colour in the picture, so the two
never disagree, at any resolution.
"""

import numpy as np

from volhuman.people.noise import smoothstep
from volhuman.people.recipe import Footwear, Hair, Lower, Upper

_NECK = {"crew": 0.487, "v": 0.405, "scoop": 0.445, "turtle": 0.57, "collar": 0.475}


def neckline(rest: np.ndarray, kind: str) -> np.ndarray:
    """Returns how far points lie below a neckline."""
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    if kind == "turtle":
        return 0.565 - y
    lowest = _NECK[kind]
    rise = (x / 0.095) ** 1.1 if kind == "v" else (x / 0.09) ** 2
    front = lowest + (0.56 - lowest) * rise
    back = 0.527 + 0.033 * (x / 0.09) ** 2
    t = smoothstep(z, -0.01, 0.055)
    return front * t + back * (1 - t) - y


def upper(rest: np.ndarray, garment: Upper) -> np.ndarray:
    """Covers the trunk and the arms down to hem and cuffs, less an open front."""
    x, y, z = rest.T
    field = np.minimum(
        np.minimum(y - garment.body_hem, garment.sleeve - np.abs(x)),
        neckline(rest, garment.neckline),
    )
    if garment.opening:
        gap = opening(rest, garment)
        field = np.where(z > 0.0, np.minimum(field, np.abs(x) - gap), field)
    return field


def opening(rest: np.ndarray, garment: Upper) -> np.ndarray:
    """Half width of an open front at each height; wider towards the chest."""
    return garment.opening + 0.05 * smoothstep(rest[:, 1], 0.1, 0.5)


def lower(rest: np.ndarray, garment: Lower) -> np.ndarray:
    """Covers hips and legs from the waist to the hems."""
    x, y, _ = rest.T
    field = np.minimum(garment.waist - y, y - garment.hem)
    return np.where(np.abs(x) < 0.3, field, -1.0)


def under_skirt(rest: np.ndarray) -> np.ndarray:
    """Covers the hips where a skirt is worn, so that no skin shows under it."""
    x, y, _ = rest.T
    return np.where(np.abs(x) < 0.3, np.minimum(0.1 - y, y + 0.09), -1.0)


def shoe(rest: np.ndarray, footwear: Footwear) -> np.ndarray:
    """Covers the feet up to the shaft."""
    x, y, z = rest.T
    top = footwear.top
    if footwear.kind == "sneaker":
        top = top + 0.014 * smoothstep(z, 0.02, 0.08)
    elif footwear.kind == "flat":
        top = top + 0.02 * smoothstep(-z, -0.02, 0.03)
    return np.where((np.abs(x) < 0.3) & (footwear.kind != "bare"), top - y, -1.0)


def scalp(rest: np.ndarray, hair: Hair) -> np.ndarray:
    """Covers the hairy part of the head, ears excluded."""
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    nape_to_brow = 0.632 + 0.86 * (z + 0.06)
    temple = 0.742 - 0.9 * np.maximum(x - 0.045, 0)
    line = np.where(z > 0.085, np.maximum(nape_to_brow, temple), nape_to_brow)
    if hair.style in ("bob", "long"):
        line = np.where(z < 0.03, 0.6 + 0.9 * np.maximum(z, 0), line)
    field = y - line
    if hair.style not in ("bob", "long"):
        in_ear = ((z - 0.015) / 0.03) ** 2 + ((y - 0.672) / 0.042) ** 2 < 1
        field = np.where(in_ear & (x > 0.066), -0.01, field)
    return np.where(y > 0.56, field, -1.0)


def arm(rest: np.ndarray) -> np.ndarray:
    """Returns 1 on the arms, 0 on trunk, head and legs, smooth in between."""
    return smoothstep(np.abs(rest[:, 0]), 0.19, 0.23) * (rest[:, 1] > 0.3)
