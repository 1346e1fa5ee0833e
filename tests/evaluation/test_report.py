"""Written tables: what JSON, CSV and Markdown hold, and that files are whole."""

import csv
import dataclasses
import json
import os

import numpy as np
import pytest

from volhuman.errors import InputError
from volhuman.evaluation.protocol import NotAvailable, Protocol, summarize
from volhuman.evaluation.report import FILES, markdown, write_table
from volhuman.evaluation.tables import BODY_ROW, TRUTH_ROW, make_table

P2S = Protocol(
    metric="P2S",
    variant="icon",
    unit="cm",
    higher_is_better=False,
    data="buff",
    samples=1000,
    extra={"views": 4},
)
PSNR = Protocol(metric="PSNR", variant="rgb", unit="dB", higher_is_better=True)
NO_BODY = NotAvailable("not applicable", "pictures of landscapes")
NO_WEIGHTS = NotAvailable("not computed", "no weights | at hand")


@pytest.fixture
def table():
    values = np.random.default_rng(0).exponential(1, 20)
    values[3] = np.nan
    given = dataclasses.replace(P2S, body_source="given")
    ours = {
        P2S.label: summarize(values, given),
        PSNR.label: summarize(np.array([30.0, 31.0]), PSNR),
        "LPIPS": NO_WEIGHTS,
    }
    truth = {
        P2S.label: summarize(np.zeros(20), P2S),
        PSNR.label: summarize(np.full(2, np.inf), PSNR),
        "LPIPS": NO_WEIGHTS,
    }
    return make_table(
        "Scans <b> & more", {"=ours|*x*": ours}, truth=truth, bare_body=NO_BODY
    )


def test_json_holds_numbers_protocols_and_reasons(tmp_path, table):
    paths = write_table(tmp_path / "new", table, details={"items": {"a": float("nan")}})
    assert [path.name for path in paths] == list(FILES)
    content = json.loads(paths[0].read_text(encoding="utf-8"))
    assert [row["name"] for row in content["rows"]] == [
        "=ours|*x*",
        TRUTH_ROW,
        BODY_ROW,
    ]
    ours, truth, body = (row["cells"] for row in content["rows"])
    score = table.rows["=ours|*x*"][P2S.label]
    assert ours[P2S.label]["value"] == score.value
    assert (ours[P2S.label]["low"], ours[P2S.label]["high"]) == (score.low, score.high)
    assert (ours[P2S.label]["count"], ours[P2S.label]["failures"]) == (20, 1)
    assert ours[P2S.label]["body_source"] == "given"
    assert truth[PSNR.label]["value"] == "inf"
    assert ours["LPIPS"] == {"value": "not computed", "reason": NO_WEIGHTS.reason}
    assert body[P2S.label]["value"] == "not applicable"
    protocol = content["columns"][P2S.label]
    assert protocol["data"] == "buff" and protocol["extra"] == {"views": 4}
    assert protocol["higher_is_better"] is False and protocol["samples"] == 1000
    assert content["columns"]["LPIPS"] is None and content["items"] == {"a": None}


def test_csv_has_a_line_for_every_cell_and_runs_nothing(tmp_path, table):
    path = write_table(tmp_path, table)[1]
    lines = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert len(lines) == 3 * 3
    assert lines[0]["row"] == "'=ours|*x*" and lines[0]["column"] == P2S.label
    assert float(lines[0]["value"]) == table.rows["=ours|*x*"][P2S.label].value
    assert (lines[0]["variant"], lines[0]["unit"]) == ("icon", "cm")
    assert (lines[0]["failures"], lines[0]["extra"]) == ("1", '{"views": 4}')
    assert (
        lines[2]["value"] == "not computed" and lines[2]["reason"] == NO_WEIGHTS.reason
    )
    assert lines[4]["value"] == "inf"


def test_markdown_shows_intervals_failures_reasons_and_no_markup(table):
    text = markdown(table)
    lines = text.splitlines()
    assert lines[0] == r"# Scans \<b\> & more"
    row = next(line for line in lines if "ours" in line)
    assert row.startswith(r"| =ours\|\*x\* | ")
    score = table.rows["=ours|*x*"][P2S.label]
    shown = f"{score.value:.4g} ({score.low:.4g} to {score.high:.4g})"
    assert f"{shown}, 1 of 20 failed" in row
    assert "not computed [1]" in row and r"[1] no weights \| at hand" in lines
    assert "not applicable [2]" in text and "[2] pictures of landscapes" in lines
    columns = {line.replace(r"\|", "").count("|") for line in lines if line[:1] == "|"}
    assert columns == {5}
    assert "data buff" in text and "views 4" in text and "samples 1000" in text
    assert "cm ↓" in lines[2] and "dB ↑" in lines[2]


def test_existing_results_are_kept_unless_asked(tmp_path, table):
    (tmp_path / "scores.md").write_text("mine")
    with pytest.raises(InputError, match="overwrite"):
        write_table(tmp_path, table)
    assert (tmp_path / "scores.md").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["scores.md"]
    write_table(tmp_path, table, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path, table, monkeypatch
):
    write_table(tmp_path, table)
    before = (tmp_path / "scores.json").read_text()

    def fail(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match="No space left"):
        write_table(tmp_path, table, overwrite=True)
    assert (tmp_path / "scores.json").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_refuses_a_folder_that_cannot_be_made(tmp_path, table):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"--config\.output"):
        write_table(tmp_path / "file" / "sub", table)
