"""Folders of scans: PaMIR's cube, plain folders in three units, fitted bodies."""

import numpy as np
import pytest

from volhuman.body.model import BodyParams, pose_body
from volhuman.body.template import load_template
from volhuman.data.sets.scans import read_plain_folders
from volhuman.data.sets.smpl_fits import fitted_vertices, read_smpl_fit
from volhuman.errors import InputError

NAME = "volhuman_scans"
SCALE = 0.44162
PERSON = np.array([[-0.4, -0.9, -0.2], [0.4, 0.9, 0.2], [0, 0, 0.2]])


def _obj(vertices):
    rows = "".join(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in vertices)
    return rows + "vt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n"


@pytest.fixture
def params(numbers):
    """Parameters as in PaMIR's example; the root stands in the pose as well."""
    pose = numbers(1, 72)
    return {
        "betas": numbers(1, 10),
        "global_orient": pose[:, :3],
        "body_pose": pose,
        "global_body_translation": numbers(3),
        "body_scale": np.array([SCALE], np.float32),
        "body_pose_embedding": numbers(1, 32),
    }


@pytest.fixture
def pamir(files, params):
    files.text("data_list.txt", "rp_b_001\nrp_a_002\n")
    for seed, name in enumerate(("rp_a_002", "rp_b_001")):
        files.text(f"mesh_data/{name}/{name}_100k.obj", _obj(PERSON * SCALE))
        files.picture(f"mesh_data/{name}/{name}_dif_2k.jpg", seed=seed)
        files.picture(f"mesh_data/{name}/material0.png", seed=9)
        files.pickle(f"mesh_data/{name}/smpl/smpl_param.pkl", params, protocol=3)
        # Its vertices are in another order and must not be read: it is no mesh at all.
        files.text(f"mesh_data/{name}/smpl/smpl_mesh.obj", "not to be read")


def test_pamir_scans_come_in_metres_and_in_the_order_of_the_list(files, pamir, params):
    _, examples = files.build(NAME, layout="pamir")
    (first, second) = examples["train"]
    assert (first["name"], second["name"]) == (b"rp_b_001", b"rp_a_002")
    np.testing.assert_allclose(first["vertices"], PERSON, atol=1e-5)
    np.testing.assert_array_equal(first["faces"], [[0, 1, 2]])
    np.testing.assert_array_equal(first["faces_uv"], [[0, 1, 2]])
    np.testing.assert_array_equal(
        first["texture"], files.pixels("mesh_data/rp_b_001/rp_b_001_dif_2k.jpg")
    )
    assert first["body"] == b"smpl"
    np.testing.assert_array_equal(first["pose"], params["body_pose"].reshape(24, 3))
    np.testing.assert_array_equal(first["shape"], params["betas"][0])
    np.testing.assert_allclose(
        first["translation"], params["global_body_translation"] / SCALE, rtol=1e-5
    )
    assert abs(first["body_scale"] - 1) < 1e-6
    assert abs(first["metres_per_unit"] - 1 / SCALE) < 1e-5


def test_the_body_of_an_example_is_the_fitted_body_in_metres(files, pamir, params):
    """Cube coordinates over the scale, from the file and from the example alike."""
    model = load_template()
    path = files.root / "mesh_data/rp_a_002/smpl/smpl_param.pkl"
    in_cube = np.asarray(fitted_vertices(model, read_smpl_fit(path)))
    direct = pose_body(
        model,
        BodyParams(
            pose=params["body_pose"].reshape(24, 3),
            shape=params["betas"][0],
            scales=np.ones(24, np.float32),
            translation=np.zeros(3, np.float32),
        ),
    ).vertices
    np.testing.assert_allclose(
        in_cube, SCALE * direct + params["global_body_translation"], atol=1e-5
    )
    _, examples = files.build(NAME, layout="pamir")
    example = examples["train"][1]
    in_metres = example["body_scale"] * direct + example["translation"]
    np.testing.assert_allclose(in_metres, in_cube / SCALE, atol=1e-5)


@pytest.mark.parametrize(
    "missing, words",
    [
        ("data_list.txt", ["data_list.txt is missing"]),
        ("mesh_data/rp_a_002/rp_a_002_100k.obj", ["rp_a_002_100k.obj is missing"]),
        ("mesh_data/rp_a_002/smpl/smpl_param.pkl", ["scale", "unit"]),
    ],
)
def test_missing_files_of_pamir_are_named(files, pamir, missing, words):
    (files.root / missing).unlink()
    files.refused(NAME, *words, layout="pamir")


def test_a_scan_of_the_list_that_was_not_copied_is_named(files, pamir):
    files.text("data_list.txt", "rp_b_001\nrp_c_003\n")
    files.refused(NAME, "'rp_c_003'", "copy the rest", layout="pamir")


# -- plain folders


@pytest.fixture
def plain(files, numbers):
    """RenderPeople in centimetres, THuman 2 in metres, a bare scan in millimetres."""
    name = "rp_aaron_posed_001_OBJ"
    files.text(f"{name}/rp_aaron_posed_001_100k.obj", _obj(PERSON * 100))
    files.picture(f"{name}/tex/rp_aaron_posed_001_dif_8k.jpg", seed=1)
    files.picture(f"{name}/tex/rp_aaron_posed_001_norm_8k.jpg", seed=2)
    files.text("0001/0001.obj", _obj(PERSON))
    files.text("0001/other.obj", "not to be read")
    files.picture("0001/material0.jpeg", seed=3)
    files.pickle(
        "smplx/0001/smplx_param.pkl",
        {
            "body_pose": numbers(1, 63),
            "global_orient": numbers(1, 3),
            "betas": numbers(1, 10),
            "scale": np.array([1.1]),
            "translation": numbers(3),
            "transl": numbers(1, 3, seed=2),
            "expression": numbers(1, 10),
        },
        protocol=4,
    )
    files.text("bare/scan.obj", "v 0 0 0\nv 0 1800 0\nv 9 9 9\nf 1 2 3\n")


def test_plain_folders_come_in_metres_whatever_their_unit(files, plain, numbers):
    _, examples = files.build(NAME, layout="folders")
    first, second, third = examples["train"]
    assert [item["name"] for item in (first, second, third)] == [
        b"0001",
        b"bare",
        b"rp_aaron_posed_001_OBJ",
    ]
    for item, unit in ((first, 1), (second, 0.001), (third, 0.01)):
        assert abs(item["metres_per_unit"] - unit) < 1e-9
        assert abs(np.ptp(item["vertices"], axis=0).max() - 1.8) < 1e-5
    assert first["body"] == b"smplx" and second["body"] == third["body"] == b""
    np.testing.assert_array_equal(first["pose"][0], numbers(1, 3)[0])
    np.testing.assert_array_equal(first["pose"][1:22].reshape(-1), numbers(1, 63)[0])
    np.testing.assert_array_equal(first["pose"][22:], 0)
    expected = numbers(3) + 1.1 * numbers(1, 3, seed=2)[0]
    np.testing.assert_allclose(first["translation"], expected, rtol=1e-5)
    np.testing.assert_array_equal(
        third["texture"],
        files.pixels("rp_aaron_posed_001_OBJ/tex/rp_aaron_posed_001_dif_8k.jpg"),
    )
    assert second["texture"].shape == (1, 1, 3) and second["uv"].shape == (0, 2)


def test_an_odd_size_needs_a_unit(files):
    files.text("a/a.obj", _obj(PERSON / 2.25))  # PaMIR's cube
    files.refused(NAME, "a.obj", "0.8", "metres_per_unit", layout="folders")
    builder, examples = files.build(NAME, layout="folders", metres_per_unit=2.25)
    np.testing.assert_allclose(examples["train"][0]["vertices"], PERSON, atol=1e-5)
    assert builder.builder_config.name == "folders_unit2.25_part"


def test_folders_that_leave_a_choice_are_refused(files):
    files.text("a/x.obj", _obj(PERSON))
    files.text("a/y.obj", _obj(PERSON))
    with pytest.raises(InputError, match=r"2 OBJ files, none of them a\.obj"):
        read_plain_folders(files.root)
    (files.root / "a/y.obj").unlink()
    files.picture("a/one.jpg")
    files.picture("a/two.jpg")
    with pytest.raises(InputError, match="2 pictures"):
        read_plain_folders(files.root)
    (files.root / "a/x.obj").unlink()
    with pytest.raises(InputError, match="no folder with an OBJ"):
        read_plain_folders(files.root)


@pytest.mark.parametrize(
    "change, word",
    [
        ({"betas": None}, "no 'betas'"),
        ({"body_pose": np.zeros((1, 66))}, "66 numbers"),
        ({"betas": np.zeros((1, 8))}, "8 numbers"),
        ({"global_body_translation": None}, "transl"),
        ({"body_scale": np.array([-1.0])}, "scale of the body is -1"),
        ({"body_pose": np.full((1, 72), np.inf)}, "not finite"),
        ({"body_pose": "text"}, "not made of numbers"),
    ],
)
def test_bodies_of_another_form_are_refused(files, pamir, params, change, word):
    params = {k: v for k, v in (params | change).items() if v is not None}
    files.pickle("mesh_data/rp_b_001/smpl/smpl_param.pkl", params)
    files.refused(NAME, "rp_b_001/smpl/smpl_param.pkl", word, layout="pamir")
    builder, _ = files.build(NAME, layout="pamir", broken="skip")
    assert list(builder.info.metadata["broken"]["train"]) == ["rp_b_001"]
