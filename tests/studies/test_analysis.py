"""Figures of answers whose truth is planted."""

import json
import math

import numpy as np
import pytest
from made_study import answered, made

from mmcam.errors import ExplainError
from mmcam.studies.analysis import alpha, analyse, power
from mmcam.studies.answers import Row, reasons, table
from mmcam.studies.design import read_design
from mmcam.studies.outcome import write_outcome
from mmcam.studies.plans import plan
from mmcam.studies.store import Answer, Store


def test_planted_accuracies_are_found(tmp_path):
    """Every answer to one method is right, and every second rater's to the other."""
    design = made(tmp_path / "s", items=8)

    def choose(rater, trial):
        good = trial.method == "guided_gradcam" or rater // 4 % 2
        return trial.truth if good else 1 - trial.truth

    key, store = answered(tmp_path / "s", design, 16, choose)
    found = analyse(design, table(design, key, store, False), planned=40)
    first, second = found.methods
    assert (first.figure.value, second.figure.value) == (1.0, 0.5)
    assert second.figure.low < 0.5 < second.figure.high
    assert first.p < 0.001
    assert second.p > 0.5
    assert first.published == pytest.approx(0.6123)
    (gap,) = found.differences
    assert gap.figure.value == pytest.approx(0.5)
    assert gap.published == pytest.approx(0.6123 - 0.4444)
    assert gap.power > 0.99
    assert first.agreement == pytest.approx(1)
    assert second.agreement < 0.3


@pytest.mark.parametrize("swap", [False, True])
def test_ratings_are_for_the_first_model_on_whichever_side(tmp_path, swap):
    design = made(tmp_path / "s", kind="trust", items=8)
    key, store = answered(tmp_path / "s", design, 8, lambda rater, trial: 4 if swap else 0)
    found = analyse(design, table(design, key, store, False))
    assert [one.figure.value for one in found.methods] == [-2.0 if swap else 2.0] * 2
    assert not found.excluded, "who always prefers one model presses different keys, as sides are swapped"


def test_agreement_is_told_of_right_and_wrong_predictions(tmp_path):
    design = made(tmp_path / "s", kind="agreement", methods=("gradcam",), items=8)
    key, store = answered(tmp_path / "s", design, 4, lambda rater, trial: trial.item % 2)  # trusts all
    (one,) = analyse(design, table(design, key, store, False)).methods
    assert (one.of_right, one.of_wrong, one.figure.value) == (1.0, 0.0, 0.5)


def test_the_interval_is_as_wide_as_two_way_clusters_make_it(tmp_path):
    """Ratings that differ between raters only: the interval is that of so many raters, not of so many answers."""
    design = made(tmp_path / "s", kind="trust", methods=("gradcam",), items=12)
    key, store = answered(tmp_path / "s", design, 20, lambda rater, trial: 1 if rater % 4 < 2 else 3)
    found = analyse(design, table(design, key, store, False)).methods[0].figure
    raters = 1.96 * 1 / math.sqrt(20)
    assert (found.high - found.low) / 2 == pytest.approx(raters, rel=0.15)


def test_alpha_of_a_published_example():
    """Krippendorff (2011, Computing Krippendorff's Alpha-Reliability), example C: nominal .743."""
    data = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    rows_of = [
        Row(rater, item, "m", choice, 0.0, None, 1.0)
        for rater, own in enumerate(data)
        for item, choice in enumerate(own)
        if choice is not None
    ]
    assert alpha(rows_of, 4, "nominal") == pytest.approx(0.743, abs=5e-4)
    assert math.isnan(alpha(rows_of[:1], 4, "nominal"))


def test_power_is_that_of_simulated_t_tests():
    from scipy.stats import ttest_1samp

    measured = np.array([0.0, 1.0, 2.0, -1.0, 0.5, 0.9])
    shift, spread = measured.mean(), measured.std(ddof=1)
    drawn = np.random.default_rng(0).normal(shift, spread, (4000, 15))
    assert power(measured, 15) == pytest.approx((ttest_1samp(drawn, 0, axis=1).pvalue < 0.05).mean(), abs=0.03)


def test_every_rule_leaves_out_whom_it_names(tmp_path):
    design = made(tmp_path / "s", items=10)
    right = lambda rater, trial: trial.truth  # noqa: E731
    answered(tmp_path / "s", design, 4, right)
    answered(tmp_path / "s", design, 1, right, finish=False, first=4)
    key, store = answered(tmp_path / "s", design, 1, right, ms=100.0, first=5)
    for name, choices in (("inattentive", {"check": 1}), ("sleepy", {"item": 1})):
        steps = plan(design, key, 0, name)
        session = store.begin("link", name, {}, 0, [(step.trial.token, step.swapped) for step in steps], "")
        answers = []
        for step in steps:
            good = step.trial.truth if step.trial.role == "check" else (step.trial.truth or 0)
            shown = len(step.trial.choices) - 1 - good if step.swapped else good
            if step.trial.role == "check" and "check" in choices:
                shown = 1 - shown
            if step.trial.role == "item" and "item" in choices:
                shown = 0
            answers.append(Answer(f"{name} {step.trial.token}", step.trial.token, shown, 900.0))
        store.add(session.session, answers)
        store.finish(session.session)
    found = table(design, key, store, False)
    why = {one.rater: one.why for one in found.excluded}
    assert len(found.raters) == 4
    assert why == {
        "rater 4": "did not finish (4 of 13 answers)",
        "rater 5": "median time of 100 ms",
        "inattentive": "failed 2 of 2 attention checks",
        "sleepy": "pressed key 1 at all 10 items",
    }
    assert reasons(design, key, found.raters[0], store.answers(found.raters[0].session)) == []


def test_people_and_simulated_raters_are_never_counted_together(tmp_path):
    design = made(tmp_path / "s", items=8)
    answered(tmp_path / "s", design, 4, lambda rater, trial: trial.truth)
    answered(tmp_path / "s", design, 8, lambda rater, trial: 1 - trial.truth, source="simulated")
    _, analyses, files = write_outcome(tmp_path / "s", tmp_path / "results")
    assert [(one.simulated, one.raters, one.methods[0].figure.value) for one in analyses] == [
        (False, 4, 1.0),
        (True, 8, 0.0),
    ]
    html, report, lines = (path.read_text() for path in files)
    assert "No person did." in html
    assert [one["raters_are"] for one in json.loads(report)["analyses"]] == ["people", "simulated"]
    assert sum(line.startswith("simulated") for line in lines.splitlines()) == 8 * 8


def test_markup_in_ids_is_shown_and_not_run(tmp_path):
    bad = "<img src=x onerror=alert(1)>"
    design = made(tmp_path / "s", items=4, names=(bad, "car"), title=bad, source=bad)
    store = Store(tmp_path / "s", design)
    store.begin("link", bad, {}, 0, [], "")
    store.close()
    _, _, files = write_outcome(tmp_path / "s", tmp_path / "results")
    html = files[0].read_text()
    assert bad not in html
    assert html.count("&lt;img src=x") >= 2


def test_nobody_has_answered(tmp_path):
    made(tmp_path / "s")
    with pytest.raises(ExplainError, match="Nobody has answered"):
        write_outcome(tmp_path / "s", tmp_path / "results")


def test_rules_made_afterwards_are_refused(tmp_path):
    design = made(tmp_path / "s")
    path = tmp_path / "s" / "design.json"
    Store(tmp_path / "s", design).close()  # looked at, and answered by nobody yet
    path.write_text(path.read_text().replace('"median_ms": 400', '"median_ms": 300'))
    answered(tmp_path / "s", read_design(tmp_path / "s"), 1, lambda rater, trial: trial.truth)
    path.write_text(path.read_text().replace('"median_ms": 300', '"median_ms": 100'))
    with pytest.raises(ExplainError, match="changed after answers were begun"):
        write_outcome(tmp_path / "s", tmp_path / "results")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"items": 6', '"items": "6"'),
        ('"median_ms": 400', '"median_ms": "400"'),
        ('"unfinished": true', '"unfinished": 1'),
        ('"one_answer"', '"one_answers"'),
        ('"title"', '"titles"'),
        ('"kind": "discrimination"', '"kind": "taste"'),
        ("{", "["),
    ],
)
def test_a_design_that_was_edited_wrongly_is_told_in_a_sentence(tmp_path, old, new):
    made(tmp_path / "s")
    path = tmp_path / "s" / "design.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ExplainError, match=r"design\.json|no study"):
        read_design(tmp_path / "s")


def test_who_left_long_ago_keeps_no_row_from_others(tmp_path):
    design = made(tmp_path / "s")
    _, store = answered(tmp_path / "s", design, 3, lambda rater, trial: trial.truth, finish=False)
    assert store.fewest(4, "link") == [3]
    store._db.execute("UPDATE sessions SET started = started - 100000 WHERE plan = 0")
    assert store.fewest(4, "link") == [0, 3]
