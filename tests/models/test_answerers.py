"""The VQA models, small and with random weights, against the papers' equations written out in loops."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import SMALL, Multiplied, pictures, reference_gradcam, seeded
from torch import Tensor, nn

import mmcam
from models import SAN, VQA, Answerer, HieCoAtt
from models.answerer import PAD, UNKNOWN, last_states
from models.encoder import Features
from models.hiecoatt import Alternating, Parallel
from models.photo import Pooled, photo_features

WORDS = ("is", "the", "dog", "left", "of", "cat", "what", "colour", "how", "many")
ANSWERS = ("yes", "no", "red", "2")
QUESTIONS = ("is the dog left of the cat", "what colour is the dog", "how many", "is the zebra left", "dog")
SIDE = 8
REGIONS = SIDE // 2


def small_features() -> Features:
    """32 pixels → 5 units on 8×8 places."""
    layers = (nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 5, 3, 2, 1), nn.ReLU())
    return Features(*layers, units=5, side=SIDE, preprocess=SMALL)


def normed() -> Answerer:
    return VQA(WORDS, ANSWERS, word=7, state=6, common=9, encoder=Pooled(small_features()))


def stacked() -> Answerer:
    return SAN(WORDS, ANSWERS, word=7, state=8, key=6, hops=3, encoder=small_features())


def whole_map() -> Answerer:
    return SAN(WORDS, ANSWERS, word=7, state=8, key=6, hops=3, pool=1, product=True, encoder=small_features())


def parallel() -> Answerer:
    return HieCoAtt(WORDS, ANSWERS, coattention="parallel", width=7, encoder=small_features())


def alternating() -> Answerer:
    return HieCoAtt(WORDS, ANSWERS, coattention="alternating", width=7, encoder=small_features())


Build = Callable[[], Answerer]
KINDS = {"vqa": normed, "san": stacked, "parallel": parallel, "alternating": alternating}
EACH = pytest.mark.parametrize("build", list(KINDS.values()), ids=list(KINDS))
ATTENDING = pytest.mark.parametrize("build", [stacked, parallel, alternating], ids=["san", "parallel", "alternating"])
COATTENDING = pytest.mark.parametrize("build", [parallel, alternating], ids=["parallel", "alternating"])


def lively(build: Build, seed: int = 0, spread: float = 0.4) -> Answerer:
    """A model no weight of which is 0, so that a forgotten term shows."""

    def made() -> Answerer:
        model = build()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight) * spread)
        return model

    return seeded(made, seed=seed).requires_grad_(False)


def some_pictures(n: int = 2, seed: int = 1) -> Tensor:
    return pictures(n, 32, seed)


# Questions


@pytest.mark.parametrize("name", list(KINDS))
@given(
    asked=st.lists(st.lists(st.sampled_from([*WORDS, "zebra"]), min_size=1, max_size=7), min_size=2, max_size=4).filter(
        lambda rows: all(set(row) - {"zebra"} for row in rows)
    )
)
@settings(max_examples=15, deadline=None)
def test_neither_other_questions_nor_their_padding_matter(name: str, asked: list[list[str]]) -> None:
    model, questions = lively(KINDS[name]), [" ".join(row) for row in asked]
    x = some_pictures(len(questions))
    together = model.answer_scores(x, questions)
    assert together.shape == (len(questions), len(ANSWERS))
    for n, question in enumerate(questions):
        alone = model.answer_scores(x[n : n + 1], [question])
        torch.testing.assert_close(together[n : n + 1], alone, rtol=1e-4, atol=1e-5)
    tokens, lengths = model.tokens(questions, x.device)
    longer = nn.functional.pad(tokens, (0, 3), value=PAD)
    torch.testing.assert_close(model(x, longer, lengths), together, rtol=1e-4, atol=1e-5)
    if hasattr(model, "attention"):
        maps = model.attention(x, questions)
        for n, question in enumerate(questions):
            for level, alone in model.attention(x[n : n + 1], [question]).items():
                torch.testing.assert_close(maps[level][n : n + 1], alone, rtol=1e-4, atol=1e-6)


@EACH
def test_words_their_order_and_the_picture_matter(build: Build) -> None:
    model, x = lively(build), some_pictures(2)
    first = model.answer_scores(x, ["is the dog left of the cat"] * 2)
    assert ((first[0] - first[1]).abs() > 1e-4).any()
    for other in ("is the cat left of the dog", "is the dog left of the dog", "is the dog left of the", "how many"):
        assert ((model.answer_scores(x, [other] * 2) - first).abs() > 1e-4).any(1).all(), other


@EACH
def test_case_and_punctuation_do_not_matter(build: Build) -> None:
    model, x = lively(build), some_pictures(1)
    assert torch.equal(model.answer_scores(x, ["Is the DOG, left?!"]), model.answer_scores(x, ["is the dog left"]))


@EACH
def test_unknown_words_are_all_the_same_word(build: Build) -> None:
    model, x = lively(build), some_pictures(1)
    assert model.tokenise("is the zebra left") == [2, 3, UNKNOWN, 5]
    zebra, okapi, without = (model.answer_scores(x, [f"is the {w} left"]) for w in ("zebra", "okapi", ""))
    assert torch.equal(zebra, okapi)
    assert not torch.allclose(zebra, without, atol=1e-4)
    assert torch.equal(model.answer_scores(x, [f"is the {model.blank_word} left"]), zebra)


@EACH
@pytest.mark.parametrize("question", ["quo vadis", "?", ""])
def test_a_question_without_a_known_word_is_refused(build: Build, question: str) -> None:
    with pytest.raises(ValueError, match=r"holds no word the model knows; it knows words such as is, the, dog"):
        lively(build).answer_scores(some_pictures(1), [question])


@EACH
@pytest.mark.parametrize(("pictured", "asked"), [(2, 3), (3, 2), (3, 1)])
def test_rows_that_do_not_fit_are_refused(build: Build, pictured: int, asked: int) -> None:
    with pytest.raises(ValueError, match=f"{asked} questions cannot be put to {pictured} encoded pictures"):
        lively(build).answer_scores(some_pictures(pictured), ["how many"] * asked)


@EACH
def test_rows_multiplied_inside_the_encoder_change_nothing(build: Build) -> None:
    model, x = lively(build), some_pictures(2)
    asked = [*QUESTIONS, QUESTIONS[0]]
    with Multiplied(model.convolutions, 3):
        thrice = model.answer_scores(x, asked)
    for k in range(3):
        once = model.answer_scores(x, asked[2 * k : 2 * k + 2])
        torch.testing.assert_close(thrice[2 * k : 2 * k + 2], once, rtol=1e-4, atol=1e-5)


@EACH
def test_one_picture_serves_many_questions(build: Build) -> None:
    model, x = lively(build), some_pictures(1)
    many = model.answer_scores(x, QUESTIONS)
    each = model.answer_scores(x.expand(len(QUESTIONS), -1, -1, -1), QUESTIONS)
    torch.testing.assert_close(many, each, rtol=1e-4, atol=1e-5)


@EACH
def test_dropout_is_for_training_only(build: Build) -> None:
    model, x = lively(build), some_pictures(1)
    once = model.answer_scores(x, QUESTIONS[:1])
    assert torch.equal(model.answer_scores(x, QUESTIONS[:1]), once)
    model.train()
    assert not torch.equal(model.answer_scores(x, QUESTIONS[:1]), once)


@EACH
def test_gradients_reach_every_unit_of_the_features(build: Build) -> None:
    model, x = lively(build), some_pictures(2)
    kept = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        kept.append(output.requires_grad_())
        return output.clone()

    handle = model.convolutions.register_forward_hook(keep)
    total = model.answer_scores(x, QUESTIONS[:2])[:, 0].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(total, kept)
    assert gradient.shape == (2, 5, SIDE, SIDE)
    assert (gradient.abs().amax((2, 3)) > 0).all()


# A second implementation


def array(weight: Tensor) -> np.ndarray:
    return weight.detach().double().numpy()


def linear(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
    return array(layer.weight) @ x + (0 if layer.bias is None else array(layer.bias))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(values: Sequence[float]) -> np.ndarray:
    powers = np.exp(np.array(values) - max(values))
    return powers / powers.sum()


def weighted(weights: Sequence[float], vectors: Sequence[np.ndarray]) -> np.ndarray:
    return sum(weight * vector for weight, vector in zip(weights, vectors, strict=True))


def lstm(cell: nn.LSTMCell, inputs: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """H after every input, and the last c; torch keeps the gates in the order input, forget, g, output."""
    h, c = np.zeros(cell.hidden_size), np.zeros(cell.hidden_size)
    states = []
    for x in inputs:
        gates = array(cell.weight_ih) @ x + array(cell.bias_ih) + array(cell.weight_hh) @ h + array(cell.bias_hh)
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return states, c


def region_vectors(model: SAN | HieCoAtt, map_: np.ndarray) -> list[np.ndarray]:
    """The greatest values of the places of a region, row by row, in the question's space."""
    found = []
    pool = SIDE // model.side
    near = [(dy, dx) for dy in range(pool) for dx in range(pool)]
    for y in range(model.side):
        for x in range(model.side):
            greatest = [max(map_[k, pool * y + dy, pool * x + dx] for dy, dx in near) for k in range(5)]
            found.append(np.tanh(linear(model.region, np.array(greatest)) + array(model.place)[y * model.side + x]))
    return found


def stacked_attention(model: SAN, map_: np.ndarray, tokens: Sequence[int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Yang et al. 2016, equations 15-20: scores, and where each hop looked."""
    states, c = lstm(model.cell, [array(model.embedding.weight)[token] for token in tokens])
    u = np.tanh(linear(model.question, np.concatenate([states[-1], c])))  # v_Q, which is u⁰
    v = region_vectors(model, map_)
    looked = []
    for key, query, energy in zip(model.keys, model.queries, model.energies, strict=True):
        h = [np.tanh(linear(key, v_i) + linear(query, u)) for v_i in v]  # 15
        p = softmax([linear(energy, h_i).item() for h_i in h])  # 16
        u = weighted(p, v) + u  # 17-20
        looked.append(p)
    if model.product:
        q = np.tanh(linear(model.question, np.concatenate([states[-1], c])))
        u = np.concatenate([u, (u - q) * q])
    return linear(model.output, u), looked


def parallel_attention(level: Parallel, V: Sequence[np.ndarray], Q: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Lu et al. 2016, equations 3 and 4: attention to regions and to words."""
    C = [[np.tanh(linear(level.affinity, q_t) @ v_n) for v_n in V] for q_t in Q]
    WV, WQ = [linear(level.region, v_n) for v_n in V], [linear(level.word, q_t) for q_t in Q]
    Hv = [np.tanh(WV[n] + sum(WQ[t] * C[t][n] for t in range(len(Q)))) for n in range(len(V))]
    Hq = [np.tanh(WQ[t] + sum(WV[n] * C[t][n] for n in range(len(V)))) for t in range(len(Q))]
    return [
        softmax([linear(level.region_energy, h).item() for h in Hv]),
        softmax([linear(level.word_energy, h).item() for h in Hq]),
    ]


def alternating_attention(level: Alternating, V: Sequence[np.ndarray], Q: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Lu et al. 2016, equation 6, three times: words without guidance, regions, and words once more."""

    def attend(step: int, X: Sequence[np.ndarray], g: np.ndarray | None) -> np.ndarray:
        guidance = 0 if g is None else linear(level.guides[step - 1], g)
        H = [np.tanh(linear(level.inputs[step], x_i) + guidance) for x_i in X]
        return softmax([linear(level.energies[step], h_i).item() for h_i in H])

    summary = weighted(attend(0, Q, None), Q)
    to_regions = attend(1, V, summary)
    return [to_regions, attend(2, Q, weighted(to_regions, V))]


def hierarchy(model: HieCoAtt, tokens: Sequence[int]) -> list[list[np.ndarray]]:
    """Lu et al. 2016, section 3.2: words, phrases (equations 1 and 2) and the LSTM's states over these."""
    words = [np.tanh(array(model.embedding.weight)[token]) for token in tokens]
    phrases = []
    for t in range(len(words)):
        strongest = np.full(7, -np.inf)
        for window, places in zip(model.phrases, ((0,), (-1, 0), (-1, 0, 1)), strict=True):
            p = array(window.bias).copy()
            for i, offset in enumerate(places):
                if 0 <= t + offset < len(words):
                    p += array(window.weight)[:, :, i] @ words[t + offset]
            strongest = np.maximum(strongest, np.tanh(p))
        phrases.append(strongest)
    return [words, phrases, lstm(model.cell, phrases)[0]]


def coattention(
    model: HieCoAtt, map_: np.ndarray, tokens: Sequence[int]
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Scores (equation 7), and each level's attention to regions and words."""
    v = region_vectors(model, map_)
    h = np.zeros(0)
    to_regions, to_words = [], []
    for q, level, build in zip(hierarchy(model, tokens), model.levels, model.build, strict=True):
        attend = parallel_attention if isinstance(level, Parallel) else alternating_attention
        for attention, seen in zip(attend(level, v, q), (to_regions, to_words), strict=True):
            seen.append(attention)
        both = weighted(to_regions[-1], v) + weighted(to_words[-1], q)  # 5
        h = np.tanh(linear(build, np.concatenate([both, h])))  # 7
    return linear(model.output, h), to_regions, to_words


@pytest.mark.parametrize(("build", "side"), [(stacked, REGIONS), (whole_map, SIDE)], ids=["pooled", "whole"])
def test_stacked_attention_follows_the_equations(build: Build, side: int) -> None:
    model, x = lively(build).double(), some_pictures(len(QUESTIONS)).double()
    scores, maps = model.answer_scores(x, QUESTIONS), model.attention(x, QUESTIONS)
    assert list(maps) == [f"hop {i}" for i in range(1, 1 + len(model.keys))]
    assert all(weights.shape[1:] == (side, side) for weights in maps.values())
    assert all(weights.amax() > 1.2 / side**2 for weights in maps.values()), "far from even"
    for n, map_ in enumerate(model.features(x).numpy()):
        expected, looked = stacked_attention(model, map_, model.tokenise(QUESTIONS[n]))
        np.testing.assert_allclose(scores[n].numpy(), expected, rtol=1e-9, atol=1e-10)
        for weights, p in zip(maps.values(), looked, strict=True):
            np.testing.assert_allclose(weights[n].numpy().ravel(), p, rtol=1e-9, atol=1e-12)


@COATTENDING
def test_coattention_follows_the_equations(build: Build) -> None:
    """Questions of several lengths in one batch, padding left out of every sum."""
    model, x = lively(build).double(), some_pictures(len(QUESTIONS)).double()
    scores, maps = model.answer_scores(x, QUESTIONS), model.attention(x, QUESTIONS)
    assert list(maps) == ["word", "phrase", "question"]
    assert all(weights.amax() > 1.2 / REGIONS**2 for weights in maps.values()), "far from even"
    read = model.read(*model.tokens(QUESTIONS, x.device))
    _, attentions = model.attend(model.look(model.see(x)), read)
    for n, map_ in enumerate(model.features(x).numpy()):
        tokens = model.tokenise(QUESTIONS[n])
        expected, to_regions, to_words = coattention(model, map_, tokens)
        np.testing.assert_allclose(scores[n].numpy(), expected, rtol=1e-9, atol=1e-10)
        for level, words in enumerate(hierarchy(model, tokens)):
            np.testing.assert_allclose(read[level][n, : len(tokens)].numpy(), words, rtol=1e-9, atol=1e-12)
            own_words = attentions[level][1][n].numpy()
            np.testing.assert_allclose(own_words[: len(tokens)], to_words[level], rtol=1e-9, atol=1e-12)
            assert (own_words[len(tokens) :] == 0).all()
        for weights, a in zip(maps.values(), to_regions, strict=True):
            np.testing.assert_allclose(weights[n].numpy().ravel(), a, rtol=1e-9, atol=1e-12)


def test_the_product_of_normed_picture_and_question_is_classified() -> None:
    """Lu et al. 2015, with torch's own two-layer LSTM for the question."""
    model, x = lively(normed).double(), some_pictures(len(QUESTIONS)).double()
    scores = model.answer_scores(x, QUESTIONS)
    peer = nn.LSTM(7, 6, num_layers=2, batch_first=True).double()
    for layer, cell in enumerate(model.cells):
        peer.load_state_dict({f"{key}_l{layer}": value for key, value in cell.state_dict().items()}, strict=False)
    for n, map_ in enumerate(model.convolutions(x).numpy()):
        fc7 = map_.mean((1, 2))
        seen = np.tanh(linear(model.picture, fc7 / np.linalg.norm(fc7) * np.sqrt(5)))
        words = torch.tanh(model.embedding(torch.tensor([model.tokenise(QUESTIONS[n])])))
        _, (h, c) = peer(words)
        states = np.concatenate([array(part[layer, 0]) for layer in (0, 1) for part in (h, c)])
        asked = np.tanh(linear(model.question, states))
        np.testing.assert_allclose(scores[n].numpy(), linear(model.output, seen * asked), rtol=1e-9, atol=1e-10)


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=6), layers=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_last_states_are_those_of_torchs_lstm_on_packed_sequences(lengths: list[int], layers: int) -> None:
    torch.manual_seed(sum(lengths))
    peer = nn.LSTM(4, 5, num_layers=layers, batch_first=True).double()
    cells = [nn.LSTMCell(4 if layer == 0 else 5, 5).double() for layer in range(layers)]
    for layer, cell in enumerate(cells):
        cell.load_state_dict({name: getattr(peer, f"{name}_l{layer}") for name in cell.state_dict()})
    words = torch.randn(len(lengths), max(lengths) + 1, 4, dtype=torch.float64)
    packed = nn.utils.rnn.pack_padded_sequence(words, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    _, (h, c) = peer(packed)
    expected = torch.cat([part[layer] for layer in range(layers) for part in (h, c)], dim=1)
    torch.testing.assert_close(last_states(cells, words, torch.tensor(lengths), 5), expected)


# Their own attention


@ATTENDING
def test_attention_is_a_share_of_the_picture_for_every_question(build: Build) -> None:
    model, x = lively(build), some_pictures(1)
    for weights in model.attention(x.expand(len(QUESTIONS), -1, -1, -1), QUESTIONS).values():
        assert weights.shape == (len(QUESTIONS), REGIONS, REGIONS)
        assert weights.min() >= 0
        torch.testing.assert_close(weights.sum((1, 2)), torch.ones(len(QUESTIONS)))
        assert weights.std(0).amax() > 1e-4, "questions matter"
    for weights in model.attention(some_pictures(3), ["how many"] * 3).values():
        assert weights.std(0).amax() > 1e-3, "pictures matter"


@ATTENDING
def test_attention_reads_the_rows_of_the_features(build: Build) -> None:
    model, x = lively(build), some_pictures(2)
    with Multiplied(model.features, 2):
        both = model.attention(x, QUESTIONS[:4])
    for level, maps in both.items():
        expected = torch.cat([model.attention(x, QUESTIONS[:2])[level], model.attention(x, QUESTIONS[2:4])[level]])
        torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-6)


@ATTENDING
def test_attention_turns_with_the_features(build: Build) -> None:
    """Rows of a map are rows of the features: with equal places, features upside down give maps upside down."""
    model, x = lively(build), some_pictures(1)
    model.place.zero_()
    upright = model.attention(x, QUESTIONS[:1])
    handle = model.features.register_forward_hook(lambda _m, _i, out: out.flip(2))
    turned = model.attention(x, QUESTIONS[:1])
    handle.remove()
    for level, maps in upright.items():
        torch.testing.assert_close(turned[level], maps.flip(1), rtol=1e-4, atol=1e-6)
        assert not torch.allclose(turned[level], maps, atol=1e-4)


# Explained by the library


def noise(width: int = 40, height: int = 30, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@EACH
def test_maps_are_those_of_plain_backpropagation(build: Build) -> None:
    """Every answer to questions of several lengths, about two pictures at once, and one answer rather than another."""
    model, images = lively(build), [noise(), noise(30, 50, 1)]
    where = "encoder.features" if build is normed else "features"
    x = torch.cat([model.preprocess(image)[0][None] for image in images])
    nonempty = 0
    for answer, against in ((0, None), (1, None), (2, None), (3, None), (1, 0), (None, None)):
        made = mmcam.explain_answer(model, images, QUESTIONS[:2], answer, contrast=against)
        for n, explained in enumerate(made):
            assert explained.layer in (where, f"{where}.3")

            def score(n: int = n, answer: int | None = answer, against: int | None = against) -> Tensor:
                scores = model.answer_scores(x[n : n + 1], [QUESTIONS[n]])[0]
                wanted = scores.max() if answer is None else scores[answer]
                return wanted if against is None else wanted - scores[against]

            expected = reference_gradcam(model, explained.layer, score)[0]
            assert expected.shape == (SIDE, SIDE)
            torch.testing.assert_close(explained.values, expected, rtol=1e-4, atol=1e-5 * float(expected.max()) + 1e-12)
            assert explained.score == pytest.approx(float(score()), abs=1e-5)
            nonempty += bool(expected.max() > 0)
    assert nonempty >= 3


@EACH
def test_a_model_of_photographs_with_an_odd_map_is_explained(build: Build) -> None:
    """13×13 places, of which the last row and column fall out of the 2×2 maxima."""
    encoder = seeded(photo_features, "squeezenet1_0")

    def made() -> Answerer:
        if build is normed:
            return VQA(WORDS, ANSWERS, word=7, state=6, common=9, encoder=Pooled(encoder))
        if build is stacked:
            return SAN(WORDS, ANSWERS, word=7, state=8, key=6, encoder=encoder)
        return HieCoAtt(
            WORDS, ANSWERS, coattention="parallel" if build is parallel else "alternating", width=7, encoder=encoder
        )

    model = seeded(made)
    explained = mmcam.explain_answer(model, noise(60, 50), QUESTIONS[0], "red")
    assert explained.values.shape == (13, 13)
    assert explained.heatmap.shape == (50, 60)
    if build is not normed:
        maps = model.attention(model.preprocess(noise(60, 50))[0][None], QUESTIONS[:1])
        assert {tuple(weights.shape) for weights in maps.values()} == {(1, 6, 6)}
