"""Answers that are lost, or there twice, are counted; those that are there once are not."""

import sqlite3

from experiments.checks.study_load import Load, counted


def test_what_is_lost_and_what_is_doubled(tmp_path):
    with sqlite3.connect(tmp_path / "answers.sqlite") as db:
        db.execute("CREATE TABLE answers (id TEXT, session TEXT, trial TEXT)")
        rows = [("a", "s", "1"), ("b", "s", "2"), ("c", "s", "2"), ("d", "t", "1")]
        db.executemany("INSERT INTO answers VALUES (?, ?, ?)", rows)
    kept = {"a": ("s", "1"), "b": ("s", "2"), "d": ("s", "1"), "e": ("s", "3")}
    found = counted(tmp_path, Load(kept=kept))
    assert found == {"stored": 4, "lost": 2, "doubled": 1, "database_whole": 1}
