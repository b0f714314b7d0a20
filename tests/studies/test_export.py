"""What platforms are given is of their forms, and what is saved without a server is taken in once."""

import csv
import json
from xml.etree import ElementTree

import pytest
from made_study import made

from mmcam.errors import ExplainError
from mmcam.studies.answers import ORDERS, collect, order_of, table
from mmcam.studies.design import read_key
from mmcam.studies.export import mechanical_turk, prolific, static
from mmcam.studies.plans import plan, rows
from mmcam.studies.store import Store

SPACE = "{http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2006-07-14/ExternalQuestion.xsd}"


def test_mechanical_turk(tmp_path):
    made(tmp_path / "s", title="Cats & <dogs>")
    out = mechanical_turk(tmp_path / "s", "https://study.example.org:8443/a&b/", 43, tmp_path / "turk")
    question = ElementTree.parse(out / "question.xml").getroot()
    assert question.tag == f"{SPACE}ExternalQuestion"
    assert question.findtext(f"{SPACE}ExternalURL") == "https://study.example.org:8443/a&b/"
    assert int(question.findtext(f"{SPACE}FrameHeight")) > 0
    hit = json.loads((out / "hit.json").read_text())
    assert hit["MaxAssignments"] == 43
    assert hit["Question"] == (out / "question.xml").read_text()
    with (out / "hits.csv").open() as file:
        assert list(csv.DictReader(file)) == [{"study_url": "https://study.example.org:8443/a&b/"}]
    layout = (out / "layout.html").read_text()
    assert "${study_url}" in layout
    assert "Cats &amp; &lt;dogs&gt;" in layout


def test_prolific(tmp_path):
    design = made(tmp_path / "s")
    study = json.loads((prolific(tmp_path / "s", "https://example.org", 50, tmp_path / "p") / "study.json").read_text())
    assert study["external_study_url"] == (
        "https://example.org/?PROLIFIC_PID={{%PROLIFIC_PID%}}&STUDY_ID={{%STUDY_ID%}}&SESSION_ID={{%SESSION_ID%}}"
    )
    assert study["completion_codes"][0]["code"] == design.completion_code
    assert study["total_available_places"] == 50


@pytest.mark.parametrize(
    "url",
    ["", "http://example.org", "https://", "javascript:alert(1)", "https://a b", "https://e.org/?x=1", "https://e:x"],
)
def test_what_is_no_address_for_raters_is_refused(tmp_path, url):
    made(tmp_path / "s")
    with pytest.raises(ExplainError, match="no address for raters"):
        prolific(tmp_path / "s", url, 5, tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_nothing_is_overwritten(tmp_path):
    made(tmp_path / "s")
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError):
        static(tmp_path / "s", tmp_path / "out")


@pytest.fixture
def saved(tmp_path):
    """A study, its key, and a file as the page saves it."""
    design = made(tmp_path / "s", items=6)
    key = read_key(tmp_path / "s")
    number = rows(design) * ORDERS - 1
    steps = plan(design, key, number % rows(design), order_of(number))
    answers = [
        {"id": f"a{i}", "trial": step.trial.token, "choice": step.trial.truth ^ step.swapped, "ms": 800}
        for i, step in enumerate(steps)
    ]
    content = {
        "study": design.id, "source": "static", "rater": "r", "details": {}, "plan": number, "session": "s",
        "started": 1.0, "finished": 2.0, "answers": answers,
    }  # fmt: skip
    return tmp_path / "s", design, key, content


def write(folder, content):
    path = folder.parent / "answers.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_saved_file_is_taken_in_once_with_its_sides(saved):
    folder, design, key, content = saved
    store = Store(folder, design)
    for _ in range(2):
        assert collect(design, key, store, [write(folder, content)]) == ["r"]
    found = table(design, key, store, False)
    assert [row.value for row in found.rows] == [1.0] * 6
    assert found.excluded == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"study": "another"}, "another study"),
        ({"plan": 10_000}, "another study"),
        ({"answers": [{"id": "x", "trial": "t999", "choice": 0, "ms": 1}]}, "none of its plan's trials"),
        ({"answers": [{"id": "x"}]}, "no file of answers"),
        ({"details": []}, "no file of answers"),
        ({"answers": 3}, "no file of answers"),
    ],
)
def test_other_files_are_refused_and_change_nothing(saved, change, says):
    folder, design, key, content = saved
    store = Store(folder, design)
    with pytest.raises(ExplainError, match=says):
        collect(design, key, store, [write(folder, {**content, **change})])
    with pytest.raises(ExplainError, match="no file of answers"):
        collect(design, key, store, [write(folder, "[1, 2")])
    assert store.sessions() == []
