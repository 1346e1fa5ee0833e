"""From photographs alone to bodies on disk: found, estimated, refined, smoothed."""

import contextlib
import dataclasses
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import jax
import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from volhuman.body.model import pose_body
from volhuman.data.dense import read_dense
from volhuman.data.films import is_video, unpack_video
from volhuman.data.images import (
    Photograph,
    list_photographs,
    output_names,
    read_photograph,
)
from volhuman.data.keypoints import check_keypoints, read_keypoints
from volhuman.data.result_folders import check_replaceable
from volhuman.data.smpl_results import EstimatedPerson, read_smpl_results
from volhuman.deform_and_learn.body_config import BodyConfig
from volhuman.deform_and_learn.estimate import (
    Estimator,
    body_of_person,
    estimate_hypotheses,
    load_estimator,
    refine_bodies,
)
from volhuman.deform_and_learn.find_person import (
    WHOLE,
    find_person,
    parse_box,
    read_mask,
)
from volhuman.deform_and_learn.predict import (
    annotation_of,
    check_annotation_folders,
    exit_code,
    make_folder,
    observe,
)
from volhuman.deform_and_learn.registration import (
    KEYPOINTS_LATER,
    PAPER_LATER,
    RegistrationOptions,
    Unknowns,
    body_and_camera,
    take_body,
)
from volhuman.deform_and_learn.results import (
    FILES,
    body_record,
    photograph_record,
    write_body,
)
from volhuman.deform_and_learn.smooth_bodies import smooth_film, write_motion
from volhuman.errors import InputError
from volhuman.geometry.camera import Crop
from volhuman.render.animation import write_animation

HYPOTHESES = "hypotheses.json"
MOTION = "motion.npz"
FILM = "overlay"
# Frames a second of a folder of frames, and the longest side of the film of overlays.
_RATE = 25.0
_FILM_SIDE = 480
# A fit that begins near its goal needs no leap.
_REFINEMENT_RATE = 0.03
_REFINEMENT_STEPS = 300
# Keeps hands and feet within the mask (`RegisterConfig.silhouette`).
_SILHOUETTE = 5000.0


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """The bodies of one photograph.

    Attributes:
        path: The photograph.
        crop: The square around the person.
        centre: `(2,)` the middle of the photograph in pixels.
        bodies: `(K, ...)` in view units of the crop, the likeliest first.
        meta: What is to be recorded.
    """

    path: Path
    crop: Crop
    centre: np.ndarray
    bodies: Unknowns
    meta: dict


def estimate_photographs(config: BodyConfig) -> int:
    """Estimates the body in every photograph and writes `output/<stem>/`.

    A photograph that cannot be used is reported and skipped; nothing of it is written.
    A video, and with `smoothing` a folder, is a film: the photographs are its frames,
    and its motion is written as well, in the layout of AMASS.

    Returns:
        Exit code: 0 when all were done, 2 when any was refused.

    Raises:
        InputError: If nothing can be started at all.
    """
    if not config.input:
        raise InputError("there is no photograph; give --config.input=PHOTO")
    estimator = load_estimator(config.weights)
    with _open_photographs(config) as (photographs, rate):
        return _estimate_all(config, estimator, photographs, rate)


@contextlib.contextmanager
def _open_photographs(config: BodyConfig) -> Iterator[tuple[list[Path], float]]:
    """The photographs, and the frames a second if they are those of a film, else 0."""
    if is_video(config.input):
        with unpack_video(config.input, config.max_frames) as (frames, rate):
            # Some formats have no rate of frames, which reads as 0.
            yield frames, config.fps or rate or _RATE
        return
    photographs = list_photographs(config.input)
    if config.smoothing:
        photographs.sort(key=lambda path: _natural(path.name))
    yield photographs, (config.fps or _RATE) if config.smoothing else 0.0


def _estimate_all(
    config: BodyConfig, estimator: Estimator, photographs: list[Path], rate: float
) -> int:
    if len(photographs) > 1:
        check_annotation_folders(config)
        _check_bodies_folder(config)
    output = Path(config.output)
    names = output_names(photographs)
    if rate:
        _check_film(config, names)
    make_folder(output)
    refused = []
    done: dict[str, Found] = {}
    progress = tqdm(
        zip(photographs, names, strict=True),
        total=len(photographs),
        unit="photo",
        disable=None,
    )
    for path, name in progress:
        try:
            check_replaceable(
                output / name, {*FILES, HYPOTHESES}, overwrite=config.overwrite
            )
            photograph = read_photograph(path)
            found = _find_bodies(config, estimator, photograph)
            for warning in found.meta["warnings"]:
                progress.write(
                    f"volhuman: warning: {path.name}: {warning}", file=sys.stderr
                )
            if rate:
                done[name] = found
            else:
                folder = output / name
                progress.write(_write(config, estimator, folder, photograph, found))
        except InputError as error:
            progress.write(f"volhuman: {error}", file=sys.stderr)
            refused.append(name)
    if done:
        _write_film(config, estimator, done, names, rate)
    return exit_code(len(refused), len(names))


def _check_bodies_folder(config: BodyConfig) -> None:
    """Refuses one body for several photographs."""
    if config.bodies and not Path(config.bodies).is_dir():
        raise InputError(
            f"--config.bodies is {config.bodies}, which is no folder, but there are "
            "several photographs; give a folder with one file a photograph"
        )


def _check_film(config: BodyConfig, names: Iterable[str]) -> None:
    """Refuses a film of which anything exists: it is made from all of its frames."""
    if config.hypotheses > 1:
        raise InputError(
            f"--config.hypotheses is {config.hypotheses}, but a film has one body a "
            "frame; leave it out, or give photographs without --config.smoothing"
        )
    output = Path(config.output)
    for file in (MOTION, f"{FILM}.gif", f"{FILM}.mp4"):
        if (output / file).exists() and not config.overwrite:
            raise InputError(
                f"{output / file} exists already; add --config.overwrite=True or "
                "choose another --config.output"
            )
    for name in names:
        check_replaceable(
            output / name, {*FILES, HYPOTHESES}, overwrite=config.overwrite
        )


def _find_bodies(
    config: BodyConfig, estimator: Estimator, photograph: Photograph
) -> Found:
    path, shape = photograph.path, photograph.rgb.shape[:2]
    keypoints = dense = mask = None
    if config.keypoints:
        file = annotation_of(config.keypoints, path, ".json")
        keypoints = read_keypoints(file)
        check_keypoints(keypoints, shape, file)
    if config.dense:
        file = annotation_of(config.dense, path, ".json")
        dense = read_dense(file, estimator.model, shape)
    if config.mask:
        mask = read_mask(annotation_of(config.mask, path, ".png"), shape)
    crop, source = find_person(
        photograph,
        keypoints=keypoints,
        dense=dense,
        mask=mask,
        box=parse_box(config.box),
    )
    if config.bodies:
        person = _read_person(config, path, shape)
        body = body_of_person(person, estimator.model, crop)
        bodies = jax.tree.map(lambda leaf: leaf[None], body)
    else:
        bodies = estimate_hypotheses(estimator, photograph.rgb, crop, config.hypotheses)
    meta = photograph_record(photograph) | {"person_found_by": source, "refined": False}
    if source == "whole photograph" and not config.bodies:
        meta["warnings"].append(WHOLE)
    if config.refine and (keypoints is not None or dense is not None):
        try:
            observation = observe(
                estimator.model, crop, keypoints=keypoints, dense=dense, mask=mask
            )
        except InputError as error:
            raise InputError(
                f"{path}: {error}; give another --config.mask, or none"
            ) from error
        stage = KEYPOINTS_LATER if dense is None else PAPER_LATER
        if mask is not None:
            stage = dataclasses.replace(stage, silhouette=_SILHOUETTE)
        options = RegistrationOptions(
            stages=(stage,),
            steps=(_REFINEMENT_STEPS,),
            learning_rate=_REFINEMENT_RATE,
        )
        bodies, losses = refine_bodies(estimator.model, observation, bodies, options)
        if not np.isfinite(losses[0]):
            raise InputError(
                f"{path}: the refinement did not converge; check the annotation or add "
                "--config.refine=False"
            )
        meta["refined"] = True
    return Found(path, crop, np.array(shape[::-1]) / 2, bodies, meta)


def _read_person(config: BodyConfig, path: Path, shape) -> EstimatedPerson:
    file = annotation_of(config.bodies, path, ".npz")
    people = read_smpl_results(file, shape)
    if config.person >= len(people):
        raise InputError(
            f"{file}: holds {len(people)} people, there is no --config.person="
            f"{config.person}; count from 0"
        )
    return people[config.person]


def _write(
    config: BodyConfig,
    estimator: Estimator,
    folder: Path,
    photograph: Photograph,
    found: Found,
) -> str:
    """Writes the likeliest body, and records of all; returns a line of summary."""
    model = estimator.model
    first, *others = (
        body_and_camera(model, take_body(found.bodies, k))
        for k in range(len(found.bodies.log_scale))
    )
    extra = {}
    if others:
        # Compiled, as for `body.json`, so that the numbers are the same.
        pose = jax.jit(pose_body)
        posed = lambda params: jax.tree.map(np.asarray, pose(model, params))
        extra[HYPOTHESES] = {
            "bodies": [
                body_record(model, params, camera, found.crop, posed(params))
                for params, camera in (first, *others)
            ]
        }
    write_body(
        folder,
        config,
        model,
        photograph,
        found.crop,
        first,
        found.meta,
        extra=extra,
    )
    refined = ", refined" if found.meta["refined"] else ""
    return f"{folder}: person found by {found.meta['person_found_by']}{refined}"


def _write_film(
    config: BodyConfig,
    estimator: Estimator,
    done: dict[str, Found],
    names: list[str],
    rate: float,
) -> None:
    """Smooths the likeliest bodies over time and writes them and their motion.

    Where a frame was refused, the motion and the film of overlays hold the one before,
    or at their beginning the first, so that they keep time.
    """
    output = Path(config.output)
    # A turntable a frame would take longer than all the rest.
    config = dataclasses.replace(config, turntable_frames=0)
    shown = _hold(names, done)
    film = [done[name] for name in shown]
    crops = [found.crop for found in film]
    bodies = [take_body(found.bodies, 0) for found in film]
    if config.smoothing:
        bodies = smooth_film(bodies, crops, config.smoothing)
    for name, found in done.items():
        body = bodies[names.index(name)]
        alone = jax.tree.map(lambda leaf: leaf[None], body)
        single = dataclasses.replace(found, bodies=alone)
        photograph = read_photograph(found.path)
        print(_write(config, estimator, output / name, photograph, single))
    path = output / MOTION
    centres = [found.centre for found in film]
    write_motion(path, estimator.model, bodies, crops, centres=centres, rate=rate)
    held = len(names) - len(done)
    print(f"{path}: {len(bodies)} frames" + (f", {held} held" if held else ""))
    try:
        files = write_animation(output, FILM, _overlays(output, shown), rate)
    except OSError as error:
        raise InputError(
            f"{output}: the film of overlays could not be written "
            f"({error.strerror or error}); make room and add --config.overwrite=True"
        ) from error
    for path in files:
        print(f"{path}: the overlays as a film")


def _hold(names: list[str], done: Iterable[str]) -> list[str]:
    """For every name the last one that is done, and for the first ones the first."""
    last, held = next(iter(done)), []
    for name in names:
        last = name if name in done else last
        held.append(last)
    return held


def _overlays(output: Path, names: Iterable[str]) -> Iterator[np.ndarray]:
    """The overlays of the frames, all in the size of the first, not too large."""
    size = None
    for name in names:
        with Image.open(output / name / "overlay.png") as picture:
            if size is None:
                share = min(1, _FILM_SIDE / max(picture.size))
                size = tuple(max(1, round(share * side)) for side in picture.size)
            yield np.asarray(ImageOps.pad(picture, size), np.float32) / 255


def _natural(name: str) -> list:
    """Sorts 2 before 10."""
    return [int(w) if w.isdigit() else w for w in re.split(r"(\d+)", name)]
