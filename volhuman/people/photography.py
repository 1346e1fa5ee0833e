"""What a camera does to a picture: exposure, colour cast, blur, noise and JPEG."""

import dataclasses
import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter


@dataclasses.dataclass(frozen=True)
class Development:
    """How a picture is developed; by default without change but for the highlights.

    Attributes:
        exposure: Factor on the linear light.
        white_balance: `(3,)` factors on red, green and blue.
        contrast: Factor about mid grey, sRGB.
        vignette: Darkening of the corners, share of the light.
        blur: Gaussian blur in pixels of a picture of 256.
        noise: Standard deviation at mid grey, sRGB in [0, 1].
        quality: JPEG quality, 0 to store without loss.
        seed: Seed of the noise.
    """

    exposure: float = 1.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    vignette: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    quality: int = 0
    seed: int = 0


def sample_development(generator: np.random.Generator) -> Development:
    """Draws a development: from a good camera to a poor, compressed snapshot."""
    cast = 1 + 0.06 * generator.standard_normal(3)
    return Development(
        exposure=float(np.exp(np.clip(0.22 * generator.standard_normal(), -0.6, 0.6))),
        white_balance=tuple(np.clip(cast / cast[1], 0.8, 1.25).tolist()),
        contrast=generator.uniform(0.85, 1.2),
        vignette=generator.uniform(0, 0.3) if generator.random() < 0.4 else 0.0,
        blur=generator.uniform(0.2, 0.9) if generator.random() < 0.4 else 0.0,
        noise=generator.uniform(0.002, 0.022),
        quality=int(generator.integers(60, 98)),
        seed=int(generator.integers(2**31)),
    )


def develop(rgb: np.ndarray, development: Development) -> np.ndarray:
    """Develops a rendered picture.

    Args:
        rgb: `(S, S, 3)` sRGB in [0, 1].
        development: How.

    Returns:
        `(S, S, 3)` uint8; JPEG artefacts are in `encode`.
    """
    size = rgb.shape[0]
    linear = np.asarray(rgb, np.float64) ** 2.2 * development.exposure
    linear = linear * np.asarray(development.white_balance)
    if development.vignette:
        axis = (np.arange(size) + 0.5) * (2 / size) - 1
        squared = axis[:, None] ** 2 + axis[None] ** 2
        linear = linear * (1 - development.vignette * squared / 2)[..., None]
    sigma = development.blur * size / 256
    if sigma:
        linear = gaussian_filter(linear, (sigma, sigma, 0), mode="nearest")
    # Highlights roll off instead of clipping hard.
    linear = np.where(linear > 0.8, 1 - 0.2 * np.exp(-(linear - 0.8) / 0.2), linear)
    encoded = np.clip(linear, 0, 1) ** (1 / 2.2)
    encoded = 0.5 + (encoded - 0.5) * development.contrast
    generator = np.random.default_rng(development.seed)
    grain = generator.standard_normal(encoded.shape) * development.noise
    encoded = encoded + grain * (0.6 + 0.8 * np.clip(encoded, 0, 1))
    return np.round(np.clip(encoded, 0, 1) * 255).astype(np.uint8)


def encode(picture: np.ndarray, development: Development) -> bytes:
    """Encodes a `(S, S, 3)` uint8 picture as JPEG, or PNG where quality is 0."""
    buffer = io.BytesIO()
    image = Image.fromarray(picture)
    if development.quality:
        image.save(buffer, "JPEG", quality=development.quality)
    else:
        image.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
