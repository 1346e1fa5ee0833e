"""Pairs of pictures of one outfit, drawn so that anybody can repeat the draw.

A frame is named by its path below the pictures without suffix, "001/9/1/000". Its first
components name the outfit: two in iPER (person, clothing), four in DeepFashion (gender,
category, item, colour), the rest the view.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from volhuman.data.sets.building import write_json
from volhuman.data.sets.files import need_key, read_json_index
from volhuman.errors import InputError


@dataclasses.dataclass(frozen=True)
class FramePair:
    """Two pictures of one outfit.

    Attributes:
        source: Name of the frame that is given.
        target: Name of the frame whose pose is taken.
    """

    source: str
    target: str


def outfit_key(name: str, depth: int) -> str:
    """Returns the outfit of a frame: its first components joined with dashes."""
    return "-".join(name.split("/")[:depth])


def group_frames(names: Iterable[str], depth: int) -> dict[str, list[str]]:
    """Groups frames by outfit, keeping their order."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(outfit_key(name, depth), []).append(name)
    return groups


def sample_pairs(
    groups: Mapping[str, Sequence[str]], num_pairs: int, *, seed: int
) -> list[FramePair]:
    """Draws pairs: an outfit uniformly, then two distinct frames of it in random order.

    Outfits of fewer than two frames are left out. The same groups, number and seed give
    the same pairs; the order of the groups does not matter.

    Source: Knoche et al., "Reposing Humans by Warping 3D Features". In the authors'
        loader an outfit of exactly two frames keeps their order; here it is random.

    Args:
        groups: Frames of every outfit.
        num_pairs: Number of pairs.
        seed: Seed of the draw.

    Returns:
        The pairs; a pair may occur again.

    Raises:
        InputError: If no outfit has two frames.
    """
    outfits = sorted(outfit for outfit, frames in groups.items() if len(frames) > 1)
    if not outfits:
        raise InputError("no outfit has two frames; a pair needs two")
    generator = np.random.default_rng(seed)
    pairs = []
    for _ in range(num_pairs):
        frames = groups[outfits[generator.integers(len(outfits))]]
        first, second = generator.choice(len(frames), 2, replace=False)
        pairs.append(FramePair(frames[first], frames[second]))
    return pairs


def write_pairs(
    path: str | Path, pairs: Iterable[FramePair], *, data_set: str, seed: int
) -> None:
    """Writes a list of pairs that can be published beside results.

    Args:
        path: JSON file, replaced if it is there.
        pairs: The pairs.
        data_set: Data set and split, for readers of the file.
        seed: Seed they were drawn with.

    Raises:
        InputError: If the file cannot be written.
    """
    content = {
        "data_set": data_set,
        "rule": "outfit drawn uniformly, then two distinct frames in random order",
        "seed": seed,
        "pairs": [[pair.source, pair.target] for pair in pairs],
    }
    write_json(Path(path), content)


def read_pairs(path: str | Path, names: Iterable[str]) -> list[FramePair]:
    """Reads a list of pairs.

    Args:
        path: File that `write_pairs` wrote.
        names: Frames of the data set.

    Returns:
        The pairs.

    Raises:
        InputError: If the file is damaged or names a frame that is not there.
    """
    path = Path(path)
    rows = need_key(read_json_index(path), "pairs", list, path, "the file")
    known = set(names)
    for row in rows:
        if not isinstance(row, list) or len(row) != 2:
            raise InputError(f"{path}: {row!r} is no pair of two frames")
        for name in row:
            if not isinstance(name, str) or name not in known:
                raise InputError(
                    f"{path}: the frame {name!r} is not in the data set; build the "
                    "set and split that the list was drawn from"
                )
    return [FramePair(*row) for row in rows]
