"""Tables of scores that can be compared with each other.

A number means little without what could have been reached and what was given for free,
so every table has two more rows: the ground truth measured against itself, and the body
without clothing or texture that a method started from.
"""

import dataclasses
from collections.abc import Mapping

from volhuman.evaluation.protocol import NotAvailable, Score, protocol_differences

TRUTH_ROW = "ground truth against itself"
BODY_ROW = "bare body"

Cell = Score | NotAvailable
Cells = Mapping[str, Cell]


@dataclasses.dataclass(frozen=True)
class Table:
    """Scores by row and column; made by `make_table`.

    Attributes:
        title: Heading.
        columns: Labels of the columns, in order.
        rows: Cells of every row by column label; the two anchors come last.
    """

    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, Cells]


def make_table(
    title: str,
    rows: Mapping[str, Cells],
    *,
    truth: Cells | NotAvailable,
    bare_body: Cells | NotAvailable,
) -> Table:
    """Joins the scores of methods and anchors, and checks that they can be compared.

    Args:
        title: Heading.
        rows: Cells by column label, of every method.
        truth: Cells of the ground truth against itself; or "not applicable" and why.
        bare_body: Cells of the bare body; or "not applicable" and why.

    Returns:
        The table.

    Raises:
        ValueError: If there is no row, a row lacks a column, an anchor is only "not
            computed", or scores of one column were measured under different protocols.
    """
    if not rows or not all(rows.values()):
        raise ValueError("a table needs at least one row with at least one column")
    if {TRUTH_ROW, BODY_ROW} & set(rows):
        raise ValueError(f"{TRUTH_ROW!r} and {BODY_ROW!r} are given as options")
    columns = tuple(next(iter(rows.values())))
    rows = dict(rows)
    for name, cells in ((TRUTH_ROW, truth), (BODY_ROW, bare_body)):
        if isinstance(cells, NotAvailable):
            if cells.status != "not applicable":
                raise ValueError(
                    f"the row {name!r} is {cells.status!r}; give its scores, or say "
                    "why it is not applicable"
                )
            cells = dict.fromkeys(columns, cells)
        rows[name] = cells
    for name, cells in rows.items():
        if set(cells) != set(columns):
            wrong = sorted(set(cells) ^ set(columns))
            raise ValueError(
                f"the row {name!r} and the first row differ in the columns {wrong}; "
                "give a reason where a number is missing"
            )
    for column in columns:
        _check_comparable(column, rows)
    return Table(title, columns, rows)


def _check_comparable(column, rows):
    scores = {
        name: cells[column]
        for name, cells in rows.items()
        if isinstance(cells[column], Score)
    }
    for name, score in scores.items():
        first_name, first = next(iter(scores.items()))
        differences = protocol_differences(first.protocol, score.protocol)
        if differences:
            field, (one, other) = next(iter(differences.items()))
            raise ValueError(
                f"column {column!r}: {first_name!r} and {name!r} are not comparable, "
                f"their {field} is {one!r} and {other!r}"
            )
