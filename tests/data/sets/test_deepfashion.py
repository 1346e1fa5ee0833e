"""DeepFashion: the official partition, the pairs of PATN, and the folder form."""

import numpy as np
import pytest

from volhuman.data.sets.deepfashion_files import (
    parse_flat_name,
    parse_image_path,
    read_keypoint_table,
)
from volhuman.data.sets.keypoint_orders import COCO18
from volhuman.errors import InputError

NAME = "volhuman_deepfashion"
ROWS = {
    "MEN/Denim/id_00000080/01_1_front": "train",
    "MEN/Denim/id_00000080/01_7_additional": "train",
    "WOMEN/Blouses_Shirts/id_00000001/02_1_front": "query",
    "WOMEN/Blouses_Shirts/id_00000001/02_3_back": "gallery",
}
PARTITION = "Eval/list_eval_partition.txt"
HEADER = "image_name item_id evaluation_status"


def _partition(count=None, rows=ROWS):
    lines = [
        f"img/{name}.jpg                 {name.split('/')[2]} {status}"
        for name, status in rows.items()
    ]
    return "\n".join([str(len(rows) if count is None else count), HEADER, *lines, ""])


@pytest.fixture
def inshop(files):
    for seed, name in enumerate(ROWS):
        files.picture(f"Img/img/{name}.jpg", seed=seed)
    files.text(PARTITION, _partition())


# -- names


def test_paths_and_flat_names_say_the_same():
    image = parse_image_path("img/WOMEN/Blouses_Shirts/id_00000001/02_1_front.jpg")
    assert image.outfit == "WOMEN-Blouses_Shirts-id_00000001-02"
    assert (image.item, image.color, image.shot) == ("id_00000001", "02", "1")
    assert image.view == "front"
    assert image == parse_flat_name("fashionWOMENBlouses_Shirtsid0000000102_1front.jpg")
    image = parse_image_path("MEN/Denim/id_00000080/01_7_additional.jpg")
    assert image == parse_flat_name("fashionMENDenimid0000008001_7additional.jpg")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MEN/id_00000080/01_1_front.jpg",
        "MEN/Denim/id_80/01_1_front.jpg",
        "KIDS/Denim/id_00000080/01_1_front.jpg",
        "../MEN/Denim/id_00000080/01_1_front.jpg",
        "fashionMENDenimid00000080_1front.jpg",
        "MENDenimid0000008001_1front.jpg",
    ],
)
def test_other_names_are_not_taken(text):
    assert parse_image_path(text) is None and parse_flat_name(text) is None


# -- the partition


def test_the_partition_comes_back_as_written(files, inshop):
    _, examples = files.build(NAME)
    assert {split: len(items) for split, items in examples.items()} == {
        "train": 2,
        "query": 1,
        "gallery": 1,
    }
    for split, items in examples.items():
        for item in items:
            name = item["name"].decode()
            assert ROWS[name] == split
            gender, category, number, rest = name.split("/")
            assert item["item"].decode() == number
            assert item["gender"].decode() == gender
            assert item["category"].decode() == category
            assert item["view"].decode() == rest.split("_")[2]
            assert item["outfit"].decode() == f"{gender}-{category}-{number}-{rest[:2]}"
            np.testing.assert_array_equal(
                item["image"], files.pixels(f"Img/img/{name}.jpg")
            )


def test_the_files_may_lie_one_level_higher(files, inshop):
    (files.root / "Img/img").rename(files.root / "img")
    (files.root / "Img").rmdir()
    (files.root / PARTITION).rename(files.root / "list_eval_partition.txt")
    assert len(files.build(NAME)[1]["train"]) == 2


def test_a_half_copied_partition_is_refused(files, inshop):
    files.text(PARTITION, _partition(count=52712))
    files.refused(NAME, "4 rows", "52712", "copy it again")


def test_the_complete_list_is_demanded_unless_said(files, inshop):
    files.refused(NAME, "4 pictures of 2 items", "52712 of 7982", complete=True)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", ["number of its rows"]),
        ("4\nimage item status\n", ["three columns"]),
        (_partition().replace("gallery", "validation"), ["line 6", "validation"]),
        (_partition().replace("01_7_additional.jpg  ", "x  "), ["line 4"]),
        (_partition().replace("id_00000080 train", "id_00000081 train"), ["line 3"]),
    ],
)
def test_a_partition_of_another_form_is_refused(files, inshop, text, words):
    files.text(PARTITION, text)
    files.refused(NAME, "list_eval_partition.txt", *words)


def test_missing_parts_are_named(files, inshop):
    (files.root / "Img/img/MEN/Denim/id_00000080/01_1_front.jpg").unlink()
    files.refused(NAME, "01_1_front.jpg", "cannot be read")
    (files.root / "Img").rename(files.root / "elsewhere")
    files.refused(NAME, "img is missing", "img.zip")
    (files.root / PARTITION).unlink()
    files.refused(NAME, "list_eval_partition.txt is missing")


def test_a_picture_named_twice_is_refused(files, inshop):
    text = _partition(count=5) + _partition().splitlines()[2] + "\n"
    files.text(PARTITION, text)
    files.refused(NAME, "01_1_front", "twice")


# -- the pairs of PATN

FLAT = [
    "fashionMENDenimid0000008001_1front.jpg",
    "fashionMENDenimid0000008001_2side.jpg",
    "fashionWOMENDressesid0000000202_1front.jpg",
    "fashionWOMENDressesid0000000202_4full.jpg",
]


def _table(names):
    rows = ["name:keypoints_y:keypoints_x"]
    for seed, name in enumerate(names):
        y = [10 * seed + k for k in range(18)]
        x = [100 + 10 * seed + k for k in range(18)]
        y[5] = x[5] = -1
        rows.append(f"{name}: {y}: {x}")
    return "\n".join(rows) + "\n"


@pytest.fixture
def pairs(files):
    for split, names in (("train", FLAT[:2]), ("test", FLAT[2:])):
        for seed, name in enumerate(names):
            files.picture(f"{split}/{name}", size=(176, 256), seed=seed)
        lines = ["from,to", f"{names[0]},{names[1]}", f"{names[1]},{names[0]}"]
        files.text(f"fasion-resize-pairs-{split}.csv", "\n".join(lines) + "\n")
        files.text(f"fasion-resize-annotation-{split}.csv", _table(names))


def test_pairs_come_back_with_key_points_and_in_order(files, pairs):
    builder, examples = files.build(NAME, layout="pairs")
    assert {split: len(items) for split, items in examples.items()} == {
        "train": 2,
        "test": 2,
    }
    first, second = examples["test"]
    assert first["source"].decode() == "WOMEN/Dresses/id_00000002/02_1_front"
    assert first["target"].decode() == "WOMEN/Dresses/id_00000002/02_4_full"
    assert first["outfit"].decode() == "WOMEN-Dresses-id_00000002-02"
    np.testing.assert_array_equal(first["source_image"], second["target_image"])
    np.testing.assert_array_equal(first["source_keypoints"], second["target_keypoints"])
    # x before y, and a point that was not found is zeros.
    np.testing.assert_array_equal(first["target_keypoints"][0], [110, 10, 1])
    np.testing.assert_array_equal(first["target_keypoints"][5], [0, 0, 0])
    assert builder.info.metadata["keypoint_names"] == list(COCO18)
    assert COCO18[5] == "left_shoulder" and COCO18[2] == "right_shoulder"


def test_half_lists_of_pairs_are_refused(files, pairs):
    files.refused(NAME, "2 pairs", "101966", layout="pairs", complete=True)
    files.text("fasion-resize-annotation-test.csv", _table(FLAT[2:3]))
    files.refused(NAME, "annotation-test.csv", FLAT[3], layout="pairs")
    (files.root / f"train/{FLAT[0]}").unlink()
    files.text("fasion-resize-annotation-test.csv", _table(FLAT[2:]))
    files.refused(NAME, FLAT[0], layout="pairs")


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("pairs-train.csv", "to,from\n", ["'from,to'"]),
        ("pairs-train.csv", "from,to\na.jpg,b.jpg\n", ["line 2", "a.jpg,b.jpg"]),
        ("annotation-train.csv", "name,y,x\n", ["first line"]),
        ("annotation-train.csv", _table(FLAT[:2]) + _table(FLAT[:1])[28:], ["line 4"]),
    ],
)
def test_lists_of_another_form_are_refused(files, pairs, name, text, words):
    files.text(f"fasion-resize-{name}", text)
    files.refused(NAME, name, *words, layout="pairs")


def test_a_table_of_key_points_is_checked(files):
    path = files.path("table.csv")
    head = "name:keypoints_y:keypoints_x\n"
    for row, word in (
        (f"{FLAT[0]}: [1, 2]", "two lists"),
        (f"{FLAT[0]}: [1, 2]: [3, 4]", "(2,)"),
        (f"{FLAT[0]}: [1, 2: [3, 4]", "no lists"),
        (_table(FLAT[:1])[len(head) :] + _table(FLAT[:1])[len(head) :], "second time"),
    ):
        path.write_text(head + row)
        with pytest.raises(InputError, match=r"table\.csv") as refusal:
            read_keypoint_table(path)
        assert word in str(refusal.value)


# -- the folder form of the reposing paper


@pytest.fixture
def posed(files, numbers):
    poses = {}
    for item in range(3):
        key = f"id_{item:08d}"
        views = {"1_front": numbers(19, 3), "3_back": numbers(19, 3)}
        poses.setdefault("WOMEN", {}).setdefault("Dresses", {})[key] = {"02": views}
        for view in views:
            files.picture(f"images/WOMEN/Dresses/{key}/02/{view}.png", seed=item)
    files.pickle("poses.pkl", poses, protocol=4)
    files.text("validation_outfits.txt", "WOMEN-Dresses-id_00000001-02\n")
    files.text("test_outfits.txt", "WOMEN-Dresses-id_00000002-02\r\n")


def test_outfits_are_split_by_the_lists(files, posed):
    _, examples = files.build(NAME, layout="reposing")
    assert {
        split: sorted({item["outfit"].decode() for item in items})
        for split, items in examples.items()
    } == {
        split: [f"WOMEN-Dresses-id_0000000{number}-02"]
        for number, split in enumerate(("train", "validation", "test"))
    }
    names = [item["name"].decode() for item in examples["test"]]
    assert names == [
        f"WOMEN/Dresses/id_00000002/02/{view}" for view in ("1_front", "3_back")
    ]


@pytest.mark.parametrize(
    "text, words",
    [
        (None, ["test_outfits.txt is missing"]),
        ("WOMEN-Dresses-id_00000009-02\n", ["id_00000009", "no picture"]),
        ("WOMEN-Dresses-id_00000001-02\n", ["validation as well"]),
        ("WOMEN-Dresses-id_00000002-02\n" * 2, ["twice"]),
    ],
)
def test_lists_of_outfits_are_checked(files, posed, text, words):
    if text is None:
        (files.root / "test_outfits.txt").unlink()
    else:
        files.text("test_outfits.txt", text)
    files.refused(NAME, *words, layout="reposing")


def test_a_layout_of_fewer_levels_is_refused(files, posed, numbers):
    files.pickle("poses.pkl", {"001": {"9": {"000": numbers(19, 3)}}})
    files.picture("images/001/9/000.png")
    for name in (files.root / "images/WOMEN").rglob("*.png"):
        name.unlink()
    files.refused(NAME, "'001/9/000'", "4 levels", layout="reposing")
