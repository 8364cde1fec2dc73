"""What can be set of an agent's training alone. Without torch, and without the libraries of this room."""

from dataclasses import dataclass

from foundation.errors import InputError
from training.setting import check, setting


@dataclass(frozen=True)
class PPOSettings:
    """Of the method `ppo`. Raises InputError for values out of range, and for two ways of mixing at once."""

    mixreg: float = setting(0.0, "α of mixing observations with what an agent is taught of them; 0: none", 0.0, 100.0)
    mixobs: float = setting(0.0, "α of mixing observations alone; 0: none", 0.0, 100.0)
    crop: int = setting(0, "most pixels that an observation is moved by; 0: none", 0, 16)
    rollouts: int = setting(10, "rollouts of an epoch, each with an update after it", 1, 100_000)
    worlds: int = setting(32, "episodes side by side", 1, 4096)
    horizon: int = setting(32, "steps of each of them in a rollout", 2, 4096)
    passes: int = setting(3, "times that an update passes over its rollout", 1, 100)
    discount: float = setting(0.99, "of rewards, a step", 0.0, 1.0)
    entropy: float = setting(0.01, "weight of the entropy of what the agent does", 0.0, 1.0)

    def __post_init__(self) -> None:
        check(self, "ppo: ")
        if self.mixreg and self.mixobs:
            raise InputError(f"`mixobs` {self.mixobs}: not with `mixreg` {self.mixreg}; leave one of them out")
