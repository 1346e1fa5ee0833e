"""The command from data to scores: train, go on, export, measure."""

import dataclasses
import json

import numpy as np
import pytest

from volhuman.data.people import build_people
from volhuman.errors import InputError
from volhuman.evaluation.pose_estimator import load_pose_estimator
from volhuman.repose import task as task_module
from volhuman.repose import train as train_module
from volhuman.repose.config import ReposeConfig
from volhuman.repose.evaluate import SHEET, contact_sheet
from volhuman.repose.run import run_repose
from volhuman.repose.train import WEIGHTS
from volhuman.repose.weights import load_generator
from volhuman.training.export import read_weights_header
from volhuman.training.workdir import keep_config


@pytest.fixture
def tiny(monkeypatch, network):
    for module in (task_module, train_module):
        monkeypatch.setattr(module, "network_of", lambda config: network)


@pytest.mark.slow
def test_training_goes_on_exports_and_is_measured(tiny, network, tmp_path, capsys):
    build_people(
        data_dir=tmp_path / "data",
        variant="pairs",
        num_people=3,
        seed=0,
        size=network.image_size,
        num_workers=1,
    )
    config = ReposeConfig(
        workdir=str(tmp_path / "run"),
        data_dir=str(tmp_path / "data"),
        output=str(tmp_path / "scores"),
        weights=str(tmp_path / "run" / WEIGHTS),
        steps=1,
        batch_size=2,
        num_devices=1,
        adversarial=0.0,
        evaluate_every=0,
    )
    assert run_repose(config) == 0
    # Options that only the use of a network has may differ when a run goes on.
    longer = dataclasses.replace(config, steps=2, overwrite=True, fps=10.0)
    assert run_repose(longer) == 0
    found, _ = load_generator(config.weights)
    assert found == network
    exported = (tmp_path / "run" / WEIGHTS).read_bytes()
    with pytest.raises(InputError, match=r"seed \(was 0, is 3\)"):
        run_repose(dataclasses.replace(longer, mode="export", seed=3))
    assert (tmp_path / "run" / WEIGHTS).read_bytes() == exported
    assert run_repose(dataclasses.replace(longer, mode="evaluate")) == 0
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text("utf-8"))
    assert [row["name"] for row in scores["rows"]][:2] == [
        "reposed",
        "source picture, unchanged",
    ]
    # The shipped estimator gives the pose score and is named in its protocol.
    label = load_pose_estimator()[1]
    columns = [c for c, p in scores["columns"].items() if label in json.dumps(p)]
    assert len(columns) == 1
    assert 0 < scores["rows"][0]["cells"][columns[0]]["value"] < 1
    assert (tmp_path / "scores" / SHEET).exists()
    assert "step 2" in capsys.readouterr().out
    with pytest.raises(InputError, match="exist already"):
        run_repose(dataclasses.replace(config, mode="evaluate"))
    begun = dataclasses.replace(
        config, workdir=str(tmp_path / "next"), initial=config.weights, steps=1
    )
    assert run_repose(begun) == 0
    header = read_weights_header(tmp_path / "next" / WEIGHTS)
    assert header.config["training"]["initial"] == (
        read_weights_header(config.weights).sha256
    )


def test_a_run_goes_on_with_the_same_vgg_wherever_it_lies(tiny, tmp_path, monkeypatch):
    nothing = lambda *arguments, **options: None
    for name in ("open_pairs", "FramePairs", "make_loader", "read_in_order"):
        monkeypatch.setattr(train_module, name, nothing)
    monkeypatch.setattr(train_module, "export_network", nothing)
    monkeypatch.setattr(train_module, "load_vgg19", lambda path: ({}, "keras"))
    monkeypatch.setattr(
        train_module,
        "train",
        lambda task, batches, options, *, validation, config, changeable: keep_config(
            options.workdir, config, changeable=changeable, continues=True
        ),
    )
    paths = [tmp_path / name for name in ("a.npz", "moved.npz", "other.npz")]
    for path, content in zip(paths, (b"weights", b"weights", b"others")):
        path.write_bytes(content)
    config = ReposeConfig(workdir=str(tmp_path / "run"))
    for path in paths[:2]:
        assert run_repose(dataclasses.replace(config, vgg=str(path))) == 0
    for path in (str(paths[2]), ""):
        with pytest.raises(InputError, match=r"vgg \(was .*sha256"):
            run_repose(dataclasses.replace(config, vgg=path))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("steps", 0),
        ("accumulate", 0),
        ("learning_rate", 0.0),
        ("average", 1.0),
        ("adversarial", -1.0),
        ("seed", 2**70),
    ],
)
def test_numbers_that_no_training_can_use_are_refused(option, value):
    for mode in ("train", "export", "predict"):
        config = ReposeConfig(mode=mode, schedule="cosine", **{option: value})
        with pytest.raises(InputError, match=rf"--config\.{option} is .* expected"):
            run_repose(config)


def test_unknown_modes_are_refused():
    with pytest.raises(InputError, match="mode is 'paint'"):
        run_repose(ReposeConfig(mode="paint"))


def test_the_sheet_has_a_row_for_each_pair_and_the_pose_in_it(joints):
    pictures = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    sheet = contact_sheet(
        {
            "source": pictures,
            "painted": pictures,
            "target": pictures,
            "joints": joints[:2],
        }
    )
    assert sheet.shape == (2 * 256, 4 * 256, 3)
    figure = sheet[:256, 256:512]
    assert np.ptp(figure, axis=(0, 1)).max() > 0.3
    np.testing.assert_array_equal(sheet[:, :256], sheet[:, 512:768])
