"""From photographs and their annotations to fitted bodies on disk."""

import dataclasses
import functools
import sys
from importlib import resources
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import scipy.ndimage
from tqdm import tqdm

from volhuman.body.correspondence import SurfacePoints
from volhuman.body.keypoints import known_keypoints
from volhuman.body.model import BodyModel
from volhuman.body.template import load_smpl, load_template
from volhuman.data.dense import DensePoints, read_dense
from volhuman.data.images import (
    list_photographs,
    output_names,
    read_photograph,
)
from volhuman.data.keypoints import (
    Keypoints,
    check_keypoints,
    read_keypoints,
    sure_positions,
)
from volhuman.data.result_folders import check_replaceable
from volhuman.deform_and_learn.config import RegisterConfig
from volhuman.deform_and_learn.find_person import read_mask
from volhuman.deform_and_learn.registration import (
    KEYPOINTS_FIRST,
    KEYPOINTS_LATER,
    PAPER_FIRST,
    PAPER_LATER,
    Observation,
    RegistrationOptions,
    empty_observation,
    register,
)
from volhuman.deform_and_learn.results import FILES, write_results
from volhuman.errors import InputError
from volhuman.geometry.camera import Crop, crop_around, view_from_pixel
from volhuman.option_checks import check_ranges

# Dense points are padded to a multiple, so that photographs share a compiled fit.
_DENSE_MULTIPLE = 256
_MASK_SIZE = 128
_MASK_POINTS = 400


def register_photographs(config: RegisterConfig) -> int:
    """Fits a body to every photograph and writes `output/<stem>/`.

    A photograph that cannot be used is reported and skipped; nothing of it is written.

    Args:
        config: Options.

    Returns:
        Exit code: 0 when all were fitted, 2 when any was refused.

    Raises:
        InputError: If nothing can be started at all.
    """
    check_config(config)
    model = load_smpl(config.body) if config.body else load_template()
    with resources.as_file(resources.files("volhuman") / "assets") as assets:
        if not config.input:
            config = _bundled_example(config, assets)
        photographs = list_photographs(config.input)
        if len(photographs) > 1:
            check_annotation_folders(config)
        names = output_names(photographs)
        output = Path(config.output)
        make_folder(output)
        refused = 0
        progress = tqdm(
            zip(photographs, names, strict=True),
            total=len(photographs),
            unit="photo",
            disable=None,
        )
        for path, name in progress:
            try:
                summary = _register_one(config, model, path, output / name)
                progress.write(summary)
            except InputError as error:
                refused += 1
                progress.write(f"volhuman: {error}", file=sys.stderr)
    return exit_code(refused, len(photographs))


def exit_code(refused: int, count: int) -> int:
    """Says how many of several photographs were refused; 2 if any was, else 0."""
    if refused and count > 1:
        print(
            f"volhuman: {refused} of {count} photographs were refused, the others are "
            "done",
            file=sys.stderr,
        )
    return 2 if refused else 0


def check_config(config: RegisterConfig) -> None:
    """Refuses values that no registration can use.

    Raises:
        InputError: Naming the option, its value and what is expected.
    """
    ranges = {
        "num_starts": (1, 64),
        "first_steps": (1, 100_000),
        "later_steps": (1, 100_000),
        "silhouette": (0, 1e6),
        "crop_margin": (1, 10),
        "turntable_frames": (0, 3600),
        "turntable_size": (16, 4096),
    }
    check_ranges(config, ranges)
    if not 0 < config.learning_rate <= 1:
        raise InputError(
            f"--config.learning_rate is {config.learning_rate}, expected a number "
            "above 0 and at most 1"
        )
    if config.input and not (config.keypoints or config.dense):
        raise InputError(
            "the photograph has no annotation; give --config.keypoints=FILE or "
            "--config.dense=FILE (a folder of them for a folder of photographs)"
        )
    if config.silhouette and config.input and not config.mask:
        raise InputError("--config.silhouette needs a mask; give --config.mask=FILE")


def check_annotation_folders(config: RegisterConfig) -> None:
    """Refuses one annotation for several photographs: it can fit one of them only."""
    for option in ("keypoints", "dense", "mask"):
        given = getattr(config, option)
        if given and not Path(given).is_dir():
            raise InputError(
                f"--config.{option} is {given}, which is no folder, but there are "
                "several photographs; give a folder with one file a photograph, named "
                "as the photograph"
            )


def _bundled_example(config: RegisterConfig, assets: Path) -> RegisterConfig:
    if config.keypoints or config.dense:
        raise InputError(
            "an annotation was given without its photograph; add --config.input=PHOTO"
        )
    return dataclasses.replace(
        config,
        input=str(assets / "example.png"),
        keypoints=str(assets / "example.json"),
        mask="",
        silhouette=0.0,
    )


def make_folder(folder: Path) -> None:
    """Makes the folder for results.

    Raises:
        InputError: If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: {error.strerror}; choose another --config.output"
        ) from error


def _register_one(
    config: RegisterConfig, model: BodyModel, path: Path, folder: Path
) -> str:
    """Fits one photograph and writes its folder; returns a line of summary."""
    check_replaceable(folder, FILES, overwrite=config.overwrite)
    photograph = read_photograph(path)
    shape = photograph.rgb.shape[:2]
    keypoints = dense = None
    if config.keypoints:
        file = annotation_of(config.keypoints, path, ".json")
        keypoints = read_keypoints(file)
        check_keypoints(keypoints, shape, file)
    if config.dense:
        file = annotation_of(config.dense, path, ".json")
        dense = read_dense(file, model, shape, chart=config.chart or None)
    mask = None
    if config.silhouette:
        mask = read_mask(annotation_of(config.mask, path, ".png"), shape)
    crop = _crop(config, keypoints, dense)
    observation = observe(model, crop, keypoints=keypoints, dense=dense, mask=mask)
    options = _options(config, has_dense=dense is not None)
    fit = _fit(options)(model, observation)
    if not np.isfinite(float(fit.loss)):
        raise InputError(
            f"{path}: the registration did not converge from any start; check the "
            "annotation or lower --config.learning_rate"
        )
    errors = write_results(folder, config, model, photograph, crop, observation, fit)
    shown = ", ".join(f"{name} error {value:.1f} px" for name, value in errors.items())
    return f"{folder}: {shown}"


def annotation_of(given: str, photograph: Path, suffix: str) -> Path:
    """The annotation of a photograph: the file given, or one of the folder given.

    Args:
        given: Option that names a file or a folder.
        photograph: The photograph.
        suffix: Of the files in a folder, which have the photograph's stem.
    """
    given = Path(given)
    return given / f"{photograph.stem}{suffix}" if given.is_dir() else given


def _crop(
    config: RegisterConfig, keypoints: Keypoints | None, dense: DensePoints | None
) -> Crop:
    """The square around all annotated points."""
    points = []
    if keypoints is not None:
        points.append(sure_positions(keypoints))
    if dense is not None:
        points.append(dense.positions)
    return crop_around(np.concatenate(points), margin=config.crop_margin)


def observe(
    model: BodyModel,
    crop: Crop,
    *,
    keypoints: Keypoints | None = None,
    dense: DensePoints | None = None,
    mask: np.ndarray | None = None,
) -> Observation:
    """Turns annotations in pixels into an observation in view units.

    Args:
        model: Body model; key points that it lacks are left out.
        crop: Working crop.
        keypoints: Key points.
        dense: Dense correspondences.
        mask: `(H, W)` bool, for the silhouette term.

    Returns:
        The observation, dense points padded with weight 0.
    """
    observation = empty_observation()
    if keypoints is not None:
        observation = dataclasses.replace(
            observation,
            keypoints=view_from_pixel(crop, jnp.asarray(keypoints.positions)),
            keypoint_weights=jnp.asarray(keypoints.confidence * known_keypoints(model)),
        )
    if dense is not None:
        count = len(dense.positions)
        padding = -count % _DENSE_MULTIPLE
        positions = np.pad(dense.positions, ((0, padding), (0, 0)), mode="edge")
        surface = jax.tree.map(
            lambda leaf: np.pad(leaf, ((0, padding), (0, 0)), mode="edge"),
            dense.surface,
        )
        observation = dataclasses.replace(
            observation,
            dense_points=view_from_pixel(crop, jnp.asarray(positions)),
            dense_surface=SurfacePoints(surface.vertices, surface.barycentric),
            dense_weights=(jnp.arange(count + padding) < count).astype(jnp.float32),
        )
    if mask is not None:
        observation = _observe_mask(observation, mask, crop)
    return observation


def _observe_mask(observation: Observation, mask: np.ndarray, crop: Crop):
    """Adds distance to the mask and points inside it, on the pixels of the crop."""
    axis = (np.arange(_MASK_SIZE) + 0.5) * (2 / _MASK_SIZE) - 1
    view = np.stack(np.meshgrid(axis, axis, indexing="xy"), -1)
    pixel = np.floor(view * (crop.size / 2) + crop.centre).astype(int)
    height, width = mask.shape
    known = (pixel >= 0).all(-1) & (pixel[..., 0] < width) & (pixel[..., 1] < height)
    x, y = np.clip(pixel[..., 0], 0, width - 1), np.clip(pixel[..., 1], 0, height - 1)
    small = mask[y, x] & known
    if not small.any():
        raise InputError("the mask is empty around the annotated points")
    distance = scipy.ndimage.distance_transform_edt(~small) * (2 / _MASK_SIZE)
    inside = view[small]
    chosen = np.linspace(0, len(inside) - 1, _MASK_POINTS).round().astype(int)
    return dataclasses.replace(
        observation,
        outside_distance=jnp.asarray(distance, jnp.float32),
        inside_points=jnp.asarray(inside[chosen], jnp.float32),
    )


def _options(config: RegisterConfig, *, has_dense: bool) -> RegistrationOptions:
    stages = (
        (PAPER_FIRST, PAPER_LATER) if has_dense else (KEYPOINTS_FIRST, KEYPOINTS_LATER)
    )
    later = dataclasses.replace(stages[1], silhouette=config.silhouette)
    if has_dense:
        later = dataclasses.replace(later, prior=config.prior)
    return RegistrationOptions(
        stages=(stages[0], later),
        steps=(config.first_steps, config.later_steps),
        learning_rate=config.learning_rate,
        num_starts=config.num_starts,
    )


@functools.cache
def _fit(options: RegistrationOptions):
    """The compiled registration for these options."""
    return jax.jit(functools.partial(_register_options, options=options))


def _register_options(model, observation, *, options):
    return register(model, observation, options)
