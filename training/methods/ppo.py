"""Proximal policy optimisation (arXiv:1707.06347) of stable-baselines3, with mixreg (arXiv:2010.10814) if asked for."""

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from foundation.errors import InputError
from foundation.seeds import derive
from training.acting.settings import PPOSettings
from training.methods.base import Practice
from training.methods.registry import METHODS, Training
from training.recipe import Recipe
from training.task import Acting, check_class_labels

if TYPE_CHECKING:  # an extra, which no other method pays for
    from training.acting.agent import Agent

LIBRARIES = ("gymnasium", "stable_baselines3")
UNUSED = ("micro_batch", "label_smoothing", "ema_decay", "augmentation", "mixup", "cutmix", "drop_path", "rand_augment")
"""Settings of a recipe that this method has no place for, and that are not to be taken for done."""


class PPOPractice(Practice):
    """An agent that learns from its own episodes on the training levels.

    The optimiser is Adam, as in the paper; the recipe says its learning rate, the minibatch and the gradient's norm.
    An epoch begins with new episodes, so nothing of the worlds has to be kept between epochs.
    """

    unit = "rollouts"

    def __init__(self, training: Training, task: Acting):
        super().__init__(training.network)
        self.training, self.task = training, task
        self.own: PPOSettings = training.own or PPOSettings()
        self._agent: Agent | None = None
        self._state: dict[str, Any] = {}

    @property
    def steps(self) -> int:
        """Rollouts of an epoch."""
        return self.own.rollouts

    def practise(self, epoch: int, seed: int, advance: Callable[[str], None]) -> dict[str, float]:
        """See `Practice`; `loss` is the last minibatch's, `return` the mean of the episodes that ended."""
        worlds = self.task.worlds("train", self.own.worlds, derive(seed, "worlds", epoch))
        if self._agent is None:
            with torch.random.fork_rng(devices=[]):  # of a training that goes on it is made in another epoch
                self._agent = self._made(worlds)
            if self._state:
                self._agent.policy.optimizer.load_state_dict(self._state)
        if epoch == 0:
            self._agent.calibrate(self.task.worlds("train", self.own.worlds, 0, in_order=True).reset())
        return self._agent.practise(worlds, self.own.rollouts, derive(seed, "mixing", epoch), advance)

    def timed(self) -> float:
        """See `Practice`."""
        agent = self._made(self.task.worlds("train", self.own.worlds, 0))
        started = time.monotonic()
        agent.practise(self.task.worlds("train", self.own.worlds, 0), 1, 0, lambda note: None)
        return (time.monotonic() - started) * self.own.rollouts

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's state."""
        return {} if self._agent is None else {"optimizer": self._agent.policy.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes it; the agent is made when it is needed."""
        self._state = state["optimizer"]

    def _made(self, worlds: Any) -> "Agent":
        from training.acting.agent import agent

        of, data = self.training, self.training.data
        return agent(worlds, of.network, of.resolution, data.mean, data.std, of.recipe, self.own)


@METHODS.register("ppo")
def ppo(training: Training) -> PPOPractice:
    """Raises InputError for a task without episodes, without the libraries, and for settings that it has no use for."""
    task = training.task
    if not isinstance(task, Acting):
        raise InputError(f"`method` ppo: for tasks that act, such as control, not task {task.name}; leave it out")
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise InputError(f"`method` ppo: needs {' and '.join(missing)}; pip install 'coordnas[control]'")
    if training.teacher is not None:
        check_class_labels(task, "`teacher`", "leave it out")
    usual = Recipe()
    for name in UNUSED:
        if (value := getattr(training.recipe, name)) != getattr(usual, name):
            raise InputError(f"`{name}` {value}: of no use to method ppo; leave it out")
    found = PPOPractice(training, task)
    steps, batch = found.own.worlds * found.own.horizon, training.recipe.batch_size
    if steps % min(batch, steps):
        raise InputError(f"`batch_size` {batch}: a rollout has {steps} steps; give a number that divides them evenly")
    return found
