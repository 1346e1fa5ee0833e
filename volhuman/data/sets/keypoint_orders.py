"""Orders of key points that several data sets use; left is the person's left."""

# OpenPose's COCO model; "mid_shoulder" is what it calls neck.
COCO18 = (
    "nose",
    "mid_shoulder",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
)

# CMU Panoptic's, in which the poses of the reposing paper are stored.
PANOPTIC_19 = (
    "neck",
    "nose",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_eye",
    "left_ear",
    "right_eye",
    "right_ear",
    "pelvis",
)
