"""The bundled models: what `load` promises, and the protocol the library calls."""

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmcam.datasets import vignettes
from models import VQA, WEIGHTS, Captioner, Classifier, load, names
from models import captioner as captioner_module
from models.captioner import END, LONGEST

NAMES = ("vignette-captioner", "vignette-classifier", "vignette-vqa")


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    pixels = torch.stack([torch.from_numpy(vignettes.image(vignettes.seed("test", i))) for i in range(4)])
    return load("vignette-classifier").preprocess.normalise(pixels.permute(0, 3, 1, 2))


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return load("vignette-captioner")


@pytest.fixture(scope="module")
def vqa() -> VQA:
    return load("vignette-vqa")


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load("vignette-classifier")


def padded(rows: list[list[int]]) -> Tensor:
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)


class Multiplied:
    """Rows of a module's output repeated `copies` times, as the library does at the layer it explains."""

    def __init__(self, module: nn.Module, copies: int) -> None:
        self.handle = module.register_forward_hook(lambda _m, _i, out: out.repeat(copies, 1, 1, 1))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


def test_names_are_those_of_the_cards() -> None:
    assert names() == NAMES


def test_all_weights_together_are_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.glob("*.safetensors")) <= 40e6


@pytest.mark.parametrize("name", NAMES)
def test_load_gives_the_weights_of_the_card(name: str) -> None:
    card = json.loads((WEIGHTS / f"{name}.json").read_text())
    weights = (WEIGHTS / f"{name}.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == card["sha256"]
    model = load(name)
    assert not model.training
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert sum(p.numel() for p in model.parameters()) == card["parameters"]
    assert model.preprocess.size == (224, 224)
    assert model.preprocess.mode == "squash"


def test_unknown_name_lists_the_names() -> None:
    with pytest.raises(ValueError, match=r"no bundled model 'resnet'; there are vignette-captioner, .*vignette-vqa\."):
        load("resnet")


def test_other_weights_than_the_cards_are_refused(tmp_path: Path) -> None:
    card = (WEIGHTS / "vignette-classifier.json").read_text()
    weights = bytearray((WEIGHTS / "vignette-classifier.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "vignette-classifier.json").write_text(card)
    (tmp_path / "vignette-classifier.safetensors").write_bytes(weights)
    with pytest.raises(ValueError, match="another sha256"):
        load("vignette-classifier", folder=tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_the_last_convolution_is_14_by_14_and_feeds_a_relu(name: str, pictures: Tensor) -> None:
    model = load(name)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    shapes = []
    handle = convolutions[-1].register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape)))
    model.encoder(pictures)
    handle.remove()
    assert shapes == [(4, 384, 14, 14)]
    features = model.encoder.features(pictures)
    assert features.shape == (4, 384, 14, 14)
    assert features.min() == 0 < features.max()
    assert model.encoder(pictures).shape == (4, 576)


def test_classifier_has_a_logit_for_each_class(classifier: Classifier, pictures: Tensor) -> None:
    assert classifier(pictures).shape == (4, len(classifier.classes))
    assert {"dog", "beach"} <= set(classifier.classes)


def test_classes_can_be_explained_on_multiplied_rows(classifier: Classifier, pictures: Tensor) -> None:
    once = classifier(pictures)
    with Multiplied(classifier.encoder.features, 3):
        torch.testing.assert_close(classifier(pictures), once.repeat(3, 1), rtol=1e-4, atol=1e-4)


def test_a_caption_is_encoded_and_read_back(captioner: Captioner, pictures: Tensor) -> None:
    for tokens in captioner.generate(pictures):
        assert 0 < len(tokens) <= LONGEST
        assert captioner.encode(captioner.spell(tokens)) == tokens
    words = captioner.spell(captioner.generate(pictures[:1])[0]).split()
    assert captioner.encode(" ".join(words).capitalize() + " .") == captioner.encode(" ".join(words))


def test_an_unknown_word_is_named_with_its_nearest(captioner: Captioner) -> None:
    with pytest.raises(ValueError, match=r"does not know the word 'dogg'; its nearest words are .*dog"):
        captioner.encode("a dogg")
    with pytest.raises(ValueError, match="holds no word"):
        captioner.encode(" ?! ")


def test_log_probs_are_those_of_generation_step_by_step(captioner: Captioner, pictures: Tensor) -> None:
    with torch.no_grad():
        rows = captioner.generate(pictures, beam=1)
        together = captioner.token_log_probs(pictures, padded(rows))
        for i, row in enumerate(rows):
            state = captioner.cell(captioner.picture(captioner.encoder(pictures[i : i + 1])))
            total, last = 0.0, 0
            for token in row:
                state = captioner.cell(captioner.embedding(torch.tensor([last])), state)
                step = captioner.output(state[0]).log_softmax(1)[0]
                assert int(step.argmax()) == token
                total, last = total + float(step[token]), token
            assert float(together[i, : len(row)].sum()) == pytest.approx(total, abs=1e-4)


def test_padding_changes_no_log_prob(captioner: Captioner, pictures: Tensor) -> None:
    tokens = torch.tensor([captioner.generate(pictures[:1])[0]])
    plain = captioner.token_log_probs(pictures[:1], tokens)
    for pad in (0, -100, 10_000):
        longer = nn.functional.pad(tokens, (0, 3), value=pad)
        torch.testing.assert_close(captioner.token_log_probs(pictures[:1], longer)[:, : tokens.shape[1]], plain)


def test_log_probs_survive_multiplied_rows(captioner: Captioner, pictures: Tensor) -> None:
    tokens = padded(captioner.generate(pictures))
    once = captioner.token_log_probs(pictures, tokens)
    with Multiplied(captioner.encoder.features, 3):
        thrice = captioner.token_log_probs(pictures, tokens.repeat(3, 1))
    torch.testing.assert_close(thrice, once.repeat(3, 1), rtol=1e-4, atol=1e-4)


def test_rows_that_do_not_fit_are_refused(captioner: Captioner, vqa: VQA, pictures: Tensor) -> None:
    with pytest.raises(ValueError, match="3 captions cannot be read beside 4 encoded pictures"):
        captioner.token_log_probs(pictures, torch.ones(3, 2, dtype=torch.long))
    with pytest.raises(ValueError, match="3 questions cannot be put to 4 encoded pictures"):
        vqa.answer_scores(pictures, ["what is it?"] * 3)


def likeliest_word_each_time(captioner: Captioner, picture: Tensor) -> list[int]:
    """Greedy decoding by reading the whole caption anew for every word."""
    said: list[int] = []
    while len(said) < LONGEST:
        word = int(captioner(picture, torch.tensor([said], dtype=torch.long).view(1, -1))[0, -1].argmax())
        if word == END:
            break
        said.append(word)
    return said


def test_a_beam_of_one_says_the_likeliest_word_each_time(captioner: Captioner, pictures: Tensor) -> None:
    with torch.no_grad():
        expected = [likeliest_word_each_time(captioner, picture) for picture in pictures.split(1)]
        assert captioner.generate(pictures, beam=1) == expected


def test_pictures_do_not_disturb_each_other_in_a_beam(captioner: Captioner, pictures: Tensor) -> None:
    for beam in (2, 5):
        assert captioner.generate(pictures, beam) == [captioner.generate(p, beam)[0] for p in pictures.split(1)]


def test_a_wide_beam_finds_the_likeliest_of_all_captions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three words, four places: every caption there is, scored one by one."""
    monkeypatch.setattr(captioner_module, "LONGEST", 4)
    torch.manual_seed(0)
    small = Captioner(["a", "b", "c"], state=16).eval()
    with torch.no_grad():
        small.output.weight.mul_(40)  # far from even, so that the likeliest caption is not the shortest
    fc7 = torch.rand(3, small.encoder.width) * 4
    captions = [list(words) for n in range(4) for words in itertools.product((1, 2, 3), repeat=n)]
    found = small.search(fc7, beam=200)
    for row, said in zip(fc7, found, strict=True):
        with torch.no_grad():
            scores = []
            for words in captions:
                logs = small.decode(row[None], torch.tensor([words], dtype=torch.long).view(1, -1))[0].log_softmax(1)
                scores.append(sum(float(logs[t, word]) for t, word in enumerate([*words, END])))
        assert said == captions[int(np.argmax(scores))]


def test_generation_keeps_no_graph_and_log_probs_do(captioner: Captioner, pictures: Tensor) -> None:
    assert captioner.token_log_probs(pictures[:1], torch.ones(1, 2, dtype=torch.long)).requires_grad
    assert captioner.generate(pictures[:1]) == captioner.generate(pictures[:1])


def test_answers_are_scored(vqa: VQA, pictures: Tensor) -> None:
    questions = ["How many things are there?", "is there a dog", "What colour is the dog?!", "where is this"]
    together = vqa.answer_scores(pictures, questions)
    assert together.shape == (4, len(vqa.answers))
    for i, question in enumerate(questions):  # neither the others nor their lengths matter
        alone = vqa.answer_scores(pictures[i : i + 1], [question])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        vqa.answer_scores(pictures[:1], ["IS THERE a DOG?"]), vqa.answer_scores(pictures[:1], ["is there a dog"])
    )


def test_answers_survive_multiplied_rows(vqa: VQA, pictures: Tensor) -> None:
    questions = ["is there a dog?", "how many things are there?", "is it night?", "what colour is the car?"]
    once = vqa.answer_scores(pictures, questions)
    with Multiplied(vqa.encoder.features, 2):
        twice = vqa.answer_scores(pictures, questions * 2)
    torch.testing.assert_close(twice, once.repeat(2, 1), rtol=1e-4, atol=1e-4)


def test_a_question_of_unknown_words_is_refused(vqa: VQA, pictures: Tensor) -> None:
    assert vqa.answer_scores(pictures[:1], ["is there a zebra?"]).isfinite().all()
    for question in ("quo vadis", "?", ""):
        with pytest.raises(ValueError, match="no word the model knows"):
            vqa.answer_scores(pictures[:1], [question])


def test_gradients_reach_the_features_of_every_model(
    captioner: Captioner, vqa: VQA, classifier: Classifier, pictures: Tensor
) -> None:
    scores = {
        captioner: lambda: captioner.token_log_probs(pictures, padded(captioner.generate(pictures))).sum(),
        vqa: lambda: vqa.answer_scores(pictures, ["is there a dog?"] * 4).amax(1).sum(),
        classifier: lambda: classifier(pictures).amax(1).sum(),
    }
    for model, score in scores.items():
        kept = []
        handle = model.encoder.features.register_forward_hook(lambda _m, _i, out, kept=kept: kept.append(out))
        total = score()
        handle.remove()
        (gradient,) = torch.autograd.grad(total, kept[-1])
        assert (gradient.abs().amax((1, 2, 3)) > 0).all()
