"""The table of methods: its figures follow from the maps, and a stopped run goes on."""

import json

import numpy as np
import pytest

from experiments.checks import method_table


def run(tmp_path, **options):
    method_table.main(out=tmp_path, work=tmp_path / "work", **options)
    return json.loads((tmp_path / "methods-test.json").read_text())["rows"]


@pytest.mark.parametrize("task", method_table.TASKS)
def test_grad_cam_beats_a_random_map_on_every_task(task, tmp_path, monkeypatch):
    monkeypatch.setattr(method_table, "peak_apart", lambda method: 1.0)
    rows = run(tmp_path, pictures=4, tasks=[task], methods=["gradcam"])
    by_method = {row["method"]: row for row in rows}
    assert by_method.keys() == {"gradcam", "(centre)", "(random)"}
    assert all(row["n"] == row["mass"]["pictures"] == 4 and row["task"] == task for row in rows)
    assert by_method["gradcam"]["mass"]["value"] > 2 * by_method["(random)"]["mass"]["value"]
    assert ("mb" in by_method["gradcam"]) == (task == "class")
    assert "| gradcam | 4 |" in (tmp_path / "methods-test.md").read_text()


def test_finished_pictures_are_not_explained_again(tmp_path, monkeypatch):
    monkeypatch.setattr(method_table, "peak_apart", lambda method: 1.0)
    first = run(tmp_path, pictures=2, tasks=["class"], methods=["gradcam"])
    path = tmp_path / "work" / "test-class-gradcam.jsonl"
    text = path.read_text()
    asked = method_table.questions
    monkeypatch.setattr(method_table, "questions", None)  # calling it would fail
    assert run(tmp_path, pictures=2, tasks=["class"], methods=["gradcam"]) == first
    assert run(tmp_path, pictures=1, tasks=["class"], methods=["gradcam"])[0]["n"] == 1
    monkeypatch.setattr(method_table, "questions", asked)
    path.write_text(text[: text.index("\n") + 20])  # stopped while it wrote the second
    run(tmp_path, pictures=3, tasks=["class"], methods=["gradcam"])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["picture"] for line in lines] == [0, 1, 2]
    assert json.loads(text.splitlines()[1])["mass"] == lines[1]["mass"]


def test_the_figures_of_a_perfect_and_of_a_wrong_map():
    masks = np.zeros((2, 10, 10), bool)
    masks[0, :3, :3] = masks[1, 7:, 7:] = True
    perfect = method_table.judged(masks.any(0).astype(np.float32), (0, 0), masks)
    wrong = method_table.judged((~masks.any(0)).astype(np.float32), (5, 5), masks)
    assert set(perfect.values()) == {1.0}
    assert set(wrong.values()) == {0.0}
    records = [{**perfect, "forwards": 2.0}, {**wrong, "forwards": 4.0}]
    row = method_table.figures(records)
    for key in method_table.FIGURES:
        assert row[key]["value"] == 0.5
        assert row[key]["standard_error"] == pytest.approx(0.5)  # of 1 and 0: s = √½, over √2
    assert row["forwards"] == {"value": 3.0, "low": 2.0, "high": 4.0}


def test_memory_is_measured_in_a_process_of_its_own():
    assert 0 <= method_table.peak_apart("gradcam") < 500
