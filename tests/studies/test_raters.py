"""Simulated raters answer from what they see, learn what there is to learn, and are named as what they are."""

import pytest
import torch
from made_study import made
from torch import nn

from mmcam.diagnosis.choice.rater import Rater
from mmcam.errors import ExplainError
from mmcam.studies.kinds import KINDS
from mmcam.studies.outcome import outcome
from mmcam.studies.raters import Recogniser, Simulated, simulated, taught
from mmcam.studies.texts import NOTICE

EYES = torch.eye(3)


def knows(labels=("car", "cat", "dog"), strength=8.0):
    """A rater to whom a one-hot feature shows a label."""
    recogniser = Recogniser(labels, torch.zeros(3), torch.ones(3), strength * torch.eye(3), torch.zeros(3))
    return Simulated(recogniser, Rater(slightly=0.05, clearly=0.2))


def trial(images, choices=("1", "2", "3", "4", "5"), question="", notice=""):
    return {"images": images, "choices": list(choices), "question": question, "notice": notice}


SEEN = {"car": EYES[0], "cat": EYES[1], "dog": EYES[2], "haze": torch.zeros(3)}


def test_he_answers_each_kind_from_the_stimuli():
    rater, trust = knows(), KINDS["trust"].question
    assert rater.choice("discrimination", "", trial(["dog"], ("car", "dog")), SEEN) == 1
    assert rater.choice("discrimination", "", trial(["dog"], ("dog", "car")), SEEN) == 0
    said = trust.replace("{label}", "dog")
    assert rater.choice("trust", trust, trial(["dog", "haze"], question=said), SEEN) == 0
    assert rater.choice("trust", trust, trial(["haze", "dog"], question=said), SEEN) == 4
    assert rater.choice("trust", trust, trial(["haze", "haze"], question=said), SEEN) == 2
    assert rater.choice("agreement", "", trial(["cat"]), SEEN) == 0
    assert rater.choice("agreement", "", trial(["haze"]), SEEN) == 2
    assert rater.choice("distinction", "", trial(["haze", "haze", "car", "haze"]), SEEN) == 2
    assert rater.choice("trust", trust, trial(["haze", "dog"], ("a", "b"), said, NOTICE.format(choice="b")), SEEN) == 1


def test_learning_finds_what_is_there_and_nothing_where_labels_are_drawn():
    torch.manual_seed(0)
    labels = [("car", "cat", "dog")[i % 3] for i in range(240)]
    seen = torch.randn(240, 20)
    seen[torch.arange(240), torch.arange(240) % 3] += 4
    fresh = torch.randn(300, 20)
    fresh[torch.arange(300), torch.arange(300) % 3] += 4

    def accuracy(recogniser):
        best = [max(p, key=p.get) for p in map(recogniser.probabilities, fresh)]
        return sum(one == ("car", "cat", "dog")[i % 3] for i, one in enumerate(best)) / 300

    assert accuracy(taught(seen, labels, 0)) > 0.9
    shuffled = [labels[i] for i in torch.randperm(240).tolist()]
    assert accuracy(taught(seen, shuffled, 0)) < 0.6
    first, second = simulated(seen, labels, 2, 0)
    assert not torch.equal(first.recogniser.weights, second.recogniser.weights), "each has seen his own half"
    assert torch.equal(taught(seen, labels, 5).weights, taught(seen, labels, 5).weights)
    with pytest.raises(ExplainError, match="same class"):
        taught(seen, ["dog"] * 240, 0)


class Eyes(nn.Module):
    """A network of colours."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 1)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))


def test_they_take_part_over_http_and_are_named_as_simulated(tmp_path):
    pytest.importorskip("fastapi", reason="needs the extra study")
    import json
    import shutil

    from mmcam.studies.simulate import simulate

    folder = tmp_path / "s"
    made(folder, items=4, names=("dog", "car"))
    key = json.loads((folder / "key.json").read_text())["trials"]
    (folder / "training").mkdir()
    lines = []
    for one in (one for one in key if one["role"] == "item"):  # learn the very stimuli, whose truth is known
        shutil.copy(folder / "stimuli" / one["images"][0], folder / "training")
        lines.append({"image": one["images"][0], "label": one["choices"][one["truth"]], "method": one["method"]})
    (folder / "training" / "labels.json").write_text(json.dumps(lines))
    for _ in range(2):  # those who have taken part stay as they are
        ids = simulate(folder, Eyes().eval(), 4)
    assert all(name.startswith("simulated-") for name in ids)
    _, (found,), (analysis,) = outcome(folder)
    assert analysis.simulated
    assert {session.source for session in found.raters} == {"simulated"}
    assert (analysis.raters, analysis.answers) == (4, 16)
