"""Writes tables of scores as JSON, CSV and Markdown."""

import csv
import dataclasses
import io
import json
import math
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from volhuman.errors import InputError
from volhuman.evaluation.protocol import NotAvailable, Protocol, Score
from volhuman.evaluation.tables import Cell, Table

FILES = ("scores.json", "scores.csv", "scores.md")
# Fields of a protocol that the label of its column shows, and what is spread out.
_IN_LABEL = {"metric", "variant", "unit", "higher_is_better", "extra"}


def write_table(
    folder: str | Path,
    table: Table,
    *,
    details: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Writes `scores.json`, `scores.csv` and `scores.md`, each complete or not at all.

    Args:
        folder: Made where missing.
        table: The table.
        details: More entries for the JSON file, such as the values of single items.
        overwrite: Replace earlier files.

    Returns:
        The three paths.

    Raises:
        InputError: If a file exists and may not be replaced, or cannot be written.
    """
    folder = Path(folder)
    check_writable(folder, overwrite=overwrite)
    content = {**table_record(table), **_plain(details or {})}
    texts = {
        "scores.json": json.dumps(
            content, indent=1, ensure_ascii=False, allow_nan=False
        )
        + "\n",
        "scores.csv": _csv(table),
        "scores.md": markdown(table),
    }
    for name, text in texts.items():
        _write(folder / name, text)
    return [folder / name for name in FILES]


def check_writable(folder: str | Path, *, overwrite: bool) -> None:
    """Checks before a long computation that its table can be written.

    Raises:
        InputError: If a file exists and may not be replaced, or the folder cannot be
            made.
    """
    folder = Path(folder)
    for name in FILES:
        if (folder / name).exists() and not overwrite:
            raise InputError(
                f"{folder / name}: results exist already; add --config.overwrite=True "
                "or choose another --config.output"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: {error.strerror}; choose another --config.output"
        ) from error


def table_record(table: Table) -> dict:
    """Returns a table as plain values for JSON.

    NaN becomes null, infinity the string "inf".
    """
    rows = [
        {"name": name, "cells": {c: _cell_record(cells[c]) for c in table.columns}}
        for name, cells in table.rows.items()
    ]
    columns = {column: _protocol_of(table, column) for column in table.columns}
    return {"title": table.title, "columns": _plain(columns), "rows": rows}


def _protocol_of(table, column) -> dict | None:
    for cells in table.rows.values():
        if isinstance(cells[column], Score):
            return dataclasses.asdict(cells[column].protocol)
    return None


def _cell_record(cell):
    record = dataclasses.asdict(cell)
    if isinstance(cell, NotAvailable):
        return {"value": cell.status, "reason": cell.reason}
    # The rest of the protocol stands with the column, where it is the same.
    protocol = record.pop("protocol")
    kept = {name: protocol[name] for name in ("body_source", "version")}
    return _plain(record | kept)


def markdown(table: Table) -> str:
    """Returns the table with reasons and protocols below it."""
    lines = [f"# {_escape(table.title)}", ""]
    header = ["", *map(_escape, table.columns)]
    lines += [_line(header), _line(["---"] * len(header))]
    notes: list[str] = []
    for name, cells in table.rows.items():
        shown = [_show(cells[column], notes) for column in table.columns]
        lines.append(_line([_escape(name), *shown]))
    lines += ["", "Means with 95 % intervals; ↓ lower is better, ↑ higher is better."]
    lines += [f"[{number}] {_escape(note)}" for number, note in enumerate(notes, 1)]
    lines += ["", "## Protocols", ""]
    for column in table.columns:
        protocol = _protocol_of(table, column)
        if protocol:
            facts = ", ".join(
                f"{name} {value}"
                for name, value in (protocol | dict(protocol["extra"])).items()
                if name not in _IN_LABEL and value is not None
            )
            lines.append(f"- {_escape(column)}: {_escape(facts)}")
    return "\n".join(lines) + "\n"


def _show(cell: Cell, notes: list[str]) -> str:
    if isinstance(cell, NotAvailable):
        if cell.reason not in notes:
            notes.append(cell.reason)
        return f"{cell.status} [{notes.index(cell.reason) + 1}]"
    shown = f"{cell.value:.4g}"
    if not (math.isnan(cell.low) or math.isnan(cell.high)):
        shown += f" ({cell.low:.4g} to {cell.high:.4g})"
    if cell.failures:
        shown += f", {cell.failures} of {cell.count} failed"
    return shown


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _escape(text: str) -> str:
    """Keeps a name from a file system from becoming markup."""
    text = " ".join(text.split()).replace("\\", "\\\\")
    for sign in "|`*_[]<>":
        text = text.replace(sign, f"\\{sign}")
    return text


def _csv(table: Table) -> str:
    """One line a cell; the protocol's fields are columns."""
    stream = io.StringIO()
    fields = [field.name for field in dataclasses.fields(Protocol)]
    writer = csv.writer(stream, lineterminator="\n")
    numbers = ["value", "low", "high", "count", "failures"]
    writer.writerow(["row", "column", *numbers, "reason", *fields])
    for name, cells in table.rows.items():
        for column in table.columns:
            cell = cells[column]
            line = [_text(name), _text(column)]
            if isinstance(cell, NotAvailable):
                line += [cell.status, "", "", "", "", _text(cell.reason)]
                line += [""] * len(fields)
            else:
                line += [getattr(cell, number) for number in numbers] + [""]
                protocol = dataclasses.asdict(cell.protocol)
                protocol["extra"] = json.dumps(protocol["extra"], sort_keys=True)
                line += [_text(protocol[field]) for field in fields]
            writer.writerow(line)
    return stream.getvalue()


def _text(value):
    """Keeps spreadsheets from running what a name says."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def _plain(value):
    """Values that JSON has."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _write(path: Path, text: str) -> None:
    # In the same folder, because a rename is atomic only within one file system.
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}; check folder and disk"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
