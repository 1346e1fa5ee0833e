"""The card of a data set of people: a README beside its shards, from what was built."""

from pathlib import Path
from typing import Any

_CARD = """# {name}

Synthetic dressed people, rendered on the machine of whoever built this folder; no
photograph and no real person is in it.

| | |
|---|---|
| Variant | {variant} |
| Pictures | {size} x {size} pixels |
| People | {num_people} |
| Seed | {seed} |
| Version of the generator | {version} |
| Format | {file_format}, TensorFlow Datasets |

The same generator, variant, size, seed and number of people give the same data.

## Splits

| Split | People | Examples | Shards | Bytes on disk |
|---|---|---|---|---|
{splits}

A person is in one split only. Person i is for validation where i % 20 = 1, for the test
where i % 20 = 2, and for training otherwise, so a person keeps the split in a larger
build of the same seed. The seed of person i is the first 64-bit word of NumPy's
`SeedSequence([{seed}, i])`, shifted right by one bit.

## Fields of an example

| Field | Kind | Shape | Type | Meaning |
|---|---|---|---|---|
{fields}

Axes without a fixed length are written as *.

## Licence

The pictures and all other fields are dedicated to the public domain (CC0 1.0): they
show a body that is itself CC0, in clothes and colours that are computed.
"""


def write_card(folder: Path, info: Any, config: Any) -> None:
    """Writes `README.md`.

    Args:
        folder: Folder of the shards.
        info: `tfds.core.DatasetInfo` with its splits.
        config: `volhuman.data.people.PeopleConfig`.
    """
    people = info.metadata["people_by_split"]
    splits = [
        (
            name,
            people[name],
            split.num_examples,
            split.num_shards,
            split.num_bytes,
        )
        for name, split in info.splits.items()
    ]
    fields = [
        (
            f"`{name}`",
            feature.kind,
            " x ".join("*" if axis is None else str(axis) for axis in feature.shape)
            or "one value",
            feature.dtype,
            feature.description,
        )
        for name, feature in sorted(config.features.items())
    ]
    text = _CARD.format(
        name=info.full_name,
        variant=config.variant,
        size=config.size,
        num_people=config.num_people,
        seed=config.seed,
        version=config.version,
        file_format=info.file_format.value,
        splits=_rows(splits),
        fields=_rows(fields),
    )
    if config.limitations:
        text += f"\n## Limitations\n\n{config.limitations.strip()}\n"
    (folder / "README.md").write_text(text, encoding="utf-8")


def _rows(rows: list[tuple]) -> str:
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)
