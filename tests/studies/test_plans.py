"""Who answers what: balanced by counting, and nothing given away."""

from collections import Counter

import pytest
from made_study import made

from mmcam.studies.design import read_design, read_key
from mmcam.studies.plans import Step, plan, rows, shown, unswapped


@pytest.mark.parametrize("methods", [("gradcam",), ("gradcam", "layercam"), ("gradcam", "layercam", "hirescam")])
@pytest.mark.parametrize(("items", "per_rater"), [(12, 12), (12, 5), (7, 7)])
def test_over_the_rows_every_item_comes_by_every_method_on_both_sides_equally_often(
    tmp_path, methods, items, per_rater
):
    design = made(tmp_path / "s", methods=methods, items=items, per_rater=per_rater)
    key = read_key(tmp_path / "s")
    seen = Counter()
    for row in range(rows(design)):
        steps = [step for step in plan(design, key, row, "x") if step.trial.role == "item"]
        assert len({step.trial.item for step in steps}) == len(steps) <= per_rater
        by_method = Counter(step.trial.method for step in steps)
        assert max(by_method.values()) - min(by_method[method] for method in methods) <= 1
        seen.update((step.trial.item, step.trial.method, step.swapped) for step in steps)
    assert set(seen.values()) == {1}
    assert len(seen) == items * len(methods) * 2


def test_a_rater_begins_with_practice_and_has_checks_between_items(tmp_path):
    design = made(tmp_path / "s", items=12)
    key = read_key(tmp_path / "s")
    orders = set()
    for number in range(20):
        roles = [step.trial.role for step in plan(design, key, 0, str(number))]
        orders.add(tuple(step.trial.token for step in plan(design, key, 0, str(number))))
        assert roles[0] == "practice"
        assert roles.count("check") == 2
        assert "check" not in (roles[1], roles[-1])
        assert "item" in roles[roles.index("check") + 1 : len(roles) - roles[::-1].index("check") - 1]
    assert len(orders) == 20


@pytest.mark.parametrize("kind", ["discrimination", "trust", "agreement", "distinction"])
def test_what_is_swapped_is_swapped_back(tmp_path, kind):
    """The image, or the answer, that a choice is about is the same on either side."""
    design = made(tmp_path / "s", kind=kind)
    for trial in read_key(tmp_path / "s").values():
        for swapped in (False, design.what.two_sided):
            told = shown(design, Step(trial, swapped))
            for choice in range(len(trial.choices)):
                back = unswapped(trial, swapped, choice)
                if kind == "discrimination":
                    assert told["choices"][choice] == trial.choices[back]
                if kind == "distinction":
                    assert told["images"][choice] == trial.images[back]
                if kind == "trust" and back < 2:  # for the first model, on whichever side it is
                    left = told["images"][0] == trial.images[0]
                    assert told["choices"][choice].startswith("Left" if left else "Right")


def test_the_page_learns_nothing_of_methods_or_of_what_is_right(tmp_path):
    design = made(tmp_path / "s")
    key = read_key(tmp_path / "s")
    told = [shown(design, step) for step in plan(design, key, 0, "x")]
    assert {frozenset(one) - {"feedback"} for one in told} == {
        frozenset({"trial", "images", "picture", "question", "choices", "notice"})
    }
    assert not any(method in str(told) for method in design.methods)


def test_a_design_is_read_as_it_was_written(tmp_path):
    design = made(tmp_path / "s", kind="trust")
    assert read_design(tmp_path / "s") == design
    assert read_design(tmp_path / "s").digest() == design.digest()
