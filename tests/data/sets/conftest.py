"""Writes tiny data sets in their true on-disk forms, and builds them.

Pickles are written here by Python's own module, which the package never uses.
"""

import dataclasses
import io
import json
import pathlib
import pickle

import numpy as np
import pytest
from PIL import Image

from volhuman.data.sets.building import prepare
from volhuman.errors import InputError


@dataclasses.dataclass
class Files:
    """The folder of a set that is written and then built.

    Attributes:
        root: Where the user puts the files.
        built: Folder of built sets.
    """

    root: pathlib.Path
    built: pathlib.Path

    def path(self, name):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def text(self, name, text):
        """Writes text exactly as it is given, line ends included."""
        self.path(name).write_bytes(text.encode())

    def json(self, name, content):
        self.text(name, json.dumps(content))

    def pickle(self, name, content, protocol=2):
        """Writes a pickle; 2 is Python 2's highest protocol."""
        self.path(name).write_bytes(pickle.dumps(content, protocol=protocol))

    def picture(self, name, size=(24, 32), *, seed=0, mode="RGB", **options):
        """Writes a picture of (width, height) in blocks of one colour."""
        path = self.path(name)
        width, height = size
        shape = (-(-height // 8), -(-width // 8), *((3,) if mode == "RGB" else ()))
        blocks = np.random.default_rng(seed).integers(0, 255, shape, np.uint8)
        pixels = blocks.repeat(8, 0).repeat(8, 1)[:height, :width]
        Image.fromarray(pixels).save(path, **options)

    def pixels(self, name):
        """Decodes a picture of the set."""
        return decode((self.root / name).read_bytes())

    def cut(self, name, share=0.6):
        """Leaves only the first part of a file."""
        data = (self.root / name).read_bytes()
        (self.root / name).write_bytes(data[: int(len(data) * share)])

    def build(self, name, **options):
        """Builds a part of a set; returns the builder and all examples by split."""
        options = {"complete": False, **options}
        builder = prepare(name, self.root, self.built, **options)
        return builder, {
            split: list(builder.as_data_source(split)) for split in builder.info.splits
        }

    def refused(self, name, *words, **options):
        """Builds and expects one sentence with these words; returns it."""
        before = list(self.built.glob(f"{name}/*/*.*.*"))
        with pytest.raises(InputError) as refusal:
            self.build(name, **options)
        message = str(refusal.value)
        assert "\n" not in message, message
        for word in words:
            assert str(word) in message, message
        # Nothing half-built is left: the next attempt starts clean.
        assert list(self.built.glob(f"{name}/*/*.*.*")) == before
        return message


def decode(data):
    """Decodes the bytes of a picture to uint8 RGB."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path / "set", tmp_path / "built")


@pytest.fixture
def numbers():
    """Reproducible float32 numbers of a shape."""

    def numbers(*shape, seed=0):
        generator = np.random.default_rng([seed, *shape])
        return generator.normal(size=shape).astype(np.float32)

    return numbers
