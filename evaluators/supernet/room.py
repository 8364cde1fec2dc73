"""The evaluator `supernet`: shared weights, a prior, and anchors where these are wanted."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluators.base import Evaluator
from evaluators.prior import NONE, REMEDY, Prior
from evaluators.registry import EVALUATORS, Planned, Setup, Traits, having
from evaluators.supernet.anchored import AnchoredEvaluator, AnchorSettings
from evaluators.supernet.evaluator import SupernetEvaluator
from evaluators.supernet.given import given_weights
from evaluators.supernet.settings import Scoring, SupernetRecipe
from evaluators.zero_cost import Batch, Scorer
from foundation.json_files import read_json
from foundation.metric import Metric
from training.sizing import planned, told

PRIOR_BATCH = Batch(reference=32, draws=4)


@dataclass(frozen=True)
class SupernetSettings:
    """How shared weights are trained and score.

    Attributes:
        prior: the zero-cost scores that correct, by comma, or `none`.
        given: the run whose finished weights are used instead.
    """

    recipe: SupernetRecipe
    scoring: Scoring
    prior: str
    anchors: AnchorSettings
    given: Path | None = None


def _plan(flags: Any, preset: Any, pictures: int) -> Planned:
    """The preset's trainings for so many pictures; what flags say stays as they say it."""
    given = [name for name, value in (("epochs", flags.supernet_epochs), ("batch_size", flags.batch_size)) if value]
    recipe = planned(preset.recipe, preset.pictures, pictures, given)
    said = told(preset.recipe, preset.pictures, recipe, pictures, "`supernet_epochs` and `batch_size`")
    run = Path(flags.supernet) if flags.supernet else None
    if run is not None and flags.engine == "ray":  # whose actors have folders of their own
        run = run.resolve()
    anchors = AnchorSettings(flags.anchors, planned(preset.anchor, preset.pictures, pictures, given))
    return Planned(SupernetSettings(recipe, preset.scoring, flags.prior, anchors, run), said)


@EVALUATORS.register("supernet")
@having(Traits(rough=True, plan=_plan))
def _supernet(setup: Setup) -> Evaluator:
    own: SupernetSettings = setup.own
    supernet = SupernetEvaluator(
        setup.priced,
        setup.data,
        own.recipe,
        own.scoring,
        seed=setup.seed,
        folder=setup.folder,
        reporter=setup.reporter,
        init=setup.init,
        prior=None if own.prior == NONE else _prior(setup, own),
        given=given_weights(own.given, setup.folder, setup.priced, setup.data, setup.task) if own.given else None,
        task=setup.task,
        as_before=_named_as_before(setup.folder, setup.task.metric),
    )
    return AnchoredEvaluator(supernet, own.anchors) if own.anchors.count else supernet


def _named_as_before(folder: Path, metric: Metric) -> bool:
    """Whether the folder has a run whose corrected scores are called by the task's metric: it goes on so."""
    path = folder / "config.json"
    found = read_json(path) if path.exists() else None
    for name in ("identity", "sampler", "objectives"):
        found = found.get(name) if isinstance(found, dict) else None
    return isinstance(found, list) and found[:1] == [metric.name]


def _prior(setup: Setup, own: SupernetSettings) -> Prior:
    scorer = Scorer(setup.priced, setup.data, setup.seed, PRIOR_BATCH, REMEDY, task=setup.task)
    pictures = min(own.scoring.validation, setup.data.count("validation"))
    return Prior(own.prior, scorer, setup.folder, pictures, setup.task.metric)
