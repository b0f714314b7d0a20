"""The encoder runs once, for a caption and its maps, an answer, a beam; not for a picture that was looked at."""

import contextlib

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import SMALL, VQA, Captioner, network, seeded
from torch import nn
from typer.testing import CliRunner

import mmcam
from mmcam import ExplainError, explain_answer, explain_caption, explain_class, grounding, look
from mmcam.cli import app


class Counted(nn.Conv2d):
    """Counts the pictures it computes."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.pictures = 0

    def forward(self, x):
        self.pictures += len(x)
        return super().forward(x)


def encoder():
    return nn.Sequential(Counted(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU())


class Silent(Captioner):
    """A captioner that looks at the picture to write, and does not say which module does."""

    def __init__(self):
        super().__init__()
        self.encoder = encoder()

    def generate(self, x):
        dark = self.encoder(x).mean((1, 2, 3)) < -1  # never
        return [self.said[n % 2][: None if not low else 1] for n, low in enumerate(dark.tolist())]

    def beams(self, x, beam):
        self.encoder(x)
        return [[(row, -float(i)) for i, row in enumerate(self.said[:beam])] for _ in x]

    def attention(self, x, tokens):
        maps = self.encoder(x).abs().sum(1)[:, None]
        return {
            "attention": (maps / maps.sum((2, 3), keepdim=True)).repeat(len(tokens) // len(x), tokens.shape[1], 1, 1)
        }


class Seer(Silent):
    """The same, which says."""

    picture_encoder = "encoder"


class Answers(VQA):
    picture_encoder = "encoder"

    def attention(self, x, questions):
        maps = self.encoder(x).abs().sum(1)
        return {"attention": maps.repeat(len(questions) // len(x), 1, 1)}

    def __init__(self):
        super().__init__()
        self.encoder = encoder()


class Writer(Seer):
    """Its captions are answers."""

    @contextlib.contextmanager
    def asked(self, questions):
        yield


def picture(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8))


def computed(model, do):
    """What a function gives, and how many pictures the encoder computed for it."""
    first = next(m for m in model.modules() if isinstance(m, Counted))
    do()  # the first time, the layer is looked for
    first.pictures = 0
    return do(), first.pictures


def values(found):
    """All maps of whatever is given, as one tensor."""
    if isinstance(found, mmcam.Explanation):
        return found.values[None]
    own = [found.answer, *found] if isinstance(found, mmcam.QuestionExplanation) else list(found)
    return torch.cat([values(one) for one in own])


ONCE = {
    "every word": (Seer, lambda m, p: explain_caption(m, p)),
    "one word": (Seer, lambda m, p: explain_caption(m, p, "dog")),
    "words": (Seer, lambda m, p: explain_caption(m, p, ["dog", "grass"])),
    "rather than": (Seer, lambda m, p: explain_caption(m, p, ["dog", "grass"], contrast="cat")),
    "of a caption": (
        Seer,
        lambda m, p: explain_caption(m, p, ["dog", "on"], caption="a dog on the grass", contrast="cat"),
    ),
    "beam": (Seer, lambda m, p: explain_caption(m, p, beam=2)),
    "attention": (Seer, lambda m, p: explain_caption(m, p, method="attention")),
    "an earlier layer": (Seer, lambda m, p: explain_caption(m, p, layer="encoder.1")),
    "answer": (Answers, lambda m, p: explain_answer(m, p, "is it red")),
    "answers": (Answers, lambda m, p: explain_answer(m, p, "is it red", ["yes", "no"])),
    "question": (Answers, lambda m, p: explain_answer(m, p, "is it red", by_word=True)),
    "questions": (Answers, lambda m, p: explain_answer(m, p, "is it red", ["yes", "no"], by_word=True)),
    "where it looked": (Answers, lambda m, p: explain_answer(m, p, "is it red", method="attention")),
    "written": (Writer, lambda m, p: explain_answer(m, p, "what")),
    "written rather": (Writer, lambda m, p: explain_answer(m, p, "what", contrast="a cat")),
}


@pytest.mark.parametrize("asked", ONCE)
def test_the_encoder_runs_once(asked):
    """And the maps are those that a model gives which does not say what its encoder is."""
    kind, ask = ONCE[asked]
    model = seeded(kind)
    found, passes = computed(model, lambda: ask(model, picture()))
    assert passes == 1
    apart = seeded(type("Apart", (kind,), {"picture_encoder": None}))
    torch.testing.assert_close(values(found), values(ask(apart, picture())), rtol=1e-6, atol=1e-6)
    assert values(found).abs().max() > 0


@pytest.mark.parametrize("asked", ONCE)
def test_a_picture_that_was_looked_at_costs_no_pass(asked):
    kind, ask = ONCE[asked]
    model = seeded(kind)
    seen = look(model, picture(), layer="encoder.1" if asked == "an earlier layer" else None)
    found, passes = computed(model, lambda: ask(model, seen))
    assert passes == 0
    torch.testing.assert_close(values(found), values(ask(model, picture())), rtol=1e-6, atol=1e-6)


def test_without_a_name_everything_runs_as_ever():
    model = seeded(Silent)
    assert computed(model, lambda: explain_caption(model, picture()))[1] == 2
    with pytest.raises(ExplainError, match="Silent does not say which of its modules sees the pictures"):
        look(model, picture())


def test_a_module_of_that_name_says_nothing():
    class Named(Silent):
        def __init__(self):
            super().__init__()
            self.picture_encoder = nn.Identity()

    model = seeded(Named)
    assert computed(model, lambda: explain_caption(model, picture()))[1] == 2
    with pytest.raises(ExplainError, match="does not say"):
        look(model, picture())


def test_of_several_pictures_each_is_seen_once():
    model = seeded(Seer)
    pictures = [picture(n) for n in range(3)]
    found, passes = computed(model, lambda: explain_caption(model, pictures, [["dog", "on"], ["the"], "runs"]))
    assert passes == 3
    apart = seeded(Silent)
    torch.testing.assert_close(
        values(found), values(explain_caption(apart, pictures, [["dog", "on"], ["the"], "runs"])), rtol=1e-5, atol=1e-6
    )


def test_lists_and_streams_of_looked_at_pictures():
    model = seeded(Seer)
    pictures = [picture(n) for n in range(4)]
    seen, passes = computed(model, lambda: look(model, pictures))
    assert passes == 4
    assert len(seen) == 4
    (apart,) = look(model, iter(pictures[:1]))
    chosen = [seen[2], apart, seen[3]]  # looked at together and apart
    found, passes = computed(model, lambda: explain_caption(model, chosen, caption="a dog runs"))
    assert passes == 0
    expected = explain_caption(model, [pictures[n] for n in (2, 0, 3)], caption="a dog runs")
    torch.testing.assert_close(values(found), values(expected), rtol=1e-5, atol=1e-6)
    some = list(explain_caption(model, iter(chosen), "dog", caption="a dog runs"))
    torch.testing.assert_close(values(some), values([row[1] for row in expected]), rtol=1e-5, atol=1e-6)


def test_beside_others_all_are_computed():
    model = seeded(Seer)
    mixed = [look(model, picture(0)), picture(1)]
    found, passes = computed(model, lambda: explain_caption(model, mixed, "dog", caption="a dog runs"))
    assert passes == 2
    expected = explain_caption(model, [picture(0), picture(1)], "dog", caption="a dog runs")
    torch.testing.assert_close(values(found), values(expected))


def test_grounding_looks_at_the_picture_once_and_once_at_none():
    model = seeded(Seer)
    found, passes = computed(model, lambda: grounding(model, picture()))
    assert passes == 2
    assert found == grounding(seeded(Silent), picture())
    seen = look(model, picture())
    again, passes = computed(model, lambda: grounding(model, seen))
    assert passes == 1
    assert again == found
    assert grounding(model, [seen, picture(1)])[0] == found


def test_a_layer_before_the_one_looked_at_is_computed():
    model = seeded(Seer)
    seen = look(model, picture())
    assert seen.layer == "encoder"
    found, passes = computed(
        model, lambda: explain_caption(model, seen, "dog", caption="a dog runs", layer="encoder.1")
    )
    assert passes == 1
    expected = explain_caption(model, picture(), "dog", caption="a dog runs", layer="encoder.1")
    assert torch.equal(found.values, expected.values)


def test_a_layer_behind_the_one_looked_at_is_served():
    model = seeded(Seer)
    seen = look(model, picture(), layer="encoder.1")
    found, passes = computed(
        model, lambda: explain_caption(model, seen, "dog", caption="a dog runs", layer="encoder.3")
    )
    assert passes == 0
    expected = explain_caption(model, picture(), "dog", caption="a dog runs", layer="encoder.3")
    assert torch.equal(found.values, expected.values)


@pytest.mark.parametrize("method", ["gradient", "occlusion", "smoothgrad"])
def test_methods_that_look_at_pixels_compute_what_they_need(method):
    model = seeded(Seer)
    found = explain_caption(model, look(model, picture()), "dog", caption="a dog runs", method=method)
    expected = explain_caption(model, picture(), "dog", caption="a dog runs", method=method)
    torch.testing.assert_close(found.values, expected.values)


def test_other_weights_are_refused_in_a_sentence():
    model = seeded(Seer)
    seen = look(model, picture())
    with torch.no_grad():
        model.output.weight.mul_(0.5)  # the language side's
    explain_caption(model, seen, "dog")
    with torch.no_grad():
        model.encoder[0].weight.mul_(0.5)
    with pytest.raises(ExplainError, match="weights of Seer have changed since it looked at the picture; look again"):
        explain_caption(model, seen, "dog")
    with pytest.raises(ExplainError, match="look again"):
        grounding(model, seen)
    assert isinstance(explain_caption(model, [seen], "dog", errors="skip")[0], ExplainError)
    torch.testing.assert_close(
        explain_caption(model, look(model, seen.image), "dog").values, explain_caption(model, picture(), "dog").values
    )


def test_another_model_or_preparation_takes_the_picture_itself():
    model, other = seeded(Seer), seeded(Seer)
    other.preprocess = mmcam.Preprocess(size=(32, 32), mode="pad", mean=(0.4,) * 3, std=(0.3,) * 3)
    seen = look(model, picture())
    found, passes = computed(other, lambda: explain_caption(other, seen, "dog"))
    assert passes == 1
    assert torch.equal(found.values, explain_caption(other, picture(), "dog").values)
    given = explain_caption(model, seen, "dog", preprocess=other.preprocess)
    assert torch.equal(given.values, explain_caption(model, picture(), "dog", preprocess=other.preprocess).values)
    alike = look(model, picture(), preprocess=other.preprocess)
    assert computed(model, lambda: explain_caption(model, alike, "dog", preprocess=other.preprocess))[1] == 0
    prepared = look(model, SMALL(picture())[0])
    assert torch.equal(explain_caption(other, prepared, "dog").values, explain_caption(other, prepared.image, "dog",
        preprocess=SMALL).values)  # fmt: skip


def test_a_classifier_needs_no_name():
    """It reads nothing but the picture."""
    model = network("resnet18")
    seen = look(model, [picture(0), picture(1)])
    calls = []
    handle = model.conv1.register_forward_hook(lambda module, inputs, out: calls.append(bool(out.isnan().any())))
    try:
        found = explain_class(model, seen, [3, 7])
    finally:
        handle.remove()
    assert all(calls)  # hooks run, on numbers that are none: nothing was computed
    expected = explain_class(model, [picture(0), picture(1)], [3, 7])
    torch.testing.assert_close(values(found), values(expected), rtol=1e-4, atol=1e-7)
    assert [exp.prediction for exp in found] != [None, None]


def test_pictures_that_influence_each_other_are_looked_at_apart():
    class Together(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.fc = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1), nn.Linear(4, 3)
            self.preprocess = SMALL

        def forward(self, x):
            x = self.one(x)
            return self.fc(self.two(x - x.mean(0)).relu().mean((2, 3)))

    model = seeded(Together)
    seen = look(model, [picture(0), picture(1)], layer="two")
    found = explain_class(model, seen[1], 0, layer="two")
    assert torch.equal(found.values, explain_class(model, picture(1), 0, layer="two").values)


def test_the_model_is_left_as_found():
    model = seeded(Seer).train()
    before = [dict(vars(module)) for module in model.modules()]
    flags = [module.training for module in model.modules()]
    seen = look(model, picture())
    explain_caption(model, seen, "dog")
    with pytest.raises(ExplainError):
        explain_caption(model, seen, "zebra")
    after = [dict(vars(module)) for module in model.modules()]
    assert [sorted(own) for own in after] == [sorted(own) for own in before]
    assert [module.training for module in model.modules()] == flags
    assert all(p.grad is None for p in model.parameters())


def test_nothing_can_be_kept_outside_the_encoder():
    model = seeded(Seer)
    with pytest.raises(ExplainError, match="Nothing can be kept at layer 'picture' of Seer"):
        look(model, picture(), layer="picture")
    with pytest.raises(ExplainError, match="There is no layer 'nowhere'"):
        look(model, picture(), layer="nowhere")
    with pytest.raises(mmcam.PictureError):
        look(model, "nowhere.png")
    assert isinstance(look(model, ["nowhere.png", picture()], errors="skip")[0], mmcam.PictureError)


@pytest.mark.parametrize("name", ["vignette-captioner", "vignette-vqa"])
def test_bundled_models_say_what_their_encoder_is(name):
    model = mmcam.models.load(name)
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    counted = Counted(3, 1, 1)
    counted.__dict__.update(vars(first), pictures=0)
    parent = model.get_submodule(next(n for n, m in model.named_modules() if m is first).rpartition(".")[0])
    parent._modules["0"] = counted
    ask = explain_caption if name.endswith("captioner") else (lambda m, p: explain_answer(m, p, "what is this"))
    found, passes = computed(model, lambda: ask(model, picture()))
    assert passes == 1
    seen = look(model, picture())
    again, passes = computed(model, lambda: ask(model, seen))
    assert passes == 0
    torch.testing.assert_close(values(again), values(found), rtol=1e-6, atol=1e-8)


def test_methods_beside_each_other_look_once():
    model = seeded(Seer)
    ways = ["gradcam", "layercam", "hirescam"]
    found, passes = computed(model, lambda: mmcam.compare(model, picture(), ["dog"], methods=ways))
    assert passes == 1
    expected = [explain_caption(model, picture(), "dog", method=way) for way in ways]
    torch.testing.assert_close(values(found), values(expected))


def test_the_command_looks_once(monkeypatch, tmp_path):
    model = seeded(Seer)
    explain_caption(model, picture())
    picture().save(tmp_path / "a.png")
    monkeypatch.setattr("mmcam.cli.explain.load_model", lambda *given: (model, None))
    arguments = ["explain", str(tmp_path / "a.png"), "--caption", "--grounding", "--method", "gradcam", "--method"]
    model.encoder[0].pictures = 0
    done = CliRunner().invoke(app, [*arguments, "layercam", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert model.encoder[0].pictures == 1 + 2  # and for each method a blank picture's words
