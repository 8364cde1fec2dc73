"""Candidates scored by short trainings of their own: fewer epochs, fewer pictures, a lower resolution."""

import itertools
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from evaluators.forecast import Search, epoch_seconds
from evaluators.halving import Halving, entrants_by_rung
from evaluators.proxy.settings import ProxySettings
from foundation.errors import InputError
from foundation.files import remove_leftovers, write_json
from foundation.json_files import MAX_OF_A_RUN, read_json
from foundation.metric import Measured, checked
from foundation.progress import Reporter
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.first_weights import SCRATCH, FirstWeights
from search_space.network import Network, build
from tasks.classification.room import CLASSIFICATION
from training.checkpoint import load_weights, remove_checkpoints, save_weights
from training.data.datasets import Dataset
from training.data.split import Split
from training.evaluation import evaluate, recompute_batch_statistics
from training.loop import fit
from training.methods.base import Method
from training.methods.choice import METHODS, Training
from training.methods.label_step import LabelStep
from training.methods.settings import LABELS, ChosenMethod
from training.recipe import Recipe
from training.resize import resized_batches
from training.standalone import EVALUATION_BATCH
from training.task import Acting, Task, prepare

RESULTS, FOLDER = "proxy.json", "proxy"
CALIBRATION = 2  # batches for batch statistics: a short training leaves their running averages behind the weights


class ProxyEvaluator:
    """Trains candidates rung by rung; the search loop decides who goes on.

    What each rung gave stays in `proxy.json`, so nothing is trained twice. A candidate's weights are on disk only
    between its first rung and its last or its dropping.
    """

    def __init__(
        self,
        data: Dataset,
        settings: ProxySettings,
        *,
        seed: int,
        folder: Path,
        init: FirstWeights = SCRATCH,
        task: Task = CLASSIFICATION,
        reporter: Reporter | None = None,
    ):
        self.data = data
        self.task, self.metric = task, task.metric
        self.settings = settings
        self.seed = seed
        self.folder = folder
        self.init = init
        self.reporter = reporter or Reporter(quiet=True)
        self._results: dict[str, list[Measured]] = {}

    @cached_property
    def pictures(self) -> Split:
        """Those that candidates are trained on."""
        train = self.data.train
        return train.subset(torch.arange(self._count) * len(train) // self._count)

    @property
    def _count(self) -> int:
        return max(1, round(self.settings.pictures * self.data.count("train")))

    @property
    def halving(self) -> Halving:
        """Rungs and promotions."""
        return self.settings.halving

    def identity(self) -> dict[str, Any]:
        """Plain values: every setting that can change a score."""
        return {
            "name": "proxy",
            "settings": {**asdict(self.settings), "recipe": self.settings.recipe.described()},
            "init": self.init.name,
        }

    def about(self) -> str:
        """What is done, for the user who waits for it."""
        halving = self.halving
        pictures = "" if isinstance(self.task, Acting) else f" of {self._count} pictures"
        resolution = f", resolution × {self.settings.resolution:g}" if self.settings.resolution < 1 else ""
        return (
            f"proxy: {', '.join(map(str, halving.epochs))} epochs{pictures}{resolution}, one of "
            f"{halving.eta} going on; generations of {halving.generation}"
        )

    def prepare(self) -> None:
        """Reads what earlier rungs gave."""
        prepare(self.task, self.folder, self.data, self.reporter)
        remove_leftovers(self.folder, (RESULTS,))
        path = self.folder / RESULTS
        if not path.exists():
            return
        try:
            self._results = {
                digest: [self._read(numbers) for numbers in rungs]
                for digest, rungs in read_json(path, MAX_OF_A_RUN).items()
            }
        except (AttributeError, TypeError, ValueError):
            raise InputError(f"{path}: not the results of a proxy; use another `out`") from None

    def rung(self, architecture: Architecture, rung: int) -> Measured:
        """What the candidate comes to after a rung (from 0), which goes on from the rung before it."""
        known = self._results.setdefault(architecture.digest(), [])
        if rung >= len(known):
            network = self._trained(architecture, rung)
            batches = self.data.validation.batches(EVALUATION_BATCH)
            side = self._side(architecture)
            known.append(checked(evaluate(self.task, network, resized_batches(batches, side)), self.metric))
            kept = {digest: [self._plain(rung) for rung in rungs] for digest, rungs in self._results.items()}
            write_json(self.folder / RESULTS, kept)
        return known[rung]

    def drop(self, architecture: Architecture) -> None:
        """Removes the candidate's weights."""
        shutil.rmtree(self._folder(architecture), ignore_errors=True)

    def evaluate(self, architecture: Architecture, *, thorough: bool = False) -> Measured:
        """What it comes to after the first rung; `thorough` after the last one."""
        for rung in range(len(self.halving.epochs) if thorough else 1):
            measured = self.rung(architecture, rung)
        self.drop(architecture)
        return measured

    def _plain(self, measured: Measured) -> list[float]:
        """The metric's value, and what is beside it, in the metric's order."""
        return [measured.value, *(measured.beside[name] for name in self.metric.beside)]

    def _read(self, numbers: Sequence[float]) -> Measured:
        """The opposite of `_plain`."""
        value, *beside = map(float, numbers)
        return Measured(self.metric, value, dict(zip(self.metric.beside, beside, strict=True)))

    def _trained(self, architecture: Architecture, rung: int) -> Network:
        """The network after the rung: from its file, or trained from the rung before."""
        folder = self._folder(architecture)
        weights, checkpoint = folder / f"{rung}.safetensors", folder / f"{rung}.checkpoint"
        if weights.exists():
            network = self._fresh(architecture)
            network.load_state_dict(load_weights(weights)[0])
            return network
        network = self._trained(architecture, rung - 1) if rung else self._fresh(architecture)
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder, (weights.name, checkpoint.name))
        epochs = self.halving.epochs
        recipe = replace(self.settings.recipe, epochs=epochs[rung] - (epochs[rung - 1] if rung else 0))
        side = self._side(architecture)
        fit(
            self._step(network, side, recipe),
            self.pictures,
            recipe,
            seed=derive(self.seed, "proxy", architecture.digest(), rung),
            checkpoint=checkpoint,
            identity={"architecture": architecture.digest(), "rung": rung},
            reporter=Reporter(quiet=True),
            what=f"proxy {architecture.digest()[:12]}, rung {rung + 1}",
            networks=lambda number: (architecture,),
        )
        if not isinstance(self.task, Acting):  # whose batch statistics follow what they see in episodes
            # Shuffled: in a folder's order the first pictures are all of one class.
            shuffled = self.pictures.batches(EVALUATION_BATCH, seed=derive(self.seed, "proxy calibration"))
            batches = itertools.islice(shuffled, CALIBRATION)
            recompute_batch_statistics(network, resized_batches(batches, side))
        save_weights(weights, network.state_dict(), {"architecture": architecture.to_json()})
        remove_checkpoints(checkpoint)
        if rung:
            (folder / f"{rung - 1}.safetensors").unlink(missing_ok=True)
        return network

    def _step(self, network: Network, side: int, recipe: Recipe) -> Method:
        if isinstance(self.task, Acting):
            how = ChosenMethod(self.task.method)
            return METHODS[how.name](Training(network, side, recipe, self.task, self.data, own=how.own))
        return LabelStep(network, side, recipe, self.task, self.data.num_classes)

    def _fresh(self, architecture: Architecture) -> Network:
        torch.manual_seed(derive(self.seed, "proxy", architecture.digest()))
        network = build(architecture, self.task.head(self.data.num_classes, architecture))
        if self.init.source is not None:
            self.init.fill(network)
        return network.to(self.data.device).to(memory_format=torch.channels_last)

    def _side(self, architecture: Architecture) -> int:
        return max(1, round(architecture.resolution * self.settings.resolution))

    def _folder(self, architecture: Architecture) -> Path:
        return self.folder / FOLDER / architecture.digest()

    def seconds(self, search: Search) -> dict[str, float]:
        """See `evaluators.forecast`."""
        halving = self.halving
        training, scoring = self.epoch_seconds(search)
        entrants = entrants_by_rung(halving)
        generations = -(-search.trials // halving.generation)
        epochs = [after - before for before, after in itertools.pairwise((0, *halving.epochs))]
        search_seconds = sum(count * (training * own + scoring) for count, own in zip(entrants, epochs, strict=True))
        # At most: of the promising, some have taken every rung.
        unfinished = max(0, min(search.rescored, generations * halving.generation) - generations * entrants[-1])
        again = unfinished * (training * (halving.epochs[-1] - halving.epochs[0]) + scoring * (len(epochs) - 1))
        return {"search": generations * search_seconds, "scoring the best again": again}

    def epoch_seconds(self, search: Search) -> tuple[float, float]:
        """Seconds of an epoch of a network's own training, and of its validation."""
        settings = self.settings
        tried = []
        for architecture in search.drawn(2):
            side = max(1, round(architecture.resolution * settings.resolution))
            how = ChosenMethod(self.task.method) if isinstance(self.task, Acting) else LABELS
            tried.append(
                epoch_seconds(architecture, side, self.data, self.pictures, settings.recipe, task=self.task, method=how)
            )
        training, scoring = (statistics.mean(values) for values in zip(*tried, strict=True))
        return training, scoring
