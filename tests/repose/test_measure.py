"""Measuring on pairs: what is perfect scores so, and every pair counts once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volhuman.body.template import load_template
from volhuman.evaluation.pose_estimator import SIZE, PoseEstimator
from volhuman.repose.measure import METRICS, measure_pairs, score_cells


@pytest.fixture(scope="module")
def estimator():
    pictures = jnp.zeros((1, SIZE, SIZE, 3))
    return jax.jit(PoseEstimator().init)(jax.random.key(0), pictures)["params"]


@pytest.fixture(scope="module")
def pairs(joints):
    """Five pairs of three people; the last pair's pictures are the same."""
    generator = np.random.default_rng(0)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 12:20] = 255
    records = []
    for number in range(5):
        source, target = generator.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
        records.append(
            {
                "image_source": source,
                "image_target": source if number == 4 else target,
                "mask_target": mask,
                "joints_source": joints[0],
                "joints_target": joints[1],
                "joints_body": np.asarray(load_template().joints, np.float32),
                "person": str(number // 2),
            }
        )
    return records


@pytest.fixture(scope="module")
def unchanged(network, pairs, estimator):
    return measure_pairs(network, None, pairs, estimator, batch_size=2, num_pictures=3)


def test_every_pair_counts_once_also_those_of_a_short_batch(unchanged):
    assert list(unchanged.people) == ["0", "0", "1", "1", "2"]
    for name in METRICS:
        assert unchanged.values[name].shape == (5,)
        assert np.isfinite(unchanged.values[name]).all()
    assert unchanged.pictures["painted"].shape == (3, 32, 32, 3)


def test_an_equal_picture_is_perfect_and_others_are_not(unchanged):
    values = unchanged.values
    for name in ("SSIM", "SSIM foreground", "pose AUC"):
        np.testing.assert_allclose(values[name][4], 1, atol=1e-5)
        if name != "pose AUC":  # an untrained estimator says the same of all
            assert (values[name][:4] < 0.5).all()
    np.testing.assert_allclose(values["L1"][4], 0, atol=1e-6)


def test_scores_are_clustered_by_person(unchanged):
    cells = score_cells(unchanged)
    assert len(cells) == len(METRICS)
    for cell in cells.values():
        assert cell.low <= cell.value <= cell.high
        assert cell.count == 5


@pytest.mark.slow
def test_a_network_paints_what_is_measured(network, params, pairs, estimator):
    measured = measure_pairs(network, params, pairs, estimator, batch_size=2)
    assert (measured.pictures["painted"] != measured.pictures["source"]).any()
    assert (measured.values["SSIM"][:4] < 1).all()
