"""Registration of a training set: what it finds, and how it continues."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.deform_and_learn import fit_people as module
from volhuman.deform_and_learn.fit_people import FitOptions, fit_people, read_fits
from volhuman.deform_and_learn.fitted_people import FittedPeople, make_reader
from volhuman.deform_and_learn.regressor import rest_outputs
from volhuman.deform_and_learn.regressor_task import joint_errors, seen_joints
from volhuman.errors import InputError

OPTIONS = FitOptions(image_size=32, batch_size=8, steps=60, num_starts=1, num_devices=1)


@pytest.fixture(scope="module")
def first(people, tmp_path_factory):
    """Fits of six of the people's pictures without depths, and their folder."""
    folder = tmp_path_factory.mktemp("fits")
    return fit_people(people[:6], folder, OPTIONS, lifter=None), folder


def _rest_errors(people):
    read = make_reader(32)
    joints = [read(p, np.random.default_rng(0))["joints"] for p in people]
    rest = jax.vmap(seen_joints)(jnp.tile(rest_outputs(), (len(people), 1)))
    return np.asarray(joint_errors(rest, jnp.stack(joints))["MPJPE"])


def test_bodies_come_nearer_to_the_truth(first, people):
    fits, _ = first
    assert fits["fit"].shape == (6, 105) and (fits["fit_weight"] == 1).all()
    assert (fits["depth_weights"] == 0).all()
    assert fits["MPJPE"].mean() < 0.8 * _rest_errors(people[:6]).mean()


def test_finished_batches_are_kept_and_those_of_other_options_refused(
    first, people, monkeypatch
):
    fits, folder = first
    monkeypatch.setattr(module, "_fit_batch", None)
    again = fit_people(people[:6], folder, OPTIONS, lifter=None)
    for name, array in fits.items():
        np.testing.assert_array_equal(again[name], array)
    with pytest.raises(InputError, match=r"shape \(6, 105\), expected \(7, 105\)"):
        fit_people(people[:7], folder, OPTIONS, lifter=None)


def _spoil(folder, **changes):
    """A copy of the fits in which some arrays are others."""
    (path,) = folder.iterdir()
    with np.load(path) as arrays:
        return dict(arrays) | changes, path.name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": np.array("other people train")}, "fits to other people train"),
        ({"fit": np.zeros((6, 50))}, r"shape \(6, 50\)"),
        ({"fit": np.full((6, 105), np.nan)}, "fit does not hold finite numbers"),
        ({"depth_weights": np.zeros((5, 40))}, "depth_weights does not hold"),
    ],
)
def test_fits_that_are_not_of_these_pictures_are_refused(
    first, people, tmp_path, changes, words
):
    arrays, name = _spoil(first[1], **changes)
    np.savez(tmp_path / name, **arrays)
    with pytest.raises(InputError, match=words):
        read_fits(people[:6], tmp_path, OPTIONS)


def test_fits_start_at_the_prediction_and_at_the_fit_before(
    first, people, tmp_path, monkeypatch
):
    """One start is far off; the other one, which is better, counts."""
    fits, _ = first
    given = []

    def compile_nothing(options, lifter, has_prediction):
        assert has_prediction
        return lambda batch, initial: (
            given.append(initial)
            or {
                "fit": initial[:, 1],
                "fit_weight": np.ones(8),
                "keypoint_depths": np.zeros((8, 40)),
                "depth_weights": np.zeros((8, 40)),
            }
        )

    monkeypatch.setattr(module, "_compile", compile_nothing)
    predict = lambda images: np.zeros((len(images), 105), np.float32)
    found = fit_people(
        people[:6], tmp_path, OPTIONS, lifter=None, predict=predict, earlier=fits["fit"]
    )
    assert given[0].shape == (8, 2, 105)
    assert (given[0][:, 0] == 0).all()
    np.testing.assert_array_equal(found["fit"], fits["fit"])


def test_records_carry_their_fits(first, people):
    fits, _ = first
    fitted = FittedPeople(people[:6], fits)
    assert len(fitted) == 6
    record = fitted[2]
    np.testing.assert_array_equal(record["fit"], fits["fit"][2])
    assert record["person"] == people[2]["person"]
