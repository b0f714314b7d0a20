"""A part of the benchmark updates its rows of the table, and what became slower is told."""

import pytest

from experiments.lib.benchmark_table import merged, missed, printed, slower, told
from experiments.lib.rounds import Cell
from experiments.lib.stamp import stamp


def cell(task, name, ratio=1.0, mb=None):
    return Cell(task, name, ratio, ratio, ratio, 10 * ratio, mb)


def run(command):
    setting = {"side": 224, "batch": 16, "rounds": 3, "threads": 1, "device": "cpu"}
    return stamp(command, seed=0) | {"setting": setting, "beside": ""}


@pytest.fixture
def report():
    cells = [cell("resnet50 B16", "forward"), cell("resnet50 B16", "mmcam", 1.05), cell("lite0 RISE", "forward")]
    return merged(None, cells, run("all"), ["resnet50 B16", "lite0 RISE"])


def test_a_part_updates_its_rows_and_leaves_the_others(report):
    part = [cell("lite0 RISE", "forward"), cell("lite0 RISE", "mmcam", 7.0)]
    after = merged(report, part, run("part"), ["resnet50 B16", "lite0 RISE"])
    assert after["rows"][:2] == report["rows"][:2]
    assert [(row["task"], row["name"], row["run"]) for row in after["rows"]] == [
        ("resnet50 B16", "forward", "1"),
        ("resnet50 B16", "mmcam", "1"),
        ("lite0 RISE", "forward", "2"),
        ("lite0 RISE", "mmcam", "2"),
    ]
    assert [line.split("`")[1] for line in told(after["runs"])] == ["all", "part"]


def test_a_run_of_which_no_row_is_left_is_told_no_more(report):
    again = [cell("resnet50 B16", "forward"), cell("lite0 RISE", "forward")]
    after = merged(report, again, run("again"), ["resnet50 B16", "lite0 RISE"])
    assert [own["command"] for own in after["runs"].values()] == ["again"]
    assert {row["run"] for row in after["rows"]} == set(after["runs"])


def test_rows_stand_in_the_order_of_the_tasks(report):
    part = [cell("vgg16 B1", "forward")]
    after = merged(report, part, run("part"), ["resnet50 B16", "vgg16 B1", "lite0 RISE"])
    assert list(dict.fromkeys(row["task"] for row in after["rows"])) == ["resnet50 B16", "vgg16 B1", "lite0 RISE"]


def test_an_aim_is_compared_with_what_it_is_a_multiple_of():
    cells = [cell("resnet50+LSTM a caption", name, ratio) for name, ratio in (("forward", 1), ("the least", 1.5))]
    cells.append(cell("resnet50+LSTM a caption", "mmcam", 1.8))
    cells.append(cell("resnet50+LSTM a caption", "mmcam, a further word", 0.08))
    rows = printed(merged(None, cells, run("x"), [])["rows"])
    table = {row[1]: row[6] for row in rows}
    assert table["mmcam"] == "1.20 × the least (≤ 1.15) missed"
    assert table["mmcam, a further word"] == "0.08 (≤ 0.10)"
    assert table["forward"] == ""
    (line,) = missed(rows)
    assert line.startswith("* Missed, resnet50+LSTM a caption, mmcam: ")


def test_memory_is_beside_that_of_the_forward():
    cells = [cell("resnet50 B16", "forward", mb=100.0), cell("resnet50 B16", "mmcam", mb=105.0)]
    rows = printed(merged(None, cells, run("x"), [])["rows"])
    assert [row[5] for row in rows] == ["100", "105 (1.05×)"]


def test_only_what_takes_half_as_long_again_is_slower(report):
    assert slower(report, [cell("resnet50 B16", "mmcam", 1.57)]) == []
    (told_,) = slower(report, [cell("resnet50 B16", "mmcam", 1.58), cell("lite0 RISE", "forward", 9)])
    assert told_ == "resnet50 B16, mmcam: 1.58 forwards, and 1.05 were recorded"
    assert slower(report, [cell("a new task", "mmcam", 100)]) == []
