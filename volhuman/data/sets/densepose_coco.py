"""DensePose-COCO: 50,000 people of COCO 2014 with dense correspondences.

Splits have the names of the annotation files: `train`, and the two halves of COCO's
validation pictures, `minival` (on which results are published) and `valminusminival`.
"""

from pathlib import Path
from typing import ClassVar

from volhuman.data.sets.densepose_builder import DensePoseBuilder


class DensePoseCoco(DensePoseBuilder):
    """Builder of DensePose-COCO."""

    name = "volhuman_densepose_coco"
    TITLE = "DensePose-COCO"
    HOMEPAGE = "http://densepose.org"
    LICENSE = "Annotations CC BY-NC 4.0; pictures under COCO's terms."
    LAYOUTS: ClassVar = {
        "official": "densepose_coco_2014_<split>.json and the pictures in train2014 "
        "and val2014"
    }
    ANNOTATIONS: ClassVar = {
        "train": "densepose_coco_2014_train.json",
        "valminusminival": "densepose_coco_2014_valminusminival.json",
        "minival": "densepose_coco_2014_minival.json",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Download the annotations from http://densepose.org (CC BY-NC 4.0) and the pictures
    of 2014 from https://cocodataset.org, and lay them out as

        densepose_coco_2014_train.json  densepose_coco_2014_valminusminival.json
        densepose_coco_2014_minival.json
        train2014/COCO_train2014_000000000036.jpg ...
        val2014/COCO_val2014_000000000192.jpg ...
    """

    def picture_path(self, folder: Path, file_name: str) -> Path:
        """Returns the path in `train2014` or `val2014`, which the name tells."""
        part = "train2014" if "train2014" in file_name else "val2014"
        return folder / part / Path(file_name).name
