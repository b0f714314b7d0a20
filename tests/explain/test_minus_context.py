"""Context subtraction on words of a caption, against numpy's least squares on maps that were made without it."""

import numpy as np
import pytest
import torch
from PIL import Image
from rank_filter import filtered
from tiny import Captioner, seeded

from mmcam import ExplainError, explain_caption

CAPTION = "the dog runs on the grass"


class Scoring(Captioner):
    """With the scores of all tokens."""

    def token_logits(self, x, tokens):
        first = self.picture(self.encoder(x).flatten(1))[:, None]
        return self.output(self.lstm(torch.cat([first, self.embedding(tokens[:, :-1])], dim=1))[0])


@pytest.fixture
def model():
    return seeded(Scoring)


def picture(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8))


def by_hand(model, image, method="gradcam"):
    """Of each word, in numpy."""
    maps = [word.values.double().numpy() for word in explain_caption(model, image, caption=CAPTION, method=method)]
    ids = model.encode(CAPTION)
    with torch.no_grad():
        x = model.preprocess(image)[0][None]
        logits = model.token_logits(x, torch.tensor([ids]))[0].double().numpy()
    made = []
    for i, own in enumerate(maps):
        own = np.clip(own, 0, None)
        earlier = [j for j in range(i) if ids[j] != ids[i]]
        r = np.array([max(logits[j][ids[i]], 0) for j in earlier])
        if r.sum() > 0:
            shared = sum(weight * np.clip(maps[j], 0, None) for weight, j in zip(r / r.sum(), earlier, strict=True))
            share = np.linalg.lstsq(shared.reshape(-1, 1), own.ravel(), rcond=None)[0][0]
            own = np.clip(own - share * shared, 0, None)
        made.append(filtered(own))
    return made


@pytest.mark.parametrize("method", ["gradcam", "hirescam"])
def test_every_word_is_less_what_the_words_before_share(model, method):
    made = explain_caption(model, picture(), caption=CAPTION, method=method, minus_context=True)
    changed = 0
    for exp, expected, plain in zip(
        made, by_hand(model, picture(), method), explain_caption(model, picture(), caption=CAPTION), strict=True
    ):
        np.testing.assert_allclose(exp.values.numpy(), expected, atol=1e-5 * max(expected.max(), 1e-3))
        changed += not np.allclose(exp.values.numpy(), plain.values.numpy())
        assert exp.options["minus_context"] is True
        assert exp.score == pytest.approx(plain.score, abs=1e-5)
        assert exp.weights is None
    assert changed >= 4


def test_a_word_alone_is_what_it_is_among_all(model):
    every = explain_caption(model, picture(), caption=CAPTION, minus_context=True)
    for word, at in (("dog", 1), ("grass", 5)):
        alone = explain_caption(model, picture(), word, caption=CAPTION, minus_context=True)
        torch.testing.assert_close(alone.values, every[at].values, rtol=1e-4, atol=1e-8)
    several = explain_caption(model, picture(), ["grass", "dog"], caption=CAPTION, minus_context=True)
    torch.testing.assert_close(several[0].values, every[5].values, rtol=1e-4, atol=1e-8)


def test_a_picture_has_no_neighbours(model):
    pictures, words = [picture(0), picture(1)], [["grass", "runs"], "dog"]
    both = explain_caption(model, pictures, words, caption=CAPTION, minus_context=True)
    alone = explain_caption(model, pictures[1], "dog", caption=CAPTION, minus_context=True)
    torch.testing.assert_close(both[1].values, alone.values, rtol=1e-4, atol=1e-8)
    assert [exp.target for exp in both[0]] == ["grass", "runs"]


class Staring(Scoring):
    """It looks at one place, whatever the word."""

    def attention(self, x, tokens):
        one = torch.arange(12.0).view(3, 4)
        return {"attention": one.expand(*tokens.shape, 3, 4) / one.sum()}


def test_a_map_that_is_all_context_says_so():
    model = seeded(Staring)
    with torch.no_grad():
        model.output.bias.fill_(5.0)  # every word is about every word
    first, second = explain_caption(model, picture(), caption="cat dog", method="attention", minus_context=True)
    assert not first.empty
    assert second.empty
    assert second.note.endswith("that the words before do not.")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"method": "gradient"}, "over pixels"),
        ({"contrast": "cat"}, "contrast= or minus_context="),
    ],
)
def test_what_cannot_be_less_says_so(model, given, text):
    with pytest.raises(ExplainError, match=text):
        explain_caption(model, picture(), "dog", caption=CAPTION, minus_context=True, **given)


def test_a_captioner_without_scores_says_so():
    with pytest.raises(ExplainError, match="needs a method token_logits"):
        explain_caption(seeded(Captioner), picture(), "dog", caption=CAPTION, minus_context=True)
