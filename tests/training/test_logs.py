"""Tables, TensorBoard and pictures: readable by others, whole, without double rows."""

import contextlib
import csv
import resource

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from volhuman.errors import InputError
from volhuman.training import logs
from volhuman.training.tables import CsvTable
from volhuman.training.tensorboard import TensorBoard, picture_grid


def _table(path, last_step=0):
    said = []
    return CsvTable(path, last_step=last_step, warn=said.append), said


def _rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@contextlib.contextmanager
def limited_files(size):
    """Limits how long files may grow; pytest's own output is a file as well."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# -- progress


def test_the_speed_is_that_of_steps_however_late_their_rows_come(monkeypatch, capsys):
    clock = iter([10.0, 11.0, 12.0, 13.0, 14.0])
    monkeypatch.setattr(logs.time, "monotonic", lambda: next(clock))
    progress = logs.Progress(0, 5)
    for step in range(1, 6):
        if step > 1:  # a row comes when the next step is under way
            progress.show(step - 1, "training", {"loss": 1.0})
        progress.advance(step)
    progress.show(5, "training", {"loss": 1.0})  # and the last one at once
    progress.close()
    first, *others = [x for x in capsys.readouterr().err.splitlines() if "/5" in x]
    assert "steps/s" not in first  # it compiles
    assert [line.rpartition("(")[2] for line in others] == ["1 steps/s)"] * 4


# -- tables


def test_a_table_is_csv_with_sorted_columns(tmp_path):
    path = tmp_path / "training.csv"
    table, _ = _table(path)
    table.write(1, {"loss": 0.1, "accuracy": 1e-20})
    table.write(20, {"accuracy": np.pi, "loss": float("nan")})
    assert _rows(path) == [
        {"step": "1", "accuracy": "1e-20", "loss": "0.1"},
        {"step": "20", "accuracy": "3.14159265", "loss": "nan"},
    ]


@pytest.mark.parametrize("end", ["", "7", "7,0.5", "7,0.5,0."])
def test_a_table_continues_after_a_step_and_without_a_broken_row(tmp_path, end):
    path = tmp_path / "training.csv"
    table, _ = _table(path)
    for step in range(1, 7):
        table.write(step, {"a": step, "b": -step})
    path.write_text(path.read_text() + end)
    table, _ = _table(path, last_step=4)
    table.write(5, {"a": 50, "b": 0})
    assert [(row["step"], row["a"]) for row in _rows(path)] == [
        ("1", "1"),
        ("2", "2"),
        ("3", "3"),
        ("4", "4"),
        ("5", "50"),
    ]


@pytest.mark.parametrize("text", ["", "ste", "step,a\n", "step,a\n3,1\n"])
def test_a_table_without_rows_to_keep_begins_anew(tmp_path, text):
    path = tmp_path / "training.csv"
    path.write_text(text)
    table, _ = _table(path, last_step=2)
    table.write(3, {"other": 1})
    assert _rows(path) == [{"step": "3", "other": "1"}]


def test_other_metrics_than_the_table_s_are_refused(tmp_path):
    table, _ = _table(tmp_path / "training.csv")
    table.write(1, {"a": 1})
    with pytest.raises(InputError, match="columns are a but the metrics are b"):
        table.write(2, {"b": 1})


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "step,a\nx,1\n", "step,a\n\n"])
def test_another_file_is_not_overwritten(tmp_path, text):
    path = tmp_path / "training.csv"
    path.write_text(text)
    with pytest.raises(InputError, match="not a table of metrics"):
        _table(path)
    assert path.read_text() == text


def test_a_full_disk_leaves_whole_rows_and_says_so_once(tmp_path):
    path = tmp_path / "training.csv"
    table, said = _table(path)
    table.write(1, {"a": 1.25})
    size = path.stat().st_size
    with limited_files(size + 3):
        table.write(2, {"a": 2.25})
        table.write(3, {"a": 3.25})
    assert path.stat().st_size == size
    assert said == [f"{path}: File too large"]
    table.write(4, {"a": 4.25})
    assert [row["step"] for row in _rows(path)] == ["1", "4"]


# -- TensorBoard


def _events(folder):
    """Reads the records of all files, oldest file first, by the format itself."""
    events = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        data, position = path.read_bytes(), 0
        while position < len(data):
            length = int.from_bytes(data[position : position + 8], "little")
            record = data[position + 12 : position + 12 + length]
            assert len(record) == length
            events.append(event_pb2.Event.FromString(record))
            position += length + 16
    return events


def test_scalars_and_pictures_are_in_the_events(tmp_path):
    board = TensorBoard(tmp_path, last_step=7, warn=pytest.fail)
    board.scalars(8, {"training/loss": 0.5, "training/size": 2.0})
    board.pictures(9, {"people": np.full((3, 4, 6, 3), 0.5)})
    board.close()
    version, start, scalars, pictures = _events(tmp_path)
    assert version.file_version == "brain.Event:2"
    # TensorBoard hides what earlier files hold from this step on.
    assert start.step == 8 and start.session_log.status == start.session_log.START
    assert scalars.step == 8
    assert {v.tag: v.simple_value for v in scalars.summary.value} == {
        "training/loss": 0.5,
        "training/size": 2.0,
    }
    (value,) = pictures.summary.value
    assert pictures.step == 9 and value.tag == "people"
    assert (value.image.height, value.image.width) == (8, 12)
    assert value.image.encoded_image_string.startswith(b"\x89PNG")


def test_two_boards_within_a_second_write_two_files(tmp_path):
    for step in (0, 5):
        TensorBoard(tmp_path, last_step=step, warn=pytest.fail).close()
    assert len(list(tmp_path.iterdir())) == 2


def test_events_after_a_full_disk_are_readable(tmp_path):
    said = []
    board = TensorBoard(tmp_path, last_step=0, warn=said.append)
    with limited_files(0):
        for step in (1, 2):
            board.scalars(step, {"loss": 1.0})
    board.scalars(3, {"loss": 3.0})
    board.close()
    assert said == [f"{tmp_path}: File too large"]
    assert [event.step for event in _events(tmp_path) if event.summary.value] == [3]


# -- pictures


def test_a_grid_has_the_pictures_row_by_row():
    pictures = np.random.default_rng(0).uniform(size=(5, 2, 4, 3))
    grid = picture_grid(pictures)
    assert grid.shape == (2 * 2, 3 * 4, 3) and grid.dtype == np.uint8
    for number, picture in enumerate(pictures):
        row, column = divmod(number, 3)
        cell = grid[2 * row : 2 * row + 2, 4 * column : 4 * column + 4]
        assert np.abs(cell / 255 - picture).max() <= 0.5 / 255 + 1e-6
    assert not grid[2:, 8:].any()


@pytest.mark.parametrize("count, shape", [(1, (2, 4)), (2, (2, 8)), (40, (8, 16))])
def test_a_grid_is_nearly_square_and_of_at_most_16(count, shape):
    assert picture_grid(np.zeros((count, 2, 4, 3))).shape[:2] == shape


def test_values_out_of_range_are_clipped():
    values = np.array([-1, 0, 0.5, 1, 7, np.nan]).reshape(1, 1, 6, 1)
    grid = picture_grid(np.broadcast_to(values, (1, 1, 6, 3)))
    assert grid[0, :, 0].tolist() == [0, 0, 128, 255, 255, 0]
