"""Records: the fields that are promised, people that differ, and bytes that do not."""

import io

import numpy as np
import pytest
from PIL import Image

from volhuman.body.model import BodyParams, pose_body
from volhuman.body.template import load_template
from volhuman.geometry.camera import Pinhole
from volhuman.people.cameras import view_from_body
from volhuman.people.records import (
    NUM_CORRESPONDENCES,
    NUM_VIEWS,
    VARIANTS,
    person_records,
    record_features,
)
from volhuman.people.views import render

SIZE, SEED = 64, 3


@pytest.fixture(scope="module")
def records(records_of):
    return {
        variant: records_of(SEED, variant=variant, size=SIZE) for variant in VARIANTS
    }


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def camera_of(record, number=None):
    pick = lambda name: (
        record[f"camera_{name}"] if number is None else record[f"camera_{name}"][number]
    )
    return Pinhole(pick("focal"), pick("principal"), pick("rotation"), pick("position"))


def ends(record, name):
    """Fields of one end of a pair under their plain names."""
    tail = f"_{name}"
    return {
        key.removesuffix(tail): value
        for key, value in record.items()
        if key.endswith(tail)
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_fields_are_those_that_are_described(records, variant):
    features = record_features(variant, SIZE)
    assert (
        len(records[variant]) == {"pairs": 2, "views": 1, "registrations": 4}[variant]
    )
    for record in records[variant]:
        assert list(record) == list(features) or set(record) == set(features)
        for name, spec in features.items():
            value = record[name]
            assert spec.description, name
            if spec.kind == "text":
                assert type(value) is str, name
                continue
            if spec.kind == "image":
                assert type(value) is bytes, name
                value = decoded(value)
            else:
                assert spec.kind == "tensor", name
            assert value.dtype == np.dtype(spec.dtype), name
            expected = tuple(
                given if size is None else size
                for size, given in zip(spec.shape, value.shape, strict=True)
            )
            assert value.shape == expected, name
            if value.dtype.kind == "f" and name != "depth":
                assert np.isfinite(value).all(), name


@pytest.mark.parametrize("function", [record_features, person_records])
def test_unknown_variants_are_refused(function):
    arguments = ("triples", SIZE) if function is record_features else (SEED,)
    options = (
        {} if function is record_features else {"variant": "triples", "size": SIZE}
    )
    with pytest.raises(ValueError, match="'triples', expected one of pairs, views"):
        function(*arguments, **options)


def test_records_name_the_person(records):
    for made in records.values():
        for record in made:
            assert record["person"] == str(SEED)
            np.testing.assert_array_equal(record["shape"], made[0]["shape"])


def test_seeds_give_other_people_and_variants_other_poses(records):
    other = person_records(SEED + 1, variant="registrations", size=16)
    mine = records["registrations"]
    assert not np.array_equal(other[0]["shape"], mine[0]["shape"])
    images = [record["image"] for record in other + mine]
    assert len(set(images)) == len(images)
    poses = [record["pose"].tobytes() for record in mine]
    poses += [record["pose"].tobytes() for record in records["views"]]
    poses += [record["pose_source"].tobytes() for record in records["pairs"]]
    assert len(set(poses)) == len(poses)


def test_pairs_stand_before_one_camera_in_one_place(records):
    first, second = records["pairs"]
    for name in first:
        if name.startswith(("camera", "background")):
            np.testing.assert_array_equal(first[name], second[name])
    place = decoded(first["background"]).astype(float)
    poses = set()
    for record in records["pairs"]:
        for end in ("source", "target"):
            picture = ends(record, end)
            poses.add(picture["pose"].tobytes())
            empty = picture["mask"] == 0
            assert 0.3 < empty.mean() < 0.98
            difference = np.abs(decoded(picture["image"]) - place)[empty].mean(-1)
            # The same place but for shadows, grain and JPEG.
            assert np.median(difference) < 12
            full = picture["mask"] == 255
            assert np.abs(decoded(picture["image"]) - place)[full].mean() > 12
    assert len(poses) == 4


def test_pairs_stand_on_one_floor_under_the_lowest_foot(monkeypatch):
    floors, lowest = [], []

    def watch(person, posed, *arguments, **options):
        floors.append(options["ground"])
        lowest.append(posed.ground)
        return render(person, posed, *arguments, **options)

    monkeypatch.setattr("volhuman.people.records.render", watch)
    person_records(SEED, variant="pairs", size=16)
    assert len(floors) == 4 and np.ptp(lowest) > 0.005
    assert floors == [min(lowest)] * 4


def test_masks_and_labels_tell_the_same_silhouette(records):
    pictures = [ends(r, end) for r in records["pairs"] for end in ("source", "target")]
    for picture in [*pictures, *records["registrations"], records["views"][0]]:
        seen = picture["label"] > 0
        # A sliver may hold the centre of a pixel and none of its four samples.
        assert (picture["mask"][seen] > 0).mean() > 0.995
        assert seen[picture["mask"] == 255].mean() > 0.99
        assert set(np.unique(picture["mask"])) <= {0, 64, 128, 191, 255}
        assert picture["label"].max() < 10


@pytest.mark.parametrize("variant", ["registrations", "views"])
def test_joints_in_pixels_are_those_of_the_body_in_the_camera(records, variant):
    record = records[variant][0]
    body = record["joints_body"].astype(float)
    every = record["joints"] if variant == "views" else record["joints"][None]
    for number, joints in enumerate(every):
        camera = camera_of(record, number if variant == "views" else None)
        view = view_from_body(camera, body, body[0])
        expected = view * SIZE / 2 + [SIZE / 2, SIZE / 2, 0]
        np.testing.assert_allclose(joints, expected, atol=2e-3)


def test_pose_and_shape_make_the_joints_and_landmarks(records):
    template = load_template()
    for record in records["registrations"]:
        posed = pose_body(
            template,
            BodyParams(
                record["pose"],
                record["shape"],
                np.ones(24, np.float32),
                np.zeros(3, np.float32),
            ),
        )
        np.testing.assert_allclose(record["joints_body"], posed.joints, atol=1e-5)
        points = np.asarray(posed.vertices)[np.asarray(template.landmark_vertices)]
        view = view_from_body(
            camera_of(record),
            points.astype(float),
            record["joints_body"][0].astype(float),
        )
        expected = view * SIZE / 2 + [SIZE / 2, SIZE / 2, 0]
        np.testing.assert_allclose(record["landmarks"], expected, atol=5e-3)


def test_views_go_around_the_person_by_quarter_turns(records):
    record = records["views"][0]
    axes = record["camera_rotation"][:, 2]
    assert len(axes) == NUM_VIEWS
    for number in range(NUM_VIEWS):
        turn = axes[number] @ axes[(number + 1) % NUM_VIEWS]
        assert abs(turn) < 1e-5, "perpendicular"
        assert axes[number] @ axes[(number + 2) % NUM_VIEWS] == pytest.approx(
            -1, abs=1e-5
        )
    assert np.abs(axes[:, 1]).max() < 1e-6, "level"
    for number in range(NUM_VIEWS):
        border = np.ones((SIZE, SIZE), bool)
        border[1:-1, 1:-1] = False
        assert not record["mask"][number][border].any(), "the whole person is seen"


def test_the_mesh_of_the_views_is_what_they_show(records):
    record = records["views"][0]
    vertices, faces = record["vertices"], record["faces"]
    assert faces.min() == 0 and faces.max() == len(vertices) - 1
    pelvis = record["joints_body"][0].astype(float)
    for number in range(NUM_VIEWS):
        view = view_from_body(camera_of(record, number), vertices.astype(float), pelvis)
        column, row = ((view[:, :2] + 1) * SIZE / 2).astype(int).T
        assert (record["mask"][number][row, column] > 0).mean() > 0.98
        seen = record["label"][number] > 0
        depth = record["depth"][number]
        np.testing.assert_array_equal(np.isfinite(depth), seen)
        assert depth[seen].min() >= view[:, 2].min() - 2e-3
        assert depth[seen].max() <= view[:, 2].max() + 2e-3
        for name in ("normal_front", "normal_back"):
            length = np.linalg.norm(record[name][number].astype(float), axis=-1)
            np.testing.assert_allclose(length[seen], 1, atol=2e-3)
            assert not length[~seen].any()


def test_correspondences_lie_on_the_person(records):
    for record in records["registrations"]:
        column, row = record["dense_pixels"].astype(int).T
        assert len(row) == NUM_CORRESPONDENCES
        assert (record["label"][row, column] > 0).all()
        iuv = decoded(record["iuv"])
        assert (iuv[row, column, 0] > 0).all() and iuv[..., 0].max() <= 24
        assert not iuv[record["label"] == 0].any()
        np.testing.assert_allclose(record["dense_barycentric"].sum(1), 1, atol=1e-5)


def test_size_changes_resolution_and_not_the_scene(records):
    large = records["views"][0]
    small = person_records(SEED, variant="views", size=32)[0]
    np.testing.assert_array_equal(small["pose"], large["pose"])
    np.testing.assert_array_equal(small["vertices"], large["vertices"])
    np.testing.assert_allclose(
        2 * small["joints"][..., :2], large["joints"][..., :2], atol=1e-3
    )
    shrunk = large["mask"].reshape(NUM_VIEWS, 32, 2, 32, 2).mean((2, 4))
    assert np.abs(shrunk - small["mask"]).mean() < 5
