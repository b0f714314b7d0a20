"""Convolutional networks of a few lines each, with what people do to pictures and maps on the way."""

from functools import partial

import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from zoo.network import EITHER, MAP, REFUSED, Network


def stage(before, after, stride=2):
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU())


class Plain(nn.Module):
    """Three stages to a map of an eighth, pooled and classified."""

    def __init__(self, channels=3, width=16, classes=5):
        super().__init__()
        self.features = nn.Sequential(stage(channels, 8), stage(8, 12), stage(12, width))
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


class Before(Plain):
    """Something happens to the pictures before the first layer."""

    def __init__(self, change, **how):
        super().__init__(**how)
        self.change = change

    def forward(self, x):
        return super().forward(self.change(x))


class Amid(Plain):
    """Something happens to a map between two layers, in the forward itself; `last` runs behind it."""

    def __init__(self, change, **how):
        super().__init__(**how)
        self.change = change
        self.last = nn.Conv2d(16, 16, 1)

    def forward(self, x):
        return self.head(self.last(self.change(self.features(x))).relu().mean((2, 3)))


class Gated(Plain):
    """A gate of a picture's own means, as squeeze and excitation has."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 16), nn.Sigmoid())

    def forward(self, x):
        z = self.features(x)
        return self.head((z * self.gate(z.mean((2, 3)))[..., None, None]).mean((2, 3)))


class GlobalContext(Plain):
    """Every cell gets the mean of all that an attention over places picks."""

    def __init__(self):
        super().__init__()
        self.pick, self.give, self.out = nn.Conv2d(16, 1, 1), nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 3, 1, 1)

    def forward(self, x):
        z = self.features(x)
        share = self.pick(z).flatten(2).softmax(-1)
        context = (z.flatten(2) * share).sum(-1)[..., None, None]
        return self.head(self.out(z + self.give(context)).relu().mean((2, 3)))


class BatchMean(Plain):
    """What a picture gets hangs on the others of its batch."""

    def forward(self, x):
        pooled = self.features(x).mean((2, 3))
        return self.head((pooled - pooled.mean(0)).abs() + pooled)


class BatchContrast(Plain):
    """Normalised by the batch even where nothing is trained."""

    def forward(self, x):
        z = self.features(x)
        return self.head((z / (1 + z.square().mean((0, 2, 3), keepdim=True)).sqrt()).mean((2, 3)))


class FullyConvolutional(nn.Module):
    """The class maps are averaged to the answer."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(stage(3, 8), stage(8, 12), stage(12, 16))
        self.classes = nn.Conv2d(16, 5, 1)

    def forward(self, x):
        return self.classes(self.features(x)).mean((2, 3))


class LastActivated(nn.Module):
    """The class maps pass a ReLU and a flattening before they are the answer, as in SqueezeNet."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(stage(3, 8), stage(8, 12), stage(12, 16))
        self.classifier = nn.Sequential(nn.Conv2d(16, 5, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, x):
        return self.classifier(self.features(x))


class Checkpointed(Plain):
    def forward(self, x):
        return self.head(checkpoint(self.features, x, use_reentrant=False).mean((2, 3)))


class Frozen(Plain):
    """The encoder runs in a block of its own without gradients."""

    def forward(self, x):
        with torch.no_grad():
            z = self.features(x)
        return self.head(z.mean((2, 3)))


class Detached(Plain):
    """A side branch is cut off, as a moving average or a regulariser would be."""

    def __init__(self):
        super().__init__()
        self.side = nn.Conv2d(16, 16, 1)

    def forward(self, x):
        z = self.features(x)
        return self.head((z + self.side(z).detach()).mean((2, 3)))


class Scripted(Plain):
    """A part is TorchScript."""

    def __init__(self):
        super().__init__()
        self.script = torch.jit.script(nn.Conv2d(3, 3, 3, 1, 1))
        self.last = nn.Conv2d(16, 16, 3, 1, 1)

    def forward(self, x):
        return self.head(self.last(self.features(self.script(x))).relu().mean((2, 3)))


class Repeated(nn.Module):
    """One block runs three times, and nothing else has a map as deep."""

    def __init__(self):
        super().__init__()
        self.stem, self.block, self.head = nn.Conv2d(3, 12, 8, 8), nn.Conv2d(12, 12, 3, 1, 1), nn.Linear(12, 5)

    def forward(self, x):
        z = self.stem(x)
        for _ in range(3):
            z = z + self.block(z.relu())
        return self.head(z.relu().mean((2, 3)))


class ChannelsLast(nn.Module):
    """Blocks that keep (N,h,w,K), where K is the number of columns."""

    def __init__(self, width=12):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 8, 8)
        self.blocks = nn.Sequential(
            *[nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU()) for _ in range(2)]
        )
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        z = self.stem(x).permute(0, 2, 3, 1)
        for block in self.blocks:
            z = z + block(z)
        return self.head(z.mean((1, 2)))


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(stage(3, 8), stage(8, 12))
        self.branches = nn.ModuleList([nn.Conv2d(12, 8, k, 2, k // 2) for k in (1, 3, 5)])
        self.head = nn.Linear(24, 5)

    def forward(self, x):
        z = self.stem(x)
        return self.head(torch.cat([branch(z).relu() for branch in self.branches], 1).mean((2, 3)))


class Deformable(Plain):
    def __init__(self):
        super().__init__()
        self.offset = nn.Conv2d(16, 18, 3, 1, 1)
        self.deform = torchvision.ops.DeformConv2d(16, 16, 3, padding=1)

    def forward(self, x):
        z = self.features(x)
        return self.head(self.deform(z, 0.3 * self.offset(z).tanh()).relu().mean((2, 3)))


class Coordinates(nn.Module):
    """Rows and columns are channels."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(stage(5, 8), stage(8, 12), stage(12, 16))
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        rows = torch.linspace(-1, 1, x.shape[2])[:, None].expand(len(x), 1, *x.shape[2:])
        columns = torch.linspace(-1, 1, x.shape[3]).expand(len(x), 1, *x.shape[2:])
        return self.head(self.features(torch.cat([x, rows, columns], 1)).mean((2, 3)))


class Spectral(Plain):
    """A filter on the Fourier transform, with the map added."""

    def __init__(self):
        super().__init__()
        self.filter = nn.Parameter(torch.ones(16, 8, 7))
        self.mix = nn.Conv2d(16, 16, 1)

    def forward(self, x):
        z = self.features(x)
        return self.head(
            self.mix(z + 0.3 * torch.fft.irfft2(torch.fft.rfft2(z) * self.filter, s=z.shape[2:])).mean((2, 3))
        )


class Swept(Plain):
    """A recurrent layer runs over the columns, as readers of text have."""

    def __init__(self):
        super().__init__()
        self.sweep = nn.GRU(16, 16, batch_first=True)

    def forward(self, x):
        columns = self.features(x).mean(2).transpose(1, 2)
        return self.head(self.sweep(columns)[0][:, -1])


class Transformed(Plain):
    """Where the network looks is computed from the picture."""

    def __init__(self):
        super().__init__()
        self.look = nn.Linear(3, 6)

    def forward(self, x):
        turn = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]) + 0.02 * self.look(x.mean((2, 3))).view(-1, 2, 3)
        grid = F.affine_grid(turn, list(x.shape), align_corners=False)
        return super().forward(F.grid_sample(x, grid, align_corners=False))


class Levels(nn.Module):
    """Two stages are pooled and joined, as in networks of several scales."""

    def __init__(self):
        super().__init__()
        self.near, self.far = nn.Sequential(stage(3, 8), stage(8, 12)), stage(12, 16)
        self.head = nn.Linear(28, 5)

    def forward(self, x):
        near = self.near(x)
        return self.head(torch.cat([near.mean((2, 3)), self.far(near).mean((2, 3))], 1))


def centre(x):
    return x[:, :, 16:48, 24:72]


def padded(x):
    return F.pad(x, (0, x.shape[3], 0, x.shape[2]))


def turned(x):
    return torch.rot90(x, 1, (2, 3))


CONVOLUTIONS = [
    Network("plain", Plain, layers={"features.0": MAP, "features.1": MAP}),
    Network("plain, higher than wide", Plain, (3, 120, 64)),
    Network("plain, one channel", partial(Plain, channels=1), (1, 64, 96)),
    Network("plain, four channels", partial(Plain, channels=4), (4, 64, 96)),
    Network("plain, twelve channels", partial(Plain, channels=12), (12, 64, 96)),
    Network("as many channels as classes", partial(Plain, width=5)),
    Network("fully convolutional", FullyConvolutional, layers={"features.2": MAP}),
    Network("class maps behind a ReLU", LastActivated, targets=(2, 4)),
    Network("gated", Gated),
    Network("global context", GlobalContext),
    Network("mean of the batch taken off", BatchMean, outcome=EITHER),
    Network("normalised over the batch", BatchContrast, outcome=EITHER),
    Network("checkpointed", Checkpointed),
    Network("encoder without gradients", Frozen),
    Network("branch cut off", Detached),
    Network("a part in TorchScript", Scripted, layers={"last": MAP}),
    Network("one block thrice", Repeated, layers={"stem": MAP}),
    Network("one block thrice, its second time", Repeated, call=1, outcome=EITHER, layers={"block": MAP}),
    Network("channels last", ChannelsLast, layers={"blocks.0": MAP}),
    Network("channels last, as many as rows", partial(ChannelsLast, 8), layers={"blocks.0": MAP}),
    Network("inception", Inception),
    Network("deformable", Deformable),
    Network("coordinates as channels", Coordinates),
    Network("Fourier filter", Spectral),
    Network("columns read in a row", Swept),
    Network("two scales pooled", Levels, layers={"near": MAP}),
    Network(
        "resized to a square",
        partial(Before, partial(F.interpolate, size=(64, 64))),
        (3, 48, 160),
        outcome=EITHER,
        layers={"features": MAP},
    ),
    Network("resized by a half", partial(Before, partial(F.interpolate, scale_factor=0.5)), (3, 128, 192)),
    Network("cropped to its centre", partial(Before, centre), outcome=EITHER),
    Network("flipped before", partial(Before, partial(torch.flip, dims=(3,))), outcome=EITHER),
    Network("upside down before", partial(Before, partial(torch.flip, dims=(2,))), outcome=EITHER),
    Network("rolled before", partial(Before, partial(torch.roll, shifts=(32, 48), dims=(2, 3))), outcome=EITHER),
    Network("turned before", partial(Before, turned), outcome=EITHER),
    Network("turned before, square", partial(Before, turned), (3, 96, 96), outcome=EITHER),
    Network(
        "transposed before, square",
        partial(Before, partial(torch.transpose, dim0=2, dim1=3)),
        (3, 96, 96),
        outcome=EITHER,
    ),
    Network("padded to twice its sides", partial(Before, padded), outcome=EITHER),
    Network("columns taken by index", partial(Before, lambda x: x[..., list(range(95, -1, -1))]), outcome=EITHER),
    Network("turned by what it sees", Transformed, (3, 96, 96), outcome=EITHER),
    Network(
        "flipped amid",
        partial(Amid, partial(torch.flip, dims=(3,))),
        outcome=EITHER,
        layers={"last": EITHER, "features": MAP},
    ),
    Network(
        "rolled amid",
        partial(Amid, partial(torch.roll, shifts=(4, 6), dims=(2, 3))),
        outcome=EITHER,
        layers={"last": EITHER},
    ),
    Network(
        "rows and columns exchanged amid",
        partial(Amid, lambda z: z.transpose(2, 3)),
        (3, 96, 96),
        outcome=EITHER,
        layers={"last": EITHER},
    ),
    Network(
        "viewed amid",
        partial(Amid, lambda z: z.flatten(2).view(len(z), 16, 12, 8)),
        outcome=EITHER,
        layers={"last": REFUSED},
    ),
    Network(
        "columns shuffled amid",
        partial(Amid, lambda z: z[..., torch.randperm(12, generator=torch.Generator().manual_seed(0))]),
        outcome=EITHER,
        layers={"last": EITHER},
    ),
]
