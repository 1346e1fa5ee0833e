"""Folders that cannot be evaluated: failures, broken truth, options, by name."""

import dataclasses
import pathlib

import numpy as np
import pytest
import trimesh

from volhuman import configuration
from volhuman.data.images import write_png
from volhuman.errors import InputError
from volhuman.evaluation.config import EvaluateConfig
from volhuman.evaluation.tables import TRUTH_ROW

EXPERIMENT = pathlib.Path(__file__).parents[2] / "experiments" / "evaluate.py"
BOX = trimesh.creation.box((0.5, 0.5, 0.5))


def _save(path, mesh, shift=(0, 0, 0)):
    trimesh.Trimesh(mesh.vertices + shift, mesh.faces, process=False).export(path)


def _cell(content, label):
    """The prediction's cell, which is the first row."""
    return content["rows"][0]["cells"][label]


# -- failures


@pytest.fixture
def boxes(folder):
    """Five meshes; three predictions are missing, empty or broken, one is surplus."""
    for stem in "abcde":
        _save(folder("truth") / f"{stem}.obj", BOX)
    for stem in "abx":
        _save(folder("prediction") / f"{stem}.obj", BOX, [0.01, 0, 0])
    (folder("prediction") / "c.obj").write_text("v 0 0 0\n")
    (folder("prediction") / "d.obj").write_text(
        "v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
    )


def test_failures_are_counted_named_and_never_skipped(run, boxes, capsys):
    content = run(kind="meshes", variant="icon", failures="count")
    cell = _cell(content, "Chamfer (icon) cm ↓")
    assert (cell["count"], cell["failures"]) == (5, 3) and 0 < cell["value"] < 1
    failures = content["failures"]["prediction"]
    assert set(failures) == {"c", "d", "e"}
    assert "no faces" in failures["c"] and "not finite" in failures["d"]
    assert "missing" in failures["e"]
    assert content["items"]["prediction"]["c"]["Chamfer (icon) cm ↓"] is None
    assert content["without_ground_truth"]["prediction"] == ["x"]
    output = capsys.readouterr()
    assert "3 of 5 failed" in output.out and "ground truth: x" in output.err


def test_failures_are_refused_by_default(run, folder, boxes):
    with pytest.raises(InputError, match=r"missing: e;.*failures=count"):
        run(kind="meshes", variant="icon")
    _save(folder("prediction") / "e.obj", BOX)
    with pytest.raises(InputError, match="without ground truth: x"):
        run(kind="meshes", variant="icon")
    (folder("prediction") / "x.obj").unlink()
    with pytest.raises(InputError, match=r"c\.obj.*no faces.*failures=count"):
        run(kind="meshes", variant="icon")


def test_all_predictions_may_fail(run, folder):
    _save(folder("truth") / "a.obj", BOX)
    (folder("prediction") / "a.obj").write_text("nothing")
    content = run(kind="meshes", variant="icon", failures="count")
    cell = _cell(content, "P2S (icon) cm ↓")
    assert cell["value"] is None and (cell["count"], cell["failures"]) == (1, 1)


def test_a_broken_ground_truth_is_refused_whatever_the_option(run, folder):
    _save(folder("prediction") / "a.obj", BOX)
    (folder("truth") / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    with pytest.raises(InputError, match=r"truth.a\.obj: its faces have no area"):
        run(kind="meshes", failures="count")


def test_pictures_of_another_size_fail(run, folder, pictures):
    write_png(folder("prediction") / "ben_0.png", np.zeros((64, 64, 3)))
    with pytest.raises(InputError, match=r"ben_0.*64 x 64.*expected 64 x 80"):
        run()
    content = run(failures="count")
    assert list(content["failures"]["prediction"]) == ["ben_0"]


def test_pictures_below_the_window_fail_with_a_reason(run, folder):
    for name in ("truth", "prediction"):
        write_png(folder(name) / "a.png", np.zeros((5, 5, 3)))
    with pytest.raises(InputError, match=r"a\.png.*at least"):
        run()


def test_a_pooled_range_needs_a_picture_that_can_be_read(run, folder):
    for name in ("truth", "prediction"):
        (folder(name) / "a.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="truth"):
        run(variant="repose")


@pytest.mark.parametrize(
    "mask, reason",
    [
        (np.zeros((64, 80, 3)), "all black"),
        (np.ones((64, 80, 3)), "all white"),
        (np.eye(64)[..., None].repeat(3, 2), "64 x 64"),
    ],
)
def test_masks_that_mask_nothing_are_refused(run, folder, pictures, mask, reason):
    write_png(folder("mask") / "anna_1.png", mask)
    with pytest.raises(InputError, match=f"anna_1.*{reason}"):
        run(mask=str(folder("mask")), failures="count")


def test_missing_masks_are_refused(run, folder, pictures):
    (folder("mask") / "ben_0.png").unlink()
    with pytest.raises(InputError, match="masks are missing: ben_0"):
        run(mask=str(folder("mask")))


# -- options


@pytest.mark.parametrize(
    "options, words",
    [
        ({"kind": "volumes"}, ["kind", "images, meshes, joints"]),
        ({"failures": "skip"}, ["failures", "refuse, count"]),
        ({"kind": "meshes", "unit": "inch"}, ["unit", "m, cm, mm"]),
        ({"prediction": ""}, ["prediction"]),
        ({"truth": ""}, ["truth"]),
        ({"no_bare_body": ""}, ["bare_body"]),
        ({"no_bare_body": " "}, ["bare_body"]),
        ({"bare_body": "somewhere"}, ["bare_body"]),
        ({"name": TRUTH_ROW}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"seed": -1}, ["seed"]),
        ({"variant": "best"}, ["variant", "standard, gaussian, repose, lwb"]),
        ({"variant": "lwb,lwb"}, ["variant"]),
        ({"variant": ""}, ["variant"]),
        ({"alignment": "rigid"}, ["alignment"]),
        ({"kind": "meshes", "alignment": "affine"}, ["alignment", "z shift"]),
        ({"kind": "meshes", "variant": "lwb"}, ["variant", "pamir"]),
        ({"kind": "meshes", "mask": "x"}, ["mask"]),
        ({"kind": "joints", "alignment": "rigid"}, ["alignment"]),
        ({"kind": "joints", "mask": "x"}, ["mask"]),
        ({"lpips_linear": "x.npz"}, ["lpips_backbone"]),
        ({"lpips_backbone": "x.npz"}, ["x.npz"]),
    ],
)
def test_refuses_options_by_name(run, pictures, options, words):
    with pytest.raises(InputError) as refusal:
        run(**options)
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize("kind", ["images", "meshes", "joints"])
def test_refuses_missing_and_empty_folders(run, folder, kind):
    with pytest.raises(InputError, match="truth"):
        run(kind=kind)
    folder("truth")
    with pytest.raises(InputError, match="truth"):
        run(kind=kind)


def test_existing_results_are_kept(run, folder):
    for name in ("truth", "prediction"):
        (folder(name) / "a.json").write_text("[[0, 0, 0], [1, 0, 0]]")
    run(kind="joints")
    with pytest.raises(InputError, match="overwrite"):
        run(kind="joints")


def test_the_shipped_configuration_holds_every_option_with_its_default():
    parsed = configuration.parse(["volhuman", f"--config={EXPERIMENT}"])
    assert configuration.as_dataclass(parsed, EvaluateConfig) == EvaluateConfig()
    for field in dataclasses.fields(EvaluateConfig):
        assert f"        {field.name}: " in EvaluateConfig.__doc__, field.name
