"""Parses BVH motion files and finds the joints and the axes of the body in them.

Axes and lengths are the file's own; `volhuman.body.motion` turns them into poses of
the body. Matrices act on column vectors; a joint's channels multiply in the order in
which the file lists them, so that the last one turns first. The zero pose is the one in
which all rotation channels are 0: the offsets alone.

Letters in shapes: N nodes (joints and end sites), C channels of all joints, T frames.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

# Seven minutes of a rig of 80 nodes at 120 frames a second.
_MAX_BYTES = 1 << 26
_MAX_NODES = 1024
_MAX_NODE_FRAMES = 1 << 22
_MAX_HEADER_LINE = 1000
_MAX_NUMBER = 1e9
_CHANNELS = [axis + kind for kind in ("position", "rotation") for axis in "xyz"]

# Names without side, case and punctuation, best first. One name can stand for two
# joints ("LeftShoulder" is CMU's collar and Kinect's shoulder, "foot" the ankle or the
# toes): the joint listed first takes it, a later one what is left.
_MIDDLE_NAMES = {
    "pelvis": "hips hip pelvis hipcenter spinebase root",
    "neck": "neck neck01 neck1",
    "head": "head",
}
_SIDED_NAMES = {
    "hip": "upleg upperleg upperleg01 thigh hip",
    "knee": "knee lowleg lowerleg lowerleg01 shin calf leg",
    "ankle": "ankle foot",
    "foot": "toebase toe toes toe0 ball foot",
    "shoulder": "uparm upperarm upperarm01 shldr arm shoulder02 shoulder",
    "elbow": "elbow forearm lowarm lowerarm lowerarm01",
    "wrist": "wrist hand",
    "collar": "collar clavicle shoulder",
    "hand": "hand fingerbase handmiddle1 middle1 middle01 mid1 finger31",
}
_SIDES = ("left", "right")
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
        Its content; every number is finite and below 1e9.

    Raises:
        ValueError: If the text is not a BVH file of one skeleton; the message is the
            cause without the path.
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    num_lines = content.count(b"\n") + content.count(b"\r")
    if len(content) > _MAX_BYTES or num_lines > _MAX_NODE_FRAMES:
        raise ValueError(f"it has over {_MAX_BYTES} bytes or too many lines; cut it")
    # Names may be in any encoding; all that matters is ASCII.
    rows = content.removeprefix(b"\xef\xbb\xbf").splitlines()
    lines = [row.decode(errors="replace") for row in rows]
    first_words = ((line.split() or [""])[0].upper() for line in lines)
    motion = next((n for n, word in enumerate(first_words) if word == "MOTION"), None)
    if motion is None:
        raise ValueError("it has no line MOTION")
    names, parents, offsets, channels = _parse_hierarchy(lines[:motion])
    owners = [name for name, own in zip(names, channels) for _ in own]
    values, frame_time = _parse_motion(lines, motion + 1, len(owners))
    if len(names) * len(values) > _MAX_NODE_FRAMES:
        raise ValueError(f"it has over {_MAX_NODE_FRAMES} joints times frames; cut it")
    bad = np.argwhere(~(np.abs(values) < _MAX_NUMBER))
    if len(bad):
        frame, channel = bad[0]
        raise ValueError(
            f"frame {frame} of joint {owners[channel]!r} is {values[frame, channel]}"
        )
    return Bvh(names, parents, offsets, channels, values, frame_time)


def _parse_hierarchy(lines: list[str]) -> tuple[tuple, np.ndarray, np.ndarray, tuple]:
    """Returns names, parents, offsets and channels of the nodes in the file's order."""
    names, parents, offsets, channels = [], [], [], []
    stack = []
    is_open = True  # The node named last still waits for its brace.
    for number, words in _statements(lines):
        keyword = words[0].upper()
        if keyword in ("ROOT", "JOINT", "END"):
            if names if keyword == "ROOT" else is_open or not stack:
                raise ValueError(f"line {number}: {' '.join(words)!r} is out of place")
            if len(names) == _MAX_NODES:
                raise ValueError(f"it has more than {_MAX_NODES} joints")
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
            raise ValueError(f"line {number}: {' '.join(words)!r} is out of place")
    if not names or stack or is_open:
        raise ValueError("its HIERARCHY is not complete")
    return tuple(names), np.array(parents), np.array(offsets), tuple(channels)


def _statements(lines: list[str]) -> Iterable[tuple[int, list[str]]]:
    """Yields line numbers from 1 and words; a brace is a statement of its own."""
    for number, line in enumerate(lines, 1):
        if len(line) > _MAX_HEADER_LINE:
            raise ValueError(f"line {number} has {len(line)} characters")
        for part in re.split(r"([{}])", line):
            if part.strip():
                yield number, part.split()


def _parse_offset(number: int, words: list[str]) -> list[float]:
    try:
        offset = [float(word) for word in words]
    except ValueError:
        offset = []
    if len(offset) != 3 or not np.max(np.abs(offset)) < _MAX_NUMBER:
        raise ValueError(f"line {number}: OFFSET {' '.join(words)}, expected x y z")
    return offset


def _parse_channels(number: int, words: list[str]) -> tuple[str, ...]:
    channels = tuple(word.lower() for word in words[1:])
    known = set(channels) & set(_CHANNELS)
    if not words or words[0] != str(len(channels)) or len(known) < len(channels):
        raise ValueError(
            f"line {number}: CHANNELS {' '.join(words)}, expected a number and as many "
            f"different ones of {', '.join(_CHANNELS)}"
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
    del rows[:2]
    if len(rows) != int(frames):
        raise ValueError(f"it announces {int(frames)} frames and has {len(rows)} lines")
    if num_channels == 0:
        raise ValueError("its joints have no channels")
    for n in rows:
        count = len(lines[n].split(None, num_channels))
        if count != num_channels:
            kind = "more" if count > num_channels else "fewer"
            raise ValueError(f"line {n + 1} has {kind} than {num_channels} numbers")
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
    wanted = {joint: bases.split() for joint, bases in _MIDDLE_NAMES.items()}
    for joint, bases in _SIDED_NAMES.items():
        for side in _SIDES:
            wanted[f"{side}_{joint}"] = [
                spelled
                for base in bases.split()
                for mark in (side, side[0])
                for spelled in (mark + base, base + mark)
            ]
    found = {}
    for joint, spellings in wanted.items():
        name = next((name for name in spellings if name in nodes), None)
        if name is not None:
            found[joint] = nodes.pop(name)
    essential = [f"{side}_{joint}" for joint in _ESSENTIAL for side in _SIDES]
    missing = [joint for joint in ["pelvis", *essential] if joint not in found]
    if missing:
        names = ", ".join(name[:40] for name in bvh.names[:60] if name)
        raise ValueError(f"it has no {', '.join(missing)}; its joints are {names}")
    found.update(_find_spine(bvh, found))
    return found


def _nodes_by_plain_name(names: tuple[str, ...]) -> dict[str, int]:
    """Returns nodes by name without name space, common prefix, case, punctuation."""
    plain = [re.sub("[^a-z0-9]", "", name.rpartition(":")[2].lower()) for name in names]
    # The root may lack the prefix of the others ("Armature" over "rig_Hips").
    letters = zip(*(name for name in plain[1:] if name))
    shared = itertools.takewhile(lambda column: len(set(column)) == 1, letters)
    prefix = "".join(column[0] for column in shared)
    nodes = {}
    for node, name in enumerate(plain):
        if names[node]:
            nodes.setdefault(name.removeprefix(prefix), node)
    return nodes


def _find_spine(bvh: Bvh, found: dict[str, int]) -> dict[str, int]:
    """Spreads the joints between pelvis and shoulders over the three of the body."""
    left, right = (bvh.ancestors(found[f"{side}_shoulder"]) for side in _SIDES)
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


def find_axes(
    nodes: dict[str, int], zero: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Finds left, up and front of the zero pose, and the rotation to y-up.

    Args:
        nodes: Node by joint name.
        zero: `(N, 3)` zero pose.
        positions: `(N, T, 3)` posed nodes, for zero poses that do not stand.

    Returns:
        Left, up and front in the zero pose as columns `(3, 3)`, and the rotation
        `(3, 3)` by quarter turns from the file's world to a y-up world.

    Raises:
        ValueError: If left and right of the zero pose are not apart.
    """
    middle = lambda joint, points: (
        sum(points[nodes[f"{s}_{joint}"]] for s in _SIDES) / 2
    )
    trunk = middle("shoulder", zero) - middle("hip", zero)
    thighs = middle("knee", zero) - middle("hip", zero)
    size = np.linalg.norm(trunk)
    stands = trunk @ thighs < -0.7 * size * np.linalg.norm(thighs)
    # Quarter turns: a rig that leans by a few degrees does not tilt the floor.
    up = _nearest_axis(trunk) if stands else trunk / max(size, 1e-300)
    for joint in ("hip", "shoulder"):
        left = zero[nodes[f"left_{joint}"]] - zero[nodes[f"right_{joint}"]]
        if np.linalg.norm(np.cross(left, up)) > 0.01 * size > 0:
            break
    else:
        raise ValueError("left and right of its zero pose are not apart")
    body_axes = _frame(left, up)
    if stands:
        return body_axes, _frame(_nearest_axis(body_axes[:, 0]), up).T
    up = _nearest_axis(
        (middle("shoulder", positions) - middle("hip", positions)).mean(0)
    )
    return body_axes, _frame(np.eye(3)[int(up[0] != 0)], up).T


def _nearest_axis(vector: np.ndarray) -> np.ndarray:
    axis = np.zeros(3)
    largest = np.argmax(np.abs(vector))
    axis[largest] = np.copysign(1, vector[largest])
    return axis


def _frame(left: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Returns left, up (of length 1, kept) and front as columns `(3, 3)`."""
    left = left - (left @ up) * up
    left = left / np.linalg.norm(left)
    return np.stack([left, up, np.cross(left, up)], axis=1)
