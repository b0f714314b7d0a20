"""The game whose truth is known, and a policy with planted weights, whose maps must find the ball."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from experiments.lib.catch import ACTIONS, COLUMNS, END, FRAMES, SIDE, Catch, Policy
from experiments.train import policy as train_policy


class Planted(nn.Module):
    """Finds the ball by its shape and goes to its side of the picture, whatever the paddle does."""

    actions = ACTIONS

    def __init__(self) -> None:
        super().__init__()
        self.find = nn.Conv2d(FRAMES, 1, (5, 3), padding=(2, 1))
        self.choose = nn.Linear(SIDE**2, len(ACTIONS))
        with torch.no_grad():
            self.find.weight.zero_()
            self.find.weight[:, -1] = 1.0
            self.find.bias.fill_(-12 * 220.0)  # a ball covers all 15 pixels, the paddle 9, the box 6
            x = torch.arange(SIDE).repeat(SIDE).float()
            self.choose.weight.copy_(torch.stack([SIDE - x, torch.zeros_like(x), x]))
            self.choose.bias.zero_()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        logits = self.choose(torch.relu(self.find(x)).flatten(1))
        return {"logits": logits, "value": logits.amax(1)}


def test_the_game_is_as_gymnasium_wants_it():
    game = Catch()
    seen, info = game.reset(seed=5)
    assert info == {}
    total, steps, over = 0.0, 0, False
    distance = abs(game.ball - game.paddle)
    while not over:
        masks = game.masks()
        assert seen.shape == (FRAMES, SIDE, SIDE)
        assert seen.dtype == np.uint8
        drawn = seen[-1] == 220
        assert np.array_equal(drawn, np.logical_or.reduce(list(masks.values())))
        assert not (masks["ball"] & masks["box"]).any()
        action = 1 + np.sign(game.ball - game.paddle)
        seen, reward, over, truncated, _ = game.step(int(action))
        total, steps = total + reward, steps + 1
        assert truncated is False
    assert steps == 12
    assert game.height == END
    assert total == pytest.approx(1 + 0.25 * distance / 3)  # it catches, and came all the way nearer
    again = Catch().reset(seed=5)[0]
    assert np.array_equal(again, Catch().reset(seed=5)[0])
    assert not np.array_equal(again, Catch().reset(seed=6)[0])


def test_every_ball_can_be_caught():
    for seed in range(60):
        game, over, reward = Catch(), False, 0.0
        game.reset(seed=seed)
        while not over:
            _, reward, over, _, _ = game.step(int(1 + np.sign(game.ball - game.paddle)))
        assert reward >= 1, seed
        assert game.paddle in COLUMNS


def test_maps_point_at_the_ball_rather_than_anywhere():
    policy = Planted()
    found, _ = train_policy.moments(policy, 25)
    baselines = train_policy.baselines(found)
    for score, method in (("action", "hirescam"), ("action", "layercam"), ("value", "hirescam")):
        hits = train_policy.pointing(policy, found, score, method)
        assert hits["ball"] == 1.0
        assert hits["ball"] > max(baselines["centre"]["ball"], baselines["random"]["ball"]) + 0.5
        assert hits["box"] == hits["paddle"] == 0


def test_the_baselines():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[SIDE // 2, SIDE // 2] = True
    off = np.zeros_like(mask)
    off[0, 0] = True
    found = train_policy.baselines([(None, {"ball": mask, "box": off, "paddle": off})])
    assert found["centre"] == {"ball": 1.0, "paddle": 0.0, "box": 0.0}
    assert found["random"]["ball"] == pytest.approx(13 / SIDE**2)  # a disk of radius 2


def test_training_is_reproducible_and_the_policy_small():
    policies = [train_policy.train(2, games=2, steps=6, seed=3)[0] for _ in range(2)]
    for a, b in zip(policies[0].parameters(), policies[1].parameters(), strict=True):
        assert torch.equal(a, b)
    assert not policies[0].training
    assert sum(p.numel() for p in policies[0].parameters()) < 200_000
    torch.manual_seed(3)
    assert any(not torch.equal(a, b) for a, b in zip(Policy().parameters(), policies[0].parameters(), strict=True))


def test_advantages_of_a_game_that_ends():
    """By hand: γ = 0.9, λ = 0.8, and nothing flows over the end of a game."""
    values, rewards = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[0.5], [1.0], [0.0]])
    over = torch.tensor([[False], [True], [False]])
    last = torch.tensor([4.0])
    third = 0.0 + 0.9 * 4 - 3
    second = 1.0 - 2
    first = 0.5 + 0.9 * 2 - 1 + 0.9 * 0.8 * second
    found = train_policy.advantages(values, rewards, over, last)
    torch.testing.assert_close(found, torch.tensor([[first], [second], [third]]))


def test_the_picture(tmp_path):
    policy = Planted()
    found, caught = train_policy.moments(policy, 3)
    sheet = train_policy.picture(policy, found, "hirescam", count=2)
    assert sheet.width > 2 * 4 * SIDE
    assert 0 <= caught <= 1
