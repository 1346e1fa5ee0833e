"""THuman (DeepHuman): about 7,000 coloured scans with a fitted SMPL body and one photo.

The root transform of `smpl_params.txt` acts about the coordinate origin, after the body
has been posed; SMPL's own root rotation turns about the root joint. Bodies are gendered
by the last letter of the folder's name.

Splits: the authors split by the number of the scan, 80 to 20, which shows the test the
people of the training. Here whole subjects go to one side: in the order of their names,
subjects are for training as long as they have at most 80 % of the scans.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from volhuman.data.sets.building import SetBuilder, array, packed, picture, text
from volhuman.data.sets.files import finite_number, number_array, read_lines
from volhuman.data.sets.meshes import read_obj
from volhuman.data.sets.pictures import read_depth, read_mask, read_picture
from volhuman.errors import InputError

NUM_SMPL_VERTICES = 6890
TRAIN_SHARE = 0.8
# Focal lengths and principal points in pixels: fx, fy, cx, cy.
# Source: README of the data set.
COLOR_INTRINSICS = (1063.8987, 1063.6822, 954.1103, 553.2578)
DEPTH_INTRINSICS = (365.4020, 365.6674, 252.4944, 207.7411)
_SUBJECT = re.compile(r"results_(?P<subject>[^_]+)(_.+)?_(?P<gender>[MF])")
_GENDERS = {"M": "male", "F": "female"}
# First line and number of values of each block of smpl_params.txt; the lines before
# them are headings.
_BLOCKS = {"shape": (1, 1, (10,)), "root": (3, 4, (4, 4)), "pose": (8, 72, (72,))}


@dataclasses.dataclass(frozen=True)
class ThumanScan:
    """One scan.

    Attributes:
        name: "<folder of the subject>/<frame>".
        subject: The person, first word of the folder's name after "results".
        gender: "male" or "female".
        folder: Its files.
    """

    name: str
    subject: str
    gender: str
    folder: Path


@dataclasses.dataclass(frozen=True, eq=False)
class ThumanBody:
    """The body fitted to a scan.

    Attributes:
        shape: `(10,)`.
        pose: `(24, 3)` axis-angle.
        root: `(4, 4)` transform about the coordinate origin, metres.
    """

    shape: np.ndarray
    pose: np.ndarray
    root: np.ndarray


def read_scans(folder: Path) -> list[ThumanScan]:
    """Lists the scans below a folder, sorted by name.

    Raises:
        InputError: If there is no folder of a subject, or one has no frame.
    """
    scans = []
    for subject in sorted(folder.glob("results_*")):
        match = _SUBJECT.fullmatch(subject.name)
        if match is None:
            raise InputError(
                f"{subject}: expected a name such as results_gyx_20181012_scw_1_M, "
                "whose last letter tells the gender"
            )
        frames = sorted(frame for frame in subject.iterdir() if frame.is_dir())
        if not frames:
            raise InputError(f"{subject} holds no frame; copy it again")
        scans += [
            ThumanScan(
                name=f"{subject.name}/{frame.name}",
                subject=match["subject"],
                gender=_GENDERS[match["gender"]],
                folder=frame,
            )
            for frame in frames
        ]
    if not scans:
        raise InputError(
            f"{folder}: no folder results_<subject>_<M or F> is there; unpack THuman"
        )
    return scans


def split_by_subject(scans: list[ThumanScan]) -> dict[str, list[ThumanScan]]:
    """Splits scans so that nobody is in both parts."""
    people: dict[str, list[ThumanScan]] = {}
    for scan in scans:
        people.setdefault(scan.subject, []).append(scan)
    splits: dict[str, list[ThumanScan]] = {"train": [], "test": []}
    for person in sorted(people):
        enough = len(splits["train"]) + len(people[person]) > TRAIN_SHARE * len(scans)
        is_test = splits["test"] or (splits["train"] and enough)
        splits["test" if is_test else "train"] += people[person]
    return splits


def read_body(path: Path) -> ThumanBody:
    """Reads `smpl_params.txt`.

    Raises:
        InputError: If the file is missing, cut, or holds something else.
    """
    lines = read_lines(path)
    values = {}
    for name, (first, count, shape) in _BLOCKS.items():
        words = [word for line in lines[first : first + count] for word in line.split()]
        numbers = [
            finite_number(word, path, f"a value of the {name}") for word in words
        ]
        if len(numbers) != np.prod(shape):
            raise InputError(
                f"{path}: the {name} has {len(numbers)} values, expected "
                f"{np.prod(shape)}; copy the file again"
            )
        values[name] = np.array(numbers, np.float32).reshape(shape)
    _check_rigid(values["root"], path)
    return ThumanBody(values["shape"], values["pose"].reshape(24, 3), values["root"])


def read_camera(path: Path) -> np.ndarray:
    """Reads `cam.txt`: `(4, 4)` from the world to the depth camera, metres.

    Raises:
        InputError: If the file is missing or holds something else.
    """
    rows = [line.split() for line in read_lines(path)]
    camera = number_array(rows, (4, 4), path, "the camera")
    _check_rigid(camera, path)
    return camera


def apply_root(vertices: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Moves posed vertices `(..., 3)` by a root transform about the origin."""
    return vertices @ root[:3, :3].T + root[:3, 3]


def _check_rigid(transform: np.ndarray, path: Path) -> None:
    rotation = transform[:3, :3]
    is_rotation = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3)
    if not is_rotation or np.linalg.det(rotation) < 0:
        raise InputError(f"{path}: the upper left part of the transform is no rotation")
    if not np.allclose(transform[3], [0, 0, 0, 1], atol=1e-6):
        raise InputError(f"{path}: the last row of the transform is not 0 0 0 1")


class Thuman(SetBuilder):
    """Builder of THuman."""

    name = "volhuman_thuman"
    TITLE = "THuman"
    HOMEPAGE = "https://github.com/ZhengZerong/DeepHuman/tree/master/THUmanDataset"
    LICENSE = (
        "Non-commercial research, no redistribution; faces must be blurred in "
        "publications. Signed form required."
    )
    LAYOUTS: ClassVar = {
        "official": "results_<subject>_<M or F>/<frame>/ with mesh.obj, smpl.obj, "
        "smpl_params.txt, cam.txt, color.jpg, depth.png and mask.png"
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Sign the form at https://github.com/ZhengZerong/DeepHuman (THUmanDataset; research
    only) and unpack all parts into one folder:

        results_<subject>_<date>_<id>_<k>_<M or F>/<frame>/
            mesh.obj  smpl.obj  smpl_params.txt  cam.txt  color.jpg  depth.png  mask.png
    """

    def set_features(self) -> dict[str, Any]:
        """Returns the features of a scan."""
        return {
            "subject": text("The person."),
            "gender": text("'male' or 'female': which SMPL model the body needs."),
            "image": picture("Colour camera, 1920 x 1080."),
            "depth": packed("Millimetres; 0 unknown.", (None, None), "uint16"),
            "mask": packed("1 person, in the depth image.", (None, None), "uint8"),
            "vertices": array("Scan, metres, y up.", (None, 3)),
            "colors": array("Of the vertices.", (None, 3), "uint8"),
            "faces": packed("Of the scan.", (None, 3), "int32"),
            "smpl_vertices": array("Fitted body, metres.", (NUM_SMPL_VERTICES, 3)),
            "shape": array("SMPL shape.", (10,)),
            "pose": array("SMPL axis-angle, root first.", (24, 3)),
            "root": array("Transform about the origin after posing.", (4, 4)),
            "depth_from_world": array("World to depth camera, metres.", (4, 4)),
        }

    def set_metadata(self) -> dict[str, Any]:
        """Returns the cameras."""
        return {
            "color_intrinsics": list(COLOR_INTRINSICS),
            "depth_intrinsics": list(DEPTH_INTRINSICS),
        }

    def read_index(self, folder: Path) -> dict[str, list[ThumanScan]]:
        """Lists the scans."""
        return split_by_subject(read_scans(folder))

    def make_examples(self, record: ThumanScan):
        """Reads the files of a scan."""
        folder = record.folder
        scan = read_obj(folder / "mesh.obj")
        # smpl.obj keeps SMPL's order; in other sets such files do not.
        body_mesh = read_obj(folder / "smpl.obj")
        if len(body_mesh.vertices) != NUM_SMPL_VERTICES:
            raise InputError(
                f"{folder / 'smpl.obj'} has {len(body_mesh.vertices)} vertices, "
                f"expected {NUM_SMPL_VERTICES}; copy it again"
            )
        body = read_body(folder / "smpl_params.txt")
        example = {
            "subject": record.subject,
            "gender": record.gender,
            "image": read_picture(folder / "color.jpg"),
            "depth": read_depth(folder / "depth.png"),
            "mask": read_mask(folder / "mask.png"),
            "vertices": scan.vertices,
            "colors": scan.colors,
            "faces": scan.faces,
            "smpl_vertices": body_mesh.vertices,
            "shape": body.shape,
            "pose": body.pose,
            "root": body.root,
            "depth_from_world": read_camera(folder / "cam.txt"),
        }
        return [(record.name, example)]
