"""The systems together: what one of them needs of another is handed over here."""

import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np

from volhuman.body.model import pose_body
from volhuman.data.images import read_photograph
from volhuman.deform_and_learn.estimate import estimate_body, load_estimator
from volhuman.deform_and_learn.find_person import WHOLE, find_person
from volhuman.deform_and_learn.registration import body_and_camera
from volhuman.deform_and_learn.results import body_record

_load_estimator = functools.cache(load_estimator)


def body_of_photograph(path: str | Path) -> dict[str, Any]:
    """Estimates the body of the one person in a photograph.

    The person is found by what is opaque in the file; without transparency the whole
    photograph is taken.

    Args:
        path: The photograph.

    Returns:
        What `body.json` holds: parameters, camera, crop, joints; and "warnings", a
        list of sentences.

    Raises:
        InputError: If the photograph cannot be used.
    """
    photograph, estimator = read_photograph(path), _load_estimator()
    crop, found_by = find_person(photograph)
    warnings = [WHOLE] if found_by == "whole photograph" else []
    found = estimate_body(estimator, photograph.rgb, crop)
    params, camera = body_and_camera(estimator.model, found)
    posed = jax.tree.map(np.asarray, pose_body(estimator.model, params))
    record = body_record(estimator.model, params, camera, crop, posed)
    return record | {"warnings": warnings}
