"""What a command line of `retrain.py` asks for: task, method, first weights, teacher, networks to compare with."""

import hashlib
from dataclasses import replace
from pathlib import Path

from commands.compare import Best, beside
from commands.recipes import RetrainSettings
from evaluators.finalists import begun
from evaluators.weight_sources import first_weights, own_shared_weights
from foundation.errors import InputError
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.first_weights import FirstWeights
from search_space.head import Head
from studies.runs.source import Source
from tasks.choice import task
from training.data.datasets import Dataset
from training.methods.adversarial import NAME as ADVERSARIAL
from training.methods.settings import ChosenMethod
from training.methods.teacher import load_teacher
from training.procedure import Teaching
from training.specs import ROBUST, TASK
from training.task import Acting, Task


def begun_in(out: Path, source: Source, architecture: Architecture) -> list[Path]:
    """Where a training of the architecture may have been begun: to choose ratios, and as a finalist of the search."""
    return [*begun(out, architecture), *(begun(source.run, architecture) if source.run else ())]


def networks_beside(source: Source, what_for: Task, head: Head, best: Best) -> dict[str, Architecture]:
    """The networks to compare with: a task's own where networks act."""
    if isinstance(what_for, Acting):
        return what_for.beside(source.architecture, head)
    return beside(source, head, best)


def attacking(settings: RetrainSettings, recorded: str, method: ChosenMethod) -> ChosenMethod:
    """The method; of adversarial training, what no flag says is as the task `robust:EPSILON:STEPS` has it.

    Steps are taken from `--task` alone: those of a search are few, for ranking.
    """
    name = settings.task or recorded
    kind, _, attack = name.partition(":")
    if method.name != ADVERSARIAL or kind != ROBUST or not attack:
        return method
    task(name)  # which refuses what it cannot read
    epsilon, _, steps = attack.partition(":")
    own = replace(method.own, epsilon=settings.epsilon or epsilon)
    if settings.task and steps and settings.attack_steps is None:
        own = replace(own, attack_steps=int(steps))
    return replace(method, own=own)


def task_name(settings: RetrainSettings, recorded: str, method: ChosenMethod) -> str:
    """The name of the task; adversarial training is judged by accuracy under the attack that it trains with."""
    name = settings.task or recorded
    kind, _, own = name.partition(":")
    if method.name != ADVERSARIAL or kind not in (TASK, ROBUST):
        return name
    if kind == TASK and own:
        raise InputError(f"`method` {ADVERSARIAL}: for a linear classifier alone, not for head {own}; leave it out")
    return f"{ROBUST}:{method.own.epsilon}:{method.own.attack_steps}"


def init_of(given: str | None, settings: RetrainSettings, source: Source, reporter: Reporter) -> FirstWeights:
    """Where first weights come from, `auto` decided; where none are given, those of another run that the search had."""
    if given is None and source.init is not None:
        path, name = source.init
        reporter.say(f"init {path}, as the search of {source.run}; --init names others")
        found = first_weights(path, source.architecture, reporter)
        if found.name != name:
            raise InputError(
                f"`init` {path}: not the weights that the search of {source.run} began from; give `init` where those "
                "are, or scratch"
            )
        return found
    if settings.init == "supernet":
        if source.run is None:
            raise InputError(f"--init supernet: {settings.source} is not a run's folder; give the folder of a search")
        return own_shared_weights(source.run)
    assert settings.init is not None
    return first_weights(settings.init, source.architecture, reporter)


def teaching_of(spec: str, data: Dataset) -> Teaching:
    """The teacher, told apart by its name and by what its file holds, not by where that lies."""
    file = Path(spec.rpartition("=")[2])
    name = spec
    if file.is_file():
        named = f"{spec.rpartition('=')[0]} " if "=" in spec else ""
        name = f"{named}{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
    return Teaching(name, load_teacher(spec, data))
