"""Networks whose answer, pictures or rows are not one vector of classes a picture."""

from collections import namedtuple
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from zoo.network import EITHER, MAP, REFUSED, Network
from zoo.own_convolutions import Plain, stage

Pair = namedtuple("Pair", ["logits", "features"])


@dataclass
class Answer:
    """An output that is no mapping."""

    logits: torch.Tensor
    loss: float | None = None


class Gives(Plain):
    """The logits come in some wrapping."""

    def __init__(self, wrap):
        super().__init__()
        self.wrap = wrap

    def forward(self, x):
        z = self.features(x)
        return self.wrap(self.head(z.mean((2, 3))), z)


class TwoHeads(nn.Module):
    """Each head has a layer of its own behind a common one."""

    def __init__(self):
        super().__init__()
        self.common = nn.Sequential(stage(3, 8), stage(8, 12), stage(12, 12))
        self.a, self.b = nn.Conv2d(12, 12, 3, 1, 1), nn.Conv2d(12, 12, 3, 1, 1)
        self.head_a, self.head_b = nn.Linear(12, 5), nn.Linear(12, 4)

    def forward(self, x):
        z = self.common(x)
        return self.head_a(self.a(z).relu().mean((2, 3))), self.head_b(self.b(z).relu().mean((2, 3)))


class Auxiliary(nn.Module):
    """An auxiliary head that runs last, on an early layer."""

    def __init__(self):
        super().__init__()
        self.early, self.late = nn.Sequential(stage(3, 8), stage(8, 12)), stage(12, 16)
        self.aside = nn.Conv2d(12, 12, 3, 1, 1)
        self.head, self.aux = nn.Linear(16, 5), nn.Linear(12, 5)

    def forward(self, x):
        z = self.early(x)
        logits = self.head(self.late(z).mean((2, 3)))
        return {"out": logits, "aux": self.aux(self.aside(z).relu().mean((2, 3)))}


class ActorCritic(nn.Module):
    """The critic, with an encoder of its own, runs last."""

    def __init__(self):
        super().__init__()
        self.actor, self.critic = (nn.Sequential(stage(4, 8), stage(8, 12), stage(12, 16)) for _ in range(2))
        self.policy, self.value = nn.Linear(16, 5), nn.Linear(16, 1)

    def forward(self, x):
        return self.policy(self.actor(x).mean((2, 3))), self.value(self.critic(x).mean((2, 3)))[:, 0]


class Siamese(nn.Module):
    """Two pictures in one tensor, one encoder for both."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(stage(3, 8), stage(8, 12), stage(12, 16))
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        return self.head(torch.cat([self.encoder(part).mean((2, 3)) for part in x.chunk(2, 1)], 1))


class Views(nn.Module):
    """The views of a thing are folded into the rows, then the strongest is taken."""

    def __init__(self, together=torch.amax):
        super().__init__()
        self.encoder = nn.Sequential(stage(3, 8), stage(8, 12), stage(12, 16))
        self.head, self.together = nn.Linear(16, 5), together

    def forward(self, x):
        rows = x.unflatten(1, (-1, 3)).flatten(0, 1)
        views = self.encoder(rows).mean((2, 3)).unflatten(0, (len(x), -1))
        return self.head(self.together(views, 1))


class Frames(nn.Module):
    """Frames are a depth."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv3d(3, 8, 3, (1, 4, 4), 1), nn.Conv3d(8, 16, 3, (1, 2, 2), 1)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.second(self.first(x.unflatten(1, (-1, 3)).transpose(1, 2)).relu()).relu().mean((2, 3, 4)))


class Tiles(nn.Module):
    """The picture is cut into four, which are rows to the encoder."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(stage(3, 8), stage(8, 16))
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        tiles = torch.cat([half for row in x.chunk(2, 2) for half in row.chunk(2, 3)])
        return self.head(self.encoder(tiles).mean((2, 3)).unflatten(0, (4, -1)).mean(0))


class TwoEncoders(nn.Module):
    """Late fusion of colour and depth."""

    def __init__(self):
        super().__init__()
        self.colour, self.depth = (nn.Sequential(stage(c, 8), stage(8, 12), stage(12, 16)) for c in (3, 1))
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        return self.head(torch.cat([self.colour(x[:, :3]).mean((2, 3)), self.depth(x[:, 3:]).mean((2, 3))], 1))


class Unet(nn.Module):
    """Down, up, and a class for each pixel."""

    def __init__(self, classes=5):
        super().__init__()
        self.down1, self.down2, self.down3 = stage(3, 8, 1), stage(8, 12), stage(12, 16)
        self.up2, self.up1 = stage(28, 12, 1), stage(20, 8, 1)
        self.out = nn.Conv2d(8, classes, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(a)
        c = self.down3(b)
        b = self.up2(torch.cat([F.interpolate(c, scale_factor=2), b], 1))
        return self.out(self.up1(torch.cat([F.interpolate(b, scale_factor=2), a], 1)))


class Columns(nn.Module):
    """Text is read column by column; the answer is (columns, N, letters)."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(stage(1, 8), stage(8, 12), stage(12, 16))
        self.read, self.letters = nn.LSTM(16, 8, bidirectional=True), nn.Linear(16, 6)

    def forward(self, x):
        return self.letters(self.read(self.features(x).mean(2).permute(2, 0, 1))[0])


class NoMap(nn.Module):
    """All pixels in one row."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 24, 20), nn.ReLU(), nn.Linear(20, 5))

    def forward(self, x):
        return self.net(x)


class Strip(nn.Module):
    """Only columns are left of the map."""

    def __init__(self):
        super().__init__()
        self.net, self.head = nn.Conv2d(3, 12, (64, 8), (64, 8)), nn.Linear(12, 5)

    def forward(self, x):
        return self.head(self.net(x).relu().mean((2, 3)))


def pixel(channel, rows, columns):
    return lambda output: output[:, channel, rows, columns].mean((1, 2))


UPPER, LOWER = slice(8, 24), slice(32, 56)
PIXELS = (pixel(1, UPPER, slice(16, 40)), pixel(2, LOWER, slice(50, 90)))

ANSWERS = [
    Network("a mapping", partial(Gives, lambda logits, z: {"logits": logits, "features": z})),
    Network(
        "a mapping, features first",
        partial(Gives, lambda logits, z: {"features": z, "logits": logits}),
        targets=(lambda o: o["logits"][:, 1], lambda o: o["logits"][:, 2]),
    ),
    Network("a named tuple", partial(Gives, Pair)),
    Network("a tuple", partial(Gives, lambda logits, z: (logits, z))),
    Network(
        "a dataclass",
        partial(Gives, lambda logits, z: Answer(logits)),
        targets=(lambda o: o.logits[:, 1], lambda o: o.logits[:, 2]),
    ),
    Network(
        "its features and nothing else",
        partial(Gives, lambda logits, z: z.mean((2, 3))),
        targets=(lambda o: F.cosine_similarity(o, torch.linspace(-1, 1, 16)[None]), 2),
    ),
    Network(
        "its map and nothing else",
        partial(Gives, lambda logits, z: z),
        targets=(lambda o: o.square().mean((1, 2, 3)), lambda o: o.amax((1, 2, 3))),
    ),
    Network("two heads", TwoHeads, layers={"a": MAP, "common": MAP, "b": REFUSED}),
    Network(
        "two heads, the second asked",
        TwoHeads,
        targets=(lambda o: o[1][:, 1], lambda o: o[1][:, 2]),
        layers={"b": MAP, "a": REFUSED},
    ),
    Network(
        "two heads, both asked",
        TwoHeads,
        targets=(lambda o: o[0][:, 1], lambda o: o[1][:, 1]),
        outcome=EITHER,
        layers={"common": MAP},
    ),
    Network("auxiliary head", Auxiliary, layers={"late": MAP}),
    Network(
        "auxiliary head asked",
        Auxiliary,
        targets=(lambda o: o["aux"][:, 1], lambda o: o["aux"][:, 2]),
        layers={"aside": MAP},
    ),
    Network("actor and critic", ActorCritic, (4, 64, 96), layers={"actor": MAP}),
    Network(
        "critic asked", ActorCritic, (4, 64, 96), targets=(lambda o: o[1], lambda o: -o[1]), layers={"critic": MAP}
    ),
    Network("siamese", Siamese, (6, 64, 96), outcome=REFUSED, word="call="),
    Network(
        "siamese, its second picture",
        Siamese,
        (6, 64, 96),
        outcome=EITHER,
        call=1,
        layers={"encoder": MAP, "encoder.1": MAP},
    ),
    Network("views in the rows", Views, (9, 64, 96), outcome=REFUSED, layers={"encoder": EITHER}),
    Network("views in the rows, averaged", partial(Views, torch.mean), (6, 64, 96), outcome=REFUSED),
    Network("frames as depth", Frames, (12, 64, 96), outcome=EITHER),
    Network("cut into tiles", Tiles, outcome=EITHER, layers={"encoder": EITHER}),
    Network("colour and depth", TwoEncoders, (4, 64, 96), layers={"colour": MAP, "depth": MAP}),
    Network("U-Net, some pixels", Unet, (3, 64, 96), targets=PIXELS, layers={"down3": MAP, "up2": MAP}),
    Network(
        "U-Net, a class of all pixels",
        Unet,
        (3, 64, 96),
        targets=(lambda o: o[:, 1].mean((1, 2)), lambda o: o[:, 2].mean((1, 2))),
    ),
    Network(
        "depth", partial(Unet, 1), (3, 64, 96), targets=(pixel(0, UPPER, slice(0, 20)), pixel(0, LOWER, slice(40, 80)))
    ),
    Network(
        "reads columns",
        Columns,
        (1, 64, 192),
        targets=(lambda o: o[5, :, 1], lambda o: o[17, :, 2]),
        layers={"features": MAP},
    ),
    Network("no map at all", NoMap, (3, 16, 24), outcome=REFUSED, word="map"),
    Network("only columns", Strip, outcome=REFUSED, word="map"),
]
