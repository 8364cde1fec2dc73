"""The evaluator `proxy`: its own settings are `ProxySettings`."""

from dataclasses import replace
from typing import Any

from evaluators.base import Evaluator
from evaluators.proxy.evaluator import ProxyEvaluator
from evaluators.proxy.settings import ProxySettings
from evaluators.registry import EVALUATORS, Planned, Setup, Traits, having
from training.sizing import planned, told


def _plan(flags: Any, preset: Any, pictures: int) -> Planned:
    """The rungs, each lengthened alike unless they are given, and a line on the last."""
    settings: ProxySettings = preset.proxy
    if flags.proxy_epochs is not None:
        return Planned(settings)
    halving = settings.halving
    own, used = (max(1, round(settings.pictures * count)) for count in (preset.pictures, pictures))
    last = settings.recipe.lasting(halving.epochs[-1])
    fitted = planned(last, own, used)
    rungs = tuple(epochs * fitted.epochs // last.epochs for epochs in halving.epochs)
    recipe = fitted.lasting(settings.recipe.epochs)
    found = replace(settings, recipe=recipe, halving=replace(halving, epochs=rungs))
    return Planned(found, told(last, own, fitted, used, "`proxy_epochs`"))


@EVALUATORS.register("proxy")
@having(Traits(competing=True, acting=True, plan=_plan, recipe=lambda preset: preset.proxy.recipe))
def _proxy(setup: Setup) -> Evaluator:
    return ProxyEvaluator(
        setup.data,
        setup.own,
        seed=setup.seed,
        folder=setup.folder,
        init=setup.init,
        task=setup.task,
        reporter=setup.reporter,
    )
