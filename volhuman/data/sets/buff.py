"""BUFF: sequences of scans of people in loose clothes, for evaluation only."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from volhuman.data.sets.building import SetBuilder, SetConfig, array, packed, text
from volhuman.data.sets.meshes import metres_per_unit, read_ply
from volhuman.errors import InputError

# "00096_shortlong_hips.000010", "shortlong_hips.000010" or "shortlong_hips_000010".
_FRAME = re.compile(r".*[._](\d+)")


@dataclasses.dataclass(frozen=True)
class BuffScan:
    """One scan.

    Attributes:
        name: "<subject>/<sequence>/<frame>".
        subject: "00096".
        sequence: "shortlong_hips": clothes and motion.
        frame: Number in the sequence.
        path: PLY file.
        minimal: PLY file of the subject in minimal clothes, or None.
    """

    name: str
    subject: str
    sequence: str
    frame: int
    path: Path
    minimal: Path | None


def read_scans(folder: Path) -> list[BuffScan]:
    """Lists the scans, sorted by subject, sequence and frame.

    Raises:
        InputError: If there is no scan, or the name of one has no number.
    """
    root = folder / "sequences" if (folder / "sequences").is_dir() else folder
    scans = []
    for path in sorted(root.glob("[0-9]*/*/*.ply")):
        match = _FRAME.fullmatch(path.stem)
        if match is None:
            raise InputError(
                f"{path}: expected a name that ends in the number of the frame, such "
                "as 00096_shortlong_hips.000010.ply"
            )
        subject, sequence = path.parts[-3:-1]
        scans.append(
            BuffScan(
                name=f"{subject}/{sequence}/{match[1]}",
                subject=subject,
                sequence=sequence,
                frame=int(match[1]),
                path=path,
                minimal=_minimal(folder, subject),
            )
        )
    if not scans:
        raise InputError(
            f"{folder}: no scan <subject>/<sequence>/*.ply is there; unpack BUFF"
        )
    return scans


def spread_scans(scans: Sequence[BuffScan], count: int) -> list[BuffScan]:
    """Takes `count` scans evenly out of a list; all if there are fewer."""
    if count >= len(scans):
        return list(scans)
    return [scans[len(scans) * number // count] for number in range(count)]


def _minimal(folder: Path, subject: str) -> Path | None:
    for pattern in ("minimal*/{0}/{0}_minimal.ply", "minimal*/{0}*.ply"):
        found = sorted(folder.glob(pattern.format(subject)))
        if found:
            return found[0]
    return None


@dataclasses.dataclass(eq=False, kw_only=True)
class BuffConfig(SetConfig):
    """Options of BUFF.

    Attributes:
        num_scans: How many scans to take, evenly out of all; PaMIR evaluates on 300
            (which, is not published). None takes all.
    """

    num_scans: int | None = None

    def __post_init__(self):
        if self.num_scans is not None and self.num_scans < 1:
            raise InputError(f"num_scans is {self.num_scans}, expected at least 1")
        super().__post_init__()

    def option_words(self) -> list[str]:
        """Returns the number of scans, where it is given."""
        return [] if self.num_scans is None else [f"n{self.num_scans}"]


class Buff(SetBuilder):
    """Builder of BUFF; the only split is `test`."""

    name = "volhuman_buff"
    TITLE = "BUFF"
    CONFIG = BuffConfig
    HOMEPAGE = "https://buff.is.tue.mpg.de"
    LICENSE = "Non-commercial scientific research; registration required."
    LAYOUTS: ClassVar = {
        "official": "<subject>/<sequence>/<subject>_<sequence>.<frame>.ply and, where "
        "present, minimal_body_shape/<subject>/<subject>_minimal.ply"
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Register at https://buff.is.tue.mpg.de (research only) and unpack the scans:

        <subject>/<sequence>/<subject>_<sequence>.<frame>.ply   (or below sequences/)
        minimal_body_shape/<subject>/<subject>_minimal.ply      optional
    """

    def set_features(self) -> dict[str, Any]:
        """Returns the features of a scan."""
        return {
            "subject": text("Subject."),
            "sequence": text("Clothes and motion."),
            "frame": tfds.features.Scalar(np.int32, doc="Number in the sequence."),
            "vertices": array("Metres, y up.", (None, 3)),
            "colors": array("Of the vertices; may be empty.", (None, 3), "uint8"),
            "faces": packed("Of the scan.", (None, 3), "int32"),
            "minimal_vertices": array(
                "The subject in minimal clothes, metres; may be empty.",
                (None, 3),
            ),
        }

    def read_index(self, folder: Path) -> dict[str, list[BuffScan]]:
        """Lists the scans."""
        scans = read_scans(folder)
        count = self.builder_config.num_scans
        return {"test": scans if count is None else spread_scans(scans, count)}

    def make_examples(self, record: BuffScan):
        """Reads a scan."""
        scan = read_ply(record.path)
        minimal = np.zeros((0, 3), np.float32)
        if record.minimal:
            minimal = _in_metres(read_ply(record.minimal).vertices, record.minimal)
        example = {
            "subject": record.subject,
            "sequence": record.sequence,
            "frame": record.frame,
            "vertices": _in_metres(scan.vertices, record.path),
            "colors": scan.colors,
            "faces": scan.faces,
            "minimal_vertices": minimal,
        }
        return [(record.name, example)]


def _in_metres(vertices: np.ndarray, path: Path) -> np.ndarray:
    return vertices * np.float32(metres_per_unit(vertices, path))
