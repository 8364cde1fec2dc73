"""Candidates scored with the shared weights of a trained supernet."""

import itertools
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evaluators.forecast import STEPS, Search, at_once, check_memory, scored_seconds, step_seconds, timed_batches
from evaluators.prior import Prior
from evaluators.supernet.given import WEIGHTS, GivenWeights
from evaluators.supernet.sandwich import Sandwich
from evaluators.supernet.settings import Scoring, SupernetRecipe
from evaluators.supernet.store import WeightStore
from evaluators.titles import corrected_by
from foundation import distributed
from foundation.errors import InputError
from foundation.files import remove_leftovers
from foundation.metric import Measured, corrected
from foundation.progress import Reporter
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.cost.priced_space import PricedSpace
from search_space.first_weights import PUBLISHED_BY, SCRATCH, FirstWeights
from tasks.classification.room import CLASSIFICATION
from training.checkpoint import load_weights, save_weights
from training.data.datasets import Dataset
from training.evaluation import evaluate, recompute_batch_statistics
from training.lanes import side_by_side
from training.loop import fit
from training.resize import resized_batches
from training.sizing import epoch_steps
from training.specs import named
from training.targets import Batch
from training.task import Task, prepare

CHECKPOINT = "supernet.checkpoint"


class SupernetEvaluator:
    """Trains the shared weights once, then scores a candidate by an extracted copy of its views.

    Batch statistics are recomputed for each candidate on training pictures: those of the shared weights fit none of
    them. What each comes to is remembered by digest.

    Args:
        prior: corrects the values, if given: what candidates are ranked by is a score then, and the metric beside it.
        as_before: whether the corrected value has the metric's own name, as in runs that began so.
        given: finished weights of another run, which are used instead: with their recipe and init.
    """

    def __init__(
        self,
        priced: PricedSpace,
        data: Dataset,
        recipe: SupernetRecipe,
        scoring: Scoring,
        *,
        seed: int,
        folder: Path,
        reporter: Reporter,
        init: FirstWeights = SCRATCH,
        prior: Prior | None = None,
        given: GivenWeights | None = None,
        task: Task = CLASSIFICATION,
        as_before: bool = False,
    ):
        self.priced = priced
        self.data = data
        self.task = task
        self.metric = task.metric if prior is None or as_before else corrected(task.metric)
        self.recipe = recipe if given is None else given.recipe
        self.scoring = scoring
        self.seed = seed
        self.folder = folder
        self.reporter = reporter
        self.init = init if given is None else _named(given.about["init"], init)
        self.prior = prior
        self.given = given
        torch.manual_seed(derive(seed, "supernet"))
        self.store = WeightStore(
            priced.space,
            priced.num_classes,
            own_kernels=self.recipe.own_kernels,
            sync_batch_norm=self.recipe.sync_batch_norm,
        ).to(data.device)
        self._scores: dict[tuple[str, bool], Measured] = {}
        self._trained: str | None = None

    def about(self) -> str:
        """What is done before candidates are scored."""
        corrected = f", scores {corrected_by(self.prior.name)}" if self.prior else ""
        weights = f"{self.recipe.epochs} epochs" if self.given is None else str(self.given)
        recipe = self.recipe
        plain = recipe.largest and recipe.distillation and not self.task.class_labels and self.given is None
        alone = f", without distillation, which task {self.task.name} has no class labels for" if plain else ""
        return f"supernet: {weights}{corrected}{alone}"

    def identity(self) -> dict[str, Any]:
        """Plain values: every setting that can change a score."""
        return {
            "name": "supernet",
            "recipe": self.recipe.described(),
            "scoring": asdict(self.scoring),
            "init": self.init.name,
            "prior": self.prior and self.prior.identity(),
            **({"weights": self.given.digest} if self.given else {}),
        }

    def prepare(self) -> None:
        """Trains the shared weights, or goes on with it; reads them if they are finished. Then prepares the prior."""
        trained = self._trained or self.prepare_together()
        if self.prior:
            self.prior.prepare(lambda architecture: self._shared(architecture).value, trained, self.reporter)

    def prepare_together(self) -> str:
        """Trains the shared weights as all processes, or reads them. Returns what was trained, and how."""
        self._trained = self._train()
        return self._trained

    def _train(self) -> str:
        prepare(self.task, self.folder, self.data, self.reporter)
        first = distributed.rank() == 0
        if first:
            remove_leftovers(self.folder, (WEIGHTS, CHECKPOINT))
        path = self.folder / WEIGHTS
        if self.given:
            if first:
                self.given.copy_to(path)
            described = self.given.trained
            distributed.from_first(lambda: self._finished(path, described))
            return described
        trained = {
            "space": self.priced.to_dict(),
            "data": self.data.identity,
            "recipe": self.recipe.described(),
            "seed": self.seed,
            "init": self.init.name,
            **named("task", self.task.name),
        }
        if self.recipe.within_budget:
            trained["budget"] = asdict(self.priced.budget)
            if self.priced.budget.max_latency_ns is not None and self.priced.latency is not None:
                trained["latency"] = self.priced.latency.digest
        described = json.dumps(trained, sort_keys=True)
        if distributed.from_first(lambda: self._finished(path, described)):
            return described
        if first and self.init.source is not None and not (self.folder / CHECKPOINT).exists():
            for kind, report in self.store.carry_over(self.init).items():
                self.reporter.say(f"init {self.init.name}, attention {kind}: {report}")
        step = Sandwich(
            self.store,
            self.recipe,
            seed=self.seed,
            priced=self.priced,
            task=self.task,
            largest_steps=self.recipe.largest_epochs * epoch_steps(len(self.data.train), self.recipe.batch_size),
        )
        store, _ = fit(
            step,
            self.data.train,
            self.recipe,
            seed=derive(self.seed, "supernet training"),
            checkpoint=self.folder / CHECKPOINT,
            identity=json.loads(described),
            reporter=self.reporter,
            what="supernet",
            networks=step.architectures,
        )
        tensors = dict(store.state_dict())
        if first:
            save_weights(path, tensors, {"trained": described})
        self._load(path, tensors)
        return described

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        """The task's metric on some validation pictures, or on all of them; corrected if there is a prior."""
        prior = self.prior
        if prior is None:
            return self._shared(architecture, thorough)
        # What both read of the pictures is read before: a split is read by one lane at a time.
        _ = self._calibration, self._validation, prior.scorer.pictures()
        works: list[Callable[[], object]] = [partial(self._shared, architecture, thorough)]
        if not prior.knows(architecture):
            works.append(partial(prior.scores, architecture))
        side_by_side(works)
        shared = self._shared(architecture, thorough)
        told = shared.numbers()
        value = prior.corrected(architecture, shared.value)
        return Measured(self.metric, value, {name: told[name] for name in self.metric.beside})

    def _shared(self, architecture: Architecture, thorough: bool = False) -> Measured:
        key = (architecture.digest(), thorough)
        if key not in self._scores:
            network = self.store.extract(architecture).to(memory_format=torch.channels_last)
            side = architecture.resolution
            recompute_batch_statistics(network, resized_batches(self._calibration, side))
            validation = self.data.validation.batches(self.scoring.batch_size) if thorough else self._validation
            self._scores[key] = evaluate(self.task, network, resized_batches(validation, side))
        return self._scores[key]

    def _finished(self, path: Path, described: str) -> bool:
        """Whether the weights are there already, trained as described; reads them."""
        if not path.exists():
            return False
        tensors, metadata = load_weights(path)
        if metadata.get("trained") != described:
            raise InputError(f"{path}: weights of another supernet; use another `out`, or remove it")
        self._load(path, tensors)
        return True

    def _load(self, path: Path, tensors: dict[str, Tensor]) -> None:
        try:
            self.store.load_state_dict(tensors)
        except RuntimeError:
            raise InputError(f"{path}: weights of another space; use another `out`, or remove it") from None

    @cached_property
    def _calibration(self) -> list[Batch]:
        size = min(self.scoring.batch_size, self.scoring.calibration)
        batches = self.data.train.batches(size, seed=derive(self.seed, "calibration"))
        return list(itertools.islice(batches, max(1, self.scoring.calibration // size)))

    @cached_property
    def _validation(self) -> list[Batch]:
        return list(self.data.validation.batches(self.scoring.batch_size, limit=self.scoring.validation))

    def seconds(self, search: Search) -> dict[str, float]:
        """See `evaluators.forecast`."""
        recipe = self.recipe
        step = Sandwich(self.store, recipe, seed=self.seed, priced=self.priced, task=self.task, largest_steps=STEPS + 1)
        epoch = epoch_steps(len(self.data.train), recipe.batch_size)
        largest = min(recipe.largest_epochs, recipe.epochs) * epoch
        model = self.store

        side = max(search.priced.space.resolution)
        data = self.data
        trained = {*(step.architectures(0) if largest else ()), *step.architectures(STEPS + 1)}  # it alone, and after
        for architecture in trained:
            check_memory(architecture, side, at_once(data.train, recipe), data.device, recipe.precision)

        def steps(first: int, count: int) -> float:
            """Seconds of one of `count` steps from `first` on."""
            return step_seconds(model, step, timed_batches(self.data.train, recipe), recipe, first) if count else 0.0

        found = {}
        if self.given is None:
            later = recipe.epochs * epoch - largest
            found["supernet"] = largest * steps(0, largest) + later * steps(STEPS + 1, epoch)
        scored = scored_seconds(self, search)
        if self.prior:  # which, unprepared, scored with them; its references take as long as candidates do
            each = scored["search"] * search.workers / search.trials
            found["prior"] = each * self.prior.scorer.batch.reference
        return found | scored


def _named(name: str, init: FirstWeights) -> FirstWeights:
    """The first weights that given ones began from, by their name; without a source where they are not at hand."""
    return next((one for one in (SCRATCH, *PUBLISHED_BY, init) if one.name == name), FirstWeights(name))
