"""What several targets, texts and answers share: forwards are counted, and maps are those of one at a time."""

import contextlib

import pytest
import torch
from tiny import VQA, Captioner, pictures, seeded
from torch import nn

import mmcam
from mmcam import ExplainError, attribute, explain_answer, explain_caption, explain_similarity, models
from mmcam.engine import layout, pixels

OCCLUSION = {"method": "occlusion", "patch": 8, "stride": 8}
SQUARES = 16
"""Of 32 × 32 pixels."""


class Counted(nn.Conv2d):
    """Counts the pictures it computes."""

    pictures = 0

    def forward(self, x):
        self.pictures += len(x)
        return super().forward(x)


class Net(nn.Module):
    """A classifier of ReLUs."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(Counted(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(8 * 4 * 4, 7)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


def counted(model, do):
    """What a function gives the second time, and how many pictures went through the encoder for it."""
    first = next(m for m in model.modules() if isinstance(m, Counted))
    do()  # the first time a layer is looked for, and whether rows are independent
    first.pictures = 0
    return do(), first.pictures


PIXELS = {
    "gradient": ({}, 2),
    "guided_backprop": ({}, 2),
    "deconvnet": ({}, 2),
    "guided_gradcam": ({}, 2),
    "smoothgrad": ({"n": 6}, 14),
    "integrated_gradients": ({"steps": 5}, 12),
}
"""With their options, and the pictures that go through the model for two."""


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("method", PIXELS)
def test_targets_share_the_forwards_of_pixel_methods(method, size, monkeypatch):
    """By a backward pass each, as on a CPU, and by one for three of them, as on other devices."""
    options, passes = PIXELS[method]
    net, x, targets = seeded(Net), pictures(2), [0, 2, 4, 5, 6]
    each = torch.cat([attribute(net, x, [target], method=method, **options) for target in targets])
    assert each.flatten(1).any(1).all()
    monkeypatch.setattr(pixels, "_at_once", lambda _: size)
    maps, forwards = counted(net, lambda: attribute(net, x, targets, method=method, **options))
    assert forwards == passes
    torch.testing.assert_close(maps, each, rtol=0, atol=1e-6 * float(each.abs().max()))


def test_backward_passes_are_as_many_as_fit(monkeypatch):
    net, x, passes = seeded(Net), pictures(2), []
    monkeypatch.setattr(pixels, "_at_once", lambda _: 2)
    original = torch.autograd.grad

    def grad(*args, **kwargs):
        passes.append(kwargs.get("is_grads_batched", False))
        return original(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", grad)
    attribute(net, x, [0, 1, 2, 3, 4], method="gradient")
    passes.clear()
    attribute(net, x, [0, 1, 2, 3, 4], method="gradient")
    assert passes == [True, True, True]


@pytest.mark.parametrize("size", [1, 3])
def test_a_target_that_does_not_depend_on_the_picture_is_told_among_others(size, monkeypatch):
    net = seeded(Net)
    monkeypatch.setattr(pixels, "_at_once", lambda _: size)

    def constant(out):
        return net.head.bias.sum().expand(len(out))

    with pytest.raises(ExplainError, match="does not depend on the picture"):
        attribute(net, pictures(2), [0, constant, 1], method="gradient")


# --- texts and answers ------------------------------------------------------------------------------------------------


def encoder():
    return nn.Sequential(Counted(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU())


class Speaker(Captioner):
    def __init__(self):
        super().__init__()
        self.encoder = encoder()

    @contextlib.contextmanager
    def asked(self, questions):
        yield


class Silent(Captioner):
    def __init__(self):
        super().__init__()
        self.encoder = encoder()


class Answers(VQA):
    def __init__(self):
        super().__init__()
        self.encoder = encoder()


class Like(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.words = encoder(), nn.Embedding(16, 8)

    def similarity(self, x, texts):
        read = torch.stack([self.words(torch.tensor([len(word) for word in text.split()])).sum(0) for text in texts])
        return (self.encoder(x).mean((2, 3)) * read).sum(1)


def asked(model, do):
    return do(model, torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(3)))


SWEEPS = {
    "every word": (Silent, lambda m, p: explain_caption(m, p, **OCCLUSION)),
    "rather than": (Silent, lambda m, p: explain_caption(m, p, "dog", contrast="cat", **OCCLUSION)),
    "words, rather than": (Silent, lambda m, p: explain_caption(m, p, ["dog", "grass"], contrast="cat", **OCCLUSION)),
    "answers": (Answers, lambda m, p: explain_answer(m, p, "is it red", ["yes", "no"], **OCCLUSION)),
    "question": (Answers, lambda m, p: explain_answer(m, p, "is it red", "yes", by_word=True, **OCCLUSION)),
    "questions": (Answers, lambda m, p: explain_answer(m, p, "is it red", ["yes", "no"], by_word=True, **OCCLUSION)),
    "written": (Speaker, lambda m, p: explain_answer(m, p, "what", ["a dog", "a dog on the grass"], **OCCLUSION)),
    "similar": (Like, lambda m, p: explain_similarity(m, p, "a red ball", contrast="a dog", **OCCLUSION)),
}


def values(found):
    """All maps of whatever is given, as one tensor."""
    if isinstance(found, mmcam.Explanation):
        return found.values[None]
    own = [found.answer, *found] if isinstance(found, mmcam.QuestionExplanation) else list(found)
    return torch.cat([values(one) for one in own])


@pytest.mark.parametrize("what", SWEEPS)
def test_all_that_is_asked_is_read_from_the_same_masked_pictures(what):
    build, ask = SWEEPS[what]
    net = seeded(build)
    net.preprocess = mmcam.Preprocess(size=(32, 32), mode="squash")
    if build is Answers:
        net.picture = nn.Linear(8 * 8 * 8, 10)
    everywhere, all_rows = counted(net, lambda: asked(net, ask))
    net.picture_encoder = "encoder"
    once, fewer = counted(net, lambda: asked(net, ask))
    # The picture as it is, written of or looked at once, and each of its masked versions.
    assert SQUARES + 1 <= fewer <= SQUARES + 2
    assert all_rows >= fewer
    expected = values(everywhere)
    assert expected.abs().max() > 0
    torch.testing.assert_close(values(once), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_gradients_of_two_texts_go_once_through_the_encoder():
    net = seeded(Silent)
    net.preprocess = mmcam.Preprocess(size=(32, 32), mode="squash")

    def do():
        return asked(net, lambda m, p: explain_caption(m, p, "dog", contrast="cat", method="gradient", caption="a dog"))

    twice, both = counted(net, do)
    net.picture_encoder = "encoder"
    once, one = counted(net, do)
    assert both > one
    torch.testing.assert_close(once.values, twice.values, rtol=0, atol=1e-5 * float(twice.values.abs().max()))


def test_an_encoder_that_gives_no_rows_for_pictures_sees_them_all():
    class Flat(nn.Sequential):
        def forward(self, x):
            return super().forward(x).flatten(0, 1)

    net = seeded(Like)
    net.preprocess = mmcam.Preprocess(size=(32, 32), mode="squash")
    inner = net.encoder
    net.encoder = Flat(*inner)
    net.similarity = lambda x, texts: net.encoder(x).unflatten(0, (len(x), 8)).flatten(1).sum(1)
    expected = asked(net, lambda m, p: explain_similarity(m, p, "a", contrast="b b", **OCCLUSION)).values
    net.picture_encoder = "encoder"
    got = asked(net, lambda m, p: explain_similarity(m, p, "a", contrast="b b", **OCCLUSION)).values
    torch.testing.assert_close(got, expected)


def test_a_bundled_model_reads_a_question_once():
    model, rows = models.load("vignette-vqa"), []
    original = model.read
    model.read = lambda tokens, lengths: rows.append(len(tokens)) or original(tokens, lengths)
    x = torch.rand(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    questions = ["what is on the grass", "is there a dog", "what is on the grass"]
    with torch.no_grad():
        found = model.answer_scores(x, questions)
        assert rows == [2]
        each = torch.cat([model.answer_scores(x[n : n + 1], [questions[n]]) for n in range(3)])
    torch.testing.assert_close(found, each, rtol=1e-4, atol=1e-4)


# --- how passes are computed ------------------------------------------------------------------------------------------


class Recorded(Net):
    """Notes how the pictures lie, and what its first convolution computes in."""

    def __init__(self):
        super().__init__()
        self.layouts, self.dtypes = [], []

    def forward(self, x):
        self.layouts.append(x.is_contiguous(memory_format=torch.channels_last))
        features = self.features(x)
        self.dtypes.append(features.dtype)
        return self.head(features.flatten(1).to(self.head.weight.dtype))


class Viewing(Net):
    """Refuses pictures whose channels come last."""

    def forward(self, x):
        return self.head(self.features(x.view(len(x), -1).view_as(x)).flatten(1))


def test_convolutions_on_a_cpu_get_channels_last():
    net, x = seeded(Recorded), pictures(2)
    maps = attribute(net, x, [1], method="occlusion", patch=4, stride=4)
    net.layouts.clear()
    again = attribute(net, x, [1], method="occlusion", patch=4, stride=4)
    assert all(net.layouts)
    assert torch.equal(maps, again)


def test_a_model_that_refuses_channels_last_gets_pictures_as_they_are():
    x = pictures(2)
    with pytest.raises(RuntimeError):
        seeded(Viewing)(x.contiguous(memory_format=torch.channels_last))
    got = attribute(seeded(Viewing), x, [1], method="occlusion", patch=4, stride=4)
    torch.testing.assert_close(got, attribute(seeded(Net), x, [1], method="occlusion", patch=4, stride=4))


def test_a_model_that_gives_something_else_for_them_gets_them_as_they_are():
    class Strided(Net):
        def forward(self, x):
            return super().forward(x) * x.stride(1)

    net, x = seeded(Strided), pictures(1)
    assert torch.equal(layout.laid_out(mmcam.engine.computation.Computation(net, lambda p, rows: net(p), x, [])), x)
    assert layout._known[net] is False


@pytest.mark.parametrize("method", ["occlusion", "rise", "scorecam"])
def test_passes_compute_in_a_shorter_type_by_choice_alone(method):
    options = {"occlusion": {"patch": 4, "stride": 4}, "rise": {"n": 8, "cells": 4}, "scorecam": {}}[method]
    net, x = seeded(Recorded), pictures(1)
    plain = attribute(net, x, [1], method=method, **options)
    assert set(net.dtypes) == {torch.float32}
    short = attribute(net, x, [1], method=method, dtype="bfloat16", **options)
    assert torch.bfloat16 in net.dtypes
    assert short.dtype == torch.float32
    assert not torch.equal(short, plain)
    torch.testing.assert_close(short, plain, rtol=0, atol=0.1 * float(plain.abs().max()))
    with pytest.raises(ExplainError, match="no dtype='int8' to compute in"):
        attribute(net, x, [1], method=method, dtype="int8", **options)
