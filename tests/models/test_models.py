"""The bundled models: what `load` promises, and the protocol the library calls."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from tiny import Multiplied
from torch import Tensor, nn

from mmcam.datasets import vignettes
from models import VQA, WEIGHTS, Answerer, Captioner, Classifier, Speaker, build, load, names
from models.encoder import Features
from models.speaker import END, LONGEST, WIDE

CARDS = {name: json.loads((WEIGHTS / f"{name}.json").read_text()) for name in names()}
NAMES = tuple(name for name, card in CARDS.items() if "sha256" in card)  # the weights of others come from a package
VIGNETTES = tuple(name for name in NAMES if name.startswith("vignette-"))  # all see with an encoder of one shape
CAPTIONERS = tuple(name for name in VIGNETTES if CARDS[name]["task"] == "captioning")
ANSWERERS = tuple(name for name in VIGNETTES if CARDS[name]["task"] == "visual question answering")


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    pixels = torch.stack([torch.from_numpy(vignettes.image(vignettes.seed("test", i))) for i in range(4)])
    return load("vignette-classifier").preprocess.normalise(pixels.permute(0, 3, 1, 2))


@pytest.fixture(scope="module", params=CAPTIONERS)
def captioner(request: pytest.FixtureRequest) -> Speaker:
    return load(request.param)


@pytest.fixture(scope="module", params=ANSWERERS)
def vqa(request: pytest.FixtureRequest) -> Answerer:
    return load(request.param)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return load("vignette-classifier")


def convolutions(model: nn.Module) -> Features:
    return model.encoder.features if isinstance(model, Classifier) else model.convolutions


def padded(rows: list[list[int]]) -> Tensor:
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)


def test_names_are_those_of_the_cards() -> None:
    assert tuple(sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))) == NAMES
    assert {"photo-classifier", "vignette-captioner", "vignette-classifier", "vignette-vqa"} <= set(names())
    assert all(CARDS[name]["name"] == name for name in names())


def test_all_weights_together_are_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.glob("*.safetensors")) <= 90e6


@pytest.mark.parametrize("name", NAMES)
def test_load_gives_the_weights_of_the_card(name: str) -> None:
    card = CARDS[name]
    weights = (WEIGHTS / f"{name}.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == card["sha256"]
    model = load(name)
    assert not model.training
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert sum(p.numel() for p in model.parameters()) == card["parameters"]
    assert type(model).__name__ == card["model"]
    for words in ("classes", "vocabulary", "answers"):
        assert list(getattr(model, words, ())) == card.get(words, [])
    assert model.preprocess.mode == "squash"
    if name in VIGNETTES:
        assert model.preprocess.size == (224, 224)


def test_the_first_three_models_are_of_the_classes_they_always_were() -> None:
    assert isinstance(load("vignette-captioner"), Captioner)
    assert isinstance(load("vignette-classifier"), Classifier)
    assert isinstance(load("vignette-vqa"), VQA)


def test_unknown_name_lists_the_names() -> None:
    with pytest.raises(ValueError, match=r"no bundled model 'resnet'; there are .*vignette-captioner, .*vignette-vqa"):
        load("resnet")
    with pytest.raises(ValueError, match=rf"there are {', '.join(names())}\.$"):
        load("")


def test_other_weights_than_the_cards_are_refused(tmp_path: Path) -> None:
    card = (WEIGHTS / "vignette-classifier.json").read_text()
    weights = bytearray((WEIGHTS / "vignette-classifier.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "vignette-classifier.json").write_text(card)
    (tmp_path / "vignette-classifier.safetensors").write_bytes(weights)
    with pytest.raises(ValueError, match="another sha256"):
        load("vignette-classifier", folder=tmp_path)


@pytest.mark.parametrize("name", VIGNETTES)
def test_the_last_convolution_is_14_by_14_and_feeds_a_relu(name: str, pictures: Tensor) -> None:
    model = load(name)
    last = [m for m in model.modules() if isinstance(m, nn.Conv2d)][-1]
    shapes = []
    handle = last.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape)))
    features = convolutions(model)(pictures)
    handle.remove()
    assert shapes == [(4, 384, 14, 14)]
    assert features.shape == (4, 384, 14, 14)
    assert features.min() == 0 < features.max()


@pytest.mark.parametrize("name", ["vignette-captioner", "vignette-classifier", "vignette-vqa"])
def test_fc7_is_576_wide(name: str, pictures: Tensor) -> None:
    assert load(name).encoder(pictures).shape == (4, 576)


def test_a_card_may_name_a_network_of_torchvision(pictures: Tensor) -> None:
    card = {"vocabulary": ["a", "dog"], "encoder": "squeezenet1_0"}
    speaker = build({**card, "model": "Captioner", "architecture": {"state": 8}}).eval()
    assert speaker.encoder.width == 512
    assert speaker.preprocess.size == (227, 227)
    assert [len(best) for best in speaker.beams(pictures[:1], beam=3)] == [3]
    answerer = build({**card, "model": "SAN", "answers": ["no", "yes"], "architecture": {"state": 8, "hops": 1}}).eval()
    assert answerer.answer_scores(pictures[:1], ["a dog?"]).shape == (1, 2)
    assert len(answerer.keys) == 1


def test_classifier_has_a_logit_for_each_class(classifier: Classifier, pictures: Tensor) -> None:
    assert classifier(pictures).shape == (4, len(classifier.classes))
    assert {"dog", "beach"} <= set(classifier.classes)


def test_classes_can_be_explained_on_multiplied_rows(classifier: Classifier, pictures: Tensor) -> None:
    once = classifier(pictures)
    with Multiplied(classifier.encoder.features, 3):
        torch.testing.assert_close(classifier(pictures), once.repeat(3, 1), rtol=1e-4, atol=1e-4)


def test_a_caption_is_encoded_and_read_back(captioner: Speaker, pictures: Tensor) -> None:
    for tokens in captioner.generate(pictures):
        assert 0 < len(tokens) <= LONGEST
        assert captioner.encode(captioner.spell(tokens)) == tokens
    words = captioner.spell(captioner.generate(pictures[:1])[0]).split()
    assert captioner.encode(" ".join(words).capitalize() + " .") == captioner.encode(" ".join(words))


def test_an_unknown_word_is_named_with_its_nearest(captioner: Speaker) -> None:
    with pytest.raises(ValueError, match=r"does not know the word 'dogg'; its nearest words are .*dog"):
        captioner.encode("a dogg")
    with pytest.raises(ValueError, match="holds no word"):
        captioner.encode(" ?! ")


def test_log_probs_are_those_of_generation_step_by_step(pictures: Tensor) -> None:
    captioner = load("vignette-captioner")
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


def test_a_beam_tells_the_log_prob_of_each_caption(captioner: Speaker, pictures: Tensor) -> None:
    with torch.no_grad():
        for picture, found in zip(pictures.split(1), captioner.beams(pictures, beam=3), strict=True):
            assert found[0][0] == captioner.generate(picture, beam=WIDE)[0]
            scores = [score for _, score in found]
            assert scores == sorted(scores, reverse=True)
            for tokens, score in found:
                logs = captioner.token_log_probs(picture, torch.tensor([[*tokens, END]]))[0]
                finished = len(tokens) < LONGEST
                assert float(logs.sum() if finished else logs[:-1].sum()) == pytest.approx(score, abs=1e-3)


def test_padding_changes_no_log_prob(captioner: Speaker, pictures: Tensor) -> None:
    tokens = torch.tensor([captioner.generate(pictures[:1])[0]])
    plain = captioner.token_log_probs(pictures[:1], tokens)
    for pad in (0, -100, 10_000):
        longer = nn.functional.pad(tokens, (0, 3), value=pad)
        torch.testing.assert_close(captioner.token_log_probs(pictures[:1], longer)[:, : tokens.shape[1]], plain)


def test_log_probs_survive_multiplied_rows(captioner: Speaker, pictures: Tensor) -> None:
    tokens = padded(captioner.generate(pictures))
    once = captioner.token_log_probs(pictures, tokens)
    with Multiplied(captioner.convolutions, 3):
        thrice = captioner.token_log_probs(pictures, tokens.repeat(3, 1))
    torch.testing.assert_close(thrice, once.repeat(3, 1), rtol=1e-4, atol=1e-4)


def test_captions_that_do_not_fit_are_refused(captioner: Speaker, pictures: Tensor) -> None:
    with pytest.raises(ValueError, match="3 captions cannot be read beside 4 encoded pictures"):
        captioner.token_log_probs(pictures, torch.ones(3, 2, dtype=torch.long))


def test_questions_that_do_not_fit_are_refused(vqa: Answerer, pictures: Tensor) -> None:
    with pytest.raises(ValueError, match="3 questions cannot be put to 4 encoded pictures"):
        vqa.answer_scores(pictures, ["what is it?"] * 3)


def likeliest_word_each_time(captioner: Speaker, picture: Tensor) -> list[int]:
    """Greedy decoding by reading the whole caption anew for every word."""
    said: list[int] = []
    while len(said) < LONGEST:
        word = int(captioner(picture, torch.tensor([said], dtype=torch.long).view(1, -1))[0, -1].argmax())
        if word == END:
            break
        said.append(word)
    return said


def test_a_beam_of_one_says_the_likeliest_word_each_time(captioner: Speaker, pictures: Tensor) -> None:
    with torch.no_grad():
        expected = [likeliest_word_each_time(captioner, picture) for picture in pictures.split(1)]
        assert captioner.generate(pictures, beam=1) == expected


def test_pictures_do_not_disturb_each_other_in_a_beam(captioner: Speaker, pictures: Tensor) -> None:
    for beam in (2, 5):
        assert captioner.generate(pictures, beam) == [captioner.generate(p, beam)[0] for p in pictures.split(1)]


def test_generation_keeps_no_graph_and_log_probs_do(captioner: Speaker, pictures: Tensor) -> None:
    assert captioner.token_log_probs(pictures[:1], torch.ones(1, 2, dtype=torch.long)).requires_grad
    kept = []
    handle = captioner.output.register_forward_hook(lambda _m, _i, out: kept.append(out))
    captioner.generate(pictures[:1])
    handle.remove()
    assert kept
    assert not any(out.requires_grad for out in kept)
    assert captioner.generate(pictures[:1]) == captioner.generate(pictures[:1])


def test_answers_are_scored(vqa: Answerer, pictures: Tensor) -> None:
    questions = ["How many things are there?", "is there a dog", "What colour is the dog?!", "where is this"]
    together = vqa.answer_scores(pictures, questions)
    assert together.shape == (4, len(vqa.answers))
    for i, question in enumerate(questions):  # neither the others nor their lengths matter
        alone = vqa.answer_scores(pictures[i : i + 1], [question])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        vqa.answer_scores(pictures[:1], ["IS THERE a DOG?"]), vqa.answer_scores(pictures[:1], ["is there a dog"])
    )


def test_answers_survive_multiplied_rows(vqa: Answerer, pictures: Tensor) -> None:
    questions = ["is there a dog?", "how many things are there?", "is it night?", "what colour is the car?"]
    once = vqa.answer_scores(pictures, questions)
    with Multiplied(vqa.convolutions, 2):
        twice = vqa.answer_scores(pictures, questions * 2)
    torch.testing.assert_close(twice, once.repeat(2, 1), rtol=1e-4, atol=1e-4)


def test_a_question_of_unknown_words_is_refused(vqa: Answerer, pictures: Tensor) -> None:
    assert vqa.answer_scores(pictures[:1], ["is there a zebra?"]).isfinite().all()
    for question in ("quo vadis", "?", ""):
        with pytest.raises(ValueError, match="no word the model knows"):
            vqa.answer_scores(pictures[:1], [question])


@pytest.mark.parametrize("name", VIGNETTES)
def test_gradients_reach_the_features_of_every_model(name: str, pictures: Tensor) -> None:
    model = load(name)
    kept = []
    tokens = padded(model.generate(pictures)) if isinstance(model, Speaker) else None
    handle = convolutions(model).register_forward_hook(lambda _m, _i, out: kept.append(out))
    if isinstance(model, Speaker):
        total = model.token_log_probs(pictures, tokens).sum()
    elif isinstance(model, Answerer):
        total = model.answer_scores(pictures, ["is there a dog?"] * 4).amax(1).sum()
    else:
        total = model(pictures).amax(1).sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(total, kept[-1])
    assert (gradient.abs().amax((1, 2, 3)) > 0).all()


def test_own_attention_sums_to_one(pictures: Tensor) -> None:
    for name in (name for name in VIGNETTES if CARDS[name]["model"] not in ("Captioner", "Classifier", "VQA")):
        model = load(name)
        captions = padded(model.generate(pictures)) if isinstance(model, Speaker) else None
        maps = model.attention(pictures, ["is there a dog?", "is it night?"] * 2 if captions is None else captions)
        assert maps
        for weights in maps.values():
            assert weights.shape[0] == 4
            assert weights.min() >= 0
            torch.testing.assert_close(weights.sum((-2, -1)), torch.ones(weights.shape[:-2]))
