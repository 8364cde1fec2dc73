"""What a network is judged by: a number with a name, a unit, a direction and a way of being written."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, SupportsFloat

from foundation.errors import InputError
from foundation.json_files import shown
from foundation.registry import Registry

MOST_CHARACTERS, MOST_DECIMALS, MOST_SCALE = 60, 12, 1e12
MOST_SHARE = 1e6
"""Beyond it no share is read: one of a user's own may be in percent, and none is larger."""


@dataclass(frozen=True)
class Metric:
    """A measure of networks. Raises InputError, naming the field, for one that could not be written.

    Attributes:
        name: its key in the files of a run, and what tables call it.
        unit: written after the number.
        scale: the number that is written, of one.
        decimals: that are written; None for five significant digits.
        step: the unit of a difference, where it is not the unit itself: of shares in percent `points`.
        higher_is_better: which way is better.
        beside: names of what else is measured with it, each time: keys in the files of a run as well.
    """

    name: str
    unit: str = ""
    scale: float = 1.0
    decimals: int | None = None
    step: str | None = None
    higher_is_better: bool = True
    beside: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.beside, tuple):
            raise InputError(f"metric {shown(self.name)}: beside: expected a tuple, got {shown(self.beside)}")
        names = (self.name, *self.beside)
        if self.step is not None and not isinstance(self.step, str):
            raise InputError(f"metric {shown(self.name)}: step: expected a unit or none, got {shown(self.step)}")
        texts = (*names, self.unit, self.step or "")
        if not all(isinstance(text, str) and len(text) <= MOST_CHARACTERS for text in texts) or not all(names):
            most = f"expected names, and units of at most {MOST_CHARACTERS} letters"
            raise InputError(f"metric {shown(self.name)}: {most}")
        if any(text.splitlines() not in ([], [text]) for text in texts):
            raise InputError(f"metric {shown(self.name)}: expected names and units without line breaks")
        if len(set(names)) < len(names):
            raise InputError(f"metric {self.name}: beside: expected other names, each once, got {shown(self.beside)}")
        if type(self.scale) not in (int, float) or not 1 / MOST_SCALE <= self.scale <= MOST_SCALE:
            raise InputError(f"metric {self.name}: scale: expected a number above 0, got {shown(self.scale)}")
        if self.decimals is not None and (type(self.decimals) is not int or not 0 <= self.decimals <= MOST_DECIMALS):
            raise InputError(
                f"metric {self.name}: decimals: expected 0 to {MOST_DECIMALS}, or none, got {shown(self.decimals)}"
            )
        if type(self.higher_is_better) is not bool:
            raise InputError(
                f"metric {self.name}: higher_is_better: expected true or false, got {shown(self.higher_is_better)}"
            )

    @property
    def words(self) -> str:
        """Its name as people read it: `OKS-AP` of `oks_ap`."""
        return spelled(self.name)

    @property
    def direction(self) -> str:
        """Which way is better, in words."""
        return f"{'higher' if self.higher_is_better else 'lower'} is better"

    @property
    def is_share(self) -> bool:
        """Whether its values are shares from 0 to 1, written in percent."""
        return self.unit == "%" and self.scale == 100

    def merit(self, value: float) -> float:
        """The value so that higher is better; and of a merit, the value."""
        return value if self.higher_is_better else -value

    def written(self, value: float) -> str:
        """As people read it: `92.47 %`."""
        return f"{self.number(value)} {self.unit}".rstrip()

    def told(self, value: float) -> str:
        """As people read it, with its name: `accuracy 92.47 %`."""
        return f"{self.words} {self.written(value)}"

    def number(self, value: float) -> str:
        """As people read it, without its unit."""
        scaled = self.scale * value
        return f"{scaled:.5g}" if self.decimals is None else f"{scaled:.{self.decimals}f}"

    def tick(self, value: float) -> str:
        """A round number, as it stands beside an axis."""
        return f"{self.scale * value:.4g} {self.unit}".rstrip()

    def signed(self, difference: float) -> str:
        """A difference of two values with its sign: `+1.20`."""
        return f"{'−' if difference < 0 else '+'}{self.number(abs(difference))}"

    def difference(self, value: float) -> str:
        """A difference of two values with its sign and its unit: `+1.20 points`."""
        return f"{self.signed(value)} {self._step}".rstrip()

    @property
    def differences(self) -> str:
        """What differences are counted in, in words: `points of accuracy`."""
        return f"{self._step} of {self.words}" if self._step else self.words

    @property
    def axis(self) -> str:
        """What an axis of bare numbers is called: `accuracy, %`; where higher is not better, it says so."""
        named = f"{self.words}, {self.unit}" if self.unit else self.words
        return named if self.higher_is_better else f"{named} ({self.direction})"

    @property
    def column(self) -> str:
        """What a table's column calls it: where higher is not better, it says so."""
        return self.words if self.higher_is_better else f"{self.words} ({self.direction})"

    @property
    def _step(self) -> str:
        return self.unit if self.step is None else self.step


@dataclass(frozen=True, eq=False)
class Measured:
    """A network's value of a metric, and what else was measured with it, by name."""

    metric: Metric
    value: float
    beside: Mapping[str, float] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        """By what was measured: a subclass is only another way to make one."""
        if not isinstance(other, Measured):
            return NotImplemented
        return (self.metric, self.value, self.beside) == (other.metric, other.value, other.beside)

    def __hash__(self) -> int:
        return hash((self.metric, self.value))

    @property
    def merit(self) -> float:
        """What ranks networks: the higher the better."""
        return self.metric.merit(self.value)

    def numbers(self) -> dict[str, float]:
        """All by name, the metric first, as the files of a run have it."""
        return {self.metric.name: self.value, **self.beside}


SPELLINGS: dict[str, str] = {}
"""How people write what networks are measured by, where it is not the key in files: each task adds its own."""


def spelled(name: str) -> str:
    """A number's name as people read it: of a metric, and of what is measured beside it."""
    return SPELLINGS.get(name, name)


METRICS: Registry[Metric] = Registry("metric")
"""Those that tasks judge by; any other name is a score without a unit, the higher the better."""


def metric(name: str) -> Metric:
    """The metric of that name."""
    return METRICS[name] if name in METRICS else Metric(name)


ACCURACY = METRICS.register("accuracy")(Metric("accuracy", "%", 100.0, 2, "points", beside=("loss",)))
"""Top-1 accuracy, a share from 0 to 1, and mean cross-entropy in nats: what classification is judged by."""


CORRECTED = "score"
"""What a metric is called to which something else was added: it is no accuracy any more, and no percentage."""
CORRECTED_DECIMALS = 4  # of what was a share


def corrected(measure: Metric) -> Metric:
    """What a metric with a correction is ranked by: a score; the metric as it was measured stands beside it."""
    decimals = CORRECTED_DECIMALS if measure.is_share else measure.decimals
    scale = 1.0 if measure.is_share else measure.scale
    beside = (measure.name, *measure.beside)
    name = CORRECTED if CORRECTED not in beside else f"corrected {measure.name}"
    return Metric(name, "", scale, decimals, None, measure.higher_is_better, beside)


def is_corrected(measure: Metric) -> bool:
    """Whether it is what `corrected` makes."""
    return measure.beside[:1] != () and measure.name in (CORRECTED, f"corrected {measure.beside[0]}")


def described(measure: Metric) -> dict[str, Any]:
    """The metric as a file has it, for `read_metric`; nothing where every program knows it by its name."""
    if measure in (ACCURACY, Metric(measure.name)):
        return {}
    return {"metric": asdict(measure)}


def read_metric(content: Mapping[str, Any], name: str | None = None) -> Metric:
    """The metric that `described` left in a file's content; else the one of that name, or accuracy.

    Raises InputError, naming the field, for what is no metric, and for one of another name.
    """
    plain = content.get("metric")
    if plain is None:
        return metric(name or ACCURACY.name)
    if not isinstance(plain, dict) or plain.keys() != {one.name for one in fields(Metric)}:
        raise InputError(f"metric: expected an object with {_fields()}, got {shown(plain)}")
    if name not in (None, plain["name"]):
        raise InputError(f"metric.name: expected {shown(name)}, got {shown(plain['name'])}")
    if not isinstance(plain["beside"], list):
        raise InputError(f"metric.beside: expected a list of names, got {shown(plain['beside'])}")
    return Metric(**{**plain, "beside": tuple(plain["beside"])})


def _fields() -> str:
    return ", ".join(one.name for one in fields(Metric))


def read_measured(measure: Metric, named: Mapping[str, Any]) -> Measured:
    """The opposite of `Measured.numbers`. Raises KeyError, TypeError or InputError where these are not the metric's."""
    names = (measure.name, *measure.beside)
    values = [named[name] for name in names]
    if not all(type(value) is float for value in values):
        raise TypeError(f"{', '.join(names)}: expected numbers")
    if measure.is_share and not abs(values[0]) <= MOST_SHARE:  # a NaN is not
        raise InputError(f"{measure.name}: expected a share from 0 to 1, got {values[0]}")
    return Measured(measure, values[0], dict(zip(measure.beside, values[1:], strict=True)))


def checked(measured: Measured, wanted: Metric) -> Measured:
    """What an evaluator measured, as floats.

    Raises InputError, naming it, for what is no finite number, and for another metric than is wanted.
    """
    if not isinstance(measured, Measured):
        raise InputError(f"{wanted.name}: expected it as Measured, got {shown(measured)}")
    numbers = measured.numbers()
    for name, value in numbers.items():
        if not isinstance(value, SupportsFloat) or not math.isfinite(value):
            raise InputError(f"{name}: expected a finite number, got {value!r}")
        numbers[name] = float(value)
    if measured.metric != wanted or measured.beside.keys() != set(wanted.beside):
        raise InputError(
            f"{wanted.name}: measured was {_all_of(measured.metric.name, measured.beside)}, and the evaluator's metric "
            f"is {_all_of(wanted.name, wanted.beside)}, {wanted.direction}"
        )
    return Measured(wanted, numbers.pop(wanted.name), numbers)


def _all_of(name: str, beside: Iterable[str]) -> str:
    return " with ".join([name, *beside])
