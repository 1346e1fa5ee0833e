"""The command line: what it writes, and what it says about what it cannot use.

Most runs are in this process, so that they share one compiled fit.
"""

import dataclasses
import importlib.util
import json
import os
import pathlib
import pickle
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from volhuman import main
from volhuman.deform_and_learn.config import RegisterConfig

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
CONFIG = f"--config={REPOSITORY / 'experiments' / 'register.py'}"
ASSETS = REPOSITORY / "volhuman" / "assets"
SHORT = {
    "first_steps": 3,
    "later_steps": 3,
    "num_starts": 1,
    "turntable_frames": 2,
    "turntable_size": 32,
}
FILES = {"overlay.png", "body.glb", "body.json", "turntable.gif", "meta.json"}
if importlib.util.find_spec("imageio_ffmpeg"):
    FILES.add("turntable.mp4")


def _arguments(output, **options):
    options = SHORT | {"output": output} | options
    return [CONFIG, *(f"--config.{name}={value}" for name, value in options.items())]


@pytest.fixture
def run(capfd):
    """Runs the command line: exit code and the lines of stdout and stderr."""

    def run(*arguments):
        capfd.readouterr()
        code = main.run(["volhuman", *arguments])
        out, err = capfd.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


@pytest.fixture
def refused(run):
    """Asserts exit code 2 and one sentence on stderr that contains the words."""

    def refused(arguments, *words):
        code, out, err = run(*arguments)
        assert code == 2 and out == [] and len(err) == 1, (code, out, err)
        assert err[0].startswith("volhuman: ")
        for word in words:
            assert str(word) in err[0], err[0]

    return refused


@pytest.fixture
def photographs(tmp_path):
    """A folder with one photograph and its key points, to add others to."""
    folder, annotations = tmp_path / "photographs", tmp_path / "annotations"
    folder.mkdir()
    annotations.mkdir()
    shutil.copy(ASSETS / "example.png", folder / "good.png")
    shutil.copy(ASSETS / "example.json", annotations / "good.json")
    return folder, annotations


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The bundled example in a folder of its own, done once."""
    output = tmp_path_factory.mktemp("example") / "out"
    assert main.run(["volhuman", *_arguments(output)]) == 0
    return output


def _contents(folder):
    """All files below a folder, hidden ones too, with their bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in pathlib.Path(folder).rglob("*")
        if path.is_file()
    }


def _entries(folder):
    """All names below a folder, hidden ones and folders too."""
    return sorted(str(p.relative_to(folder)) for p in pathlib.Path(folder).rglob("*"))


# -- what is written


def test_the_example_writes_exactly_the_documented_files(example):
    assert _entries(example) == sorted(
        ["example", *(f"example/{name}" for name in FILES)]
    )
    assert all(_contents(example).values())


def test_files_of_the_example_are_what_they_are_called(example):
    folder = example / "example"
    with Image.open(folder / "overlay.png") as overlay:
        assert overlay.size == (512, 512) and overlay.format == "PNG"
    with Image.open(folder / "turntable.gif") as turntable:
        assert turntable.n_frames == 2 and turntable.size == (32, 32)
    assert (folder / "body.glb").read_bytes()[:4] == b"glTF"
    body = json.loads((folder / "body.json").read_text())
    assert body["body"] == "makehuman-cc0" and len(body["joints"]) == 24
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["photograph"] == "example.png" and meta["height_width"] == [512, 512]
    assert 0 < meta["errors_pixels"]["keypoint"] < 100
    assert {name: meta["options"][name] for name in SHORT} == SHORT


def test_existing_results_are_kept_unless_asked_and_then_are_byte_identical(
    example, run, refused
):
    before = _contents(example)
    refused(_arguments(example), example / "example", "overwrite")
    assert _contents(example) == before
    code, out, err = run(*_arguments(example, overwrite=True))
    assert code == 0 and err == []
    assert len(out) == 1 and "keypoint error" in out[0] and str(example) in out[0]
    after = _contents(example)
    assert {name for name in before if after[name] != before[name]} == set()
    assert set(after) == set(before)


def test_overwriting_never_destroys_what_is_no_result(tmp_path, refused):
    """A photograph may be named as a folder that holds something else."""
    output = tmp_path / "out"
    own = output / "example"
    own.mkdir(parents=True)
    (own / "thesis.txt").write_text("years of work")
    refused(_arguments(output, overwrite=True), own, "thesis.txt")
    assert _contents(output) == {"example/thesis.txt": b"years of work"}
    shutil.rmtree(own)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    own.symlink_to(elsewhere)
    refused(_arguments(output, overwrite=True), own)
    assert own.is_symlink() and elsewhere.is_dir()


def test_a_write_that_fails_half_way_leaves_the_old_results(
    tmp_path, example, refused, monkeypatch
):
    output = tmp_path / "out"
    shutil.copytree(example, output)
    before = _contents(output)

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("volhuman.deform_and_learn.results.write_animation", fail)
    refused(_arguments(output, overwrite=True), "No space left", output / "example")
    assert _contents(output) == before and _entries(output) == _entries(example)


# -- the command line itself


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], ["--config="]),
        (["--config=/nowhere/register.py"], ["/nowhere/register.py", "no such file"]),
        (["--config="], ["--config="]),
        ([f"--config={REPOSITORY}"], [REPOSITORY]),
        ([f"--config={ASSETS / 'example.json'}"], ["get_config"]),
        ([f"--config={ASSETS / 'example.png'}"], ["configuration"]),
        ([CONFIG, "--unknown"], ["unknown"]),
        ([CONFIG, "--unknown=3"], ["unknown"]),
        ([CONFIG, "extra"], ["'extra'"]),
        ([CONFIG, "--", "-x"], ["'-x'"]),
        ([CONFIG, "--config.inptu=x"], ["inptu", "'input'"]),
        (["--config", CONFIG.split("=")[1], "--config.ouput=x"], ["'output'"]),
        ([CONFIG, "--config.learning_rat=1"], ["'learning_rate'"]),
        ([CONFIG, "--config.qqqq=1"], ["qqqq", "keypoints"]),
        ([CONFIG, "--noconfig.overwrit"], ["'overwrite'"]),
        ([CONFIG, "--config.input.x=1"], ["input.x"]),
        ([CONFIG, "--config.first_steps"], ["first_steps"]),
        ([CONFIG, "--config.first_steps=many"], ["first_steps", "many"]),
        ([CONFIG, "--config.first_steps=1.5"], ["first_steps", "1.5"]),
        ([CONFIG, "--config.learning_rate=fast"], ["learning_rate", "fast"]),
        ([CONFIG, "--config.overwrite=perhaps"], ["overwrite", "perhaps"]),
        ([CONFIG, "--config.task=registr"], ["'registr'", "register"]),
    ],
    ids=lambda value: " ".join(map(str, value)).replace(str(REPOSITORY), "")[-40:],
)
def test_a_wrong_command_line_is_one_sentence(refused, arguments, words):
    refused(arguments, *words)


def test_help_lists_every_option(capsys):
    assert main.run(["volhuman", "--help"]) == 0
    printed = capsys.readouterr().out
    assert all(
        f"{field.name}:" in printed for field in dataclasses.fields(RegisterConfig)
    )


@pytest.mark.parametrize(
    "option, value",
    [
        *[(name, -1) for name in ("first_steps", "later_steps", "turntable_frames")],
        *[("num_starts", value) for value in (0, -4, 10**9)],
        *[("later_steps", 10**25), ("turntable_size", 15), ("turntable_size", 10**6)],
        *[("learning_rate", value) for value in (0, -1, 1.5, "nan", "inf")],
        *[("crop_margin", value) for value in (0.5, "nan", "inf", 1e300)],
        *[("silhouette", value) for value in (-1, "nan", "inf", 1e39)],
    ],
)
def test_an_option_out_of_range_is_named(tmp_path, refused, option, value):
    output = tmp_path / "out"
    refused(_arguments(output, **{option: value}), f"--config.{option}", "expected")
    assert not output.exists()


def test_runs_of_one_process_do_not_see_each_others_options(tmp_path, refused):
    refused(_arguments(tmp_path, first_steps=0), "first_steps")
    refused([CONFIG, "--config.later_steps=0"], "later_steps")


# -- input that cannot be used


def test_a_photograph_needs_an_annotation_and_the_reverse(tmp_path, refused):
    output = tmp_path / "out"
    photograph, keypoints = ASSETS / "example.png", ASSETS / "example.json"
    refused(_arguments(output, input=photograph), "annotation", "--config.keypoints")
    refused(_arguments(output, keypoints=keypoints), "--config.input")
    refused(
        _arguments(output, input=photograph, keypoints=keypoints, silhouette=1),
        "--config.mask",
    )
    assert not output.exists()


def _change(**changes):
    """The example's key points with some changed."""
    content = json.loads((ASSETS / "example.json").read_text())
    return json.dumps(content | changes)


@pytest.mark.parametrize(
    "text, words",
    [
        (_change(nose=[float("nan"), 5]), ["nose", "nan"]),
        (_change(nose=[float("inf"), 5]), ["nose", "inf"]),
        (_change(nose="here"), ["nose", "'here'"]),
        (_change(left_knee=[5000, 5]), ["left_knee", "5000", "512 x 512"]),
        (_change(left_nee=[5, 5]), ["'left_nee'", "'left_knee'"]),
        ('{"nose": [5, 5], "left_knee": [9, 9]}', ["2 key points", "nose"]),
        ("{}", ["0 key points"]),
        ("[1, 2, 3]", ["3 numbers", "51"]),
        ('{"people": []}', ["people"]),
        ("not json", ["JSON"]),
        ("", ["JSON"]),
    ],
)
def test_key_points_that_cannot_be_used(tmp_path, refused, text, words):
    file, output = tmp_path / "joints.json", tmp_path / "out"
    file.write_text(text)
    arguments = _arguments(output, input=ASSETS / "example.png", keypoints=file)
    refused(arguments, file, *words)
    assert _entries(output) == []


def test_a_dense_annotation_that_cannot_be_used(tmp_path, refused):
    file, output = tmp_path / "dense.json", tmp_path / "out"
    columns = {"x": [9.0] * 20, "y": [9.0] * 20, "vertex": [10**6] * 20}
    file.write_text(json.dumps(columns))
    arguments = _arguments(output, input=ASSETS / "example.png", dense=file)
    refused(arguments, file, "vertex", "6889")
    columns |= {"vertex": None, "I": [1] * 20, "U": [0.5] * 20, "V": [0.5] * 20}
    del columns["vertex"]
    file.write_text(json.dumps(columns))
    refused(arguments, file, "--config.chart")
    assert _entries(output) == []


@pytest.mark.parametrize("colour, word", [("black", "empty"), ("small", "512")])
def test_a_mask_that_cannot_be_used(tmp_path, refused, colour, word):
    mask, output = tmp_path / "mask.png", tmp_path / "out"
    side = 100 if colour == "small" else 512
    Image.new("L", (side, side), 255 if colour == "small" else 0).save(mask)
    refused(
        _arguments(
            output,
            input=ASSETS / "example.png",
            keypoints=ASSETS / "example.json",
            mask=mask,
            silhouette=1,
        ),
        mask,
        word,
    )
    assert _entries(output) == []


class _Poison:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path(self.marker),)


def test_a_poisoned_body_is_refused_and_never_runs(tmp_path, refused):
    marker, body, output = (tmp_path / n for n in ("ran", "SMPL.pkl", "out"))
    body.write_bytes(pickle.dumps({"v_template": _Poison(marker)}))
    refused(_arguments(output, body=body), body)
    assert not marker.exists() and not output.exists()
    # The control: the standard loader would have run it.
    pickle.loads(body.read_bytes())
    assert marker.exists()


@pytest.mark.parametrize("name", ["body.npz", "body.pkl", "body.txt", "missing.npz"])
def test_a_broken_body_file_is_refused(tmp_path, refused, name):
    body = tmp_path / name
    if name != "missing.npz":
        body.write_bytes(b"not a body")
    refused(_arguments(tmp_path / "out", body=body), body)


@pytest.mark.parametrize("below", ["", "sub", "sub/sub"])
def test_an_output_that_is_a_file_or_lies_in_one_is_refused(tmp_path, refused, below):
    file = tmp_path / "file"
    file.write_text("mine")
    refused(_arguments(file / below), file, "--config.output")
    assert file.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_without_permission_is_refused(tmp_path, refused):
    tmp_path.chmod(0o500)
    refused(_arguments(tmp_path / "out"), "Permission denied", "--config.output")


# -- folders of photographs


def test_one_bad_photograph_does_not_stop_the_others(photographs, tmp_path, run):
    folder, annotations = photographs
    output = tmp_path / "out"
    (folder / "broken.png").write_bytes((folder / "good.png").read_bytes()[:5000])
    shutil.copy(folder / "good.png", folder / "misjudged.png")
    (annotations / "broken.json").write_text(_change())
    (annotations / "misjudged.json").write_text(_change(nose=[1, float("nan")]))
    shutil.copy(folder / "good.png", folder / "unannotated.png")
    code, out, err = run(*_arguments(output, input=folder, keypoints=annotations))
    assert code == 2
    assert _entries(output) == sorted(["good", *(f"good/{name}" for name in FILES)])
    assert len(out) == 1 and str(output / "good") in out[0]
    about = [folder / "broken.png", annotations / "misjudged.json"]
    about.append(annotations / "unannotated.json")
    for line, path in zip(err, about, strict=False):
        assert line.startswith(f"volhuman: {path}")
    assert len(err) == 4 and "3 of 4" in err[3]


def test_one_annotation_for_several_photographs_is_refused(
    photographs, tmp_path, refused
):
    folder, annotations = photographs
    shutil.copy(folder / "good.png", folder / "other.png")
    file = annotations / "good.json"
    refused(_arguments(tmp_path / "out", input=folder, keypoints=file), file, "folder")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_a_missing_or_empty_folder_is_refused(tmp_path, refused, make):
    folder = tmp_path / "input"
    make(folder)
    arguments = _arguments(tmp_path / "out", input=folder, keypoints=tmp_path)
    refused(arguments, folder)


@pytest.mark.parametrize(
    "stem, written",
    [("two words", "two words"), ("-dash", "dash"), ("Schön 人", "Schön 人")],
)
def test_odd_file_names(photographs, tmp_path, run, stem, written):
    folder, annotations = photographs
    output = tmp_path / "out put"
    photograph = (folder / "good.png").rename(folder / f"{stem}.png")
    keypoints = (annotations / "good.json").rename(annotations / f"{stem}.json")
    given = [(photograph, keypoints), (folder, annotations)]
    for number, (file, annotation) in enumerate(given):
        place = output / str(number)
        code, _, err = run(*_arguments(place, input=file, keypoints=annotation))
        assert code == 0 and err == []
        assert {path.name for path in (place / written).iterdir()} == FILES


# -- other processes


def _start(arguments, folder):
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "volhuman.main", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_as_a_program_it_writes_the_same_and_says_no_more(example, tmp_path):
    """Also: a name with a dash in front, relative to the working folder."""
    shutil.copy(ASSETS / "example.png", tmp_path / "-x.png")
    options = {"input": "-x.png", "keypoints": ASSETS / "example.json"}
    done = _start(_arguments("out", **options), tmp_path)
    out, err = done.communicate(timeout=300)
    assert done.returncode == 0 and err == "" and out.startswith("out/x: keypoint")
    assert {path.name for path in (tmp_path / "out" / "x").iterdir()} == FILES
    np.testing.assert_allclose(
        *(
            np.asarray(Image.open(folder / "overlay.png"), float)
            for folder in (tmp_path / "out" / "x", example / "example")
        ),
        atol=3,
    )
    refusal = _start([CONFIG, "--config.inptu=x"], tmp_path)
    out, err = refusal.communicate(timeout=300)
    assert refusal.returncode == 2 and out == ""
    assert err.count("\n") == 1 and "'input'" in err and "Traceback" not in err


@pytest.mark.slow
def test_an_interrupt_exits_130_and_leaves_no_half_result(tmp_path):
    output = tmp_path / "out"
    options = {"turntable_frames": 3600, "turntable_size": 256}
    program = _start(_arguments(output, **options), tmp_path)
    deadline = time.monotonic() + 200
    while not list(output.glob(".*.part")) and time.monotonic() < deadline:
        time.sleep(0.05)
        assert program.poll() is None
    time.sleep(0.5)
    assert _entries(output)  # the hidden folder is being filled
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=60)
    assert program.returncode == 130 and "interrupted" in err
    assert "Traceback" not in err and _entries(output) == []
