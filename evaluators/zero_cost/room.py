"""The evaluator `zero-cost`: its own setting is the score's name."""

from evaluators.base import Evaluator
from evaluators.registry import EVALUATORS, Planned, Setup, Traits, having
from evaluators.zero_cost.evaluator import ZeroCostEvaluator
from evaluators.zero_cost.scoring import Scorer
from foundation.errors import InputError
from search_space.first_weights import SCRATCH


@EVALUATORS.register("zero-cost")
@having(Traits("its networks are untrained", acting=True, plan=lambda flags, preset, pictures: Planned(flags.score)))
def _zero_cost(setup: Setup) -> Evaluator:
    if setup.init != SCRATCH:
        raise InputError(
            f"`init` {setup.init.setting}: zero-cost scores are those of untrained networks; use `init` scratch"
        )
    scorer = Scorer(setup.priced, setup.data, setup.seed, task=setup.task)
    return ZeroCostEvaluator(scorer, setup.own, setup.folder, setup.reporter)
