"""The rounds of deform-and-learn: lift, deform, learn, measure, and again.

A round trains the depth GAN on 2D poses, fits bodies to all training pictures with its
depths, and trains the regressor on the fits; the next one begins its fits at the
regressor's results.

Source: Yoshiyasu & Gamez, "Learning body shape and pose from dense correspondences",
section 5. What the depth GAN learns from in later rounds is not published; here it sees
the annotated 2D poses and, as often, the fitted bodies from new sides.
"""

import dataclasses
import functools
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volhuman.body.keypoints import body_keypoints, landmark_vertices
from volhuman.body.model import pose_body, take_vertices
from volhuman.body.template import load_template
from volhuman.data.json_files import read_json
from volhuman.data.loader import Source, make_loader, open_people
from volhuman.data.result_folders import replace_file
from volhuman.deform_and_learn.body_config import NETWORKS, BodyConfig, training_options
from volhuman.deform_and_learn.depth_config import DepthGanConfig
from volhuman.deform_and_learn.depth_measure import measure_on_pictures
from volhuman.deform_and_learn.depth_run import train_depth_gan
from volhuman.deform_and_learn.depth_weights import SHIPPED as DEPTH_WEIGHTS
from volhuman.deform_and_learn.depth_weights import load_depth_gan
from volhuman.deform_and_learn.fit_people import (
    MEASURED,
    FitOptions,
    fit_people,
    read_fits,
)
from volhuman.deform_and_learn.fitted_people import FittedPeople, make_reader, read_once
from volhuman.deform_and_learn.keypoint_depths import complete_keypoints
from volhuman.deform_and_learn.measure_bodies import make_predict, measure_people
from volhuman.deform_and_learn.poses_2d import joints_from_keypoints, view_joints
from volhuman.deform_and_learn.registration import body_and_camera
from volhuman.deform_and_learn.regressor import split_outputs
from volhuman.deform_and_learn.regressor_task import TRAINED, make_task
from volhuman.deform_and_learn.regressor_weights import load_regressor, save_regressor
from volhuman.deform_and_learn.round_report import write_rounds
from volhuman.errors import InputError
from volhuman.nn.resnet50 import load_resnet50
from volhuman.training.config import TrainOptions
from volhuman.training.export import read_weights_header
from volhuman.training.loop import load_state, steps_made, train
from volhuman.training.parallel import loader_options
from volhuman.training.workdir import keep_config

WEIGHTS = "regressor.safetensors"
_SCORES = "scores.json"
# What may differ when a training continues.
_CHANGEABLE = ("mode", "data_dir", "backbone", "rounds")
# What says where and how a training ran, and nothing about its weights.
_PLACES = {"mode", "data_dir", "backbone", "register_batch", "workdir", "num_devices"}
_PLACES |= {"log_every", "fits"}
# Pictures that are registered without depths too, to see what depths are worth.
_NUM_CONTROL = 256


def train_rounds(config: BodyConfig) -> None:
    """Runs all rounds, continuing where an earlier run stood.

    Writes into `workdir/round_N`: the depth GAN, the fits, `regressor.safetensors` and
    `scores.json`; and into `workdir`: `regressor.safetensors` of the last round,
    `rounds.csv` and `rounds.png`, the paper's figure 2.

    Raises:
        InputError: If an option, the data or a checkpoint cannot be used.
    """
    folder = Path(config.workdir)
    keep_config(
        folder,
        # The loop may go on for more steps, a round may not.
        training_options(config) | {"steps a round": config.steps},
        changeable=_CHANGEABLE,
        continues=(folder / "round_1").exists(),
    )
    people = {s: open_people_of(config, s) for s in ("train", "validation")}
    scores = []
    for number in range(1, config.rounds + 1):
        place = folder / f"round_{number}"
        place.mkdir(parents=True, exist_ok=True)
        if not ((place / _SCORES).exists() and (place / WEIGHTS).exists()):
            _run_round(config, number, people)
        scores.append(_read_scores(place / _SCORES))
        print(f"round {number}: {_summary(scores[-1])}", flush=True)
    last = folder / f"round_{config.rounds}" / WEIGHTS
    load_regressor(last)  # what is damaged replaces nothing
    replace_file(folder / WEIGHTS, last.read_bytes())
    write_rounds(folder, scores)
    digest = read_weights_header(folder / WEIGHTS).sha256
    print(f"{folder / WEIGHTS}: sha256 {digest}")


def _run_round(config: BodyConfig, number: int, people: Mapping[str, Source]) -> None:
    """One round; what of it is there already is kept."""
    place = Path(config.workdir) / f"round_{number}"
    folder, options = _fits_folder(config, number), _fit_options(config)
    predict, earlier, scores = None, None, {}
    if number > 1:
        before = place.with_name(f"round_{number - 1}")
        predict = make_predict(*load_regressor(before / WEIGHTS))
        earlier_folder = _fits_folder(config, number - 1)
        earlier = read_fits(people["train"], earlier_folder, options)
    if config.fits and number == 1:
        fits = read_fits(people["train"], folder, options)
    else:
        register = functools.partial(
            fit_people,
            people["train"],
            predict=predict,
            earlier=None if earlier is None else earlier["fit"],
        )
        lifter = None
        if config.depths == "gan":
            lifter = _train_lifter(config, place, people["train"], earlier)
        fits = register(folder, options, lifter=lifter)
        if lifter is not None:
            lifted = measure_on_pictures(lifter, people["validation"])
            scores["depth GAN MPJPE"] = float(lifted["MPJPE"].mean())
            scores |= _without_depths(place, options, fits, register)
    scores |= {f"registration {n}": float(np.mean(fits[n])) for n in MEASURED}
    if not (place / WEIGHTS).exists():
        _check_not_beyond(config, place / WEIGHTS, number)
        _train_regressor(config, number, FittedPeople(people["train"], fits))
        _export(config, place / WEIGHTS)
    network, variables = load_regressor(place / WEIGHTS)
    measured = measure_people(network, variables, people["validation"])
    scores |= {f"test {n}": float(np.mean(measured.values[n])) for n in MEASURED}
    scores |= {"round": number, "steps": number * config.steps}
    replace_file(place / _SCORES, (json.dumps(scores, indent=1) + "\n").encode())


def open_people_of(config: BodyConfig, split: str) -> Source:
    """Opens a split of the pictures of a configuration."""
    return open_people(
        config.data_dir,
        "registrations",
        split,
        size=config.size or None,
        num_people=config.num_people or None,
        encoded=("iuv",),
    )


# -- lift


def _train_lifter(config, place, people, earlier):
    """Trains the depth GAN of a round; returns its parameters."""
    workdir = place / "depth_gan"
    if not (workdir / DEPTH_WEIGHTS).exists():
        poses = place / "poses_2d.npy"
        content = io.BytesIO()
        np.save(content, _poses_2d(config, people, earlier))
        replace_file(poses, content.getvalue())
        train_depth_gan(
            DepthGanConfig(
                workdir=str(workdir),
                poses=str(poses),
                width=config.depth_width,
                steps=config.depth_steps,
                learning_rate=1e-3,
                seed=config.seed,
                evaluate_every=0,
                save_every=config.depth_steps,
                num_devices=1,
            )
        )
    return load_depth_gan(workdir / DEPTH_WEIGHTS)


def _poses_2d(config, people, earlier) -> np.ndarray:
    """2D poses `(N, 17, 2)` of the training pictures, and of their fitted bodies."""
    size = NETWORKS[config.network].image_size
    fields = ("keypoints", "keypoint_weights")
    batches = list(read_once(people, size, fields, batch_size=64))
    marked = [np.concatenate([batch[name] for batch in batches]) for name in fields]
    filled, complete = jax.vmap(complete_keypoints)(*marked)
    poses = np.asarray(joints_from_keypoints(filled))[np.asarray(complete)]
    if earlier is None:
        return poses
    fitted = earlier["fit"][earlier["fit_weight"] > 0]
    joints = np.asarray(jax.jit(jax.vmap(_body_joints))(fitted))
    seen = view_joints(np.random.default_rng(config.seed), joints, lean=False)
    return np.concatenate([poses, seen[..., :2]])


def _body_joints(outputs):
    """The 17 joints `(17, 3)` in upright body axes: as its camera saw it, y up."""
    model = load_template()
    marks = take_vertices(model, landmark_vertices(model))
    params, camera = body_and_camera(marks, split_outputs(outputs, model.num_shape))
    posed = pose_body(marks, params)
    joints = joints_from_keypoints(body_keypoints(posed, posed.vertices))
    turned = jnp.matmul(joints - joints[:1], camera.rotation.T, precision="highest")
    return turned * jnp.array([1.0, -1.0, -1.0])


# -- deform


def _fits_folder(config: BodyConfig, number: int) -> Path:
    if config.fits and number == 1:
        return Path(config.fits)
    return Path(config.workdir) / f"round_{number}" / "fits"


def _fit_options(config: BodyConfig) -> FitOptions:
    return FitOptions(
        image_size=NETWORKS[config.network].image_size,
        batch_size=config.register_batch,
        steps=config.register_steps,
        num_starts=config.register_starts,
        num_people=config.num_fitted,
        num_devices=config.num_devices,
    )


def _without_depths(
    place: Path, options: FitOptions, fits: Mapping[str, np.ndarray], register: Callable
) -> dict[str, float]:
    """What the registration of some pictures gives with and without depths."""
    count = min(_NUM_CONTROL, len(fits["fit"]))
    fewer = dataclasses.replace(options, num_people=count)
    control = register(place / "fits_without_depths", fewer, lifter=None)
    return {
        f"{name} of {count}, {label}": float(np.mean(found[name][:count]))
        for label, found in (("with depths", fits), ("without depths", control))
        for name in ("MPJPE", "flipped")
    }


# -- learn


def _train_regressor(config: BodyConfig, number: int, fitted: FittedPeople) -> None:
    options = TrainOptions(
        workdir=str(Path(config.workdir) / "regressor"),
        steps=number * config.steps,
        batch_size=config.batch_size,
        seed=config.seed,
        save_every=config.save_every,
        log_every=config.log_every,
        num_devices=config.num_devices,
    )
    read = make_reader(
        NETWORKS[config.network].image_size, keep=tuple(fitted.fits.keys() & TRAINED)
    )

    def transform(record, generator):
        example = read(record, generator)
        return {name: example[name] for name in TRAINED}

    weights = fitted.fits["fit_weight"][:, None]
    mean = (weights * fitted.fits["fit"]).sum(0) / max(weights.sum(), 1)
    backbone = load_resnet50(config.backbone) if config.backbone else None
    train(
        make_task(config, steps=_all_steps(config), mean=mean, backbone=backbone),
        make_loader(fitted, transform=transform, **loader_options(options)),
        options,
        config=training_options(config),
        changeable=_CHANGEABLE,
    )


def _all_steps(config: BodyConfig) -> int:
    return config.rounds * config.steps


def _check_not_beyond(config: BodyConfig, path: Path, number: int) -> None:
    """Refuses to make the weights of a round from the state of a later one."""
    made = steps_made(Path(config.workdir) / "regressor")
    if made > number * config.steps:
        raise InputError(
            f"{path}: is missing, and the training stands at step {made}, beyond round "
            f"{number}; give another --config.workdir to train again"
        )


def _export(config: BodyConfig, path: Path) -> None:
    """Writes the averaged parameters of the newest checkpoint, the end of a round."""
    task = make_task(config, steps=_all_steps(config))
    step, state = load_state(task, Path(config.workdir) / "regressor")
    options = training_options(config)
    save_regressor(
        path,
        NETWORKS[config.network],
        {"params": state["average"], "batch_stats": state["batch_stats"]},
        config={n: options[n] for n in options.keys() - _PLACES}
        | {"round": step // config.steps},
        step=step,
    )


def _read_scores(path: Path) -> dict[str, float]:
    """The scores of a finished round."""
    try:
        scores = read_json(path)
    except InputError:
        scores = None
    if not (
        isinstance(scores, dict)
        and "round" in scores
        and all(isinstance(value, int | float) for value in scores.values())
    ):
        raise InputError(
            f"{path}: not the scores of a round; delete the file to have the round "
            "measured again"
        )
    return scores


def _summary(scores: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {scores[name]:.3g}" for name in scores if name not in ("round",)
    )
