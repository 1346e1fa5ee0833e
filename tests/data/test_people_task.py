"""The command that shows or builds synthetic people, through the command line."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from volhuman import main
from volhuman.data.loader import make_loader, open_people
from volhuman.people.gallery import CHANNELS, VIEWS_A_PERSON

CONFIG = pathlib.Path(__file__).resolve().parents[2] / "experiments" / "people.py"


def _run(**options):
    arguments = [f"--config.{name}={value}" for name, value in options.items()]
    return main.run(["volhuman", f"--config={CONFIG}", *arguments])


def test_a_gallery_shows_every_person_and_every_channel(tmp_path, capsys):
    options = {"num_people": 2, "size": 32, "output": tmp_path / "out"}
    assert _run(**options) == 0
    people = np.asarray(Image.open(tmp_path / "out" / "people.png"))
    channels = np.asarray(Image.open(tmp_path / "out" / "channels.png"))
    assert people.shape == (32, 2 * VIEWS_A_PERSON * 32, 3)
    assert channels.shape == (2 * 32, len(CHANNELS) * 32, 3)
    assert people.std() > 10 and channels.std() > 10
    assert _run(**options) == 2
    assert "exists already" in capsys.readouterr().err
    assert _run(**options, overwrite=True) == 0
    again = np.asarray(Image.open(tmp_path / "out" / "people.png"))
    np.testing.assert_array_equal(people, again)


@pytest.mark.slow
def test_a_build_can_be_read(tmp_path, capsys):
    options = {"mode": "build", "num_people": 3, "size": 32, "data_dir": tmp_path}
    assert _run(**options, variant="pairs", num_workers=1) == 0
    assert "pairs_32_s0_n3" in capsys.readouterr().out
    batch = next(
        make_loader(open_people(tmp_path, "pairs", "train"), batch_size=2, seed=0)
    )
    assert batch["image_source"].shape == (2, 32, 32, 3)


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("mode", "show", "expected one of gallery, build"),
        ("num_people", 0, "expected 1 to"),
        ("size", 5, "expected 16 to"),
        ("columns", 0, "expected 1 to 64"),
        ("seed", -1, "expected 0 to"),
    ],
)
def test_an_option_out_of_range_is_named(tmp_path, capsys, option, value, word):
    assert _run(**{"output": tmp_path, option: value}) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and word in error and option in error
    assert list(tmp_path.iterdir()) == []
