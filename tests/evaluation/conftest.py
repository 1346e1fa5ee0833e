"""Folders of predictions and ground truth, and running their evaluation."""

import dataclasses
import json

import numpy as np
import pytest

from volhuman.data.images import write_png
from volhuman.evaluation.config import EvaluateConfig
from volhuman.evaluation.normals import NORMAL_PROTOCOLS
from volhuman.evaluation.task import evaluate_folders


@pytest.fixture
def folder(tmp_path):
    """Makes a folder of the test."""

    def folder(name):
        path = tmp_path / name
        path.mkdir(exist_ok=True)
        return path

    return folder


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Evaluates the folders of the test and returns the JSON.

    Normals are rendered at 64 instead of 512 pixels: the tests look at zero or not.
    """
    for name, protocol in NORMAL_PROTOCOLS.items():
        small = dataclasses.replace(protocol, size=64)
        monkeypatch.setitem(NORMAL_PROTOCOLS, name, small)

    def run(**options):
        options = {
            "prediction": str(tmp_path / "prediction"),
            "truth": str(tmp_path / "truth"),
            "output": str(tmp_path / "output"),
            "no_bare_body": "a test",
            **options,
        }
        assert evaluate_folders(EvaluateConfig(**options)) == 0
        return json.loads((tmp_path / "output" / "scores.json").read_text())

    return run


def _picture(seed, shape=(64, 80)):
    generator = np.random.default_rng(seed)
    small = generator.random((shape[0] // 8, shape[1] // 8, 3))
    return np.kron(small, np.ones((8, 8, 1)))


@pytest.fixture
def pictures(folder):
    for number, stem in enumerate(("anna_0", "anna_1", "ben_0")):
        truth = _picture(number)
        noise = np.random.default_rng(9).normal(0, 0.1 + 0.1 * number, truth.shape)
        write_png(folder("truth") / f"{stem}.png", truth)
        write_png(folder("prediction") / f"{stem}.png", np.clip(truth + noise, 0, 1))
        write_png(folder("body") / f"{stem}.png", np.full(truth.shape, 0.5))
        mask = np.zeros(truth.shape)
        mask[10:40, 20:60] = 1
        write_png(folder("mask") / f"{stem}.png", mask)
