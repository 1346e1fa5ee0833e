"""Pictures of a set: kept as they are where they can be, refused where they are cut."""

import numpy as np
import pytest
from PIL import Image, ImageFile

from volhuman.data.sets.pictures import (
    encode_png,
    read_depth,
    read_mask,
    read_picture,
)
from volhuman.errors import InputError


def _decode(data):
    import io

    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_colour_pictures_keep_their_bytes(files, name):
    files.picture(name)
    assert read_picture(files.root / name) == (files.root / name).read_bytes()


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_grey_pictures_become_colour_ones(files, name):
    files.picture(name, mode="L")
    image = _decode(read_picture(files.root / name))
    assert image.mode == "RGB" and image.format == "PNG"
    np.testing.assert_array_equal(np.asarray(image), files.pixels(name))


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.97])
@pytest.mark.parametrize("lenient", [True, False])
def test_cut_pictures_are_refused(files, monkeypatch, name, share, lenient):
    # Another library may have asked Pillow to accept cut files.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    files.picture(name, size=(200, 300))
    files.cut(name, share)
    with pytest.raises(InputError, match=name):
        read_picture(files.root / name)
    assert lenient == ImageFile.LOAD_TRUNCATED_IMAGES


def test_what_is_no_picture_is_refused(files):
    files.text("a.jpg", "<html>404</html>")
    files.path("folder.jpg").mkdir()
    for name in ("a.jpg", "folder.jpg", "nowhere.jpg"):
        with pytest.raises(InputError, match=name):
            read_picture(files.root / name)


def test_another_size_than_the_annotation_says_is_refused(files):
    files.picture("a.jpg", size=(24, 32))
    read_picture(files.root / "a.jpg", size=(24, 32))
    with pytest.raises(InputError, match="24 x 32 pixels, but the annotation says 32"):
        read_picture(files.root / "a.jpg", size=(32, 24))


@pytest.mark.parametrize("bright", [1, 255])
def test_masks_are_0_and_1(files, bright):
    mask = np.tri(20, 30, dtype=np.uint8)
    Image.fromarray(mask * bright).save(files.path("mask.png"))
    np.testing.assert_array_equal(read_mask(files.root / "mask.png"), mask)


def test_depth_keeps_all_16_bits(files):
    depth = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5461
    Image.fromarray(depth).save(files.path("depth.png"))
    np.testing.assert_array_equal(read_depth(files.root / "depth.png"), depth)
    files.picture("grey.png", mode="L")
    with pytest.raises(InputError, match="16-bit"):
        read_depth(files.root / "grey.png")


def test_png_is_lossless():
    pixels = np.random.default_rng(0).integers(0, 255, (7, 5, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(_decode(encode_png(pixels))), pixels)
