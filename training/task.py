"""What a network is trained for and judged by.

The protocol is here, below those who have tasks, because trainings ask a task for its loss and its measure and know no
task by name; the tasks themselves and their registry are above, in `tasks`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from foundation.errors import InputError
from foundation.metric import Measured, Metric
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.head import Head
from training.data.dataset import Dataset
from training.data.people.clip import People
from training.targets import Batch, Targets


class Entry(NamedTuple):
    """A number of a test: its name in a file, its heading in a table, its value (None: there is none), its text."""

    name: str
    heading: str
    value: float | None
    written: str


@dataclass(frozen=True)
class ByClass:
    """What a network makes of each class, in the order of the classes.

    Attributes:
        unit: what is counted: `pictures`, `pixels`, `boxes`.
        counts: how many there are of each class.
        shares: from 0 to 1, by name, one a class; None where there is nothing to take a share of. The first says how
            well the network knows a class.
        confusion: how many of each class (rows) were taken for each class (columns), int64; None if that is not known.
    """

    unit: str
    counts: Sequence[int]
    shares: Mapping[str, Sequence[float | None]]
    confusion: Tensor | None = None

    def mistaken(self, index: int) -> tuple[int, int] | None:
        """The other class that this one is taken for most often, and how often; None if it never is."""
        if self.confusion is None:
            return None
        row = self.confusion[index].clone()
        row[index] = 0
        most = int(row.argmax())
        return (most, int(row[most])) if row[most] else None


@dataclass(frozen=True)
class Examination:
    """What a network makes of pictures.

    Attributes:
        measured: the task's metric, and what else a retraining tells.
        pictures: how many of them this process had.
        predictions: what a retraining keeps beside, by name: tensors of a row for each of those pictures, on the CPU.
        entries: what a test tells, the metric first.
        by_class: makes what a test tells of each class; None where that is not known.
    """

    measured: Measured
    pictures: int
    predictions: Mapping[str, Tensor] = field(default_factory=dict)
    entries: Sequence[Entry] = ()
    by_class: Callable[[], ByClass] | None = None


class Task(Protocol):
    """What brings data, the network's head, a loss and a measure.

    Attributes:
        name: as `--task` has it.
        metric: what networks are judged by.
        class_labels: whether targets are labels N (int64) and outputs logits N×classes. For such alone there are mixed
            pictures, smoothed labels, teachers, and some zero-cost scores.
    """

    @property
    def name(self) -> str: ...

    @property
    def metric(self) -> Metric: ...

    @property
    def class_labels(self) -> bool: ...

    def data(
        self,
        spec: str,
        side: int,
        device: torch.device,
        reporter: Reporter | None = None,
        *,
        streamed: bool | None = None,
        skip_corrupt: bool = False,
        loaders: int | None = None,
        download: bool = True,
    ) -> Dataset:
        """The pictures that a spec names, at `side` pixels, with the task's targets (`training.targets`).

        The options are those of `training.data.datasets.load_data`. Raises InputError for an unknown spec, or one
        without such targets.
        """
        ...

    def head(self, num_classes: int, architecture: Architecture) -> Head:
        """What follows a backbone: costs count it, shared weights hold it, `search_space.build` takes it.

        Args:
            num_classes: how many classes the data have.
            architecture: one of those that it follows, of whose strides and resolution it may depend; of a space one of
                the largest resolution. All others have the same strides.

        Raises InputError for one whose maps it cannot use.
        """
        ...

    def loss(self, outputs: Any, targets: Targets) -> Tensor:
        """The mean loss of the batch. What a method adds is the method's: smoothing, mixing, a teacher.

        Args:
            outputs: the network's in training mode, in float32. For a part of the batch they have its part of the
                targets.
        """
        ...

    def measure(
        self, network: nn.Module, batches: Iterable[Batch], *, shared: bool = False, precision: str = "auto"
    ) -> Examination:
        """What the network makes of all batches, in evaluation mode (`training.evaluation.seen`).

        What is measured has at least the names that the metric has `beside`; a retraining tells of all, in their order.

        Args:
            shared: over the batches of all processes, each of which calls this with its share.
            precision: as in a recipe.
        """
        ...

    def described(self, data: Dataset) -> dict[str, Any]:
        """Plain values that travel with a network's weights: what its outputs mean."""
        ...


Answers = Any
"""What a user reads of N pictures: a tensor of N rows, some of them by name, or a list of N dictionaries of tensors."""


@runtime_checkable
class Answering(Task, Protocol):
    """A task that says what its networks' outputs mean: they can be tested, asked and exported after their training.

    A task may leave all of this out.

    Attributes:
        answer: names of the tensors that answers consist of, as exported files have them.
    """

    @property
    def answer(self) -> tuple[str, ...]: ...

    def answers(self, outputs: Any, size: tuple[int, int]) -> Answers:
        """The network's outputs, in evaluation mode, as a user reads them: on the same device.

        It is exported with the network, by tracing it for any number of pictures of any size, and so must not decide
        anything in Python by a number in a tensor. What is exported has to be a tensor of N rows, or some of them by
        name. Where it is `outputs` itself, the network is exported as it is.

        Args:
            size: height and width of the pictures that the network was given.
        """
        ...

    def fit(self, answers: Answers, shape: Sequence[int], classes: int) -> bool:
        """Whether these can be answers for pictures of that shape, N×3×H×W: an exported file may be of any graph."""
        ...

    def judge(self, answers: Answers, targets: Targets, classes: int, outputs: Any = None) -> Any:
        """What counts of the answers for a batch, for `examination`: little, and on the CPU.

        Args:
            outputs: what the answers were made of, where there is such; for the loss.
        """
        ...

    def examination(self, judged: Sequence[Any], *, shared: bool = False) -> Examination:
        """What `judge` made of all batches as a whole; without a loss where that needs outputs that were not given.

        Args:
            shared: see `measure`; `by_class` is of this process's pictures alone, or left out.
        """
        ...

    def difference(self, outputs: Any, answers: Answers, size: tuple[int, int]) -> float:
        """How far the answers are from those of the outputs, in the unit of the outputs; NaN for those of other shapes.

        Of a decision that the outputs leave nearly open, it is by how much they would have to be others.
        """
        ...

    def told(self, answers: Answers, classes: Sequence[str], top: int) -> list[list[tuple[str, float]]]:
        """Of each picture at most `top` things that are seen in it, in words, with shares from 0 to 1, most first."""
        ...


class Drawn(NamedTuple):
    """A picture with what was seen in it, 3×H×W (uint8), and the colour of each class that is there (0 to 255)."""

    picture: Tensor
    colours: Mapping[str, tuple[int, int, int]]


@runtime_checkable
class Drawing(Answering, Protocol):
    """A task whose answers can be drawn, and beside them what they ought to be."""

    def truth(self, targets: Targets) -> Answers:
        """The right answers, as `drawn` takes them: what counts nowhere is not among them, or is not drawn."""
        ...

    def drawn(self, picture: Tensor, answers: Answers, size: tuple[int, int], classes: Sequence[str]) -> Drawn:
        """The answers for one picture, or the truth of it, over that picture.

        Args:
            picture: what the network saw, 3×H×W (uint8), at any size.
            answers: for pictures of `size`, one row or dictionary of them, on the CPU.
        """
        ...


@runtime_checkable
class Filming(Answering, Protocol):
    """A task of people in video: what it answers is shown on frames, where a split has a film of them.

    Attributes:
        filmed_as: what such a picture shows, in a sentence or two.
    """

    @property
    def filmed_as(self) -> str: ...

    def on_frame(
        self, picture: Tensor, people: People, answers: Answers | None, resolution: int, classes: Sequence[str]
    ) -> Tensor:
        """A frame, 3×H×W (uint8), with what was answered of each of its people, or with the truth for None.

        Args:
            answers: K rows, for inputs of `resolution` pixels, on the CPU.
        """
        ...


@runtime_checkable
class Contrasting(Answering, Protocol):
    """A task whose networks are given something beside, of which a test tells what it adds."""

    def contrasts(self, spec: str) -> Mapping[str, str]:
        """Specs of the pictures of `spec` with something different in them, by what that is."""
        ...


@runtime_checkable
class Knowing(Task, Protocol):
    """A task that has to know its pictures before it trains or judges."""

    def on(self, data: Dataset) -> "Knowing":
        """The task for these pictures. Raises InputError for such as it cannot have."""
        ...


@runtime_checkable
class Attacking(Knowing, Protocol):
    """A task that judges networks by pictures that an attack changed, and has them trained on such.

    An attack has to know how pictures are normalised.
    """

    def attacked(
        self, network: nn.Module, images: Tensor, targets: Targets, resolution: int, start: Tensor | None = None
    ) -> Tensor:
        """The images, N×3×H×W, changed so that the network gets them wrong.

        Args:
            network: in evaluation mode, or without running statistics.
            resolution: of the images that it is given, in pixels a side.
            start: where the attack begins, of the images' shape in -1 to 1; None for the images.
        """
        ...


@runtime_checkable
class Preparing(Task, Protocol):
    """A task that needs something made from the training pictures before it can judge networks."""

    def prepare(self, folder: Path, data: Dataset, reporter: Reporter) -> None:
        """Makes it and keeps it in the folder, or reads it from there; the same bits, also after a kill.

        Processes that train together all call this. Raises InputError for a file in the folder that is another's.
        """
        ...


@runtime_checkable
class Acting(Knowing, Protocol):
    """A task whose networks act: they are judged by the reward of episodes, and learn from such.

    Its data are first pictures of episodes, for sizes and costs; nothing is learnt from them.

    Attributes:
        method: the name of the method that trains them where none is named.
        drawn_as: what `drawn` shows.
    """

    @property
    def method(self) -> str: ...

    @property
    def drawn_as(self) -> str: ...

    def worlds(self, split: str, count: int, seed: int, *, in_order: bool = False) -> Any:
        """So many episodes side by side, on the levels of a split.

        Args:
            seed: of the draws of levels, and of what else is drawn in an episode.
            in_order: whether the first episodes take the split's levels one after the other, instead of drawn ones.

        Returns:
            A `VecEnv` of stable-baselines3 whose observations are pictures N×3×S×S (uint8), with discrete actions.
        """
        ...

    def drawn(self, network: nn.Module, resolution: int) -> Tensor:
        """Some episodes on test levels as one picture, 3×H×W (uint8); `drawn_as` says in a sentence or two how."""
        ...

    def beside(self, architecture: Architecture, head: Head) -> dict[str, Architecture]:
        """The networks to compare one with, by name, of the same MACs."""
        ...


def things(task: Task) -> str:
    """What there are of in its data, in a word."""
    return "levels" if isinstance(task, Acting) else "pictures"


def prepare(task: Task, folder: Path, data: Dataset, reporter: Reporter) -> None:
    """Has the task make what it judges by, if there is such."""
    if isinstance(task, Preparing):
        task.prepare(folder, data, reporter)


def on(task: Task, data: Dataset) -> Task:
    """The task for these pictures: itself, but for one that has to know them."""
    return task.on(data) if isinstance(task, Knowing) else task


def check_class_labels(task: Task, setting: str, remedy: str) -> None:
    """Raises InputError for a setting that is for class labels alone, if the task has others."""
    if not task.class_labels:
        raise InputError(f"{setting}: for class labels alone, which task {task.name} does not have; {remedy}")
