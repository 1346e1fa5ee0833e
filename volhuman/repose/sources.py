"""Photographs of the person to repose, with their joints."""

import dataclasses
from pathlib import Path

import numpy as np

from volhuman.body.skeleton import NUM_JOINTS
from volhuman.data.images import (
    Photograph,
    list_photographs,
    output_names,
    read_photograph,
)
from volhuman.data.photograph_crops import crop_photograph
from volhuman.errors import InputError
from volhuman.geometry.camera import Crop
from volhuman.repose.crops import choose_crop, crop_joints
from volhuman.repose.figure import POINT_NAMES, figure_size
from volhuman.repose.joint_files import EstimateBody, Seen, read_joints, seen_of_body
from volhuman.repose.lens import project
from volhuman.repose.targets import REGISTERED

_MOST_PHOTOGRAPHS = 8
# Smaller people in pixels are no people; see `figure.figure_size`.
_LEAST_SIZE = 8
# Joints this many sides away from the photograph are not of it.
_FAR = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A photograph, the person in it and the part that the network sees.

    Attributes:
        photograph: The photograph.
        file: Where the joints came from.
        seen: The person, one frame.
        joints: `(29, 3)` pixels of the photograph, depth 0 at the pelvis.
        crop: The part.
    """

    photograph: Photograph
    file: Path
    seen: Seen
    joints: np.ndarray
    crop: Crop

    def picture(self, size: int) -> np.ndarray:
        """The part as the network sees it, `(size, size, 3)`."""
        return crop_photograph(self.photograph.rgb, self.crop, size)

    def crop_joints(self, size: int) -> np.ndarray:
        """The joints `(29, 3)` in pixels of that picture."""
        return crop_joints(self.joints, self.crop, size)

    def make_room(self, targets: np.ndarray) -> "Source":
        """Chooses the crop anew with room for joints `(..., 2)` of the photograph."""
        crop = _choose_crop(self.seen, self.joints, targets.reshape(-1, 2))
        return dataclasses.replace(self, crop=crop)

    def warnings(self) -> list[str]:
        """Sentences about what is unlikely to work."""
        height, width = self.photograph.rgb.shape[:2]
        outside = ~are_inside(self.joints[:NUM_JOINTS], (width, height))
        sentences = [*self.photograph.warnings, *self.seen.warnings]
        if outside.any():
            first = POINT_NAMES[int(np.argmax(outside))]
            sentences.append(
                f"{outside.sum()} joints lie outside the picture ({first}); there its "
                "border is repeated."
            )
        return [f"{self.photograph.path.name}: {text}" for text in sentences]


def are_inside(joints: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
    """Tells which joints `(..., 2 or 3)` lie in a picture of (width, height)."""
    return ((joints[..., :2] >= 0) & (joints[..., :2] <= sides)).all(-1)


def read_sources(
    photographs: str | Path,
    joints: str | Path,
    estimate: EstimateBody | None = None,
) -> list[Source]:
    """Reads one photograph, or a folder of photographs of one person.

    Args:
        photographs: File or folder.
        joints: File of joints (`repose.joint_files`), or a folder with `<stem>.json`,
            `<stem>.npz` or the registration's `<stem>/body.json`; empty to estimate
            them.
        estimate: Gives what `body.json` holds for a photograph.

    Raises:
        InputError: If a file cannot be used, there are too many photographs, or the
            joints are not of the photograph.
    """
    paths = list_photographs(photographs)
    if len(paths) > _MOST_PHOTOGRAPHS:
        raise InputError(
            f"{photographs}: holds {len(paths)} photographs, at most "
            f"{_MOST_PHOTOGRAPHS} of one person are used; choose some"
        )
    if not joints:
        return [
            _make_source(path, path, seen_of_body(estimate(path), path))
            for path in paths
        ]
    joints = Path(joints)
    if len(paths) > 1 and not joints.is_dir():
        raise InputError(
            f"--config.keypoints is {joints}, no folder, but there are several "
            "photographs; give a folder with the joints of each, named as it is"
        )
    names = output_names(paths)
    files = [_joint_file(joints, p, name, len(paths)) for p, name in zip(paths, names)]
    _check_separate(paths, files)
    return [_make_source(p, f, read_joints(f)) for p, f in zip(paths, files)]


def _make_source(path: Path, file: Path, seen: Seen) -> Source:
    photograph = read_photograph(path)
    if len(seen.points) > 1:
        raise InputError(
            f"{file}: holds {len(seen.points)} frames, expected the joints of one "
            "photograph"
        )
    joints = project(seen.lens, seen.points)[0]
    _check(seen, joints[:NUM_JOINTS], photograph.rgb.shape[:2], file)
    crop = _choose_crop(seen, joints, joints[:1, :2])
    return Source(photograph, file, seen, joints, crop)


def _joint_file(given: Path, photograph: Path, result: str, count: int) -> Path:
    """The joints of a photograph: the file given, or one in the folder given.

    Args:
        given: File or folder.
        photograph: The photograph.
        result: Name of its folder in the results of the registration.
        count: Number of photographs.
    """
    if not given.is_dir():
        return given
    stem = photograph.stem
    names = [
        f"{stem}.json",
        f"{stem}.npz",
        f"{result}/body.json",
    ]
    if count == 1:
        names.append(REGISTERED)
    found = [given / name for name in names if (given / name).is_file()]
    if not found:
        raise InputError(
            f"{given}: holds no joints of {photograph.name}; expected one of "
            f"{', '.join(names)}"
        )
    return found[0]


def _check_separate(photographs: list[Path], files: list[Path]) -> None:
    """Refuses one file as the joints of two photographs, whose stems are equal."""
    first: dict[Path, Path] = {}
    for photograph, file in zip(photographs, files):
        other = first.setdefault(file, photograph)
        if other is not photograph:
            raise InputError(
                f"{file}: would be the joints of both {other.name} and "
                f"{photograph.name}; give the photographs different names"
            )


def _check(seen: Seen, joints: np.ndarray, shape: tuple[int, int], file: Path) -> None:
    """Refuses joints that are not of the photograph."""
    height, width = shape
    size = float(figure_size(seen.points[0]))
    if size < _LEAST_SIZE:
        raise InputError(
            f"{file}: leg and spine together are {size:.2g} pixels long, expected at "
            f"least {_LEAST_SIZE}; give the joints in pixels of the photograph"
        )
    if not are_inside(joints, (width, height)).any():
        raise InputError(
            f"{file}: all joints lie outside the photograph of {width} x {height} "
            "pixels; give its joints, in its pixels"
        )
    distance = np.abs(joints[:, :2] - [width / 2, height / 2]).max(1)
    distance = np.maximum(distance, np.abs(joints[:, 2]))
    worst = int(np.argmax(distance))
    if distance[worst] > _FAR * max(shape):
        raise InputError(
            f"{file}: {POINT_NAMES[worst]} lies at {joints[worst].round(1).tolist()}, "
            f"far outside the photograph of {width} x {height} pixels; correct it"
        )


def _choose_crop(seen: Seen, joints: np.ndarray, targets: np.ndarray) -> Crop:
    size = float(figure_size(seen.points[0]))
    return choose_crop(size, joints[:NUM_JOINTS, :2], targets)
