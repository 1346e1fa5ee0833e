"""Image metrics: structural similarity in its named variants, PSNR, mean difference.

Conventions of every function here: images are `(H, W, C)` floats in [0, 1] with C = 1
or 3, one image per call (batch with `jax.vmap`). NaN in an image makes the result NaN;
nothing is clipped.
"""

import dataclasses
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.checks import check_option, check_shape

_K1, _K2 = 0.01, 0.03
# Rec. 601 luma, the grey of the original implementation.
_LUMA = (0.299, 0.587, 0.114)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SsimProtocol:
    """Everything that changes the value of a structural similarity.

    Attributes:
        name: Name of the variant.
        window: "uniform" or "gaussian".
        window_size: Side of the window in pixels, odd.
        sigma: Standard deviation of the Gaussian in pixels; without effect for a
            uniform window.
        covariance: "sample" divides by N - 1 of the window's N pixels, "population"
            by N.
        interval: What [0, 1] is mapped to before comparing. The similarity is not
            invariant to it: its first term compares means.
        data_range: Range of the values in that interval; None when it is measured over
            all compared images and passed to the functions.
        colour: "rgb" averages over the channels, "grey" compares the Rec. 601 luma.
        crop_border: Leave out of the mean the border of half a window, where the window
            sees mirrored pixels.
    """

    name: str
    window: str = "uniform"
    window_size: int = 7
    sigma: float = 1.5
    covariance: str = "sample"
    interval: tuple[float, float] = (0.0, 1.0)
    data_range: float | None = 1.0
    colour: str = "rgb"
    crop_border: bool = True

    def __post_init__(self):
        check_option("window", self.window, ("uniform", "gaussian"))
        check_option("covariance", self.covariance, ("sample", "population"))
        check_option("colour", self.colour, ("rgb", "grey"))
        if self.window_size < 3 or self.window_size % 2 == 0:
            raise ValueError(
                f"window_size is {self.window_size}, expected an odd number from 3"
            )


SSIM_STANDARD = SsimProtocol(name="standard")
"""scikit-image's defaults with a stated range."""

SSIM_GAUSSIAN = SsimProtocol(
    name="gaussian", window="gaussian", window_size=11, covariance="population"
)
"""Wang et al. 2004, "Image quality assessment", averaged over the colours."""

SSIM_REPOSE = SsimProtocol(name="repose", data_range=None)
"""Knoche et al. 2020, authors' code: one range over all generated and target images."""

SSIM_LWB = SsimProtocol(name="lwb", interval=(-1.0, 1.0), data_range=2.0)
"""Liquid Warping GAN's evaluation: images in [-1, 1]."""

SSIM_PROTOCOLS = {
    protocol.name: protocol
    for protocol in (SSIM_STANDARD, SSIM_GAUSSIAN, SSIM_REPOSE, SSIM_LWB)
}


def pooled_data_range(images: Iterable[np.ndarray], protocol: SsimProtocol) -> float:
    """Returns maximum minus minimum over all images, in the protocol's interval.

    Raises:
        ValueError: If there is no image.
    """
    lowest, highest = np.inf, -np.inf
    for image in images:
        lowest = min(lowest, float(np.min(image)))
        highest = max(highest, float(np.max(image)))
    if not lowest <= highest:
        raise ValueError("images holds no image with finite values")
    low, high = protocol.interval
    return (highest - lowest) * (high - low)


def ssim_map(
    prediction: jax.Array,
    target: jax.Array,
    protocol: SsimProtocol,
    *,
    data_range: float | jax.Array | None = None,
) -> jax.Array:
    """Returns the structural similarity around every pixel.

    At the border the images are mirrored, as scikit-image does.

    Args:
        prediction: `(H, W, C)`.
        target: `(H, W, C)`.
        protocol: The variant.
        data_range: Range of the values, for a protocol that leaves it open.

    Returns:
        `(H, W, C)`, C = 1 for grey; in [-1, 1], 1 for equal windows.

    Raises:
        ValueError: If the shapes disagree, the window does not fit, or the range is
            missing or given twice.
    """
    x, y = _prepare(prediction, target, protocol)
    if (data_range is None) == (protocol.data_range is None):
        raise ValueError(
            f"data_range is {data_range}, but the protocol {protocol.name!r} says "
            f"{protocol.data_range}; give exactly one of them"
        )
    extent = protocol.data_range if data_range is None else data_range
    c1, c2 = (_K1 * extent) ** 2, (_K2 * extent) ** 2
    mean_x, mean_y, xx, yy, xy = _moments(x, y, _window(protocol))
    if protocol.covariance == "sample":
        count = protocol.window_size**2
        xx, yy, xy = (moment * (count / (count - 1)) for moment in (xx, yy, xy))
    means = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return means * (2 * xy + c2) / (xx + yy + c2)


def ssim(
    prediction: jax.Array,
    target: jax.Array,
    protocol: SsimProtocol,
    *,
    data_range: float | jax.Array | None = None,
) -> jax.Array:
    """Returns the mean structural similarity of two images, a scalar.

    Equal to scikit-image's `structural_similarity` for the same options.
    Arguments and errors as `ssim_map`.
    """
    full = ssim_map(prediction, target, protocol, data_range=data_range)
    if protocol.crop_border:
        border = protocol.window_size // 2
        full = full[border : full.shape[0] - border, border : full.shape[1] - border]
    return _mean(full)


def ssim_foreground(
    prediction: jax.Array,
    target: jax.Array,
    mask: jax.Array,
    protocol: SsimProtocol,
    *,
    data_range: float | jax.Array | None = None,
) -> jax.Array:
    """Returns the structural similarity over a mask, a scalar.

    The full map times the mask, divided by the mask's area times the channels; the
    border is not left out.

    Source: Knoche et al., "Reposing Humans by Warping 3D Features", experiments, where
    the mask is that of the target pose.

    Args:
        prediction: `(H, W, C)`.
        target: `(H, W, C)`.
        mask: `(H, W)`, bool or weights in [0, 1].
        protocol: The variant.
        data_range: Range of the values, for a protocol that leaves it open.

    Returns:
        The similarity; NaN for an empty mask.

    Raises:
        ValueError: As `ssim_map`, and if the mask has another size.
    """
    sizes = check_shape("target", target, "H W C")
    check_shape("mask", mask, "H W", H=sizes["H"], W=sizes["W"])
    full = ssim_map(prediction, target, protocol, data_range=data_range)
    weights = jnp.asarray(mask, full.dtype)
    # Where the mask is 0 the map may be NaN for a NaN outside, which counts as well.
    return _mean(full * weights[..., None]) / _mean(weights[..., None])


def ssim_background(
    prediction: jax.Array,
    target: jax.Array,
    mask: jax.Array,
    protocol: SsimProtocol,
    *,
    data_range: float | jax.Array | None = None,
) -> jax.Array:
    """Returns the structural similarity outside a mask; see `ssim_foreground`."""
    rest = 1 - jnp.asarray(mask, jnp.float32)
    return ssim_foreground(prediction, target, rest, protocol, data_range=data_range)


def psnr(
    prediction: jax.Array, target: jax.Array, *, data_range: float = 1.0
) -> jax.Array:
    """Returns the peak signal-to-noise ratio in decibels, infinite for equal images."""
    sizes = check_shape("prediction", prediction, "H W C")
    check_shape("target", target, "H W C", **sizes)
    error = _mean(jnp.square(jnp.asarray(prediction) - jnp.asarray(target)))
    return 10 * jnp.log10(data_range**2 / error)


def mean_absolute_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Returns the mean absolute difference (L1) of two images, a scalar."""
    sizes = check_shape("prediction", prediction, "H W C")
    check_shape("target", target, "H W C", **sizes)
    return _mean(jnp.abs(jnp.asarray(prediction) - jnp.asarray(target)))


def _prepare(prediction, target, protocol):
    """Checked images in the protocol's interval and colour, float32."""
    sizes = check_shape("prediction", prediction, "H W C")
    check_shape("target", target, "H W C", **sizes)
    if min(sizes["H"], sizes["W"]) < protocol.window_size or sizes["C"] not in (1, 3):
        side = protocol.window_size
        raise ValueError(
            f"the images are {jnp.shape(target)}, expected at least ({side}, {side}) "
            "pixels and 1 or 3 channels"
        )
    low, high = protocol.interval
    images = [
        jnp.asarray(image, jnp.float32) * (high - low) + low
        for image in (prediction, target)
    ]
    if protocol.colour == "grey" and sizes["C"] == 3:
        images = [(image * jnp.array(_LUMA)).sum(-1, keepdims=True) for image in images]
    return images


def _window(protocol: SsimProtocol) -> np.ndarray:
    """Weights of the separable window along one axis, summing to 1."""
    offsets = np.arange(protocol.window_size) - protocol.window_size // 2
    weights = np.ones(protocol.window_size)
    if protocol.window == "gaussian":
        weights = np.exp(-0.5 * (offsets / protocol.sigma) ** 2)
    return weights / weights.sum()


def _moments(x, y, weights):
    """Means, variances and covariance of the window around every pixel.

    The difference E[x^2] - E[x]^2 would lose the small variances of flat regions in
    float32. Instead deviations are summed, one axis at a time: the variance in the
    window is the mean of the rows' variances plus the variance of the rows' means.
    """
    reach = len(weights) // 2
    padding = ((reach, reach), (reach, reach), (0, 0))
    mean_x, mean_y = (jnp.pad(image, padding, mode="symmetric") for image in (x, y))
    xx = yy = xy = jnp.zeros_like(mean_x)
    for axis in (1, 0):
        rows = [mean_x, mean_y, xx, yy, xy]
        mean_x, mean_y, xx, yy, xy = (_filter(a, weights, axis) for a in rows)
        for row_x, row_y, weight in zip(
            _shifts(rows[0], weights, axis), _shifts(rows[1], weights, axis), weights
        ):
            dx, dy = row_x - mean_x, row_y - mean_y
            xx, yy, xy = (
                xx + weight * dx * dx,
                yy + weight * dy * dy,
                xy + weight * dx * dy,
            )
    return mean_x, mean_y, xx, yy, xy


def _filter(array, weights, axis):
    shifted = _shifts(array, weights, axis)
    return sum(weight * piece for weight, piece in zip(weights, shifted))


def _shifts(array, weights, axis):
    """The array moved by every offset of the window, cut to where all exist."""
    size = array.shape[axis] - len(weights) + 1
    return [
        jax.lax.slice_in_dim(array, start, start + size, axis=axis)
        for start in range(len(weights))
    ]


def _mean(values: jax.Array) -> jax.Array:
    """The mean, one axis at a time: short float32 sums keep seven digits."""
    return values.mean(1).mean(0).mean()
