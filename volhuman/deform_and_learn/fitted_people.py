"""Annotated pictures of people for the regressor, with the bodies fitted to them.

Everything is in view units of the picture: x right, y down, z away from the camera, 0
at the pelvis.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from PIL import Image

from volhuman.body.keypoints import (
    COCO17,
    KEYPOINT_INDEX,
    KEYPOINT_NAMES,
    LANDMARK_NAMES,
    MID_POINTS,
)
from volhuman.body.skeleton import NUM_JOINTS
from volhuman.body.template import load_template
from volhuman.data.loader import Loader, Source, make_loader

# What people mark in pictures; the joints of the spine cannot be seen.
ANNOTATED = (*COCO17, "head_top")
# Dense correspondences of a picture that are used.
NUM_DENSE = 128
FIT_FIELDS = ("fit", "fit_weight")
FIELDS = ("image", "keypoints", "keypoint_weights", "dense_points", "dense_vertices")
FIELDS += ("dense_barycentric", "joints", "true_keypoints", "person")


class FittedPeople:
    """Records with the body that was fitted to each.

    Attributes:
        fits: "fit" `(N, 105)` numbers of `regressor.join_outputs`, "fit_weight" `(N,)`
            0 where no body could be fitted, "keypoint_depths" and "depth_weights"
            `(N, K)`.
    """

    def __init__(self, people: Source, fits: Mapping[str, np.ndarray]):
        self._people, self.fits = people, fits

    def __len__(self) -> int:
        return len(self.fits["fit"])

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._people[index] | {n: a[index] for n, a in self.fits.items()}


def make_reader(size: int, *, keep: tuple[str, ...] = ()):
    """Makes the `transform` of a loader of registrations.

    Args:
        size: Side of the pictures that the network sees.
        keep: Fields of the records that are kept beside `FIELDS`.

    Returns:
        Function of a record and a generator; it returns "image" `(size, size, 3)`
        uint8; "keypoints" `(K, 2)` and "keypoint_weights" `(K,)` in the order of
        `KEYPOINT_NAMES`, with what people would mark; "dense_points" `(N, 2)`,
        "dense_vertices" and "dense_barycentric" `(N, 3)`, drawn from the annotated
        ones; and, to measure with alone, "joints" `(24, 3)` millimetres in camera axes,
        "true_keypoints" `(K, 3)`, and "person".
    """
    faces = np.asarray(load_template().faces)
    return lambda record, generator: _read(record, generator, faces, size, keep)


def read_once(
    people: Source, size: int, fields: Collection[str], *, batch_size: int
) -> Loader:
    """Reads all records once, in their order.

    Args:
        people: Records of registrations.
        size: Side of the pictures that the network sees.
        fields: Those of `FIELDS` that are wanted.
        batch_size: Records a batch; the last one may be shorter.
    """
    read = make_reader(size)

    def transform(record, generator):
        example = read(record, generator)
        return {name: example[name] for name in fields}

    return make_loader(
        people,
        batch_size=batch_size,
        seed=0,
        num_epochs=1,
        shuffle=False,
        transform=transform,
    )


def _read(record, generator, faces, size, keep):
    side = record["image"].shape[0]
    view = lambda pixels: (np.asarray(pixels) * (2 / side)).astype(np.float32)
    marked = _keypoints(view(record["joints"]), view(record["landmarks"]))
    marked[:, :2] -= 1
    count = len(record["dense_face"])
    chosen = generator.permutation(count)[np.arange(NUM_DENSE) % count]
    turned = record["camera_rotation"] @ record["joints_body"].T
    return {name: record[name] for name in keep} | {
        "image": _smaller(record["image"], size),
        "keypoints": marked[:, :2],
        "keypoint_weights": _WEIGHTS,
        "dense_points": view(record["dense_pixels"][chosen]) - 1,
        "dense_vertices": faces[record["dense_face"][chosen]],
        "dense_barycentric": record["dense_barycentric"][chosen],
        "joints": (1000 * turned.T).astype(np.float32),
        "true_keypoints": marked,
        "person": record["person"],
    }


def _keypoints(joints, landmarks):
    """`(K, 3)` in the order of `KEYPOINT_NAMES`."""
    model = load_template()
    points = np.zeros((len(KEYPOINT_NAMES), 3), np.float32)
    points[:NUM_JOINTS] = joints
    for name in LANDMARK_NAMES:
        points[KEYPOINT_INDEX[name]] = landmarks[model.landmark_names.index(name)]
    for name, ends in MID_POINTS.items():
        points[KEYPOINT_INDEX[name]] = np.mean(
            [points[KEYPOINT_INDEX[end]] for end in ends], axis=0
        )
    return points


def _weights() -> np.ndarray:
    weights = np.zeros(len(KEYPOINT_NAMES), np.float32)
    weights[[KEYPOINT_INDEX[name] for name in ANNOTATED]] = 1
    return weights


_WEIGHTS = _weights()


def _smaller(image: np.ndarray, size: int) -> np.ndarray:
    if len(image) == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BOX))
