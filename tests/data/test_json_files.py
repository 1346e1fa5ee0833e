"""JSON from a user: what is no JSON, or no finite number, is refused by name."""

import pytest

from volhuman.data import json_files
from volhuman.data.json_files import number, read_json
from volhuman.errors import InputError


def _refused(path):
    with pytest.raises(InputError) as refusal:
        read_json(path)
    message = str(refusal.value)
    assert str(path) in message and "\n" not in message
    return message


def test_reads_json_of_any_script(tmp_path):
    path = tmp_path / "räum 人.json"
    path.write_text('{"schön": [1, 2.5, null, true]}', encoding="utf-8")
    assert read_json(path) == {"schön": [1, 2.5, None, True]}
    assert read_json(str(path)) == read_json(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>404</html>",
        b"{'nose': [1, 2]}",
        b'{"nose": [1, 2]',
        b'{"nose": "\xff"}',
        b"\x89PNG\r\n\x1a\n",
        b"[" * 200_000,
        b"[" + b"1" * 5000 + b"]",
    ],
    ids=["empty", "html", "quotes", "truncated", "encoding", "png", "nested", "digits"],
)
def test_refuses_what_is_no_json(tmp_path, content):
    path = tmp_path / "annotation.json"
    path.write_bytes(content)
    assert "not JSON" in _refused(path)


def test_refuses_missing_files_and_folders(tmp_path):
    assert "No such file" in _refused(tmp_path / "missing.json")
    assert "directory" in _refused(tmp_path)


def test_refuses_a_file_over_the_limit_without_reading_it(tmp_path, monkeypatch):
    path = tmp_path / "large.json"
    path.write_text("[1, 2, 3, 4]")
    assert read_json(path) == [1, 2, 3, 4]
    monkeypatch.setattr(json_files, "_MAXIMUM_BYTES", 11)
    message = _refused(path)
    assert "12" in message and "11" in message


@pytest.mark.parametrize("value", [0, -3, 2.5, 1e-300, 10**20])
def test_number_returns_finite_numbers_as_floats(value):
    result = number(value, "file", "place")
    assert isinstance(result, float) and result == value


@pytest.mark.parametrize(
    "value",
    [
        *("1", None, True, False, [1], {}, float("nan"), float("inf"), -float("inf")),
        # Integers that no float holds, and a float that float32 does not hold.
        *(10**400, -(10**400), 1e300),
    ],
)
def test_number_refuses_everything_else(value):
    with pytest.raises(InputError) as refusal:
        number(value, "joints.json", "nose")
    message = str(refusal.value)
    assert "joints.json" in message and "nose" in message
