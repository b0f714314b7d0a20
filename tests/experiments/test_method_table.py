"""The table of methods: its figures follow from the maps, and a stopped run goes on."""

import json

import numpy as np
import pytest

from experiments import method_table


def run(tmp_path, **options):
    method_table.main(out=tmp_path, work=tmp_path / "work", **options)
    return json.loads((tmp_path / "methods-test.json").read_text())["rows"]


@pytest.mark.parametrize("task", method_table.TASKS)
def test_grad_cam_beats_a_random_map_on_every_task(task, tmp_path, monkeypatch):
    monkeypatch.setattr(method_table, "peak_apart", lambda method: 1.0)
    rows = run(tmp_path, pictures=4, tasks=[task], methods=["gradcam"])
    by_method = {row["method"]: row for row in rows}
    assert by_method.keys() == {"gradcam", "(centre)", "(random)"}
    assert all(row["n"] == 4 and row["task"] == task for row in rows)
    assert by_method["gradcam"]["mass"] > 2 * by_method["(random)"]["mass"]
    assert ("forwards" in by_method["gradcam"]) == (task == "class")
    assert "| gradcam | 4 |" in (tmp_path / "methods-test.md").read_text()


def test_finished_rows_are_not_computed_again(tmp_path, monkeypatch):
    monkeypatch.setattr(method_table, "peak_apart", lambda method: 1.0)
    first = run(tmp_path, pictures=2, tasks=["class"], methods=["gradcam"])
    monkeypatch.setattr(method_table, "measure", None)  # calling it would fail
    assert run(tmp_path, pictures=2, tasks=["class"], methods=["gradcam"]) == first


def test_the_figures_of_a_perfect_and_of_a_wrong_map():
    masks = np.zeros((2, 10, 10), bool)
    masks[0, :3, :3] = masks[1, 7:, 7:] = True
    perfect = (masks.any(0).astype(np.float32), (0, 0), masks)
    wrong = ((~masks.any(0)).astype(np.float32), (5, 5), masks)
    row = method_table.judged("several", "made up", [perfect, wrong])
    assert row["pointing"] == row["mass"] == row["rank"] == row["found"] == 0.5
    assert row["standard_error"] == pytest.approx(0.5 / np.sqrt(2))


def test_memory_is_measured_in_a_process_of_its_own():
    assert 0 <= method_table.peak_apart("gradcam") < 500
