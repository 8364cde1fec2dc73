"""The head of an agent."""

from dataclasses import dataclass
from typing import Any, Self

from search_space.head import HEADS, Head
from search_space.parts import ClassifierPart, Part


@HEADS.register("policy")
@dataclass(frozen=True)
class PolicyHead(Head):
    """The mean over the map and a linear layer: a logit for each action, and after them the value of the state."""

    actions: int

    averages = True

    def part(self, channels: int) -> Part:
        """From N×channels×H×W to N×(actions+1)."""
        return ClassifierPart(channels, self.actions + 1)

    @property
    def told(self) -> str:
        """The number of actions."""
        return f"{self.actions} actions and a value"

    def to_dict(self) -> dict[str, Any]:
        """The number of actions."""
        return {"head": "policy", "actions": self.actions}

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """The head for so many actions."""
        return cls(**data)
