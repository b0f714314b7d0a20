"""Policies: whatever they give, whatever they see, the map of an action is that of ordinary backpropagation."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import SMALL, reference_gradcam, seeded
from torch import Tensor, nn
from torch.distributions import Categorical, Normal

from mmcam import ExplainError, PictureError, attribute, explain_action
from mmcam.tasks.policy import Policy, thoughts

ACTIONS = ("left", "stay", "right")


class Net(nn.Module):
    """Four frames of 20×20 → an encoder, logits of three actions, a value."""

    def __init__(self, form: Any = None, channels: int = 4) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(channels, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 5, 3, 1, 1), nn.ReLU())
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(500, 16), nn.Tanh())
        self.actor, self.critic = nn.Linear(16, 3), nn.Linear(16, 1)
        self.form = form or (lambda logits, value: logits)

    def forward(self, x: Tensor) -> Any:
        hidden = self.hidden(self.encoder(x / 25 - 5))
        return self.form(self.actor(hidden), self.critic(hidden))


class Pair(NamedTuple):
    value: Tensor
    logits: Tensor


@dataclass
class Thought:
    dist: Categorical
    state_value: Tensor
    actions: Tensor


class Keyed:
    """As a TensorDict: keys and items, but no Mapping."""

    def __init__(self, **parts: Tensor) -> None:
        self.parts = parts

    def keys(self):
        return self.parts.keys()

    def __getitem__(self, key):
        return self.parts[key]


FORMS = {
    "tensor": lambda y, v: y,
    "tuple": lambda y, v: (y, v),
    "with a state": lambda y, v: (y, v[:, 0], {"hidden": y}),
    "dict": lambda y, v: {"value": v, "logits": y},
    "namedtuple": lambda y, v: Pair(v, y),
    "keyed": lambda y, v: Keyed(action=y.argmax(1), logits=y, state_value=v),
}
DISTRIBUTIONS = {
    "categorical": lambda y, v: Categorical(logits=y),
    "categorical of probabilities": lambda y, v: Categorical(probs=y.softmax(1)),
    "categorical and value": lambda y, v: (Categorical(logits=y), v),
    "dict of a categorical": lambda y, v: {"pi": Categorical(logits=y), "value": v},
    "object": lambda y, v: Thought(Categorical(logits=y), v[:, 0], y.argmax(1)),
}


def frames(n: int = 2, channels: int = 4, side: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, channels, side, side), dtype=np.uint8)


def floats(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).float()


# --- exact ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_logit_of_an_action_in_every_form(form):
    plain, policy, seen = seeded(Net), seeded(Net, form), frames()
    expected = reference_gradcam(plain, "encoder", lambda: plain(floats(seen))[:, 2].sum())
    found = explain_action(policy, seen, 2)
    torch.testing.assert_close(torch.stack([exp.values for exp in found]), expected)
    with torch.no_grad():
        assert [exp.score for exp in found] == pytest.approx(plain(floats(seen))[:, 2].tolist(), rel=1e-4)
    assert expected.max() > 0


@pytest.mark.parametrize("form", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
@pytest.mark.parametrize("method", ["hirescam", "guided_gradcam"])
def test_a_distributions_logits_are_log_probabilities(form, method):
    targets = [lambda y: y.log_softmax(1)[:, 0], lambda y: y.log_softmax(1)[:, 1]]
    expected = attribute(seeded(Net), floats(frames()), targets, method=method)
    assert expected.abs().max() > 0
    for n in (0, 1):
        both = explain_action(seeded(Net, form), frames()[n], [0, 1], method=method)
        torch.testing.assert_close(torch.stack([exp.values for exp in both]), expected[:, n], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("form", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_a_distribution_behind_many_versions_of_a_picture(form):
    found = explain_action(seeded(Net, form), frames(), method="smoothgrad", n=3)
    assert all(exp.values.abs().max() > 0 for exp in found)


@pytest.mark.parametrize("form", [FORMS["tuple"], FORMS["dict"], FORMS["with a state"], DISTRIBUTIONS["object"]])
def test_the_value_of_the_state(form):
    plain, seen = seeded(Net, lambda y, v: v), frames()
    expected = reference_gradcam(plain, "encoder", lambda: plain(floats(seen)).sum())
    found = explain_action(seeded(Net, form), seen, score="value")
    torch.testing.assert_close(torch.stack([exp.values for exp in found]), expected)
    assert [exp.target for exp in found] == ["value", "value"]


def test_q_values_alone_or_beside_logits():
    seen = frames()
    expected = explain_action(seeded(Net), seen, 1)
    alone = explain_action(seeded(Net), seen, 1, score="q")
    keyed = explain_action(seeded(Net, lambda y, v: {"q_values": y, "logits": -y}), seen, 1, score="q")
    # A network that gives Q-values only chooses by them.
    only = explain_action(seeded(Net, lambda y, v: {"q": y}), seen, 1)
    for found in (alone, keyed, only):
        for exp, other in zip(found, expected, strict=True):
            torch.testing.assert_close(exp.values, other.values)
    assert alone[0].target == "Q of action 1"
    greedy = explain_action(seeded(Net, lambda y, v: {"q": y, "logits": -y}), seen, score="q")
    with torch.no_grad():
        assert [exp.score for exp in greedy] == pytest.approx(seeded(Net)(floats(seen)).amax(1).tolist(), rel=1e-4)


def test_the_greedy_action_is_the_default_and_is_named():
    policy, seen = seeded(Net), frames(6)
    policy.actions = ACTIONS
    with torch.no_grad():
        greedy = policy(floats(seen)).argmax(1).tolist()
    assert len(set(greedy)) > 1
    found = explain_action(policy, seen)
    assert [exp.target for exp in found] == [ACTIONS[i] for i in greedy]
    assert found[0].claim == f"It chooses “{ACTIONS[greedy[0]]}”"
    given = explain_action(policy, seen, greedy)
    drawn = explain_action(policy, list(seen), torch.tensor(greedy))
    for a, b, c in zip(found, given, drawn, strict=True):
        torch.testing.assert_close(a.values, b.values)
        torch.testing.assert_close(a.values, c.values)
    one = explain_action(policy, seen[0], names=("a", "b", "c"))
    assert one.target == "abc"[greedy[0]]


def test_why_this_action_rather_than_that():
    policy, seen = seeded(Net), frames()
    expected = reference_gradcam(policy, "encoder", lambda: (policy(floats(seen)) @ torch.tensor([1.0, 0, -1])).sum())
    found = explain_action(policy, seen, "left", contrast="RIGHT", names=ACTIONS)
    torch.testing.assert_close(torch.stack([exp.values for exp in found]), expected)
    assert found[0].target == "left rather than right"
    assert found[0].claim == "It chooses “left” rather than “right”"
    with torch.no_grad():
        logits = policy(floats(seen))
    assert found[1].score == pytest.approx(float(logits[1, 0] - logits[1, 2]), rel=1e-4)
    q = explain_action(policy, seen[0], 0, contrast=-1, score="q", names=ACTIONS)
    assert q.target == "Q of left rather than right"
    torch.testing.assert_close(q.values, found[0].values)


def test_several_actions_of_one_observation():
    policy, seen = seeded(Net), frames(1)[0]
    found = explain_action(policy, seen, ["left", 1, None], names=ACTIONS)
    assert [exp.target for exp in found[:2]] == ["left", "stay"]
    for wanted, exp in zip(("left", "stay", None), found, strict=True):
        torch.testing.assert_close(exp.values, explain_action(policy, seen, wanted, names=ACTIONS).values)


def test_a_function_of_the_output():
    def entropy(output):
        return output.entropy()

    policy, seen = seeded(Net, DISTRIBUTIONS["categorical"]), frames()
    found = explain_action(policy, seen, entropy)
    plain = seeded(Net)
    expected = reference_gradcam(plain, "encoder", lambda: Categorical(logits=plain(floats(seen))).entropy().sum())
    torch.testing.assert_close(torch.stack([exp.values for exp in found]), expected)
    assert found[0].target == "entropy"
    with pytest.raises(ExplainError, match="stands alone"):
        explain_action(policy, seen[0], [entropy, 1])
    with pytest.raises(ExplainError, match="stands alone"):
        explain_action(policy, seen[0], entropy, contrast=1)


class Apart(nn.Module):
    """Actor and critic see for themselves, and the critic looks last."""

    def __init__(self) -> None:
        super().__init__()
        self.actor, self.critic = seeded(Net), seeded(Net, seed=1)

    def forward(self, x: Tensor) -> Any:
        return self.actor(x), self.critic(x)[:, :1]


def test_actor_and_critic_with_encoders_of_their_own():
    seen = frames()
    found = explain_action(seeded(Apart), seen)
    assert found[0].layer == "actor.encoder"
    for exp, other in zip(found, explain_action(seeded(Net), seen), strict=True):
        torch.testing.assert_close(exp.values, other.values)
    assert explain_action(seeded(Apart), seen, score="value")[0].layer == "critic.encoder"
    with pytest.raises(ExplainError, match=r"does not depend on layer 'critic\.encoder'"):
        explain_action(seeded(Apart), seen, layer="critic.encoder")


@pytest.mark.parametrize("form", [FORMS["dict"], DISTRIBUTIONS["categorical and value"]], ids=["dict", "categorical"])
def test_a_policy_is_left_as_found(form):
    policy = seeded(Net, form).train()
    before = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    explain_action(policy, frames())
    assert all(module.training for module in policy.modules())
    assert all(p.grad is None and p.requires_grad for p in policy.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in policy.state_dict().items())
    assert not any(module._forward_hooks for module in policy.modules())


# --- what it sees -----------------------------------------------------------------------------------------------------


class Seeker(nn.Module):
    """Moves towards the brightest thing of the newest frame: where the map must point is planted."""

    actions = ACTIONS

    def __init__(self, channels: int = 4, side: int = 84) -> None:
        super().__init__()
        self.look = nn.Conv2d(channels, 1, 4, 4)
        cells = side // 4
        self.choose = nn.Linear(cells**2, 3)
        with torch.no_grad():
            self.look.weight.zero_()
            self.look.weight[:, -1] = 1 / 16
            self.look.bias.zero_()
            x = torch.arange(cells).repeat(cells).float() - (cells - 1) / 2
            self.choose.weight.copy_(torch.stack([-x, torch.zeros_like(x), x]))
            self.choose.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.choose(torch.relu(self.look(x / 255)).flatten(1))


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_stacked_frames_in_one_line(kind):
    policy, hits = Seeker(), 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, y = (int(v) * 4 for v in rng.integers(0, 21, 2))
        stack = np.zeros((4, 84, 84), kind)
        stack[:, y : y + 4, x : x + 4] = 255
        stack[0] = rng.integers(0, 255, (84, 84))  # an old frame, which is neither looked at nor shown
        if x == 40:
            continue  # right ahead: it stays, for no reason to be seen
        exp = explain_action(policy, stack, method="hirescam")
        assert exp.target == ("left" if x < 40 else "right")
        assert exp.image.size == (84, 84)
        assert exp.image.getpixel((x, y)) == (255, 255, 255)
        assert np.asarray(exp.image).sum() == 16 * 3 * 255
        px, py = exp.peak()
        hits += x <= px < x + 4 and y <= py < y + 4
    assert hits >= 18


def test_values_stay_as_they_are():
    kept = []

    class Keeping(Net):
        def forward(self, x):
            kept.append(x.clone())
            return super().forward(x)

    seen = frames()
    explain_action(seeded(Keeping), seen)
    assert torch.equal(kept[-1], floats(seen))
    for one in (seen[0], torch.from_numpy(seen[0]), floats(seen)[0], seen[0].transpose(1, 2, 0)):
        explain_action(seeded(Keeping), one)
        assert torch.equal(kept[-1][:1], floats(seen)[:1])
    explain_action(seeded(Keeping), seen[0], preprocess=lambda stack: torch.from_numpy(stack) / 2)
    assert torch.equal(kept[-1][:1], floats(seen)[:1] / 2)


def test_what_numpy_makes_an_array_of():
    class Lazy:
        def __init__(self, array):
            self.array = array

        def __array__(self, dtype=None, copy=None):
            return self.array

    policy, seen = seeded(Net), frames()
    expected = explain_action(policy, seen)
    for lazy in (Lazy(seen), [Lazy(one) for one in seen]):
        for exp, other in zip(explain_action(policy, lazy), expected, strict=True):
            torch.testing.assert_close(exp.values, other.values)
    one = explain_action(seeded(Net, None, 1), frames(1, 1)[0, 0])  # (H,W)
    torch.testing.assert_close(one.values, explain_action(seeded(Net, None, 1), frames(1, 1)[0]).values)


def test_a_stack_of_colour_frames_shows_the_newest():
    seen = frames(1, 6)[0]
    exp = explain_action(seeded(Net, None, 6), seen)
    assert np.array_equal(np.asarray(exp.image), seen[3:].transpose(1, 2, 0))
    shown = explain_action(seeded(Net, None, 6), floats(seen) / 1000).image
    assert np.asarray(shown).max() == 255
    assert np.asarray(shown).min() == 0


def test_pictures_with_a_preprocess(photo):
    policy = seeded(Net, None, 3)
    policy.hidden[1] = nn.Linear(5 * 16 * 16, 16)
    with pytest.raises(PictureError, match="preprocess="):
        explain_action(policy, photo)
    with pytest.raises(PictureError, match="preprocess="):
        explain_action(policy, Image.open(photo))
    exp = explain_action(policy, photo, preprocess=SMALL)
    assert exp.heatmap.shape == (60, 90)
    policy.preprocess = SMALL
    torch.testing.assert_close(explain_action(policy, [photo])[0].values, exp.values)


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"action": "up"}, "no action 'up'"),
        ({"action": "up", "names": None}, r"have no names, so 'up' cannot be found; pass names="),
        ({"action": 3}, "no action 3: the policy has actions 0…2"),
        ({"action": -4}, "no action -4"),
        ({"action": 1.5}, "1.5 is none"),
        ({"contrast": 7}, "no action 7"),
        ({"action": 1, "contrast": "stay"}, "are both 'stay'"),
        ({"action": []}, "no action in the list"),
        ({"score": "reward"}, "choose one of action, value, q"),
        ({"score": "value"}, "gives no value, only logits and q"),
        ({"score": "value", "action": 1}, "not to an action"),
        ({"score": "value", "contrast": 1}, "not to an action"),
    ],
)
def test_what_cannot_be_asked(arguments, message):
    with pytest.raises(ExplainError, match=message):
        explain_action(seeded(Net), frames()[0], **{"names": ACTIONS, **arguments})


def test_not_one_action_an_observation():
    with pytest.raises(ExplainError, match="2 observations and 3 actions"):
        explain_action(seeded(Net), frames(), [0, 1, 2])


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (lambda y, v: y.argmax(1), "float tensor; these are a tensor of torch.int64, perhaps actions already drawn"),
        (lambda y, v: (y.argmax(1), v), "perhaps actions already drawn"),
        (lambda y, v: v, r"two or more actions; these are \(1, 1\)"),
        (lambda y, v: (v, y), "two or more actions"),
        (lambda y, v: (y, y), r"value of a policy has shape \(N,\) or \(N,1\); this one is \(1, 3\)"),
        (lambda y, v: Normal(y, 1.0), "these are Normal"),
        (lambda y, v: {"action": y}, "this one gives dict"),
        (lambda y, v: "left", "this one gives str"),
    ],
)
def test_what_is_no_policy(form, message):
    with pytest.raises(ExplainError, match=message):
        explain_action(seeded(Net, form), frames()[0], layer="encoder")


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        (frames(1, 3)[0], r"reads 4 channels, and this observation has shape \(3, 20, 20\)"),
        (np.zeros((2, 4, 4, 20, 20), np.uint8), r"has shape \(C,H,W\)"),
        (np.zeros(5), r"has shape \(C,H,W\)"),
        ([], "no observation in the list"),
        ("frame.png", "pass the observation as an array"),
        (torch.full((4, 20, 20), torch.nan), "NaN"),
        (np.full((4, 20, 20), "a"), "holds numbers"),
        ([np.zeros((4, 20, 20)), np.zeros((4, 24, 24))], "need one shape"),
    ],
)
def test_what_is_no_observation(seen, message):
    with pytest.raises(PictureError, match=message):
        explain_action(seeded(Net), seen)


def test_the_protocol():
    assert isinstance(seeded(Net), Policy)
    assert set(thoughts((torch.zeros(1, 2), torch.zeros(1, 1)))) == {"logits", "value"}
