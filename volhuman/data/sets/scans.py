"""Folders of scans: PaMIR's layout (Twindom), and plain ones (RenderPeople, THuman 2).

A scan is stored in metres, x right, y up, with the texture's file as it is. PaMIR
stores scans in a cube, [-0.5, 0.5] on each axis; dividing by the scale of the fitted
body gives metres.
"""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from volhuman.data.sets.building import (
    SetBuilder,
    SetConfig,
    array,
    packed,
    picture,
    text,
)
from volhuman.data.sets.files import first_file, need_file, need_folder, read_lines
from volhuman.data.sets.meshes import metres_per_unit, read_obj
from volhuman.data.sets.pictures import encode_png, read_picture
from volhuman.data.sets.smpl_fits import SmplFit, read_smpl_fit
from volhuman.errors import InputError

_PICTURES = (".jpg", ".jpeg", ".png")


@dataclasses.dataclass(frozen=True)
class ScanFiles:
    """The files of one scan.

    Attributes:
        name: Name of its folder.
        mesh: OBJ file.
        texture: Picture, or None.
        fit: Parameters of the fitted body, or None.
    """

    name: str
    mesh: Path
    texture: Path | None
    fit: Path | None


def read_pamir_list(folder: Path) -> list[ScanFiles]:
    """Lists the scans of PaMIR's layout in the order of `data_list.txt`.

    Raises:
        InputError: If the list, a scan or the parameters of its body are missing.
    """
    path = need_file(folder / "data_list.txt", "it names one scan a line")
    scans = []
    for name in read_lines(path):
        if Path(name).name != name:
            raise InputError(f"{path}: {name!r} is no name of a folder in mesh_data")
        place = need_folder(
            folder / "mesh_data" / name, f"{path.name} names {name!r}; copy the rest"
        )
        fit = need_file(
            place / "smpl" / "smpl_param.pkl",
            "without the body's scale the unit of the scan is not known",
        )
        mesh = first_file(
            [place / f"{name}_100k.obj", place / f"{name}.obj"], "copy the scan again"
        )
        scans.append(ScanFiles(name, mesh, _texture(place), fit))
    return scans


def read_plain_folders(folder: Path) -> list[ScanFiles]:
    """Lists the scans of plain folders, sorted by name.

    Every folder that holds an OBJ file is a scan. Of several the one named like the
    folder is taken. A body is looked for beside the scan (`smpl_param.pkl` or
    `smplx_param.pkl`) and, for THuman 2, in `smplx/<name>/` and `smpl/<name>/`.

    Raises:
        InputError: If there is none, or a folder holds several of which none is named
            like it.
    """
    scans = []
    for place in sorted(folder.iterdir()):
        meshes = sorted(place.glob("*.obj")) if place.is_dir() else []
        if not meshes:
            continue
        named = [mesh for mesh in meshes if mesh.stem == place.name]
        if len(meshes) > 1 and not named:
            raise InputError(
                f"{place} holds {len(meshes)} OBJ files, none of them "
                f"{place.name}.obj; leave the scan alone in its folder"
            )
        candidates = [
            parent / f"{kind}_param.pkl"
            for kind in ("smpl", "smplx")
            for parent in (place, folder / kind / place.name)
        ]
        fit = next((path for path in candidates if path.is_file()), None)
        mesh = (named or meshes)[0]
        scans.append(ScanFiles(place.name, mesh, _texture(place), fit))
    if not scans:
        raise InputError(
            f"{folder}: no folder with an OBJ file is there; expected <name>/<name>.obj"
        )
    return scans


def _texture(place: Path) -> Path | None:
    """The diffuse texture: RenderPeople and PaMIR mark it, others have one picture."""
    pictures = sorted(
        file
        for parent in (place, place / "tex")
        for file in parent.glob("*")
        if file.suffix.lower() in _PICTURES
    )
    marked = [file for file in pictures if "_dif" in file.stem]
    material = [file for file in pictures if file.stem == "material0"]
    for choice in (marked, material, pictures):
        if len(choice) == 1:
            return choice[0]
    if pictures:
        raise InputError(
            f"{place} holds {len(pictures)} pictures, of which none is marked as the "
            "texture; name it <name>_dif.jpg"
        )
    return None


@dataclasses.dataclass(eq=False, kw_only=True)
class ScansConfig(SetConfig):
    """Options of folders of scans.

    Attributes:
        metres_per_unit: Unit of the files. By default PaMIR's is found from the fitted
            body, and that of others from the size of the person.
    """

    metres_per_unit: float | None = None

    def __post_init__(self):
        if self.metres_per_unit is not None and not self.metres_per_unit > 0:
            raise InputError(
                f"metres_per_unit is {self.metres_per_unit}, expected a positive number"
            )
        super().__post_init__()

    def option_words(self) -> list[str]:
        """Returns the unit, where it is given."""
        if self.metres_per_unit is None:
            return []
        return [f"unit{self.metres_per_unit:g}"]


class Scans(SetBuilder):
    """Builder of folders of scans; the only split is `train`, in the order of names.

    Of PaMIR's data the authors keep 100 random scans for the test without naming them;
    take a part of the split (`train[:90%]`).
    """

    name = "volhuman_scans"
    TITLE = "Scans of people"
    CONFIG = ScansConfig
    HOMEPAGE = "https://github.com/ZhengZerong/PaMIR"
    LICENSE = (
        "That of the scans: Twindom and RenderPeople are sold, THuman 2 is research."
    )
    LAYOUTS: ClassVar = {
        "pamir": "data_list.txt and mesh_data/<id>/ with <id>_100k.obj, "
        "<id>_dif_2k.jpg and smpl/smpl_param.pkl",
        "folders": "<name>/<name>.obj with its texture and smpl_param.pkl or "
        "smplx_param.pkl, both optional",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Obtain scans (https://web.twindom.com, https://renderpeople.com, or THuman 2 after
    signing its form) and lay them out as PaMIR's example does,

        data_list.txt                       one <id> a line
        mesh_data/<id>/<id>_100k.obj        scan in the unit cube
        mesh_data/<id>/<id>_dif_2k.jpg      texture
        mesh_data/<id>/smpl/smpl_param.pkl  fitted body

    or, for the layout "folders", as

        <name>/<name>.obj                   scan in metres, centimetres or millimetres
        <name>/<texture>.jpg                (or tex/<name>_dif_8k.jpg), optional
        <name>/smpl_param.pkl               (or smplx/<name>/smplx_param.pkl), optional
    """

    def set_features(self) -> dict[str, Any]:
        """Returns the features of a scan."""
        return {
            "vertices": array("Metres, x right, y up.", (None, 3)),
            "colors": array("Of the vertices; may be empty.", (None, 3), "uint8"),
            "faces": packed("Of the scan.", (None, 3), "int32"),
            "uv": array("Texture coordinates, v up; may be empty.", (None, 2)),
            "faces_uv": packed("Into uv; may be empty.", (None, 3), "int32"),
            "texture": picture("One black pixel where there is none."),
            "metres_per_unit": tfds.features.Scalar(
                np.float32, doc="What the coordinates of the file were multiplied by."
            ),
            "body": text("'smpl', 'smplx', or empty where no body was fitted."),
            "pose": array("Axis-angle, root first.", (24, 3)),
            "shape": array("SMPL or SMPL-X shape.", (10,)),
            "translation": array("Of the fitted body, metres.", (3,)),
            "body_scale": tfds.features.Scalar(
                np.float32, doc="The posed body is scaled by it to fit the scan."
            ),
        }

    def read_index(self, folder: Path) -> dict[str, list[ScanFiles]]:
        """Lists the scans."""
        is_pamir = self.builder_config.layout == "pamir"
        return {"train": (read_pamir_list if is_pamir else read_plain_folders)(folder)}

    def make_examples(self, record: ScanFiles):
        """Reads the files of a scan."""
        scan = read_obj(record.mesh)
        fit = read_smpl_fit(record.fit) if record.fit else None
        unit = self._unit(scan.vertices, fit, record.mesh)
        if record.texture:
            texture = read_picture(record.texture)
        else:
            texture = encode_png(np.zeros((1, 1, 3), np.uint8))
        fit = fit or SmplFit("", np.zeros((24, 3)), np.zeros(10), np.zeros(3), 0.0)
        example = {
            "vertices": scan.vertices * np.float32(unit),
            "colors": scan.colors,
            "faces": scan.faces,
            "uv": scan.uv,
            "faces_uv": scan.faces_uv,
            "texture": texture,
            "metres_per_unit": np.float32(unit),
            "body": fit.body,
            "pose": fit.pose.astype(np.float32),
            "shape": fit.shape.astype(np.float32),
            "translation": (fit.translation * unit).astype(np.float32),
            "body_scale": np.float32(fit.scale * unit),
        }
        return [(record.name, example)]

    def _unit(self, vertices: np.ndarray, fit: SmplFit | None, path: Path) -> float:
        config = self.builder_config
        if config.metres_per_unit is not None:
            return config.metres_per_unit
        if config.layout == "pamir":
            return 1 / fit.scale
        return metres_per_unit(vertices, path)
