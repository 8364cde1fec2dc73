"""What a network is judged by: a number with a name, a unit, a direction and a way of being written."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from foundation.registry import Registry


@dataclass(frozen=True)
class Metric:
    """A measure of networks.

    Attributes:
        name: its key in the files of a run, and what tables call it.
        unit: written after the number.
        scale: the number that is written, of one.
        decimals: that are written; None for five significant digits.
        step: the unit of a difference, where it is not the unit itself: of shares in percent `points`.
        higher_is_better: which way is better.
    """

    name: str
    unit: str = ""
    scale: float = 1.0
    decimals: int | None = None
    step: str | None = None
    higher_is_better: bool = True

    def merit(self, value: float) -> float:
        """The value so that higher is better."""
        return value if self.higher_is_better else -value

    def written(self, value: float) -> str:
        """As people read it: `92.47 %`."""
        return f"{self._number(value)} {self.unit}".rstrip()

    def difference(self, value: float) -> str:
        """A difference of two values, with its sign: `+1.20 points`."""
        sign = "−" if value < 0 else "+"
        return f"{sign}{self._number(abs(value))} {self.unit if self.step is None else self.step}".rstrip()

    def _number(self, value: float) -> str:
        scaled = self.scale * value
        return f"{scaled:.5g}" if self.decimals is None else f"{scaled:.{self.decimals}f}"


@dataclass(frozen=True)
class Measured:
    """A network's value of a metric, and what else was measured with it, by name."""

    metric: Metric
    value: float
    beside: Mapping[str, float] = field(default_factory=dict)

    @property
    def merit(self) -> float:
        """What ranks networks: the higher the better."""
        return self.metric.merit(self.value)

    def numbers(self) -> dict[str, float]:
        """All by name, the metric first, as the files of a run have it."""
        return {self.metric.name: self.value, **self.beside}


METRICS: Registry[Metric] = Registry("metric")
"""Those that tasks judge by; any other name is a score without a unit, the higher the better."""


def metric(name: str) -> Metric:
    """The metric of that name."""
    return METRICS[name] if name in METRICS else Metric(name)


ACCURACY = METRICS.register("accuracy")(Metric("accuracy", "%", 100.0, 2, "points"))
"""Top-1 accuracy, a share from 0 to 1: what classification is judged by."""
