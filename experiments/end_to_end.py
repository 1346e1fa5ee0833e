"""Measures reposing with estimated joints in place of the true ones.

Command: python experiments/end_to_end.py --data_dir=data
Hardware and time: one CPU core, two minutes.
Expected: a table of the test pairs reposed with true joints, with joints of the body
estimator for the source, and for source and target both; and their differences pair by
pair. People are found by their masks.
"""

import dataclasses
from pathlib import Path

import jax
import numpy as np
from absl import app, flags

from volhuman.body.model import pose_body, take_vertices
from volhuman.data.images import Photograph
from volhuman.data.loader import Source, open_people
from volhuman.deform_and_learn.estimate import (
    Estimator,
    estimate_body,
    load_estimator,
)
from volhuman.deform_and_learn.find_person import find_person
from volhuman.deform_and_learn.registration import body_and_camera
from volhuman.evaluation.pose_estimator import load_pose_estimator
from volhuman.evaluation.protocol import NotAvailable
from volhuman.evaluation.report import markdown, write_table
from volhuman.evaluation.tables import make_table
from volhuman.geometry.camera import Crop
from volhuman.render.shading import screen_points
from volhuman.repose.evaluate import perfect
from volhuman.repose.measure import measure_pairs, score_cells
from volhuman.repose.weights import load_generator

_DATA = flags.DEFINE_string("data_dir", "data", "Folder of the data sets.")
_PEOPLE = flags.DEFINE_integer(
    "num_people", 0, "People in the set; 0 for the only one."
)
_OUTPUT = flags.DEFINE_string("output", "output/end_to_end", "Folder for the table.")
_BODY = flags.DEFINE_string("body", "", "Body weights; empty for the package's.")
_REPOSE = flags.DEFINE_string("repose", "", "Generator weights, likewise.")


class EstimatedPairs:
    """Pairs whose joints are those of the estimator, at some of their ends."""

    def __init__(self, pairs: Source, estimator: Estimator, ends: tuple[str, ...]):
        self._pairs, self._estimator, self._ends = pairs, estimator, ends
        self.dataset_info, self.split = pairs.dataset_info, pairs.split

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> dict:
        record = dict(self._pairs[index])
        for end in self._ends:
            mask = record[f"mask_{end}"] > 127
            found = estimate_joints(self._estimator, record[f"image_{end}"], mask)
            record[f"joints_{end}"] = found
        return record


def estimate_joints(
    estimator: Estimator, image: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    """Joints `(24, 3)` in pixels of a picture, the pelvis at depth 0."""
    rgb = image.astype(np.float32) / 255
    crop, _ = find_person(Photograph(Path("pair"), rgb, None, ()), mask=mask)
    body = estimate_body(estimator, rgb, crop)
    small = take_vertices(estimator.model, np.zeros(1, np.int32))
    params, camera = body_and_camera(small, body)
    joints = np.asarray(_pose(small, params))
    pixels = screen_points(joints, camera, Crop(crop.centre, crop.size))
    pixels = pixels * [1, 1, float(crop.size) / 2]
    pixels[:, 2] -= pixels[0, 2]
    return pixels.astype(np.float32)


_pose = jax.jit(lambda model, params: pose_body(model, params).joints)


def main(_) -> None:
    """Measures and prints."""
    network, params = load_generator(_REPOSE.value)
    estimator, label = load_pose_estimator()
    body = load_estimator(_BODY.value)
    pairs = open_people(
        _DATA.value,
        "pairs",
        "test",
        size=network.image_size,
        num_people=_PEOPLE.value or None,
    )
    arms = {
        "true joints": (),
        "estimated joints of the source": ("source",),
        "estimated joints of source and target": ("source", "target"),
    }
    measured = {
        name: measure_pairs(
            network, params, EstimatedPairs(pairs, body, ends), estimator
        )
        for name, ends in arms.items()
    }
    measured["source picture, unchanged"] = measure_pairs(
        network, None, pairs, estimator
    )
    table = make_table(
        "Reposing from two photographs",
        {name: score_cells(m, estimator=label) for name, m in measured.items()},
        truth=score_cells(perfect(measured["true joints"]), estimator=label),
        bare_body=NotAvailable("not applicable", "pictures are compared, not bodies"),
    )
    write_table(Path(_OUTPUT.value), table, overwrite=True)
    print(markdown(table))
    truth = measured.pop("true joints")
    for name, other in measured.items():
        gaps = {n: other.values[n] - truth.values[n] for n in truth.values}
        cells = score_cells(dataclasses.replace(truth, values=gaps))
        shown = ", ".join(
            f"{column} {s.value:+.3f} ({s.low:+.3f} to {s.high:+.3f})"
            for column, s in cells.items()
        )
        print(f"{name}, minus true joints: {shown}")


if __name__ == "__main__":
    app.run(main)
