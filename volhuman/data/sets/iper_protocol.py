"""The evaluation protocol of Liquid Warping GAN on iPER (`iPER_protocol.json`)."""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any

from volhuman.data.sets.files import need_key, read_json_index
from volhuman.data.sets.outfits import FramePair
from volhuman.errors import InputError


@dataclasses.dataclass(frozen=True)
class FrameRange:
    """Frames of a video.

    Attributes:
        video: "001/9/1".
        first: Number of the first frame.
        last: Number of the last frame, which belongs to the range.
    """

    video: str
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class ProtocolVideo:
    """What is generated from one video.

    Attributes:
        video: "001/9/1".
        sources: File names of the source frames ("000.jpg") by their number: for 3
            sources, `sources[3]`.
        self_imitation: Frames of the person's own video to be generated.
        cross_imitation: Frames of another video, whose motion is taken.
    """

    video: str
    sources: dict[int, tuple[str, ...]]
    self_imitation: FrameRange
    cross_imitation: FrameRange


def read_protocol(path: Path) -> list[ProtocolVideo]:
    """Reads the protocol.

    Raises:
        InputError: If the file is missing, cut, or lacks a key, or a list of sources
            has another length than its key says.
    """
    content = read_json_index(path)
    videos = need_key(content, "val", dict, path, "the file")
    protocol = []
    for video, entry in videos.items():
        sources = {}
        for count, names in need_key(entry, "s_n", dict, path, video).items():
            fits = isinstance(names, list) and str(len(names)) == count
            if not fits or not all(PurePath(str(n)).stem.isdigit() for n in names):
                raise InputError(
                    f"{path}: 's_n' of {video} has {str(names)[:60]} under {count!r}, "
                    "expected that many file names such as 000.jpg"
                )
            sources[int(count)] = tuple(names)
        protocol.append(
            ProtocolVideo(
                video=video,
                sources=sources,
                self_imitation=_range(entry, "self_imitation", path, video),
                cross_imitation=_range(entry, "cross_imitation", path, video),
            )
        )
    return protocol


def self_imitation_pairs(
    protocol: Iterable[ProtocolVideo], *, num_sources: int = 3
) -> Iterator[FramePair]:
    """Lists the pairs of the published numbers.

    Each of the three source frames of a video alone generates every frame of its range:
    40,940 targets, three times.

    Args:
        protocol: The videos.
        num_sources: Which list of source frames is taken.

    Yields:
        Pairs of frame names, in the order of the protocol.

    Raises:
        InputError: If a video has no list of that many sources.
    """
    for entry in protocol:
        if num_sources not in entry.sources:
            raise InputError(
                f"the protocol of {entry.video} has lists of "
                f"{sorted(entry.sources)} sources, none of {num_sources}"
            )
        targets = entry.self_imitation
        for source in entry.sources[num_sources]:
            stem = PurePath(source).stem
            for number in range(targets.first, targets.last + 1):
                # Videos of a thousand frames and more have four digits.
                target = f"{targets.video}/{number:0{len(stem)}d}"
                yield FramePair(f"{entry.video}/{stem}", target)


def _range(entry: Any, key: str, path: Path, video: str) -> FrameRange:
    part = need_key(entry, key, dict, path, video)
    place = f"{key} of {video}"
    target = need_key(part, "target", str, path, place)
    ends = need_key(part, "range", list, path, place)
    if len(ends) != 2 or not all(type(end) is int for end in ends) or ends[0] > ends[1]:
        raise InputError(
            f"{path}: the range of {place} is {ends}, expected the first and the last "
            "frame"
        )
    return FrameRange(target, *ends)
