"""The layer found in networks of many kinds, checked as by experiments/checks/layer_sweep.py, on a few small ones."""

import pytest
import torch
from tiny import Gap, pictures, seeded
from torch import nn

import mmcam
from experiments.checks import layer_sweep
from experiments.lib.layer_checks import check
from mmcam import ExplainError, attribute
from mmcam.places.find import find_layer
from mmcam.places.grids import tokens
from mmcam.places.survey import look, spots
from mmcam.places.trace import trace

KINDS = {
    "torchvision: resnet18": ("layer4", "a map"),
    "torchvision: squeezenet1_1": ("features", "a map"),
    "torchvision: convnext_tiny": ("features", "a map"),
    "torchvision: swin_t": ("permute", "a map"),
    "torchvision: vit_b_16": ("encoder.layers.encoder_layer_11.ln_1", "14×14 tokens after 1 other"),
    "timm: test_vit": ("blocks.5.norm1", "10×10 tokens after 1 other"),
    "timm: pit_ti_distilled_224": ("transformers.2.blocks.3.norm1", "7×7 tokens after 2 others"),
    "timm: coat_tiny": (
        "parallel_blocks.3.norm22",
        "28×28 tokens after 1 other",
    ),  # the block's own output goes nowhere
    "timm: resmlp_12_224": ("blocks.11", "14×14 tokens"),
    "timm: test_mambaout": ("stages", "a map, channels last"),
    "timm: botnet26t_256": ("stages", "a map"),  # attention over a map: heads that look like tokens are passed over
    "timm: hiera_tiny_224": ("blocks.11", "7×7 tokens"),
}


# tests/places/test_zoos.py looks at many of these kinds, too
QUICK = ("resnet18", "squeezenet1_1", "test_vit", "test_mambaout")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name if name.endswith(QUICK) else pytest.param(name, marks=pytest.mark.long) for name in KINDS]
)
def test_the_layer_found(name):
    row = layer_sweep.judged(name, limit=600)
    assert (row.verdict, row.note) == ("right", "")
    assert (row.layer, row.form) == KINDS[name]


@pytest.mark.slow
@pytest.mark.long
def test_tokens_halved_with_a_remainder():
    """14 → 7 → 4 cells. LeViT draws its places from learned biases, so with random weights only the grid is checked."""
    row = layer_sweep.judged("timm: levit_128s", limit=600)
    assert row.layer.startswith("stages.")
    assert (row.cells, row.map[1:]) in (("measured", (4, 4)), ("measured", (7, 7)))


class Cut(nn.Module):
    """Patches cut out by reshaping and projected, without any map (N,K,h,w); then in another order if asked."""

    def __init__(self, order=None, patch=4, cells=4):
        super().__init__()
        self.patch, self.cells, self.order = patch, cells, order
        self.project, self.norm, self.head = nn.Linear(3 * patch**2, 8), nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x):
        x = x.unflatten(3, (self.cells, -1)).unflatten(2, (self.cells, -1))
        tokens = self.project(x.permute(0, 2, 4, 1, 3, 5).reshape(len(x), self.cells**2, -1))
        tokens = self.norm(tokens if self.order is None else tokens[:, self.order])
        return self.head(tokens.tanh().mean(1))


def test_patches_without_a_convolution_are_found():
    model, x = seeded(Cut), pictures()
    assert find_layer(model, model, x) == "norm"
    assert attribute(model, x, [1]).shape == (1, 2, 4, 4)


@pytest.mark.parametrize("order", [torch.arange(16).view(4, 4).T.flatten(), torch.arange(15, -1, -1)])
def test_an_order_that_is_not_row_by_row_is_measured(order):
    class Early(Cut):
        """Permuted before anything shows tokens."""

        def forward(self, x):
            x = x.unflatten(3, (self.cells, -1)).unflatten(2, (self.cells, -1))
            patches = x.permute(0, 2, 4, 1, 3, 5).reshape(len(x), self.cells**2, -1)
            return self.head(self.norm(self.project(patches[:, self.order])).tanh().mean(1))

    model, plain, x = seeded(Early, order), seeded(Early, torch.arange(16)), pictures()
    assert find_layer(model, model, x) == "norm"
    torch.testing.assert_close(mmcam.record(model, x, "norm")["norm"], mmcam.record(plain, x, "norm")["norm"])


def test_tokens_of_several_cells_of_a_patch_embedding():
    """A transformer in a transformer embeds 8×8 pixels, then has 4×4 patches of them."""

    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.pixels, self.outer = nn.Conv2d(3, 4, 2, 2), nn.Linear(16, 8)
            self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 5)

        def forward(self, x):
            inner = self.pixels(x).unflatten(2, (4, 2)).unflatten(4, (4, 2)).permute(0, 2, 4, 1, 3, 5)
            return self.head(self.norm(self.outer(inner.reshape(len(x), 16, 16))).tanh().mean(1))

    model, x = seeded(Inner), pictures()
    assert find_layer(model, model, x) == "norm"
    speaking = seeded(Inner)
    speaking.answer_scores = None
    assert find_layer(speaking, speaking, x) == "norm", "they lie where they lie, whatever else the model reads"


def test_words_are_no_patches():
    """16 of them would make a map of 4×4, but they do not come from the picture."""

    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.norm = nn.Embedding(16, 8), nn.LayerNorm(8)
            self.fc, self.head = nn.Linear(3 * 16 * 16, 8), nn.Linear(8, 5)

        def forward(self, x):
            words = self.norm(self.embedding(torch.arange(16).expand(len(x), -1)))
            return self.head(self.fc(x.flatten(1)) * words.tanh().mean(1))

    model = seeded(Words)
    with pytest.raises(ExplainError, match=r"whose place in the picture is known: it does not answer to the picture"):
        find_layer(model, model, pictures())


def test_a_plain_network_is_traced_once_and_without_gradients():
    model, x = seeded(Gap), pictures()
    grads = []
    find_layer(model, lambda pictures: (grads.append(torch.is_grad_enabled()), model(pictures))[1], x)
    assert grads == [False]


def test_other_numbers_of_rows_show_no_map():
    """Windows stand in the rows of a layer inside; 16 tokens of each look like a map of 4×4."""

    class Windows(Gap):
        def __init__(self):
            super().__init__()
            self.inside = nn.LayerNorm(8)

        def forward(self, x):
            maps = self.features(x)
            windows = maps.unflatten(2, (4, 4)).unflatten(4, (4, 4)).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, 8)
            windows = self.inside(windows).view(len(x), 4, 4, 4, 4, 8).permute(0, 5, 1, 3, 2, 4).reshape(maps.shape)
            return self.fc(self.pool(maps + windows).flatten(1))

    model, x = seeded(Windows), pictures()
    known = look(model, model, x, "inside")
    maps = {spot.call.name: spot.map for spot in spots(model, known)}
    assert maps["features"] == (8, 16, 16)
    assert maps.get("inside") in (None, (8, 16, 16)), "all windows of a picture together, or none"
    assert find_layer(model, model, x) == "features"


def test_what_is_handed_on_as_it_came_is_no_layer():
    class Passes(nn.Module):
        def forward(self, first, second):
            return first, second.relu()

    class Scales(Gap):
        def __init__(self):
            super().__init__()
            self.passes = Passes()

        def forward(self, x):
            maps = self.features(x)
            _, second = self.passes(maps, maps * 2)
            return self.fc(self.pool(second).flatten(1))

    model, x = seeded(Scales), pictures()
    assert "passes" in [call.name for call in trace(model, model, x) if call.passing]
    assert find_layer(model, model, x) == "features"


def test_an_operation_in_place_is_a_layer():
    def build():
        body = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
        return nn.Sequential(*body).eval()

    model = build()
    assert find_layer(model, model, pictures()) == "1"
    with torch.inference_mode():  # tensors that count no changes
        frozen = pictures()
    model = build()
    assert find_layer(model, model, frozen) == "1"


@pytest.mark.parametrize("turned", ["transposed", "shifted"])
def test_the_sweep_notices_a_wrong_grid(turned):
    """The checks themselves: read the wrong way round, or from the wrong token on, a map does not pass."""

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.token = nn.Conv2d(3, 8, 8, 8), nn.Parameter(torch.randn(1, 1, 8))
            self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 5)

        def forward(self, x):
            tokens = self.patches(x).flatten(2).transpose(1, 2)
            tokens = self.norm(torch.cat([self.token.expand(len(x), -1, -1), tokens], 1))
            return self.head(tokens[:, 0] + tokens.tanh().mean(1))

    def grid(layer, tensor, picture):
        right = tokens(6, 6, 1)
        if turned == "shifted":
            return layer_sweep_grid(right, lambda t: t.roll(-1, 1), lambda t: t.roll(1, 1))
        return type(right)(lambda t: right.read(t).mT, lambda t, new: right.write(t, new.mT), right.form)

    def layer_sweep_grid(right, before, after):
        return type(right)(
            lambda t: right.read(before(t)), lambda t, new: after(right.write(before(t), new)), right.form
        )

    model = seeded(Small)
    assert check("right", model, (48, 48)).verdict == "right"
    wrong = seeded(Small)
    wrong.grid = lambda layer, tensor, picture: grid(layer, tensor, picture) if layer == "norm" else None
    # What a model declares is measured, too, and not believed where it is contradicted.
    assert check("wrong", wrong, (48, 48)).layer != "norm"
    with pytest.raises(mmcam.ExplainError, match="its cells do not lie where they are declared to be"):
        mmcam.record(wrong, torch.rand(1, 3, 48, 48), "norm")
