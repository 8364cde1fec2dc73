"""What a command line of `retrain.py` asks for: task, method, first weights, teacher, networks to compare with."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from commands.compare import Best, beside, check_comparable, middle
from commands.planning import plan_retraining, suits
from commands.recipes import RetrainSettings, acting_method, chosen_method, recipe, resolved
from deployment.export import check_exported, check_installed
from evaluators.finalists import FinalistSettings, FinalistTraining, begun
from evaluators.weight_sources import first_weights, own_shared_weights
from foundation import distributed
from foundation.errors import InputError
from foundation.files import check_inside
from foundation.metric import described
from foundation.progress import Reporter
from search_space.architecture import Architecture
from search_space.first_weights import FirstWeights, check_init
from search_space.head import Head
from studies.runs.run_folder import WORTH
from studies.runs.source import Source, check_former, read_source
from studies.storage.storages import check_address, without_password
from tasks.choice import task
from training.data.datasets import Dataset
from training.methods.adversarial import NAME as ADVERSARIAL
from training.methods.choice import check_method
from training.methods.settings import ChosenMethod
from training.methods.teacher import load_teacher
from training.procedure import Procedure, Teaching
from training.recorded_data import is_changed
from training.sizing import told_apart
from training.specs import PPO, ROBUST, TASK
from training.standalone import check_trainable, epochs_behind, folder_name
from training.task import Acting, Task, check_class_labels, on


@dataclass(frozen=True)
class Retraining:
    """What is trained, how, and where; nothing of it was refused.

    Attributes:
        settings: with what recipe and source say where no flag does.
        source: the network that is asked for, and the run that it is of.
        procedure: by which all networks are trained.
        load: reads the pictures of a side.
        data: those of the found network's side.
        networks: by name; where networks are compared, the middle ratios stand for the best ones.
    """

    settings: RetrainSettings
    source: Source
    procedure: Procedure
    load: Callable[[int], Dataset]
    data: Dataset
    networks: Mapping[str, Architecture]
    out: Path
    reporter: Reporter

    @property
    def head(self) -> Head:
        """The networks'."""
        return self.procedure.task.head(self.data.num_classes, self.source.architecture)

    @property
    def seeds(self) -> range:
        """Of each network's trainings."""
        return range(self.settings.seed, self.settings.seed + self.settings.seeds)

    def pictures(self, architecture: Architecture) -> Dataset:
        """Of the network's own side: what it comes to does not depend on what is trained beside it."""
        return self.load(architecture.resolution)

    def folder(self, name: str, seed: int) -> Path:
        """Of a network's training."""
        return self.out / folder_name(name, seed)

    def begun(self, architecture: Architecture) -> list[Path]:
        """Where a training of it may have been begun: to choose ratios, and as a finalist of the search."""
        run = self.source.run
        return [*begun(self.out, architecture), *(begun(run, architecture) if run else ())]

    def behind(self, name: str, architecture: Architecture) -> int:
        """How many epochs there are already of all the network's trainings."""
        return sum(
            epochs_behind(
                architecture,
                self.pictures(architecture),
                self.procedure,
                seed=seed,
                folder=self.folder(name, seed),
                begun=self.begun(architecture),
            )
            for seed in self.seeds
        )

    def contested(self) -> FinalistTraining:
        """The short trainings by which the ratios of hand-designed networks are chosen."""
        procedure = self.procedure
        settings = FinalistSettings(0, procedure.recipe, procedure.start)
        pictures = self.data.count("train")
        return FinalistTraining(self.load, pictures, procedure.task, settings, self.out, self.reporter)

    def compared(self, best: Best) -> Mapping[str, Architecture]:
        """The networks by name, with the ratios that `best` chooses. With several processes the middle ones stand."""
        if not self.settings.compare or distributed.world() > 1:
            return self.networks
        return _with_beside(self.source, self.procedure.task, self.head, best)

    def described(self) -> dict[str, Any]:
        """Plain values that tell the retraining of one folder from another one."""
        return {
            "architecture": self.source.architecture.digest(),
            "data": self.data.identity,
            "recipe": self.procedure.recipe.described(),
            **self.procedure.described(),
            **described(self.procedure.task.metric),
        }


def retraining_of(settings: RetrainSettings, device: torch.device, reporter: Reporter) -> Retraining:
    """What the settings ask for; reads pictures, and writes nothing.

    Raises InputError for what cannot be done.
    """
    _check_settings(settings)
    method = chosen_method(settings)
    source = read_source(settings.source, settings.data, settings.network)
    given_init = settings.init
    settings = resolved(settings, suits(source.preset, source.architecture.family, settings.task or source.task))
    if settings.storage is not None:
        check_address(settings.storage)
        if source.run is None:
            raise InputError(f"--storage {without_password(settings.storage)}: {settings.source} is not a run's folder")
    if source.recorded:
        reporter.say(f"data {source.data}, as {settings.source} says; --data names others")
    aim, method = _aim(settings, source, method)
    source = source.dilated(settings.output_stride)
    load = _reading(settings, source, aim, device, reporter)
    with reporter.doing("reading data"):
        data = load(source.architecture.resolution)
    aim = on(aim, data)
    head = aim.head(data.num_classes, source.architecture)
    source.check(data, head)
    if source.changed(data):
        reporter.say(is_changed(source.data, settings.source))
    init = _init(given_init, settings, source, reporter)
    check_exported(aim, settings.export)
    if settings.teacher is not None:
        check_class_labels(aim, f"`teacher` {settings.teacher}", "leave it out")
    teaching = _teaching(settings.teacher, data) if settings.teacher else None
    networks: Mapping[str, Architecture] = _own(source)
    if settings.compare:
        check_comparable(init)
        networks = _with_beside(source, aim, head, middle)
    distributed.from_first(lambda: init.check(head, *networks.values()))
    with reporter.doing("reading data"):
        for architecture in networks.values():
            # Is read last, but a picture that cannot be decoded is found before anything is trained.
            len(load(architecture.resolution).test)
    chosen, said = plan_retraining(settings, len(data.train))
    few = told_apart(len(data.test), "test") if aim.metric.is_share else None
    for line in (said, few):
        if line:
            reporter.say(line)
    procedure = Procedure(
        chosen, aim, start=init, teaching=teaching, adapt=settings.micro_batch == "auto", method=method
    )
    for architecture in networks.values():
        check_trainable(architecture, load(architecture.resolution), procedure)
    return Retraining(settings, source, procedure, load, data, networks, _out(settings, source), reporter)


def _check_settings(settings: RetrainSettings) -> None:
    """Raises InputError for what is wrong whatever the source is."""
    check_init(settings.init or "scratch", "supernet")
    chosen = recipe(settings)
    check_installed(settings.export)
    if settings.micro_batch == "auto" and chosen.sync_batch_norm and distributed.world() > 1:
        raise InputError("--micro-batch auto: not with --sync-batch-norm yes; give a number")
    check_method(settings.method)


def _aim(settings: RetrainSettings, source: Source, method: ChosenMethod) -> tuple[Task, ChosenMethod]:
    """The task, and the method as it is for that."""
    method = attacking(settings, source.task, method)
    aim = task(task_name(settings, source.task, method), settings.head)
    if isinstance(aim, Acting):
        method = acting_method(settings, method)
    elif method.name == PPO != settings.method:
        raise InputError(
            f"`mixreg`, `mixobs` and `crop` are for networks that act, not for task {aim.name}; leave them out"
        )
    return aim, method


def _reading(
    settings: RetrainSettings, source: Source, aim: Task, device: torch.device, reporter: Reporter
) -> Callable[[int], Dataset]:
    """What reads the pictures of a side, each side once."""
    streamed = recipe(settings).streamed

    @cache
    def load(side: int) -> Dataset:
        return aim.data(
            source.data,
            side,
            device,
            reporter,
            streamed=streamed,
            skip_corrupt=settings.skip_corrupt,
            loaders=settings.loaders,
            download=not source.recorded,
        )

    return load


def _out(settings: RetrainSettings, source: Source) -> Path:
    """The folder. Raises InputError if it is not one of the source's, or holds a retraining of another one."""
    number = "" if settings.network is None else f"-{settings.network}"
    out = Path(settings.out) if settings.out else source.folder / f"retrain{number}"
    if not settings.out:
        check_inside(out, source.folder)
    check_former(out, WORTH, source)
    return out


def _own(source: Source) -> dict[str, Architecture]:
    """The network that is asked for."""
    return {"found" if source.priced else "given": source.architecture}


def _with_beside(source: Source, aim: Task, head: Head, best: Best) -> dict[str, Architecture]:
    """The network that is asked for, and those to compare with; a task's own where networks act."""
    others = aim.beside(source.architecture, head) if isinstance(aim, Acting) else beside(source, head, best)
    return {**_own(source), **others}


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


def _init(given: str | None, settings: RetrainSettings, source: Source, reporter: Reporter) -> FirstWeights:
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


def _teaching(spec: str, data: Dataset) -> Teaching:
    """The teacher, told apart by its name and by what its file holds, not by where that lies."""
    file = Path(spec.rpartition("=")[2])
    name = spec
    if file.is_file():
        named = f"{spec.rpartition('=')[0]} " if "=" in spec else ""
        name = f"{named}{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
    return Teaching(name, load_teacher(spec, data))
