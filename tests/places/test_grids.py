"""Token grids: read and write are inverse, and gradients pass through."""

import pytest
import pytorch_grad_cam
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from tiny import seeded
from torch import nn
from torch.nn import functional as F

from mmcam import ExplainError, attribute
from mmcam.places.find import find_layer
from mmcam.places.grids import Grid, channels_last, placed, plain, tokens

few = settings(max_examples=40, deadline=None)
sides = st.integers(1, 5)
numbers = st.integers(0, 2**32 - 1)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def permuted(n, h, w, spare, holes, seed):
    """(n, h·w) token numbers in a random order among h·w + spare tokens; the first `holes` cells of the draw: none."""
    generator = torch.Generator().manual_seed(seed)
    at = torch.stack([torch.randperm(h * w + spare, generator=generator)[: h * w] for _ in range(n)])
    for row in at:
        row[torch.randperm(h * w, generator=generator)[:holes]] = -1
    return at


@st.composite
def grids(draw):
    """(grid, an output for it, N, (h,w), K)."""
    n, channels, h, w, seed = draw(st.integers(1, 3)), draw(sides), draw(sides), draw(sides), draw(numbers)
    kind = draw(st.sampled_from(("plain", "channels last", "tokens", "placed")))
    if kind == "plain":
        return plain(), noise(n, channels, h, w, seed=seed), (n, channels, h, w)
    if kind == "channels last":
        return channels_last(), noise(n, h, w, channels, seed=seed), (n, channels, h, w)
    before, after = draw(st.integers(0, 5)), draw(st.integers(0, 3))
    output = noise(n, before + h * w + after, channels, seed=seed)
    if kind == "tokens":
        return tokens(h, w, before), output, (n, channels, h, w)
    holes = draw(st.integers(0, h * w))
    rows = draw(st.sampled_from((1, n)))
    return placed(permuted(rows, h, w, before + after, holes, seed), h, w), output, (n, channels, h, w)


@few
@given(grids())
def test_what_is_read_and_written_back_is_the_output(drawn):
    grid, output, shape = drawn
    assert grid.read(output).shape == shape
    assert torch.equal(grid.write(output, grid.read(output)), output)


@few
@given(grids(), st.integers(1, 3), numbers)
def test_what_is_written_is_read_in_every_copy(drawn, copies, seed):
    grid, output, (n, *shape) = drawn
    new = noise(copies * n, *shape, seed=seed)
    # A cell without a token has nowhere to be written.
    there = grid.read(torch.ones_like(output)).repeat(copies, 1, 1, 1)
    written = grid.write(output, new)
    assert written.shape == (copies * n, *output.shape[1:])
    if "another order" in grid.form and copies > 1:  # its order is that of the N pictures
        parts = written.split(n)
        assert torch.equal(torch.cat([grid.read(part) for part in parts]), new * there)
    else:
        assert torch.equal(grid.read(written), new * there)


@few
@given(grids(), st.integers(1, 3))
def test_what_is_no_part_of_the_map_is_repeated(drawn, copies):
    grid, output, (n, *shape) = drawn
    zeros = torch.zeros(copies * n, *shape, dtype=output.dtype)
    others = grid.write(torch.ones_like(output), zeros)
    outside = output.repeat(copies, *[1] * (output.ndim - 1)) * others
    assert torch.equal(grid.write(output, zeros), outside)


@few
@given(grids(), st.integers(1, 3), numbers)
def test_gradients_through_write_are_plain_autograds(drawn, copies, seed):
    """d⟨weights, write(output, map)⟩/dmap is `weights` read as a map, in every copy, and nothing where no token is."""
    grid, output, (n, *shape) = drawn
    new = noise(copies * n, *shape, seed=seed).requires_grad_()
    weights = noise(copies * n, *output.shape[1:], seed=seed + 1)
    (gradient,) = torch.autograd.grad((grid.write(output, new) * weights).sum(), new)
    expected = torch.cat([grid.read(part) for part in weights.split(n)])
    assert torch.equal(gradient, expected)


@few
@given(grids(), numbers)
def test_gradients_through_read_are_writes(drawn, seed):
    grid, output, (n, *shape) = drawn
    leaf = output.clone().requires_grad_()
    weights = noise(n, *shape, seed=seed)
    (gradient,) = torch.autograd.grad((grid.read(leaf) * weights).sum(), leaf)
    assert torch.equal(gradient, grid.write(torch.zeros_like(output), weights))


def test_channels_last_is_a_permutation():
    output = noise(2, 3, 5, 7)
    assert torch.equal(channels_last().read(output), output.permute(0, 3, 1, 2))
    assert torch.equal(channels_last().write(output, output.permute(0, 3, 1, 2)), output)


@pytest.mark.parametrize("extra", range(6))
def test_tokens_stand_row_by_row_after_the_others(extra):
    output = torch.arange(extra + 3 * 4.0)[None, :, None] - extra
    grid = tokens(3, 4, extra)
    assert torch.equal(grid.read(output)[0, 0], torch.arange(12.0).view(3, 4))
    others = "" if not extra else " after 1 other" if extra == 1 else f" after {extra} others"
    assert grid.form == f"3×4 tokens{others}"


def test_tokens_after_the_map_are_kept():
    output = noise(2, 1 + 6 + 2, 4)
    written = tokens(2, 3, 1).write(output, torch.zeros(2, 4, 2, 3, dtype=output.dtype))
    assert torch.equal(written[:, [0, 7, 8]], output[:, [0, 7, 8]])
    assert not written[:, 1:7].any()


def test_placed_tokens_one_by_one():
    at = torch.tensor([[2, 0, -1, 1], [-1, 3, 1, 0]])
    output = noise(2, 4, 3)
    read = placed(at, 2, 2).read(output)
    for n in range(2):
        for cell in range(4):
            token = int(at[n, cell])
            expected = output[n, token] if token >= 0 else torch.zeros(3, dtype=output.dtype)
            assert torch.equal(read[n, :, cell // 2, cell % 2], expected)


def test_a_missing_cell_does_not_write_to_the_first_token():
    output = noise(1, 4, 3)
    grid = placed(torch.tensor([[3, -1, 2, 1]]), 2, 2)
    written = grid.write(output, torch.full((1, 3, 2, 2), 9.0, dtype=output.dtype))
    assert torch.equal(written[0, 0], output[0, 0])
    assert (written[0, 1:] == 9).all()


def test_half_precision_stays():
    output = noise(1, 5, 3).half()
    assert tokens(2, 2, 1).write(output, torch.ones(2, 3, 2, 2)).dtype == torch.float16


def test_a_grid_is_a_value():
    assert Grid(abs, max).form == ""


# --- maps at layers of tokens -----------------------------------------------------------------------------------------


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """A vision transformer for pictures of 24×16: 6×4 patches after `extra` tokens; the first of them is classified."""

    def __init__(self, extra=1, width=8, classes=4):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.others = nn.Parameter(torch.randn(1, extra, width))
        self.places = nn.Parameter(torch.randn(1, extra + 24, width))
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.others.expand(len(x), -1, -1), tokens], dim=1) + self.places
        return self.head(self.norm(self.blocks(tokens))[:, 0])


LAYER = "blocks.1.norm1"
TARGETS = [2, torch.tensor([3, 1]), lambda out: out[:, 0] - out[:, 2]]


def vit(extra=1):
    return seeded(ViT, extra).double()


def photos(n=2):
    return noise(n, 3, 24, 16, seed=5)


def score_of(target, output, n):
    """The scalar of a target for one picture's output (1,classes)."""
    if callable(target) and not isinstance(target, torch.Tensor):
        return target(output)[0]
    return output[0, int(target if isinstance(target, int) else target[n])]


def tapped(net, x, change=None):
    """The layer's tokens (a leaf) and the output of one forward, with the tokens changed if asked."""
    kept = []

    def hook(module, inputs, output):
        kept.append((output if change is None else change(output)).detach().requires_grad_())
        return kept[0]

    handle = net.get_submodule(LAYER).register_forward_hook(hook)
    try:
        return net(x), kept[0]
    finally:
        handle.remove()


def by_hand(net, x, target, n, extra):
    """Activations and gradients (K,6,4) of one picture, by ordinary backpropagation and a plain reshape."""
    output, leaf = tapped(net, x[n : n + 1])
    (gradient,) = torch.autograd.grad(score_of(target, output, n), leaf)
    return tuple(t.detach()[0, extra:].T.reshape(-1, 6, 4) for t in (leaf, gradient))


def same(got, expected):
    assert expected.abs().max() > 0, "two empty maps agree"
    torch.testing.assert_close(got.double(), expected.double(), rtol=0, atol=1e-4 * float(expected.abs().max()))


def signed(weights, a):
    return (weights[:, None, None] * a).sum(0)


def literal_plus_plus(a, g):
    total = torch.zeros(a.shape[1:], dtype=a.dtype)
    for k in range(len(a)):
        weight, shares = 0.0, 0.0
        for cell in range(g[k].numel()):
            slope = float(g[k].flatten()[cell])
            if slope > 0:
                bottom = 2 * slope**2 + float(a[k].sum()) * slope**3
                shares += slope**2 / bottom
                weight += slope**2 / bottom * slope
        total += (weight / shares if shares else 0.0) * a[k]
    return total.relu()


LITERAL = {
    "gradcam": lambda a, g: signed(g.mean((1, 2)), a).relu(),
    "hirescam": lambda a, g: (g * a).sum(0).relu(),
    "layercam": lambda a, g: (g.relu() * a).sum(0).relu(),
    "gradcam++": literal_plus_plus,
}


@pytest.mark.parametrize("extra", [1, 3])
@pytest.mark.parametrize("method", LITERAL)
def test_maps_at_tokens_are_plain_autograds(method, extra):
    net, x = vit(extra), photos()
    got = attribute(net, x, TARGETS, layer=LAYER, method=method)  # all targets in one pass
    assert got.shape == (3, 2, 6, 4)
    assert got.any()
    for t, target in enumerate(TARGETS):
        for n in range(2):
            expected = LITERAL[method](*by_hand(net, x, target, n, extra))
            torch.testing.assert_close(got[t, n].double(), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("extra", [1, 3])
def test_the_default_is_the_last_layer_whose_patches_have_a_say(extra):
    net, x = vit(extra), photos()
    assert find_layer(net, net, x) == LAYER
    assert torch.equal(attribute(net, x, [2]), attribute(net, x, [2], layer=LAYER))
    for silent in ("blocks.1", "norm", "blocks.1.norm2"):  # only the class token leaves these
        with pytest.raises(ExplainError, match="does not depend on layer"):
            attribute(net, x, [2], layer=silent)


@pytest.mark.parametrize("name", ["GradCAM", "LayerCAM", "HiResCAM"])
def test_another_library_with_its_reshape(name):
    net, x = vit().float(), photos().float()
    ours = attribute(net, x, [torch.tensor([3, 1])], layer=LAYER, method=name.lower())[0]
    peer = getattr(pytorch_grad_cam, name)(
        net, [net.get_submodule(LAYER)], reshape_transform=lambda t: t[:, 1:].transpose(1, 2).reshape(len(t), -1, 6, 4)
    )
    theirs = torch.from_numpy(peer(x, [ClassifierOutputTarget(3), ClassifierOutputTarget(1)]))
    up = F.interpolate(ours[None], (24, 16), mode="bilinear", align_corners=False)[0]
    up = up - up.amin((1, 2), keepdim=True)
    same(up / up.amax((1, 2), keepdim=True), theirs)


def test_score_cam_at_tokens_is_a_loop():
    net, x, extra = vit(), photos(), 1
    got = attribute(net, x, TARGETS, layer=LAYER, method="scorecam", rows=3)
    for t, target in enumerate(TARGETS):
        for n in range(2):
            a, _ = by_hand(net, x, target, n, extra)
            scores = []
            for channel in a:
                up = F.interpolate(channel[None, None], (24, 16), mode="bilinear", align_corners=False)
                with torch.no_grad():
                    scores.append(score_of(target, net(x[n : n + 1] * (up - up.min()) / (up.max() - up.min())), n))
            same(got[t, n], signed(torch.stack(scores).softmax(0), a).relu())


def test_ablation_cam_at_tokens_is_a_loop():
    """A channel is removed at the patches; the class token keeps it."""
    net, x, extra = vit(), photos(), 1
    got = attribute(net, x, TARGETS, layer=LAYER, method="ablationcam", rows=3)
    for t, target in enumerate(TARGETS):
        for n in range(2):
            a, _ = by_hand(net, x, target, n, extra)
            full = score_of(target, net(x[n : n + 1]), n).detach()
            falls = []
            for k in range(len(a)):

                def without(tokens, k=k):
                    changed = tokens.clone()
                    changed[:, extra:, k] = 0
                    return changed

                falls.append(full - score_of(target, tapped(net, x[n : n + 1], without)[0], n).detach())
            same(got[t, n], signed(torch.stack(falls) / full.abs(), a).relu())


def test_occlusion_of_a_transformer_is_a_loop():
    net, x = vit(), photos()
    got = attribute(net, x, [2], method="occlusion", patch=8, stride=8)
    with torch.no_grad():
        for n in range(2):
            for top in range(0, 24, 8):
                for left in range(0, 16, 8):
                    covered = x[n : n + 1].clone()
                    covered[..., top : top + 8, left : left + 8] = 0
                    fall = net(x[n : n + 1])[0, 2] - net(covered)[0, 2]
                    square = got[0, n, top : top + 8, left : left + 8].double()
                    torch.testing.assert_close(square, fall.expand(8, 8), rtol=1e-4, atol=1e-7)
