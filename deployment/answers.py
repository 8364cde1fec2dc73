"""What a trained network's outputs mean: the task that its file names is asked."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from foundation.errors import InputError
from foundation.json_files import shown
from search_space.network import Network
from tasks.choice import TASKS, task
from training.model_file import ModelInfo
from training.specs import PRETRAINING
from training.task import Answering, Answers


class Seen(NamedTuple):
    """What a network makes of N pictures: answers, and the outputs that they come from, where a file gives these."""

    answers: Answers
    outputs: Any = None


See = Callable[[Tensor], Seen]
"""From N×3×H×W normalised pictures (float32), without gradients."""


def answers_of(answer: Callable[[Tensor], Answers]) -> See:
    """What gives answers alone, as an exported file does."""
    return lambda images: Seen(answer(images))


def answering(info: ModelInfo, where: str) -> Answering:
    """The task that a file names. Raises InputError for one that is not known, or does not say what outputs mean."""
    if info.task == PRETRAINING:
        raise InputError(
            f"{where}: a backbone that was trained without labels, which says nothing of pictures yet; fine-tune it: "
            "retrain.py with `init`"
        )
    if info.task.partition(":")[0] not in TASKS:
        raise InputError(
            f"{where}: of task {shown(info.task)}, which is not known; known: {TASKS.known()}, or give its file as "
            "`plugin`"
        )
    try:
        found = task(info.task)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if not isinstance(found, Answering):
        raise InputError(
            f"{where}: task {info.task} does not say what its networks' outputs mean; give it what "
            "training.task.Answering has"
        )
    return found


class AnsweringNetwork(nn.Module):
    """A network followed by what its task makes of its outputs: N×3×H×W to answers."""

    def __init__(self, network: nn.Module, task: Answering):
        super().__init__()
        self.network = network
        self._task = task

    def forward(self, x: Tensor) -> Answers:
        return self._task.answers(self.network(x), (x.shape[2], x.shape[3]))


@torch.no_grad()
def with_answers(network: Network, task: Answering) -> nn.Module:
    """The network, in evaluation mode, with answers for outputs: itself where its outputs are the answers."""
    side = network.architecture.resolution
    outputs = network(torch.zeros(1, 3, side, side))
    return network if task.answers(outputs, (side, side)) is outputs else AnsweringNetwork(network, task).eval()


def check_fit(task: Answering, seen: Seen, images: Tensor, info: ModelInfo, where: str) -> Seen:
    """What was seen. Raises InputError where no network of the file's classes could have answered so."""
    if not task.fit(seen.answers, images.shape, len(info.classes)):
        raise InputError(
            f"{where}: gives {_told(seen.answers)} for {len(images)} pictures, and its metadata names "
            f"{len(info.classes)} classes"
        )
    return seen


def _told(values: Any) -> str:
    """Shapes and types of tensors."""
    if isinstance(values, Tensor):
        return f"{tuple(values.shape)} of {values.dtype}"
    if isinstance(values, Mapping):
        return ", ".join(f"{name}: {_told(value)}" for name, value in values.items())
    return f"a list of {len(values)}"


def mapped(values: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Tensors, in lists and dictionaries as well, each changed."""
    if isinstance(values, Tensor):
        return change(values)
    if isinstance(values, Mapping):
        return {name: mapped(value, change) for name, value in values.items()}
    return [mapped(value, change) for value in values]


def of_picture(values: Any, number: int) -> Any:
    """Of answers or outputs those for one picture."""
    if isinstance(values, Mapping):
        return {name: of_picture(value, number) for name, value in values.items()}
    return values[number]


def all_finite(values: Any) -> bool:
    """Whether there are numbers alone."""
    if isinstance(values, Tensor):
        return not values.is_floating_point() or bool(values.isfinite().all())
    return all(map(all_finite, values.values() if isinstance(values, Mapping) else values))


def largest(values: Any) -> float:
    """The largest absolute value."""
    if isinstance(values, Tensor):
        return float(values.abs().max()) if values.numel() else 0.0
    return max(map(largest, values.values() if isinstance(values, Mapping) else values), default=0.0)
