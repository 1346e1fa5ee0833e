"""Registration of a training set: bodies fitted to annotated pictures, in batches.

Batches are kept as files, so that a stopped registration continues after the last one.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from volhuman.body.model import BodyModel
from volhuman.body.template import load_template
from volhuman.data.loader import Source, source_name
from volhuman.data.npz_files import write_npz
from volhuman.data.sets.files import read_npz_array
from volhuman.deform_and_learn.fitted_people import make_reader
from volhuman.deform_and_learn.keypoint_depths import lift_keypoints
from volhuman.deform_and_learn.registration import (
    PAPER_FIRST,
    PAPER_LATER,
    RegistrationOptions,
    register,
    unknowns_of,
)
from volhuman.deform_and_learn.regressor import (
    NUM_OUTPUTS,
    join_outputs,
    split_outputs,
)
from volhuman.deform_and_learn.regressor_task import (
    joint_errors,
    observe,
    seen_joints,
)
from volhuman.errors import InputError
from volhuman.training.parallel import make_mesh, replicated, split

# (pictures `(B, S, S, 3)` uint8) -> `(B, 105)`.
Predict = Callable[[np.ndarray], jax.Array]
_FITS = ("fit", "fit_weight", "keypoint_depths", "depth_weights")
MEASURED = ("MPJPE", "PA-MPJPE", "flipped")
_DATA = "data"  # the name of the pictures
_INPUTS = ("keypoints", "keypoint_weights", "dense_points", "dense_vertices")
_INPUTS += ("dense_barycentric",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a training set is registered.

    Attributes:
        image_size: Side of the pictures that `predict` is given.
        batch_size: Registrations at a time.
        steps: Adam steps.
        num_starts: Starting yaws, without a prediction.
        num_people: Records to register, 0 for all.
        num_devices: Devices, 0 for all.
    """

    image_size: int
    batch_size: int
    steps: int
    num_starts: int = 4
    num_people: int = 0
    num_devices: int = 0


def fit_people(
    people: Source,
    folder: Path,
    options: FitOptions,
    *,
    lifter: Mapping[str, Any] | None,
    predict: Predict | None = None,
    earlier: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Fits a body to every record, continuing where an earlier run stood.

    Source: Yoshiyasu & Gamez, section 5: the first time from the T-pose with stiff
    weights, later from the network's results with loose ones. Where the fits before are
    given, each body also starts at its own, and the better result counts: a network
    that has learnt little does not spoil what was found.

    Args:
        people: Records of registrations.
        folder: Folder for the batches.
        options: How.
        lifter: Parameters of the depth GAN; None registers without depths.
        predict: The network, where there is one already.
        earlier: `(N, 105)` the fits of the round before, to start at besides.

    Returns:
        What `FittedPeople` needs, and "MPJPE", "PA-MPJPE" and "flipped" `(N,)` of the
        fits, which nothing learns from.

    Raises:
        InputError: If a record or a batch that was kept is damaged, or the folder
            cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fit = _compile(options, lifter, predict is not None)
    for numbers in tqdm(_batches(people, options), unit="batch", disable=None):
        path = _part(folder, numbers)
        if not path.exists():
            starts = None if earlier is None else earlier[numbers.start : numbers.stop]
            found = _fit_batch(people, numbers, options, fit, predict, starts)
            found[_DATA] = np.array(source_name(people))
            write_npz(path, found, option="workdir")
    return read_fits(people, folder, options)


def read_fits(
    people: Source, folder: Path, options: FitOptions
) -> dict[str, np.ndarray]:
    """Reads what `fit_people` wrote.

    Args:
        people: Records of registrations.
        folder: Folder of the batches.
        options: How they were fitted.

    Raises:
        InputError: If a batch is missing, damaged, or of other options or pictures.
    """
    parts = []
    for numbers in _batches(people, options):
        path = _part(folder, numbers)
        if not path.exists():
            raise InputError(
                f"{path}: there is no such file; the fits of this round are not "
                "complete: delete the folder of the round to make it again"
            )
        part = {name: read_npz_array(path, name) for name in (*_FITS, *MEASURED)}
        _check_part(path, part, len(numbers))
        found = str(read_npz_array(path, _DATA))
        if found != source_name(people):
            raise InputError(
                f"{path}: holds fits to {found}, expected {source_name(people)}; give "
                "the fits of these pictures, or another workdir"
            )
        parts.append(part)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _check_part(path: Path, part: Mapping[str, np.ndarray], count: int) -> None:
    """Refuses arrays that no network can learn from."""
    shape = (count, NUM_OUTPUTS)
    if part["fit"].shape != shape:
        raise InputError(
            f"{path}: fits have the shape {part['fit'].shape}, expected {shape}; it "
            "belongs to other options: give another workdir"
        )
    for name, array in part.items():
        if len(array) != count or not np.isfinite(array).all():
            raise InputError(
                f"{path}: {name} does not hold finite numbers for {count} pictures; "
                "delete the file to have them fitted again"
            )


def _batches(people: Source, options: FitOptions) -> list[range]:
    """Numbers of the records of each batch."""
    count = min(options.num_people or len(people), len(people))
    starts = range(0, count, options.batch_size)
    return [range(n, min(n + options.batch_size, count)) for n in starts]


def _part(folder: Path, numbers: range) -> Path:
    return folder / f"from_{numbers.start:07d}.npz"


def _fit_batch(
    people, numbers, options, fit, predict, earlier
) -> dict[str, np.ndarray]:
    read = make_reader(options.image_size)
    examples = [read(people[n], np.random.default_rng(n)) for n in numbers]
    # Filled up, so that one program serves all batches.
    filled = examples + [examples[-1]] * (options.batch_size - len(examples))
    batch = {
        name: np.stack([e[name] for e in filled])
        for name in (*_INPUTS, "image", "joints")
    }
    images, joints = batch.pop("image"), batch.pop("joints")
    if predict is None:
        found = fit(batch)
    else:
        starts = [np.asarray(predict(images))]
        if earlier is not None:
            starts.append(np.concatenate([earlier, starts[0][len(earlier) :]]))
        found = fit(batch, np.stack(starts, axis=1))
    errors = joint_errors(_seen(found["fit"]), joints)
    return {
        name: np.asarray(array, np.float32)[: len(examples)]
        for name, array in (found | errors).items()
    }


_seen = jax.jit(jax.vmap(seen_joints))


def _compile(options: FitOptions, lifter, has_prediction: bool):
    """The registration of a batch, spread over the devices."""
    stages = PAPER_LATER if has_prediction else PAPER_FIRST
    how = RegistrationOptions(
        stages=(stages,),
        steps=(options.steps,),
        num_starts=options.num_starts,
    )
    mesh = make_mesh(options.num_devices)
    if options.batch_size % mesh.size:
        raise InputError(
            f"register_batch is {options.batch_size}, expected a multiple of the "
            f"{mesh.size} devices"
        )
    whole, parts = replicated(mesh), split(mesh)

    def fit(lifter, batch, *initial):
        of_one = functools.partial(_fit_one, load_template(), how, lifter)
        return jax.vmap(of_one)(batch, *initial)

    shardings = (whole, parts, parts) if has_prediction else (whole, parts)
    compiled = jax.jit(fit, in_shardings=shardings, out_shardings=parts)
    return functools.partial(compiled, lifter)


def _fit_one(model: BodyModel, how, lifter, example, outputs=None):
    depths = depth_weights = jnp.zeros(len(example["keypoints"]))
    if lifter is not None:
        depths, depth_weights = lift_keypoints(
            lifter, example["keypoints"], example["keypoint_weights"]
        )
    example = example | {"keypoint_depths": depths, "depth_weights": depth_weights}
    initial = None if outputs is None else split_outputs(outputs, model.num_shape)
    found = register(model, observe(example), how, initial)
    fit = join_outputs(unknowns_of(found))
    sound = jnp.isfinite(found.loss) & jnp.isfinite(fit).all()
    return {
        "fit": jnp.where(sound, fit, 0.0),
        "fit_weight": sound.astype(jnp.float32),
        "keypoint_depths": depths,
        "depth_weights": depth_weights,
    }
