"""What of a search's settings does not go together, found before anything is read."""

from dataclasses import replace

from commands.command_line import flag_name, for_one_alone
from commands.search_settings import SearchSettings, settings_of
from evaluators.choice import traits_of
from foundation.errors import InputError
from foundation.metric import ACCURACY, Metric, is_corrected
from studies.storage.storages import check_address
from training.specs import ACTIONS, ADAPTED, CROWDED, JUDGES, ROBUST, TASK, TO, WEIGHED


def without_effect(settings: SearchSettings) -> list[str]:
    """What was given and changes nothing with the other settings: a few words each."""
    usual = settings_of(settings.preset)
    given = [name for name in vars(usual) if getattr(settings, name) != getattr(usual, name)]
    unused = [
        f"{flag_name(name)} (it is for --evaluator {evaluator})"
        for name, evaluator in for_one_alone(SearchSettings, "evaluator").items()
        if name in given and evaluator != settings.evaluator
    ]
    if "runtime" in given and (settings.max_latency_ms is None or settings.latency_table is not None):
        unused.append("--runtime (it is for --max-latency-ms without --latency-table)")
    if settings.supernet and settings.evaluator == "supernet":
        told = [name for name in given if name in ("supernet_epochs", "batch_size", "init")]
        unused += [f"{flag_name(name)} (the weights of --supernet are trained)" for name in told]
    if "init" in given and (why := traits_of(settings.evaluator).without_init):
        unused.append(f"--init ({why})")
    return unused


def check_engine(settings: SearchSettings) -> None:
    """Raises InputError for what the engine cannot do."""
    if settings.engine != "processes" and traits_of(settings.evaluator).competing:
        raise InputError(
            f"--engine {settings.engine}: the {settings.evaluator}'s candidates compete in one process; use --engine "
            "processes"
        )
    its_own = for_one_alone(SearchSettings, "engine")
    for engine in dict.fromkeys(its_own.values()):
        names = [name for name, of in its_own.items() if of == engine]
        if settings.engine != engine and any(getattr(settings, name) for name in names):
            flags = " and ".join(map(flag_name, names))
            raise InputError(f"{flags} {'is' if len(names) == 1 else 'are'} for --engine {engine}")


def as_task(settings: SearchSettings) -> SearchSettings:
    """The settings with the task that an objective `robust`, or a score of trained networks, asks for.

    Raises InputError for a score that does not go with the task or the evaluator, or pictures that it has no use for.
    """
    first = (settings.objectives or ("",))[0]
    if first == ROBUST and settings.task == TASK:
        settings = replace(settings, task=ROBUST)
    if first == WEIGHED and settings.task.partition(":")[0] == ACTIONS:
        settings = replace(settings, task=settings.task.replace(ACTIONS, CROWDED, 1))
    if settings.score in JUDGES:
        settings = _judged(settings, settings.score)
    if settings.target is None:
        return settings
    if settings.task.partition(":")[0] != ADAPTED:
        raise InputError(f"--target {settings.target}: is for --score {ADAPTED}; give that too, or leave it out")
    if TO in settings.data:
        raise InputError(f"--data {settings.data}: names pictures to adapt to already; leave --target out")
    return replace(settings, data=f"{settings.data}{TO}{settings.target}", target=None)


def _judged(settings: SearchSettings, score: str) -> SearchSettings:
    if settings.evaluator not in ("supernet", "proxy"):
        raise InputError(
            f"--score {score}: ranks trained networks; leave --evaluator {settings.evaluator} out, or give supernet or "
            "proxy"
        )
    if settings.task.partition(":")[0] not in (TASK, score):
        raise InputError(f"--score {score}: is a task of its own; leave --task {settings.task} out")
    kind, _, named = settings.task.partition(":")
    task = settings.task if kind == score else f"{score}:{named}" if named else score
    return replace(settings, task=task, score=SearchSettings.score)


def check_objectives(settings: SearchSettings, metric: Metric) -> None:
    """Raises InputError where the first objective is another than what the evaluator's candidates are ranked by."""
    first = (settings.objectives or (metric.name,))[0]
    corrects = metric.beside[:1] if is_corrected(metric) else ()
    if first not in (metric.name, ACCURACY.name, *corrects):  # accuracy stands for whatever they are ranked by
        raise InputError(
            f"--objectives {first}: evaluator {settings.evaluator} ranks by {metric.name}; begin with that"
        )


def check_latency(settings: SearchSettings) -> None:
    """Raises InputError for an objective of latency without latencies."""
    if (
        "latency_ns" in (settings.objectives or ())
        and settings.max_latency_ms is None
        and settings.latency_table is None
    ):
        raise InputError("--objectives latency: no latency is known; give --latency-table FILE or --max-latency-ms too")


def check_shared(settings: SearchSettings) -> None:
    """Raises InputError for what several processes cannot share."""
    competing = traits_of(settings.evaluator).competing
    if competing and (settings.storage is not None or settings.workers > 1):
        raise InputError(
            f"--evaluator {settings.evaluator}: its candidates compete in one process; "
            "leave --workers and --storage out"
        )
    if settings.storage is not None:
        check_address(settings.storage)
