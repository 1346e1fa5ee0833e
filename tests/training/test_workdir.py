"""The folder of a run: held by one process, and what cannot be used is named."""

import threading

import pytest

from volhuman.errors import InputError
from volhuman.training.stop import notice_termination
from volhuman.training.workdir import hold_workdir, keep_config


def test_a_held_folder_is_refused_and_then_free(tmp_path):
    folder = tmp_path / "new" / "run"
    with hold_workdir(folder):
        with pytest.raises(InputError) as refusal, hold_workdir(folder):
            pytest.fail("held twice")
        assert str(refusal.value).startswith(f"{folder}: another training runs")
        with hold_workdir(tmp_path / "other"):
            pass
    with hold_workdir(folder):
        pass
    assert list(folder.iterdir()) == []


def test_an_error_inside_the_hold_stays_itself(tmp_path):
    with pytest.raises(InputError, match=r"^mine$"), hold_workdir(tmp_path):
        raise InputError("mine")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file: .*choose a workdir"):  # noqa: SIM117
        with hold_workdir(tmp_path / "file"):
            pytest.fail("held a file")
    with pytest.raises(InputError, match="choose a workdir"):
        keep_config(tmp_path / "file" / "run", {}, changeable=(), continues=False)


def test_the_folder_of_a_configuration_is_made(tmp_path):
    keep_config(tmp_path / "new" / "run", {"width": 1}, changeable=(), continues=False)
    keep_config(tmp_path / "new" / "run", {"width": 1}, changeable=(), continues=True)


@pytest.mark.parametrize("text", ["[1]", "{", ""])
def test_a_damaged_configuration_is_not_agreed_with(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json"):
        keep_config(tmp_path, {"width": 1}, changeable=(), continues=True)
    keep_config(tmp_path, {"width": 1}, changeable=(), continues=False)


def test_tuples_and_lists_are_the_same_in_a_configuration(tmp_path):
    keep_config(tmp_path, {"sizes": (1, 2)}, changeable=(), continues=False)
    keep_config(tmp_path, {"sizes": [1, 2]}, changeable=(), continues=True)
    with pytest.raises(InputError, match="sizes"):
        keep_config(tmp_path, {"sizes": [2, 1]}, changeable=(), continues=True)


def test_sigterm_is_left_alone_outside_the_main_thread():
    events = []

    def notice():
        with notice_termination() as event:
            events.append(event.is_set())

    thread = threading.Thread(target=notice)
    thread.start()
    thread.join()
    assert events == [False]
