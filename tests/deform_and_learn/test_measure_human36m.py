"""Protocol #1 on frames of the form that Human3.6M's reader gives."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io
from PIL import Image

from volhuman.deform_and_learn import body_run
from volhuman.deform_and_learn import measure_human36m as module
from volhuman.deform_and_learn.body_config import NETWORKS, BodyConfig
from volhuman.deform_and_learn.body_run import run_body
from volhuman.deform_and_learn.measure_human36m import (
    measure_human36m,
    score_human36m,
)
from volhuman.deform_and_learn.regressor import NUM_OUTPUTS, rest_outputs
from volhuman.errors import InputError

NETWORK = NETWORKS["tiny"]
SPOT = (70, 44)


def _frames(outputs, count, *, box):
    """Frames whose only content is a person-sized square, with the joints of a body."""
    joints = np.asarray(jax.jit(module._joints_17)(outputs), np.float32) / 1000
    image = np.zeros((100, 120, 3), np.uint8)
    image[30:60, 60:80] = 255
    marks = np.array([[60, 30, 1.0], [80, 60, 1.0]] + [[70, 45, 1.0]] * 15)
    return [
        {
            "image": image,
            "box": np.array([60, 30, 20, 30.0]) if box else np.zeros(4),
            "keypoints": marks[None].astype(np.float32),
            # Someone larger, elsewhere.
            "joints": 1.3 * joints + [0.5, 0.2, 4.0],
            "subject": 9 + 2 * (number % 2),
            "action": "Walking 1",
            "frame": number,
        }
        for number in range(count)
    ]


@pytest.mark.parametrize("box", [True, False])
def test_who_is_found_as_they_are_differs_by_their_bone_lengths_alone(monkeypatch, box):
    generator = np.random.default_rng(0)
    outputs = jnp.asarray(
        rest_outputs() + 0.2 * generator.standard_normal(NUM_OUTPUTS), jnp.float32
    )
    seen = []

    def make_predict(network, variables):
        return lambda images: seen.append(images) or jnp.tile(outputs, (len(images), 1))

    monkeypatch.setattr(module, "make_predict", make_predict)
    measured = measure_human36m(NETWORK, {}, _frames(outputs, 35, box=box))
    assert {n: len(v) for n, v in measured.values.items()} == dict.fromkeys(
        measured.values, 35
    )
    assert set(measured.people) == {"9 Walking 1", "11 Walking 1"}
    np.testing.assert_allclose(measured.values["PA-MPJPE, 17 joints"], 0, atol=0.05)
    # The truth keeps its size, the estimate gets the canonical one.
    plain = measured.values["MPJPE, 17 joints"]
    assert (plain > 1).all() and np.ptp(plain) < 1e-3
    # The person fills the picture that the network is given.
    bright = seen[0][0][..., 0] > 128
    assert 0.35 < bright.mean() < 0.65
    labels = " ".join(score_human36m(measured))
    assert "17 joints" in labels and "14 joints" in labels


@pytest.fixture
def recordings(tmp_path):
    """Folders with a recording of the subjects 9 and 11 each, of one frame."""
    person = np.asarray(jax.jit(module._joints_17)(jnp.asarray(rest_outputs())))
    joints = person + np.array([0, 0, 4000])

    def write(name, subject):
        recording = f"s_{subject:02d}_act_02_subact_01_ca_01"
        folder = tmp_path / name / recording
        folder.mkdir(parents=True)
        content = {"num_images": [[1]], "Y3d_mono": joints.reshape(51, 1)}
        points = 100 * joints[:, :2] / joints[:, 2:] + 50
        scipy.io.savemat(
            folder / "matlab_meta.mat", content | {"Y2d": points.reshape(34, 1)}
        )
        Image.new("RGB", (100, 100)).save(folder / f"{recording}_000001.jpg")
        return str(tmp_path / name)

    return write


def test_the_command_says_what_it_measured(recordings, tmp_path, monkeypatch):
    outputs = np.tile(rest_outputs(), (32, 1))
    monkeypatch.setattr(body_run, "load_regressor", lambda path: (NETWORK, {}))
    monkeypatch.setattr(module, "make_predict", lambda *_: lambda images: outputs)
    config = BodyConfig(
        mode="evaluate",
        human36m=recordings("a", 9),
        data_dir=str(tmp_path / "data"),
        output=str(tmp_path / "out"),
    )
    assert run_body(config) == 0
    text = (tmp_path / "out" / "human36m" / "scores.json").read_text()
    assert "1 frames of 1 of 60 recordings" in text
    rows = {row["name"]: row["cells"] for row in json.loads(text)["rows"]}
    aligned = next(name for name in rows["regressor"] if "PA-MPJPE" in name)
    # Both are T-poses, as is the truth.
    for name in ("regressor", "bare body"):
        assert rows[name][aligned]["value"] < 0.1
    config = dataclasses.replace(config, overwrite=True)
    # A set that was built from other files is not measured in their place.
    with pytest.raises(InputError, match="built from other files"):
        run_body(dataclasses.replace(config, human36m=recordings("b", 11)))
    with pytest.raises(InputError, match="missing"):
        run_body(dataclasses.replace(config, human36m=str(tmp_path / "none")))


def test_the_joints_are_those_of_human36m():
    joints = jax.jit(module._joints_17)(jnp.asarray(rest_outputs()))
    assert joints.shape == (17, 3)
    # Facing the camera, the person's right is on the left; y points down.
    assert joints[1, 0] < joints[4, 0] and joints[14, 0] < joints[11, 0]
    assert joints[10, 1] < joints[8, 1] < joints[0, 1] < joints[3, 1]
