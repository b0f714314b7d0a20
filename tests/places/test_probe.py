"""Where cells lie is measured: planted orders are found again exactly, what has no place is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmcam import ExplainError
from mmcam.places.grids import tokens
from mmcam.places.probe import Place, probe

SIDE, PATCH, WIDTH = 6, 8, 16
CELLS = SIDE * SIDE
GRID = torch.arange(CELLS).view(SIDE, SIDE)


def pictures(h=SIDE * PATCH, w=SIDE * PATCH, n=2, seed=0):
    return torch.rand(n, 3, h, w, generator=torch.Generator().manual_seed(seed))


class Patches(nn.Module):
    """Patches with what `arrange` makes of them (N,h·w,K) at `out`, after a block that mixes all tokens."""

    def __init__(self, arrange=lambda t: t, mix=0.3):
        super().__init__()
        self.cut = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.norm, self.out = nn.LayerNorm(WIDTH), nn.Identity()
        self.arrange, self.mix = arrange, mix

    def forward(self, x):
        t = self.norm(self.cut(x).flatten(2).transpose(1, 2))
        t = t + self.mix * self.attention(t, t, t, need_weights=False)[0]
        return self.out(self.arrange(t)).flatten(1).sum(1)


def with_others(front=0, behind=0, between=None):
    """Adds tokens that know the whole picture, as class tokens do, each in its own way."""

    def arrange(t):
        whole = t.square().mean(1, keepdim=True).sqrt()
        others = [whole.roll(i, 2) for i in range(front + behind + 1)]
        middle = [t] if between is None else [t[:, :between], others[-1], t[:, between:]]
        return torch.cat([*others[:front], *middle, *others[front : front + behind]], 1)

    return arrange


def in_order(order):
    return lambda t: t[:, order]


def measured(model, names=("out",), x=None, **options) -> Place:
    x = pictures() if x is None else x
    return probe(model.eval(), model, x, [(name, 0) for name in names], **options)[names[0], 0]


def output_of(model, x, name="out"):
    caught = []
    handle = model.get_submodule(name).register_forward_hook(lambda m, i, o: caught.append(o.detach()))
    with torch.no_grad():
        model(x)
    handle.remove()
    return caught[0]


def windows(t):
    return t.view(len(t), 2, 3, 2, 3, WIDTH).permute(0, 1, 3, 2, 4, 5).reshape(len(t) * 4, 9, WIDTH)


ARRANGED = {
    "as they come": lambda t: t,
    "a class token in front": with_others(front=1),
    "a class token behind": with_others(behind=1),
    "registers in front": with_others(front=5),
    "registers behind": with_others(front=1, behind=4),
    "a register between": with_others(front=1, between=20),
    "column by column": in_order(GRID.T.flatten()),
    "mirrored": in_order(GRID.flip(1).flatten()),
    "upside down": in_order(GRID.flip(0).flatten()),
    "shuffled": in_order(torch.randperm(CELLS, generator=torch.Generator().manual_seed(0))),
    "sequence first": lambda t: t.transpose(0, 1),
    "channels first": lambda t: t.transpose(1, 2),
    "windows": windows,
    "windows outermost": lambda t: windows(t).unflatten(0, (len(t), 4)).transpose(0, 1).flatten(0, 1),
    "rows of tokens": lambda t: t.flatten(0, 1),
    "a map": lambda t: t.transpose(1, 2).unflatten(2, (SIDE, SIDE)),
    "a map, channels last": lambda t: t.unflatten(1, (SIDE, SIDE)),
    "a map turned over": lambda t: t.transpose(1, 2).unflatten(2, (SIDE, SIDE)).flip(2),
    "a map on its side": lambda t: t.transpose(1, 2).unflatten(2, (SIDE, SIDE)).mT,
    "windows, cells and channels": lambda t: windows(t).unflatten(0, (len(t), 4)),
}


@pytest.mark.parametrize("name", ARRANGED)
def test_planted_orders_are_found_again_and_written_back(name):
    torch.manual_seed(1)
    model, x = Patches(ARRANGED[name]), pictures()
    place = measured(model, x=x)
    assert place.grid is not None, place.reason
    plain = Patches().eval()
    plain.load_state_dict(model.state_dict())
    truth = output_of(plain, x).transpose(1, 2).unflatten(2, (SIDE, SIDE))
    tensor = output_of(model, x)
    assert torch.equal(place.grid.read(tensor), truth)
    assert place.grid.form
    assert place.confirmed
    assert place.bits >= 16
    copies = torch.cat([truth, truth + 1])
    written = place.grid.write(tensor, copies)
    assert torch.equal(place.grid.read(written), copies)
    assert torch.equal(place.grid.write(tensor, truth), tensor)
    shape = list(tensor.shape)
    shape.pop(place.batch)
    assert place.shape == tuple(shape)


def test_sides_need_not_be_the_pictures_nor_the_patches_square():
    torch.manual_seed(0)
    model = Patches()
    place = measured(model, x=pictures(40, 96))
    assert place.grid is not None
    assert place.grid.form == "5×12 tokens"
    squeezed = nn.Sequential(nn.AdaptiveAvgPool2d(SIDE * PATCH), model)
    place = measured(squeezed, ("1.out",), pictures(40, 120))
    assert place.grid is not None, place.reason
    assert place.grid.form == "6×6 tokens"


class Queries(nn.Module):
    """Learned queries that read patches, as a detector's or a resampler's."""

    def __init__(self, count=36, seed=0, sharp=1.0):
        super().__init__()
        torch.manual_seed(seed)
        self.cut = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.queries = nn.Parameter(torch.randn(1, count, WIDTH))
        self.reader = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.keys = nn.Parameter(torch.randn(1, CELLS, WIDTH) / 2)
        self.out, self.weights = nn.Identity(), nn.Identity()
        with torch.no_grad():
            self.reader.in_proj_weight.mul_(sharp)

    def forward(self, x):
        t = self.cut(x).flatten(2).transpose(1, 2) + self.keys
        read, weights = self.reader(self.queries.expand(len(x), -1, -1), t, t)
        return self.out(read).sum((1, 2)) + self.weights(weights).sum((1, 2))


@pytest.mark.parametrize("sharp", [1.0, 5.0])
@pytest.mark.parametrize("seed", range(4))
def test_queries_and_attention_matrices_have_no_place(seed, sharp):
    model = Queries(36 if seed % 2 else 16, seed, sharp).eval()
    places = probe(model, model, pictures(), [("out", 0), ("weights", 0)])
    assert all(place.grid is None and place.reason for place in places.values())


class Planted(nn.Module):
    """A layer whose output is a function of the picture that a test chooses."""

    def __init__(self, function):
        super().__init__()
        self.out, self.function = nn.Identity(), function

    def forward(self, x):
        return self.out(self.function(x))


def blocks(x, h=6, w=6):
    return F.adaptive_avg_pool2d(x, (h, w))


NOWHERE = {
    "words": lambda x: torch.ones(len(x), 9, 4) * torch.linspace(0, 1, 9)[:, None],
    "one vector": lambda x: x.mean((2, 3)),
    "a global mixture in every cell": lambda x: x.flatten(1)[:, :36, None] * x.mean((1, 2, 3))[:, None, None],
    "a gate": lambda x: x.mean((2, 3))[..., None, None].expand(-1, -1, 6, 6) * 2,
    "no batch": lambda x: blocks(x).mean(0),
    "whole numbers": lambda x: (blocks(x) * 99).long(),
    "complex numbers": lambda x: torch.fft.fft2(blocks(x)),
    "frequencies": lambda x: torch.fft.fft2(x).real[:, :, :6, :6],
    "no numbers": lambda x: blocks(x) / 0,
    "other each time": lambda x: blocks(x).flatten(2)[..., torch.randperm(36)],
    "by brightness": lambda x: blocks(x).flatten(2).sort(2).values,
    "a batch statistic": lambda x: blocks(x) - blocks(x).mean(0, keepdim=True) * torch.rand(36).view(6, 6),
    "the middle only": lambda x: blocks(x[..., 8:-8, 8:-8]),
    "the middle of a wide picture": lambda x: blocks(x[..., 12:-12]),
    "half of the patches": lambda x: blocks(x).flatten(2)[..., 18:].transpose(1, 2),
    "two maps in a row": lambda x: torch.cat([blocks(x).flatten(2), blocks(x).flatten(2)], 2).transpose(1, 2),
    "two levels in a row": lambda x: torch.cat([blocks(x, 8, 8).flatten(2), blocks(x, 4, 4).flatten(2)], 2).mT,
}


@pytest.mark.parametrize("name", NOWHERE)
def test_what_has_no_place_is_refused_with_a_reason(name):
    place = measured(Planted(NOWHERE[name]))
    assert place.grid is None
    assert place.reason
    assert place.reason[-1] != "."


@pytest.mark.parametrize("shape", [(36, 8), (16, 8), (9, 4), (8, 6, 6), (8, 3, 3), (49, 16)])
def test_noise_is_never_accepted(shape):
    """Outputs that answer to every part of the picture at random: each a trial of all hypotheses."""
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        size = torch.Size(shape).numel()
        directions = torch.randn(3 * 12 * 12, size, generator=generator)
        model = Planted(
            lambda x, d=directions: torch.tanh(F.adaptive_avg_pool2d(x, 12).flatten(1) @ d).view(-1, *shape)
        )
        assert measured(model).grid is None, seed


class Sorted(nn.Module):
    """Tokens sorted by what is in them, as merging ones are."""

    def __init__(self, swap):
        super().__init__()
        self.out, self.swap = nn.Identity(), swap

    def forward(self, x):
        t = blocks(x).flatten(2).transpose(1, 2)
        return self.out(self.swap(t))


def test_an_order_that_hangs_on_the_picture_is_refused():
    by_likeness = Sorted(lambda t: t.gather(1, t.sum(2).argsort(1)[..., None].expand(-1, -1, 3)))
    assert measured(by_likeness).grid is None
    # Row by row on every plain picture, shuffled on a busy one: only the picture itself shows it.
    order = torch.randperm(36, generator=torch.Generator().manual_seed(0))
    busy = Sorted(lambda t: torch.where((t.std((1, 2)) > 0.05)[:, None, None], t[:, order], t))
    blotches = pictures(6, 6).repeat_interleave(8, 2).repeat_interleave(8, 3)
    place = measured(busy, x=blotches)
    assert place.grid is None
    assert place.reason == "its order changes with the picture"


def test_the_calls_of_one_layer_are_told_apart():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Identity()

        def forward(self, x):
            t = self.layer(blocks(x).flatten(2).transpose(1, 2))
            return self.layer(t.flip(1)).sum()

    x, model = pictures(), Twice()
    places = probe(model, model, x, [("layer", 0), ("layer", 1), ("layer", 2)])
    t = blocks(x).flatten(2).transpose(1, 2)
    for call, given in enumerate((t, t.flip(1))):
        grid = places["layer", call].grid
        assert grid is not None
        assert torch.equal(grid.read(given), blocks(x))
    assert places["layer", 2].grid is None
    assert places["layer", 2].reason == "it does not run"


@pytest.mark.parametrize(("skip", "right"), [(1, True), (0, False), (2, False)])
def test_declared_grids_are_verified(skip, right):
    torch.manual_seed(0)
    model = Patches(with_others(front=1, behind=1))
    place = measured(model, declared=lambda name, tensor, picture: tokens(SIDE, SIDE, skip))
    assert (place.grid is not None) == right
    assert bool(place.reason) != right


def test_a_declared_grid_that_cannot_be_measured_is_believed():
    """All places answer alike: nothing speaks for the grid and nothing against it."""
    each = torch.rand(CELLS, 4)
    model = Planted(lambda x: x.mean((1, 2, 3))[:, None, None] * each)
    place = measured(model, declared=lambda name, tensor, picture: tokens(SIDE, SIDE))
    assert place.grid is not None
    assert not place.confirmed


def test_models_that_take_one_picture_are_refused_without_an_exception_of_theirs():
    def forward(x):
        if len(x) != 1:
            raise KeyError("one picture")
        return model(x)

    model = Patches().eval()
    place = probe(model, forward, pictures(n=1), [("out", 0)])["out", 0]
    assert place.grid is None
    assert "several pictures" in place.reason
    with pytest.raises(ExplainError, match="no layer"):
        probe(model, model, pictures(), [("nowhere", 0)])


def test_the_model_is_left_as_found_and_only_as_much_of_it_runs_as_is_wanted():
    rows = []

    class Watched(Patches):
        def forward(self, x):
            rows.append(len(x))
            super().forward(x)
            raise AssertionError("the forward goes on behind the last layer wanted")

    torch.manual_seed(0)
    model = Watched().train()
    state = torch.get_rng_state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = pictures()
    kept = x.clone()
    place = probe(model, model, x, [("norm", 0), ("out", 0)])["out", 0]
    assert place.grid is not None
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, kept)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert sum(rows) <= 40
    assert len(set(rows)) >= 2


def test_half_precision_and_changes_in_place_behind_the_layer():
    torch.manual_seed(0)

    class Changed(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 8, 8)

        def forward(self, x):
            return self.patches(x).mul_(0).sum((1, 2, 3))

    for dtype in (torch.float32, torch.bfloat16):
        model = Changed().to(dtype)
        assert measured(model, ("patches",), pictures().to(dtype)).grid is not None


@pytest.mark.parametrize("most", [1, 3, 5, 6])
def test_large_pictures_are_probed_a_few_at_a_time(most, monkeypatch):
    """However few rows a forward takes, a planted order is found again."""
    monkeypatch.setattr("mmcam.places.probe._PIXELS", most * (SIDE * PATCH) ** 2)
    torch.manual_seed(0)
    order, rows = torch.randperm(CELLS, generator=torch.Generator().manual_seed(5)), []
    model = Patches(in_order(order)).eval()
    place = probe(model, lambda x: (rows.append(len(x)), model(x))[1], pictures(), [("out", 0)])["out", 0]
    assert max(rows) <= max(5, most)
    values = torch.randn(1, CELLS, WIDTH)
    assert torch.equal(place.grid.read(values[:, order]), values.transpose(1, 2).unflatten(2, (SIDE, SIDE)))
