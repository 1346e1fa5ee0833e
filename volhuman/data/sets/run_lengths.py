"""Masks as run lengths in COCO's compressed text form.

A mask is written column by column as the lengths of alternating runs of 0 and 1, the
first of them 0s. Each length is a number of 5-bit digits, the lowest first, one
character a digit: 48 plus the digit, plus 32 if more digits follow. The last digit's
fifth bit is the sign. From the fourth length on, the difference to the length two
before is written in its place.
"""

from collections.abc import Sequence

import numpy as np


def decode_mask(counts: str | Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """Decodes a mask.

    Args:
        counts: Compressed text, or the lengths themselves.
        size: Height and width.

    Returns:
        uint8 `(H, W)` of 0 and 1.

    Raises:
        ValueError: If the lengths are not those of a mask of this size.
    """
    height, width = size
    lengths = _lengths(counts) if isinstance(counts, str) else list(counts)
    if any(length < 0 for length in lengths) or sum(lengths) != height * width:
        raise ValueError(
            f"the runs of a mask sum to {sum(lengths)}, expected {height} x {width}"
        )
    values = np.arange(len(lengths)) % 2
    flat = np.repeat(values.astype(np.uint8), lengths)
    return flat.reshape(width, height).T


def encode_mask(mask: np.ndarray) -> str:
    """Encodes a mask `(H, W)` of 0 and 1 as compressed text."""
    flat = np.asarray(mask, bool).T.reshape(-1)
    changes = np.flatnonzero(np.diff(flat, prepend=False)).tolist()
    ends = [*changes, len(flat)]
    lengths = [end - start for start, end in zip([0, *changes], ends)]
    digits = []
    for index, length in enumerate(lengths):
        number = length - lengths[index - 2] if index > 2 else length
        more = True
        while more:
            digit = number & 31
            number >>= 5
            more = number != (-1 if digit & 16 else 0)
            digits.append(chr(48 + digit + 32 * more))
    return "".join(digits)


def _lengths(text: str) -> list[int]:
    lengths: list[int] = []
    number = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError(f"a mask holds the character {character!r}")
        number |= (code & 31) << shift
        shift += 5
        if code & 32:
            if shift > 60:
                raise ValueError("a mask holds a run of absurd length")
            continue
        if code & 16:
            number -= 1 << shift
        lengths.append(number + lengths[-2] if len(lengths) > 2 else number)
        number = shift = 0
    if shift:
        raise ValueError("the text of a mask ends early")
    return lengths
