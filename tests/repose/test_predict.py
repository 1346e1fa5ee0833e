"""`--config.mode=predict`: what it writes, and what it says about bad input.

The network takes long to compile: tests that do not ask for `real_network` run a
stand-in that reads the same input.
"""

import functools
import importlib.util
import json
import os
import pathlib
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from volhuman import main, pipeline
from volhuman.body.pose_sampler import posed_joints, sample_pose
from volhuman.body.skeleton import JOINT_NAMES
from volhuman.body.template import load_template
from volhuman.errors import InputError
from volhuman.repose import paint as paint_module
from volhuman.repose import predict, results
from volhuman.repose.forward import repose
from volhuman.repose.paint import paint_frames, painted_bytes
from volhuman.repose.weights import load_generator, save_generator

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CONFIG = f"--config={REPOSITORY / 'experiments' / 'repose.py'}"
REST = np.asarray(load_template().joints, np.float64)
NUM_FRAMES = 6
ANIMATION = {"reposed.gif", "comparison.png", "meta.json"}
if importlib.util.find_spec("imageio_ffmpeg"):
    ANIMATION.add("reposed.mp4")
PICTURE = {"reposed.png", "comparison.png", "meta.json"}


def _pixels(pose, *, place=(64.0, 60.0, 0.0), scale=50):
    """An upright person who faces the camera, in a picture of 128 x 128."""
    return posed_joints(pose, REST) * [scale, -scale, -scale] + place


def _joint_file(path, joints, **changes):
    named = dict(zip(JOINT_NAMES, np.asarray(joints).tolist()))
    path.write_text(json.dumps({"unit": "pixels", "joints": named} | changes))
    return path


@pytest.fixture(scope="module")
def poses():
    generator = np.random.default_rng(0)
    return [sample_pose(generator, REST, kind) for kind in ("stand", "walk", "arms")]


@pytest.fixture(scope="module")
def given(tmp_path_factory, network, params, poses):
    """A photograph, its joints, targets of two kinds and weights."""
    folder = tmp_path_factory.mktemp("given")
    y, x = np.mgrid[:128, :128] / 128
    picture = np.stack([x, y, 0.5 + 0.4 * np.sin(9 * x * y)], -1)
    Image.fromarray((picture * 255).astype(np.uint8)).save(folder / "photo.png")
    _joint_file(folder / "photo.json", _pixels(poses[0]))
    _joint_file(folder / "other.json", _pixels(poses[1], scale=40))
    share = np.linspace(0, 1, NUM_FRAMES)[:, None, None]
    motion = (1 - share) * poses[1] + share * poses[2]
    path = np.linspace([0, 0, 0], [0.5, 0, 0.3], NUM_FRAMES)
    np.savez(
        folder / "motion.npz",
        poses=motion.reshape(NUM_FRAMES, -1), trans=path, mocap_framerate=25.0,
    )  # fmt: skip
    save_generator(
        folder / "tiny.safetensors", network, params, config={}, step=0, dtype="float32"
    )
    return folder


@pytest.fixture
def real_network():
    """Asks for the network itself."""


@pytest.fixture(autouse=True)
def stand_in(request, monkeypatch):
    """Paints the mean of all photographs, tinted by the joints; reads weights once."""
    if "real_network" in request.fixturenames:
        return

    def observe(params, pictures, source_joints, noise):
        return {"mean": np.asarray(pictures)[0].mean(0) - 0.5 + 0 * np.asarray(noise)}

    def paint(params, person, source_joints, targets):
        tint = np.sin(targets).mean((1, 2)) + np.sin(source_joints).mean()
        return person["mean"] + 0.3 * tint[:, None, None, None]

    monkeypatch.setattr(paint_module, "_painter", lambda network: (observe, paint))
    monkeypatch.setattr(predict, "load_generator", _load_once)


_load_once = functools.cache(load_generator)


@pytest.fixture
def arguments(given, tmp_path):
    """Builds a command line from options that differ from a good one."""

    def arguments(**options):
        files = {"input": "photo.png", "keypoints": "photo.json"}
        files |= {"target": "other.json", "weights": "tiny.safetensors"}
        options = (
            {"mode": "predict"}
            | {name: given / file for name, file in files.items()}
            | {"output": tmp_path / "out"}
            | options
        )
        return [CONFIG, *(f"--config.{name}={v}" for name, v in options.items())]

    return arguments


@pytest.fixture
def run(capfd):
    def run(arguments):
        capfd.readouterr()
        code = main.run(["volhuman", *arguments])
        out, err = capfd.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


@pytest.fixture
def refused(run, tmp_path):
    """Asserts one sentence with these words, exit code 2, and that nothing is left."""

    def refused(arguments, *words):
        code, out, err = run(arguments)
        assert code == 2 and out == [] and len(err) == 1, (code, out, err)
        assert err[0].startswith("volhuman: ")
        for word in words:
            assert str(word) in err[0], err[0]
        left = [p.name for p in (tmp_path / "out").rglob("*")]
        assert left == [], left

    return refused


def _files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# -- what is written


def test_one_pose_gives_a_picture(arguments, run, tmp_path, network):
    code, out, err = run(arguments())
    folder = tmp_path / "out" / "photo"
    assert code == 0 and err == [] and out == [f"{folder}: reposed.png"]
    assert {path.name for path in folder.iterdir()} == PICTURE
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo"]
    with Image.open(folder / "reposed.png") as picture:
        assert picture.size == (network.image_size,) * 2 and picture.mode == "RGB"
    with Image.open(folder / "comparison.png") as comparison:
        assert comparison.size == (3 * 256, 256)
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["photographs"] == ["photo.png"] and meta["frames"] == 1
    assert meta["weights"]["file"] == "tiny.safetensors"
    assert meta["options"]["proportions"] == "source"


def test_two_photographs_are_enough(
    arguments, run, tmp_path, given, poses, monkeypatch
):
    """Joints that are not given are those of the body estimator."""
    asked = []

    def body_of_photograph(path):
        asked.append(path.name)
        joints = posed_joints(poses[len(asked) % 2], REST)
        return {
            "camera": {
                "scale": 1.0,
                "rotation": np.diag([1.0, -1, -1]).tolist(),
                "translation": [0.0, 0.0],
            },
            "crop": {"centre": [64.0, 60.0], "size": 100.0},
            "joints": dict(zip(JOINT_NAMES, joints.tolist())),
        }

    monkeypatch.setattr(pipeline, "body_of_photograph", body_of_photograph)
    shutil.copy(given / "photo.png", tmp_path / "second.png")
    options = {"keypoints": "", "target": tmp_path / "second.png"}
    code, out, _ = run(arguments(**options))
    assert code == 0 and out == [f"{tmp_path / 'out' / 'photo'}: reposed.png"]
    assert asked == ["photo.png", "second.png"]


def test_the_picture_is_what_the_network_paints(
    real_network, arguments, run, tmp_path, given, network, params
):
    """Oracle: the functions below, called one by one."""
    assert run(arguments())[0] == 0
    config = predict.ReposeConfig(target=str(given / "other.json"))
    source = predict.read_sources(given / "photo.png", given / "photo.json")[0]
    targets = predict._place(config, source, predict._read_target(config, None))
    source = source.make_room(targets[:, :24, :2])
    side = network.image_size
    frames = list(
        paint_frames(
            network,
            params,
            source.picture(side)[None],
            source.crop_joints(side)[None, :24],
            predict.crop_joints(targets, source.crop, side)[:, :24],
        )
    )
    with Image.open(tmp_path / "out" / "photo" / "reposed.png") as picture:
        np.testing.assert_allclose(np.asarray(picture), frames[0], atol=1)


def test_a_motion_gives_an_animation(arguments, run, tmp_path, given, network):
    options = {"target": given / "motion.npz", "smoothing": 1, "travel": True}
    code, out, err = run(arguments(**options))
    folder = tmp_path / "out" / "photo"
    assert code == 0 and f"{NUM_FRAMES} frames" in out[0]
    assert all("frame" in line or "warning" in line for line in err)
    assert {path.name for path in folder.iterdir()} == ANIMATION
    with Image.open(folder / "reposed.gif") as film:
        assert film.n_frames == NUM_FRAMES and film.size == (network.image_size,) * 2
        assert film.info["duration"] == 40
    with Image.open(folder / "comparison.png") as comparison:
        assert comparison.size == (7 * 256, 2 * 256)


def test_every_frame_is_painted_once_in_batches_of_one_size(
    network, joints, monkeypatch
):
    sizes = []

    observe = lambda params, pictures, source_joints, noise: {}

    def paint(params, person, source_joints, targets):
        sizes.append(len(targets))
        level = (targets[:, 0, 0] - 20) / 10
        return np.broadcast_to(level[:, None, None, None], (len(targets), 32, 32, 3))

    monkeypatch.setattr(paint_module, "_painter", lambda network: (observe, paint))
    targets = np.repeat(joints[:1], 10, axis=0)
    targets[:, 0, 0] = np.linspace(10, 30, 10)
    picture = np.zeros((1, 32, 32, 3))
    frames = list(paint_frames(network, {}, picture, joints[:1], targets))
    assert len(set(sizes)) == 1 and sum(sizes) >= 10
    np.testing.assert_allclose(
        [frame[0, 0, 0] for frame in frames], np.linspace(0, 255, 10), atol=0.51
    )
    assert all(frame.dtype == np.uint8 for frame in frames)


def test_a_person_who_is_lifted_once_is_painted_as_ever(
    real_network, network, params, joints
):
    """Oracle: the whole network for every target, here with two photographs."""
    pictures = np.random.default_rng(0).uniform(0, 1, (2, 32, 32, 3))
    pictures = pictures.astype(np.float32)
    noise = jax.random.normal(jax.random.key(3), (1, 32, 32, 1))
    observe, paint = paint_module._painter(network)
    person = observe(params, pictures[None], joints[None, :2], noise)
    painted = paint(params, person, joints[None, :2], joints)
    each = lambda x: np.broadcast_to(x, (len(joints), *x.shape))
    whole = jax.jit(lambda *given: repose(network, params, *given)["image"])(
        each(2 * pictures - 1), each(joints[:2]), joints, each(noise[0])
    )
    np.testing.assert_allclose(painted, whole, atol=1e-5)
    assert np.abs(whole[0] - whole[1]).max() > 1e-3
    frames = list(paint_frames(network, params, pictures, joints[:2], joints, seed=3))
    np.testing.assert_allclose(frames, painted_bytes(np.asarray(whole)), atol=1)


def test_a_network_that_gives_no_numbers_is_refused(arguments, refused, monkeypatch):
    paint = lambda *given: np.full((1, 32, 32, 3), np.nan)
    painter = lambda network: (lambda *given: {}, paint)
    monkeypatch.setattr(paint_module, "_painter", painter)
    refused(arguments(), "not finite", "--config.weights")


def test_results_are_kept_unless_asked_and_then_are_the_same(arguments, run, tmp_path):
    assert run(arguments())[0] == 0
    folder = tmp_path / "out" / "photo"
    before = _files(folder)
    code, _, err = run(arguments())
    assert code == 2 and "overwrite" in err[0] and _files(folder) == before
    assert run(arguments(overwrite=True))[0] == 0
    assert _files(folder) == before
    (folder / "thesis.txt").write_text("years of work")
    code, _, err = run(arguments(overwrite=True))
    assert code == 2 and "thesis.txt" in err[0]
    assert (folder / "thesis.txt").exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_what_stops_half_way_leaves_the_old_results(
    arguments, run, tmp_path, monkeypatch, error
):
    assert run(arguments())[0] == 0
    before = _files(tmp_path / "out" / "photo")

    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(results, "write_png", fail)
    code, out, _ = run(arguments(overwrite=True))
    assert code == (130 if isinstance(error, KeyboardInterrupt) else 2) and out == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo"]
    assert _files(tmp_path / "out" / "photo") == before


def test_an_interrupt_while_painting_leaves_nothing(
    arguments, run, tmp_path, monkeypatch
):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "paint_frames", interrupt)
    code, _, err = run(arguments())
    assert code == 130 and "interrupted" in err[0]
    assert not (tmp_path / "out").exists()


# -- photographs


@pytest.fixture
def album(given, tmp_path, poses):
    """Two photographs of one person with their joints in folders."""
    photographs, annotations = tmp_path / "album", tmp_path / "joints"
    photographs.mkdir()
    (annotations / "b").mkdir(parents=True)
    shutil.copy(given / "photo.png", photographs / "a.png")
    Image.new("RGB", (128, 128), "red").save(photographs / "b.png")
    _joint_file(annotations / "a.json", _pixels(poses[0]))
    _joint_file(annotations / "b" / "body.json", _pixels(poses[2]))
    return photographs, annotations


def test_several_photographs_of_one_person_are_all_used(
    arguments, run, tmp_path, given, album
):
    photographs, annotations = album
    code, _, err = run(arguments(input=photographs, keypoints=annotations))
    assert code == 0 and err == []
    folder = tmp_path / "out" / "album"
    assert json.loads((folder / "meta.json").read_text())["photographs"] == [
        "a.png",
        "b.png",
    ]
    one = {"input": photographs / "a.png", "keypoints": annotations}
    assert run(arguments(output=tmp_path / "one", **one))[0] == 0
    both, first = (
        np.asarray(Image.open(place / "reposed.png"), float).mean((0, 1))
        for place in (folder, tmp_path / "one" / "a")
    )
    assert both[0] > first[0] + 20 and both[2] < first[2] - 20


def test_folders_that_do_not_fit_are_refused(arguments, refused, given, album):
    photographs, annotations = album
    file = given / "photo.json"
    refused(arguments(input=photographs, keypoints=file), file, "no folder")
    os.remove(annotations / "b" / "body.json")
    refused(arguments(input=photographs, keypoints=annotations), "b.png", "b.json")
    for number in range(7):
        shutil.copy(photographs / "a.png", photographs / f"c{number}.png")
    refused(arguments(input=photographs, keypoints=annotations), "9 photographs")


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16", "P"])
def test_grey_and_transparent_photographs_are_used(
    arguments, run, tmp_path, given, mode
):
    with Image.open(given / "photo.png") as picture:
        if mode == "I;16":
            values = np.asarray(picture.convert("L"), np.uint16) * 257
            Image.fromarray(values).save(tmp_path / "photo.png")
        else:
            picture.convert(mode).save(tmp_path / "photo.png")
    code, _, err = run(arguments(input=tmp_path / "photo.png"))
    assert code == 0 and err == []


def test_what_is_cut_off_is_told(arguments, run, tmp_path, given, poses):
    file = _joint_file(tmp_path / "low.json", _pixels(poses[0], place=(64, 110, 0)))
    code, out, err = run(arguments(keypoints=file))
    assert code == 0 and len(out) == 1
    assert len(err) == 1 and "joints lie outside the picture" in err[0]
    meta = json.loads((tmp_path / "out" / "photo" / "meta.json").read_text())
    assert len(meta["warnings"]) == 1 and "photo.png" in meta["warnings"][0]


def test_a_target_that_walks_out_is_cut_off(arguments, run, tmp_path, poses):
    options = {"travel": True, "facing": "recorded"}
    motion = tmp_path / "away.npz"
    moves = {"poses": np.tile(poses[0].reshape(-1), (4, 1)), "mocap_framerate": 25.0}
    np.savez(motion, trans=np.linspace([0, 0, 0], [9, 0, 0], 4), **moves)
    code, _, err = run(arguments(target=motion, **options))
    assert code == 0
    assert any("away.npz: leaves the picture in 3 of 4" in line for line in err)


# -- what cannot be used


def test_without_input_one_sentence_tells_what_is_needed(refused):
    refused(
        [CONFIG, "--config.mode=predict"],
        "--config.input", "--config.keypoints", "--config.target",
    )  # fmt: skip


def test_joints_that_are_named_must_be_there(arguments, refused, tmp_path):
    missing = tmp_path / "missing.json"
    refused(arguments(keypoints=missing), missing)


@pytest.mark.parametrize("name", ["input", "target"])
def test_each_file_is_needed(arguments, refused, name, tmp_path):
    refused(arguments(**{name: ""}), f"--config.{name}")
    refused(arguments(**{name: tmp_path / "missing.json"}), tmp_path / "missing.json")


@pytest.mark.parametrize(
    "option, value",
    [
        *[("fps", value) for value in (0, -1, 500, "nan")],
        *[("start", value) for value in (-1, "inf", "nan")],
        *[("duration", value) for value in (-1, "nan")],
        *[("max_frames", value) for value in (0, -3)],
        *[("smoothing", value) for value in (-1, "inf")],
        *[("facing", "left"), ("proportions", "both")],
    ],
)
def test_an_option_out_of_range_is_named(arguments, refused, option, value):
    refused(arguments(**{option: value}), f"--config.{option}", "expected")


def test_a_motion_over_the_limit_is_refused(arguments, refused, given):
    refused(
        arguments(target=given / "motion.npz", max_frames=5), "6 frames", "max_frames"
    )


def test_an_animation_over_the_memory_is_refused_before_it_is_painted():
    predict._check_memory(500, 256)
    with pytest.raises(InputError, match=r"GB of memory.*--config\.duration"):
        predict._check_memory(10**9, 256)


def test_weights_that_cannot_be_used_are_refused(arguments, refused, tmp_path, given):
    refused(arguments(weights=tmp_path / "none.safetensors"), "none.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes((given / "tiny.safetensors").read_bytes()[:500])
    refused(arguments(weights=broken), broken)


def _spoil(**changes):
    def spoil(joints):
        joints = joints.copy()
        for name, value in changes.items():
            joints[JOINT_NAMES.index(name)] = value
        return joints

    return spoil


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda joints: joints + 300, ["all joints lie outside", "128 x 128"]),
        (lambda joints: joints * 0 + 30, ["pixels long"]),
        (lambda joints: joints / 50, ["pixels long"]),
        (_spoil(left_wrist=[5000.0, 3, 0]), ["left_wrist", "5000", "far outside"]),
        (_spoil(left_wrist=[50.0, 3, -9999]), ["left_wrist", "9999"]),
        (_spoil(left_wrist=[np.nan, 3, 0]), ["left_wrist", "nan"]),
        (_spoil(left_wrist=[3, np.inf, 0]), ["left_wrist", "inf"]),
    ],
)
def test_joints_that_are_not_of_the_photograph(
    arguments, refused, tmp_path, poses, spoil, words
):
    file = _joint_file(tmp_path / "bad.json", spoil(_pixels(poses[0])))
    refused(arguments(keypoints=file), file, *words)


def test_key_points_in_2d_need_the_registration(arguments, refused, tmp_path):
    file = REPOSITORY / "volhuman" / "assets" / "example.json"
    refused(arguments(keypoints=file), file, "register.py", "body.json")
    refused(arguments(target=file), file, "register.py", "body.json")


def test_several_frames_are_no_source_and_one_place_is_no_target(
    arguments, refused, tmp_path, poses
):
    content = {"unit": "pixels", "joint_set": "body24"}
    frames = [_pixels(poses[0]).tolist()] * 2
    file = tmp_path / "film.json"
    file.write_text(json.dumps(content | {"joints": frames}))
    refused(arguments(keypoints=file), file, "2 frames")
    point = _joint_file(tmp_path / "point.json", np.ones((24, 3)))
    refused(arguments(target=point), point, "one place")


def test_travel_needs_a_target_with_a_path(arguments, refused, given):
    refused(arguments(travel=True), "other.json", "--config.travel")


def test_identical_joints_of_a_limb_give_a_picture(
    arguments, run, tmp_path, given, poses
):
    joints = _pixels(poses[0])
    for name in ("left_wrist", "left_hand"):
        joints[JOINT_NAMES.index(name)] = joints[JOINT_NAMES.index("left_elbow")]
    file = _joint_file(tmp_path / "short.json", joints)
    for options in ({"keypoints": file}, {"target": file}):
        code, _, err = run(arguments(overwrite=True, **options))
        assert code == 0 and err == []


def test_an_output_that_is_a_file_is_refused(arguments, run, tmp_path):
    (tmp_path / "file").write_text("mine")
    for output in (tmp_path / "file", tmp_path / "file" / "sub"):
        code, _, err = run(arguments(output=output))
        assert code == 2 and "--config.output" in err[0]
    assert (tmp_path / "file").read_text() == "mine"
