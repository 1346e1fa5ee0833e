"""Square parts of photographs as networks see them."""

import numpy as np
import scipy.sparse

from volhuman.geometry.camera import Crop


def crop_photograph(rgb: np.ndarray, crop: Crop, size: int) -> np.ndarray:
    """Resamples a crop with a cubic that is widened where it shrinks.

    Beyond the photograph its border is repeated.

    Args:
        rgb: `(H, W, 3)` in [0, 1].
        crop: The crop.
        size: Side of the result in pixels.

    Returns:
        `(size, size, 3)` float32 in [0, 1].
    """
    x, y = crop.centre - crop.size / 2
    rows = _resampling(y, crop.size, size, rgb.shape[0])
    columns = _resampling(x, crop.size, size, rgb.shape[1])
    first, last = np.unique(columns.indices)[[0, -1]]
    band = rgb[:, first : last + 1]
    tall = rows @ band.reshape(len(band), -1)
    wide = tall.reshape(size, -1, 3).transpose(1, 0, 2).reshape(-1, size * 3)
    picture = columns[:, first : last + 1] @ wide
    picture = picture.reshape(size, size, 3).transpose(1, 0, 2)
    return np.clip(picture, 0, 1).astype(np.float32)


def _resampling(start, length, size, count):
    """Weights `(size, count)` of one axis, sparse."""
    step = float(length) / size
    width = max(step, 1.0)
    centres = start + (np.arange(size) + 0.5) * step
    taps = np.floor(centres - 2 * width)[:, None] + np.arange(int(4 * width) + 2)
    distance = np.abs(taps + 0.5 - centres[:, None]) / width
    weights = np.where(
        distance < 1,
        (1.5 * distance - 2.5) * distance**2 + 1,
        np.where(
            distance < 2, ((2.5 - 0.5 * distance) * distance - 4) * distance + 2, 0
        ),
    )
    weights /= weights.sum(1, keepdims=True)
    columns = np.clip(taps, 0, count - 1).astype(int)
    rows = np.repeat(np.arange(size), taps.shape[1])
    return scipy.sparse.csr_array(
        (weights.ravel(), (rows, columns.ravel())), shape=(size, count)
    )
