"""DensePose-COCO and DensePose-PoseTrack: points, part masks, and what is refused."""

import copy

import numpy as np
import pytest

from volhuman.data.sets.densepose import MASK_PARTS, SURFACE_PARTS
from volhuman.data.sets.run_lengths import encode_mask

COCO = "volhuman_densepose_coco"
POSETRACK = "volhuman_densepose_posetrack"
TRAIN = "densepose_coco_2014_train.json"
PICTURE = "COCO_train2014_000000000036.jpg"
SIZE = (48, 64)
NAMES = [f"point_{k}" for k in range(17)]
CATEGORIES = [{"id": 1, "name": "person", "keypoints": NAMES, "skeleton": []}]


def _masks():
    """Label k covers rows 10 k to 10 k + 14: the later of two overlapping ones wins."""
    masks = []
    for label in range(1, 15):
        mask = np.zeros((256, 256), np.uint8)
        mask[10 * label : 10 * label + 15, 20:60] = 1
        masks.append({"counts": encode_mask(mask), "size": [256, 256]})
    masks[4] = []  # a part that is not visible
    return masks


def _person(number=7, image=36, **changes):
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "area": 100.0,
        "bbox": [8.0, 16.0, 32.0, 24.0],
        "keypoints": [float(k % 5) for k in range(51)],
        "segmentation": [[1, 2, 3, 4, 5, 6]],
        "dp_I": [2.0, 23.0, 10.0],
        "dp_U": [0.25, 1.0, 0.0],
        "dp_V": [0.5, 0.0, 1.0],
        "dp_x": [0.0, 128.0, 255.0],
        "dp_y": [256.0, 64.0, 32.0],
        "dp_masks": _masks(),
        **changes,
    }


def _index(people, images=((36, PICTURE),), **entries):
    return {
        "images": [
            {"id": n, "file_name": name, "width": SIZE[0], "height": SIZE[1], **entries}
            for n, name in images
        ],
        "annotations": people,
        "categories": CATEGORIES,
    }


@pytest.fixture
def coco(files):
    plain = {k: v for k, v in _person(9).items() if not k.startswith("dp_")}
    files.json(TRAIN, _index([_person(8), plain, _person(7)]))
    files.picture(f"train2014/{PICTURE}", size=SIZE)
    grey = "COCO_val2014_000000000192.jpg"
    content = _index([_person(3, 192)], [(192, grey)])
    files.json("densepose_coco_2014_minival.json", content)
    files.picture(f"val2014/{grey}", size=SIZE, mode="L")


def test_parts_are_named_with_their_sides():
    assert len(SURFACE_PARTS) == 24 and len(MASK_PARTS) == 14
    # Part I of the surface lies in the mask of the same name, but for torso and head.
    for part in SURFACE_PARTS:
        name = "torso" if part.startswith("torso") else part
        assert ("head" if part.endswith("head") else name) in MASK_PARTS
    for number, name in {
        3: "right_hand",
        5: "left_foot",
        9: "right_upper_leg",
        10: "left_upper_leg",
        14: "left_lower_leg",
        17: "left_upper_arm",
        22: "right_lower_arm",
    }.items():
        assert SURFACE_PARTS[number - 1] == name


def test_people_come_back_as_annotated(files, coco):
    builder, examples = files.build(COCO)
    assert {split: len(items) for split, items in examples.items()} == {
        "train": 2,
        "minival": 1,
    }
    item = examples["train"][0]
    assert item["name"] == b"7" and item["image_id"] == 36
    np.testing.assert_array_equal(item["box"], [8, 16, 32, 24])
    # Places in the box run from 0 to 256: the last is not quite the right edge.
    np.testing.assert_allclose(
        item["positions"], [[8, 40], [24, 22], [8 + 32 * 255 / 256, 19]]
    )
    np.testing.assert_array_equal(item["part"], [2, 23, 10])
    np.testing.assert_array_equal(item["uv"], [[0.25, 0.5], [1, 0], [0, 1]])
    np.testing.assert_array_equal(
        item["keypoints"].reshape(-1), [k % 5 for k in range(51)]
    )
    np.testing.assert_array_equal(item["image"], files.pixels(f"train2014/{PICTURE}"))
    metadata = builder.info.metadata
    assert metadata["keypoint_names"] == NAMES
    assert metadata["people_without_dense_annotation"] == {"train": 1, "minival": 0}


def test_masks_become_one_map_in_which_the_later_label_wins(files, coco):
    _, examples = files.build(COCO)
    labels = examples["train"][0]["part_mask"]
    expected = np.zeros((256, 256), np.uint8)
    for label in range(1, 15):
        if label != 5:
            expected[10 * label : 10 * label + 15, 20:60] = label
    np.testing.assert_array_equal(labels, expected)


def test_a_grey_picture_is_stored_in_colour(files, coco):
    _, examples = files.build(COCO)
    image = examples["minival"][0]["image"]
    assert image.shape == (SIZE[1], SIZE[0], 3)
    np.testing.assert_array_equal(
        image, files.pixels("val2014/COCO_val2014_000000000192.jpg")
    )


def test_the_other_scale_of_places_is_an_option_with_a_name(files, coco):
    builder, examples = files.build(COCO, scale=255)
    assert abs(examples["train"][0]["positions"][2, 0] - 40) < 1e-5
    assert "by255" in builder.builder_config.name
    assert builder.info.metadata["place_scale"] == 255
    files.refused(COCO, "scale is 254", scale=254)


def test_all_annotation_files_are_demanded_unless_said(files, coco):
    files.refused(COCO, "valminusminival.json is missing", complete=True)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"dp_I": None}, ["annotation 7 has no 'dp_I'"]),
        ({"dp_V": None}, ["annotation 7 has no 'dp_V'"]),
        ({"dp_U": [0.1]}, ["1 values in dp_U", "3 in dp_I"]),
        ({"dp_U": [0.1, 0.2, 1.5]}, ["1.5", "0 to 1"]),
        ({"dp_x": [0, 0, 300]}, ["300", "0 to 256"]),
        ({"dp_I": [1, 2, 25]}, ["1 to 24"]),
        ({"dp_I": [1, 2, 2.5]}, ["1 to 24"]),
        ({"dp_y": [0, 0, None]}, ["dp_y"]),
        ({"bbox": [1, 2, 0, 4]}, ["bbox", "no area"]),
        ({"bbox": None}, ["no 'bbox'"]),
        ({"dp_masks": [{}]}, ["1 dp_masks"]),
        ({"dp_masks": [{"size": [256, 256]}] * 14}, ["mask 1", "'counts'"]),
        ({"dp_masks": [{"counts": "12"}] * 14}, ["mask 1", "sum"]),
        ({"keypoints": [1, 2, 3]}, ["keypoints", "(51)"]),
    ],
)
def test_a_broken_annotation_is_named_and_can_be_skipped(files, coco, changes, words):
    person = {k: v for k, v in (_person(7) | changes).items() if v is not None}
    files.json(TRAIN, _index([person, _person(8)]))
    files.refused(COCO, TRAIN, "annotation 7", *words)
    builder, examples = files.build(COCO, broken="skip")
    assert [item["name"] for item in examples["train"]] == [b"8"]
    assert list(builder.info.metadata["broken"]["train"]) == ["7"]


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda c: c.pop("images"), ["no 'images'"]),
        (lambda c: c.update(annotations={}), ["'annotations'", "a list"]),
        (lambda c: c.pop("categories"), ["'keypoints'"]),
        (lambda c: c["annotations"][0].update(image_id=5), ["image 5", "not list"]),
        (lambda c: c["annotations"][0].pop("id"), ["annotation 0 has no 'id'"]),
        (lambda c: c["images"].append(c["images"][0]), ["id 36"]),
        (lambda c: c["images"][0].pop("file_name"), ["image 0", "'file_name'"]),
        (lambda c: c["images"][0].update(file_name="../../x.jpg"), ["out of"]),
        (lambda c: c["categories"][0]["keypoints"].pop(), ["16 key points"]),
        (lambda c: c["annotations"].append(c["annotations"][0]), ["'7'", "twice"]),
    ],
)
def test_an_index_of_another_form_is_refused(files, coco, change, words):
    content = copy.deepcopy(_index([_person(7)]))
    change(content)
    files.json(TRAIN, content)
    files.refused(COCO, *words, broken="skip")


def test_files_that_are_cut_or_missing_are_named(files, coco):
    files.cut(f"train2014/{PICTURE}")
    files.refused(COCO, PICTURE)
    files.picture(f"train2014/{PICTURE}", size=(SIZE[1], SIZE[0]))
    files.refused(COCO, PICTURE, "64 x 48", "48 x 64")
    (files.root / f"train2014/{PICTURE}").unlink()
    files.refused(COCO, PICTURE)
    files.cut(TRAIN)
    files.refused(COCO, TRAIN, "cut")


# -- PoseTrack

VIDEO = "mpii_train/000342_mpii"


def _posetrack(**entries):
    people = [_person(70, 1, track_id=4), _person(71, 2, track_id=4)]
    images = [(n, f"images/{VIDEO}/{n:06d}.jpg") for n in (1, 2)]
    return _index(
        people, images, vid_id="000342", frame_id=10003420000, nframes=100, **entries
    )


@pytest.fixture
def posetrack(files):
    files.json("densepose_only_posetrack_train2017.json", _posetrack())
    for number in (1, 2):
        files.picture(f"images/{VIDEO}/{number:06d}.jpg", size=SIZE, seed=number)


def test_tracks_and_videos_come_back(files, posetrack):
    _, examples = files.build(POSETRACK)
    first, second = examples["train"]
    assert first["track_id"] == second["track_id"] == 4
    assert first["video"] == b"000342" and first["frame_id"] == 10003420000
    assert first["ignore_regions"].shape == (0, 3)
    np.testing.assert_array_equal(
        second["image"], files.pixels(f"images/{VIDEO}/000002.jpg")
    )


@pytest.mark.parametrize(
    "x, y, rows",
    [
        ([[1, 2], [3]], [[4, 5], [6]], [[0, 1, 4], [0, 2, 5], [1, 3, 6]]),
        ([1, 2], [4, 5], [[0, 1, 4], [0, 2, 5]]),
    ],
)
def test_ignored_regions_of_both_spellings(files, posetrack, x, y, rows):
    content = _posetrack(ignore_regions_x=x, ignore_regions_y=y)
    files.json("densepose_only_posetrack_train2017.json", content)
    _, examples = files.build(POSETRACK)
    np.testing.assert_array_equal(examples["train"][0]["ignore_regions"], rows)


def test_regions_without_counterpart_are_refused(files, posetrack):
    content = _posetrack(ignore_regions_x=[[1, 2]])
    files.json("densepose_only_posetrack_train2017.json", content)
    files.refused(POSETRACK, "image 1", "x or y")


def test_pictures_without_a_size_are_accepted(files, posetrack):
    content = _posetrack()
    for image in content["images"]:
        del image["width"], image["height"]
    files.json("densepose_only_posetrack_train2017.json", content)
    assert len(files.build(POSETRACK)[1]["train"]) == 2


def test_a_missing_track_is_named(files, posetrack):
    content = _posetrack()
    del content["annotations"][0]["track_id"]
    files.json("densepose_only_posetrack_train2017.json", content)
    files.refused(POSETRACK, "annotation 70", "'track_id'")
