"""Writes the card of a file of weights: what it is, how it was trained, how good it is.

Command: python experiments/make_model_card.py --weights=FILE.safetensors \
        --scores=scores.json --title=TITLE --use=TEXT --limits=TEXT
Hardware and time: none, at once.
Expected: FILE.md beside the weights; every number is read from the two files.
"""

import json
from pathlib import Path

from absl import app, flags

from volhuman.evaluation.report import FILES
from volhuman.training.export import read_weights_header

_WEIGHTS = flags.DEFINE_string("weights", None, "File of weights.", required=True)
_SCORES = flags.DEFINE_list("scores", [], f"Measured tables ({FILES[0]}).")
_TITLE = flags.DEFINE_string("title", None, "Heading.", required=True)
_USE = flags.DEFINE_string("use", None, "What it is for.", required=True)
_LIMITS = flags.DEFINE_string("limits", None, "Where it fails.", required=True)


def main(_) -> None:
    """Writes the card."""
    path = Path(_WEIGHTS.value)
    header = read_weights_header(path)
    lines = [f"# {_TITLE.value}", "", _USE.value, ""]
    lines += [f"- file: `{path.name}`, {path.stat().st_size / 1e6:.2f} MB"]
    lines += [f"- sha256 of names, arrays and configuration: `{header.sha256}`"]
    lines += [f"- steps: {header.step}", "", "## Training", ""]
    lines += ["| option | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in flat(header.config)]
    for scores in _SCORES.value:
        lines += ["", *table(json.loads(Path(scores).read_text("utf-8")))]
    lines += ["", "## Limits", "", _LIMITS.value, "", "Licence: Apache-2.0."]
    path.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def flat(config: dict, prefix: str = "") -> list[tuple[str, object]]:
    """Options of nested tables under dotted names."""
    rows = []
    for name, value in config.items():
        if isinstance(value, dict):
            rows += flat(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, value))
    return rows


def table(scores: dict) -> list[str]:
    """A table of scores with intervals, and the protocols of its columns."""
    columns = list(scores["columns"])
    lines = [f"## {scores['title']}", "", f"| | {' | '.join(columns)} |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for row in scores["rows"]:
        cells = [cell(row["cells"][column]) for column in columns]
        lines.append(f"| {row['name']} | {' | '.join(cells)} |")
    lines += ["", "Means with 95 % intervals, clustered by person."]
    for column, protocol in scores["columns"].items():
        if protocol:
            facts = ", ".join(f"{name} {value}" for name, value in flat(protocol))
            lines += ["", f"{column}: {facts}"]
    return lines


def cell(score: dict) -> str:
    """A number with its interval, or why there is none."""
    if "reason" in score:
        return score["value"]
    low, high = score["low"], score["high"]
    interval = "" if low is None else f" [{low:.3f}, {high:.3f}]"
    return f"{score['value']:.3f}{interval}"


if __name__ == "__main__":
    app.run(main)
