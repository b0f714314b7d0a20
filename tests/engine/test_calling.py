"""Models that take more than pictures, or pictures in another form: one sentence that shows what to write."""

import re

import pytest
import torch
from tiny import Deep, pictures, seeded
from torch import nn

import mmcam
from mmcam import ExplainError, attribute


class Second(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)

    def scores(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))

    def forward(self, x, mask):
        return self.scores(x * mask)


class Keyword(Second):
    def forward(self, *, pixel_values):
        return self.scores(pixel_values)


class KeywordToo(Second):
    def forward(self, x, *, mask):
        return self.scores(x * mask)


class TextFirst(Second):
    def forward(self, input_ids, pixel_values):
        return self.scores(pixel_values)


class Mapping(Second):
    def forward(self, batch):
        return self.scores(batch["pixel_values"])


class Listed(Second):
    def forward(self, images):
        return self.scores(torch.stack(images))


class Fields(Second):
    def forward(self, batch):
        return self.scores(batch.pixel_values)


NEEDS = {
    Second: ("needs 'mask' besides the picture", {"mask": 1}),
    KeywordToo: ("needs 'mask' besides the picture", {"mask": 1}),
    Keyword: ("needs the name 'pixel_values' besides the picture", {}),
    TextFirst: ("needs 'input_ids' besides the picture", {"input_ids": 1}),
    Mapping: ("cannot take an input of shape (1, 3, ", {}),
}


def wrapper_of(message: str, filled: dict[str, object]) -> type[nn.Module]:
    """The class that the lines in a message define, once its blanks are filled in."""
    code = "\n".join(re.findall("`([^`]*)`", message))
    for name, value in filled.items():
        code = code.replace(f"{name}=…", f"{name}={value!r}")
    space: dict[str, type[nn.Module]] = {"torch": torch}
    exec(code, space)
    return space["Wrapped"]


@pytest.mark.parametrize("model", NEEDS)
def test_the_wrapper_that_is_shown_works(model):
    says, filled = NEEDS[model]
    net, x = seeded(model), pictures(1)
    with pytest.raises(ExplainError) as caught:
        mmcam.explain_class(net, x[0], 0)
    message = str(caught.value)
    assert message.startswith(f"{model.__name__} {says}")
    assert "\n" not in message
    wrapped = wrapper_of(message, filled)(net)
    plain = seeded(Keyword)
    plain.forward = plain.scores
    expected = attribute(plain, x, [0], layer="conv")
    assert expected.any()
    assert torch.equal(attribute(wrapped, x, [0], layer="model.conv"), expected)


@pytest.mark.parametrize("model", [*NEEDS, Listed, Fields, lambda: nn.Bilinear(3, 3, 2)])
@pytest.mark.parametrize("method", ["gradcam", "gradient", "occlusion"])
def test_every_way_to_ask_says_so(model, method):
    net, x = seeded(model), pictures(1)
    calls = [lambda: mmcam.explain_class(net, x[0], 0, method=method), lambda: attribute(net, x, [0], method=method)]
    if method == "gradcam":
        calls += [lambda: mmcam.evidence(net, x, [0]), lambda: attribute(net, x, [0, 1])]
        if hasattr(net, "conv"):
            calls += [lambda: mmcam.record(net, x, "conv"), lambda: attribute(net, x, [0, 1], layer="conv")]
    for call in calls:
        with pytest.raises(ExplainError, match="a wrapper of three lines: `class Wrapped"):
            call()


def test_a_hook_that_fills_the_second_input_in_is_enough():
    net = seeded(Second)
    net.register_forward_pre_hook(lambda module, args, kwargs: (args, {"mask": 1}), with_kwargs=True)
    assert attribute(net, pictures(), [0], layer="conv").any()


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (torch.rand(1, 1, 16, 16), r"has 1 channel and its first convolution takes 3; pass pictures of as many"),
        (torch.rand(1, 5, 16, 16), r"has 5 channels and its first convolution takes 3"),
        (torch.rand(1, 3, 0, 0), r"cannot take an input of shape \(1, 3, 0, 0\)"),
    ],
)
def test_an_input_the_model_cannot_take(x, says):
    for call in (
        lambda: attribute(seeded(Deep), x, [0]),
        lambda: mmcam.explain_class(seeded(Deep), x[0]),
        lambda: mmcam.record(seeded(Deep), x, "features"),
    ):
        with pytest.raises(ExplainError, match=says) as caught:
            call()
        assert caught.value.__cause__ is None or isinstance(caught.value.__cause__, RuntimeError)


def test_a_size_the_model_was_not_made_for():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 2))
    with pytest.raises(ExplainError, match=r"\(1, 3, 16, 16\).*pass pictures of the size it was made for"):
        attribute(net, pictures(1), [0])
    assert attribute(net, torch.rand(1, 3, 8, 8), [0, 1]).shape == (2, 1, 8, 8)


class Half(nn.Module):
    """A part of it is TorchScript."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv = torch.jit.script(nn.Conv2d(3, 4, 3, padding=1)), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.conv(self.stem(x)).relu().mean((2, 3)))


def test_a_scripted_part_leaves_the_other_layers_to_be_explained():
    net, x = seeded(Half), pictures()
    expected = attribute(net, x, [0, 1], layer="conv")
    assert expected.any()
    assert torch.equal(attribute(net, x, [0, 1]), expected)
    assert mmcam.explain_class(net, x[0], 0).layer == "conv"
    assert attribute(net, x, [0], method="gradient").any()
    with pytest.raises(ExplainError, match="Layer 'stem' is TorchScript"):
        attribute(net, x, [0], layer="stem")
