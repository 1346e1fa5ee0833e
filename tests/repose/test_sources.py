"""Which joints belong to which photograph of a person."""

import json

import numpy as np
import pytest
from PIL import Image

from volhuman.body.skeleton import JOINT_NAMES
from volhuman.errors import InputError
from volhuman.repose.sources import read_sources


@pytest.fixture
def write_joints(tmp_path, joints):
    """Writes joints that stand at x in a photograph of 64 pixels."""

    def write(name, x):
        path = tmp_path / "joints" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        placed = (joints[0] + [x - 16, 0, 0]).tolist()
        named = dict(zip(JOINT_NAMES, placed, strict=True))
        path.write_text(json.dumps({"unit": "pixels", "joints": named}))

    return write


@pytest.fixture
def album(tmp_path):
    """Two photographs of one stem."""
    folder = tmp_path / "album"
    folder.mkdir()
    for name in ("a.png", "a.tiff"):
        Image.new("RGB", (64, 64)).save(folder / name)
    return folder


def test_photographs_of_one_stem_get_the_results_that_are_theirs(
    album, tmp_path, write_joints
):
    # So the registration names the results of two photographs of one stem.
    write_joints("a/body.json", 20)
    write_joints("a-2/body.json", 40)
    sources = read_sources(album, tmp_path / "joints")
    assert [s.photograph.path.name for s in sources] == ["a.png", "a.tiff"]
    np.testing.assert_allclose([s.joints[0, 0] for s in sources], [20, 40], atol=1)


def test_one_file_is_not_taken_for_two_photographs(album, tmp_path, write_joints):
    write_joints("a.json", 20)
    with pytest.raises(InputError, match=r"both a\.png and a\.tiff"):
        read_sources(album, tmp_path / "joints")
