"""Transformers of a few lines each, whose tokens stand wherever people have put them."""

from functools import partial

import torch
from torch import nn
from zoo.network import EITHER, MAP, REFUSED, Network

WIDTH = 20
ROWS, COLUMNS = 8, 12
CELLS = ROWS * COLUMNS
"""Of pictures 64×96 in patches of 8."""


def block(width=WIDTH, batch_first=True, norm_first=True):
    return nn.TransformerEncoderLayer(width, 2, 2 * width, 0.0, batch_first=batch_first, norm_first=norm_first)


class Tokens(nn.Module):
    """Patches with positions, other tokens in front of, behind and between them, two blocks, and a head.

    Args:
        front, between, behind: numbers of other tokens; `between` ones stand in the middle of the patches.
        order: the patches' numbers, row by row, in the order they stand.
        read: what the head reads of the tokens (N,L,K).
    """

    def __init__(self, front=0, between=0, behind=0, order=None, read="first", patch=8, cells=CELLS, depth=3):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, patch, patch)
        self.position = nn.Parameter(torch.zeros(1, cells, WIDTH))
        self.extra = nn.ParameterList([nn.Parameter(torch.zeros(1, n, WIDTH)) for n in (front, between, behind)])
        self.blocks = nn.ModuleList([block() for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 5)
        self.order, self.read = order, read

    def embedded(self, x):
        t = self.patches(x).flatten(2).transpose(1, 2) + self.position
        return t if self.order is None else t[:, self.order]

    def joined(self, t):
        front, between, behind = (extra.expand(len(t), -1, -1) for extra in self.extra)
        half = t.shape[1] // 2 if between.shape[1] else 0
        return torch.cat([front, t[:, :half], between, t[:, half:], behind], 1)

    def answer(self, t):
        reads = {"first": lambda: t[:, 0], "last": lambda: t[:, -1], "mean": lambda: t.mean(1)}
        return self.head(reads[self.read]())

    def forward(self, x):
        t = self.joined(self.embedded(x))
        for each in self.blocks:
            t = each(t)
        return self.answer(self.norm(t))


class Shuffled(Tokens):
    """A new order at each call."""

    def embedded(self, x):
        return super().embedded(x)[:, torch.randperm(CELLS)]


class Turned(Tokens):
    """The map is turned over before it becomes tokens."""

    def __init__(self, turn, **how):
        super().__init__(read="mean", **how)
        self.turn = turn

    def embedded(self, x):
        return self.turn(self.patches(x)).flatten(2).transpose(1, 2) + self.position


class Detects(Tokens):
    """Each of ten tokens behind the patches gives classes."""

    def answer(self, t):
        return {"logits": self.head(t[:, -10:]), "boxes": t[:, -10:, :4].sigmoid()}


class TwoClassTokens(Tokens):
    """A class and a distillation token, a head each."""

    def answer(self, t):
        return self.head(t[:, 0]), self.head(t[:, 1])


class PerClass(Tokens):
    """A token a class, behind the patches."""

    def answer(self, t):
        return (t[:, -5:] * self.head.weight).sum(-1)


class SequenceFirst(nn.Module):
    """(L,N,K), as nn.TransformerEncoder has it unless told otherwise."""

    def __init__(self, token=False):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 8, 8)
        self.position = nn.Parameter(torch.zeros(CELLS, 1, WIDTH))
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH)) if token else None
        self.encoder = nn.TransformerEncoder(block(batch_first=False), 3, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, x):
        t = self.patches(x).flatten(2).permute(2, 0, 1) + self.position
        if self.token is not None:
            t = torch.cat([self.token.expand(-1, t.shape[1], -1), t])
        t = self.encoder(t)
        return self.head(t.mean(0) if self.token is None else t[0])


class LastAxis(nn.Module):
    """(N,K,L), as one-dimensional convolutions have it."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 8, 8)
        self.blocks = nn.ModuleList(
            [nn.Sequential(nn.Conv1d(WIDTH, WIDTH, 1), nn.BatchNorm1d(WIDTH), nn.ReLU()) for _ in range(2)]
        )
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, x):
        t = self.patches(x).flatten(2)
        for each in self.blocks:
            t = t + each(t)
        return self.head(t.mean(2))


class Windows(nn.Module):
    """Blocks run inside windows of 4×4 that are rows to them."""

    def __init__(self, dilated=False):
        super().__init__()
        self.patches, self.blocks = nn.Conv2d(3, WIDTH, 8, 8), nn.ModuleList([block(), block()])
        self.position = nn.Parameter(torch.zeros(1, WIDTH, ROWS, COLUMNS))
        self.head, self.dilated = nn.Linear(WIDTH, 5), dilated

    def forward(self, x):
        z = self.patches(x) + self.position
        n = len(z)
        if self.dilated:  # a window is every second row and every third column
            t = z.unflatten(3, (4, 3)).unflatten(2, (4, 2)).permute(0, 3, 5, 2, 4, 1).flatten(3, 4).flatten(0, 2)
        else:
            t = z.unflatten(3, (3, 4)).unflatten(2, (2, 4)).permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(0, 2)
        for each in self.blocks:
            t = each(t)
        return self.head(t.mean(1).unflatten(0, (n, -1)).mean(1))


class Hierarchy(nn.Module):
    """Tokens are merged two by two, rows and columns."""

    def __init__(self):
        super().__init__()
        self.patches, self.merge = nn.Conv2d(3, WIDTH, 4, 4), nn.Linear(4 * WIDTH, WIDTH)
        self.position = nn.Parameter(torch.zeros(1, 4 * CELLS, WIDTH))
        self.near, self.far, self.head = block(), block(), nn.Linear(WIDTH, 5)

    def forward(self, x):
        t = self.near(self.patches(x).flatten(2).transpose(1, 2) + self.position)
        t = t.unflatten(1, (ROWS, 2, COLUMNS, 2)).permute(0, 1, 3, 2, 4, 5).flatten(3).flatten(1, 2)
        return self.head(self.far(self.merge(t)).mean(1))


class Queries(nn.Module):
    """Queries read an encoder's tokens, and the answer is theirs; there are as many of them as cells."""

    def __init__(self, queries=CELLS):
        super().__init__()
        self.patches, self.position = nn.Conv2d(3, WIDTH, 8, 8), nn.Parameter(torch.zeros(1, CELLS, WIDTH))
        self.encoder = nn.ModuleList([block(), block()])
        self.decoder = nn.ModuleList(
            [nn.TransformerDecoderLayer(WIDTH, 2, 40, 0.0, batch_first=True, norm_first=True) for _ in range(2)]
        )
        self.queries, self.head = nn.Parameter(torch.zeros(1, queries, WIDTH)), nn.Linear(WIDTH, 5)

    def forward(self, x):
        memory = self.patches(x).flatten(2).transpose(1, 2) + self.position
        for each in self.encoder:
            memory = each(memory)
        t = self.queries.expand(len(x), -1, -1)
        for each in self.decoder:
            t = each(t, memory)
        return self.head(t)


class Perceiver(Queries):
    """The mean of the latents is classified; nothing but a convolution shows places."""

    def forward(self, x):
        return super().forward(x).mean(1)


class Attention(nn.Module):
    """Attention whose softmax is a module: its output is a matrix a head."""

    def __init__(self):
        super().__init__()
        self.qkv, self.softmax, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Softmax(-1), nn.Linear(WIDTH, WIDTH)

    def forward(self, t):
        q, k, v = self.qkv(t).unflatten(-1, (3, 2, WIDTH // 2)).permute(2, 0, 3, 1, 4)
        return self.out((self.softmax(q @ k.transpose(-1, -2)) @ v).transpose(1, 2).flatten(2))


class Spelled(nn.Module):
    """A vision transformer without blocks as modules, and a matrix of L×L between its layers."""

    def __init__(self):
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, WIDTH, 8, 8), nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.a, self.b, self.head = Attention(), Attention(), nn.Linear(WIDTH, 5)

    def forward(self, x):
        t = torch.cat([self.token.expand(len(x), -1, -1), self.patches(x).flatten(2).transpose(1, 2)], 1)
        t = t + self.a(self.norm1(t))
        return self.head((t + self.b(self.norm2(t)))[:, 0])


class Merges(Tokens):
    """Each even token is joined with the odd one most like it; half are left, in an order of the picture's own."""

    def __init__(self):
        super().__init__(read="mean")
        self.after = nn.ModuleList([block(), block()])

    def answer(self, t):
        even, odd = t[:, ::2], t[:, 1::2]
        like = (even @ odd.transpose(1, 2)).amax(-1).argsort(-1, descending=True)
        like = like[..., None].expand(-1, -1, WIDTH)
        t = even.gather(1, like) + odd
        for each in self.after:
            t = each(t)
        return super().answer(t)


class Drops(Tokens):
    """Only the strongest patches go on; as many as a coarser grid would have."""

    def __init__(self, keep=24):
        super().__init__(read="mean", depth=1)
        self.keep, self.after = keep, nn.ModuleList([block(), block()])

    def answer(self, t):
        kept = t.square().sum(-1).topk(self.keep, 1).indices
        t = t.gather(1, kept[..., None].expand(-1, -1, WIDTH))
        for each in self.after:
            t = each(t)
        return super().answer(t)


class Mixer(nn.Module):
    """Tokens are mixed by a layer over the places."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 8, 8)
        self.blocks = nn.ModuleList([MixerBlock() for _ in range(2)])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 5)

    def forward(self, x):
        t = self.patches(x).flatten(2).transpose(1, 2)
        for each in self.blocks:
            t = each(t)
        return self.head(self.norm(t).mean(1))


class MixerBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.places, self.channels = nn.Linear(CELLS, CELLS), nn.Linear(WIDTH, WIDTH)

    def forward(self, t):
        t = t + 0.1 * self.places(self.norm1(t).transpose(1, 2)).transpose(1, 2)  # stronger, and no place would be left
        return t + self.channels(self.norm2(t)).relu()


class Gates(Mixer):
    """gMLP: one half of the channels gates the other, over the places."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([GateBlock() for _ in range(2)])


class GateBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.up, self.down, self.places = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(CELLS, CELLS)

    def forward(self, t):
        a, b = self.up(self.norm(t)).chunk(2, -1)
        return t + self.down(a * self.places(self.inner(b).transpose(1, 2)).transpose(1, 2))


class Pools(nn.Module):
    """PoolFormer: what a cell gets of the others is their mean about it."""

    def __init__(self):
        super().__init__()
        self.patches, self.pool, self.mix = nn.Conv2d(3, WIDTH, 8, 8), nn.AvgPool2d(3, 1, 1), nn.Conv2d(WIDTH, WIDTH, 1)
        self.norm, self.head = nn.GroupNorm(1, WIDTH), nn.Linear(WIDTH, 5)

    def forward(self, x):
        z = self.patches(x)
        z = z + self.pool(z) - z.detach() * 0
        return self.head(self.norm(z + self.mix(z).relu()).mean((2, 3)))


class ConvolutionMixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 8, 8)
        self.deep = nn.ModuleList([nn.Conv2d(WIDTH, WIDTH, 5, 1, 2, groups=WIDTH) for _ in range(2)])
        self.wide = nn.ModuleList([nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 1), nn.BatchNorm2d(WIDTH)) for _ in range(2)])
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, x):
        z = self.stem(x)
        for deep, wide in zip(self.deep, self.wide, strict=True):
            z = wide((z + deep(z).relu()).relu())
        return self.head(z.mean((2, 3)))


class Hybrid(Tokens):
    """Convolutions make the tokens."""

    def __init__(self, **how):
        super().__init__(**how)
        self.patches = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU(), nn.Conv2d(12, WIDTH, 3, 2, 1)
        )


class Neck(Hybrid):
    """Behind the blocks the tokens are a map again, and a convolution has the last word."""

    def __init__(self):
        super().__init__(depth=2)
        self.after = nn.Conv2d(WIDTH, WIDTH, 3, 1, 1)

    def answer(self, t):
        return self.head(self.after(t.transpose(1, 2).unflatten(2, (ROWS, COLUMNS))).relu().mean((2, 3)))


class TwoScales(Tokens):
    """Patches of two sizes in one sequence."""

    def __init__(self):
        super().__init__(read="mean")
        self.large, self.place = nn.Conv2d(3, WIDTH, 16, 16), nn.Parameter(torch.zeros(1, CELLS // 4, WIDTH))

    def embedded(self, x):
        return torch.cat([super().embedded(x), self.large(x).flatten(2).transpose(1, 2) + self.place], 1)


class Read(Tokens):
    """A sentence, always the same, stands before the patches."""

    def __init__(self):
        super().__init__(front=1)
        self.words = nn.Embedding(30, WIDTH)

    def joined(self, t):
        sentence = self.words(torch.tensor([3, 14, 15, 9, 26, 5, 8])).expand(len(t), -1, -1)
        return super().joined(torch.cat([sentence, t], 1))


class Folded(nn.Module):
    """(N,h,w,K) with as many channels as columns."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, COLUMNS, 8, 8)
        self.rows, self.columns = block(COLUMNS), block(COLUMNS)
        self.head = nn.Linear(COLUMNS, 5)
        self.norm = nn.LayerNorm(COLUMNS)

    def forward(self, x):
        z = self.patches(x).permute(0, 2, 3, 1)
        z = self.rows(z.flatten(0, 1)).unflatten(0, (-1, ROWS))
        z = self.columns(z.transpose(1, 2).flatten(0, 1)).unflatten(0, (-1, COLUMNS)).transpose(1, 2)
        return self.head(self.norm(z).mean((1, 2)))


def numbered():
    return torch.arange(CELLS).view(ROWS, COLUMNS)


def back_and_forth():
    order = numbered()
    order[1::2] = order[1::2].flip(1)
    return order.flatten()


def nested():
    return numbered().unflatten(1, (COLUMNS // 2, 2)).unflatten(0, (ROWS // 2, 2)).permute(0, 2, 1, 3).flatten()


def mixed_up():
    return torch.randperm(CELLS, generator=torch.Generator().manual_seed(5))


mean = partial(Tokens, read="mean")

TRANSFORMERS = [
    Network("class token first", partial(Tokens, 1), layers={"blocks.0": MAP, "blocks.1": MAP}),
    Network("class token last", partial(Tokens, behind=1, read="last"), layers={"blocks.0": MAP}),
    Network("no class token", mean, layers={"blocks.0": MAP, "patches": MAP}),
    Network("no class token, other pictures", partial(mean, cells=90), (3, 120, 48)),
    Network("registers behind", partial(Tokens, 1, behind=4), layers={"blocks.0": MAP}),
    Network("registers in front", partial(Tokens, 5), layers={"blocks.0": MAP}),
    Network(
        "registers between", partial(Tokens, 1, between=3), outcome=EITHER, layers={"blocks.0": EITHER, "patches": MAP}
    ),
    Network("a row of registers behind", partial(mean, behind=COLUMNS), layers={"blocks.0": MAP}),
    Network("a row of registers in front", partial(mean, COLUMNS), layers={"blocks.0": MAP}),
    Network("registers on both sides", partial(Tokens, 3, behind=6), layers={"blocks.1": MAP}),
    Network("forty prompts in front", partial(Tokens, 40), layers={"blocks.0": MAP}),
    Network("class and distillation token", partial(TwoClassTokens, 2), layers={"blocks.0": MAP}),
    Network(
        "ten detection tokens behind",
        partial(Detects, 1, behind=10),
        targets=(lambda o: o["logits"][:, 0, 1], lambda o: o["logits"][:, 7, 2]),
        layers={"blocks.0": MAP},
    ),
    Network("a token a class behind", partial(PerClass, behind=5), layers={"blocks.0": MAP}),
    Network("a sentence in front", Read, layers={"blocks.0": MAP}),
    Network("sequence first", SequenceFirst, layers={"encoder.layers.0": MAP}),
    Network("sequence first, class token", partial(SequenceFirst, True), layers={"encoder.layers.0": MAP}),
    Network("tokens on the last axis", LastAxis, layers={"blocks.0": MAP}),
    Network(
        "column by column", partial(mean, order=numbered().T.flatten()), outcome=EITHER, layers={"blocks.0": EITHER}
    ),
    Network(
        "column by column, square",
        partial(mean, order=torch.arange(64).view(8, 8).T.flatten(), cells=64),
        (3, 64, 64),
        outcome=EITHER,
        layers={"blocks.0": EITHER},
    ),
    Network("mirrored", partial(mean, order=numbered().flip(1).flatten()), outcome=EITHER, layers={"blocks.1": EITHER}),
    Network(
        "from the last to the first",
        partial(mean, order=numbered().flip(0, 1).flatten()),
        outcome=EITHER,
        layers={"blocks.1": EITHER},
    ),
    Network(
        "rolled by three tokens",
        partial(mean, order=numbered().flatten().roll(3)),
        outcome=EITHER,
        layers={"blocks.1": EITHER},
    ),
    Network("back and forth", partial(mean, order=back_and_forth()), outcome=EITHER, layers={"blocks.1": EITHER}),
    Network("nested two by two", partial(mean, order=nested()), outcome=EITHER, layers={"blocks.1": EITHER}),
    Network("shuffled, always alike", partial(mean, order=mixed_up()), outcome=EITHER, layers={"blocks.1": EITHER}),
    Network("shuffled, class token", partial(Tokens, 1, order=mixed_up()), outcome=EITHER, layers={"blocks.1": EITHER}),
    Network("shuffled at each call", partial(Shuffled, read="mean"), outcome=EITHER, layers={"blocks.1": REFUSED}),
    Network(
        "turned over before tokens",
        partial(Turned, lambda z: z.flip(3)),
        outcome=EITHER,
        layers={"blocks.0": EITHER, "patches": MAP},
    ),
    Network(
        "transposed before tokens",
        partial(Turned, lambda z: z.transpose(2, 3)),
        outcome=EITHER,
        layers={"blocks.0": EITHER},
    ),
    Network(
        "half of the patches",
        partial(mean, order=torch.arange(0, CELLS, 2)),
        outcome=EITHER,
        layers={"blocks.0": EITHER},
    ),
    Network(
        "every second row", partial(mean, order=numbered()[::2].flatten()), outcome=EITHER, layers={"blocks.0": EITHER}
    ),
    Network(
        "the upper half", partial(mean, order=numbered()[:4].flatten()), outcome=EITHER, layers={"blocks.0": EITHER}
    ),
    Network("windows as rows", Windows, outcome=EITHER, layers={"blocks.0": EITHER, "patches": MAP}),
    Network("wide windows as rows", partial(Windows, True), outcome=EITHER, layers={"blocks.0": EITHER}),
    Network("tokens merged by fours", Hierarchy, layers={"near": MAP, "merge": MAP}),
    Network(
        "as many queries as cells",
        Queries,
        targets=(lambda o: o[:, 0, 1], lambda o: o[:, 40, 2]),
        layers={"decoder.0": REFUSED, "decoder.1": REFUSED, "encoder.0": MAP},
    ),
    Network(
        "seven queries",
        partial(Queries, 7),
        targets=(lambda o: o[:, 0, 1], lambda o: o[:, 4, 2]),
        layers={"decoder.0": REFUSED, "encoder.1": MAP},
    ),
    Network(
        "a quarter as many latents as cells",
        partial(Perceiver, CELLS // 4),
        layers={"decoder.0": REFUSED, "decoder.1": REFUSED},
    ),
    Network("attention matrices", Spelled, layers={"a.softmax": REFUSED, "b.softmax": REFUSED, "norm2": MAP}),
    Network("merged by likeness", Merges, outcome=EITHER, layers={"after.0": EITHER, "blocks.0": MAP}),
    Network("the strongest patches", Drops, outcome=EITHER, layers={"after.0": REFUSED, "blocks.0": MAP}),
    Network("the forty-eight strongest patches", partial(Drops, 48), outcome=EITHER, layers={"after.1": REFUSED}),
    Network("mixer", Mixer, layers={"blocks.0": MAP}),
    Network("gMLP", Gates, layers={"blocks.0": MAP}),
    Network("PoolFormer", Pools),
    Network("ConvMixer", ConvolutionMixer),
    Network("convolutions before tokens", partial(Hybrid, front=1), layers={"blocks.0": MAP, "patches": MAP}),
    Network("a map again behind tokens", Neck, layers={"blocks.0": MAP, "after": MAP}),
    Network("two scales in one sequence", TwoScales, outcome=EITHER, layers={"blocks.0": EITHER, "patches": MAP}),
    Network("rows, then columns", Folded, layers={"rows": EITHER, "norm": MAP}),
]
