"""What all readers of real data sets share: options, refusals, and the building.

A data set is built once from files that the user has obtained, into shards that
`tfds.builder_from_directory` and `as_data_source` read without TensorFlow. Examples
keep the order of the index files; `names.json` beside the shards lists the name of
every example, so that record i of a split is `read_names(builder)[split][i]`.
"""

import abc
import contextlib
import dataclasses
import importlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import tensorflow_datasets as tfds

from volhuman.data.sets import BUILDERS
from volhuman.data.tfds_advice import without_advice
from volhuman.errors import InputError

NAMES_FILE = "names.json"


class Record(Protocol):
    """Entry of an index: what one or more examples are made from."""

    name: str


@dataclasses.dataclass(eq=False, kw_only=True)
class SetConfig(tfds.core.BuilderConfig):
    """How a data set is read.

    Attributes:
        layout: Which of the set's forms the files have.
        complete: Whether the files must be the whole official release. With False a
            part of it is accepted, and only what the index files name must be there.
        broken: "refuse" ends the building at the first broken item; "skip" leaves such
            items out, and the metadata count and name them.
        name: Says all options that decide the content.
    """

    layout: str
    complete: bool = True
    broken: str = "refuse"
    name: str = dataclasses.field(init=False)

    def __post_init__(self):
        if self.broken not in ("refuse", "skip"):
            raise InputError(f"broken is {self.broken!r}, expected 'refuse' or 'skip'")
        words = [self.layout, *self.option_words()]
        if not self.complete:
            words.append("part")
        if self.broken == "skip":
            words.append("skip")
        self.name = "_".join(words)

    def option_words(self) -> list[str]:
        """Returns the parts of the name that stand for options of this set."""
        return []


class SetBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base of the builders: checks the files and keeps account of broken items.

    Class attributes of a set: `TITLE`; `LAYOUTS`, a phrase for each layout that says
    what its folder holds; `CONFIG`, the class of its options; `LICENSE`; `HOMEPAGE`.
    """

    TITLE: ClassVar[str]
    LAYOUTS: ClassVar[Mapping[str, str]]
    CONFIG: ClassVar[type[SetConfig]] = SetConfig
    LICENSE: ClassVar[str]
    HOMEPAGE: ClassVar[str]
    VERSION = tfds.core.Version("1.0.0")

    # TFDS looks beside this path for a list of downloads, and needs for it a package
    # that it does not declare.
    code_path = None

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        cls.BUILDER_CONFIGS = [cls.CONFIG(layout=layout) for layout in cls.LAYOUTS]

    def __init__(self, *, file_format: str = "array_record", **options):
        super().__init__(file_format=file_format, **options)
        self._start_account()

    @abc.abstractmethod
    def set_features(self) -> dict[str, Any]:
        """Returns the TFDS features of an example, without `name`."""

    @abc.abstractmethod
    def read_index(self, folder: Path) -> Mapping[str, Sequence[Record]]:
        """Reads and checks the index files.

        Args:
            folder: Where the user put the files.

        Returns:
            The records of every split; splits without records are not built.

        Raises:
            InputError: If the files are not the data set.
        """

    @abc.abstractmethod
    def make_examples(self, record: Record) -> Iterable[tuple[str, dict[str, Any]]]:
        """Makes the examples of one record: pairs of a name and the features.

        Raises:
            InputError: If a file of the record is missing or broken.
        """

    def set_metadata(self) -> dict[str, Any]:
        """Returns what the metadata say of this set: conventions, joint names."""
        return {}

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{self.TITLE}, {self.LAYOUTS[config.layout]}.",
            features=tfds.features.FeaturesDict(
                {
                    "name": text("Unique in the data set."),
                    **self.set_features(),
                }
            ),
            disable_shuffling=True,
            homepage=self.HOMEPAGE,
            license=self.LICENSE,
            metadata=tfds.core.MetadataDict(
                layout=config.layout, options=config.name, **self.set_metadata()
            ),
        )

    def _start_account(self) -> None:
        self._names: dict[str, list[str]] = {}
        self._broken: dict[str, dict[str, str]] = {}

    def _split_generators(self, dl_manager):
        # A builder that failed can be run again.
        self._start_account()
        try:
            folder = Path(dl_manager.manual_dir)
        except AssertionError as error:
            # TFDS's first sentence names the folder; its instructions are a page.
            raise InputError(
                f"{str(error).partition('. ')[0]}; expected {self.TITLE} there, as "
                f"{self.LAYOUTS[self.builder_config.layout]} (from {self.HOMEPAGE})"
            ) from error
        splits = {
            split: records
            for split, records in self.read_index(folder).items()
            if records
        }
        if not splits:
            raise InputError(f"{folder}: no item of {self.TITLE} was found there")
        for records in splits.values():
            _check_unique(folder, records)
        return {
            split: self._generate_examples(split, records)
            for split, records in splits.items()
        }

    def _generate_examples(self, split: str, records: Iterable[Record]) -> Iterator:
        names = self._names.setdefault(split, [])
        for record in records:
            try:
                for name, example in self.make_examples(record):
                    yield len(names), {"name": name, **example}
                    names.append(name)
            except InputError as error:
                if self.builder_config.broken == "refuse":
                    raise
                self._broken.setdefault(split, {})[record.name] = str(error)
        if not names:
            reasons = list(self._broken[split].values())
            raise InputError(
                f"all {len(reasons)} items of split {split!r} are broken, the first "
                f"because: {reasons[0]}"
            )

    def _download_and_prepare(self, dl_manager, download_config=None):
        super()._download_and_prepare(dl_manager, download_config)
        # The folder is a temporary one until it is complete.
        self.info.metadata["broken"] = self._broken
        self.info.metadata["num_broken"] = {
            split: len(items) for split, items in self._broken.items()
        }
        write_json(Path(self.data_dir) / NAMES_FILE, self._names)

    def _log_download_bytes(self) -> None:
        """Says nothing: nothing is downloaded."""

    _log_download_done = _log_download_bytes


def prepare(
    builder: str | type[SetBuilder],
    manual_dir: str | Path,
    data_dir: str | Path,
    *,
    layout: str | None = None,
    **options: Any,
) -> SetBuilder:
    """Builds a data set, or finds it built.

    Args:
        builder: Name ("volhuman_iper") or class.
        manual_dir: Folder with the files of the set, laid out as its
            `MANUAL_DOWNLOAD_INSTRUCTIONS` say; not needed for a set that is built.
        data_dir: Folder of all built data sets.
        layout: One of the set's `LAYOUTS`, by default the first.
        **options: Fields of the set's `CONFIG`.

    Returns:
        The builder, ready for `as_data_source`.

    Raises:
        InputError: If there is no such set or layout, the files are missing, incomplete
            or broken, or `data_dir` cannot be written.
    """
    cls = find_builder(builder) if isinstance(builder, str) else builder
    layout = layout or next(iter(cls.LAYOUTS))
    if layout not in cls.LAYOUTS:
        raise InputError(
            f"layout is {layout!r}, expected one of {', '.join(cls.LAYOUTS)}"
        )
    config = cls.CONFIG(layout=layout, **options)
    config = cls.builder_configs.get(config.name, config)
    data_dir = Path(data_dir).expanduser().absolute()
    manual_dir = Path(manual_dir).expanduser().absolute()
    try:
        with without_advice(), tempfile.TemporaryDirectory() as unused:
            made = cls(config=config, data_dir=data_dir)
            # TFDS makes a folder for downloads even where there are none.
            made.download_and_prepare(
                download_dir=unused,
                download_config=tfds.download.DownloadConfig(manual_dir=manual_dir),
            )
    except OSError as error:
        raise InputError(
            f"{data_dir}: {cls.TITLE} cannot be built there ({error}); check the disk "
            "and the permissions"
        ) from error
    return made


def find_builder(name: str) -> type[SetBuilder]:
    """Returns the builder of a data set.

    Raises:
        InputError: If there is none of that name.
    """
    if name not in BUILDERS:
        raise InputError(f"no data set {name!r}, expected one of {', '.join(BUILDERS)}")
    module, _, attribute = BUILDERS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def read_names(builder: tfds.core.DatasetBuilder) -> dict[str, list[str]]:
    """Reads the names of the examples of a built data set, by split and in order.

    Raises:
        InputError: If the list is missing or damaged.
    """
    path = Path(builder.data_dir) / NAMES_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}; build the data set again") from error


def write_json(path: Path, content: object) -> None:
    """Writes JSON so that a complete file or none stands under `path`.

    Raises:
        InputError: If it cannot be written.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path}: {error}; check the disk and the folder") from error
    finally:
        with contextlib.suppress(OSError):  # Renamed already, or never created.
            temporary.unlink()


# -- features with the encodings that are fast without TensorFlow


def text(doc: str) -> tfds.features.Text:
    """Returns a feature of text."""
    return tfds.features.Text(doc=doc)


def picture(doc: str, *, channels: int = 3) -> tfds.features.Image:
    """Returns a feature of a picture: uint8 `(H, W, channels)` when decoded."""
    return tfds.features.Image(shape=(None, None, channels), doc=doc)


def array(
    doc: str, shape: Sequence[int | None], dtype: str = "float32"
) -> tfds.features.Tensor:
    """Returns a feature of numbers."""
    return tfds.features.Tensor(
        shape=tuple(shape), dtype=np.dtype(dtype), encoding="bytes", doc=doc
    )


def packed(doc: str, shape: Sequence[int | None], dtype: str) -> tfds.features.Tensor:
    """Returns a feature of integers that compress well: masks, depth, faces."""
    return tfds.features.Tensor(
        shape=tuple(shape), dtype=np.dtype(dtype), encoding="zlib", doc=doc
    )


def _check_unique(folder: Path, records: Iterable[Record]) -> None:
    seen: set[str] = set()
    for record in records:
        if record.name in seen:
            raise InputError(
                f"{folder}: the index names {record.name!r} twice; restore the index "
                "files of the release"
            )
        seen.add(record.name)
