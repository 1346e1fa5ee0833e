"""Dense annotations: where each form lands on the body, and every refusal by name.

DensePose's chart is not free; a small chart of a small body stands in for it.
"""

import json

import numpy as np
import pytest
import scipy.io

from volhuman.body.template import build_body
from volhuman.data.dense import MINIMUM_POINTS, read_chart, read_dense
from volhuman.errors import InputError

SHAPE = (300, 200)  # H, W
SIDE = 7
NUM_VERTICES = SIDE * SIDE
COUNT = 20


def _body(name):
    """A sheet of vertices 0.2 m apart, held by one joint."""
    row, column = np.divmod(np.arange(NUM_VERTICES), SIDE)
    template = np.stack([column * 0.2 - 0.6, row * 0.2 - 0.6, 0 * row], 1)
    corner = np.arange(NUM_VERTICES).reshape(SIDE, SIDE)[:-1, :-1].reshape(-1)
    weights = np.zeros((NUM_VERTICES, 24))
    weights[:, 0] = 1
    return build_body(
        name=name,
        template=template,
        shape_dirs=np.zeros((NUM_VERTICES, 3, 2)),
        pose_dirs=None,
        weights=weights,
        joints=np.zeros((24, 3)),
        joint_dirs=np.zeros((24, 3, 2)),
        faces=np.concatenate(
            [corner[:, None] + [0, 1, SIDE], corner[:, None] + [1, SIDE + 1, SIDE]]
        ),
    )


@pytest.fixture(scope="module")
def body():
    return _body("sheet")


@pytest.fixture(scope="module")
def smpl():
    return _body("smpl")


@pytest.fixture
def content():
    """Columns that are valid in every respect, at distinct places."""
    steps = np.arange(COUNT)
    return {
        "x": (10.0 + 7 * steps).tolist(),
        "y": (250.0 - 11 * steps).tolist(),
        "vertex": (steps * 2).tolist(),
    }


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "dense.json"
        path.write_text(json.dumps(content))
        return path

    return write


def _refused(path, model, *words, file=None, **options):
    with pytest.raises(InputError) as refusal:
        read_dense(path, model, SHAPE, **options)
    message = str(refusal.value)
    assert str(file or path) in message and "\n" not in message
    for word in words:
        assert word in message
    return message


def _vertices(points):
    """The vertex of each point, after checking that it is one vertex alone."""
    vertices, weights = (
        np.asarray(a) for a in (points.surface.vertices, points.surface.barycentric)
    )
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert (vertices == vertices[:, :1])[weights > 0].all()
    return vertices[:, 0].tolist()


# -- vertex


def test_vertex_numbers_are_taken_as_they_are(write, body, content):
    points = read_dense(write(content), body, SHAPE)
    assert _vertices(points) == content["vertex"]
    np.testing.assert_array_equal(points.positions[:, 0], content["x"])
    np.testing.assert_array_equal(points.positions[:, 1], content["y"])


@pytest.mark.parametrize("wrong", [-1, NUM_VERTICES, 1.5, 2**40])
def test_refuses_a_vertex_that_the_body_lacks(write, body, content, wrong):
    content["vertex"][3] = wrong
    _refused(write(content), body, "vertex", str(NUM_VERTICES - 1), "sheet")


def test_the_last_vertex_and_floats_that_are_whole_are_allowed(write, body, content):
    content["vertex"][3] = float(NUM_VERTICES - 1)
    assert _vertices(read_dense(write(content), body, SHAPE))[3] == NUM_VERTICES - 1


# -- rest_xyz


def test_rest_positions_find_the_nearest_vertex(write, body, content):
    expected = content.pop("vertex")
    generator = np.random.default_rng(0)
    rest = np.asarray(body.template)[expected]
    # Half the spacing is 0.1 m: within 0.05 m in any axis no other vertex is nearer.
    content["rest_xyz"] = (rest + generator.uniform(-0.05, 0.05, rest.shape)).tolist()
    assert _vertices(read_dense(write(content), body, SHAPE)) == expected


@pytest.mark.parametrize("far", [[0.6, 0.6, 0.11], [600, 600, 0], [1e20, 0, 0]])
def test_refuses_rest_positions_off_the_body(write, body, content, far):
    rest = np.asarray(body.template)[content.pop("vertex")].tolist()
    content["rest_xyz"] = rest
    rest[5] = far
    _refused(write(content), body, "rest_xyz[5]", "metres", "sheet")


@pytest.mark.parametrize("row", [[1, 2], [1, 2, 3, 4], 5, None, "abc"])
def test_refuses_rest_rows_of_another_form(write, body, content, row):
    content["rest_xyz"] = np.asarray(body.template)[content.pop("vertex")].tolist()
    content["rest_xyz"][2] = row
    _refused(write(content), body, "rest_xyz[2]", "[x, y, z]")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0", True, None])
def test_refuses_rest_values_that_are_not_finite(write, body, content, value):
    content["rest_xyz"] = np.asarray(body.template)[content.pop("vertex")].tolist()
    content["rest_xyz"][2][1] = value
    _refused(write(content), body, "rest_xyz[2]")


def test_refuses_rest_of_another_length(write, body, content):
    content["rest_xyz"] = [[0, 0, 0]] * (len(content.pop("vertex")) - 1)
    _refused(write(content), body, "rest_xyz", str(COUNT))


def test_the_first_form_of_the_documented_order_wins(write, body, content):
    content["rest_xyz"] = [[0, 0, 0]] * COUNT
    content |= {"I": [1] * COUNT, "U": [0.5] * COUNT, "V": [0.5] * COUNT}
    assert _vertices(read_dense(write(content), body, SHAPE)) == content["vertex"]


# -- I, U, V


def _chart(path, **changes):
    """Writes a chart in DensePose's format and returns its contents.

    The sheet is cut into a lower part 1 and an upper part 2 that share the middle row,
    so that its vertices occur twice, as at DensePose's seams. U and V run over each
    part from 0 to 1, so that only the part tells its two halves apart.
    """
    half = SIDE // 2
    rows = np.arange(NUM_VERTICES).reshape(SIDE, SIDE)
    vertices = np.concatenate([rows[: half + 1].reshape(-1), rows[half:].reshape(-1)])
    grid = np.stack(
        np.meshgrid(np.linspace(0, 1, SIDE), np.linspace(0, 1, half + 1)), -1
    )
    uv = np.tile(grid.reshape(-1, 2), (2, 1))
    size = (half + 1) * SIDE
    local = np.arange(size).reshape(half + 1, SIDE)[:-1, :-1].reshape(-1)
    block = np.concatenate([local[:, None] + [0, 1, SIDE], local[:, None] + [1, 8, 7]])
    content = {
        "All_vertices": vertices[None] + 1,
        "All_Faces": np.concatenate([block, block + size]) + 1,
        "All_FaceIndices": np.repeat([[1], [2]], len(block), axis=0),
        "All_U_norm": uv[:, :1],
        "All_V_norm": uv[:, 1:],
    }
    content.update(changes)
    content = {name: value for name, value in content.items() if value is not None}
    scipy.io.savemat(path, content)
    return content


@pytest.fixture
def chart(tmp_path):
    path = tmp_path / "UV_Processed.mat"
    _chart(path)
    return path


@pytest.fixture
def uv_content(content):
    del content["vertex"]
    generator = np.random.default_rng(1)
    content["I"] = generator.integers(1, 3, COUNT).tolist()
    content["U"], content["V"] = generator.random((2, COUNT)).tolist()
    return content


def test_chart_numbers_start_at_zero_and_parts_follow_the_faces(chart):
    table = read_chart(chart)
    assert table["table_vertices"].min() == 0
    assert table["table_vertices"].max() == NUM_VERTICES - 1
    half = len(table["table_part"]) // 2
    assert (table["table_part"][:half] == 1).all()
    assert (table["table_part"][half:] == 2).all()
    assert table["table_uv"].shape == (2 * half, 2)


def test_densepose_points_take_the_nearest_vertex_of_their_part(
    write, smpl, chart, uv_content
):
    points = read_dense(write(uv_content), smpl, SHAPE, chart=chart)
    # On the sheet the nearest entry is found by rounding, without the table.
    half = SIDE // 2
    column = np.round(np.array(uv_content["U"]) * (SIDE - 1)).astype(int)
    row = np.round(np.array(uv_content["V"]) * half).astype(int)
    row = row + half * (np.array(uv_content["I"]) == 2)
    assert _vertices(points) == (row * SIDE + column).tolist()


def test_densepose_needs_a_chart_and_smpl(write, body, smpl, chart, uv_content):
    path = write(uv_content)
    for model, given in ((smpl, None), (body, chart), (body, None)):
        _refused(
            path, model, "register.py --config.body", "--config.chart", chart=given
        )


@pytest.mark.parametrize(
    "column, value, word",
    [
        ("I", 0, "part 0"),
        ("I", 3, "part 3"),
        ("I", 1.5, "whole"),
        ("U", 1.01, "[0, 1]"),
        ("V", -0.01, "[0, 1]"),
        ("U", 127, "[0, 1]"),
        ("V", float("nan"), "V[4]"),
    ],
)
def test_refuses_texture_coordinates_out_of_range(
    write, smpl, chart, uv_content, column, value, word
):
    uv_content[column][4] = value
    _refused(write(uv_content), smpl, word, chart=chart)


def test_refuses_texture_columns_that_are_short_or_missing(
    write, smpl, chart, uv_content
):
    _refused(write(uv_content | {"U": [0.5]}), smpl, "U has 1", chart=chart)
    del uv_content["V"]
    _refused(write(uv_content), smpl, "no place on the body", chart=chart)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello",
        b"\0" * 300,
        b"MATLAB 7.3 MAT-file" + b" " * 105 + b"\x00\x02IM",
        b"MATLAB 5.0 MAT-file" + b" " * 105 + b"\x00\x01IM\x0f\0\0\0\x04\0\0\0abcd",
    ],
    ids=["empty", "text", "zeros", "version 7.3", "damaged"],
)
def test_refuses_a_file_that_is_no_chart(write, smpl, tmp_path, uv_content, raw):
    file = tmp_path / "chart.mat"
    file.write_bytes(raw)
    _refused(write(uv_content), smpl, "UV_Processed.mat", chart=file, file="chart.mat")


def test_refuses_a_missing_chart(write, smpl, tmp_path, uv_content):
    file = tmp_path / "nowhere.mat"
    _refused(write(uv_content), smpl, chart=file, file=file)


@pytest.mark.parametrize(
    "changes",
    [
        {"All_vertices": None},
        {"All_U_norm": np.zeros((3, 1))},
        {"All_Faces": np.array([[1, 2, 3]])},
        {"All_Faces": np.full((48, 3), 9999)},
        {"All_Faces": np.zeros((48, 3), int)},
        {"All_vertices": np.zeros((1, 56), int)},
        {"All_vertices": np.ones((1, 3), int)},
    ],
    ids=["missing", "short U", "few faces", "far faces", "face 0", "vertex 0", "short"],
)
def test_refuses_a_chart_whose_tables_do_not_fit(write, smpl, tmp_path, changes):
    file = tmp_path / "chart.mat"
    _chart(file, **changes)
    with pytest.raises(InputError, match="chart"):
        read_chart(file)


def test_refuses_the_chart_of_a_larger_body(write, smpl, tmp_path, uv_content):
    file = tmp_path / "chart.mat"
    vertices = _chart(file)["All_vertices"].copy()
    vertices[0, 5] = NUM_VERTICES + 1
    _chart(file, All_vertices=vertices)
    message = _refused(write(uv_content), smpl, chart=file, file=file)
    assert str(NUM_VERTICES) in message


# -- positions and columns


@pytest.mark.parametrize("place", [(-1, 5), (200.5, 5), (5, -0.1), (5, 301), (1e29, 5)])
def test_refuses_points_outside_the_photograph(write, body, content, place):
    content["x"][7], content["y"][7] = place
    _refused(write(content), body, "dense point 7", f"{place[0]:g}", "200 x 300")


def test_the_border_belongs_to_the_photograph(write, body, content):
    content["x"][:2], content["y"][:2] = [0, 200], [300, 0]
    assert len(read_dense(write(content), body, SHAPE).positions) == COUNT


@pytest.mark.parametrize("count", [0, 1, MINIMUM_POINTS - 1])
def test_refuses_too_few_points(write, body, content, count):
    short = {name: column[:count] for name, column in content.items()}
    _refused(write(short), body, f"{count} dense points", str(MINIMUM_POINTS))
    enough = {name: column[:MINIMUM_POINTS] for name, column in content.items()}
    assert len(read_dense(write(enough), body, SHAPE).positions) == MINIMUM_POINTS


@pytest.mark.parametrize("column", ["x", "y", "vertex"])
@pytest.mark.parametrize("value", [float("nan"), -float("inf"), "3", None, True, [3]])
def test_refuses_entries_that_are_no_finite_number(write, body, content, column, value):
    content[column][6] = value
    _refused(write(content), body, f"{column}[6]")


@pytest.mark.parametrize("column", ["x", "y", "vertex"])
def test_refuses_columns_of_another_length(write, body, content, column):
    content[column].append(1)
    _refused(write(content), body, str(COUNT), str(COUNT + 1))


@pytest.mark.parametrize("column", ["x", "y"])
@pytest.mark.parametrize("value", [None, 5, "12", {"0": 1}])
def test_refuses_missing_columns(write, body, content, column, value):
    content[column] = value
    _refused(write(content), body, repr(column))


@pytest.mark.parametrize("wrong", [[], 3, None, "text", [{"x": 1}]])
def test_refuses_json_of_another_kind(write, body, wrong):
    _refused(write(wrong), body, "expected an object")


def test_refuses_points_without_a_place_on_the_body(write, body, content):
    del content["vertex"]
    _refused(write(content), body, "vertex", "rest_xyz", "I, U and V")
