"""The loader: same batches however it is run, and no damaged record gets through."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from volhuman.data.loader import make_loader, open_people
from volhuman.data.people import build_people
from volhuman.errors import InputError

# Worker processes import it by name, so it must lie on the path that they inherit.
sys.path.append(str(Path(__file__).parent))
people_double = importlib.import_module("people_double")

BLOCK = 1 << 16
NUM_RECORDS = 23


@pytest.fixture
def source():
    return [{"number": np.int64(i), "x": np.full(3, i)} for i in range(NUM_RECORDS)]


def _noisy(record, generator):
    return {**record, "noise": generator.normal(size=4)}


def _numbers(batches):
    return [int(number) for batch in batches for number in batch["number"]]


def _take(loader, count):
    return [next(loader) for _ in range(count)]


def _assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].dtype == b[name].dtype
            np.testing.assert_array_equal(a[name], b[name])


# -- order


@pytest.mark.parametrize("num_threads", [0, 1, 5])
def test_the_batches_do_not_depend_on_the_threads(source, num_threads):
    options = {"batch_size": 4, "seed": 3, "num_epochs": 3, "transform": _noisy}
    wanted = list(make_loader(source, **options))
    found = list(make_loader(source, num_threads=num_threads, **options))
    _assert_same(wanted, found)


@pytest.mark.parametrize("shard", [(0, 1), (1, 2)])
def test_batches_of_one_go_on_as_larger_ones_do(source, shard):
    options = {"seed": 3, "shard": shard}
    ones = _take(make_loader(source, batch_size=1, **options), 60)
    fours = _take(make_loader(source, batch_size=4, **options), 15)
    assert _numbers(ones) == _numbers(fours)


@pytest.mark.parametrize("steps", [0, 1, 5, 14])
def test_a_loader_resumes_with_the_batches_that_would_have_come(source, steps):
    """14 batches of 4 lie in the third epoch; another number of threads resumes."""
    options = {"batch_size": 4, "seed": 3, "transform": _noisy}
    straight = _take(make_loader(source, **options), 25)
    loader = make_loader(source, **options)
    _assert_same(_take(loader, steps), straight[:steps])
    state = json.loads(json.dumps(loader.get_state()))
    loader.close()
    resumed = make_loader(source, num_threads=1, **options)
    next(resumed)
    resumed.set_state(state)
    _assert_same(_take(resumed, 25 - steps), straight[steps:])


@pytest.mark.parametrize(
    "name, change",
    [
        ("batch_size", {"batch_size": 5}),
        ("seed", {"seed": 4}),
        ("shuffle", {"shuffle": False}),
        ("shard", {"shard": (0, 2)}),
        ("num_epochs", {"num_epochs": 2}),
    ],
)
def test_a_position_of_other_options_is_refused(source, name, change):
    options = {"batch_size": 4, "seed": 3}
    state = make_loader(source, **options).get_state()
    with pytest.raises(InputError, match=name):
        make_loader(source, **(options | change)).set_state(state)
    with pytest.raises(InputError, match="num_records"):
        make_loader(source[1:], **options).set_state(state)


def test_every_epoch_delivers_every_record_once_in_an_order_of_its_own(source):
    numbers = _numbers(make_loader(source, batch_size=4, seed=0, num_epochs=4))
    epochs = np.array(numbers).reshape(4, NUM_RECORDS)
    for epoch in epochs:
        assert sorted(epoch) == list(range(NUM_RECORDS))
    assert len({tuple(epoch) for epoch in epochs}) == 4
    other = _numbers(make_loader(source, batch_size=4, seed=1, num_epochs=4))
    assert len({tuple(e) for e in [*epochs, *np.reshape(other, epochs.shape)]}) == 8


def test_without_shuffling_the_order_is_that_of_the_source(source):
    loader = make_loader(source, batch_size=4, seed=0, num_epochs=2, shuffle=False)
    assert _numbers(loader) == 2 * list(range(NUM_RECORDS))


def test_random_numbers_differ_between_records_and_epochs(source):
    loader = make_loader(
        source, batch_size=NUM_RECORDS, seed=0, num_epochs=3, transform=_noisy
    )
    noise = np.concatenate([batch["noise"] for batch in loader]).reshape(-1)
    assert len(np.unique(noise)) == noise.size


# -- shards and the last batch


@pytest.mark.parametrize("count", [2, 3, 5])
def test_shards_are_disjoint_cover_and_deliver_what_one_loader_would(source, count):
    options = {"batch_size": 4, "seed": 7, "num_epochs": 2, "transform": _noisy}
    whole = {"number": [], "noise": []}
    for batch in make_loader(source, **options):
        for name, values in whole.items():
            values.extend(batch[name])
    for index in range(count):
        numbers, noise = [], []
        for batch in make_loader(source, shard=(index, count), **options):
            numbers.extend(batch["number"])
            noise.extend(batch["noise"])
        wanted = [e * NUM_RECORDS + i for e in (0, 1) for i in range(NUM_RECORDS)]
        wanted = [p for p in wanted if p % NUM_RECORDS % count == index]
        np.testing.assert_array_equal(numbers, np.array(whole["number"])[wanted])
        np.testing.assert_array_equal(noise, np.array(whole["noise"])[wanted])


def test_the_last_batch_is_smaller_and_an_endless_loader_has_only_full_ones(source):
    sizes = [
        len(b["number"])
        for b in make_loader(source, batch_size=10, seed=0, num_epochs=1)
    ]
    assert sizes == [10, 10, 3]
    endless = make_loader(source, batch_size=10, seed=0)
    assert {len(batch["number"]) for batch in _take(endless, 12)} == {10}
    assert sorted(_numbers(_take(make_loader(source, batch_size=23, seed=0), 1))) == (
        list(range(NUM_RECORDS))
    )


@pytest.mark.parametrize(
    "options, words",
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"num_epochs": 0}, "num_epochs is 0"),
        ({"num_threads": -1}, "num_threads is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "seed is"),
        ({"shard": (2, 2)}, "shard is 2"),
        ({"shard": (0, 0)}, "number of shards"),
        ({"shard": (23, 24)}, "23 records"),
    ],
)
def test_refuses_options_out_of_range(source, options, words):
    with pytest.raises(InputError, match=words):
        make_loader(source, **({"batch_size": 2, "seed": 0} | options))


def test_refuses_an_empty_source():
    with pytest.raises(InputError, match="0 records"):
        make_loader([], batch_size=1, seed=0)


def test_fields_of_several_shapes_are_named(source):
    source[3]["x"] = np.zeros(4)
    loader = make_loader(source, batch_size=8, seed=0, num_epochs=1)
    with pytest.raises(ValueError, match=r"field x has the shapes \[\(3,\), \(4,\)\]"):
        list(loader)


# -- damage


@pytest.mark.parametrize("num_threads", [0, 3])
def test_a_record_without_a_value_is_refused(source, num_threads):
    source[5] = {"number": np.int64(5), "x": None}
    loader = make_loader(
        source, batch_size=2, seed=0, num_epochs=1, num_threads=num_threads
    )
    with pytest.raises(InputError, match=r"list: record 5 is damaged \(no value for x"):
        list(loader)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A small data set whose training shard has several blocks of 64 KiB."""
    return _build(tmp_path_factory.mktemp("people"))


def _build(folder, **changes):
    options = {"variant": "views", "num_people": 20, "seed": 0, "size": 72} | changes
    build_people(
        data_dir=folder,
        num_workers=2,
        make_records=people_double.person_records,
        features=people_double.record_features(options["variant"], options["size"]),
        **options,
    )
    return folder


@pytest.fixture
def copy(built, tmp_path):
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return tmp_path


def _shard(folder):
    (path,) = folder.glob("volhuman_people/*/*/*train*")
    assert path.stat().st_size >= 4 * BLOCK
    return path


def _read_all(folder, skip=()):
    """Reads behind the check of file sizes in `open_people`."""
    (version,) = folder.glob("volhuman_people/*/*")
    source = tfds.builder_from_directory(version).as_data_source(
        "train", decoders={name: tfds.decode.SkipDecoding() for name in skip}
    )
    fixed = _NoVertices(source)
    return list(make_loader(fixed, batch_size=1, seed=0, num_epochs=1))


class _NoVertices:
    """The source without the field of variable length."""

    def __init__(self, source):
        self._source, self.dataset_info = source, source.dataset_info
        self.split = source.split

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        record = self._source[index]
        record.pop("vertex")
        return record


def test_an_intact_data_set_is_read_whole(built):
    source = open_people(built, "views", "train")
    assert len(_read_all(built)) == len(source)
    assert source[0]["image"].shape == (72, 72, 3)


def test_a_shard_cut_to_one_block_gives_no_values(copy):
    """Read without an error: what is not decoded is None."""
    path = _shard(copy)
    path.write_bytes(path.read_bytes()[:BLOCK])
    with pytest.raises(InputError, match=r"damaged .no value for image, joints, mask,"):
        _read_all(copy, skip=people_double.record_features("views", 72))


@pytest.mark.parametrize("blocks", [0, 1, 2, 3])
def test_a_shard_cut_at_a_block_is_refused(copy, blocks):
    path = _shard(copy)
    path.write_bytes(path.read_bytes()[: blocks * BLOCK])
    with pytest.raises(InputError, match=r"volhuman_people/views.*train: record .*"):
        _read_all(copy)
    with pytest.raises(InputError, match=r"files of split train.*build it again"):
        open_people(copy, "views", "train")


@pytest.mark.parametrize("place", [0.3, 0.6, 0.99])
def test_a_shard_cut_anywhere_is_refused(copy, place):
    path = _shard(copy)
    path.write_bytes(path.read_bytes()[: int(place * path.stat().st_size)])
    with pytest.raises(InputError, match="damaged"):
        _read_all(copy)
    with pytest.raises(InputError, match="files of split train"):
        open_people(copy, "views", "train")


def test_a_shard_with_changed_bytes_is_refused(copy):
    """All bytes of one block but its header: the size is right, the records are not."""
    path = _shard(copy)
    raw = bytearray(path.read_bytes())
    raw[BLOCK + 5000 : BLOCK + 5100] = bytes(100)
    path.write_bytes(raw)
    open_people(copy, "views", "train")
    with pytest.raises(InputError, match=r"damaged .*delete .* build or copy"):
        _read_all(copy)


def test_a_missing_shard_is_refused(copy):
    _shard(copy).unlink()
    with pytest.raises(InputError, match="incomplete"):
        open_people(copy, "views", "test")


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"pythonClassName": "a.B"}'])
def test_a_damaged_description_is_refused(copy, name, content):
    (path,) = copy.glob(f"volhuman_people/*/*/{name}")
    path.write_text(content)
    with pytest.raises(InputError, match=r"incomplete .*build it again"):
        open_people(copy, "views", "test")


# -- finding a data set


def test_a_data_set_that_is_not_built_names_the_command(built, tmp_path):
    for folder, variant in ((tmp_path, "views"), (built, "pairs")):
        with pytest.raises(InputError) as refusal:
            open_people(folder, variant, "train", size=256)
        message = str(refusal.value)
        assert "python -m volhuman.main --config=" in message and "\n" not in message
        for word in (str(folder), f"variant={variant}", "--config.size=256"):
            assert word in message


def test_an_unfinished_build_does_not_count_as_a_data_set(built, tmp_path):
    (version,) = built.glob("volhuman_people/*/*")
    unfinished = tmp_path / version.parent.relative_to(built) / "incomplete.X_1.0.0"
    shutil.copytree(version, unfinished)
    with pytest.raises(InputError, match="not built"):
        open_people(tmp_path, "views", "train")


def test_unknown_splits_are_refused_and_parts_are_read(built):
    with pytest.raises(InputError, match="'holdout', expected one of"):
        open_people(built, "views", "holdout")
    whole, part = (open_people(built, "views", s) for s in ("train", "train[:50%]"))
    assert 0 < len(part) < len(whole)


def test_several_data_sets_are_told_apart(copy):
    _build(copy, num_people=3, size=16)
    with pytest.raises(InputError, match="views_16_s0_n3, views_72_s0_n20"):
        open_people(copy, "views", "train")
    assert open_people(copy, "views", "test", size=16)[0]["mask"].shape == (16, 16)
    with pytest.raises(InputError, match="seed=5"):
        open_people(copy, "views", "train", seed=5)


def test_the_newest_version_is_opened(copy):
    (version,) = copy.glob("volhuman_people/*/*")
    for number in ("1.10.0", "1.9.0"):
        newer = version.with_name(number)
        shutil.copytree(version, newer)
        info = newer / "dataset_info.json"
        info.write_text(info.read_text().replace('"1.0.0"', f'"{number}"'))
    source = open_people(copy, "views", "train")
    assert str(source.dataset_info.version) == "1.10.0"
