"""DensePose-PoseTrack: people in videos of PoseTrack with dense correspondences.

Only the pictures with dense annotations are read. The key points are PoseTrack's 17,
which differ from COCO's; the metadata name them.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from volhuman.data.sets.building import array, text
from volhuman.data.sets.densepose import DensePerson
from volhuman.data.sets.densepose_builder import DensePoseBuilder
from volhuman.data.sets.files import need_key, number_array
from volhuman.errors import InputError


class DensePosePoseTrack(DensePoseBuilder):
    """Builder of DensePose-PoseTrack; the test annotations are not public."""

    name = "volhuman_densepose_posetrack"
    TITLE = "DensePose-PoseTrack"
    HOMEPAGE = "https://posetrack.net"
    LICENSE = "CC BY-NC 4.0; videos under PoseTrack's terms."
    LAYOUTS: ClassVar = {
        "official": "densepose_only_posetrack_<train or val>2017.json and images/"
    }
    ANNOTATIONS: ClassVar = {
        "train": "densepose_only_posetrack_train2017.json",
        "validation": "densepose_only_posetrack_val2017.json",
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Register at https://posetrack.net for the pictures, download the annotations that
    http://densepose.org links to (CC BY-NC), and lay them out as

        densepose_only_posetrack_train2017.json
        densepose_only_posetrack_val2017.json
        images/<bonn, mpii, ...>/<video>/<frame>.jpg
    """

    def picture_path(self, folder: Path, file_name: str) -> Path:
        """Returns the path below `images`, with which some names begin."""
        return folder / "images" / Path(file_name.removeprefix("images/"))

    def extra_features(self) -> dict[str, Any]:
        """Returns track, video, and the regions in which people are not annotated."""
        return {
            "track_id": tfds.features.Scalar(np.int64, doc="Person in the video."),
            "video": text("Video."),
            "frame_id": tfds.features.Scalar(np.int64, doc="Picture of the video."),
            "ignore_regions": array(
                "Corners of polygons: number of the polygon, x, y in pixels.", (None, 3)
            ),
        }

    def extra_values(self, person: DensePerson) -> dict[str, Any]:
        """Reads them."""
        path, image = person.index, person.image.entry
        place = f"image {person.image.number}"
        return {
            "track_id": need_key(person.entry, "track_id", int, path, person.place),
            "video": str(need_key(image, "vid_id", (str, int), path, place)),
            "frame_id": need_key(image, "frame_id", int, path, place),
            "ignore_regions": read_regions(image, path, place),
        }


def read_regions(image: dict, path: Path, place: str) -> np.ndarray:
    """Reads the regions of a picture: `(N, 3)` number of the polygon, x, y.

    A single polygon stands in some files without the list around it.

    Raises:
        InputError: If x and y do not belong together.
    """
    columns = []
    for key in ("ignore_regions_x", "ignore_regions_y"):
        polygons = need_key(image, key, list, path, place) if key in image else []
        if polygons and not isinstance(polygons[0], list):
            polygons = [polygons]
        columns.append(polygons)
    rows = [np.zeros((0, 3), np.float32)]
    if len(columns[0]) != len(columns[1]):
        raise InputError(f"{path}: {place} has ignored regions without x or y")
    for number, (x, y) in enumerate(zip(*columns)):
        x = number_array(x, (None,), path, f"an ignored region of {place}")
        y = number_array(y, (len(x),), path, f"an ignored region of {place}")
        rows.append(np.stack([np.full_like(x, number), x, y], 1))
    return np.concatenate(rows)
