"""Records are read as they were written, also after a run that was stopped within a line."""

import torch
from torch import nn

from experiments.lib.records import add, checksum, read


def test_a_half_written_line_is_cut_off_and_the_next_one_fits_on(tmp_path):
    path = tmp_path / "deep" / "a.jsonl"
    assert read(path) == []
    add(path, [{"picture": 1, "hit": True}, {"picture": 2, "hit": False}])
    with path.open("a") as file:
        file.write('{"picture": 3, "hi')
    assert [record["picture"] for record in read(path)] == [1, 2]
    add(path, [{"picture": 3, "hit": True}])
    assert read(path)[-1] == {"picture": 3, "hit": True}


def test_the_last_record_of_a_picture_counts(tmp_path):
    add(tmp_path / "a.jsonl", [{"picture": "a", "n": 1}, {"picture": "b", "n": 2}, {"picture": "a", "n": 3}])
    assert sorted(record["n"] for record in read(tmp_path / "a.jsonl")) == [2, 3]


def test_a_checksum_is_that_of_every_weight():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = checksum(net)
    assert checksum(net.half()) == checksum(net)
    net = net.float()
    with torch.no_grad():
        net[1].running_mean[1] += 1
    assert checksum(net) != before
