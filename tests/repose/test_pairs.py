"""Pairs of people as networks of different joint sets read them."""

import dataclasses

import numpy as np
import pytest

from volhuman.body.part_transforms import PANOPTIC19
from volhuman.repose.config import PAPER
from volhuman.repose.pairs import FIELDS, joints_of, make_reader


@pytest.fixture(scope="module")
def record(joints):
    picture = np.zeros((32, 32, 3), np.uint8)
    return {
        "image_source": picture,
        "image_target": picture,
        "mask_target": picture[..., 0],
        "joints_source": joints[0],
        "joints_target": joints[1],
        "person": "7",
        "camera": 3,
    }


def test_the_joints_of_the_body_are_read_as_they_are(network, record):
    read = make_reader(network, keep=("person",))(record, np.random.default_rng(0))
    assert set(read) == {*FIELDS, "person"}
    for end in ("joints_source", "joints_target"):
        np.testing.assert_array_equal(read[end], record[end])


def test_the_published_network_gets_its_joints_with_a_face(record):
    network = dataclasses.replace(PAPER, image_size=64)
    read = make_reader(network)(record, np.random.default_rng(0))
    at = lambda name: read["joints_source"][PANOPTIC19.names.index(name)]
    assert read["joints_source"].shape == (19, 3)
    assert read["joints_source"].dtype == np.float32
    body = record["joints_source"]
    np.testing.assert_allclose(at("left_wrist"), body[20], atol=1e-4)
    np.testing.assert_allclose(at("neck"), (body[16] + body[17]) / 2, atol=1e-4)
    # They face the camera: left is right in the picture, and the nose is in front.
    assert at("left_ear")[0] > at("right_ear")[0]
    assert at("nose")[2] < min(at("left_ear")[2], at("right_ear")[2])
    assert joints_of(network, body).shape == (19, 3)
