"""Image metrics: scikit-image as the oracle, masks, border cases."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.color
import skimage.data
import skimage.metrics

from volhuman.evaluation.images import (
    SSIM_GAUSSIAN,
    SSIM_LWB,
    SSIM_PROTOCOLS,
    SSIM_REPOSE,
    SSIM_STANDARD,
    SsimProtocol,
    mean_absolute_error,
    pooled_data_range,
    psnr,
    ssim,
    ssim_background,
    ssim_foreground,
    ssim_map,
)

SSIM = jax.jit(ssim, static_argnums=2)
FULL = jax.jit(ssim_map, static_argnums=2)


def _pair(seed=0, shape=(61, 47, 3)):
    """Smooth pictures with flat regions, an edge and noise; 8-bit values."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]] / 40
    target = np.stack([np.sin(3 * x + k) * np.cos(2 * y) for k in range(3)], -1)
    target = np.clip(0.5 + 0.4 * target, 0, 1)
    target[:20, :20] = 0.7  # flat, where a difference of squares loses all digits
    prediction = target + 0.1 * generator.normal(size=shape)
    prediction[30:, :25] = 1.0
    prediction[:20, :20] = 0.702
    return [
        np.round(np.clip(image, 0, 1) * 255) / 255 for image in (prediction, target)
    ]


def _skimage(prediction, target, protocol, data_range=None, full=False):
    """The oracle in float64, with its own names for the options."""
    low, high = protocol.interval
    images = [image * (high - low) + low for image in (prediction, target)]
    channel_axis = -1
    if protocol.colour == "grey":
        images = [image @ [0.299, 0.587, 0.114] for image in images]
        channel_axis = None
    gaussian = protocol.window == "gaussian"
    result = skimage.metrics.structural_similarity(
        *images,
        win_size=protocol.window_size,
        gaussian_weights=gaussian,
        sigma=protocol.sigma,
        use_sample_covariance=protocol.covariance == "sample",
        data_range=protocol.data_range if data_range is None else data_range,
        channel_axis=channel_axis,
        full=full,
    )
    return result[1] if full else result


def _range(protocol, pair):
    return pooled_data_range(pair, protocol) if protocol.data_range is None else None


VARIANTS = [
    *SSIM_PROTOCOLS.values(),
    dataclasses.replace(SSIM_GAUSSIAN, name="grey", colour="grey"),
    dataclasses.replace(SSIM_GAUSSIAN, name="sample", covariance="sample"),
    SsimProtocol(name="wide", window_size=9, covariance="population"),
]


@pytest.mark.parametrize("protocol", VARIANTS, ids=lambda p: p.name)
@pytest.mark.parametrize("seed", [0, 1])
def test_equals_scikit_image(protocol, seed):
    pair = _pair(seed)
    data_range = _range(protocol, pair)
    expected = _skimage(*pair, protocol, data_range)
    assert 0.1 < expected < 0.9
    value = SSIM(*pair, protocol, data_range=data_range)
    np.testing.assert_allclose(value, expected, atol=1e-6)


@pytest.mark.parametrize("protocol", VARIANTS[:4], ids=lambda p: p.name)
def test_the_map_equals_scikit_image_up_to_the_border(protocol):
    pair = _pair()
    data_range = _range(protocol, pair)
    expected = _skimage(*pair, protocol, data_range, full=True)
    full = FULL(*pair, protocol, data_range=data_range)
    np.testing.assert_allclose(full, expected, atol=3e-6)


def test_equals_scikit_image_on_photographs():
    """Also darkened by a factor of 50, where the variances are tiny."""
    photograph = skimage.data.astronaut()[:256, :256] / 255
    shifted = np.roll(photograph, 3, axis=1)
    for scale in (1, 0.02):
        pair = shifted * scale, photograph * scale
        expected = _skimage(*pair, SSIM_STANDARD)
        np.testing.assert_allclose(SSIM(*pair, SSIM_STANDARD), expected, atol=1e-6)


def test_variants_differ_from_each_other():
    """A protocol whose option had no effect would hide in the tests above."""
    pair = _pair()
    values = [
        float(SSIM(*pair, protocol, data_range=0.9 if p is None else None))
        for protocol in [
            *VARIANTS,
            dataclasses.replace(SSIM_STANDARD, crop_border=False),
        ]
        for p in [protocol.data_range]
    ]
    assert len({round(value, 5) for value in values}) == len(values)


def test_without_cropping_the_mean_is_that_of_the_map():
    pair = _pair()
    protocol = dataclasses.replace(SSIM_STANDARD, crop_border=False)
    expected = _skimage(*pair, protocol, full=True).mean()
    np.testing.assert_allclose(SSIM(*pair, protocol), expected, atol=1e-6)


def test_equal_images_have_similarity_one_and_the_order_does_not_matter():
    prediction, target = _pair()
    for protocol in (SSIM_STANDARD, SSIM_GAUSSIAN, SSIM_LWB):
        np.testing.assert_allclose(SSIM(target, target, protocol), 1, atol=2e-7)
        there, back = (
            SSIM(prediction, target, protocol),
            SSIM(target, prediction, protocol),
        )
        np.testing.assert_allclose(there, back, atol=1e-7)


def test_vmap_and_plain_agree_with_jit():
    pairs = [np.stack(images) for images in zip(_pair(0), _pair(1))]
    mapped = jax.vmap(lambda a, b: ssim(a, b, SSIM_STANDARD))(*pairs)
    single = [ssim(a, b, SSIM_STANDARD) for a, b in zip(*pairs)]
    np.testing.assert_allclose(mapped, single, atol=1e-7)
    np.testing.assert_allclose(SSIM(pairs[0][0], pairs[1][0], SSIM_STANDARD), single[0])


def test_the_gradient_points_towards_the_target():
    prediction, target = _pair()
    gradient = jax.grad(lambda x: ssim(x, target, SSIM_STANDARD))(jnp.array(prediction))
    assert np.isfinite(gradient).all()
    moved = prediction + 0.5 * np.asarray(gradient)
    assert SSIM(moved, target, SSIM_STANDARD) > SSIM(prediction, target, SSIM_STANDARD)


def test_the_pooled_range_spans_all_images():
    images = [np.full((8, 8, 3), 0.2), np.full((8, 8, 3), 0.7)]
    assert pooled_data_range(images, SSIM_REPOSE) == pytest.approx(0.5)
    protocol = dataclasses.replace(SSIM_REPOSE, interval=(-1, 1))
    assert pooled_data_range(images, protocol) == pytest.approx(1.0)
    for nothing in ([], [np.full((8, 8, 3), np.nan)]):
        with pytest.raises(ValueError, match="no image"):
            pooled_data_range(nothing, SSIM_REPOSE)


# -- masks


def test_foreground_and_background_equal_the_masked_means_of_the_oracle(variant):
    prediction, target = _pair()
    mask = np.zeros(target.shape[:2], bool)
    mask[10:50, :20] = True  # reaches the border, which is not left out
    full = _skimage(prediction, target, SSIM_STANDARD, full=True)
    inside = variant(lambda *a: ssim_foreground(*a, SSIM_STANDARD))
    outside = variant(lambda *a: ssim_background(*a, SSIM_STANDARD))
    expected = (full * mask[..., None]).sum() / (mask.sum() * 3)
    np.testing.assert_allclose(inside(prediction, target, mask), expected, atol=1e-6)
    np.testing.assert_allclose(
        outside(prediction, target, mask), full[~mask].mean(), atol=1e-6
    )


def test_a_full_mask_gives_the_mean_without_cropping_and_an_empty_one_nan():
    pair = _pair()
    shape = pair[0].shape[:2]
    protocol = dataclasses.replace(SSIM_STANDARD, crop_border=False)
    full = ssim_foreground(*pair, np.ones(shape), SSIM_STANDARD)
    np.testing.assert_allclose(full, SSIM(*pair, protocol), atol=1e-6)
    assert np.isnan(ssim_foreground(*pair, np.zeros(shape), SSIM_STANDARD))
    assert np.isnan(ssim_background(*pair, np.ones(shape, bool), SSIM_STANDARD))


# -- PSNR and L1


def test_psnr_and_l1_equal_their_oracles(variant):
    prediction, target = _pair()
    expected = skimage.metrics.peak_signal_noise_ratio(target, prediction, data_range=1)
    np.testing.assert_allclose(variant(psnr)(prediction, target), expected, rtol=1e-5)
    wide = psnr(prediction, target, data_range=2.0)
    np.testing.assert_allclose(wide, expected + 20 * np.log10(2), rtol=1e-5)
    l1 = variant(mean_absolute_error)(prediction, target)
    np.testing.assert_allclose(l1, np.abs(prediction - target).mean(), rtol=1e-6)


def test_equal_images_have_infinite_psnr_and_no_difference():
    image = _pair()[0]
    assert np.isposinf(psnr(image, image))
    assert mean_absolute_error(image, image) == 0


# -- bad input


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_makes_every_metric_nan_or_infinite(value):
    prediction, target = _pair()
    prediction[5, 5, 1] = value
    assert not np.isfinite(ssim(prediction, target, SSIM_STANDARD))
    assert not np.isfinite(mean_absolute_error(prediction, target))
    assert not np.isfinite(psnr(prediction, target))
    mask = np.ones(target.shape[:2])
    assert not np.isfinite(ssim_foreground(prediction, target, mask, SSIM_STANDARD))


@pytest.mark.parametrize(
    "function",
    [lambda a, b: ssim(a, b, SSIM_STANDARD), psnr, mean_absolute_error],
    ids=["ssim", "psnr", "l1"],
)
def test_refuses_images_of_different_sizes(function):
    with pytest.raises(ValueError, match="target has shape"):
        function(np.zeros((20, 20, 3)), np.zeros((20, 21, 3)))


def test_refuses_what_the_window_or_the_mask_does_not_fit():
    small, image = np.zeros((6, 20, 3)), np.zeros((20, 20, 3))
    with pytest.raises(ValueError, match="at least"):
        ssim(small, small, SSIM_STANDARD)
    with pytest.raises(ValueError, match="channels"):
        ssim(np.zeros((20, 20, 4)), np.zeros((20, 20, 4)), SSIM_STANDARD)
    with pytest.raises(ValueError, match="mask"):
        ssim_foreground(image, image, np.ones((20, 19)), SSIM_STANDARD)


def test_the_range_is_given_exactly_once():
    image = np.zeros((20, 20, 3))
    for protocol, data_range in ((SSIM_REPOSE, None), (SSIM_STANDARD, 1.0)):
        with pytest.raises(ValueError, match="exactly one"):
            ssim(image, image, protocol, data_range=data_range)


@pytest.mark.parametrize(
    "wrong",
    [{"window": "box"}, {"covariance": "x"}, {"colour": "lab"}, {"window_size": 8}],
)
def test_refuses_an_unknown_protocol(wrong):
    with pytest.raises(ValueError, match="expected"):
        SsimProtocol(name="wrong", **wrong)
