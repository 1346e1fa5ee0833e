"""The synthetic people as a TensorFlow Datasets builder, built locally from a seed.

Three variants: `pairs` (two poses of one person), `views` (four views of one posed
person) and `registrations` (single views with dense correspondences and body
parameters). A data set lies in `DATA_DIR/volhuman_people/VARIANT_SIZE_sSEED_nPEOPLE/
VERSION`: another seed, size or number of people is another data set, never the same
folder. It is read with `volhuman.data.loader.open_people`, or with
`tfds.data_source("volhuman_people/NAME", data_dir=DATA_DIR)`. TensorFlow is not needed.
"""

import contextlib
import dataclasses
import functools
import itertools
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import writer
from tensorflow_datasets.proto import tf_example_pb2

from volhuman.data.people_build import (
    SPLITS,
    MakeRecords,
    hold_lock,
    person_path,
    person_seed,
    read_person,
    render_people,
    split_of_person,
)
from volhuman.data.people_card import write_card
from volhuman.data.tfds_advice import without_advice
from volhuman.errors import InputError

NAME = "volhuman_people"
VARIANTS = ("pairs", "views", "registrations")
_SHARD_BYTES = 128 << 20
_RANGES = {
    "num_people": (3, 1_000_000),  # one for each split
    "seed": (0, 2**32 - 1),
    "size": (16, 4096),
    "num_workers": (1, 1024),
}


@dataclasses.dataclass(eq=False, kw_only=True)
class PeopleConfig(tfds.core.BuilderConfig):
    """What a data set of people holds and how it is made.

    Attributes:
        variant: One of `VARIANTS`.
        size: Pixels along a side of the pictures.
        seed: Seed of the build.
        num_people: Number of people over all splits.
        num_workers: Number of rendering processes; the data do not depend on it.
        make_records: Renders the examples of a person (`people_build.MakeRecords`).
        features: Features of an example by name (`people_build.check_record`), each
            with a `description` that says shape and unit.
        limitations: What users of the data should know; Markdown.
        name: Says all of this that decides the content.
    """

    variant: str
    size: int
    seed: int
    num_people: int
    num_workers: int = 1
    make_records: MakeRecords
    features: Mapping[str, Any]
    limitations: str = ""
    name: str = dataclasses.field(init=False)

    def __post_init__(self):
        self.name = f"{self.variant}_{self.size}_s{self.seed}_n{self.num_people}"
        self.description = (
            f"{self.variant}, {self.size} pixels, {self.num_people} people from seed "
            f"{self.seed}"
        )


class VolhumanPeople(tfds.core.ShardBasedBuilder):
    """Synthetic dressed people, rendered on this machine from a seed."""

    # TFDS looks beside this path for a list of downloads, and needs for it a package
    # (importlib_resources) that it does not declare.
    code_path = None

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        return tfds.core.DatasetInfo(
            builder=self,
            description="Synthetic dressed people: " + config.description,
            features=tfds.features.FeaturesDict(
                {name: _feature(spec) for name, spec in config.features.items()}
            ),
            disable_shuffling=True,
            license="CC0-1.0",
            metadata=tfds.core.MetadataDict(
                generator_version=str(config.version),
                variant=config.variant,
                size=config.size,
                seed=config.seed,
                num_people=config.num_people,
                people_by_split=_people_by_split(config.num_people),
                split_rule="person i: validation if i % 20 == 1, test if i % 20 == 2, "
                "train otherwise",
            ),
        )

    def _shard_iterators_per_split(self, dl_manager):
        config = self.builder_config
        work = work_folder(self)
        work.mkdir(parents=True, exist_ok=True)
        seeds = [person_seed(config.seed, index) for index in range(config.num_people)]
        render_people(
            work,
            seeds,
            variant=config.variant,
            size=config.size,
            num_workers=config.num_workers,
            make_records=config.make_records,
            features=config.features,
        )
        shards = {}
        for split in SPLITS:
            files = [
                person_path(work, seed)
                for index, seed in enumerate(seeds)
                if split_of_person(index) == split
            ]
            total = sum(file.stat().st_size for file in files)
            count = min(-(-total // _SHARD_BYTES), len(files))
            shards[split] = [
                functools.partial(_examples, files[start:stop])
                for start, stop in _even_parts(len(files), count)
            ]
        return shards

    def _example_writer(self):
        return _StableWriter(self.info.file_format)

    def _download_and_prepare(self, dl_manager, download_config=None):
        super()._download_and_prepare(dl_manager, download_config)
        # The folder is a temporary one until it is complete, so the card and the shards
        # appear together.
        write_card(Path(self.data_dir), self.info, self.builder_config)

    def _log_download_bytes(self) -> None:
        """Says nothing: nothing is downloaded."""

    _log_download_done = _log_download_bytes


class _StableWriter(writer.ExampleWriter):
    """Writes the same bytes for the same examples.

    Protocol buffers write the fields of a message in an order that differs from process
    to process unless told otherwise.
    """

    def write(self, path, examples):
        return super().write(path, ((key, _stable(raw)) for key, raw in examples))


def _stable(raw: bytes) -> bytes:
    message = tf_example_pb2.Example.FromString(raw)
    return message.SerializeToString(deterministic=True)


def build_people(
    *,
    data_dir: str | Path,
    variant: str,
    num_people: int,
    seed: int,
    size: int,
    num_workers: int,
    make_records: MakeRecords | None = None,
    features: Mapping[str, Any] | None = None,
    version: str = "1.0.0",
    limitations: str = "",
) -> VolhumanPeople:
    """Builds a data set of synthetic people, or finds it complete.

    People are rendered by `num_workers` processes into a work folder and kept there
    until the shards are complete, so a build that was stopped in any way continues when
    it is called again. The same arguments give the same bytes in the shards.

    Args:
        data_dir: Folder of all data sets.
        variant: One of `VARIANTS`.
        num_people: Number of people, at least 3.
        seed: Seed of the build, below 2**32; person i has
            `people_build.person_seed(seed, i)`.
        size: Pixels along a side of the pictures.
        num_workers: Number of rendering processes.
        make_records: Renders a person; by default `volhuman.people.records`.
        features: Features of an example; by default those of `volhuman.people.records`.
        version: Version of what `make_records` makes, as in "1.0.0".
        limitations: What users of the data should know; Markdown for the card.

    Returns:
        The builder of the complete data set.

    Raises:
        InputError: If an argument is out of range, `data_dir` cannot be used, another
            build of the same data set is running, or a worker was killed.
        KeyboardInterrupt: After a message; finished people are kept.
    """
    sizes = {"num_people": num_people, "seed": seed, "size": size}
    _check(variant, sizes | {"num_workers": num_workers})
    if make_records is None or features is None:
        # Imported here: reading and describing data needs no renderer.
        from volhuman.people import records

        make_records = make_records or records.person_records
        features = features or records.record_features(variant, size)
    config = PeopleConfig(
        version=version,
        variant=variant,
        num_workers=num_workers,
        make_records=make_records,
        features=features,
        limitations=limitations,
        **sizes,
    )
    return _build(config, Path(data_dir).expanduser().absolute())


def _build(config: PeopleConfig, data_dir: Path) -> VolhumanPeople:
    """Builds one data set under its lock."""
    top = data_dir / NAME / ".work"
    with hold_lock(top / f"{config.name}_{config.version}.lock"):
        with without_advice():
            builder = VolhumanPeople(
                config=config, data_dir=data_dir, file_format="array_record"
            )
        for leftover in Path(builder.data_dir).parent.glob("incomplete.*"):
            shutil.rmtree(leftover)
        if builder.data_path.exists():
            print(f"volhuman: {builder.data_dir} is complete", file=sys.stderr)
        try:
            # TFDS makes a folder for downloads even where there are none.
            builder.download_and_prepare(download_dir=work_folder(builder))
        except KeyboardInterrupt:
            _report_kept(builder)
            raise
        shutil.rmtree(work_folder(builder), ignore_errors=True)
    with contextlib.suppress(OSError):  # Not empty: another build is at work.
        top.rmdir()
    return builder


def work_folder(builder: VolhumanPeople) -> Path:
    """Returns the folder of the rendered people of a data set that is being built."""
    config = builder.builder_config
    return Path(builder.data_dir_root, NAME, ".work", f"{config.name}_{config.version}")


def _check(variant: str, numbers: Mapping[str, int]) -> None:
    if variant not in VARIANTS:
        raise InputError(
            f"variant is {variant!r}, expected one of {', '.join(VARIANTS)}"
        )
    for option, value in numbers.items():
        least, most = _RANGES[option]
        if not least <= value <= most:
            raise InputError(f"{option} is {value}, expected {least} to {most}")


def _feature(spec) -> tfds.features.FeatureConnector:
    """The TFDS feature of one field."""
    if spec.kind == "image":
        return tfds.features.Image(shape=tuple(spec.shape), doc=spec.description)
    if spec.kind == "text":
        return tfds.features.Text(doc=spec.description)
    # Without an encoding TFDS writes numbers one by one, 60 times slower. Masks and
    # labels shrink, floating-point numbers hardly.
    compressible = len(spec.shape) >= 2 and np.dtype(spec.dtype).kind in "biu"
    return tfds.features.Tensor(
        shape=tuple(spec.shape),
        dtype=np.dtype(spec.dtype),
        encoding="zlib" if compressible else "bytes",
        doc=spec.description,
    )


def _people_by_split(num_people: int) -> dict[str, int]:
    splits = [split_of_person(index) for index in range(num_people)]
    return {split: splits.count(split) for split in SPLITS}


def _even_parts(total: int, count: int) -> Iterable[tuple[int, int]]:
    """Start and stop of `count` parts of `total` things, as equal as possible."""
    ends = [total * part // count for part in range(count + 1)]
    return itertools.pairwise(ends)


def _examples(files: list[Path]) -> Iterator[tuple[int, dict[str, Any]]]:
    return enumerate(itertools.chain.from_iterable(map(read_person, files)))


def _report_kept(builder: VolhumanPeople) -> None:
    work = work_folder(builder)
    print(
        f"volhuman: {len(list(work.glob('person_*.npz')))} of "
        f"{builder.builder_config.num_people} people are finished and kept in {work}; "
        "the same command continues there",
        file=sys.stderr,
    )
