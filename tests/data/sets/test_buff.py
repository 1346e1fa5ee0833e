"""BUFF: the two spellings of its file names, units, an even choice of scans."""

import numpy as np
import pytest
import trimesh

from volhuman.data.sets.buff import read_scans, spread_scans

NAME = "volhuman_buff"


@pytest.fixture
def scan():
    """A coloured ball of 1.8 m in millimetres."""
    ball = trimesh.creation.icosphere(subdivisions=1, radius=900)
    ball.visual.vertex_colors = np.arange(len(ball.vertices) * 3).reshape(-1, 3) % 256
    return ball


@pytest.fixture
def buff(files, scan):
    data = trimesh.exchange.ply.export_ply(scan)
    for frame in (10, 2, 30):
        name = f"00096/shortlong_hips/00096_shortlong_hips.{frame:06d}.ply"
        files.path(name).write_bytes(data)
    files.path("00032/shortshort_hips/shortshort_hips_000001.ply").write_bytes(data)
    minimal = trimesh.Trimesh(scan.vertices / 1000, scan.faces, process=False)
    files.path("minimal_body_shape/00096/00096_minimal.ply").write_bytes(
        trimesh.exchange.ply.export_ply(minimal)
    )


def test_scans_come_in_order_and_in_metres(files, buff, scan):
    _, examples = files.build(NAME)
    assert [item["name"].decode() for item in examples["test"]] == [
        "00032/shortshort_hips/000001",
        "00096/shortlong_hips/000002",
        "00096/shortlong_hips/000010",
        "00096/shortlong_hips/000030",
    ]
    item = examples["test"][1]
    assert (item["subject"], item["sequence"]) == (b"00096", b"shortlong_hips")
    assert item["frame"] == 2
    np.testing.assert_allclose(item["vertices"], scan.vertices / 1000, atol=1e-6)
    np.testing.assert_array_equal(item["faces"], scan.faces)
    np.testing.assert_array_equal(item["colors"], scan.visual.vertex_colors[:, :3])
    np.testing.assert_allclose(item["minimal_vertices"], item["vertices"], atol=1e-6)
    assert examples["test"][0]["minimal_vertices"].shape == (0, 3)


def test_scans_may_lie_below_sequences(files, buff):
    (files.root / "00096").rename(files.path("sequences/00096"))
    assert [scan.subject for scan in read_scans(files.root)] == ["00096"] * 3


def test_a_number_of_scans_is_taken_evenly(files, buff):
    scans = read_scans(files.root)
    assert spread_scans(scans, 2) == [scans[0], scans[2]]
    assert spread_scans(scans, 9) == scans
    many = list(range(1000))
    steps = np.diff(spread_scans(many, 300))
    assert len(steps) == 299 and set(steps) == {3, 4}
    builder, examples = files.build(NAME, num_scans=2)
    assert len(examples["test"]) == 2 and "n2" in builder.builder_config.name


def test_damage_is_named(files, buff):
    name = "00096/shortlong_hips/00096_shortlong_hips.000010.ply"
    files.cut(name)
    files.refused(NAME, "000010.ply")
    builder, examples = files.build(NAME, broken="skip")
    assert len(examples["test"]) == 3
    assert list(builder.info.metadata["broken"]["test"]) == [
        "00096/shortlong_hips/000010"
    ]
    (files.root / name).rename(files.root / "00096/shortlong_hips/scan.ply")
    files.refused(NAME, "scan.ply", "number of the frame")


def test_a_folder_without_scans_is_refused(files):
    files.text("readme.txt", "x")
    files.refused(NAME, "<subject>/<sequence>")
