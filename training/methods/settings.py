"""What can be set of one method alone, as a dataclass each, of whose fields a command makes flags. Without torch."""

from dataclasses import asdict, dataclass
from typing import Any

from training.acting.settings import PPOSettings
from training.attacks.epsilon import EPSILON, read_epsilon
from training.setting import check, setting
from training.specs import METHOD, named


@dataclass(frozen=True)
class CoreTuning:
    """Of `training.methods.core_tuning`. Raises InputError for values out of range."""

    contrast: float = setting(0.1, "weight η of the supervised contrast beside the labels' loss", 0.0, 100.0)

    def __post_init__(self) -> None:
        check(self, "core-tuning: ")


@dataclass(frozen=True)
class Adversarial:
    """Of `training.methods.adversarial`. Raises InputError for values out of range."""

    epsilon: str = setting(EPSILON, "most that a value of a picture, 0 to 1, is changed, such as 8/255 or 0.1")
    attack_steps: int = setting(10, "steps of each attack, in training and where it is judged", 1, 1000)

    def __post_init__(self) -> None:
        check(self, "adversarial: ")
        read_epsilon(self.epsilon)


@dataclass(frozen=True)
class SimCLR:
    """Of `training.methods.simclr`. Raises InputError for values out of range."""

    temperature: float = setting(0.5, "divides the cosines of views before they are contrasted", 0.01, 10.0)
    colour: float = setting(0.5, "strength of the colour distortion of views; 0: none", 0.0, 1.0)

    def __post_init__(self) -> None:
        check(self, "simclr: ")


OWN: dict[str, type[Any]] = {
    "core-tuning": CoreTuning,
    "adversarial": Adversarial,
    "simclr": SimCLR,
    "ppo": PPOSettings,
}
"""By the method's name; a method that is not here has no settings of its own."""


@dataclass(frozen=True)
class ChosenMethod:
    """A method by its name.

    Attributes:
        own: what is set of it alone, of the class that `OWN` names; None for a method without such.
    """

    name: str = METHOD
    own: Any = None

    def __post_init__(self) -> None:
        if self.own is None and self.name in OWN:
            object.__setattr__(self, "own", OWN[self.name]())

    def described(self) -> dict[str, Any]:
        """What files say of it: nothing of the default, which all had before there were others."""
        return {**named("method", self.name), **({} if self.own is None else {"method_settings": asdict(self.own)})}


LABELS = ChosenMethod()
