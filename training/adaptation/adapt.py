"""A network adapted to pictures without labels, step by step, and what it makes of them before and after."""

import copy
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from foundation import distributed
from foundation.errors import InputError
from foundation.progress import Reporter
from foundation.seeds import derive
from search_space.network import Network, build
from training.adaptation.hypothesis import Seen, WithFeatures, hypothesis, look
from training.adaptation.information import entropies
from training.adaptation.labelling_transfer import MixMatch, labelled
from training.adaptation.rotation import TURNS, LearnTurns
from training.adaptation.settings import Adaptation
from training.adaptation.shot import Shot
from training.data.adaptation_target import Target
from training.data.preparation import View
from training.data.split import Split
from training.evaluation import recompute_batch_statistics
from training.loop import fit
from training.methods.base import Method
from training.model_file import ModelInfo, save_model
from training.recipe import Recipe
from training.resize import resized_batches

SOURCE, STATISTICS, SHOT, TRANSFER = "source only", "batch statistics", "SHOT", "SHOT++"
WEIGHTS = "weights.safetensors"
_STATISTICS_BATCH = 256


@dataclass(frozen=True)
class Stand:
    """What a network makes of the target's pictures.

    Attributes:
        entropy: mean over pictures, in nats.
        shares: of each class among the predictions, from 0 to 1.
        accuracy: where there are labels, else None.
        recalls: of each class the share that is recognised; None where it has no pictures.
    """

    name: str
    entropy: float
    shares: tuple[float, ...]
    accuracy: float | None = None
    recalls: tuple[float | None, ...] | None = None


def stand(name: str, seen: Seen, labels: Tensor | None) -> Stand:
    """What is said of predictions for all pictures."""
    predicted = seen.probabilities.argmax(1)
    classes = seen.probabilities.shape[1]
    shares = tuple((predicted.bincount(minlength=classes) / len(predicted)).tolist())
    entropy = float(entropies(seen.probabilities).mean())
    if labels is None:
        return Stand(name, entropy, shares)
    right = predicted == labels
    of_class = [right[labels == number] for number in range(classes)]
    recalls = tuple(float(own.double().mean()) if len(own) else None for own in of_class)
    return Stand(name, entropy, shares, float(right.double().mean()), recalls)


@dataclass(frozen=True)
class Adapting:
    """What is adapted, to what, how, and where its files go.

    Raises InputError for a network that is no classifier of pictures, or fewer pictures than a batch.
    """

    network: Network
    info: ModelInfo
    target: Target
    settings: Adaptation
    recipe: Recipe
    seed: int
    folder: Path
    reporter: Reporter

    def __post_init__(self) -> None:
        hypothesis(self.network)
        count, batch = len(self.target.pictures), self.recipe.batch_size
        if count < batch:
            raise InputError(
                f"{count} pictures to adapt to, fewer than a batch of {batch}; give `batch_size` {max(2, count)} or "
                "less, or more pictures"
            )
        if distributed.world() > 1:
            raise InputError("a network is adapted by one process; start this command without torchrun")

    @property
    def resolution(self) -> int:
        """Of the pictures that the network is given, in pixels a side."""
        return self.info.architecture.resolution

    def normalised(self) -> Network:
        """The network as it came, with batch statistics of the target's pictures."""
        still = copy.deepcopy(self.network)
        # A shuffled pass leaves an incomplete last batch out, of which statistics are noise.
        size = min(_STATISTICS_BATCH, len(self.target.pictures))
        batches = self.target.pictures.batches(size, seed=derive(self.seed, "batch statistics"))
        recompute_batch_statistics(still, resized_batches(batches, self.resolution))
        return still

    def stand(self, name: str, network: Network) -> Stand:
        """What a network makes of the target's pictures."""
        seen = look(WithFeatures(network), self.target.pictures, self.resolution, self.recipe.precision)
        return stand(name, seen, self.target.labels)

    def shot(self) -> Network:
        """The network after SHOT; its weights are in `shot/weights.safetensors`, its hypothesis is as it was."""
        network = WithFeatures(copy.deepcopy(self.network))
        turns = self._turns(network) if self.settings.rotation else None
        method = Shot(network, turns, self.target.pictures, self.resolution, self.settings, self.recipe)
        self._fit(method, self.target.pictures, self.recipe, "shot", SHOT)
        return self._kept(network.network, "shot")

    def transferred(self, adapted: Network) -> Network:
        """The network after SHOT and the labelling transfer; its weights are in `labelling-transfer`.

        Raises InputError where no picture is surer than others.
        """
        pictures = self.target.pictures
        seen = look(WithFeatures(adapted), pictures, self.resolution, self.recipe.precision)
        known = labelled(seen.probabilities)
        self.reporter.say(f"{TRANSFER}: {len(known.numbers)} of {len(pictures)} pictures are labelled")
        network = copy.deepcopy(adapted)
        torch.manual_seed(derive(self.seed, "new hypothesis"))
        fresh = build(self.info.architecture, self.info.head)
        hypothesis(network).load_state_dict(hypothesis(fresh).state_dict())
        recipe = replace(
            self.recipe,
            batch_size=self.settings.transfer_batch,
            learning_rate=self.settings.transfer_rate,
            rand_augment=self.settings.view_magnitude,
        )
        method = MixMatch(network, pictures, known, self.resolution, self.settings, recipe)
        self._fit(method, pictures.subset(known.others), recipe, "labelling-transfer", TRANSFER)
        return self._kept(network, "labelling-transfer")

    def _turns(self, network: WithFeatures) -> nn.Linear:
        """The classifier of turns, taught alone."""
        width = len(network.features(next(self.target.pictures.batches(2))[0]).flatten(1)[0])
        torch.manual_seed(derive(self.seed, "turns"))
        turns = nn.Linear(2 * width, TURNS).to(self.target.pictures.device)
        recipe = replace(self.recipe, epochs=self.settings.rotation_epochs)
        method = LearnTurns(turns, network, self.resolution, recipe)
        self._fit(method, self.target.pictures, recipe, "turns", "rotation")
        return turns

    def _fit(self, method: Method, pictures: Split, recipe: Recipe, part: str, what: str) -> None:
        folder = self.folder / part
        folder.mkdir(parents=True, exist_ok=True)
        fit(
            method,
            pictures,
            recipe,
            seed=derive(self.seed, part),
            checkpoint=folder / "checkpoint",
            identity={
                "data": self.target.identity,
                "architecture": self.info.architecture.digest(),
                "adaptation": json.loads(json.dumps(asdict(self.settings))),
            },
            reporter=self.reporter,
            what=what,
        )

    def _kept(self, network: Network, part: str) -> Network:
        views = {View.of(name, self.resolution) for name in (self.info.data, self.target.name)}
        # Pictures have to be prepared as they were for the source network.
        info = replace(self.info, data=self.target.name) if len(views) == 1 else self.info
        save_model(self.folder / part / WEIGHTS, network.state_dict(), info)
        return network.eval()
