"""Stable-baselines3's PPO with a network of this project as the agent."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Discrete
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from training.acting.mixing import MixingBuffer
from training.acting.policy import Encoder, NetworkPolicy, norms
from training.acting.settings import PPOSettings
from training.recipe import Recipe

CALIBRATION = 512
"""Observations that batch statistics are taken of, after each update."""
PART = 256
NEVER = 1 << 30
"""Rollouts after which stable-baselines3 would write a log of its own."""


class Agent(PPO):
    """The algorithm as it is, but that batch normalisation's statistics follow the observations, see `Encoder`."""

    def train(self) -> None:
        """An update from the rollout."""
        super().train()
        seen = self.rollout_buffer.observations
        self.calibrate(seen[:: max(1, len(seen) // CALIBRATION)])

    def calibrate(self, observations: NDArray[np.uint8]) -> None:
        """Takes the batch statistics of these observations, N×3×S×S, in place of the former ones."""
        encoder = self.policy.features_extractor
        assert isinstance(encoder, Encoder)
        found = norms(encoder.network)
        if not found:
            return
        for norm in found:
            norm.reset_running_stats()
            norm.momentum = None  # a cumulative average
            norm.train()
        with torch.no_grad():
            for part in torch.from_numpy(np.ascontiguousarray(observations)).to(self.device).split(PART):
                self.policy.extract_features(part)
        for norm in found:
            norm.eval()

    def practise(self, worlds: VecEnv, rollouts: int, seed: int, advance: Callable[[str], None]) -> dict[str, float]:
        """Learns from so many rollouts, which begin with new episodes."""
        assert isinstance(self.rollout_buffer, MixingBuffer)
        self.rollout_buffer.rng = np.random.default_rng(seed)
        self.set_env(worlds)
        counting = _Counting(worlds.num_envs, advance)
        self.learn(rollouts * self.n_steps * worlds.num_envs, counting, log_interval=NEVER)
        told = self.logger.name_to_value
        return {
            "loss": float(told["train/loss"]),
            "entropy": -float(told["train/entropy_loss"]),
            **({"return": counting.mean} if counting.ended else {}),
        }


class _Counting(BaseCallback):
    """Tells each rollout, and sums the rewards of the episodes that end."""

    def __init__(self, count: int, advance: Callable[[str], None]):
        super().__init__()
        self.rewards = np.zeros(count)
        self.advance = advance
        self.total, self.ended = 0.0, 0

    @property
    def mean(self) -> float:
        """Of the episodes that ended."""
        return self.total / self.ended

    def _on_step(self) -> bool:
        self.rewards += self.locals["rewards"]
        done = self.locals["dones"]
        self.total += float(self.rewards[done].sum())
        self.ended += int(done.sum())
        self.rewards[done] = 0
        return True

    def _on_rollout_end(self) -> None:
        self.advance(f"return on training levels {self.mean:.3f}" if self.ended else "")


def agent(
    worlds: VecEnv,
    network: nn.Module,
    resolution: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    recipe: Recipe,
    settings: PPOSettings,
) -> Agent:
    """The agent for these worlds; its network is trained in place."""
    actions = worlds.action_space
    assert isinstance(actions, Discrete)
    encoder: dict[str, Any] = {
        "network": network,
        "resolution": resolution,
        "mean": mean,
        "std": std,
        "outputs": int(actions.n) + 1,
    }
    made = Agent(
        NetworkPolicy,
        worlds,
        learning_rate=recipe.learning_rate,
        n_steps=settings.horizon,
        batch_size=min(recipe.batch_size, settings.horizon * settings.worlds),
        n_epochs=settings.passes,
        gamma=settings.discount,
        gae_lambda=0.95,
        clip_range=0.2,
        clip_range_vf=0.2,
        ent_coef=settings.entropy,
        vf_coef=0.5,
        max_grad_norm=recipe.clip_norm or math.inf,
        rollout_buffer_class=MixingBuffer,
        rollout_buffer_kwargs={"mixreg": settings.mixreg, "mixobs": settings.mixobs, "crop": settings.crop},
        policy_kwargs={
            "net_arch": [],
            "ortho_init": False,
            "features_extractor_class": Encoder,
            "features_extractor_kwargs": encoder,
            "optimizer_kwargs": {"eps": 1e-5},
        },
        device=next(network.parameters()).device,
    )
    made.set_logger(Logger(None, []))  # its own would make a folder for each call of `learn`
    return made
