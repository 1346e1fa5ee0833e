"""Human3.6M, Protocol #1: bodies in its frames against motion capture.

Source: Yoshiyasu & Gamez, "Learning body shape and pose from dense correspondences",
section 6.2; the predicted skeleton gets the bone lengths of a canonical one (Zhou et
al. 2017), errors are relative to the pelvis, without Procrustes alignment.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from volhuman.body.keypoints import body_keypoints, landmark_vertices
from volhuman.body.model import pose_body, take_vertices
from volhuman.body.template import load_template
from volhuman.data.images import Photograph
from volhuman.data.loader import Source
from volhuman.data.photograph_crops import crop_photograph
from volhuman.data.sets.building import prepare, read_names
from volhuman.data.sets.files import need_folder
from volhuman.data.sets.human36m import ARCHIVES
from volhuman.deform_and_learn.body_config import BodyNetwork
from volhuman.deform_and_learn.find_person import find_person
from volhuman.deform_and_learn.measure_bodies import (
    MeasuredBodies,
    make_predict,
    rest_bodies,
)
from volhuman.deform_and_learn.poses_2d import joints_from_keypoints
from volhuman.deform_and_learn.registration import body_and_camera
from volhuman.deform_and_learn.regressor import split_outputs
from volhuman.errors import InputError
from volhuman.evaluation.poses import (
    H36M_PROTOCOL_1,
    H36M_PROTOCOL_1_14,
    PA_MPJPE,
    pose_error,
)
from volhuman.evaluation.protocol import Protocol, Score, summarize

_BATCH = 32
_NUM_RECORDINGS = 60  # two subjects, fifteen actions, two parts
_PROTOCOLS = {
    "MPJPE, 17 joints": H36M_PROTOCOL_1,
    "MPJPE, 14 joints": H36M_PROTOCOL_1_14,
    "PA-MPJPE, 17 joints": PA_MPJPE,
}


def open_human36m(folder: str | Path, data_dir: str | Path) -> Source:
    """Opens the test frames of Protocol #1, building the set where it is not built.

    The subjects of the test alone are enough, and so is a part of their recordings:
    the scores say how many there were.

    Args:
        folder: The user's files, in the form of folders or archives
            (`data.sets.human36m`).
        data_dir: Folder of all built data sets.

    Raises:
        InputError: If files are missing or broken, or the set that is built there is of
            other files.
    """
    folder = Path(folder)
    need_folder(folder, "it holds the recordings of Human3.6M")
    layout = "archive" if (folder / ARCHIVES["test"]).exists() else "folders"
    builder = prepare(
        "volhuman_human36m", folder, data_dir, layout=layout, complete=False
    )
    wanted = [frame.name for frame in builder.read_index(folder)["test"]]
    if read_names(builder).get("test", []) != wanted:
        raise InputError(
            f"{builder.data_dir}: was built from other files than those of {folder}; "
            "delete it, or give another --config.data_dir"
        )
    if not wanted:
        raise InputError(f"{folder}: holds no recording of the subjects 9 and 11")
    return builder.as_data_source("test")


def measure_human36m(
    network: BodyNetwork, variables: Mapping[str, Any] | None, frames: Source
) -> MeasuredBodies:
    """Estimates the body in every frame and compares 17 joints.

    Args:
        network: Sizes.
        variables: Of the regressor; None measures T-poses that face the camera.
        frames: Records with "image", "box", "keypoints", "joints", "subject" and
            "action".

    Returns:
        Errors in millimetres by protocol; the people are the recordings: subject and
        action.
    """
    predict = make_predict(network, variables) if variables is not None else rest_bodies
    rows, people = [], []
    for start in tqdm(range(0, len(frames), _BATCH), unit="batch", disable=None):
        stop = min(start + _BATCH, len(frames))
        batch = [frames[n] for n in range(start, stop)]
        people += [f"{frame['subject']} {_text(frame['action'])}" for frame in batch]
        # Filled up, so that one program serves all batches.
        batch += batch[-1:] * (_BATCH - len(batch))
        pictures = np.stack([_person(frame, network.image_size) for frame in batch])
        truth = 1000 * np.stack([frame["joints"] for frame in batch])
        errors = _errors(predict(pictures), truth)
        rows.append({n: np.asarray(e)[: stop - start] for n, e in errors.items()})
    values = {n: np.concatenate([row[n] for row in rows]) for n in rows[0]}
    data = (
        f"Human3.6M, Protocol #1, {len(people)} frames of {len(set(people))} of "
        f"{_NUM_RECORDINGS} recordings"
    )
    return MeasuredBodies(values, np.array(people), data)


def score_human36m(measured: MeasuredBodies) -> dict[str, Score]:
    """Means with intervals, clustered by recording, by column of a table."""
    scores = {}
    for name, values in measured.values.items():
        metric, variant = name.split(", ")
        aligned = metric == "PA-MPJPE"
        protocol = Protocol(
            metric=metric,
            variant=variant,
            unit="mm",
            higher_is_better=False,
            data=measured.data,
            body_source="picture and box",
            alignment="similarity" if aligned else "pelvis",
            extra={} if aligned else {"scale": "bones of the mean training skeleton"},
        )
        scores[protocol.label] = summarize(values, protocol, groups=measured.people)
    return scores


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _person(frame, size):
    """The picture `(size, size, 3)` of the person in a frame."""
    box = np.asarray(frame["box"], np.float64)
    if not box[2:].all():
        marked = frame["keypoints"].reshape(-1, 3)[:, :2]
        low, high = marked.min(0), marked.max(0)
        box = np.concatenate([low, high - low])
    rgb = np.asarray(frame["image"], np.float32) / 255
    photograph = Photograph(Path(f"frame {frame['frame']}"), rgb, None, ())
    crop, _ = find_person(photograph, box=tuple(box))
    return np.round(255 * crop_photograph(rgb, crop, size)).astype(np.uint8)


@jax.jit
def _errors(outputs, truth):
    """Errors `(B,)` of the regressor's numbers by protocol, in millimetres."""
    found = jax.vmap(_joints_17)(outputs)
    return {
        name: pose_error(found, truth, protocol)
        for name, protocol in _PROTOCOLS.items()
    }


def _joints_17(outputs):
    """`(17, 3)` millimetres in camera axes."""
    model = load_template()
    marks = take_vertices(model, landmark_vertices(model))
    params, camera = body_and_camera(marks, split_outputs(outputs, model.num_shape))
    posed = pose_body(marks, params)
    joints = joints_from_keypoints(body_keypoints(posed, posed.vertices))
    return 1000 * jnp.matmul(joints, camera.rotation.T, precision="highest")
