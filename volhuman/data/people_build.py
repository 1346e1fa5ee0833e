"""Renders many people in parallel processes into one file a person, resumably.

This is the first of the two stages that build the synthetic data sets; the second
(`volhuman.data.people`) writes the shards. A person's file is complete or absent, so a
build that was killed continues where it stood. Neither JAX nor TensorFlow Datasets is
imported here: every worker process starts with this module.
"""

import concurrent.futures
import contextlib
import fcntl
import functools
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from volhuman.data.npz_files import write_npz
from volhuman.errors import InputError

Record = dict[str, np.ndarray | bytes | str]
# (seed, *, variant, size) -> the examples of one person.
MakeRecords = Callable[..., list[Record]]

SPLITS = ("train", "validation", "test")
# A file that ends early or holds wrong bytes fails in one of these ways.
_DAMAGED = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)

# One thread each: workers do not fight for the cores, and sums come out the same
# whatever the number of cores. A worker on a GPU would take most of its memory.
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
}
_KINDS = {bytes: "bytes", str: "text"}

_stop = None


def person_seed(seed: int, index: int) -> int:
    """Returns the seed of person `index` of a build, below 2**63.

    It is the first 64-bit word of `np.random.SeedSequence([seed, index])` without its
    lowest bit: the same on every machine, and the same in a build of more people.
    """
    word = np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0]
    return int(word) >> 1


def split_of_person(index: int) -> str:
    """Returns the split of person `index`: 90 % train, 5 % validation, 5 % test.

    Of every 20 people in a row the second is for validation and the third for the test,
    so that a person keeps the split in a build of more people.
    """
    return {1: "validation", 2: "test"}.get(index % 20, "train")


def person_path(folder: Path, seed: int) -> Path:
    """Returns the file of the person with this seed."""
    return folder / f"person_{seed}.npz"


def check_record(record: Record, features: Mapping[str, Any]) -> None:
    """Checks one example against the features of its data set.

    Args:
        record: Example.
        features: Name to an object with `kind` ("image" for encoded bytes, "tensor" or
            "text"), `shape` (None for an axis of any length) and `dtype` (name of a
            NumPy type), as in `volhuman.people.records.FieldSpec`.

    Raises:
        ValueError: Naming the field, what it is and what is expected.
    """
    if set(record) != set(features):
        raise ValueError(
            f"an example has the fields {sorted(record)}, expected {sorted(features)}"
        )
    for name, feature in features.items():
        value = record[name]
        if feature.kind != "tensor":
            expected = {"image": bytes, "text": str}[feature.kind]
            if not isinstance(value, expected):
                raise ValueError(
                    f"field {name} is {type(value).__name__}, expected "
                    f"{expected.__name__}"
                )
            continue
        shape, dtype = np.shape(value), getattr(value, "dtype", None)
        fits = len(shape) == len(feature.shape) and all(
            axis in (None, size) for axis, size in zip(feature.shape, shape)
        )
        if not fits or dtype != np.dtype(feature.dtype):
            raise ValueError(
                f"field {name} is {dtype} {shape}, expected {feature.dtype} "
                f"{tuple(feature.shape)}"
            )


def write_person(path: Path, records: Sequence[Record]) -> None:
    """Writes the examples of one person so that a complete file or none is there.

    Raises:
        InputError: If the file cannot be written.
    """
    arrays = {}
    for number, record in enumerate(records):
        for name, value in record.items():
            kind = _KINDS.get(type(value), "array")
            if kind == "text":
                value = value.encode()
            if kind != "array":
                value = np.frombuffer(value, np.uint8)
            arrays[f"{number}/{kind}/{name}"] = value
    write_npz(path, arrays, option="data_dir")


def read_person(path: Path) -> list[Record]:
    """Reads the examples that `write_person` wrote; checksums are verified.

    Raises:
        InputError: If the file is missing or damaged.
    """
    records: list[Record] = []
    try:
        with np.load(path, allow_pickle=False) as archive:
            for key in archive.files:
                number, kind, name = key.split("/", 2)
                while len(records) <= int(number):
                    records.append({})
                value = archive[key]
                if kind != "array":
                    value = value.tobytes()
                records[int(number)][name] = value.decode() if kind == "text" else value
    except _DAMAGED as error:
        raise InputError(
            f"{path}: the file of a rendered person is damaged ({error}); run the same "
            "command again, which renders this person anew"
        ) from error
    return records


def is_intact(path: Path, features: Mapping[str, Any]) -> bool:
    """Tells whether a person's file is there, undamaged and of these features."""
    try:
        records = read_person(path)
        for record in records:
            check_record(record, features)
    except ValueError:
        return False
    return bool(records)


def render_person(
    path: Path,
    seed: int,
    *,
    variant: str,
    size: int,
    make_records: MakeRecords,
    features: Mapping[str, Any],
) -> None:
    """Renders one person into a file, unless an intact file is there.

    Raises:
        ValueError: If the examples do not fit the features.
        InputError: If the file cannot be written.
    """
    if is_intact(path, features):
        return
    records = make_records(seed, variant=variant, size=size)
    if not records:
        raise ValueError(f"the person with seed {seed} has no examples")
    for record in records:
        check_record(record, features)
    write_person(path, records)


def render_people(
    folder: Path,
    seeds: Sequence[int],
    *,
    variant: str,
    size: int,
    num_workers: int,
    make_records: MakeRecords,
    features: Mapping[str, Any],
) -> None:
    """Renders people in worker processes; intact files are kept.

    At most two people for each worker are in flight, and their pictures never pass
    through this process, so memory does not grow with the number of people. After an
    interrupt the people in work are finished, the others not begun.

    Args:
        folder: Existing folder for the files.
        seeds: Seed of every person.
        variant: Given to `make_records`.
        size: Given to `make_records`.
        num_workers: Number of processes.
        make_records: Function at the top of a module, which workers import.
        features: As in `check_record`.

    Raises:
        InputError: If a file cannot be written or a worker was killed.
    """
    for leftover in folder.glob(".*.part"):
        leftover.unlink(missing_ok=True)
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    work = functools.partial(
        _work, variant=variant, size=size, make_records=make_records, features=features
    )
    jobs = ((person_path(folder, seed), seed) for seed in seeds)
    with (
        _environment(_WORKER_ENVIRONMENT),
        concurrent.futures.ProcessPoolExecutor(
            num_workers, mp_context=context, initializer=_start_worker, initargs=(stop,)
        ) as pool,
        tqdm(total=len(seeds), desc=variant, unit="person", disable=None) as progress,
    ):
        try:
            for _ in _run(pool, work, jobs, 2 * num_workers):
                progress.update()
        except KeyboardInterrupt:
            progress.write("volhuman: finishing the people in work", file=sys.stderr)
            raise
        except concurrent.futures.BrokenExecutor as error:
            raise InputError(
                "a worker process was killed, most often for want of memory; use fewer "
                f"workers (num_workers is {num_workers}) or smaller pictures and run "
                "the command again, finished people are kept"
            ) from error
        finally:
            # Also reached by an interrupt: what waits in the queues is not begun.
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


def _run(pool, function, jobs: Iterator[tuple], most: int) -> Iterator[None]:
    """Runs a function over jobs, `most` in flight; yields as often as one is done."""
    pending: set[concurrent.futures.Future] = set()
    while True:
        for job in itertools.islice(jobs, most - len(pending)):
            pending.add(pool.submit(function, *job))
        if not pending:
            return
        done, pending = concurrent.futures.wait(
            pending, return_when=concurrent.futures.FIRST_COMPLETED
        )
        for future in done:
            yield future.result()


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Sets variables that processes started meanwhile inherit."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _start_worker(stop) -> None:
    global _stop
    _stop = stop
    # An interrupt reaches the whole group of processes; the first one handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """Ends the worker when its parent was killed: nobody else would."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(path: Path, seed: int, **options) -> None:
    if _stop.is_set():
        return
    try:
        render_person(path, seed, **options)
    except Exception as error:
        error.add_note(f"while rendering the person with seed {seed}")
        raise


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Holds a lock file against a second build of the same data.

    The lock belongs to the process, not to the file: that of a process that died, even
    by kill -9 or a power cut, is free.

    Raises:
        InputError: If another process holds it, or the folder cannot be written.
    """
    try:
        file = _locked(path)
    except BlockingIOError as error:
        raise InputError(
            f"{path}: another build of the same data is running; wait for it or stop it"
        ) from error
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}; choose a data_dir that can be written "
            "and locked"
        ) from error
    with file:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _locked(path: Path):
    """Opens and locks a file; anew if its last holder has just removed it."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(path.open("a"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                    stack.pop_all()
                    return file
            except FileNotFoundError:
                continue
