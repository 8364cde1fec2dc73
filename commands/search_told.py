"""What a search says before it begins, and all that a dry run says."""

import time

from commands.finalists import Finalists
from commands.planning import nothing_written, plan_search
from commands.presets import preset
from commands.search_checks import without_effect
from commands.search_settings import SearchSettings
from evaluators.base import Evaluator, prepare
from evaluators.forecast import Forecasting, Search
from evaluators.registry import Setup
from foundation import distributed
from foundation.amounts import about
from foundation.metric import is_corrected
from reports.remarks import few_steps
from reports.terminal.description import head_alone
from reports.terminal.plan import show_plan
from training.sizing import told_apart
from training.task import things


def announce(settings: SearchSettings, setup: Setup, evaluator: Evaluator, finals: Finalists | None) -> None:
    """Says what is searched, and how."""
    priced, data, say = setup.priced, setup.data, setup.reporter.say
    with setup.reporter.doing("counting architectures"):
        every, allowed = priced.unbounded.count(), priced.count()
    say(f"space {priced.space.name}: {about(*every)} architectures")
    say(f"within {priced.budget}: {about(*allowed)} architectures")
    if not setup.task.class_labels:
        say(f"smallest: {head_alone(priced.smallest, priced.head)}")
    training, validation = data.count("train"), data.count("validation")
    say(f"data {data.name}: {training} training, {validation} validation {things(setup.task)}")
    if planned := plan_search(preset(settings.preset), settings, training).said:
        say(planned)
    measures = setup.task.metric.is_share and (evaluator.metric.is_share or is_corrected(evaluator.metric))
    if measures and (few := told_apart(validation, "validation")):
        say(few)
    if short := few_steps(evaluator.identity(), training):
        say(short)
    if unused := without_effect(settings):
        say(f"without effect: {', '.join(unused)}")
    ending = f"; then {finals.planned.about()}" if finals else ""
    say(f"{evaluator.about()}; then {settings.trials} candidates by sampler {settings.sampler}{ending}")


def say_plan(settings: SearchSettings, setup: Setup, evaluator: Evaluator, finals: Finalists | None) -> None:
    """What a dry run says; an evaluator that does not forecast by itself is prepared for it."""
    announce(settings, setup, evaluator, finals)
    first, seconds = distributed.rank() == 0, dict[str, float]()
    if not isinstance(evaluator, Forecasting):
        begun = time.monotonic()
        with setup.reporter.doing("preparing the evaluator"):
            prepare(evaluator)
        seconds["preparation"] = time.monotonic() - begun
    if first:
        rescored = preset(settings.preset).rescored
        sought = Search(setup.priced, settings.seed, settings.trials, settings.workers, rescored)
        show_plan(evaluator, sought, setup.reporter, finals.seconds if finals else None, seconds)
    setup.reporter.say(nothing_written(setup.folder))
