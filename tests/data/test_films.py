"""Videos as frames on disk: what comes out, and what is refused."""

import sys

import numpy as np
import pytest

from volhuman.data.films import is_video, read_video, unpack_video
from volhuman.data.images import read_photograph
from volhuman.errors import InputError
from volhuman.render.animation import write_animation

COLOURS = np.array([[0.9, 0.1, 0.1], [0.1, 0.8, 0.2], [0.2, 0.2, 0.9]])


pytest.importorskip("imageio_ffmpeg")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Three plain frames of 64 x 48 pixels, ten a second."""
    folder = tmp_path_factory.mktemp("film")
    frames = [np.broadcast_to(colour, (48, 64, 3)) for colour in COLOURS]
    return write_animation(folder, "colours", frames, 10)[1]


def test_frames_come_out_in_order_and_vanish(video):
    assert is_video(video) and not is_video(video.with_suffix(".gif"))
    with unpack_video(video, 3) as (frames, rate):
        assert rate == pytest.approx(10)
        assert [frame.stem for frame in frames] == [
            "frame_00001",
            "frame_00002",
            "frame_00003",
        ]
        for frame, colour in zip(frames, COLOURS, strict=True):
            photograph = read_photograph(frame)
            assert photograph.rgb.shape == (48, 64, 3)
            # The codec keeps colour at half the size of brightness.
            np.testing.assert_allclose(
                photograph.rgb.mean((0, 1)), colour, atol=0.05, err_msg=str(frame)
            )
    assert not frames[0].exists() and not frames[0].parent.exists()


def test_every_second_frame(video):
    assert [number for number, _ in read_video(video, 2)] == [0, 2]


def test_a_long_video_is_refused_and_leaves_nothing(video, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with (
        pytest.raises(InputError, match=r"more than 2 frames.*max_frames"),
        unpack_video(video, 2),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_video_is_named(tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video")
    with (
        pytest.raises(InputError, match=r"broken\.mp4 cannot be decoded"),
        unpack_video(path, 9),
    ):
        pass


def test_without_imageio_the_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio.v3", None)
    monkeypatch.setitem(sys.modules, "imageio", None)
    with pytest.raises(InputError, match=r"a\.mp4.*pip install 'volhuman\[video"):
        list(read_video(tmp_path / "a.mp4", 1))
