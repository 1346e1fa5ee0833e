"""Reads data sets for training: shuffled, in batches, and resumable at any batch.

A loader is a pure function of its arguments and of the number of the batch: the batches
do not depend on the number of threads, and a loader that is set to a state continues
with the very batches that would have come.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import grain
import numpy as np
import tensorflow_datasets as tfds

from volhuman.errors import InputError

_BUILD = "python -m volhuman.main --config=experiments/people.py --config.mode=build"

Batch = dict[str, Any]
_ENDLESS = 2**62  # records


class Source(Protocol):
    """Records by number: a list, or a data source of TensorFlow Datasets."""

    def __len__(self) -> int:
        """Number of records."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Record `index`."""


class Loader:
    """Iterates over batches; its position can be saved and set.

    A batch is a record whose fields have a leading batch axis. A state is a small dict
    that JSON can hold.
    """

    def __init__(self, batches, settings: dict[str, Any]):
        self._batches = batches
        self._settings = settings

    def __iter__(self) -> "Loader":
        return self

    def __next__(self) -> Batch:
        return next(self._batches)

    def get_state(self) -> dict[str, Any]:
        """Returns the position: the next batch is the one after the last delivered."""
        return {**self._settings, **self._batches.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues at a position.

        Raises:
            InputError: If the state belongs to other records or options, with which the
                same number would mean other batches.
        """
        for name, value in self._settings.items():
            if state.get(name) != value:
                raise InputError(
                    f"the saved position has {name} {state.get(name)!r}, but the data "
                    f"have {value!r}; continue with the same data and options"
                )
        self._batches.set_state({"next_index": state["next_index"]})

    def close(self) -> None:
        """Stops the reading threads."""
        self._batches.close()


def make_loader(
    source: Source,
    *,
    batch_size: int,
    seed: int,
    num_epochs: int | None = None,
    shuffle: bool = True,
    transform: Callable[[dict, np.random.Generator], dict] | None = None,
    shard: tuple[int, int] = (0, 1),
    num_threads: int = 4,
) -> Loader:
    """Makes a loader of a source.

    Every epoch has an order of its own. The order and the random numbers of `transform`
    belong to the position in the whole epoch, so the shards together deliver what one
    loader would.

    The last batch: without `num_epochs` the loader never ends and every batch is full,
    with records of two epochs where one ends. With `num_epochs` every record comes
    exactly `num_epochs` times, and the last batch is smaller where they do not fill it.

    Args:
        source: Records; fields must have equal shapes after `transform`.
        batch_size: Records in a batch.
        seed: Seed of order and transform, below 2**32.
        num_epochs: Number of passes; without end by default.
        shuffle: Whether to change the order.
        transform: Takes a record and a generator of random numbers, returns a record.
            It runs in threads and may not write into the record it is given.
        shard: (index, count): this loader reads every count-th record of the epoch from
            the index-th on. All shards are disjoint and together the whole epoch; their
            lengths differ by at most one record.
        num_threads: Number of threads, each of which prepares whole batches.

    Returns:
        The loader; it raises `InputError` where a record is damaged.

    Raises:
        InputError: If an option is out of range or there is no record for the shard.
    """
    _check_options(source, batch_size, seed, num_epochs, shard, num_threads)
    data = grain.MapDataset.source(_Checked(source)).seed(seed)
    if shuffle:
        data = data.shuffle()
    if transform is not None:
        data = data.random_map(transform)
    # After shuffle and transform, whose randomness depends on the position: so shards
    # differ, and their number changes nothing but who reads what.
    data = data[shard[0] :: shard[1]]
    # Grain's own endless repetition is too long for batches of one.
    data = data.repeat(num_epochs or _ENDLESS // len(data))
    data = data.batch(batch_size, batch_fn=_stack)
    threads = grain.ReadOptions(num_threads, 2 * num_threads)
    settings = {"source": source_name(source), "num_records": len(source), "seed": seed}
    settings |= {"batch_size": batch_size, "num_epochs": num_epochs}
    settings |= {"shuffle": shuffle, "shard": list(shard)}
    return Loader(iter(data.to_iter_dataset(threads)), settings)


def _check_options(source, batch_size, seed, num_epochs, shard, num_threads):
    index, count = shard
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("num_epochs", 1 if num_epochs is None else num_epochs, 1),
        ("num_threads", num_threads, 0),
        ("number of shards", count, 1),
    ):
        if value < least:
            raise InputError(f"{name} is {value}, expected at least {least}")
    if not 0 <= index < count:
        raise InputError(f"shard is {index}, expected 0 to {count - 1}")
    if not 0 <= seed < 2**32:
        raise InputError(f"seed is {seed}, expected 0 to {2**32 - 1}")
    if len(source) <= index:
        raise InputError(
            f"{source_name(source)} has {len(source)} records, too few for {count} "
            "shards; use fewer devices or more data"
        )


def _stack(records: Sequence[dict[str, Any]]) -> Batch:
    batch = {}
    for name in records[0]:
        values = [np.asarray(record[name]) for record in records]
        shapes = {value.shape for value in values}
        if len(shapes) > 1:
            raise ValueError(
                f"field {name} has the shapes {sorted(shapes)} in one batch; let "
                "`transform` bring it to one shape or leave it out"
            )
        batch[name] = np.stack(values)
    return batch


class _Checked:
    """A source that refuses damaged records.

    An array_record file that was cut at a border of 64 KiB is read without an error,
    and every field is None.
    """

    def __init__(self, source: Source):
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            record = self._source[index]
        # Riegeli, protocol buffers, zlib and Pillow fail with errors of their own.
        except Exception as error:
            raise self._damaged(index, _first_line(error)) from error
        empty = [name for name, value in record.items() if value is None]
        if empty:
            raise self._damaged(index, f"no value for {', '.join(empty)}")
        return record

    def _damaged(self, index: int, reason: str) -> InputError:
        folder = getattr(getattr(self._source, "dataset_info", None), "data_dir", None)
        return InputError(
            f"{source_name(self._source)}: record {index} is damaged ({reason}); "
            + (
                f"delete {folder} and build or copy the data set again"
                if folder
                else "restore the data"
            )
        )


def _first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def source_name(source: Source) -> str:
    """Returns the name of a source: data set and split where it knows them."""
    info = getattr(source, "dataset_info", None)
    if info is None:
        return type(source).__name__
    return f"{info.full_name} {source.split}"


def open_people(
    data_dir: str | Path,
    variant: str,
    split: str,
    *,
    size: int | None = None,
    seed: int | None = None,
    num_people: int | None = None,
    encoded: Sequence[str] = (),
) -> Source:
    """Opens a split of the synthetic people.

    Args:
        data_dir: Folder of all data sets.
        variant: "pairs", "views" or "registrations".
        split: "train", "validation" or "test"; parts as in "train[:10%]".
        size: Pixels along a side; needed where several sizes are built.
        seed: Seed of the build; needed where several are built.
        num_people: Number of people; needed where several numbers are built.
        encoded: Pictures that stay as the bytes of their file: reading is faster.

    Returns:
        A data source of TensorFlow Datasets; of the newest version if there are more.

    Raises:
        InputError: If no such data set is built, several are, files of it are missing
            or cut, or there is no such split.
    """
    folder = _find(Path(data_dir).expanduser(), variant, (size, seed, num_people))
    remedy = f"delete the folder and build it again with {_BUILD}"
    try:
        builder = tfds.builder_from_directory(folder)
        sizes = {
            split: sum(Path(path).stat().st_size for path in info.filepaths)
            for split, info in builder.info.splits.items()
        }
    # Missing files, and whatever readers of JSON and protocol buffers say of damage.
    except Exception as error:
        raise InputError(
            f"{folder}: incomplete ({_first_line(error)}); {remedy}"
        ) from error
    for name, found in sizes.items():
        expected = int(builder.info.splits[name].num_bytes)
        if found != expected:
            raise InputError(
                f"{folder}: the files of split {name} have {found} bytes, expected "
                f"{expected}; {remedy}"
            )
    try:
        skip = {name: tfds.decode.SkipDecoding() for name in encoded}
        return builder.as_data_source(split, decoders=skip or None)
    except ValueError as error:
        raise InputError(
            f"{folder}: no split {split!r}, expected one of "
            f"{', '.join(builder.info.splits)}"
        ) from error


def _find(data_dir: Path, variant: str, wanted: Sequence[int | None]) -> Path:
    """Folder of the one data set of a variant with the wanted size, seed and number."""
    pattern = re.compile(re.escape(variant) + r"_(\d+)_s(\d+)_n(\d+)")
    fitting = []
    for folder in sorted((data_dir / "volhuman_people").glob("*/")):
        match = pattern.fullmatch(folder.name)
        versions = [path.parent for path in folder.glob("[0-9]*/dataset_info.json")]
        if match and versions:
            numbers = [int(number) for number in match.groups()]
            if all(want in (None, has) for want, has in zip(wanted, numbers)):
                newest = max(versions, key=lambda path: tfds.core.Version(path.name))
                fitting.append(newest)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(folder.parent.name for folder in fitting)
        raise InputError(
            f"{data_dir}: several data sets of people fit ({names}); give size, seed "
            "or num_people"
        )
    options = "".join(
        f" --config.{name}={value}"
        for name, value in zip(("size", "seed", "num_people"), wanted)
        if value is not None
    )
    raise InputError(
        f"{data_dir}: the synthetic people {variant!r} are not built; build them with "
        f"{_BUILD} --config.variant={variant} --config.data_dir={data_dir}{options}"
    )
