"""Drawn captions follow the model's probabilities, and their gradient is that of the expected score."""

import itertools

import pytest
import torch
from torch import nn

from experiments.lib import self_critical as module
from experiments.lib.self_critical import drawn, self_critical
from models.speaker import END, UNKNOWN, Parts, Speaker

WORDS = ("dog", "cat", UNKNOWN)


class Two(Speaker):
    """Captions of at most two words; a word follows from the one before and from what was seen."""

    def __init__(self) -> None:
        super().__init__(WORDS)
        self.table = nn.Embedding(len(WORDS) + 1, 3)
        self.output = nn.Linear(3, len(WORDS) + 1)

    def look(self, seen: torch.Tensor) -> Parts:
        return (seen,)

    def begin(self, looked: Parts) -> Parts:
        return (looked[0],)

    def step(self, looked: Parts, state: Parts, words: torch.Tensor) -> tuple[torch.Tensor, Parts]:
        return torch.tanh(self.table(words) + looked[0]), state


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Two:
    monkeypatch.setattr(module, "LONGEST", 2)
    torch.manual_seed(0)
    model = Two().eval()
    with torch.no_grad():
        model.output.bias[3] = -50.0  # so that barring UNKNOWN changes nothing that could be measured
    return model


def reward(words: list[str], picture: int) -> float:
    return len(words) + 3.0 * (words[:1] == ["dog"]) - picture


def probability(model: Two, seen: torch.Tensor, caption: tuple[int, ...]) -> torch.Tensor:
    """Of a caption of one picture, its end included unless it is as long as may be."""
    tokens = torch.tensor([[*caption, END]])
    log_probs = model.decode((seen,), tokens[:, :-1]).log_softmax(2)[0]
    read = tokens[0][:2]
    return log_probs[torch.arange(len(read)), read].sum().exp()


def captions() -> list[tuple[int, ...]]:
    return [(), *((a,) for a in (1, 2)), *itertools.product((1, 2), (1, 2))]


def test_captions_are_drawn_by_their_probability(model: Two) -> None:
    seen = torch.tensor([[0.5, -1.0, 0.2]])
    torch.manual_seed(1)
    tokens = drawn(model, (seen.expand(20_000, 3),))
    found = [tuple(token for token in row if token != END) for row in tokens.tolist()]
    for caption in captions():
        expected = float(probability(model, seen, caption).detach())
        assert found.count(caption) / len(found) == pytest.approx(expected, abs=0.015)


def test_the_gradient_is_that_of_the_expected_score(model: Two) -> None:
    seen = torch.tensor([[0.5, -1.0, 0.2]])
    expected = sum(
        probability(model, seen, caption) * reward([WORDS[token - 1] for token in caption], 4) for caption in captions()
    )
    exact = torch.autograd.grad(-expected, model.output.weight)[0]
    torch.manual_seed(2)
    loss, score = self_critical(model, seen.expand(4000, 3), [4] * 4000, reward, samples=3)  # type: ignore[arg-type]
    found = torch.autograd.grad(loss, model.output.weight)[0]
    torch.testing.assert_close(found, exact, atol=0.03, rtol=0.05)
    assert float(score) == pytest.approx(float(expected.detach()), abs=0.05)
