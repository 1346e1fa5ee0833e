"""All ordered pairs of the pictures of one person, from a data set of pairs."""

import itertools
from collections.abc import Collection
from typing import Any

from volhuman.data.loader import Source
from volhuman.errors import InputError

_ENDS = ("source", "target")


class FramePairs:
    """Pairs every picture of a person with every other, in both directions.

    A data set of pairs holds several pairs of one person one after the other, all
    before one camera. Two of them give four pictures and so twelve pairs.

    Attributes:
        dataset_info: As of the data set, for messages.
        split: As of the data set.
    """

    def __init__(self, source: Source, fields: Collection[str], *, pairs: int = 2):
        """Wraps a source.

        Args:
            source: Records of pairs; `pairs` neighbours show one person.
            fields: Fields of a picture, without "_source" and "_target", to keep.
            pairs: Pairs a person in `source`.

        Raises:
            InputError: If the number of records is no multiple of `pairs`.
        """
        if len(source) % pairs:
            raise InputError(
                f"the data set has {len(source)} pairs, expected {pairs} of each "
                "person; build it again"
            )
        self._source, self._fields, self._pairs = source, tuple(fields), pairs
        self._orders = list(itertools.permutations(range(2 * pairs), 2))
        self.dataset_info = getattr(source, "dataset_info", None)
        self.split = getattr(source, "split", "")

    def __len__(self) -> int:
        return len(self._source) // self._pairs * len(self._orders)

    def __getitem__(self, index: int) -> dict[str, Any]:
        person, order = divmod(int(index), len(self._orders))
        chosen = {}
        for end, frame in zip(_ENDS, self._orders[order], strict=True):
            record = self._source[person * self._pairs + frame // 2]
            for field in self._fields:
                chosen[f"{field}_{end}"] = record[f"{field}_{_ENDS[frame % 2]}"]
        return chosen
