"""Data sets of people: the same bytes from the same seed, however often interrupted."""

import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from volhuman.data import people
from volhuman.data.loader import open_people
from volhuman.data.people import build_people
from volhuman.data.people_build import person_seed, split_of_person
from volhuman.errors import InputError
from volhuman.people import records

# Worker processes import it by name, so it must lie on the path that they inherit.
sys.path.append(str(Path(__file__).parent))
people_double = importlib.import_module("people_double")

SIZE = 16
NUM_PEOPLE = 23
# A build in a process of its own, which a test can kill.
SCRIPT = """
import signal, sys
# A shell starts what runs in the background with interrupts switched off.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.append(sys.argv[1])
import people_double
from volhuman.data.people import build_people
build_people(
    data_dir=sys.argv[2], variant="pairs", num_people=int(sys.argv[3]), seed=4, size=16,
    num_workers=2, make_records=people_double.slow_records,
    features=people_double.record_features("pairs", 16),
)
"""


def _build(folder, **changes):
    options = {
        "variant": "pairs",
        "num_people": NUM_PEOPLE,
        "seed": 4,
        "size": SIZE,
        "num_workers": 2,
        "make_records": people_double.person_records,
        "features": people_double.record_features("pairs", SIZE),
    }
    return build_people(data_dir=folder, **(options | changes))


def _digests(folder):
    """Digest of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    _build(folder)
    return folder


# -- content


def test_all_people_are_in_the_shards_in_order_and_none_is_in_two_splits(built):
    found = {}
    for split in ("train", "validation", "test"):
        source = open_people(built, "pairs", split)
        found[split] = [int(record["seed"]) for record in source]
        seeds = [
            person_seed(4, index)
            for index in range(NUM_PEOPLE)
            if split_of_person(index) == split
        ]
        assert found[split] == [s for s in seeds for _ in range(1 + s % 3)]
    sets = [set(seeds) for seeds in found.values()]
    assert sum(map(len, sets)) == len(set.union(*sets)) == NUM_PEOPLE


def test_records_are_read_as_they_were_rendered(built):
    found = open_people(built, "pairs", "validation")
    seed = person_seed(4, 1)
    wanted = people_double.person_records(seed, variant="pairs", size=SIZE)
    raw = tfds.decode.SkipDecoding()
    encoded = tfds.builder_from_directory(found.dataset_info.data_dir).as_data_source(
        "validation", decoders={"image": raw}
    )
    for index, record in enumerate(wanted):
        assert encoded[index]["image"] == record["image"]
        assert found[index]["image"].shape == (SIZE, SIZE, 3)
        assert found[index]["recipe"].decode() == record["recipe"]
        for name in ("mask", "joints", "vertex", "seed"):
            assert found[index][name].dtype == record[name].dtype
            np.testing.assert_array_equal(found[index][name], record[name])


def test_tensorflow_datasets_reads_the_data_by_name(built):
    source = tfds.data_source(
        f"volhuman_people/pairs_{SIZE}_s4_n{NUM_PEOPLE}", data_dir=built, split="train"
    )
    assert len(source) == len(open_people(built, "pairs", "train"))
    assert "tensorflow" not in sys.modules


def test_metadata_say_how_the_data_were_made(built):
    info = open_people(built, "pairs", "train").dataset_info
    assert info.metadata["generator_version"] == "1.0.0"
    assert info.metadata["seed"] == 4 and info.metadata["size"] == SIZE
    assert info.metadata["num_people"] == NUM_PEOPLE
    assert info.metadata["people_by_split"] == {
        "train": 19,
        "validation": 2,
        "test": 2,
    }
    assert info.features["joints"].doc.desc == "Pixels x, y, z."


def test_the_card_says_what_was_built(tmp_path):
    builder = _build(tmp_path, num_people=5, limitations="* Nobody sits.")
    card = Path(builder.data_dir, "README.md").read_text()
    assert f"# volhuman_people/pairs_{SIZE}_s4_n5/1.0.0" in card
    assert "CC0" in card and card.endswith("## Limitations\n\n* Nobody sits.\n")
    for split, info in builder.info.splits.items():
        (row,) = re.findall(rf"\| {split} \| .*", card)
        people_in_split = {"train": 3, "validation": 1, "test": 1}[split]
        assert row.startswith(
            f"| {split} | {people_in_split} | {info.num_examples} | {info.num_shards} |"
        )
    assert "| `image` | image | 16 x 16 x 3 | uint8 | Colour noise. |" in card
    assert "| `vertex` | tensor | * | int32 | Vertex numbers. |" in card
    assert str(tmp_path) not in card


def test_nothing_but_the_data_set_is_left(built):
    (top,) = built.iterdir()
    (config,) = top.iterdir()
    (version,) = config.iterdir()
    assert (top.name, config.name, version.name) == (
        "volhuman_people",
        f"pairs_{SIZE}_s4_n{NUM_PEOPLE}",
        "1.0.0",
    )


# -- the renderer


def test_every_variant_of_the_renderer_has_a_data_set():
    assert people.VARIANTS == records.VARIANTS
    for variant in people.VARIANTS:
        for spec in records.record_features(variant, 64).values():
            feature = people._feature(spec)
            assert feature.shape == spec.shape and feature.doc.desc == spec.description
            if spec.kind != "text":
                assert np.dtype(feature.np_dtype) == np.dtype(spec.dtype)


@pytest.mark.slow
@pytest.mark.parametrize("variant", people.VARIANTS)
def test_rendered_people_are_the_same_whatever_the_number_of_workers(tmp_path, variant):
    for num_workers in (1, 3):
        build_people(
            data_dir=tmp_path / str(num_workers),
            variant=variant,
            num_people=3,
            seed=0,
            size=32,
            num_workers=num_workers,
        )
    assert _digests(tmp_path / "1") == _digests(tmp_path / "3")
    (record, *_) = open_people(tmp_path / "1", variant, "test")
    assert record.keys() == records.record_features(variant, 32).keys()


# -- the same bytes


def test_the_same_seed_gives_the_same_bytes(built, tmp_path):
    _build(tmp_path, num_workers=1)
    assert _digests(tmp_path) == _digests(built)
    assert len(_digests(built)) >= 6


def test_another_seed_is_another_data_set_beside_the_first(built, tmp_path):
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    _build(tmp_path, seed=5)
    after = _digests(tmp_path)
    assert after.items() > _digests(built).items()
    one, two = (
        open_people(tmp_path, "pairs", "train", seed=seed)[0]["seed"] for seed in (4, 5)
    )
    assert one != two


def test_large_splits_have_several_shards_of_the_same_records(
    built, tmp_path, monkeypatch
):
    monkeypatch.setattr(people, "_SHARD_BYTES", 20_000)
    builder = _build(tmp_path)
    assert builder.info.splits["train"].num_shards > 3
    one, many = (open_people(folder, "pairs", "train") for folder in (built, tmp_path))
    assert [r["recipe"] for r in one] == [r["recipe"] for r in many]
    assert [int(r["seed"]) for r in one] == [int(r["seed"]) for r in many]


def test_a_complete_data_set_is_not_built_again(built, capfd):
    before = _digests(built)
    times = {path: path.stat().st_mtime_ns for path in built.rglob("*")}
    _build(built, make_records=people_double.failing_records)
    assert "is complete" in capfd.readouterr().err
    assert _digests(built) == before
    assert {
        path: path.stat().st_mtime_ns
        for path in built.rglob("*")
        if path.name != "volhuman_people"  # held the lock for a moment
    }.items() <= times.items()


# -- interruption


def _start(folder, trace, num_people):
    """Starts a build; what it says goes to a file, which orphans cannot block."""
    with trace.with_suffix(".log").open("w") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-c",
                SCRIPT,
                Path(__file__).parent,
                folder,
                str(num_people),
            ],
            env={**os.environ, "TRACE": str(trace)},
            stderr=log,
            start_new_session=True,
        )


def _said(trace):
    return trace.with_suffix(".log").read_text()


def _wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def _lines(trace):
    return trace.read_text().splitlines() if trace.exists() else []


def _begun(trace):
    """Seeds of the people that were begun, in order."""
    return [int(line.split()[0]) for line in _lines(trace)]


def _is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_build_killed_twice_continues_and_gives_the_same_bytes(built, tmp_path):
    """kill -9 leaves no worker behind, and finished people are not rendered again."""
    folder, trace = tmp_path / "data", tmp_path / "trace"
    kept, begun_before = {}, 0
    for num_begun in (6, 14):
        process = _start(folder, trace, NUM_PEOPLE)
        _wait_for(lambda begun=num_begun: len(_lines(trace)) >= begun)
        process.kill()
        process.wait()
        workers = {int(line.split()[1]) for line in _lines(trace)}
        _wait_for(lambda pids=workers: not any(map(_is_alive, pids)))
        assert not kept.keys() & set(_begun(trace)[begun_before:])
        files = folder.glob("volhuman_people/.work/*/person_*.npz")
        kept = {int(file.stem.removeprefix("person_")): file for file in files}
        begun_before = len(_lines(trace))
    assert 6 <= len(kept) < NUM_PEOPLE
    assert not list(folder.glob("volhuman_people/pairs*/1.0.0"))
    damaged, file = kept.popitem()
    file.write_bytes(file.read_bytes()[:-100])
    process = _start(folder, trace, NUM_PEOPLE)
    assert process.wait(60) == 0, _said(trace)
    assert _digests(folder) == _digests(built)
    last = _begun(trace)[begun_before:]
    assert damaged in last and not kept.keys() & set(last)


def test_an_interrupt_keeps_finished_people_and_says_so(tmp_path, monkeypatch):
    """It reaches all processes, as from a keyboard; no more people are begun."""
    monkeypatch.setenv("SECONDS_A_PERSON", "0.4")
    folder, trace = tmp_path / "data", tmp_path / "trace"
    process = _start(folder, trace, NUM_PEOPLE)
    _wait_for(lambda: len(_lines(trace)) >= 6)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    kept = list(folder.glob("volhuman_people/.work/*/person_*.npz"))
    assert len(kept) == len(_lines(trace)), "those in work are finished"
    assert 6 <= len(kept) <= 7, "the two that wait in the queue are not begun"
    assert f"{len(kept)} of {NUM_PEOPLE} people are finished" in _said(trace)
    assert _said(trace).rstrip().endswith("KeyboardInterrupt")
    assert not list(folder.glob("volhuman_people/.work/*.lock"))
    assert not list(folder.glob("volhuman_people/*/incomplete*"))


def test_a_build_that_died_while_writing_shards_continues(built, tmp_path, monkeypatch):
    """What the first leaves behind is taken away, or would lie there for ever."""

    def stop(*_):
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(people, "write_card", stop)
        with pytest.raises(OSError, match="power cut"):
            _build(tmp_path)
    (config,) = tmp_path.glob("volhuman_people/pairs*")
    leftover = config / "incomplete.ABCDEF_1.0.0"
    leftover.mkdir()
    (leftover / "volhuman_people-train.array_record-00000-of-00001").write_bytes(b"x")
    _build(tmp_path, make_records=people_double.failing_records)
    assert _digests(tmp_path) == _digests(built)


def test_a_second_build_of_the_same_data_is_refused(tmp_path):
    folder, trace = tmp_path / "data", tmp_path / "trace"
    process = _start(folder, trace, 60)
    try:
        _wait_for(lambda: _lines(trace))
        with pytest.raises(InputError, match="another build of the same data"):
            _build(folder, num_people=60)
        _build(folder, num_people=3)  # other data: no conflict
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


# -- input


@pytest.mark.parametrize(
    "option, value, words",
    [
        ("variant", "triples", "pairs, views, registrations"),
        ("num_people", 2, "num_people is 2"),
        ("seed", -1, "seed is -1"),
        ("size", 8, "size is 8"),
        ("num_workers", 0, "num_workers is 0"),
    ],
)
def test_refuses_options_out_of_range(tmp_path, option, value, words):
    with pytest.raises(InputError, match=words):
        _build(tmp_path, **{option: value})
    assert not list(tmp_path.iterdir())


def test_refuses_a_data_dir_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="data_dir"):
        _build(tmp_path / "file")


def test_records_that_do_not_fit_stop_the_build_and_leave_no_data_set(tmp_path):
    features = people_double.record_features("pairs", 32)
    with pytest.raises(ValueError, match=r"mask is bool .16, 16., expected"):
        _build(
            tmp_path,
            size=32,
            features=features,
            make_records=people_double.small_records,
        )
    assert not list(tmp_path.glob("volhuman_people/*/1.0.0"))


def test_metadata_file_is_plain_json(built):
    (path,) = built.glob("volhuman_people/*/*/metadata.json")
    assert json.loads(path.read_text())["split_rule"].startswith("person i")
