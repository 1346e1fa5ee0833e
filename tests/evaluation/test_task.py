"""Folders to tables: the values of every kind of item and how they are labelled."""

import json

import numpy as np
import pytest
import trimesh

from volhuman.data.images import read_photograph
from volhuman.errors import InputError
from volhuman.evaluation.images import SSIM_STANDARD, ssim, ssim_foreground
from volhuman.evaluation.poses import H36M_JOINTS
from volhuman.evaluation.tables import BODY_ROW, TRUTH_ROW


def _cells(content, row="prediction"):
    return next(r["cells"] for r in content["rows"] if r["name"] == row)


# -- images


def test_images_are_scored_as_by_the_functions(run, folder, pictures):
    content = run(
        mask=str(folder("mask")),
        bare_body=str(folder("body")),
        no_bare_body="",
        person="_",
        data="a test",
    )
    read = lambda name, stem: read_photograph(folder(name) / f"{stem}.png").rgb
    stems = ["anna_0", "anna_1", "ben_0"]
    for row, name in (("prediction", "prediction"), (BODY_ROW, "body")):
        expected = [
            ssim(read(name, stem), read("truth", stem), SSIM_STANDARD) for stem in stems
        ]
        cell = _cells(content, row)["SSIM (standard) ↑"]
        assert cell["value"] == pytest.approx(np.mean(expected), abs=1e-6)
        assert (cell["count"], cell["failures"]) == (3, 0)
        items = content["items"][row]
        assert items["ben_0"]["SSIM (standard) ↑"] == pytest.approx(
            float(expected[2]), abs=1e-6
        )
    inside = [
        ssim_foreground(
            read("prediction", stem),
            read("truth", stem),
            read("mask", stem)[..., 0] > 0.5,
            SSIM_STANDARD,
        )
        for stem in stems
    ]
    cells = _cells(content)
    value = cells["SSIM foreground (standard) ↑"]["value"]
    assert value == pytest.approx(np.mean(inside), abs=1e-6)
    assert cells["LPIPS"]["value"] == "not computed"
    truth = _cells(content, TRUTH_ROW)
    assert truth["SSIM (standard) ↑"]["value"] == pytest.approx(1, abs=1e-6)
    assert (
        truth["PSNR (rgb) dB ↑"]["value"] == "inf" and truth["L1 (rgb) ↓"]["value"] == 0
    )
    assert content["columns"]["SSIM (standard) ↑"]["data"] == "a test"


def test_views_of_one_person_widen_the_interval(run, folder):
    """Ten people with eight equal views: 80 files, but the evidence of ten."""
    for person in range(10):
        for view in range(8):
            name = f"p{person}_{view}.json"
            truth, value = [[0, 0, 0], [0, 1, 0]], 1 + 0.01 * person
            (folder("truth") / name).write_text(json.dumps(truth))
            prediction = [[0, 0, 0], [0, value, 0]]
            (folder("prediction") / name).write_text(json.dumps(prediction))
    widths = []
    for person in ("", "_"):
        cell = _cells(run(kind="joints", person=person, overwrite=True))[
            "MPJPE (standard) mm ↓"
        ]
        widths.append(cell["high"] - cell["low"])
    assert widths[1] > 2 * widths[0] > 0


def test_variants_of_images_stand_side_by_side(run, pictures):
    content = run(variant="standard, repose,lwb,gaussian")
    values = {
        name: _cells(content)[f"SSIM ({name}) ↑"]["value"]
        for name in ("standard", "repose", "lwb", "gaussian")
    }
    assert len({round(value, 4) for value in values.values()}) >= 3
    extra = content["columns"]["SSIM (repose) ↑"]["extra"]
    assert 0.9 < extra["data_range"] <= 1  # measured over all pictures
    assert content["columns"]["SSIM (lwb) ↑"]["extra"]["data_range"] == 2


def test_lpips_is_computed_with_weights(run, tmp_path, pictures):
    np.savez(tmp_path / "weights.npz", **_alexnet())
    content = run(lpips_backbone=str(tmp_path / "weights.npz"))
    assert _cells(content)["LPIPS (alex) ↓"]["value"] > 0
    assert _cells(content, TRUTH_ROW)["LPIPS (alex) ↓"]["value"] < 1e-9
    assert "LPIPS" not in content["columns"]
    assert len(content["columns"]["LPIPS (alex) ↓"]["extra"]["weights_sha256"]) == 64


def _alexnet():
    generator = np.random.default_rng(0)
    layers = [(0, 64, 3, 11), (3, 192, 64, 5), (6, 384, 192, 3), (8, 256, 384, 3)]
    tensors = {}
    for number, (index, out, into, side) in enumerate([*layers, (10, 256, 256, 3)]):
        weight = generator.normal(
            0, (2 / (into * side**2)) ** 0.5, (out, into, side, side)
        )
        tensors[f"features.{index}.weight"] = weight
        tensors[f"features.{index}.bias"] = np.zeros(out)
        tensors[f"lin{number}.model.1.weight"] = np.ones((1, out, 1, 1))
    return tensors


# -- meshes


def _save(path, mesh, shift=(0, 0, 0)):
    trimesh.Trimesh(mesh.vertices + shift, mesh.faces, process=False).export(path)


BOX = trimesh.creation.box((0.5, 0.5, 0.5))


def test_meshes_are_scored_in_centimetres_in_any_unit(run, folder):
    """A sheet moved by 5 cm along its normal."""
    sheet = trimesh.Trimesh(
        [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]]
    )
    for unit, scale in (("m", 1), ("mm", 1000)):
        large = trimesh.Trimesh(sheet.vertices * scale, sheet.faces)
        _save(folder("truth") / "a.ply", large)
        _save(folder("prediction") / "a.obj", large, [0, 0, 0.05 * scale])
        content = run(kind="meshes", unit=unit, variant="standard,icon", overwrite=True)
        cells = _cells(content)
        for label in ("P2S (standard) cm ↓", "Chamfer (icon) cm ↓"):
            assert cells[label]["value"] == pytest.approx(5, rel=1e-5)
        truth = _cells(content, TRUTH_ROW)
        assert truth["P2S (icon) cm ↓"]["value"] < 1e-5
        assert truth["normal error (standard) ↓"]["value"] == 0
    assert content["columns"]["P2S (icon) cm ↓"]["samples"] == 1000


def test_an_alignment_removes_its_shift_and_is_named(run, folder):
    _save(folder("truth") / "a.obj", BOX)
    _save(folder("prediction") / "a.obj", BOX, [0, 0, 0.2])
    plain = _cells(run(kind="meshes", variant="icon"))["P2S (icon) cm ↓"]
    content = run(kind="meshes", variant="icon", alignment="z shift", overwrite=True)
    assert plain["value"] > 3 and _cells(content)["P2S (icon) cm ↓"]["value"] < 1e-3
    column = content["columns"]["Chamfer (icon) cm ↓"]
    assert column["alignment"] == "z shift"


# -- joints


def _joints(path, positions, names=None):
    positions = np.asarray(positions).tolist()
    content = dict(zip(names, positions)) if names else positions
    path.write_text(json.dumps({"joints": content}))


def test_joints_are_matched_by_name_and_measured_from_the_pelvis(run, folder):
    names = ["head", "pelvis", "left_hand"]
    truth = np.array([[0, 1.0, 0], [0, 0, 0], [1, 0, 0]])
    _joints(folder("truth") / "a.json", truth, names)
    prediction = truth + 5
    prediction[2] += [0.075, 0, 0]
    order = [2, 0, 1]
    _joints(
        folder("prediction") / "a.json", prediction[order], [names[k] for k in order]
    )
    cells = _cells(run(kind="joints"))
    assert cells["MPJPE (standard) mm ↓"]["value"] == pytest.approx(25, rel=1e-4)
    assert cells["PCK (150 mm) ↑"]["value"] == 1
    assert cells["AUC (continuous) ↑"]["value"] == pytest.approx(
        (2 + 0.5) / 3, rel=1e-4
    )
    assert cells["PA-MPJPE (standard) mm ↓"]["value"] < 25


def test_a_joint_that_the_truth_lacks_is_left_out_and_one_that_is_lost_fails(
    run, folder
):
    truth = {"pelvis": [0, 0, 0], "head": [0, 1, 0], "hand": None}
    (folder("truth") / "a.json").write_text(json.dumps(truth))
    (folder("prediction") / "a.json").write_text(
        json.dumps(truth | {"hand": [9, 9, 9]})
    )
    assert _cells(run(kind="joints"))["MPJPE (standard) mm ↓"]["value"] == 0
    (folder("prediction") / "a.json").write_text(json.dumps(truth | {"head": None}))
    with pytest.raises(InputError, match=r"a\.json: joint head is missing"):
        run(kind="joints", overwrite=True)


def test_the_truth_has_the_same_joints_in_every_file(run, folder):
    for stem, names in (("a", ["pelvis", "head"]), ("b", ["pelvis", "hand"])):
        for name in ("truth", "prediction"):
            _joints(folder(name) / f"{stem}.json", np.eye(3)[:2], names)
    with pytest.raises(InputError, match=r"truth.b\.json: joint hand"):
        run(kind="joints", failures="count")
    _joints(folder("truth") / "b.json", np.eye(3)[:2], ["head", "pelvis"])
    _joints(folder("prediction") / "b.json", np.eye(3)[:2], ["head", "pelvis"])
    content = run(kind="joints")
    assert content["columns"]["MPJPE (standard) mm ↓"]["extra"]["joints"] == 2


@pytest.mark.parametrize("named", [True, False])
def test_the_protocol_of_human36m_takes_names_or_the_order(run, folder, named):
    generator = np.random.default_rng(0)
    truth = generator.normal(0, 0.3, (17, 3))
    names = list(H36M_JOINTS) if named else None
    _joints(folder("truth") / "a.json", truth, names)
    order = generator.permutation(17) if named else np.arange(17)
    names = [H36M_JOINTS[k] for k in order] if named else None
    _joints(folder("prediction") / "a.json", 3 * truth[order], names)
    content = run(kind="joints", variant="h36m-1-17,h36m-1-14")
    cells, own = _cells(content), _cells(content, TRUTH_ROW)
    for variant in ("h36m-1-17", "h36m-1-14"):
        label = f"MPJPE ({variant}) mm ↓"
        assert cells[label]["value"] == pytest.approx(own[label]["value"], rel=1e-3)


def test_the_protocol_of_human36m_refuses_other_skeletons(run, folder):
    for name in ("truth", "prediction"):
        _joints(folder(name) / "a.json", np.eye(3))
    with pytest.raises(InputError, match="17 joints"):
        run(kind="joints", variant="h36m-1-17")
