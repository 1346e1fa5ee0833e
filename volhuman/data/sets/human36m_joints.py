"""The joint orders in which Human3.6M is passed around, by name.

Human3.6M itself and most lifters (Martinez, Kudo, VideoPose3D) put the right leg first;
SMPL estimators put the left leg first or use another list altogether. Nothing in a file
tells which, so no order is written here as numbers: `reorder` finds them from names.
Left is the person's left.
"""

from collections.abc import Sequence

_CORE = ("spine", "thorax", "nose", "head_top")
_LEFT_LEG = ("left_hip", "left_knee", "left_ankle")
_RIGHT_LEG = ("right_hip", "right_knee", "right_ankle")
_LEFT_ARM = ("left_shoulder", "left_elbow", "left_wrist")
_RIGHT_ARM = ("right_shoulder", "right_elbow", "right_wrist")

# The 17 joints of the evaluations, in the order of Human3.6M: examples have this order.
HUMAN36M_17 = ("pelvis", *_RIGHT_LEG, *_LEFT_LEG, *_CORE, *_LEFT_ARM, *_RIGHT_ARM)

# The same as the vertex regressor of SMPL estimators gives them.
HUMAN36M_17_LEFT_FIRST = (
    "pelvis",
    *_LEFT_LEG,
    *_RIGHT_LEG,
    *_CORE,
    *_LEFT_ARM,
    *_RIGHT_ARM,
)

# The 17 joints on which those are compared (LSP's 14, then pelvis, spine, nose).
LSP_17 = (
    *reversed(_RIGHT_LEG),
    *_LEFT_LEG,
    *reversed(_RIGHT_ARM),
    *_LEFT_ARM,
    "thorax",
    "head_top",
    "pelvis",
    "spine",
    "nose",
)

# The 24 of SPIN's archives. Human3.6M's annotations fill 17 of them; the others have
# confidence 0. LSP's neck is Human3.6M's thorax, its jaw Human3.6M's nose.
SPIN_24 = (
    *reversed(_RIGHT_LEG),
    *_LEFT_LEG,
    *reversed(_RIGHT_ARM),
    *_LEFT_ARM,
    "thorax",
    "lsp_head_top",
    "pelvis",
    "mpii_thorax",
    "spine",
    "nose",
    "head_top",
    "face_nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
)

# The 32 of the recordings; those that do not move, or double another, have no name.
HUMAN36M_32 = (
    *("pelvis", *_RIGHT_LEG, "", ""),
    *(*_LEFT_LEG, "", "", ""),
    *_CORE,
    *("", *_LEFT_ARM, "", "", "", ""),
    *("", *_RIGHT_ARM, "", "", "", ""),
)


def reorder(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Returns, for each wanted joint, its number in a list.

    Raises:
        ValueError: If a joint is not in the list, or stands there twice.
    """
    for name in wanted:
        if not name or list(names).count(name) != 1:
            raise ValueError(f"joint {name!r} is not exactly once in {tuple(names)}")
    return [list(names).index(name) for name in wanted]
