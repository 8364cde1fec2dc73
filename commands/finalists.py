"""The end of a search: the finalists trained by themselves, and the run's answer among them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from commands.planning import plan_finalists
from commands.search_settings import SearchSettings
from commands.search_setup import how_to_read
from evaluators.choice import Setup
from evaluators.finalists import FinalistSettings, FinalistTraining
from foundation.metric import Metric
from search_space.architecture import Architecture
from studies.finalists import finalists, trained, winner, write_finalists
from studies.trials import Candidate
from training.data.dataset import Dataset
from training.task import prepare


@dataclass(frozen=True)
class Finalists:
    """How a search ends that has finalists.

    Attributes:
        metric: of the scores. What finalists come to is the task's.
        own_data: whether the pictures are a program's own, the same at every side.
    """

    planned: FinalistSettings
    settings: SearchSettings
    setup: Setup
    metric: Metric
    own_data: bool = False

    def known_winner(self, evaluated: int) -> Candidate | None:
        """The winner that an earlier command found among so many candidates; None if there is none."""
        return winner(self.setup.folder, self._told(evaluated), self.metric)

    def winner(self, scored: Sequence[Candidate], evaluated: int) -> Candidate | None:
        """Trains the finalists, or goes on with it; None, and a line, if none could be trained.

        Args:
            scored: candidates that were looked at thoroughly.
            evaluated: how many there are in all.
        """
        setup = self.setup
        prepare(setup.task, setup.folder, setup.data, setup.reporter)
        chosen = finalists(scored, setup.priced.space, setup.priced.budget, self.planned.count)
        training = self._training(len(chosen))
        with setup.reporter.track("finalists", training.steps, "steps") as advance:
            training.advance = advance
            finals = trained(chosen, training, setup.reporter)
        if not finals:
            setup.reporter.say("no finalist could be trained: the best score is the run's answer")
            return None
        write_finalists(setup.folder, finals, self._told(evaluated), setup.task.metric)
        return finals[0].candidate

    def seconds(self, architectures: Sequence[Architecture]) -> float:
        """How long that will take, from a few steps of the architectures' trainings."""
        return self._training(self.planned.count).seconds(architectures)

    def _told(self, evaluated: int) -> dict[str, Any]:
        """What tells one choice of the winner from another: how, and among how many candidates."""
        return {**self.planned.described(), "evaluated": evaluated}

    def _training(self, count: int) -> FinalistTraining:
        """What trains so many, on the pictures and from the first weights that a retraining would take."""
        setup, planned = self.setup, replace(self.planned, count=count)
        return FinalistTraining(
            self._pictures,
            setup.data.count("train"),
            setup.task,
            planned,
            setup.folder,
            setup.reporter,
        )

    def _pictures(self, side: int) -> Dataset:
        """The pictures of a side, read as a retraining reads them."""
        setup, reading = self.setup, how_to_read(self.settings)
        streamed = self.planned.recipe.streamed
        if self.own_data or (side == max(setup.priced.space.resolution) and streamed == reading["streamed"]):
            return setup.data
        return setup.task.data(
            self.settings.data, side, setup.data.device, setup.reporter, **{**reading, "streamed": streamed}
        )


def finalists_of(
    settings: SearchSettings, setup: Setup, metric: Metric, own_data: bool, evaluated: int = 0
) -> Finalists | None:
    """How the search ends with so many candidates, or as many as it asks for; None where the best score is the end."""
    planned = plan_finalists(settings, setup.data.count("train"), setup.init, evaluated)
    return None if planned is None else Finalists(planned, settings, setup, metric, own_data)
