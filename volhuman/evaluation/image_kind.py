"""Images of a folder: SSIM over all, foreground and background, PSNR, L1, LPIPS."""

import functools
from collections.abc import Iterable
from pathlib import Path

import jax
import numpy as np

from volhuman.data.images import list_photographs, read_photograph
from volhuman.errors import InputError
from volhuman.evaluation.config import EvaluateConfig
from volhuman.evaluation.images import (
    SSIM_PROTOCOLS,
    SsimProtocol,
    mean_absolute_error,
    pooled_data_range,
    psnr,
    ssim,
    ssim_background,
    ssim_foreground,
)
from volhuman.evaluation.kinds import Kind, chosen_variants, protocol_for
from volhuman.evaluation.lpips import lpips
from volhuman.evaluation.lpips_weights import read_lpips_weights
from volhuman.evaluation.protocol import NotAvailable

_NO_WEIGHTS = NotAvailable(
    "not computed",
    "LPIPS needs the weights of a network: give --config.lpips_backbone and "
    "--config.lpips_linear",
)


def image_kind(config: EvaluateConfig) -> Kind:
    """Returns how images are read and measured.

    Raises:
        InputError: If an option has a value that images do not have, or the weights of
            LPIPS cannot be read.
    """
    if config.alignment != "none":
        raise InputError(
            f"--config.alignment is {config.alignment!r}, but images are not aligned; "
            "leave it out"
        )
    chosen = [SSIM_PROTOCOLS[n] for n in chosen_variants(config, list(SSIM_PROTOCOLS))]
    weights = None
    if config.lpips_backbone:
        weights = read_lpips_weights(config.lpips_backbone, config.lpips_linear or None)
    elif config.lpips_linear:
        raise InputError(
            "--config.lpips_linear is given without a network; add "
            "--config.lpips_backbone"
        )
    ranges = _ranges(config, chosen)
    return Kind(
        list_items=_list_images,
        read=_read,
        check_truth=_check_truth,
        measure=functools.partial(
            _measure, chosen=chosen, ranges=ranges, weights=weights
        ),
        protocols=_protocols(config, chosen, ranges, weights),
        absent={} if weights else {"LPIPS": _NO_WEIGHTS},
    )


def _list_images(folder: str) -> dict[str, Path]:
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: not a folder; give a folder of pictures")
    items: dict[str, Path] = {}
    for path in list_photographs(folder):
        if path.stem in items:
            raise InputError(
                f"{path}: {items[path.stem].name} has the same stem; keep one of them"
            )
        items[path.stem] = path
    return items


def _read(path: Path) -> np.ndarray:
    return read_photograph(path).rgb


def _ranges(config: EvaluateConfig, chosen: list[SsimProtocol]):
    """Data range by variant, None where its protocol states it."""
    ranges: dict[str, float | None] = {}
    for protocol in chosen:
        ranges[protocol.name] = None
        if protocol.data_range is None:
            images = _readable([config.prediction, config.truth])
            try:
                ranges[protocol.name] = pooled_data_range(images, protocol)
            except ValueError as error:
                raise InputError(
                    f"{config.truth}: none of the pictures can be read"
                ) from error
    return ranges


def _readable(folders: list[str]) -> Iterable[np.ndarray]:
    """All images that can be read, one at a time; the others are named later."""
    for folder in folders:
        for path in _list_images(folder).values():
            try:
                yield _read(path)
            except InputError:
                continue


def _protocols(config, chosen, ranges, weights):
    """Protocols in the order of the values of `_measure`."""
    protocols = []
    for variant in chosen:
        extra = {
            "window": f"{variant.window} {variant.window_size}",
            "covariance": variant.covariance,
            "interval": f"{variant.interval[0]:g} to {variant.interval[1]:g}",
            "data_range": ranges[variant.name] or variant.data_range,
            "colour": variant.colour,
        }
        metrics = ["SSIM"] + ["SSIM foreground", "SSIM background"] * bool(config.mask)
        protocols += [
            protocol_for(config, m, variant.name, higher_is_better=True, extra=extra)
            for m in metrics
        ]
    ratio = protocol_for(config, "PSNR", "rgb", unit="dB", higher_is_better=True)
    protocols += [ratio, protocol_for(config, "L1", "rgb")]
    if weights is not None:
        extra = {"version": "0.1", "weights_sha256": weights.digest}
        protocols.append(protocol_for(config, "LPIPS", weights.net, extra=extra))
    return protocols


def _check_truth(path: Path, truth: np.ndarray, mask: np.ndarray | None) -> None:
    if mask is None:
        return
    if mask.shape != truth.shape:
        raise InputError(
            f"{path}: its mask has {_size(mask)} pixels (height x width), expected "
            f"{_size(truth)} as the picture"
        )
    inside = _inside(mask)
    if inside.all() or not inside.any():
        raise InputError(
            f"{path}: its mask is all {'white' if inside.all() else 'black'}, expected "
            "white where the person is and black elsewhere"
        )


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]} x {image.shape[1]}"


def _inside(mask: np.ndarray) -> np.ndarray:
    return mask.mean(-1) > 0.5


def _measure(prediction, truth, mask, *, chosen, ranges, weights):
    if prediction.shape != truth.shape:
        raise InputError(
            f"the picture has {_size(prediction)} pixels (height x width), expected "
            f"{_size(truth)} as the true one"
        )
    values = []
    try:
        for variant in chosen:
            data_range = ranges[variant.name]
            values.append(_ssim(prediction, truth, variant, data_range=data_range))
            if mask is not None:
                pair = prediction, truth, _inside(mask), variant
                values.append(_foreground(*pair, data_range=data_range))
                values.append(_background(*pair, data_range=data_range))
        values += [_psnr(prediction, truth), _l1(prediction, truth)]
        if weights is not None:
            values.append(_lpips(prediction, truth, weights))
    except ValueError as error:  # smaller than a window
        raise InputError(str(error)) from error
    return [float(value) for value in values]


_ssim = jax.jit(ssim, static_argnums=2)
_foreground = jax.jit(ssim_foreground, static_argnums=3)
_background = jax.jit(ssim_background, static_argnums=3)
_psnr = jax.jit(psnr)
_l1 = jax.jit(mean_absolute_error)
_lpips = jax.jit(lpips)
