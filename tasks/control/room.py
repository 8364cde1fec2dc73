"""The task `control`: a network acts, and is judged by its return on levels that it never trained on."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from foundation.errors import InputError
from foundation.metric import METRICS, SPELLINGS, Measured, Metric, spelled
from foundation.progress import Reporter
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.cost.cost import measure
from search_space.families.impala.equal import of_macs
from search_space.head import Head
from tasks.control.drawing import DRAWN_AS, drawn
from tasks.control.games import Game, LevelSplit, load_game
from tasks.control.head import PolicyHead
from tasks.control.levels import APART, SPLITS, Levels
from tasks.control.playing import played
from tasks.registry import TASKS, name_and_channels
from training.data.dataset import Dataset, Wanted
from training.targets import Batch, Targets
from training.task import Entry, Examination

SPELLINGS.update(training_return="training return")
RETURN = METRICS.register("return")(Metric("return", decimals=3, beside=("training_return", "gap")))
"""Mean reward of an episode on unseen levels; beside it that on the training levels, and how much higher this is."""

EPISODES = 2
"""On each unseen level; on the training levels as many in all."""


@TASKS.register("control")
class Control:
    """A network's outputs are a logit for each action, and the value of what it sees.

    The data are games of levels (`tasks.control.games`); a picture is the first of a level, and its target the level's
    number. Actions are drawn by their probabilities, as an agent that learns draws them, from seeds of their own: the
    same network has the same return each time.
    """

    name = "control"
    metric = RETURN
    class_labels = False
    method: ClassVar[str] = "ppo"
    drawn_as: ClassVar[str] = DRAWN_AS

    heads: Mapping[str, type[PolicyHead]] = MappingProxyType({"policy": PolicyHead})

    def __init__(self, head: str = "", game: Game | None = None):
        self._game = game
        if head:
            if name_and_channels(head)[1] is not None:
                raise InputError("policy has no channels to choose; give policy")
            self.name = f"{self.name}:{head}"

    @property
    def game(self) -> Game:
        """What is played. `on` tells the task."""
        assert self._game is not None, "`on` tells the task its game"
        return self._game

    def data(
        self, spec: str, side: int, device: torch.device, reporter: Reporter | None = None, **options: Any
    ) -> Dataset:
        """The game that a spec names: `gridworld`, `gridworld:LEVELS` to train on, or `procgen:GAME`.

        Its pictures are of the game's own side, whatever the networks' resolution.
        """
        return load_game(Wanted.of(spec, side, device, reporter, **options))

    def on(self, data: Dataset) -> "Control":
        """The same, that knows the game of these data."""
        assert isinstance(data.train, LevelSplit)
        return Control(self.name.partition(":")[2], data.train.game)

    def head(self, num_classes: int, architecture: Architecture) -> Head:
        """For so many actions."""
        return PolicyHead(num_classes)

    def loss(self, outputs: Any, targets: Targets) -> Tensor:
        """Raises InputError: nothing is learnt from pictures."""
        raise InputError("task control: learns from episodes, not from pictures; use `method` ppo")

    def worlds(self, split: str, count: int, seed: int, *, in_order: bool = False) -> Any:
        """See `training.task.Acting`."""
        return self.game.worlds(self.game.levels[split], count, seed, in_order=in_order)

    def drawn(self, network: nn.Module, resolution: int) -> Tensor:
        """See `tasks.control.drawing`."""
        return drawn(network, self.game, resolution)

    def beside(self, architecture: Architecture, head: Head) -> dict[str, Architecture]:
        """IMPALA's encoder at the network's MACs."""
        return {"impala": of_macs(measure(architecture, head).macs, architecture.resolution, head)}

    def measure(
        self, network: nn.Module, batches: Iterable[Batch], *, shared: bool = False, precision: str = "auto"
    ) -> Examination:
        """The return on the levels that the batches are of, and on the training levels.

        Predictions are `return`, the mean of each unseen level's episodes, in order.
        """
        network.eval()
        unseen, resolution = _levels(batches)
        count = EPISODES * unseen.count

        def of(levels: Levels) -> Tensor:
            return played(network, self.game, levels, count, resolution, derive("control", levels.split))

        by_level = of(unseen).view(EPISODES, -1).mean(0)
        value, trained = float(by_level.mean()), float(of(self.game.levels["train"]).mean())
        measured = Measured(RETURN, value, {"training_return": trained, "gap": trained - value})
        entries = [Entry(name, spelled(name), one, RETURN.written(one)) for name, one in measured.numbers().items()]
        return Examination(measured, len(by_level), {"return": by_level}, entries)

    def described(self, data: Dataset) -> dict[str, Any]:
        """The actions are the classes."""
        return {}


def _levels(batches: Iterable[Batch]) -> tuple[Levels, int]:
    """The levels whose first pictures these are, and the side of the pictures that the network is given."""
    seen = [(images.shape[-1], targets) for images, targets in batches]
    numbers = torch.cat([torch.as_tensor(targets) for _, targets in seen])
    split = SPLITS[int(numbers[0]) // APART]
    return Levels(split, len(numbers)), seen[0][0]
