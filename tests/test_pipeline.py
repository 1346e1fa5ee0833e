"""What the systems hand over to each other."""

import numpy as np
import pytest
from PIL import Image

from volhuman import pipeline
from volhuman.errors import InputError
from volhuman.repose.joint_files import seen_of_body


def test_the_body_of_a_photograph_serves_reposing(tmp_path):
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 255, (90, 80, 4), np.uint8)
    picture[..., 3] = 0
    picture[10:80, 20:60, 3] = 255
    Image.fromarray(picture).save(tmp_path / "photo.png")
    record = pipeline.body_of_photograph(tmp_path / "photo.png")
    assert record["crop"]["centre"] == [40, 45]
    seen = seen_of_body(record, tmp_path / "photo.png")
    assert seen.points.shape == (1, 29, 3) and np.isfinite(seen.points).all()
    low, high = seen.points[0, :, :2].min(0), seen.points[0, :, :2].max(0)
    assert (low > -40).all() and (high < 140).all()


def test_what_is_no_photograph_is_refused(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"photo\.png"):
        pipeline.body_of_photograph(tmp_path / "photo.png")
