"""NNI's tuners, in this process: no server, no experiment, nothing written into the home folder.

NNI is imported when one of its samplers is made, not before. A tuner is given the space as one flat `choice` for every
decision that can occur, and its answer is read back through the space's own program, which takes of it what it asks
for. Nested choices are not used: which expansions or reductions there are to decide between depends on several earlier
decisions at once, while a nested choice hangs from one, so that it would take a copy for each combination, and each
copy would learn by itself.

NNI knows one metric: with several objectives a tuner learns from the score alone, and the front is still that of all
candidates. Nor does it know constraints. A rejected proposal, or a failed evaluation, is not told (but see TPE): a
score made up for it would be weighed as if it were measured. The tuner is asked again with other random numbers.

NNI's tuners keep their random numbers and what they have proposed to themselves. Here both are set before every
proposal, by the turn and by what was told, so that a killed search goes on as if it had not been.
"""

import importlib
import importlib.util
import math
import random
from abc import abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import numpy as np

from foundation.errors import InputError
from foundation.seeds import derive
from search_space.architecture import Architecture
from search_space.chain import Group, LinkProgram, Option, Shape, State
from search_space.decisions import Choose, every_outcome
from search_space.space import SearchSpace
from studies.choices import FRAMEWORKS
from studies.samplers.base import OVER_BUDGET, Goal, Proposal, Sampler, Told, register, sampler_names

_Option = TypeVar("_Option", bound=Hashable)

PREFIX = "nni:"
LOSER = "nni:loser"  # in a proposal's memo: the digest of the individual that it replaces


def of_framework(framework: str, name: str) -> str:
    """The full name of a framework's sampler: NNI's are `nni:NAME`.

    Raises InputError for an unknown framework, a name that is none of NNI's, and where NNI is not installed.
    """
    if framework not in FRAMEWORKS:
        raise InputError(f"`framework` {framework}: unknown; known: {', '.join(FRAMEWORKS)}")
    if framework == "nni":
        known = [known.removeprefix(PREFIX) for known in sampler_names() if known.startswith(PREFIX)]
        if name.removeprefix(PREFIX) not in known:
            raise InputError(f"`framework` nni: has no sampler {name!r}; known: {', '.join(known)}")
        name = PREFIX + name.removeprefix(PREFIX)
    if name.startswith(PREFIX) and importlib.util.find_spec("nni") is None:
        raise _missing("nni")
    return name


def every_decision(space: SearchSpace) -> dict[str, tuple[Any, ...]]:
    """Every decision that the space's program can ask for, by name, with its options.

    A link's program depends on the state before it alone, and within it a group's options on its shape alone: so
    running each for all that may come before it meets every decision, without listing the architectures.
    """
    found: dict[str, tuple[Any, ...]] = {}

    def noting(choose: Choose) -> Choose:
        def note(name: str, options: Sequence[_Option]) -> _Option:
            found[name] = tuple(options)
            return choose(name, options)

        return note

    space.assemble(noting(lambda name, options: options[0]))  # that of the resolution
    states = [space.start]
    for program in space.programs:
        groups: dict[Group, None] = {}
        after: dict[State, None] = {}
        for state in states:

            def shaped(choose: Choose, program: LinkProgram = program, state: State = state) -> Shape:
                return program.shape(state, noting(choose))

            for shape in every_outcome(shaped):
                groups.update(dict.fromkeys(shape.groups))
                after[program.after(shape.link)] = None
        for group in groups:

            def chosen(choose: Choose, program: LinkProgram = program, group: Group = group) -> Option:
                return program.choice(group, noting(choose))

            for _ in every_outcome(chosen):
                pass
        states = list(after)
    return found


def exported(decisions: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The decisions as NNI's search space."""
    return {name: {"_type": "choice", "_value": list(options)} for name, options in decisions.items()}


class NNISampler(Sampler):
    """Proposes by one of NNI's tuners.

    Attributes:
        decisions: every decision that can occur, with its options.
    """

    def __init__(self, goal: Goal):
        super().__init__(goal)
        _imported("nni").silence_stdout()  # it would tell its seeds and individuals
        self.decisions = every_decision(goal.space)

    @abstractmethod
    def values(self, seed: int, running: Sequence[Architecture]) -> dict[str, Any]:
        """What the tuner chooses with these random numbers, by the names of the decisions."""

    def propose(self, turn: int, running: Sequence[Architecture]) -> Proposal:
        return Proposal(self.read(self.values(self.seed(turn), running)))

    def seed(self, turn: int) -> int:
        """A seed for a turn."""
        return derive(self.goal.seed, "sampler", turn) % 2**32

    def exported(self) -> dict[str, Any]:
        """The space as NNI's search space."""
        return exported(self.decisions)

    def read(self, values: dict[str, Any]) -> Architecture:
        """The architecture that a tuner's values decide; those of decisions that do not occur in it are ignored."""
        return self.goal.space.assemble(lambda name, options: values[name])

    def genes(self, architecture: Architecture) -> dict[str, Any]:
        """A value for every decision: the architecture's, and where it has none, one drawn by its digest.

        Evolution needs them all: a mutant may have decisions that its parent has not.
        """
        rng = random.Random(derive(self.goal.seed, "genes", architecture.digest()))
        chosen = self.goal.space.choices(architecture)
        drawn = {name: rng.choice(options) for name, options in self.decisions.items()}
        return {name: chosen.get(name, value) for name, value in drawn.items()}


@register("nni:tpe")
class NNITPE(NNISampler):
    """NNI's TPE (Bergstra et al., 2011): every decision is modelled by itself, with none of the others in view.

    It is told the decisions that occur in an architecture, as it would be with nested choices, and of the running
    architectures, for which it assumes the best score so far.

    Of categorical parameters it models the ranks of what it is told, not the scores: so, alone among NNI's, it can be
    told what is over the budget, as worse than all else. Untold, it likes best what is rare among the evaluated, which
    is what leads beyond the budget. The latest of these are kept, since each makes proposing slower.

    It proposes the likeliest of 24 draws, which for decisions of few options is soon always the same architecture, and
    NNI then goes on along a grid. Here a repeat is asked for again with fewer draws, the last time with one.
    """

    draws: ClassVar[tuple[int, ...]] = (24, 8, 4, 2, 1)
    rejected: ClassVar[int] = 200
    """Rejected proposals that are kept; when there are twice as many, the earlier are forgotten."""

    def __init__(self, goal: Goal):
        super().__init__(goal)
        self._module = _imported("nni.algorithms.hpo.tpe_tuner")
        self._evaluated: list[Told] = []
        self._rejected: list[Told] = []
        self._known: set[str] = set()  # digests of all that was told
        self._tuner = self._empty()

    def values(self, seed: int, running: Sequence[Architecture]) -> dict[str, Any]:
        self._tuner.rng = np.random.default_rng(seed)
        known = self._known.union(architecture.digest() for architecture in running)
        chosen: dict[str, Any] = {}
        for draws in self.draws:
            self._tuner.args = self._tuner.args._replace(n_ei_candidates=draws)
            self._tuner._running_params = dict(enumerate(map(self._indices, running)))
            chosen = self._tuner.generate_parameters(len(running))
            if self.read(chosen).digest() not in known:
                break
        self._tuner._params.clear()  # kept, and never read
        return chosen

    def tell(self, told: Told) -> None:
        self._known.add(told.architecture.digest())
        if told.score is not None:
            self._evaluated.append(told)
        elif told.reason == OVER_BUDGET:
            self._rejected.append(told)
        else:
            return
        self._add(told)
        if len(self._rejected) >= 2 * self.rejected:
            self._rejected = self._rejected[-self.rejected :]
            self._tuner = self._empty()
            for kept in (*self._rejected, *self._evaluated):
                self._add(kept)

    def _empty(self) -> Any:
        tuner = self._module.TpeTuner(optimize_mode="maximize", seed=0)
        tuner.update_search_space(self.exported())
        # A repeat would be replaced by the next point of a grid.
        tuner.dedup = lambda parameters: parameters
        return tuner

    def _add(self, told: Told) -> None:
        self._tuner._running_params = {0: self._indices(told.architecture)}
        self._tuner.receive_trial_result(0, None, -math.inf if told.score is None else told.score)

    def _indices(self, architecture: Architecture) -> dict[tuple[str], int]:
        chosen = self.goal.space.choices(architecture)
        return {(name,): self.decisions[name].index(value) for name, value in chosen.items()}


@register("nni:evolution")
class NNIEvolution(NNISampler):
    """NNI's naive evolution (arXiv:1703.01041): of two individuals the better has a mutant, which replaces the worse.

    The candidates drawn at the start are its first generation, where NNI would draw from the whole space, mostly beyond
    a tight budget. One drawn later, after too many rejected mutants, replaces the worst. A mutant differs in one
    decision, at most.
    """

    def __init__(self, goal: Goal):
        super().__init__(goal)
        self._module = _imported("nni.algorithms.hpo.evolution_tuner")
        self._tuner = self._module.EvolutionTuner(optimize_mode="maximize", population_size=1)
        self._tuner.update_search_space(self.exported())
        self._population: dict[str, Any] = {}  # individuals by digest, in the order that they were told

    def propose(self, turn: int, running: Sequence[Architecture]) -> Proposal:
        if not self._population:
            return Proposal(self.goal.priced.sample(self.rng(turn)))
        architecture = self.read(self.values(self.seed(turn), running))
        left = set(map(id, self._tuner.population))
        losers = [digest for digest, individual in self._population.items() if id(individual) not in left]
        return Proposal(architecture, {LOSER: losers[0]} if losers else {})

    def values(self, seed: int, running: Sequence[Architecture]) -> dict[str, Any]:
        self._tuner.population = list(self._population.values())
        self._tuner.random_state = np.random.RandomState(seed)
        with _seeded(seed):
            chosen: dict[str, Any] = self._tuner.generate_parameters(0)
        self._tuner.running_trials.clear()
        return chosen

    def tell(self, told: Told) -> None:
        if told.score is None:
            return
        if LOSER in told.proposal.memo:
            self._population.pop(told.proposal.memo[LOSER], None)
        elif len(self._population) >= max(2, self.goal.startup):
            del self._population[min(self._population, key=lambda digest: self._population[digest].result)]
        genes = self.genes(told.architecture)
        config = {name: {"_index": self.decisions[name].index(value), "_value": value} for name, value in genes.items()}
        self._population[told.architecture.digest()] = self._module.Individual(config, result=told.score)


@register("nni:random")
class NNIRandom(NNISampler):
    """NNI's random tuner: every decision uniform by itself, over the whole space.

    That is not uniform over the architectures, and beyond a tight budget most of the time; `random` is uniform within.
    """

    def __init__(self, goal: Goal):
        super().__init__(goal)
        self._tuner = _imported("nni.algorithms.hpo.random_tuner").RandomTuner(seed=0)
        self._tuner.update_search_space(self.exported())
        self._tuner.dedup = lambda parameters: parameters  # the search loop sees to repeats

    def values(self, seed: int, running: Sequence[Architecture]) -> dict[str, Any]:
        self._tuner.rng = np.random.default_rng(seed)
        chosen: dict[str, Any] = self._tuner.generate_parameters()
        return chosen


@register("nni:regularized-evolution")
class NNIRegularizedEvolution(NNISampler):
    """NNI's regularized evolution, a strategy of `nni.nas` (arXiv:1802.01548), with its population and tournament.

    In contrast to the paper's, and to `regularized-evolution`, a mutant differs in each decision with a small
    probability, in none or in several, and may be over the budget. The candidates drawn at the start are its first
    individuals; mutation begins when they are told, not when the population is full.
    """

    def __init__(self, goal: Goal):
        super().__init__(goal)
        # The rest of nni.nas wants PyTorch Lightning, and seconds to import: the strategy itself needs neither.
        _imported("nni").set_default_framework("none")
        self._module = _imported("nni.nas.strategy.evolution")
        mutable = _imported("nni.mutable")
        # The search loop sees to repeats.
        self._strategy = self._module.RegularizedEvolution(dedup=False)
        # What `initialize` sets, along with an engine that evaluates: that is the search loop's part.
        self._strategy._model_space = mutable.MutableDict(
            {name: mutable.Categorical(options, label=name) for name, options in self.decisions.items()}
        )

    def propose(self, turn: int, running: Sequence[Architecture]) -> Proposal:
        if not self._strategy._population:
            return Proposal(self.goal.priced.sample(self.rng(turn)))
        return super().propose(turn, running)

    def values(self, seed: int, running: Sequence[Architecture]) -> dict[str, Any]:
        self._strategy._random_state = np.random.RandomState(seed)
        chosen: dict[str, Any] = self._strategy.new_individual()
        return chosen

    def tell(self, told: Told) -> None:
        if told.score is None:
            return
        population = self._strategy._population
        population.append(self._module.Individual(self.genes(told.architecture), told.score))
        if len(population) > self._strategy.population_size:
            population.popleft()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The global random numbers, which NNI's evolution uses, begin at the seed; after it they are as they were."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _missing(error.name or "nni") from None


def _missing(package: str) -> InputError:
    return InputError(f"`framework` nni: needs {package}; pip install 'coordnas[nni]'")
