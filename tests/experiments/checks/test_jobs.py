"""The line through three sizes, the rows that are counted as wrong, and a throughput of two pictures."""

import json
import random

import pytest

from experiments.checks import job_kills, job_scale, job_throughput


def test_an_exact_line_is_found_without_error():
    base, (slope, error) = job_scale.line([10, 100, 1000], [5 + 3 * n for n in (10, 100, 1000)])
    assert (base, slope) == pytest.approx((5, 3))
    assert error == pytest.approx(0, abs=1e-9)
    assert job_scale.at((5, (3, 0.1)), 100, 10) == pytest.approx((30.5, 1))


def test_figures_have_the_digits_that_their_error_allows():
    assert job_scale.told((65.93, 3.2)) == "65.9 ± 3.2"
    assert job_scale.told((0.6604, 0.032)) == "0.660 ± 0.032"


def test_a_job_killed_in_a_file_is_whole_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(job_kills, "PICTURES", 30)
    job_kills.write_small(tmp_path / "photos", 30)
    job_kills.work(tmp_path / "photos", tmp_path / "whole")
    moments = random.Random(0)
    row = job_kills.disturbed(tmp_path, "cut", 2, lambda at: job_kills.killed_in_a_file(tmp_path, at, moments))
    assert (row["rows"], row["wrong"], row["same"]) == (30, 0, "yes")
    (tmp_path / "whole" / "results" / "part-000001.parquet").unlink()
    job_kills.work(tmp_path / "photos", tmp_path / "job")
    assert job_kills.wrong_rows(tmp_path / "whole", tmp_path / "job") == 10  # the check finds what differs


def test_a_throughput_of_a_few_pictures(tmp_path, monkeypatch):
    source = job_throughput.photographs(tmp_path / "few", 2)
    row = job_throughput.compared("mobilenet_v2", source, tmp_path, 1)
    assert row["pictures"] == 2
    assert 0 < row["low"] <= row["ratio"] <= row["high"]
    assert json.dumps(row)
