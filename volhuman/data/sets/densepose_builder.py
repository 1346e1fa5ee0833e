"""The builder that the sets with DensePose's annotations share."""

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
)
from volhuman.data.sets.densepose import (
    MASK_PARTS,
    MASK_SIZE,
    PLACE_SCALES,
    SURFACE_PARTS,
    DensePerson,
    read_annotation,
    read_dense_index,
)
from volhuman.data.sets.files import need_file
from volhuman.data.sets.pictures import read_picture
from volhuman.errors import InputError

NUM_KEYPOINTS = 17


@dataclasses.dataclass(eq=False, kw_only=True)
class DensePoseConfig(SetConfig):
    """Options of the sets with DensePose's annotations.

    Attributes:
        scale: What places in the box are divided by: 256 as in Detectron 2, or 255 as
            in the notebooks of the first release.
    """

    scale: int = 256

    def __post_init__(self):
        if self.scale not in PLACE_SCALES:
            raise InputError(f"scale is {self.scale}, expected 256 or 255")
        super().__post_init__()

    def option_words(self) -> list[str]:
        """Returns the scale, where it is not the usual one."""
        return [] if self.scale == PLACE_SCALES[0] else [f"by{self.scale}"]


class DensePoseBuilder(SetBuilder, skip_registration=True):
    """Base of the builders: an example is a person; `ANNOTATIONS` names the files."""

    CONFIG = DensePoseConfig
    LAYOUTS: ClassVar = {}
    ANNOTATIONS: ClassVar[dict[str, str]]

    def picture_path(self, folder: Path, file_name: str) -> Path:
        """Returns where a picture that the JSON names lies."""
        raise NotImplementedError

    def extra_features(self) -> dict[str, Any]:
        """Returns features that only one of the sets has."""
        return {}

    def extra_values(self, person: DensePerson) -> dict[str, Any]:
        """Returns the values of `extra_features`."""
        return {}

    def set_features(self) -> dict[str, Any]:
        """Returns the features of a person."""
        return {
            "image": picture("The whole picture, RGB."),
            "image_id": tfds.features.Scalar(np.int64, doc="As in the annotations."),
            "box": array("Pixels x, y, width, height of the person.", (4,)),
            "positions": array("Pixels x, y of the points.", (None, 2)),
            "part": array("I, 1 to 24.", (None,), "int32"),
            "uv": array("U, V in [0, 1].", (None, 2)),
            "part_mask": packed(
                "Over the box, 0 to 14.", (MASK_SIZE, MASK_SIZE), "uint8"
            ),
            "keypoints": array("Pixels x, y, visibility 0 to 2.", (NUM_KEYPOINTS, 3)),
            **self.extra_features(),
        }

    def set_metadata(self) -> dict[str, Any]:
        """Returns the names of the parts."""
        return {
            "surface_parts": list(SURFACE_PARTS),
            "mask_parts": list(MASK_PARTS),
            "place_scale": self.builder_config.scale,
        }

    def read_index(self, folder: Path) -> dict[str, list[DensePerson]]:
        """Reads the annotations of every split."""
        splits, without = {}, {}
        for split, file_name in self.ANNOTATIONS.items():
            path = folder / file_name
            if not path.is_file() and not self.builder_config.complete:
                continue
            index = read_dense_index(
                need_file(path, f"get it from {self.HOMEPAGE}, or set complete=False")
            )
            if len(index.keypoint_names) != NUM_KEYPOINTS:
                raise InputError(
                    f"{path}: {len(index.keypoint_names)} key points are named, "
                    f"expected {NUM_KEYPOINTS}"
                )
            self.info.metadata["keypoint_names"] = list(index.keypoint_names)
            splits[split], without[split] = index.people, index.num_without
        self.info.metadata["people_without_dense_annotation"] = without
        return splits

    def make_examples(self, record: DensePerson):
        """Makes the example of a person."""
        annotation = read_annotation(
            record, NUM_KEYPOINTS, scale=self.builder_config.scale
        )
        path = self.picture_path(record.index.parent, record.image.file_name)
        example = {
            "image": read_picture(path, size=record.image.size),
            "image_id": record.image.number,
            **{
                field.name: getattr(annotation, field.name)
                for field in dataclasses.fields(annotation)
            },
            **self.extra_values(record),
        }
        return [(record.name, example)]
