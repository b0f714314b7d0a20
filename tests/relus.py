"""ReLU networks and their gradients by hand."""

import copy

import torch
from tiny import network
from torch import nn
from torch.nn import functional as F
from torchvision.models.googlenet import BasicConv2d
from torchvision.models.resnet import BasicBlock


class Net(nn.Module):
    """Convolution, ReLU, convolution, ReLU, linear; values up to about 12, so that a ReLU6 has something to cut."""

    def __init__(self, relu):
        super().__init__()
        self.relu = relu
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4 * 8 * 8, 3)
        with torch.no_grad():
            self.first.weight.mul_(6)

    def forward(self, x):
        return self.fc(self.relu(self.second(self.relu(self.first(x)))).flatten(1))


def by_hand(net, x, target, rule, ceiling=float("inf")):
    """The backward pass layer by layer: at each ReLU the gradient goes through the rule's two gates."""
    first = F.conv2d(x, net.first.weight, net.first.bias, padding=1)
    middle = first.clamp(0, ceiling)
    second = F.conv2d(middle, net.second.weight, net.second.bias, padding=1)
    assert (first > 6).any()

    def gate(gradient, inputs):
        if rule in ("guided", "deconv"):
            gradient = gradient * (gradient > 0)
        if rule in ("guided", "plain"):
            gradient = gradient * (inputs > 0) * (inputs < ceiling)
        return gradient

    gradient = net.fc.weight[target].view(1, 4, 8, 8).expand(len(x), -1, -1, -1)
    gradient = F.conv_transpose2d(gate(gradient, second), net.second.weight, padding=1)
    return F.conv_transpose2d(gate(gradient, first), net.first.weight, padding=1).detach()


class Separate(nn.Module):
    """DenseNet's forward with its last ReLU as a module."""

    def __init__(self, densenet):
        super().__init__()
        self.features, self.relu, self.classifier = densenet.features, nn.ReLU(), densenet.classifier

    def forward(self, x):
        return self.classifier(F.adaptive_avg_pool2d(self.relu(self.features(x)), 1).flatten(1))


class Convolution(nn.Module):
    """GoogLeNet's convolution with its ReLU as a module."""

    def __init__(self, basic):
        super().__init__()
        self.conv, self.bn, self.relu = basic.conv, basic.bn, nn.ReLU()

    def forward(self, x):
        return self.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """ResNet's block with a ReLU of its own for each place: a shared module may not be hooked twice."""

    def __init__(self, basic):
        super().__init__()
        self.first = nn.Sequential(basic.conv1, basic.bn1, nn.ReLU())
        self.second = nn.Sequential(basic.conv2, basic.bn2)
        self.downsample = basic.downsample or nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.second(self.first(x)) + self.downsample(x))


def with_relu_modules(name):
    """A copy of a network that computes the same with nn.ReLU modules only: none functional, shared or in place.

    mobilenet_v2's ReLU6 become ReLU, because captum's hooks know no other; both sides are then given the copy.
    """

    def change(module):
        for key, child in module.named_children():
            if isinstance(child, (nn.ReLU, nn.ReLU6)):
                setattr(module, key, nn.ReLU())
            elif isinstance(child, BasicConv2d):
                setattr(module, key, Convolution(child))
            elif isinstance(child, BasicBlock):
                setattr(module, key, Block(child))
            else:
                change(child)

    model = copy.deepcopy(network(name))
    change(model)
    return Separate(model).eval() if name == "densenet121" else model.eval()
