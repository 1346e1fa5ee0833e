"""The person as a skinned mesh: model, skeleton, poses, key points, correspondences."""

from volhuman.body.correspondence import (
    SurfacePoints,
    points_at_vertices,
    points_from_rest,
    points_from_uv,
    surface_positions,
)
from volhuman.body.keypoints import KEYPOINT_NAMES, body_keypoints
from volhuman.body.model import (
    BodyModel,
    BodyParams,
    Posed,
    pose_body,
    rest_joints,
    rest_params,
    take_vertices,
)
from volhuman.body.motion import Motion, read_motion
from volhuman.body.part_transforms import (
    BODY24,
    PANOPTIC19,
    JointSet,
    fit_limb,
    fit_part_transforms,
)
from volhuman.body.pose_prior import PosePrior, load_pose_prior
from volhuman.body.pose_sampler import sample_pose
from volhuman.body.skeleton import JOINT_NAMES, PARENTS, PART_NAMES, mirror_pose
from volhuman.body.template import build_body, load_smpl, load_template

__all__ = [
    "BODY24",
    "JOINT_NAMES",
    "KEYPOINT_NAMES",
    "PANOPTIC19",
    "PARENTS",
    "PART_NAMES",
    "BodyModel",
    "BodyParams",
    "JointSet",
    "Motion",
    "PosePrior",
    "Posed",
    "SurfacePoints",
    "body_keypoints",
    "build_body",
    "fit_limb",
    "fit_part_transforms",
    "load_pose_prior",
    "load_smpl",
    "load_template",
    "mirror_pose",
    "points_at_vertices",
    "points_from_rest",
    "points_from_uv",
    "pose_body",
    "read_motion",
    "rest_joints",
    "rest_params",
    "sample_pose",
    "surface_positions",
    "take_vertices",
]
