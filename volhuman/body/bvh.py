"""Parses BVH motion files and finds the joints of the body in them by name.

Axes and lengths are the file's own; `volhuman.body.motion` turns them into poses of the
body. Matrices act on column vectors; a joint's channels multiply in the order in which
the file lists them, so that the last one turns first. The zero pose is the pose in which
all rotation channels are 0: the offsets alone.

Letters in shapes: N nodes (joints and end sites), C channels of all joints, T frames.
"""

import dataclasses
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

# The longest take of the CMU library has 20 MB, 23 000 frames and 38 nodes.
_MAX_BYTES = 1 << 26
_MAX_NODES = 1024
_MAX_NODE_FRAMES = 1 << 22
_CHANNELS = [axis + kind for kind in ("position", "rotation") for axis in "xyz"]

# Names without side, case and punctuation, best first. One name can stand for two
# joints ("LeftShoulder" is CMU's collar and Kinect's shoulder; "foot" is the ankle where
# toes exist): the joint listed first here takes it, the later one what is left.
_MIDDLE_NAMES = {
    "pelvis": ("hips", "hip", "pelvis", "hipcenter", "spinebase", "root"),
    "neck": ("neck", "neck01", "neck1"),
    "head": ("head",),
}
_SIDED_NAMES = {
    "hip": ("upleg", "upperleg", "upperleg01", "thigh", "hip"),
    "knee": ("knee", "lowleg", "lowerleg", "lowerleg01", "shin", "calf", "leg"),
    "ankle": ("ankle", "foot"),
    "foot": ("toebase", "toe", "toes", "toe0", "ball", "foot"),
    "shoulder": (
        "uparm",
        "upperarm",
        "upperarm01",
        "shldr",
        "arm",
        "shoulder02",
        "shoulder",
    ),
    "elbow": ("elbow", "forearm", "lowarm", "lowerarm", "lowerarm01"),
    "wrist": ("wrist", "hand"),
    "collar": ("collar", "clavicle", "shoulder"),
    "hand": ("hand", "fingerbase", "handmiddle1", "middle1", "mid1", "finger31"),
}
_ESSENTIAL = ("hip", "knee", "shoulder", "elbow")


@dataclasses.dataclass(frozen=True)
class Bvh:
    """The content of a BVH file.

    Attributes:
        names: N joint names, "" for an end site.
        parents: `(N,)` int, -1 for the root; parents come before their children.
        offsets: `(N, 3)` from the parent in the zero pose, file units.
        channels: Per node the names of its channels in the file's order, lower case.
        values: `(T, C)` file units and degrees.
        frame_time: Seconds.
    """

    names: tuple[str, ...]
    parents: np.ndarray
    offsets: np.ndarray
    channels: tuple[tuple[str, ...], ...]
    values: np.ndarray
    frame_time: float

    def ancestors(self, node: int) -> list[int]:
        """Returns the path from the root to a node, both included."""
        path = []
        while node >= 0:
            path.append(node)
            node = int(self.parents[node])
        return path[::-1]


def parse_bvh(path: Path) -> Bvh:
    """Parses a file.

    Args:
        path: File of at most 64 MB.

    Returns:
        Its content; every number is finite.

    Raises:
        ValueError: If the text is not a BVH file of one skeleton; the message is the
            cause without the path.
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"it has more than {_MAX_BYTES} bytes; cut it into pieces")
    # Names may be in any encoding; all that matters is ASCII.
    lines = content.decode("utf-8-sig", errors="replace").splitlines()
    first_words = ((line.split() or [""])[0].upper() for line in lines)
    motion = next((n for n, word in enumerate(first_words) if word == "MOTION"), None)
    if motion is None:
        raise ValueError("it has no line MOTION")
    names, parents, offsets, channels = _parse_hierarchy(lines[:motion])
    values, frame_time = _parse_motion(lines, motion + 1, sum(map(len, channels)))
    if len(names) * len(values) > _MAX_NODE_FRAMES:
        raise ValueError(
            f"it has {len(names)} nodes times {len(values)} frames, more than "
            f"{_MAX_NODE_FRAMES}; cut it into pieces"
        )
    owners = [name for name, own in zip(names, channels) for _ in own]
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        frame, channel = bad[0]
        raise ValueError(
            f"frame {frame} of joint {owners[channel]!r} is {values[frame, channel]}"
        )
    return Bvh(
        tuple(names),
        np.array(parents),
        np.array(offsets),
        tuple(channels),
        values,
        frame_time,
    )


def _parse_hierarchy(lines: list[str]) -> tuple[list, list, list, list]:
    """Returns names, parents, offsets and channels of the nodes in the file's order."""
    names, parents, offsets, channels = [], [], [], []
    stack = []
    is_open = True  # The node named last still waits for its brace.
    for number, words in _statements(lines):
        keyword = words[0].upper()
        if keyword in ("ROOT", "JOINT", "END"):
            if (is_open and names) or (keyword == "ROOT") != (not names):
                raise ValueError(f"line {number}: {' '.join(words)!r} is out of place")
            if len(names) == _MAX_NODES:
                raise ValueError(f"it has more than {_MAX_NODES} joints")
            if keyword != "ROOT" and not stack:
                raise ValueError(f"line {number}: a joint outside the root")
            names.append("" if keyword == "END" else " ".join(words[1:]))
            parents.append(stack[-1] if stack else -1)
            offsets.append(None)
            channels.append(())
            is_open = True
        elif keyword == "{" and is_open and names:
            stack.append(len(names) - 1)
            is_open = False
        elif keyword == "}" and stack and not is_open:
            if offsets[stack[-1]] is None:
                raise ValueError(f"line {number}: a joint ends without OFFSET")
            stack.pop()
        elif keyword == "OFFSET" and stack and not is_open:
            offsets[stack[-1]] = _parse_offset(number, words[1:])
        elif keyword == "CHANNELS" and stack and not is_open:
            channels[stack[-1]] = _parse_channels(number, words[1:])
        elif keyword != "HIERARCHY":
            raise ValueError(f"line {number}: {' '.join(words)[:80]!r} is out of place")
    if not names or stack or is_open:
        raise ValueError("its HIERARCHY is not complete")
    return names, parents, offsets, channels


def _statements(lines: list[str]) -> Iterable[tuple[int, list[str]]]:
    """Yields line numbers from 1 and words; a brace is a statement of its own."""
    for number, line in enumerate(lines, 1):
        for part in re.split(r"([{}])", line):
            if part.strip():
                yield number, part.split()


def _parse_offset(number: int, words: list[str]) -> list[float]:
    try:
        offset = [float(word) for word in words]
    except ValueError:
        offset = []
    if len(offset) != 3 or not np.isfinite(offset).all():
        raise ValueError(
            f"line {number}: OFFSET {' '.join(words)[:80]}, expected x y z"
        )
    return offset


def _parse_channels(number: int, words: list[str]) -> tuple[str, ...]:
    channels = tuple(word.lower() for word in words[1:])
    if (
        not words
        or words[0] != str(len(channels))
        or len(set(channels)) < len(channels)
    ):
        raise ValueError(
            f"line {number}: CHANNELS {' '.join(words)[:80]}, expected their number and "
            "as many different names"
        )
    unknown = [channel for channel in channels if channel not in _CHANNELS]
    if unknown:
        raise ValueError(
            f"line {number}: channel {unknown[0][:40]!r}, expected one of "
            f"{', '.join(_CHANNELS)}"
        )
    return channels


def _parse_motion(
    lines: list[str], start: int, num_channels: int
) -> tuple[np.ndarray, float]:
    """Returns the values `(T, C)` and the frame time in seconds."""
    rows = [n for n in range(start, len(lines)) if lines[n].strip()]
    header = [lines[n].partition(":") for n in rows[:2]]
    keys = [" ".join(key.lower().split()) for key, _, _ in header]
    if keys != ["frames", "frame time"]:
        raise ValueError("the lines 'Frames:' and 'Frame Time:' do not follow MOTION")
    frames, time = (value.strip() for _, _, value in header)
    if not frames.isdecimal() or int(frames) == 0:
        raise ValueError(f"Frames is {frames[:40]!r}, expected a positive number")
    try:
        frame_time = float(time)
    except ValueError:
        frame_time = 0.0
    if not 0 < frame_time < np.inf:
        raise ValueError(f"Frame Time is {time[:40]!r}, expected seconds above 0")
    rows = rows[2:]
    if len(rows) != int(frames):
        raise ValueError(f"it announces {int(frames)} frames and has {len(rows)} lines")
    if num_channels == 0:
        raise ValueError("its joints have no channels")
    for n in rows:
        count = len(lines[n].split())
        if count != num_channels:
            raise ValueError(
                f"line {n + 1} has {count} numbers, expected {num_channels}"
            )
    values = np.loadtxt((lines[n] for n in rows), comments=None, ndmin=2)
    return values, frame_time


def zero_positions(bvh: Bvh) -> np.ndarray:
    """Returns the nodes `(N, 3)` in the zero pose, file units, the root at 0."""
    positions = np.zeros((len(bvh.names), 3))
    for node in range(1, len(positions)):
        positions[node] = positions[bvh.parents[node]] + bvh.offsets[node]
    return positions


def posed_nodes(bvh: Bvh, pelvis: int) -> tuple[np.ndarray, np.ndarray]:
    """Computes where every node is in every frame.

    Position channels replace the offset from the root to the pelvis. Below the pelvis
    they are ignored, so that bones keep their lengths.

    Args:
        bvh: Content of a file.
        pelvis: The node that carries the body.

    Returns:
        World rotations `(N, T, 3, 3)` and positions `(N, T, 3)`, file axes and units.
    """
    num_nodes, num_frames = len(bvh.names), len(bvh.values)
    rotations = np.empty((num_nodes, num_frames, 3, 3))
    positions = np.empty((num_nodes, num_frames, 3))
    carriers = bvh.ancestors(pelvis)
    column = 0
    for node, (parent, channels) in enumerate(zip(bvh.parents, bvh.channels)):
        values = bvh.values[:, column : column + len(channels)]
        column += len(channels)
        rotation, offset = _local_transform(channels, values, bvh.offsets[node])
        if node not in carriers:
            offset = np.broadcast_to(bvh.offsets[node], offset.shape)
        if parent < 0:
            rotations[node], positions[node] = rotation, offset
            continue
        rotations[node] = rotations[parent] @ rotation
        moved = (rotations[parent] @ offset[..., None])[..., 0]
        positions[node] = positions[parent] + moved
    return rotations, positions


def _local_transform(
    channels: tuple[str, ...], values: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns rotations `(T, 3, 3)` and offsets `(T, 3)` of one joint's channels."""
    turning = [n for n, channel in enumerate(channels) if channel.endswith("rotation")]
    rotation = np.broadcast_to(np.eye(3), (len(values), 3, 3))
    if turning:
        # Upper case: about the axes that turn along, first channel outermost.
        order = "".join(channels[n][0].upper() for n in turning)
        angles = values[:, turning]
        rotation = Rotation.from_euler(order, angles, degrees=True).as_matrix()
    offsets = np.tile(offset, (len(values), 1))
    for n, channel in enumerate(channels):
        if channel.endswith("position"):
            offsets[:, "xyz".index(channel[0])] = values[:, n]
    return rotation, offsets


def find_joints(bvh: Bvh) -> dict[str, int]:
    """Finds the nodes that stand for joints of `body.skeleton`, by name and by tree.

    Knows the names of CMU's library, Mixamo, MakeHuman, Poser and DAZ, Biped, Unreal,
    Unity, Kinect and SMPL, in any case, behind any name space or common prefix, with
    the side as left, right, l, r before or after. The spine is the path between pelvis
    and shoulders, whatever its joints are called.

    Args:
        bvh: Content of a file.

    Returns:
        Node by joint name; joints that the file lacks are absent.

    Raises:
        ValueError: If pelvis, hips, knees, shoulders or elbows are missing.
    """
    nodes = _nodes_by_plain_name(bvh.names)
    wanted = {joint: list(bases) for joint, bases in _MIDDLE_NAMES.items()}
    for joint, bases in _SIDED_NAMES.items():
        for side in ("left", "right"):
            wanted[f"{side}_{joint}"] = [
                spelled
                for base in bases
                for spelled in (
                    side + base,
                    side[0] + base,
                    base + side,
                    base + side[0],
                )
            ]
    found = {}
    for joint, spellings in wanted.items():
        name = next((name for name in spellings if name in nodes), None)
        if name is not None:
            found[joint] = nodes.pop(name)
    essential = [
        f"{side}_{joint}" for joint in _ESSENTIAL for side in ("left", "right")
    ]
    missing = [joint for joint in ["pelvis", *essential] if joint not in found]
    if missing:
        names = ", ".join(name[:40] for name in bvh.names[:60] if name)
        raise ValueError(
            f"no joint is its {', '.join(missing)}; its joints are {names}"
        )
    found.update(_find_spine(bvh, found))
    return found


def _nodes_by_plain_name(names: tuple[str, ...]) -> dict[str, int]:
    """Returns nodes by name without name space, common prefix, case, punctuation."""
    plain = [re.sub("[^a-z0-9]", "", name.rpartition(":")[2].lower()) for name in names]
    # The root may lack the prefix of the others ("Armature" over "rig_Hips").
    prefix = os.path.commonprefix([name for name in plain[1:] if name])
    nodes = {}
    for node, name in enumerate(plain):
        if names[node]:
            nodes.setdefault(name.removeprefix(prefix), node)
    return nodes


def _find_spine(bvh: Bvh, found: dict[str, int]) -> dict[str, int]:
    """Spreads the joints between pelvis and shoulders over the three of the body."""
    left, right = (
        bvh.ancestors(found[f"{side}_shoulder"]) for side in ("left", "right")
    )
    below = bvh.ancestors(found["pelvis"])
    spine = [
        node
        for node in left
        if node in right and node not in below and node not in found.values()
    ]
    if not spine:
        return {}
    # The last one is always the chest, which carries the shoulders.
    picks = [-(-(number * len(spine)) // 3) - 1 for number in (1, 2, 3)]
    return {f"spine{number}": spine[pick] for number, pick in enumerate(picks, 1)}
