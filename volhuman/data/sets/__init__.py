"""Data sets that others collected, read from files that the user has obtained.

None is part of this package, and none is downloaded: their licences do not allow it.
Each module holds the readers of a set's files, which work alone, and a thin builder
that joins them into examples for TensorFlow Datasets (without TensorFlow);
`volhuman.data.sets.building.prepare(name, manual_dir, data_dir)` runs it. The
builders' `MANUAL_DOWNLOAD_INSTRUCTIONS` say where a set comes from, under which licence
and how its files must lie.

| Name (`volhuman_` before it) | One example | Splits |
|---|---|---|
| `iper` | frame of a video: picture, SMPL pose, key points; or 19 joints in 3D | train, validation, test |
| `deepfashion` | picture of an outfit; or with 19 joints in 3D; or a pair with 18 key points | train, query, gallery; train, validation, test; train, test |
| `thuman` | coloured scan, SMPL body, Kinect's picture, depth and mask | train, test |
| `scans` | textured scan (PaMIR's layout or plain folders), fitted body | train |
| `buff` | coloured scan of a sequence, minimal body | test |
| `people_snapshot` | frame of a turning person: picture, mask, SMPL pose, camera | test |
| `densepose_coco` | person: picture, box, points on the surface, part masks, key points | train, valminusminival, minival |
| `densepose_posetrack` | the same, with track and video | train, validation |
| `human36m` | frame: 17 joints in 3D and 2D, mostly with the picture | train, test |

Every example has a unique `name`. Numbers are float32; lengths are in metres, unless a
feature says pixels; left is the person's left. Text comes as bytes. Pictures are stored
as the bytes of their files and decode to uint8. Examples keep the order of the index
files, and `read_names(builder)` lists them.
"""  # noqa: E501  A table is read best in whole rows.

_MODULES = {
    "volhuman_iper": "iper:Iper",
    "volhuman_deepfashion": "deepfashion:DeepFashion",
    "volhuman_thuman": "thuman:Thuman",
    "volhuman_scans": "scans:Scans",
    "volhuman_buff": "buff:Buff",
    "volhuman_people_snapshot": "people_snapshot:PeopleSnapshot",
    "volhuman_densepose_coco": "densepose_coco:DensePoseCoco",
    "volhuman_densepose_posetrack": "densepose_posetrack:DensePosePoseTrack",
    "volhuman_human36m": "human36m:Human36m",
}
# Name of a data set to the place of its builder.
BUILDERS = {name: f"volhuman.data.sets.{place}" for name, place in _MODULES.items()}
