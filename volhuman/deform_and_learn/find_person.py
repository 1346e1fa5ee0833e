"""Where in a photograph the person is: from marks, a mask, a box, or a guess."""

from pathlib import Path

import numpy as np

from volhuman.data.dense import DensePoints
from volhuman.data.images import Photograph, read_photograph
from volhuman.data.keypoints import Keypoints, sure_positions
from volhuman.errors import InputError
from volhuman.geometry.camera import Crop, crop_around

# Side of the pictures of the synthetic people over the extent of all joints and
# landmarks, of the 18 marks that people make, and of the person: medians.
_MARKED, _COVERED = 1.32, 1.21
_LEAST_SIDE = 8
# Share of opaque pixels below which somebody has been cut out.
_CUT_OUT = 0.95
WHOLE = (
    "where the person is was not told, so the whole photograph was taken; give a box, "
    "a mask or key points if the person does not fill it"
)


def find_person(
    photograph: Photograph,
    *,
    keypoints: Keypoints | None = None,
    dense: DensePoints | None = None,
    mask: np.ndarray | None = None,
    box: tuple[float, float, float, float] | None = None,
) -> tuple[Crop, str]:
    """Chooses the square that the regressor looks at.

    The first of these that is there decides: key points and dense annotations, the
    mask, the box, what is opaque in the file, and the whole photograph.

    Args:
        photograph: The photograph.
        keypoints: Key points in pixels.
        dense: Dense annotations in pixels.
        mask: `(H, W)` bool.
        box: x, y, width, height in pixels.

    Returns:
        The crop, and what decided: "key points", "mask", "box", "alpha" or "whole
        photograph".

    Raises:
        InputError: If the box or the mask holds nothing of the photograph, or all marks
            are in one spot.
    """
    marks = []
    if keypoints is not None:
        marks.append(sure_positions(keypoints))
    if dense is not None:
        marks.append(dense.positions)
    if marks:
        positions = np.concatenate(marks)
        extent = np.ptp(positions, axis=0).max()
        if extent < _LEAST_SIDE:
            raise InputError(
                f"{photograph.path}: all its marks lie within {extent:.2g} pixels, "
                f"expected at least {_LEAST_SIDE}; give them in the pixels of this "
                "photograph"
            )
        return crop_around(positions, margin=_MARKED), "key points"
    if mask is not None:
        return _around_mask(mask, photograph.path), "mask"
    if box is not None:
        return _around_box(box, photograph), "box"
    if photograph.mask is not None:
        opaque = photograph.mask > 0.5
        # A few transparent pixels at the rims of an editor's layers cut nobody out.
        if opaque.mean() < _CUT_OUT:
            return _around_mask(opaque, photograph.path), "alpha"
    height, width = photograph.rgb.shape[:2]
    whole = np.array([[0, 0], [width, height]])
    return crop_around(whole, margin=1.0), "whole photograph"


def parse_box(text: str) -> tuple[float, float, float, float] | None:
    """Reads the option box: "x, y, width, height"; None where it is empty.

    Raises:
        InputError: If it has another form.
    """
    if not text.strip():
        return None
    try:
        x, y, width, height = (float(word) for word in text.split(","))
    except ValueError:
        x = y = width = height = np.nan
    if not (np.isfinite([x, y]).all() and 0 < width < 1e6 and 0 < height < 1e6):
        raise InputError(
            f"--config.box is {text!r}, expected x, y, width, height in pixels, such "
            "as --config.box='120, 40, 200, 480'"
        )
    return x, y, width, height


def read_mask(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Reads a mask picture of a photograph: white is the person.

    Args:
        path: Picture; what is transparent is not the person.
        shape: Height and width of the photograph.

    Returns:
        `(H, W)` bool.

    Raises:
        InputError: If it is no picture, of another size, or black.
    """
    picture = read_photograph(path, background=(0.0, 0.0, 0.0))
    if picture.rgb.shape[:2] != shape:
        raise InputError(
            f"{path}: the mask has {picture.rgb.shape[:2]} pixels (height, width), "
            f"expected {shape} as the photograph"
        )
    mask = picture.rgb.mean(-1) > 0.5
    if not mask.any():
        raise InputError(
            f"{path}: the mask is empty, expected white where the person is"
        )
    return mask


def _around_mask(mask: np.ndarray, path: Path) -> Crop:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise InputError(
            f"{path}: the person's mask is empty; give a box or key points"
        )
    corners = [[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]]
    return crop_around(np.array(corners, np.float32), margin=_COVERED)


def _around_box(box, photograph: Photograph) -> Crop:
    x, y, width, height = box
    rows, columns = photograph.rgb.shape[:2]
    seen = min(x + width, columns) - max(x, 0), min(y + height, rows) - max(y, 0)
    if min(seen) < _LEAST_SIDE:
        raise InputError(
            f"{photograph.path}: the box {x:g}, {y:g}, {width:g}, {height:g} has less "
            f"than {_LEAST_SIDE} pixels of the photograph of {columns} x {rows}; give "
            "x, y, width, height in its pixels"
        )
    corners = np.array([[x, y], [x + width, y + height]], np.float32)
    return crop_around(corners, margin=_COVERED)
