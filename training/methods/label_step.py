"""The step of a training on targets: forward and backward of one batch, in halves side by side or as memory wants."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from foundation import distributed
from foundation.errors import InputError, first_line
from foundation.memory import out_of_memory
from training.attacks.pgd import uniform
from training.augmentation.mixing import Mixing
from training.lanes import MOST, side_by_side
from training.methods.base import Method
from training.methods.class_labels import TaskLoss
from training.methods.drop_path import draw_apart
from training.methods.registry import METHODS, Predict, Training
from training.precision import autocast
from training.probe_loss import learning
from training.recipe import Recipe
from training.resize import resized_batch
from training.targets import Targets, in_float32, shared_out
from training.task import Attacking, Task, check_class_labels

LEAST = 16
"""Pictures that each half of a batch has at least: batch statistics of fewer are noise."""


class LabelStep(Method):
    """Adds the gradients of the mean loss of a batch to the network's parameters.

    The loss is the task's and, where there is a teacher of class labels, the distance from its predictions, by their
    weight.

    On a CPU a batch of 32 pictures or more is taken in two halves, each by a lane that is free (`training.lanes`) and
    each normalised by its own statistics, as two processes would (arXiv:1706.02677, section 2.3). With one lane it is
    taken so as well: the result does not depend on the machine. Where the recipe asks for something else, by
    `micro_batch`, `sync_batch_norm` or `compile`, there are no halves.

    Args:
        resolution: of the images the network is given, in pixels a side.
        adapt: whether, out of memory, the micro-batch is halved and the step taken again, instead of an error. What
            the failed attempt drew and normalised by is not taken back, so such a run does not replay.
        num_classes: that pictures are mixed of, where the recipe mixes.
        say: told once if the micro-batch is halved.

    Raises InputError for mixing, smoothing or a teacher where the task has no class labels, and for mixing or a teacher
    where it attacks the pictures.
    """

    def __init__(
        self,
        network: nn.Module,
        resolution: int,
        recipe: Recipe,
        task: Task,
        num_classes: int,
        *,
        teacher: Predict | None = None,
        adapt: bool = False,
        say: Callable[[str], None] = lambda message: None,
    ):
        super().__init__(network)
        self.network = network
        self.resolution = resolution
        self.recipe = recipe
        for name in ("mixup", "cutmix"):
            if getattr(recipe, name):
                check_class_labels(task, f"`{name}` {getattr(recipe, name):g}", "give 0")
        if teacher is not None:
            check_class_labels(task, "`teacher`", "leave it out")
        if isinstance(task, Attacking):
            for name in ("mixup", "cutmix"):
                if getattr(recipe, name):
                    raise InputError(
                        f"`{name}` {getattr(recipe, name):g}: task {task.name} attacks whole labels; give 0"
                    )
            if teacher is not None:
                raise InputError(f"`teacher`: task {task.name} learns from labels alone; leave it out")
        self.task = task
        self.task_loss = TaskLoss(task, recipe)
        self.mixing = Mixing(recipe.mixup, recipe.cutmix, num_classes)
        self.teacher = teacher
        self.adapt = adapt
        self.say = say
        self.micro_batch = recipe.micro_batch
        self._forward = torch.compile(network) if recipe.compile else network
        self._twins: list[nn.Module] = []

    def __call__(self, images: Tensor, targets: Targets, _number: int) -> float:
        """The mean loss of the batch.

        Raises InputError, out of memory, naming a micro-batch that would fit.
        """
        count = len(images)
        while True:
            at_once = min(self.micro_batch or count, count)
            try:
                taught = self._attacked(images, targets, at_once) if isinstance(self.task, Attacking) else images
                if self._halves(images):
                    return self._side_by_side(*self.mixing(taught, targets))
                return self._parts(taught, targets, at_once)
            except RuntimeError as error:  # torch.OutOfMemoryError, and the CPU allocator's
                if not out_of_memory(error):
                    raise
            self._forget()
            if self.recipe.sync_batch_norm and distributed.world() > 1:
                # A retry would have this process exchange statistics that the others do not.
                raise InputError(f"out of memory with {at_once} pictures at a time; give a smaller `micro_batch`")
            smaller = self._fitting(images, targets, at_once // 2)
            if not smaller:
                raise InputError(f"out of memory with two pictures of {self.resolution} pixels; use a smaller network")
            if not self.adapt:
                raise InputError(
                    f"out of memory with {at_once} pictures at a time; {smaller} would fit: give `micro_batch` auto, "
                    f"or `micro_batch` {smaller} and, if epochs are trained already, another `out`"
                )
            self.say(f"out of memory with {at_once} pictures at a time; going on with {smaller}, gradients added up")
            self.micro_batch = smaller

    def begin_epoch(self, epoch: int) -> None:
        """Twins are made anew: at an epoch's end several processes average the statistics of the network alone."""
        self._twins = []

    def _halves(self, images: Tensor) -> bool:
        recipe = self.recipe
        whole = self.micro_batch or recipe.compile or recipe.sync_batch_norm
        return not whole and images.device.type == "cpu" and len(images) >= MOST * LEAST

    def _side_by_side(self, images: Tensor, targets: Targets) -> float:
        """The halves' gradients added up in order, and the mean of their running statistics."""
        networks = self._networks()
        draw_apart(networks)

        def half(network: nn.Module, own_images: Tensor, own_targets: Targets) -> float:
            loss = self._loss(own_images, own_targets, network) * (len(own_images) / len(images))
            loss.backward()
            return loss.item()

        halves = images.chunk(MOST)
        parts = zip(networks, halves, shared_out(targets, [len(own) for own in halves]), strict=True)
        losses = side_by_side([partial(half, *part) for part in parts])
        with torch.no_grad():
            _gather(self.network, self._twins)
        return sum(losses)

    def _networks(self) -> list[nn.Module]:
        """The network and its twins, one for each half of a batch."""
        if not self._twins:
            self._twins = [_twin(self.network) for _ in range(1, MOST)]
        return [self.network, *self._twins]

    def _attacked(self, images: Tensor, targets: Targets, at_once: int) -> Tensor:
        """The images as the task's attack changes them, from a random start; in halves where the step is."""
        task = self.task
        assert isinstance(task, Attacking)
        start = uniform(images)
        halves = self._halves(images)
        networks = self._networks() if halves else [self.network]

        def attacked(network: nn.Module, own: Tensor, own_targets: Targets, own_start: Tensor) -> Tensor:
            return task.attacked(network, own, own_targets, self.resolution, own_start)

        sizes = [len(own) for own in (images.chunk(MOST) if halves else images.split(at_once))]
        shares = zip(images.split(sizes), shared_out(targets, sizes), start.split(sizes), strict=True)
        taking = zip(networks, shares, strict=True) if halves else ((self.network, share) for share in shares)
        works = [partial(attacked, network, *share) for network, share in taking]
        training = self.network.training
        for network in networks:
            network.eval()
        try:
            found = side_by_side(works) if halves else [work() for work in works]
        finally:
            for network in networks:
                network.train(training)
        return torch.cat(found)

    def _parts(self, images: Tensor, targets: Targets, at_once: int) -> float:
        images, targets = self.mixing(images, targets)
        total = 0.0
        parts = _at_least_two(len(images), at_once)
        for own_images, own_targets in zip(images.split(parts), shared_out(targets, parts), strict=True):
            loss = self._loss(own_images, own_targets) * (len(own_images) / len(images))
            loss.backward()
            total += loss.item()
        return total

    def _loss(self, images: Tensor, targets: Targets, network: nn.Module | None = None) -> Tensor:
        recipe = self.recipe
        with autocast(images.device, recipe.precision):
            sized, sized_targets = resized_batch(images, targets, self.resolution)
            with learning(network or self.network, sized_targets) as with_probes:
                outputs = self._predicted(sized) if network is None else network(sized)
        logits = in_float32(outputs)
        loss = with_probes(self.task_loss(logits, sized_targets))
        if self.teacher is None or not recipe.distillation:
            return loss
        with torch.no_grad(), autocast(images.device, recipe.precision):
            taught = self.teacher(images).float()
        # Gradients of softened predictions shrink by the temperature's square (arXiv:1503.02531, section 2).
        soft = nn.functional.kl_div(
            (logits / recipe.temperature).log_softmax(1),
            (taught / recipe.temperature).log_softmax(1),
            reduction="batchmean",
            log_target=True,
        )
        return (1 - recipe.distillation) * loss + recipe.distillation * recipe.temperature**2 * soft

    def _predicted(self, images: Tensor) -> Any:
        """The network's outputs. Raises InputError where torch's compiler fails, which shows at the first."""
        if not self.recipe.compile:
            return self._forward(images)
        from torch._dynamo.exc import TorchDynamoException  # inductor's errors are of it too

        try:
            outputs = self._forward(images)
        except TorchDynamoException as error:
            if out_of_memory(error):
                raise
            reason = first_line(error)
            raise InputError(f"`compile` yes: torch's compiler cannot be used here ({reason}); leave it out") from error
        return outputs

    def _fitting(self, images: Tensor, targets: Targets, at_once: int) -> int:
        """The first of `at_once` and its halves with which a part of the step fits; 0 if not even two pictures do."""
        while at_once >= 2:
            try:
                self._loss(images[:at_once], shared_out(targets, [at_once, len(images) - at_once])[0]).backward()
                return at_once
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                at_once //= 2
            finally:
                self._forget()
        return 0

    def _forget(self) -> None:
        for model in (self.model, *self._twins):
            model.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


@METHODS.register("labels")
def labels(training: Training) -> LabelStep:
    """Learning from the task's targets, and from a teacher's predictions where there is one."""
    return LabelStep(
        training.network,
        training.resolution,
        training.recipe,
        training.task,
        training.data.num_classes,
        teacher=training.teacher,
        adapt=training.adapt,
        say=training.say,
    )


def _twin(network: nn.Module) -> nn.Module:
    """A copy with gradients and running statistics of its own, on the very parameters of the network."""
    twin = copy.deepcopy(network)
    twin.zero_grad()
    for own, parameter in zip(twin.parameters(), network.parameters(), strict=True):
        own.data = parameter.data
    return twin.train(network.training)


def _gather(network: nn.Module, twins: Sequence[nn.Module]) -> None:
    """Moves the twins' gradients to the network, and gives all of them the mean of their running statistics."""
    for parameter, *others in zip(network.parameters(), *(twin.parameters() for twin in twins), strict=True):
        for other in others:
            if other.grad is None:
                continue
            parameter.grad = other.grad if parameter.grad is None else parameter.grad.add_(other.grad)
            other.grad = None
    for buffer, *others in zip(network.buffers(), *(twin.buffers() for twin in twins), strict=True):
        if not buffer.is_floating_point():
            continue
        for other in others:
            buffer.add_(other)
        buffer.div_(1 + len(others))
        for other in others:
            other.copy_(buffer)


def _at_least_two(count: int, at_once: int) -> list[int]:
    """Sizes of the parts of `count` pictures: a lone last one goes with the part before, for batch statistics."""
    sizes = [at_once] * (count // at_once)
    rest = count % at_once
    if rest == 1 and sizes:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes
