"""Modes, bit depths, orientations and colour profiles of photographs."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from volhuman.data import images
from volhuman.data.images import read_photograph
from volhuman.errors import InputError

HEIGHT, WIDTH = 70, 90


def _picture(height=HEIGHT, width=WIDTH):
    """A smooth asymmetric uint8 picture `(height, width, 3)`."""
    y, x = np.mgrid[:height, :width]
    channels = (x * 200 / width, y * 200 / height, (x + 2 * y) * 60 / (width + height))
    return (np.stack(channels, axis=-1) + 30).astype(np.uint8)


def _png(width, height, *, depth=8, colour=2, rows=None, chunks=()):
    """A PNG by hand: Pillow cannot write 16-bit colour, nor a header without pixels."""

    def chunk(name, data):
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">2I5B", width, height, depth, colour, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    data += b"".join(chunk(name, content) for name, content in chunks)
    pixels = (
        b"".join(b"\0" + row.tobytes() for row in rows) if rows is not None else b""
    )
    return data + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_exif_orientations_give_identical_arrays(tmp_path, suffix):
    upright = np.dstack([_picture(), _picture()[::-1, :, 0]])
    height, width = upright.shape[:2]
    # From the EXIF standard: where row r and column c of the file lie when seen.
    seen_at = {
        1: lambda r, c: (r, c),
        2: lambda r, c: (r, width - 1 - c),
        3: lambda r, c: (height - 1 - r, width - 1 - c),
        4: lambda r, c: (height - 1 - r, c),
        5: lambda r, c: (c, r),
        6: lambda r, c: (c, width - 1 - r),
        7: lambda r, c: (height - 1 - c, width - 1 - r),
        8: lambda r, c: (height - 1 - c, r),
    }
    results = []
    for orientation, place in seen_at.items():
        shape = (width, height) if orientation >= 5 else (height, width)
        stored = upright[place(*np.indices(shape))]
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.{suffix}"
        options = {"lossless": True, "exact": True} if suffix == "webp" else {}
        Image.fromarray(stored).save(path, exif=exif, **options)
        results.append(read_photograph(path))
    for result in results:
        np.testing.assert_array_equal(result.rgb, results[0].rgb)
        np.testing.assert_array_equal(result.mask, upright[..., 3] / np.float32(255))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_and_undefined_exif(tmp_path):
    path = tmp_path / "a.jpg"
    for content in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"):
        Image.fromarray(_picture()).save(path, exif=content)
        assert read_photograph(path).rgb.shape == (HEIGHT, WIDTH, 3)
    exif = Image.Exif()
    exif[0x0112] = 9
    Image.fromarray(_picture()).save(path, exif=exif)
    assert read_photograph(path).rgb.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_grey_is_scaled(tmp_path, suffix, byte_order):
    grey = _picture()[..., 0]
    path = tmp_path / f"a.{suffix}"
    wide = (grey.astype(np.uint16) * 257 + 40).astype(byte_order + "u2")
    mode = "I;16B" if byte_order == ">" and suffix == "tiff" else "I;16"
    data = wide.tobytes() if mode == "I;16B" else wide.astype("<u2").tobytes()
    Image.frombytes(mode, wide.shape[::-1], data).save(path)
    rgb = read_photograph(path).rgb
    np.testing.assert_allclose(rgb[..., 0], grey / 255, atol=1 / 255)
    np.testing.assert_array_equal(rgb[..., 0], rgb[..., 2])


def test_16_bit_colour_is_scaled(tmp_path):
    rows = (_picture().astype(">u2") * 257).reshape(HEIGHT, -1).astype(">u2")
    path = tmp_path / "a.png"
    path.write_bytes(_png(WIDTH, HEIGHT, depth=16, rows=rows))
    np.testing.assert_allclose(
        read_photograph(path).rgb, _picture() / 255, atol=1 / 255
    )


def test_transparent_colour_of_16_bit_files(tmp_path):
    colour = np.full((HEIGHT, WIDTH, 3), 0x8000, ">u2")
    colour[:, 40:] = 0x2000
    grey = colour[..., 0]
    for kind, rows in ((2, colour.reshape(HEIGHT, -1)), (0, grey)):
        key = (b"tRNS", b"\x80\0" * (3 if kind else 1))
        path = tmp_path / f"{kind}.png"
        content = _png(WIDTH, HEIGHT, depth=16, colour=kind, rows=rows, chunks=[key])
        path.write_bytes(content)
        photograph = read_photograph(path, background=(1, 0, 1))
        np.testing.assert_array_equal(photograph.mask[0, [0, 39, 40]], [0, 0, 1])
        np.testing.assert_array_equal(photograph.rgb[0, 0], [1, 0, 1])


def test_integer_and_float_greyscale(tmp_path):
    grey = _picture()[..., 0]
    path = tmp_path / "a.tiff"
    Image.fromarray(grey.astype(np.int32) * 257).save(path)
    np.testing.assert_allclose(read_photograph(path).rgb[..., 1], grey / 255, atol=1e-5)
    Image.fromarray((grey / 255).astype(np.float32)).save(path)
    np.testing.assert_allclose(read_photograph(path).rgb[..., 1], grey / 255, atol=1e-6)
    for value in (-1, 65536):
        Image.fromarray(np.full((70, 70), value, np.int32)).save(path)
        with pytest.raises(InputError, match=r"not in \[0, 65535\]"):
            read_photograph(path)
    for value in (np.nan, np.inf, -0.01, 1.01):
        picture = (grey / 255).astype(np.float32)
        picture[3, 5] = value
        Image.fromarray(picture).save(path)
        with pytest.raises(InputError, match=r"not in \[0, 1\]"):
            read_photograph(path)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "RGB", "RGBX"])
def test_opaque_modes(mode):
    source = Image.fromarray(_picture()).convert(mode)
    rgb, mask = images._to_arrays("a", source, [])
    assert mask is None and rgb.dtype == np.float32
    expected = np.asarray(source.convert("RGB")) / 255
    np.testing.assert_allclose(rgb, expected, atol=1 / 255)


@pytest.mark.parametrize("mode", ["LA", "La", "PA", "RGBA", "RGBa"])
def test_modes_with_alpha(mode):
    source = Image.fromarray(_picture())
    alpha = Image.fromarray(np.repeat(np.uint8([[255, 128, 0]]), 30, axis=1))
    source = source.resize(alpha.size)
    if mode in ("LA", "La"):
        source = source.convert("L")
    elif mode == "PA":
        source = source.convert("P").convert("PA")
    expected = np.asarray(source.convert("RGB")) / 255
    source.putalpha(alpha)
    premultiplied = mode in ("La", "RGBa")
    rgb, mask = images._to_arrays("a", source.convert(mode), [])
    np.testing.assert_allclose(mask, np.asarray(alpha) / 255, atol=1e-6)
    shown = mask > 0 if premultiplied else mask >= 0
    np.testing.assert_allclose(rgb[shown], expected[shown], atol=2 / 255)


def test_mode_without_a_conversion():
    for mode in ("HSV", "LAB"):
        with pytest.raises(InputError, match=mode):
            images._to_arrays("a.png", Image.new(mode, (70, 70)), [])


def test_hidden_colour_never_shows(tmp_path):
    pixels = np.dstack([_picture(), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    pixels[:30] = 10, 200, 30, 0
    pixels[30:40, :, 3] = 51
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    photograph = read_photograph(path, background=(0.25, 0.5, 1.0))
    np.testing.assert_array_equal(
        photograph.rgb[:30], np.full((30, WIDTH, 3), 1) * [0.25, 0.5, 1]
    )
    expected = 0.2 * pixels[30:40, :, :3] / 255 + 0.8 * np.array([0.25, 0.5, 1])
    np.testing.assert_allclose(photograph.rgb[30:40], expected, atol=1e-6)
    np.testing.assert_allclose(photograph.mask, pixels[..., 3] / 255, atol=1e-6)
    assert read_photograph(path).rgb[0, 0].tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="background"):
        read_photograph(path, background=(0, 255, 0))


def test_palette_transparency_and_opaque_alpha(tmp_path):
    palette = Image.fromarray(
        np.repeat(np.uint8([[0, 1, 2]]), 70, axis=0).repeat(30, 1)
    )
    palette = palette.convert("P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    for transparency, expected in ((1, [1, 0, 1]), (b"\xff\x00\x33", [1, 0, 0.2])):
        for suffix in ("png", "gif"):
            if suffix == "gif" and isinstance(transparency, bytes):
                continue  # GIF knows one transparent index only.
            path = tmp_path / f"a.{suffix}"
            palette.save(path, transparency=transparency)
            photograph = read_photograph(path, background=(0, 0, 0))
            np.testing.assert_allclose(photograph.mask[0, [0, 30, 60]], expected)
            np.testing.assert_array_equal(photograph.rgb[0, 30], [0, 0, 0])
    Image.fromarray(_picture()).convert("RGBA").save(tmp_path / "opaque.png")
    assert read_photograph(tmp_path / "opaque.png").mask is None


def test_adobe_inverted_cmyk_jpeg(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(_picture()).convert("CMYK").save(path, quality=100)
    assert b"Adobe" in path.read_bytes()  # The marker whose ink values are inverted.
    assert np.abs(read_photograph(path).rgb - _picture() / 255).mean() < 0.02


# -- colour profiles


def _profile(kind, space, connection, tags):
    """An ICC version 2 profile of the given tags."""
    white = struct.pack(">3i", 63190, 65536, 54061)  # D50
    tags = {b"wtpt": b"XYZ \0\0\0\0" + white, b"cprt": b"text\0\0\0\0none\0", **tags}
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + bytes(78)
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">2I", start + len(body), len(content))
        body += content
    header = struct.pack(
        ">I4sI4s4s4s", start + len(body), b"", 0x02400000, kind, space, connection
    )
    header += bytes(12) + b"acsp" + bytes(28) + white
    return header.ljust(128, b"\0") + table + body


ADOBE_PRIMARIES = [  # Adobe RGB (1998), adapted to D50; columns of XYZ.
    (0.60974, 0.31111, 0.01947),
    (0.20528, 0.62567, 0.06087),
    (0.14919, 0.06322, 0.74457),
]


def _adobe_rgb():
    gamma = b"curv\0\0\0\0" + struct.pack(">IH", 1, 563)  # 563 / 256 = 2.2
    tags = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma)
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), ADOBE_PRIMARIES, strict=True):
        values = [round(65536 * value) for value in column]
        tags[name] = b"XYZ \0\0\0\0" + struct.pack(">3i", *values)
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def _grey_cyan_cmyk():
    """A CMYK profile under which inks darken to a neutral grey, cyan to L = 50."""
    lightness = [
        max(0, 255 - 127 * c - 127 * m - 127 * y - 255 * k)
        for c in (0, 1)
        for m in (0, 1)
        for y in (0, 1)
        for k in (0, 1)
    ]
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0])
    lut += struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel())
    lut += bytes(range(256)) * 4
    lut += b"".join(bytes([value, 128, 128]) for value in lightness)
    lut += bytes(range(256)) * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut})


def test_adobe_rgb_is_converted(tmp_path):
    path = tmp_path / "a.png"
    picture = np.full((70, 70, 3), (100, 150, 200), np.uint8)
    Image.fromarray(picture).save(path, icc_profile=_adobe_rgb())
    linear = (np.array([100, 150, 200]) / 255) ** (563 / 256)
    srgb_from_xyz = np.array(  # sRGB, adapted to D50 (B. Lindbloom's table).
        [
            [3.1339, -1.6169, -0.4906],
            [-0.9788, 1.9161, 0.0335],
            [0.0719, -0.2290, 1.4052],
        ]
    )
    linear = srgb_from_xyz @ (np.array(ADOBE_PRIMARIES).T @ linear)
    expected = 1.055 * linear ** (1 / 2.4) - 0.055
    photograph = read_photograph(path)
    assert photograph.warnings == ()
    np.testing.assert_allclose(photograph.rgb[0, 0], expected, atol=2 / 255)
    assert np.abs(photograph.rgb[0, 0] - picture[0, 0] / 255).max() > 10 / 255


@pytest.mark.parametrize("suffix", ["jpg", "tiff"])
def test_cmyk_profile_is_applied(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    cyan = Image.new("CMYK", (70, 70), (255, 0, 0, 0))
    cyan.save(path, icc_profile=_grey_cyan_cmyk())
    photograph = read_photograph(path)
    assert photograph.warnings == ()
    np.testing.assert_allclose(photograph.rgb[0, 0], 119 / 255, atol=3 / 255)
    cyan.save(path)  # Control: without a profile cyan stays cyan.
    np.testing.assert_allclose(read_photograph(path).rgb[0, 0], [0, 1, 1], atol=3 / 255)


def test_srgb_profile_changes_nothing_and_keeps_alpha(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = np.dstack([_picture(), 255 - _picture()[..., 0]])
    for name, source in (("rgba", pixels), ("grey", _picture()[..., 0])):
        path = tmp_path / f"{name}.png"
        Image.fromarray(source).save(path)
        plain = read_photograph(path)
        Image.fromarray(source).save(path, icc_profile=profile)
        profiled = read_photograph(path)
        assert profiled.warnings == ()
        np.testing.assert_allclose(profiled.rgb, plain.rgb, atol=1.5 / 255)
        if name == "rgba":
            np.testing.assert_array_equal(profiled.mask, plain.mask)


def test_profile_that_cannot_be_applied_is_a_warning(tmp_path):
    path = tmp_path / "a.png"
    for profile in (b"garbage", _grey_cyan_cmyk(), _adobe_rgb()[:200]):
        Image.fromarray(_picture()).save(path, icc_profile=profile)
        photograph = read_photograph(path)
        assert any("profile" in warning for warning in photograph.warnings)
        np.testing.assert_allclose(photograph.rgb, _picture() / 255, atol=1e-6)
    grey = Image.fromarray(_picture()[..., 0].astype(np.uint16) * 257)
    grey.save(path, icc_profile=_adobe_rgb())
    assert any("profile" in warning for warning in read_photograph(path).warnings)
