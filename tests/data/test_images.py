"""Reading photographs: every file here is generated, every refusal has its control."""

import os
import resource
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from volhuman.data.images import (
    list_photographs,
    output_names,
    read_photograph,
    safe_stem,
    write_png,
)
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


def _refused(path, *words, **options):
    """Asserts a one-line refusal that names the path and contains the words."""
    with pytest.raises(InputError) as refusal:
        read_photograph(path, **options)
    message = str(refusal.value)
    assert str(path) in message and "\n" not in message
    for word in words:
        assert word in message
    return message


# -- what cannot be read


def test_ordinary_photograph_is_read_without_warning(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(_picture()).save(path)
    photograph = read_photograph(path)
    assert photograph.path == path and photograph.mask is None
    assert photograph.rgb.dtype == np.float32
    np.testing.assert_allclose(photograph.rgb, _picture() / 255, atol=1e-6)
    assert photograph.warnings == ()


def test_missing_directory_empty_and_special_files(tmp_path):
    _refused(tmp_path / "none.jpg", "does not exist")
    _refused(tmp_path / ("x" * 300 + ".jpg"), "does not exist")
    _refused(tmp_path, "not a regular file")
    empty = tmp_path / "empty.jpg"
    empty.touch()
    _refused(empty, "empty")
    os.mkfifo(tmp_path / "pipe.jpg")  # Opening it would wait for ever.
    _refused(tmp_path / "pipe.jpg", "not a regular file")


def test_unreadable_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.fromarray(_picture()).save(path)

    def deny(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", deny)
    _refused(path, "Permission denied")


@pytest.mark.parametrize(
    "content",
    [
        b"some text",
        b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_other_content_named_jpg(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    _refused(path)


def test_unlisted_format_is_refused_though_pillow_reads_it(tmp_path):
    path = tmp_path / "a.tga"
    Image.fromarray(_picture()).save(path)
    Image.open(path).load()  # Control.
    _refused(path, "known format", "PNG, JPEG")


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_zero_size_header(tmp_path, size):
    path = tmp_path / "a.png"
    path.write_bytes(_png(*size))
    _refused(path)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_animation_refused_single_frame_read(tmp_path, suffix):
    frames = [Image.fromarray(_picture()), Image.fromarray(255 - _picture())]
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    _refused(path, "animation")
    frames[0].save(path, save_all=True)
    assert read_photograph(path).rgb.shape == (HEIGHT, WIDTH, 3)


def test_first_picture_of_mpo_and_of_multi_page_tiff(tmp_path):
    for name, format_, num_warnings in (("a.jpg", "MPO", 0), ("a.tiff", "TIFF", 1)):
        path = tmp_path / name
        first, second = (Image.fromarray(p) for p in (_picture(), 255 - _picture()))
        first.save(path, format=format_, save_all=True, append_images=[second])
        with Image.open(path) as image:  # Control.
            assert (image.format, image.n_frames) == (format_, 2)
        photograph = read_photograph(path)
        assert np.abs(photograph.rgb - _picture() / 255).mean() < 0.02
        assert len(photograph.warnings) == num_warnings


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp", "bmp", "gif"])
def test_truncated_file(tmp_path, suffix, share, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise).save(path)
    read_photograph(path)  # Control.
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    _refused(path)
    # Also where another library has switched Pillow to lenient decoding.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    _refused(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [60_000, 10_000])
def test_pixel_bomb_is_refused_before_allocation(tmp_path, side):
    header = struct.pack("<2I4H", side, side, 1, 24, 0, 0)
    files = {
        "a.png": _png(side, side),
        "a.ppm": f"P6 {side} {side} 255\n".encode() + bytes(9),
        "a.bmp": b"BM" + struct.pack("<3I", 99, 0, 54) + struct.pack("<I", 40) + header,
    }
    files["a.bmp"] = files["a.bmp"].ljust(99, b"\0")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        message = _refused(tmp_path / name, "50000000")
        assert str(side * side) in message or f"{side} x {side}" in message
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 30_000  # KiB; the smallest of the pictures takes 300 MB.


def test_limit_is_inclusive(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(_picture(65, 70)).save(path)
    assert read_photograph(path, max_pixels=65 * 70).rgb.shape == (65, 70, 3)
    _refused(path, "70 x 65", "4549", max_pixels=65 * 70 - 1)


# -- warnings


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 1), ["1 x 1"]),
        ((4000, 1), ["1 x 4000", "unlikely"]),
        ((80, 240), ["unlikely"]),
        ((240, 80), ["unlikely"]),
        ((63, 90), ["90 x 63"]),
        ((64, 90), []),
        ((80, 239), []),
    ],
)
def test_warnings_about_the_size(tmp_path, shape, words):
    path = tmp_path / "a.png"
    Image.fromarray(_picture(*shape)).save(path)
    warnings = read_photograph(path).warnings
    assert len(warnings) == len(words)
    for warning, word in zip(warnings, words, strict=True):
        assert word in warning


def test_warning_about_a_black_picture(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(_picture() // 80).save(path)
    assert any("black" in warning for warning in read_photograph(path).warnings)
    Image.fromarray(_picture() // 8).save(path)
    assert read_photograph(path).warnings == ()


# -- folders, names, writing


def test_list_photographs(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub.jpg").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no picture"):
        list_photographs(folder)
    outside = tmp_path / "secret.png"
    outside.touch()
    for name in ("b.PNG", "a a.jpg", "ü.webp", ".hidden.png", "notes.txt", "-x.jpeg"):
        (folder / name).touch()
    (folder / "sub.jpg" / "deep.png").touch()
    (folder / "out.png").symlink_to(outside)
    (folder / "dangling.png").symlink_to(folder / "none.png")
    (folder / "in.png").symlink_to("b.PNG")
    names = [path.name for path in list_photographs(folder)]
    assert names == ["-x.jpeg", "a a.jpg", "b.PNG", "in.png", "ü.webp"]
    assert list_photographs(folder / "notes.txt") == [folder / "notes.txt"]
    with pytest.raises(InputError, match="none"):
        list_photographs(tmp_path / "none")


def test_avif_is_listed_where_pillow_reads_it(tmp_path):
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    path = tmp_path / "a.avif"
    Image.fromarray(_picture()).save(path)
    assert list_photographs(tmp_path) == [path]
    assert np.abs(read_photograph(path).rgb - _picture() / 255).mean() < 0.03


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("in/a b.jpg", "a b"),
        ("Zoë 写真.png", "Zoë 写真"),
        ("-rf.png", "rf"),
        ("..", "photograph"),
        ("...png", "photograph"),
        ("", "photograph"),
        ("..\\..\\evil.png", "_._evil"),
        ("a..b.png", "a.b"),
        ("a:b|c\n\0.png", "a_b_c__"),
        ("\udcff.png", "_"),
        ("v1.2.png", "v1.2"),
    ],
)
def test_safe_stem(path, stem):
    assert safe_stem(path) == stem


def test_safe_stem_is_one_harmless_component(tmp_path):
    generator = np.random.default_rng(0)
    alphabet = list('./\\-_ ab\0\n:ü~"\u202e漢')
    for _ in range(2000):
        stem = safe_stem("".join(generator.choice(alphabet, size=12)))
        assert stem and not stem.startswith(("-", ".")) and ".." not in stem
        assert not set(stem) & set("/\\\0\n")
        assert (tmp_path / stem).parent == tmp_path
    assert len(safe_stem("漢" * 300).encode()) <= 200


def test_output_names_are_unique_and_stable():
    paths = ["a.jpg", "a.png", "x/a.gif", "A.bmp", "a-2.jpg", "b.jpg"]
    assert output_names(paths) == ["a", "a-2", "a-3", "A-4", "a-2-2", "b"]


def test_write_png(tmp_path):
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    write_png(path, _picture())
    np.testing.assert_array_equal(np.asarray(Image.open(path)), _picture())
    write_png(path, _picture().astype(np.float32) / 255)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), _picture())
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.png"]


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((4, 4)),
        np.zeros((4, 4, 4)),
        np.zeros((0, 4, 3)),
        np.full((4, 4, 3), np.nan),
        np.full((4, 4, 3), 200.0),
        np.zeros((4, 4, 3), np.int64),
    ],
)
def test_write_png_refuses(tmp_path, rgb):
    with pytest.raises(ValueError, match="picture"):
        write_png(tmp_path / "out.png", rgb)
    assert not list(tmp_path.iterdir())


def test_write_png_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    path.write_bytes(b"old")

    def fill_disk(self, file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fill_disk)
    with pytest.raises(InputError, match="No space left"):
        write_png(path, _picture())
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.png"]
    with pytest.raises(InputError, match=r"none/out\.png"):
        write_png(tmp_path / "none" / "out.png", _picture())
    with pytest.raises(InputError, match=r"out\.png/x\.png"):
        write_png(path / "x.png", _picture())
