"""Animations on disk: all frames at their size, repeatable, nothing half-written."""

import importlib.util
import warnings

import numpy as np
import pytest
from PIL import Image

from volhuman.render.animation import write_animation

has_video = importlib.util.find_spec("imageio_ffmpeg") is not None
needs_video = pytest.mark.skipif(not has_video, reason="needs the extra [video]")


def _frames(height=32, width=48, count=3):
    """A grey level a frame, with a bar that moves."""
    frames = []
    for number in range(count):
        frame = np.full((height, width, 3), 0.2 + 0.2 * number)
        frame[:, 5 * number : 5 * number + 5] = [1, 0, 0]
        frames.append(frame)
    return frames


@pytest.fixture
def without_video(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "imageio_ffmpeg" else find(name, *rest),
    )


def test_gif_holds_the_frames_and_their_rate(tmp_path, without_video):
    frames = _frames()
    assert write_animation(tmp_path, "turn", frames, 20) == [tmp_path / "turn.gif"]
    assert [path.name for path in tmp_path.iterdir()] == ["turn.gif"]
    with Image.open(tmp_path / "turn.gif") as gif:
        assert gif.n_frames == 3 and gif.size == (48, 32) and gif.info["loop"] == 0
        for number, frame in enumerate(frames):
            gif.seek(number)
            assert gif.info["duration"] == 50
            picture = np.asarray(gif.convert("RGB")) / 255
            np.testing.assert_allclose(picture, frame, atol=0.03)


def _durations(path):
    """Milliseconds of every frame of a GIF."""
    with Image.open(path) as film:
        durations = []
        for number in range(film.n_frames):
            film.seek(number)
            durations.append(film.info["duration"])
        return durations


@pytest.mark.parametrize("rate", [7, 24, 25, 30, 40, 50, 60, 120])
def test_a_gif_lasts_as_long_as_its_frames(tmp_path, without_video, rate):
    frames = [np.full((8, 8, 3), number / rate) for number in range(rate)]
    (gif,) = write_animation(tmp_path, "second", frames, rate)
    durations = _durations(gif)
    assert min(durations) >= 20 and max(durations) - min(durations) <= 10
    assert abs(sum(durations) - 1000) <= 20  # 120 is no multiple of three


def test_a_fast_gif_leaves_frames_out(tmp_path, without_video):
    (gif,) = write_animation(tmp_path, "fast", _frames(count=6), 120)
    with Image.open(gif) as film:
        assert film.n_frames == 2
        film.seek(1)
        picture = np.asarray(film.convert("RGB")) / 255
    np.testing.assert_allclose(picture, np.clip(_frames(count=6)[3], 0, 1), atol=0.03)


def test_values_outside_the_range_are_clipped(tmp_path, without_video):
    frame = np.zeros((16, 16, 3))
    frame[:8], frame[8:] = 1.5, -0.5
    (gif,) = write_animation(tmp_path, "a", [frame], 10)
    picture = np.asarray(Image.open(gif).convert("RGB"))
    assert (picture[:8] == 255).all() and (picture[8:] == 0).all()


def test_equal_frames_give_equal_bytes_and_replace_the_file(tmp_path):
    names = {"a.gif", "a.mp4"} if has_video else {"a.gif"}
    write_animation(tmp_path, "a", _frames(count=2), 18)
    read = lambda: {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = read()
    write_animation(tmp_path, "a", _frames(), 18)
    first = read()
    write_animation(tmp_path, "a", _frames(), 18)
    assert read() == first and set(first) == names
    assert all(first[name] != other[name] for name in names)


@needs_video
@pytest.mark.filterwarnings("ignore:os.fork")  # of reading it back
@pytest.mark.parametrize("height, width", [(32, 48), (50, 38), (33, 51)])
def test_mp4_keeps_the_size_up_to_an_odd_row(tmp_path, capfd, height, width):
    import imageio.v3 as imageio

    frames = _frames(height, width)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = write_animation(tmp_path, "turn", frames, 18)
    # A person who runs the command hears neither ffmpeg nor the libraries talk.
    assert capfd.readouterr().err == ""
    assert written == [tmp_path / "turn.gif", tmp_path / "turn.mp4"]
    assert sorted(tmp_path.iterdir()) == written
    video = imageio.imread(tmp_path / "turn.mp4")
    assert video.shape == (3, height // 2 * 2, width // 2 * 2, 3)
    for frame, expected in zip(video, frames, strict=True):
        # The right half is flat; compression blurs the bar.
        level = frame[:, width * 3 // 4 :].mean() / 255
        assert abs(level - expected[0, -1, 0]) < 0.05
