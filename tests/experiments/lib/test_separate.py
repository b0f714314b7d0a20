"""Networks with a ReLU module for every ReLU compute the same, and show hooks each of them."""

import pytest
import torch
import torchvision

from experiments.lib.separate import separate
from experiments.lib.settled import settle


@pytest.mark.parametrize(("name", "relus"), [("resnet18", 17), ("resnet50", 49), ("squeezenet1_1", 26)])
def test_every_relu_is_seen_once_and_the_outputs_stay(name, relus):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 64, 64)
    model = settle(getattr(torchvision.models, name)(weights=None), x)
    twin = separate(model)
    calls: list[torch.nn.Module] = []
    for module in twin.modules():
        if isinstance(module, torch.nn.ReLU):
            module.register_forward_hook(lambda module, *_: calls.append(module))
            assert not module.inplace
    with torch.no_grad():
        for _ in range(2):
            calls.clear()
            assert torch.equal(twin(x), model(x))
            assert len(calls) == len(set(calls)) == relus
    assert any(module.inplace for module in model.modules() if isinstance(module, torch.nn.ReLU)), "the model stays"
