"""The captioners, small and with random weights, against brute force, the papers' equations and torch's own layers."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import SMALL, Multiplied, pictures, reference_gradcam, seeded
from torch import Tensor, nn
from torchvision import models as zoo

import mmcam
from models import Captioner, ShowAttendTell, Speaker, TransformerCaptioner
from models import speaker as speaker_module
from models.encoder import Features
from models.photo import Pooled, photo_features
from models.speaker import END, LONGEST, UNKNOWN
from models.transformer import PLACES

WORDS = ("a", "dog", "cat", "runs", "on", "the", "grass")
FEW = ("a", "b", "c")
SIDE = 8


def small_features() -> Features:
    """32 pixels → 5 units on 8×8 places."""
    layers = (nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 5, 3, 2, 1), nn.ReLU())
    return Features(*layers, units=5, side=SIDE, preprocess=SMALL)


def plain(words: Sequence[str]) -> Speaker:
    return Captioner(words, state=12, encoder=Pooled(small_features()), dropout=0.5)


def attending(words: Sequence[str]) -> Speaker:
    return ShowAttendTell(words, state=12, word=7, key=6, encoder=small_features(), dropout=0.5)


def transforming(words: Sequence[str]) -> Speaker:
    return TransformerCaptioner(words, width=12, heads=3, layers=2, encoder=small_features(), dropout=0.5)


Build = Callable[[Sequence[str]], Speaker]
KINDS = {"lstm": plain, "attend": attending, "transformer": transforming}
EACH = pytest.mark.parametrize("build", list(KINDS.values()), ids=list(KINDS))
ATTENDING = pytest.mark.parametrize("build", [attending, transforming], ids=["attend", "transformer"])


def lively(build: Build, words: Sequence[str] = WORDS, seed: int = 0, spread: float = 0.4) -> Speaker:
    """A captioner no weight of which is 0 or 1, so that a forgotten term shows, and whose words are far from even."""

    def made() -> Speaker:
        model = build(words)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight) * spread)
            model.output.weight.mul_(2)
        return model

    return seeded(made, seed=seed).requires_grad_(False)


def some_pictures(n: int = 2, seed: int = 1) -> Tensor:
    return pictures(n, 32, seed)


def ending(model: Speaker, share: float) -> Speaker:
    """The captioner, with END the likeliest next token after this share of all captions."""
    logits = model(some_pictures(8), torch.randint(1, len(model.vocabulary) + 1, (8, 6)))
    model.output.bias[END] -= (logits[:, :, END] - logits[:, :, 1:].amax(2)).quantile(1 - share) + 0.01
    return model


def next_word(model: Speaker, picture: Tensor, said: Sequence[int]) -> Tensor:
    """Log-probabilities of the word after those said, from reading the whole caption anew."""
    return model(picture, torch.tensor([list(said)], dtype=torch.long).view(1, -1))[0, -1].log_softmax(0)


def log_prob(model: Speaker, picture: Tensor, tokens: Sequence[int]) -> float:
    """Log-probability of a caption with its END."""
    logs = model(picture, torch.tensor([list(tokens)], dtype=torch.long).view(1, -1))[0].log_softmax(1)
    return sum(float(logs[t, token]) for t, token in enumerate([*tokens, END]))


# Log-probabilities


@EACH
def test_teacher_forcing_equals_steps(build: Build) -> None:
    """All words at once, each prefix read anew, and the state carried on from word to word."""
    model, x = lively(build).double(), some_pictures(3).double()
    tokens = torch.randint(0, len(WORDS) + 1, (3, 6))
    together = model.token_log_probs(x, tokens)
    looked = model.look(model.see(x))
    state, last = model.begin(looked), torch.zeros(3, dtype=torch.long)
    for t in range(6):
        hidden, state = model.step(looked, state, last)
        last = tokens[:, t]
        stepped = model.output(hidden).log_softmax(1)[range(3), last]
        anew = torch.stack([next_word(model, x[n : n + 1], tokens[n, :t].tolist())[last[n]] for n in range(3)])
        torch.testing.assert_close(together[:, t], stepped)
        torch.testing.assert_close(together[:, t], anew)
    assert together.std(0).min() > 1e-2, "pictures and words matter"


@EACH
def test_the_picture_and_every_word_before_matter(build: Build) -> None:
    model, x = lively(build), some_pictures(2)
    tokens = torch.tensor([[1, 2, 3, 4, 5]] * 2)
    logs = model.token_log_probs(x, tokens)
    assert ((logs[0] - logs[1]).abs() > 1e-3).all()
    for t in range(4):
        other = tokens.clone()
        other[:, t] = 7
        assert ((model.token_log_probs(x, other)[:, -1] - logs[:, -1]).abs() > 1e-4).all(), t
    swapped = model.token_log_probs(x, tokens[:, [1, 0, 2, 3, 4]])
    assert ((swapped[:, -1] - logs[:, -1]).abs() > 1e-4).all()


@pytest.mark.parametrize("name", list(KINDS))
@given(pad=st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=4), row=st.integers(0, 1))
@settings(max_examples=15, deadline=None)
def test_padding_of_any_value_changes_nothing(name: str, pad: list[int], row: int) -> None:
    model, x = lively(KINDS[name]), some_pictures()
    tokens = torch.tensor([[1, 2, 3], [4, 5, 6]])
    longer = torch.cat([tokens, torch.tensor([[END] * len(pad)] * 2)], dim=1)
    longer[row, 3:] = torch.tensor(pad)
    torch.testing.assert_close(model.token_log_probs(x, longer)[:, :3], model.token_log_probs(x, tokens))
    if hasattr(model, "attention"):
        short = model.attention(x, tokens)
        for level, maps in model.attention(x, longer).items():
            torch.testing.assert_close(maps[:, :3], short[level])


@EACH
def test_pictures_and_captions_do_not_disturb_each_other(build: Build) -> None:
    model, x = lively(build), some_pictures(4)
    tokens = torch.randint(0, len(WORDS) + 1, (4, 5))
    together = model.token_log_probs(x, tokens)
    for n in range(4):
        alone = model.token_log_probs(x[n : n + 1], tokens[n : n + 1])
        torch.testing.assert_close(together[n : n + 1], alone, rtol=1e-4, atol=1e-5)


@EACH
def test_rows_multiplied_inside_the_encoder_change_nothing(build: Build) -> None:
    model, x = lively(build), some_pictures(2)
    tokens, others = torch.randint(1, len(WORDS) + 1, (2, 2, 5))
    with Multiplied(model.convolutions, 3):
        thrice = model.token_log_probs(x, torch.cat([tokens, others, tokens]))
    once, other = model.token_log_probs(x, tokens), model.token_log_probs(x, others)
    torch.testing.assert_close(thrice, torch.cat([once, other, once]), rtol=1e-4, atol=1e-5)


@EACH
def test_one_look_serves_many_captions(build: Build) -> None:
    model, x = lively(build), some_pictures(1)
    tokens = torch.randint(1, len(WORDS) + 1, (4, 5))
    many = model.decode(model.look(model.see(x)), tokens)
    torch.testing.assert_close(many, model(x.expand(4, -1, -1, -1), tokens), rtol=1e-4, atol=1e-5)


@EACH
@pytest.mark.parametrize(("pictured", "captions"), [(2, 3), (3, 2), (3, 1)])
def test_rows_that_do_not_fit_are_refused(build: Build, pictured: int, captions: int) -> None:
    model = lively(build)
    tokens = torch.ones(captions, 2, dtype=torch.long)
    message = f"{captions} captions cannot be read beside {pictured} encoded pictures"
    with pytest.raises(ValueError, match=message):
        model.token_log_probs(some_pictures(pictured), tokens)
    if hasattr(model, "attention"):
        with pytest.raises(ValueError, match=message):
            model.attention(some_pictures(pictured), tokens)


def test_a_caption_longer_than_the_transformer_reads_is_refused() -> None:
    model = lively(transforming)
    assert model.token_log_probs(some_pictures(1), torch.ones(1, PLACES, dtype=torch.long)).isfinite().all()
    with pytest.raises(ValueError, match=rf"captions of up to {PLACES} words; this one is longer"):
        model.token_log_probs(some_pictures(1), torch.ones(1, PLACES + 1, dtype=torch.long))


@EACH
def test_dropout_is_for_training_only(build: Build) -> None:
    model, x = lively(build), some_pictures(1)
    tokens = torch.tensor([[1, 2, 3]])
    assert torch.equal(model.token_log_probs(x, tokens), model.token_log_probs(x, tokens))
    model.train()
    assert not torch.equal(model.token_log_probs(x, tokens), model.token_log_probs(x, tokens))


@EACH
def test_gradients_reach_every_unit_of_the_features(build: Build) -> None:
    model, x = lively(build), some_pictures(2)
    kept = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        kept.append(output.requires_grad_())
        return output.clone()

    handle = model.convolutions.register_forward_hook(keep)
    total = model.token_log_probs(x, torch.tensor([[1, 2, 3], [4, 5, 6]])).sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(total, kept)
    assert gradient.shape == (2, 5, SIDE, SIDE)
    assert (gradient.abs().amax((2, 3)) > 0).all()


# Generation


@EACH
def test_a_beam_of_one_says_the_likeliest_word_each_time(build: Build) -> None:
    """Also where a caption finds no end."""
    lengths = set()
    for seed, share in enumerate((0.0, 0.1, 0.1, 0.3)):
        model, x = ending(lively(build, seed=seed), share), some_pictures(3, seed)
        for picture, found in zip(x.split(1), model.generate(x, beam=1), strict=True):
            said: list[int] = []
            while len(said) < LONGEST and (word := int(next_word(model, picture, said).argmax())) != END:
                said.append(word)
            assert found == said
            lengths.add(len(said))
    assert LONGEST in lengths
    assert len(lengths - {0, LONGEST}) >= 2


@EACH
def test_a_wide_beam_lists_all_captions_in_the_order_of_their_log_probs(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three words, four places: every caption there is, scored one by one."""
    monkeypatch.setattr(speaker_module, "LONGEST", 4)
    captions = [list(words) for n in range(4) for words in itertools.product((1, 2, 3), repeat=n)]
    best: set[int] = set()
    for seed in (1, 2):
        model, x = ending(lively(build, FEW, seed), 0.1), some_pictures(2, seed)
        for picture, found, said in zip(x.split(1), model.beams(x, beam=256), model.generate(x, beam=256), strict=True):
            expected = sorted(((log_prob(model, picture, c), c) for c in captions), reverse=True)
            assert [tokens for tokens, _ in found] == [tokens for _, tokens in expected]
            assert [score for _, score in found] == pytest.approx([score for score, _ in expected], abs=1e-4)
            assert said == expected[0][1]
            best.add(len(said))
    assert best - {0}, "not only empty captions"


def beam_search(model: Speaker, picture: Tensor, beam: int, longest: int) -> list[tuple[list[int], float]]:
    """Beam search with lists, which reads each caption anew and goes on to the very end."""
    begun, ended = [([], 0.0)], []
    for _ in range(longest):
        longer = [
            ([*tokens, word], score + float(log))
            for tokens, score in begun
            for word, log in enumerate(next_word(model, picture, tokens))
        ]
        kept = sorted(longer, key=lambda item: -item[1])[:beam]
        ended += [(tokens[:-1], score) for tokens, score in kept if tokens[-1] == END]
        begun = [item for item in kept if item[0][-1] != END]
    return sorted(ended, key=lambda item: -item[1])[:beam] or begun[:1]


@pytest.mark.parametrize("name", list(KINDS))
@given(seed=st.integers(0, 10_000), beam=st.integers(1, 6), share=st.sampled_from([0.0, 0.1, 0.3]))
@settings(max_examples=6, deadline=None, derandomize=True)  # no near ties, whose order rounding decides
def test_beams_are_those_of_a_beam_search_with_lists(name: str, seed: int, beam: int, share: float) -> None:
    model, x = ending(lively(KINDS[name], FEW, seed), share), some_pictures(2, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speaker_module, "LONGEST", 6)
        looked = model.look(model.see(x))
        found, first = model.search(looked, beam), model.search(looked, beam, 1)
    assert [own[0] for own in found] == [own[0] for own in first], "that it may end sooner changes nothing"
    for picture, own in zip(x.split(1), found, strict=True):
        expected = beam_search(model, picture, beam, 6)
        assert [tokens for tokens, _ in own] == [tokens for tokens, _ in expected]
        assert [score for _, score in own] == pytest.approx([score for _, score in expected], abs=1e-3)


@EACH
def test_the_three_best_are_the_three_best_of_all_captions_where_a_beam_of_three_misses_some(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three words, three places, so at most 27 captions begun, which a wide search carries on all."""
    monkeypatch.setattr(speaker_module, "LONGEST", 4)
    captions = [list(words) for n in range(4) for words in itertools.product((1, 2, 3), repeat=n)]
    missed = 0
    for seed in range(3):
        model, x = ending(lively(build, FEW, seed), 0.1), some_pictures(2, seed)
        narrow = model.search(model.look(model.see(x)), 3)
        for picture, found, few in zip(x.split(1), model.beams(x, 3), narrow, strict=True):
            expected = sorted(((log_prob(model, picture, c), c) for c in captions), reverse=True)[:3]
            assert [tokens for tokens, _ in found] == [tokens for _, tokens in expected]
            assert [score for _, score in found] == pytest.approx([score for score, _ in expected], abs=1e-4)
            missed += [tokens for tokens, _ in few] != [tokens for tokens, _ in found]
    assert missed, "as wide as what is listed is not wide enough"


@EACH
def test_beams_tell_the_teacher_forced_log_probs(build: Build) -> None:
    model, x = ending(lively(build), 0.2), some_pictures(3)
    ended = 0
    for picture, found in zip(x.split(1), model.beams(x, beam=4), strict=True):
        for tokens, score in found:
            logs = model.token_log_probs(picture, torch.tensor([[*tokens, END]]))[0]
            ended += len(tokens) < LONGEST
            assert float(logs.sum() if len(tokens) < LONGEST else logs[:-1].sum()) == pytest.approx(score, abs=1e-3)
    assert ended >= 4


@EACH
@pytest.mark.parametrize("beam", [1, 2, 5])
def test_pictures_do_not_disturb_each_other_in_a_beam(build: Build, beam: int) -> None:
    """They come to an end at different times."""
    model, x = ending(lively(build, seed=3), 0.2), some_pictures(5)
    together = model.beams(x, beam)
    for picture, found in zip(x.split(1), together, strict=True):
        (alone,) = model.beams(picture, beam)
        assert [tokens for tokens, _ in found] == [tokens for tokens, _ in alone]
        assert [score for _, score in found] == pytest.approx([score for _, score in alone], abs=1e-3)


# Words


@given(
    tokens=st.lists(st.integers(1, len(WORDS)), min_size=1, max_size=8),
    gaps=st.lists(st.sampled_from([" ", ", ", "  ", " \n", "! "]), min_size=8, max_size=8),
    upper=st.booleans(),
)
def test_captions_are_encoded_and_read_back(tokens: list[int], gaps: list[str], upper: bool) -> None:
    model = Speaker(WORDS)
    text = model.spell(tokens)
    assert text.split() == [WORDS[token - 1] for token in tokens]
    written = "".join(word + gap for word, gap in zip(text.split(), gaps, strict=False))
    assert model.encode(written.upper() if upper else written) == tokens
    assert model.words([*tokens, END]) == [(WORDS[token - 1], [i]) for i, token in enumerate(tokens)]


def test_words_a_captioner_does_not_know_are_named() -> None:
    with pytest.raises(ValueError, match=r"does not know the word 'dogg'; its nearest words are dog, "):
        Speaker(WORDS).encode("the dogg runs")
    for nothing in ("", " ?!"):
        with pytest.raises(ValueError, match="holds no word"):
            Speaker(WORDS).encode(nothing)


# A second implementation


def array(weight: Tensor) -> np.ndarray:
    return weight.detach().double().numpy()


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(values: Sequence[float]) -> np.ndarray:
    powers = np.exp(np.array(values) - max(values))
    return powers / powers.sum()


def lstm(cell: nn.LSTMCell, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Xu et al. 2015, equations 1-3; torch keeps the gates in the order input, forget, g, output."""
    gates = array(cell.weight_ih) @ x + array(cell.bias_ih) + array(cell.weight_hh) @ h + array(cell.bias_hh)
    i, f, g, o = np.split(gates, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def show_attend_tell(model: ShowAttendTell, map_: np.ndarray, tokens: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of each next word (L + 1, V + 1) and attention (L + 1, side, side), region by region."""
    units, side, _ = map_.shape
    a = {(y, x): map_[:, y, x] for y in range(side) for x in range(side)}  # annotation vectors a_i
    mean = sum(a.values()) / side**2
    h = np.tanh(array(model.start_h.weight) @ mean + array(model.start_h.bias))
    c = np.tanh(array(model.start_c.weight) @ mean + array(model.start_c.bias))
    logs, attentions = [], []
    for word in [END, *tokens]:
        energies = []  # e_ti = f_att(a_i, h_{t-1}), additive as in Bahdanau et al.
        for (y, x), a_i in a.items():
            key = array(model.key.weight) @ a_i + array(model.key.bias) + array(model.place)[y * side + x]
            energies.append((array(model.energy.weight) @ np.tanh(key + array(model.query.weight) @ h)).item())
        alpha = softmax(energies)  # equation 5
        z = np.zeros(units)
        for weight, a_i in zip(alpha, a.values(), strict=True):  # equation 13
            z += weight * a_i
        z *= sigmoid(array(model.gate.weight) @ h + array(model.gate.bias))  # β, section 4.2.1
        embedded = array(model.embedding.weight)[word]
        h, c = lstm(model.cell, np.concatenate([embedded, z]), h, c)
        deep = embedded @ array(model.said.weight).T + h + array(model.seen.weight) @ z  # equation 7
        logs.append(np.log(softmax(array(model.output.weight) @ deep + array(model.output.bias))))
        attentions.append(alpha.reshape(side, side))
    return np.array(logs), np.array(attentions)


def test_show_attend_tell_follows_the_equations() -> None:
    model, x = lively(attending).double(), some_pictures(2).double()
    tokens = torch.tensor([[1, 4, 2], [7, 7, 3]])
    logs = model(x, tokens).log_softmax(2)
    maps = model.attention(x, torch.nn.functional.pad(tokens, (0, 1)))["attention"]
    assert maps.amax() > 2 / SIDE**2, "far from even"
    for n, map_ in enumerate(model.features(x).numpy()):
        expected, attention = show_attend_tell(model, map_, tokens[n].tolist())
        np.testing.assert_allclose(logs[n].numpy(), expected, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(maps[n].numpy(), attention, rtol=1e-9, atol=1e-12)


def test_the_plain_captioner_reads_the_picture_then_start_then_words() -> None:
    model, x = lively(plain).double(), some_pictures(1).double()
    tokens = [3, 1, 5]
    fc7 = model.convolutions(x).numpy()[0].mean((1, 2))
    linear = model.picture[0]
    seen = np.maximum(array(linear.weight) @ fc7 + array(linear.bias), 0)
    h, c = lstm(model.cell, seen, np.zeros(12), np.zeros(12))
    expected = []
    for word in [END, *tokens]:
        h, c = lstm(model.cell, array(model.embedding.weight)[word], h, c)
        expected.append(np.log(softmax(array(model.output.weight) @ h + array(model.output.bias))))
    found = model(x, torch.tensor([tokens])).log_softmax(2)[0]
    np.testing.assert_allclose(found.numpy(), np.array(expected), rtol=1e-9, atol=1e-10)


def peer_of(model: TransformerCaptioner, width: int, heads: int) -> list[nn.TransformerDecoderLayer]:
    """Torch's decoder layers with the weights of the model's."""
    peers = []
    for layer in model.layers:
        peer = nn.TransformerDecoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="relu", norm_first=True, batch_first=True
        )
        for theirs, ours in ((peer.self_attn, layer.words), (peer.multihead_attn, layer.picture)):
            theirs.in_proj_weight.data = torch.cat([ours.query.weight, ours.key_value.weight])
            theirs.in_proj_bias.data = torch.cat([ours.query.bias, ours.key_value.bias])
            theirs.out_proj.load_state_dict(ours.out.state_dict())
        for theirs, ours in zip((peer.norm1, peer.norm2, peer.norm3), layer.norms, strict=True):
            theirs.load_state_dict(ours.state_dict())
        peer.linear1.load_state_dict(layer.think[0].state_dict())
        peer.linear2.load_state_dict(layer.think[2].state_dict())
        peers.append(peer.eval())
    return peers


@pytest.mark.parametrize("heads", [1, 3])
def test_the_transformer_is_that_of_torch(heads: int) -> None:
    """Layers, causal mask, and the attention to the picture with its heads averaged."""
    model = lively(lambda words: TransformerCaptioner(words, width=12, heads=heads, layers=3, encoder=small_features()))
    x = some_pictures(2)
    tokens = torch.tensor([[1, 4, 2, 6], [7, 7, 3, 1]])
    maps = model.attention(x, torch.nn.functional.pad(tokens, (0, 1)))
    linear, norm = model.region
    memory = torch.stack([norm(linear(region)) for region in model.features(x).flatten(2).unbind(2)], 1) + model.place
    words = torch.cat([torch.zeros(2, 1, dtype=torch.long), tokens], dim=1)
    hidden = model.embedding(words) + model.position[: words.shape[1]]
    mask = nn.Transformer.generate_square_subsequent_mask(words.shape[1])
    for layer, peer, attention in zip(model.layers, peer_of(model, 12, heads), maps.values(), strict=True):
        ours, seen = layer(hidden, *layer.picture.read(memory), mask.isinf())
        normed = peer.norm1(hidden)
        read = hidden + peer.self_attn(normed, normed, normed, attn_mask=mask, need_weights=False)[0]
        weights = peer.multihead_attn(peer.norm2(read), memory, memory, average_attn_weights=False)[1]
        hidden = peer(hidden, memory, tgt_mask=mask, tgt_is_causal=True)
        torch.testing.assert_close(ours, hidden, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(seen, weights, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(attention, weights.mean(1).view(2, 5, SIDE, SIDE), rtol=1e-5, atol=1e-5)
    logits = model.output(model.norm(hidden))
    torch.testing.assert_close(model(x, tokens), logits, rtol=1e-5, atol=1e-5)


# Their own attention


@ATTENDING
def test_attention_is_a_share_of_the_picture_for_every_word(build: Build) -> None:
    model, x = lively(build), some_pictures(3)
    tokens = torch.randint(1, len(WORDS) + 1, (3, 5))
    maps = model.attention(x, tokens)
    assert list(maps) == (["attention"] if build is attending else ["layer 1", "layer 2"])
    for weights in maps.values():
        assert weights.shape == (3, 5, SIDE, SIDE)
        assert weights.min() >= 0
        torch.testing.assert_close(weights.sum((2, 3)), torch.ones(3, 5))
        assert weights.std(0).amax() > 1e-3, "pictures matter"
        assert weights.std(1).amax() > 1e-3, "words matter"


@pytest.mark.parametrize("name", ["attend", "transformer"])
@given(at=st.integers(0, 4), later=st.lists(st.integers(0, len(WORDS)), min_size=5, max_size=5))
@settings(max_examples=15, deadline=None)
def test_a_word_knows_nothing_of_itself_and_of_later_words(name: str, at: int, later: list[int]) -> None:
    """The attention of token t is that of the step before it was said."""
    model, x = lively(KINDS[name]), some_pictures()
    tokens = torch.tensor([[1, 2, 3, 4, 5], [7, 6, 5, 4, 3]])
    other = tokens.clone()
    other[:, at:] = torch.tensor(later[at:])
    logs, other_logs = (model(x, version[:, :-1]).log_softmax(2) for version in (tokens, other))
    torch.testing.assert_close(logs[:, : at + 1], other_logs[:, : at + 1])
    before, after = model.attention(x, tokens), model.attention(x, other)
    for level, maps in before.items():
        torch.testing.assert_close(maps[:, : at + 1], after[level][:, : at + 1])


@ATTENDING
def test_attention_reads_the_rows_of_the_features(build: Build) -> None:
    model, x = lively(build), some_pictures(2)
    tokens, others = torch.randint(1, len(WORDS) + 1, (2, 2, 5))
    with Multiplied(model.features, 2):
        both = model.attention(x, torch.cat([tokens, others]))
    for level, maps in both.items():
        expected = torch.cat([model.attention(x, tokens)[level], model.attention(x, others)[level]])
        torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-6)


@ATTENDING
def test_attention_turns_with_the_features(build: Build) -> None:
    """Rows of a map are rows of the features: with equal places, features upside down give maps upside down."""
    model, x = lively(build), some_pictures(1)
    model.place.zero_()
    tokens = torch.tensor([[1, 2, 3]])
    upright = model.attention(x, tokens)
    handle = model.features.register_forward_hook(lambda _m, _i, out: out.flip(2))
    turned = model.attention(x, tokens)
    handle.remove()
    for level, maps in upright.items():
        torch.testing.assert_close(turned[level], maps.flip(2), rtol=1e-4, atol=1e-6)
        assert not torch.allclose(turned[level], maps, atol=1e-4)


# Explained by the library


def noise(width: int = 40, height: int = 30) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@EACH
def test_maps_of_all_words_are_those_of_plain_backpropagation(build: Build) -> None:
    model = lively(build)
    caption = "the dog runs on the grass"
    made = mmcam.explain_caption(model, noise(), caption=caption)
    x, tokens = model.preprocess(noise())[0][None], torch.tensor([model.encode(caption)])
    where = "encoder.features" if build is plain else "features"
    nonempty = 0
    assert [explained.target for explained in made] == caption.split()
    for i, explained in enumerate(made):
        assert explained.layer in (where, f"{where}.3")
        expected = reference_gradcam(model, explained.layer, lambda i=i: model.token_log_probs(x, tokens)[0, i])[0]
        assert expected.shape == (SIDE, SIDE)
        torch.testing.assert_close(explained.values, expected, rtol=1e-4, atol=1e-5 * float(expected.max()) + 1e-12)
        assert explained.score == pytest.approx(float(model.token_log_probs(x, tokens)[0, i]), abs=1e-4)
        nonempty += bool(expected.max() > 0)
    assert nonempty >= 2


@EACH
def test_a_generated_caption_and_a_contrast_are_explained(build: Build) -> None:
    model = lively(build)
    model.output.bias[END] -= 3
    made = mmcam.explain_caption(model, noise())
    x = model.preprocess(noise())[0][None]
    assert made.caption == model.spell(model.generate(x)[0])
    word = made.caption.split()[1]
    other = next(w for w in WORDS if w != word)
    contrasted = mmcam.explain_caption(model, noise(), 1, contrast=other)
    tokens = torch.tensor([model.generate(x)[0]])
    swapped = tokens.clone()
    swapped[0, 1] = model.encode(other)[0]
    scores = [float(model.token_log_probs(x, version)[0, 1]) for version in (tokens, swapped)]
    assert contrasted.score == pytest.approx(scores[0] - scores[1], abs=1e-4)


# Encoders for photographs


def test_encoders_for_photographs_tell_the_shape_of_their_map() -> None:
    for name, units, side, pixels in (("squeezenet1_0", 512, 13, 227), ("mobilenet_v2", 1280, 8, 225)):
        features = photo_features(name).eval()
        assert (features.units, features.side, features.preprocess.size) == (units, side, (pixels, pixels))
        x = features.preprocess(noise(50, 40))[0][None]
        map_ = features(x)
        assert map_.shape == (1, units, side, side)
        torch.testing.assert_close(Pooled(features)(x), map_.flatten(2).sum(2) / side**2)


def test_weights_of_an_encoder_come_from_a_file(tmp_path: Path) -> None:
    network = zoo.squeezenet1_1(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    features = photo_features("squeezenet1_1", tmp_path / "weights.pth").eval()
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(features(x), network.features(x))


@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x0_5"])
def test_networks_without_features_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has no `features`; .*squeezenet1_0 would do"):
        photo_features(name)


def test_features_whose_units_come_last_are_refused() -> None:
    with pytest.raises(ValueError, match=r"swin_t are no map \(N, units, side, side\)"):
        photo_features("swin_t")


@pytest.mark.parametrize("name", ["resnet19", "ResNet", ""])
def test_unknown_networks_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"torchvision has no network '{name}'; mobilenet_v2"):
        photo_features(name)


def test_a_captioner_of_photographs_is_explained() -> None:
    encoder = seeded(photo_features, "squeezenet1_0")
    model = seeded(Captioner, WORDS, state=12, encoder=Pooled(encoder))
    images = [noise(60, 50), noise(50, 60)]
    made = mmcam.explain_caption(model, images, caption=["a dog", "the cat runs"])
    assert [exp.caption for exp in made] == ["a dog", "the cat runs"]
    for image, strip in zip(images, made, strict=True):
        x, tokens = model.preprocess(image)[0][None], torch.tensor([model.encode(strip.caption)])
        for i, exp in enumerate(strip):
            assert exp.layer.startswith("encoder.features")
            assert exp.heatmap.shape == image.size[::-1]
            expected = reference_gradcam(model, exp.layer, lambda i=i, x=x, t=tokens: model.token_log_probs(x, t)[0, i])
            assert expected.shape == (1, 13, 13)
            torch.testing.assert_close(exp.values, expected[0], rtol=1e-3, atol=1e-4 * float(expected.max()) + 1e-12)


@EACH
def test_a_word_that_stands_for_rare_ones_is_read_but_never_said(build: Build) -> None:
    model, x = lively(build), some_pictures(2)
    with torch.no_grad():
        model.output.bias[END] = -torch.inf  # it has to say something
    favourite = model.beams(x, 3)[0][0][0][0]
    model._token = {**model._token, UNKNOWN: favourite}
    said = [tokens for found in model.beams(x, 3) for tokens, _ in found]
    assert all(favourite not in tokens for tokens in said)
    assert model.encode(f"{UNKNOWN} {model.vocabulary[0]}")[0] == favourite


@pytest.mark.parametrize("name", ["vignette-captioner", "vignette-show-attend-tell", "vignette-transformer-captioner"])
def test_logits_are_those_the_log_probabilities_are_made_of(name):
    model, x = mmcam.models.load(name), torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([model.encode("a red car"), model.encode("a blue house")])
    with torch.no_grad():
        logits, log_probs = model.token_logits(x, tokens), model.token_log_probs(x, tokens)
    assert logits.shape == (2, 3, len(model.vocabulary) + 1)
    torch.testing.assert_close(logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0], log_probs)
