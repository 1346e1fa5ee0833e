"""The command: it trains, continues, exports and measures; and what it refuses."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from volhuman.deform_and_learn.depth_config import DepthGanConfig
from volhuman.deform_and_learn.depth_gan import Lifter, lift_depths
from volhuman.deform_and_learn.depth_measure import measure_depths
from volhuman.deform_and_learn.depth_run import held_out_people, run_depth_gan
from volhuman.deform_and_learn.depth_weights import (
    SHIPPED,
    load_depth_gan,
    read_layout,
    save_depth_gan,
)
from volhuman.errors import InputError
from volhuman.training.export import export_weights


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of three steps on a file of poses, and its configuration."""
    folder = tmp_path_factory.mktemp("depth_gan")
    poses = held_out_people(20, layout="mpii", seed=5)[..., :2]
    np.save(folder / "poses.npy", 100 * poses.reshape(-1, 34))
    config = DepthGanConfig(
        poses=str(folder / "poses.npy"),
        layout="mpii",
        workdir=str(folder / "run"),
        width=8,
        steps=3,
        batch_size=16,
        evaluate_every=0,
        log_every=1,
    )
    assert run_depth_gan(config) == 0
    return folder, config


def test_a_training_exports_weights_that_lift(trained):
    folder, config = trained
    path = folder / "run" / SHIPPED
    params = load_depth_gan(path)
    assert read_layout(path) == "mpii"
    assert params["perceptron"]["layer1"]["kernel"].shape == (34, 8)
    depths = lift_depths(params, np.load(config.poses).reshape(-1, 17, 2))
    assert depths.shape == (20, 17) and np.isfinite(depths).all()


def test_a_training_continues_but_not_with_another_network(trained, capsys):
    folder, config = trained
    assert run_depth_gan(dataclasses.replace(config, steps=4)) == 0
    out, err = capsys.readouterr()
    assert "continuing after step 3 of 4" in err and "step 4" in out
    with pytest.raises(InputError, match="direction"):
        run_depth_gan(dataclasses.replace(config, steps=5, direction="none"))
    # The file of poses may move, and not be another one.
    moved, other = (str(folder / name) for name in ("moved.npy", "other.npy"))
    shutil.copy(config.poses, moved)
    assert run_depth_gan(dataclasses.replace(config, steps=5, poses=moved)) == 0
    np.save(other, 2 * np.load(moved))
    with pytest.raises(InputError, match=r"poses \(was .*sha256"):
        run_depth_gan(dataclasses.replace(config, steps=6, poses=other))


def test_an_evaluation_writes_a_table_once(trained, monkeypatch, capsys):
    folder, config = trained
    monkeypatch.setattr("volhuman.deform_and_learn.depth_run._NUM_TEST", 20)
    poses = 0.3 * np.random.default_rng(0).normal(size=(30, 24, 3))
    np.savez(folder / "body.npz", pose=poses.astype(np.float16))
    config = dataclasses.replace(
        config,
        mode="evaluate",
        weights=str(folder / "run" / SHIPPED),
        body_poses=str(folder / "body.npz"),
        output=str(folder / "scores"),
    )
    assert run_depth_gan(config) == 0
    content = json.loads((folder / "scores" / "scores.json").read_text())
    rows = {row["name"]: row["cells"] for row in content["rows"]}
    for name in ("held-out synthetic people", "given poses"):
        error, flipped = (
            {row: cells[f"{metric}, {name}"]["value"] for row, cells in rows.items()}
            for metric in ("MPJPE", "flipped")
        )
        assert error["ground truth against itself"] < 1e-3 < error["lifted"]
        half = error["mirrored truth"] / 2
        np.testing.assert_allclose(error["zero depths"], half, rtol=1e-5)
        assert flipped["mirrored truth"] == 1
        assert flipped["zero depths"] == "not applicable"
    assert rows["lifted"]["MPJPE, given poses"]["count"] == 30
    capsys.readouterr()
    with pytest.raises(InputError, match="overwrite"):
        run_depth_gan(config)


def test_the_description_counts_the_published_parameters(capsys):
    run_depth_gan(DepthGanConfig(mode="describe"))
    printed = capsys.readouterr().out
    assert "parameters: 2152465" in printed and "parameters: 2136065" in printed


@pytest.mark.parametrize(
    "option, value",
    [
        ("mode", "trian"),
        ("direction", "up"),
        ("schedule", "linear"),
        ("layout", "coco"),
        ("width", 0),
        ("num_poses", 0),
        ("learning_rate", 0.0),
        ("direction_weight", -1.0),
        ("direction_weight", float("nan")),
    ],
)
def test_an_option_out_of_range_is_named(tmp_path, option, value):
    config = DepthGanConfig(workdir=str(tmp_path / "run"))
    with pytest.raises(InputError, match=f"--config.{option} is .*expected"):
        run_depth_gan(dataclasses.replace(config, **{option: value}))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "pose, words", [(np.zeros((0, 24, 3)), "no pose"), (np.zeros((2, 23, 3)), "24")]
)
def test_body_poses_that_cannot_be_used(trained, tmp_path, pose, words):
    folder, config = trained
    np.savez(tmp_path / "body.npz", pose=pose)
    config = dataclasses.replace(
        config,
        mode="evaluate",
        weights=str(folder / "run" / SHIPPED),
        body_poses=str(tmp_path / "body.npz"),
        output=str(tmp_path / "scores"),
    )
    with pytest.raises(InputError, match=words):
        run_depth_gan(config)


# -- weights


def test_weights_come_back_in_half_precision(tmp_path):
    lifter = Lifter(12)
    params = jax.jit(lifter.init)(jax.random.key(0), np.zeros((1, 17, 2)))["params"]
    path = tmp_path / "a.safetensors"
    save_depth_gan(path, params, layout="human36m", config={"seed": 1}, step=9)
    loaded = load_depth_gan(path)
    for a, b in zip(jax.tree.leaves(loaded), jax.tree.leaves(params), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"network": {"width": 3}},
        {"lifter": {"width": "8", "layout": "mpii"}},
        {"lifter": {"width": True, "layout": "mpii"}},
        {"lifter": {"width": 10**9, "layout": "mpii"}},
        {"lifter": {"width": 8, "layout": "coco"}},
        {"lifter": [8]},
    ],
)
def test_weights_of_something_else_are_refused(tmp_path, config):
    path = tmp_path / "other.safetensors"
    export_weights(path, {"a": np.zeros(3)}, config=config, step=1)
    for load in (load_depth_gan, read_layout):
        with pytest.raises(InputError, match="not the weights of a depth GAN"):
            load(path)


def test_shipped_weights_know_front_from_back_and_beat_zero_depths():
    joints = held_out_people(200, layout="human36m", seed=5)
    depths = jax.jit(lift_depths)(load_depth_gan(), joints[..., :2])
    found = measure_depths(depths, joints)
    assert found["flipped"].mean() < 0.1
    flat = measure_depths(np.zeros_like(depths), joints)
    assert found["MPJPE"].mean() < 0.7 * flat["MPJPE"].mean()
