"""Pure functions on arrays: they know no person, no network and no file.

`voxelize.voxelize` is not re-exported: its name would hide its module.
"""

from volhuman.geometry.camera import (
    Crop,
    Pinhole,
    WeakPerspective,
    crop_around,
    crop_image,
    pinhole_from_weak,
    pixel_from_view,
    project_pinhole,
    project_weak,
    uncrop_image,
    unproject_pinhole,
    unproject_weak,
    view_from_pixel,
    weak_from_pinhole,
)
from volhuman.geometry.masks import capsule_masks, joint_heatmaps
from volhuman.geometry.mesh import (
    closest_point,
    nearest_vertices,
    point_to_surface,
    vertex_normals,
)
from volhuman.geometry.rotation import (
    axis_angle_to_matrix,
    gram_schmidt,
    matrix_to_axis_angle,
    minimal_rotation,
)
from volhuman.geometry.sampling import sample_bilinear, sample_trilinear, view_grid
from volhuman.geometry.similarity import Similarity, closest_rotation, fit_similarity
from volhuman.geometry.surface import (
    depth_from_occupancy,
    extract_surface,
    normals_from_depth,
)
from volhuman.geometry.voxelize import semantic_volume
from volhuman.geometry.warp import warp_parts

__all__ = [
    "Crop",
    "Pinhole",
    "Similarity",
    "WeakPerspective",
    "axis_angle_to_matrix",
    "capsule_masks",
    "closest_point",
    "closest_rotation",
    "crop_around",
    "crop_image",
    "depth_from_occupancy",
    "extract_surface",
    "fit_similarity",
    "gram_schmidt",
    "joint_heatmaps",
    "matrix_to_axis_angle",
    "minimal_rotation",
    "nearest_vertices",
    "normals_from_depth",
    "pinhole_from_weak",
    "pixel_from_view",
    "point_to_surface",
    "project_pinhole",
    "project_weak",
    "sample_bilinear",
    "sample_trilinear",
    "semantic_volume",
    "uncrop_image",
    "unproject_pinhole",
    "unproject_weak",
    "vertex_normals",
    "view_from_pixel",
    "view_grid",
    "warp_parts",
    "weak_from_pinhole",
]
