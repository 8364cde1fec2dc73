"""The evaluator `proxy`: its own settings are `ProxySettings`."""

from evaluators.base import Evaluator
from evaluators.proxy.evaluator import ProxyEvaluator
from evaluators.registry import EVALUATORS, Setup, Traits, having


@EVALUATORS.register("proxy")
@having(Traits(competing=True))
def _proxy(setup: Setup) -> Evaluator:
    return ProxyEvaluator(setup.data, setup.own, seed=setup.seed, folder=setup.folder, init=setup.init, task=setup.task)
