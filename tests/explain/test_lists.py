"""Lists and streams: one rule for what is asked of each picture, chunks, and a bad picture that costs only itself."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import SMALL, VQA, Captioner, Deep, seeded
from torch import nn
from torch.utils.data import DataLoader, Dataset

import mmcam
from mmcam import ExplainError, Explanation, PictureError, QuestionExplanation
from mmcam import explain_answer as answer
from mmcam import explain_caption as caption
from mmcam import explain_class as class_
from mmcam import explain_similarity as similarity

QUESTION = "is the dog red"


def picture(seed=0, width=40):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, width, 3), dtype=np.uint8))


PICTURES = [picture(seed, 30 + seed) for seed in range(5)]


class Matcher(nn.Module):
    """Compares pictures with the lengths of words."""

    def __init__(self):
        super().__init__()
        self.preprocess = SMALL
        self.encoder = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU())
        self.head = nn.Linear(8 * 8 * 8, 10)
        self.words = nn.Embedding(64, 10)

    def similarity(self, x, texts):
        said = torch.stack([self.words(torch.tensor([len(word) for word in text.split()])).sum(0) for text in texts])
        seen = torch.tanh(self.head(self.encoder(x).flatten(1)))
        return (seen.repeat(len(said) // len(seen), 1) * said).sum(1)


class Writer(Captioner):
    """Writes its answers: how it goes on hangs on the question."""

    def __init__(self):
        super().__init__()
        self.questions = [""]

    def asked(self, questions):
        import contextlib

        @contextlib.contextmanager
        def block():
            before, self.questions = self.questions, list(questions)
            try:
                yield
            finally:
                self.questions = before

        return block()

    def generate(self, x):
        assert len(x) == len(self.questions)
        return [[1, 2] if len(text) % 2 else [6, 9, 10] for text in self.questions]

    def token_log_probs(self, x, tokens):
        lengths = (
            torch.tensor([len(text) for text in self.questions]).float().repeat(len(tokens) // len(self.questions))
        )
        first = self.picture(self.encoder(x).flatten(1))[:, None] * (1 + lengths[:, None, None] / 10)
        steps = torch.cat([first, self.embedding(tokens[:, :-1])], dim=1)
        logits = self.output(self.lstm(steps)[0])
        return logits.log_softmax(-1).gather(-1, tokens[:, :, None])[:, :, 0]


def net():
    model = seeded(Deep, 32)
    model.preprocess, model.classes = SMALL, ("tench", "dog", "cat", "boat", "car")
    return model


def everything(result):
    """The explanations in a result, however they are nested."""
    if isinstance(result, Explanation):
        return [result]
    if isinstance(result, mmcam.CaptionExplanation):
        return [*result, result.whole]
    if isinstance(result, QuestionExplanation):
        return [*result, result.answer]
    return [exp for one in result for exp in everything(one)]


def form(result):
    """How a result is nested."""
    return [form(one) for one in result] if isinstance(result, list) else type(result).__name__


def same(some, others):
    """As each was explained alone."""
    assert form(some) == form(others)
    for one, other in zip(everything(some), everything(others), strict=True):
        assert (one.target, one.context, one.claim, one.layer) == (
            other.target,
            other.context,
            other.claim,
            other.layer,
        )
        assert one.image.tobytes() == other.image.tobytes()
        assert one.score == pytest.approx(other.score, abs=1e-5)
        torch.testing.assert_close(one.values, other.values, rtol=1e-3, atol=1e-6 + 1e-5 * float(other.values.max()))


# --- one rule for what is asked ---------------------------------------------------------------------------------------

ASKED = {
    "class": (net, lambda model, images, wanted, **how: class_(model, images, wanted, **how), ["dog", 2, "boat"]),
    "answer": (
        VQA,
        lambda model, images, wanted, **how: answer(model, images, QUESTION, wanted, **how),
        ["red", 1, "two"],
    ),
    "by word": (
        VQA,
        lambda model, images, wanted, **how: answer(model, images, QUESTION, wanted, by_word=True, **how),
        ["red", 1, "two"],
    ),
    "written": (
        Writer,
        lambda model, images, wanted, **how: answer(model, images, QUESTION, wanted, **how),
        ["a dog", "cat", "the big tree"],
    ),
    "word": (
        Captioner,
        lambda model, images, wanted, **how: caption(model, images, wanted, caption="a dog on the grass", **how),
        ["dog", 4, "on the"],
    ),
    "text": (
        Matcher,
        lambda model, images, wanted, **how: similarity(model, images, wanted, **how),
        ["a dog", "some grass", "cat"],
    ),
}


@pytest.fixture(params=ASKED)
def asked(request):
    build, explain, wanted = ASKED[request.param]
    return seeded(build), explain, wanted


def test_a_list_for_one_picture_asks_for_several(asked):
    model, explain, wanted = asked
    same(explain(model, PICTURES[0], wanted), [explain(model, PICTURES[0], one) for one in wanted])
    same(explain(model, PICTURES[0], wanted[:1]), [explain(model, PICTURES[0], wanted[0])])


def test_a_list_for_a_list_has_one_entry_a_picture(asked):
    model, explain, wanted = asked
    images = PICTURES[:3]
    alone = [explain(model, image, one) for image, one in zip(images, wanted, strict=True)]
    same(explain(model, images, wanted), alone)
    same(explain(model, images, wanted[0]), [explain(model, image, wanted[0]) for image in images])


def test_entries_may_be_lists_of_different_lengths(asked):
    model, explain, wanted = asked
    nested = [wanted, wanted[:1], wanted[1]]
    alone = [explain(model, image, entry) for image, entry in zip(PICTURES, nested, strict=False)]
    assert [isinstance(own, list) for own in alone] == [True, True, False]
    same(explain(model, PICTURES[:3], nested), alone)


def test_not_one_entry_a_picture_and_no_entry(asked):
    model, explain, wanted = asked
    with pytest.raises(ExplainError, match=r"There are 2 pictures and 3 \w+s; give one a picture"):
        explain(model, PICTURES[:2], wanted)
    for images, nothing in ((PICTURES[0], []), (PICTURES[:2], [[], wanted])):
        with pytest.raises(ExplainError, match=r"There is no \w+ in the list; pass at least one"):
            explain(model, images, nothing)


def test_a_stream_gives_what_a_list_gives(asked):
    model, explain, wanted = asked
    entries = [wanted[n % 3] for n in range(5)]
    alone = [explain(model, image, one) for image, one in zip(PICTURES, entries, strict=True)]
    for size in (None, 1, 2):
        made = explain(model, iter(PICTURES), iter(entries), batch_size=size)
        assert iter(made) is made
        same(list(made), alone)
        same(explain(model, PICTURES, entries, batch_size=size), alone)


def test_generated_captions_and_answers_in_lists():
    model = seeded(Captioner)
    assert [made.caption for made in caption(model, PICTURES, batch_size=2)] == [
        "a dog runs on the grass",
        "the big tree",
    ] * 2 + ["a dog runs on the grass"]
    writer = seeded(Writer)
    questions = ["red", "reds", "what", "is", "a"]
    mixed = answer(writer, PICTURES, questions, [None, "cat", None, ["dog", "tree"], "cat"])
    alone = [
        answer(writer, image, question, wanted)
        for image, question, wanted in zip(
            PICTURES, questions, [None, "cat", None, ["dog", "tree"], "cat"], strict=True
        )
    ]
    same(mixed, alone)


def test_several_words_of_several_kinds():
    model = seeded(Captioner)
    for words in (["dog", "grass", "dog"], ["dog", 0, "on the"]):
        alone = [caption(model, PICTURES[0], word, caption="a dog on the grass", contrast="cat") for word in words]
        same(caption(model, PICTURES[0], words, caption="a dog on the grass", contrast="cat"), alone)
    with pytest.raises(ExplainError, match="position= belongs to one word"):
        caption(model, PICTURES[0], ["dog", "cat"], position=1)


def test_what_is_no_entry():
    for wrong in (None, 2.5, b"dog"):
        with pytest.raises(ExplainError, match="given as a text or by its position"):
            caption(seeded(Captioner), PICTURES[0], ["dog", wrong], caption="a dog")
    with pytest.raises(ExplainError, match="A text is a text, and 3 is none"):
        similarity(seeded(Matcher), PICTURES[0], ["dog", 3])
    with pytest.raises(ExplainError, match="give answer= and contrast= as texts"):
        answer(seeded(Writer), PICTURES[0], QUESTION, ["cat", 3])


# --- streams ----------------------------------------------------------------------------------------------------------


class Folder(Dataset):
    """As torchvision's data sets: a picture and its label by index, without an end of its own."""

    def __init__(self, form):
        self.form = form

    def __len__(self):
        return len(PICTURES)

    def __getitem__(self, index):
        return self.form(PICTURES[index % len(PICTURES)]), index


def prepared(image):
    return SMALL(image)[0]


def test_loaders_and_data_sets():
    model = net()
    tensors = [prepared(image) for image in PICTURES]
    alone = [class_(model, x, "dog") for x in tensors]
    same(list(class_(model, DataLoader(Folder(prepared), batch_size=2), "dog")), alone)
    same(list(class_(model, DataLoader(tensors, batch_size=3), "dog", batch_size=2)), alone)
    same(list(class_(model, (torch.stack(tensors[n : n + 2]) for n in (0, 2)), "dog")), alone[:4])
    same(list(class_(model, Folder(lambda image: image), "dog")), [class_(model, image, "dog") for image in PICTURES])
    same(
        list(class_(model, ([image, image] for image in PICTURES[:2]), 1)),
        [class_(model, PICTURES[n], 1) for n in (0, 0, 1, 1)],
    )
    with pytest.raises(PictureError, match=r"A batch of image, label does not say .*batch\['image'\]"):
        next(class_(model, [{"image": tensors[0], "label": 0}].__iter__(), "dog"))


def test_results_come_as_they_are_made():
    handed = []

    def pictures():
        for image in PICTURES:
            handed.append(image)
            yield image

    made = class_(net(), pictures(), "dog", batch_size=2)
    assert handed == []
    next(made)
    assert len(handed) == 2
    next(made), next(made)
    assert len(handed) == 4
    assert len(list(made)) == 2


def test_a_stream_of_entries_that_ends_early_or_late():
    made = class_(net(), iter(PICTURES), ["dog", "cat"], batch_size=1)
    assert [next(made).target, next(made).target] == ["dog", "cat"]
    with pytest.raises(ExplainError, match="more pictures than targets, of which there are 2"):
        next(made)
    with pytest.raises(ExplainError, match="2 pictures and more targets"):
        list(class_(net(), iter(PICTURES[:2]), ["dog", "cat", "car"]))
    assert list(class_(net(), iter([]), "dog")) == []


def test_callers_without_gradients():
    model = net()
    alone = [class_(model, image, "dog") for image in PICTURES]
    with torch.inference_mode():
        same(list(class_(model, iter(PICTURES), "dog", batch_size=2)), alone)
        listed = class_(model, PICTURES, "dog")
    same(listed, alone)


# --- bounded memory ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "most"), [(32, 64), (224, 16), (448, 4), (1000, 1)])
def test_a_chunk_is_as_large_as_its_inputs_allow(side, most):
    seen = []
    gap = nn.Sequential(nn.Conv2d(3, 4, 3, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    gap.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    squash = mmcam.Preprocess(size=(side, side), mode="squash")
    made = class_(gap, (Image.new("RGB", (8, 8), (n, 0, 0)) for n in range(most + 1)), 1, preprocess=squash)
    next(made)
    assert max(seen) == most


def test_large_pictures_make_small_chunks(monkeypatch):
    monkeypatch.setattr("mmcam.explain.chunks.ORIGINAL", 2500)
    handed = []
    made = class_(net(), (handed.append(n) or image for n, image in enumerate(PICTURES)), 1)
    next(made)
    assert len(handed) == 3, "900 + 930 + 960 pixels"


def test_sizes_and_choices_that_are_none():
    for size in (0, -1, 2.5, "2", True):
        with pytest.raises(ExplainError, match="how many pictures are explained at a time"):
            class_(net(), PICTURES, 1, batch_size=size)
    with pytest.raises(ExplainError, match='errors= is "raise" or "skip"'):
        class_(net(), PICTURES, 1, errors="ignore")


# --- one bad picture --------------------------------------------------------------------------------------------------


def test_a_bad_picture_costs_only_itself(tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    images = [PICTURES[0], broken, PICTURES[1], tmp_path / "missing.png", PICTURES[2]]
    model = net()
    for given in (images, iter(images)):
        made = list(class_(model, given, ["dog", "cat", "boat", 1, 2], errors="skip"))
        same(
            [made[n] for n in (0, 2, 4)], [class_(model, PICTURES[n], own) for n, own in enumerate(["dog", "boat", 2])]
        )
        assert [type(made[n]) for n in (1, 3)] == [PictureError, PictureError]
        assert str(broken) in str(made[1])
        assert "There is no picture at" in str(made[3])
    with pytest.raises(PictureError, match=r"broken\.png cannot be read"):
        class_(model, images, "dog")


def test_what_is_wrong_with_one_entry_costs_only_its_picture():
    model = seeded(Captioner)
    made = caption(model, PICTURES[:3], ["dog", "tree", ["dog", "cat"]], caption="a dog runs", errors="skip")
    same(made[0], caption(model, PICTURES[0], "dog", caption="a dog runs"))
    assert isinstance(made[1], ExplainError)
    assert "has no 'tree'" in str(made[1])
    assert "has no 'cat'" in str(made[2])


def test_what_is_no_list_of_pictures():
    for wrong in (3, {"a": PICTURES[0]}, set(), b"bytes", None):
        with pytest.raises(PictureError):
            class_(net(), wrong, 1)
    with pytest.raises(PictureError, match="There is no picture in the list"):
        class_(net(), [], 1)
    with pytest.raises(PictureError, match="There is no picture in the list"):
        class_(net(), torch.zeros(0, 3, 32, 32), 1)


# --- cost -------------------------------------------------------------------------------------------------------------


class Counting(Captioner):
    """Counts what it computes: pictures of the encoder, tokens of the decoder on the way there and back."""

    def __init__(self):
        super().__init__()
        self.read = self.walked = 0

    def token_log_probs(self, x, tokens):
        self.read += tokens.numel()
        found = super().token_log_probs(x, tokens)
        if found.requires_grad:
            found.register_hook(self.back)
        return found

    def back(self, gradient):
        self.walked += gradient.numel()

    def cost(self, explain):
        self.encoded = self.read = self.walked = 0
        explain()
        return self.encoded, self.read, self.walked


CAPTIONS = (
    "a dog runs on the grass",
    "the big tree",
    "on water",
    "a cat on a tree on the big grass on the water",
    "cat",
)


@pytest.mark.parametrize("how", [{}, {"word": [0] * 5}, {"word": [[0, -1]] * 5}, {"word": [0] * 5, "contrast": "runs"}])
def test_captions_of_different_lengths_cost_no_more_than_one_by_one(how):
    model = seeded(Counting)
    caption(model, PICTURES[:2], caption="a dog")  # finds the layer, and that rows are independent
    caption(model, PICTURES[0], 0, caption="a dog", contrast="runs")

    def one_by_one():
        for n, text in enumerate(CAPTIONS):
            own = {name: value[n] if name == "word" else value for name, value in how.items()}
            caption(model, PICTURES[n], caption=text, **own)

    singles = model.cost(one_by_one)
    assert model.cost(lambda: caption(model, PICTURES, caption=CAPTIONS, **how)) == singles


def test_many_captions_of_one_length_cost_no_more_either():
    model = seeded(Counting)
    images, text = [picture(seed) for seed in range(20)], CAPTIONS[3]
    caption(model, images[:2], caption=text)
    singles = model.cost(lambda: [caption(model, image, caption=text) for image in images])
    assert model.cost(lambda: caption(model, images, caption=text)) == singles


def test_lists_are_never_long_in_memory(tmp_path):
    """A thousand files are opened one after the other, and each is let go."""
    path = tmp_path / "a.png"
    picture().save(path)
    made = class_(net(), (os.fspath(path) for _ in range(200)), 1)
    assert sum(1 for _ in made) == 200
