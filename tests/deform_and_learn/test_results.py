"""From annotations to observations, and from fits to files that can be read back."""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation

from volhuman.body.correspondence import points_at_vertices
from volhuman.body.keypoints import KEYPOINT_NAMES
from volhuman.body.model import BodyParams, pose_body
from volhuman.body.skeleton import JOINT_NAMES
from volhuman.body.template import load_template
from volhuman.data.dense import DensePoints
from volhuman.data.images import Photograph
from volhuman.data.keypoints import Keypoints
from volhuman.deform_and_learn import predict
from volhuman.deform_and_learn.config import RegisterConfig
from volhuman.deform_and_learn.find_person import read_mask
from volhuman.deform_and_learn.predict import observe
from volhuman.deform_and_learn.registration import Registration, empty_observation
from volhuman.deform_and_learn.results import upright_params, write_results
from volhuman.errors import InputError
from volhuman.geometry.camera import FACING_CAMERA, Crop, WeakPerspective

CROP = Crop(np.array([60.0, 45.0], np.float32), np.float32(80.0))
CONFIG = RegisterConfig(turntable_frames=0)


@pytest.fixture(scope="module")
def model():
    return load_template()


# -- observations


def _keypoints(positions):
    """Key points at the given places, the first ones of the list of names."""
    everywhere = np.zeros((len(KEYPOINT_NAMES), 2), np.float32)
    confidence = np.zeros(len(KEYPOINT_NAMES), np.float32)
    everywhere[: len(positions)], confidence[: len(positions)] = positions, 0.5
    return Keypoints(everywhere, confidence)


def _dense(count):
    generator = np.random.default_rng(count)
    positions = generator.uniform(20, 90, (count, 2)).astype(np.float32)
    return DensePoints(positions, points_at_vertices(jnp.arange(count)))


def test_pixels_become_view_units_of_the_crop(model):
    """The crop's centre is the origin, its corners are at plus and minus 1."""
    corners = [[60, 45], [20, 5], [100, 85], [100, 5]]
    observation = observe(model, CROP, keypoints=_keypoints(corners))
    np.testing.assert_allclose(
        observation.keypoints[:4], [[0, 0], [-1, -1], [1, 1], [1, -1]], atol=1e-6
    )
    assert observation.keypoint_weights[:4].tolist() == [0.5] * 4
    assert (observation.keypoint_weights[4:] == 0).all()
    assert observation.dense_points.shape == (0, 2)


def test_key_points_that_the_body_lacks_are_left_out(model):
    bare = dataclasses.replace(
        model, landmark_names=(), landmark_vertices=jnp.zeros(0, jnp.int32)
    )
    everything = _keypoints(np.full((len(KEYPOINT_NAMES), 2), 50.0))
    weights = observe(bare, CROP, keypoints=everything).keypoint_weights
    kept = {KEYPOINT_NAMES[i] for i in np.nonzero(weights)[0]}
    assert kept == {*JOINT_NAMES, "mid_shoulder", "mid_hip"}


@pytest.mark.parametrize("count", [12, 255, 256, 257])
def test_dense_points_are_padded_with_weight_0(model, count):
    dense = _dense(count)
    observation = observe(model, CROP, dense=dense)
    size = observation.dense_points.shape[0]
    assert size % 256 == 0 and size - count < 256
    assert observation.dense_weights.tolist() == [1] * count + [0] * (size - count)
    np.testing.assert_allclose(
        observation.dense_points[:count] * 40 + CROP.centre, dense.positions, atol=1e-3
    )
    assert observation.dense_surface.vertices[:count, 0].tolist() == [*range(count)]
    assert (observation.dense_surface.vertices < model.num_vertices).all()


def test_the_crop_holds_every_annotated_point_and_no_missing_one():
    dense = _dense(20)
    crop = predict._crop(CONFIG, _keypoints([[30, 40], [95, 60]]), dense)
    points = np.concatenate([dense.positions, [[30, 40], [95, 60]]])
    assert (np.abs(points - crop.centre) < crop.size / 2).all()
    # Missing key points stand at (0, 0).
    assert (crop.centre - crop.size / 2 > 0).all()
    wide = dataclasses.replace(CONFIG, crop_margin=2.6)
    assert predict._crop(wide, None, dense).size == pytest.approx(
        2 * predict._crop(CONFIG, None, dense).size
    )


def test_a_mask_becomes_distances_and_points_in_view_units(model):
    """A square of 40 pixels around the crop's centre, in a crop of 80."""
    mask = np.zeros((90, 120), bool)
    mask[25:65, 40:80] = True
    observation = observe(model, CROP, mask=mask)
    assert jnp.abs(observation.inside_points).max() <= 0.5
    np.testing.assert_allclose(observation.inside_points.mean(0), 0, atol=0.02)
    distance = np.asarray(observation.outside_distance)
    size = len(distance)
    axis = (np.arange(size) + 0.5) * 2 / size - 1
    x, y = np.meshgrid(axis, axis)
    outside = np.hypot(*(np.maximum(np.abs(u) - 0.5, 0) for u in (x, y)))
    np.testing.assert_allclose(distance, outside, atol=2.5 / size)


def test_a_mask_beside_the_crop_counts_as_empty(model):
    mask = np.zeros((90, 120), bool)
    mask[:, 110:] = True
    with pytest.raises(InputError, match="empty around the annotated points"):
        observe(model, CROP, mask=mask)


def test_what_is_transparent_in_a_mask_is_not_the_person(tmp_path):
    """A white cut-out on transparency; also a black and white picture."""
    inside = np.zeros((20, 30), bool)
    inside[5:15, 10:20] = True
    cut_out = np.full((20, 30, 4), 255, np.uint8)
    cut_out[..., 3] = inside * 255
    for number, pixels in enumerate((cut_out, (inside * 255).astype(np.uint8))):
        file = tmp_path / f"{number}.png"
        Image.fromarray(pixels).save(file)
        np.testing.assert_array_equal(read_mask(file, (20, 30)), inside)


# -- files


@pytest.fixture(scope="module")
def fit(model):
    """Not a real fit: a pose, scales, shape and camera that differ from rest."""
    generator = np.random.default_rng(0)
    pose = generator.normal(size=(24, 3)).astype(np.float32) * 0.2
    pose[0] = 0
    params = BodyParams(
        jnp.asarray(pose),
        jnp.asarray(generator.normal(size=model.num_shape), jnp.float32),
        jnp.asarray(generator.uniform(0.9, 1.1, 24), jnp.float32),
        jnp.zeros(3),
    )
    turn = Rotation.from_euler("yx", [50, 10], degrees=True).as_matrix()
    camera = WeakPerspective(
        jnp.float32(0.7),
        jnp.asarray(FACING_CAMERA @ turn, jnp.float32),
        jnp.array([0.1, -0.2]),
    )
    error = jnp.float32(0.25)
    return Registration(params, camera, jnp.float32(1), error, 2 * error, jnp.int32(3))


@pytest.fixture(scope="module")
def photograph():
    rgb = np.random.default_rng(1).random((90, 120, 3)).astype(np.float32)
    return Photograph(pathlib.Path("some/photo.png"), rgb, None, ("It is dark.",))


@pytest.fixture(scope="module")
def written(tmp_path_factory, model, photograph, fit):
    folder = tmp_path_factory.mktemp("results") / "photo"
    observation = dataclasses.replace(
        empty_observation(), keypoint_weights=jnp.ones(len(KEYPOINT_NAMES))
    )
    errors = write_results(folder, CONFIG, model, photograph, CROP, observation, fit)
    return folder, errors


def test_errors_are_in_pixels_of_the_photograph_and_only_of_what_was_given(written):
    """View units times half the crop's side."""
    folder, errors = written
    assert errors == {"keypoint": pytest.approx(0.5 * 40)}
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["errors_pixels"] == errors and meta["winning_start"] == 3
    assert meta["warnings"] == ["It is dark."] and meta["photograph"] == "photo.png"


def test_the_record_rebuilds_and_projects_the_body_by_its_own_words(
    written, model, fit
):
    """Only what body.json says is used: its numbers and its formulas."""
    record = json.loads((written[0] / "body.json").read_text())
    stack = lambda name: jnp.array([record[name][joint] for joint in JOINT_NAMES])
    posed = pose_body(
        model,
        BodyParams(
            stack("pose_axis_angle"),
            jnp.array(record["shape"]),
            stack("segment_scales"),
            jnp.array(record["translation"]),
        ),
    )
    np.testing.assert_allclose(posed.joints, stack("joints"), atol=1e-5)
    camera, crop = record["camera"], record["crop"]
    rotation, shift = (np.array(camera[n]) for n in ("rotation", "translation"))
    view = camera["scale"] * np.asarray(posed.joints) @ rotation.T
    pixels = (view[:, :2] + shift) * crop["size"] / 2 + crop["centre"]
    expected = [record["keypoints_pixels"][joint] for joint in JOINT_NAMES]
    np.testing.assert_allclose(pixels, expected, atol=1e-2)


def test_the_overlay_covers_the_projected_joints(written, photograph):
    folder, _ = written
    record = json.loads((folder / "body.json").read_text())
    picture = np.asarray(Image.open(folder / "overlay.png")) / 255
    changed = np.abs(picture - photograph.rgb).max(-1) > 0.02
    assert changed.any() and not changed.all()
    for joint in ("pelvis", "spine2", "head", "left_knee", "right_elbow"):
        x, y = record["keypoints_pixels"][joint]
        assert changed[int(y), int(x)], joint


def test_the_exported_body_stands_as_the_camera_sees_it(written, model, fit):
    """glTF: y up, the viewer at +z, so view axes with y and z turned round."""
    params = upright_params(fit.params, fit.camera)
    posed, seen = (
        np.asarray(pose_body(model, p).vertices) for p in (params, fit.params)
    )
    pelvis = np.asarray(pose_body(model, fit.params).joints[0])
    expected = (seen - pelvis) @ np.asarray(fit.camera.rotation).T * [1, -1, -1]
    np.testing.assert_allclose(posed - pelvis, expected, atol=1e-4)
    scene = trimesh.load(written[0] / "body.glb")
    assert sum(len(mesh.faces) for mesh in scene.geometry.values()) == len(model.faces)


def test_writing_replaces_a_folder_whole(tmp_path, model, photograph, fit):
    folder = tmp_path / "photo"
    folder.mkdir()
    (folder / "turntable.gif").write_text("of an earlier run")
    write_results(folder, CONFIG, model, photograph, CROP, empty_observation(), fit)
    names = {path.name for path in folder.iterdir()}
    assert names == {"overlay.png", "body.glb", "body.json", "meta.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["photo"]


@pytest.mark.parametrize("step", ["overlay", "export_glb", "write_json"])
def test_a_failure_leaves_nothing_behind(
    tmp_path, model, photograph, fit, monkeypatch, step
):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"volhuman.deform_and_learn.results.{step}", fail)
    with pytest.raises(InputError, match="No space left"):
        write_results(
            tmp_path / "photo",
            CONFIG,
            model,
            photograph,
            CROP,
            empty_observation(),
            fit,
        )
    assert list(tmp_path.iterdir()) == []


def test_records_hold_no_number_that_json_lacks(tmp_path, model, photograph, fit):
    """A body that is not finite is an error, never a file that cannot be parsed."""
    broken = dataclasses.replace(
        fit, camera=jax.tree.map(lambda leaf: leaf * jnp.nan, fit.camera)
    )
    with np.errstate(all="ignore"), pytest.raises(ValueError):
        write_results(
            tmp_path / "photo",
            CONFIG,
            model,
            photograph,
            CROP,
            empty_observation(),
            broken,
        )
    assert list(tmp_path.iterdir()) == []
