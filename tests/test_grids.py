"""Token grids: read and write are inverse, gradients pass through, and shapes of real networks are told apart."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcam.grids import MOST_EXTRA, Grid, cells_of, channels_last, fits, grid_of, placed, plain, tokens

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


REAL = [
    # L of the tokens, the picture, (h, w, others)
    ("ViT-B/16 at 224", 197, (224, 224), (14, 14, 1)),
    ("ViT-B/16 at 384", 577, (384, 384), (24, 24, 1)),
    ("ViT-B/32 at 224", 50, (224, 224), (7, 7, 1)),
    ("ViT-B/16 at 224×160", 141, (224, 160), (14, 10, 1)),
    ("DeiT distilled", 198, (224, 224), (14, 14, 2)),
    ("DINOv2 with registers at 518", 1374, (518, 518), (37, 37, 5)),
    ("DINOv2 at 224", 257, (224, 224), (16, 16, 1)),
    ("SigLIP at 224", 196, (224, 224), (14, 14, 0)),
    ("Swin's third stage", 196, (224, 224), (14, 14, 0)),
    ("Swin's fourth stage", 49, (224, 224), (7, 7, 0)),
    ("LeViT's last, rounded up", 16, (224, 224), (4, 4, 0)),
    ("CrossViT's fine branch", 401, (240, 240), (20, 20, 1)),
]


@pytest.mark.parametrize(("length", "picture", "cells"), [row[1:] for row in REAL], ids=[row[0] for row in REAL])
def test_cells_of_real_networks(length, picture, cells):
    assert cells_of(length, picture) == cells
    grid = grid_of((2, length, 8), picture)
    assert grid.read(noise(2, length, 8)).shape == (2, 8, *cells[:2])


@pytest.mark.parametrize("length", [1, 2, 3, 3 + MOST_EXTRA + 200 * 200])
def test_no_cells(length):
    assert cells_of(length, (224, 224)) is None
    assert grid_of((2, length, 8), (224, 224)) is None


@pytest.mark.parametrize(("cells", "channels"), [(56, 96), (28, 192), (14, 384), (7, 768)])
@pytest.mark.parametrize("last", [True, False])
def test_swins_stages_are_told_apart_from_maps(cells, channels, last):
    shape = (2, cells, cells, channels) if last else (2, channels, cells, cells)
    grid = grid_of(shape, (224, 224))
    assert grid.form == ("a map, channels last" if last else "a map")
    assert grid.read(torch.zeros(shape)).shape == (2, channels, cells, cells)


def test_channels_last_of_a_picture_that_is_not_square():
    assert grid_of((1, 7, 5, 768), (224, 160)).form == "a map, channels last"
    assert grid_of((1, 768, 7, 5), (224, 160)).form == "a map"


def test_vectors_and_clips_show_no_map():
    assert grid_of((2, 1000), (224, 224)) is None
    assert grid_of((2, 8, 4, 7, 7), (224, 224)) is None


@pytest.mark.parametrize(
    ("cells", "picture", "right"),
    [
        ((7, 7), (224, 224), True),
        ((7, 5), (224, 160), True),
        ((5, 7), (224, 160), False),
        ((8, 8), (299, 299), True),
        ((13, 9), (224, 160), True),  # AlexNet, without padding
        ((1, 1), (224, 224), False),
        ((12, 64), (224, 224), False),  # attention heads
    ],
)
def test_proportions(cells, picture, right):
    assert fits(cells, picture) is right


@few
@given(st.integers(2, 24), st.integers(2, 24), st.integers(4, 32), st.integers(0, 5))
def test_a_grid_of_square_patches_is_found_or_one_with_fewer_others(h, w, patch, extra):
    """The shape alone is ambiguous now and then; then fewer others win, so a map never has more than there are."""
    found = cells_of(h * w + extra, (h * patch, w * patch))
    assert found is not None
    assert found[2] <= extra
    assert found[0] * found[1] + found[2] == h * w + extra
    if found[2] == extra:
        assert found[:2] == (h, w)


def test_a_grid_is_a_value():
    assert Grid(abs, max).form == ""
