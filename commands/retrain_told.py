"""What a dry run of a retraining says."""

from commands.compare import Foreseen
from commands.retrain_setup import Retraining
from evaluators.finalists import FinalistTraining
from reports.terminal.plan import show_retraining


def say_plan(wanted: Retraining) -> None:
    """What the trainings of the networks cost, and how long what is left of them takes here."""
    foreseen: list[Foreseen] = []

    def best(training: FinalistTraining) -> Foreseen:
        foreseen.append(Foreseen(training))
        return foreseen[0]

    networks = wanted.compared(best)
    show_retraining(
        networks,
        {architecture.resolution: wanted.pictures(architecture) for architecture in networks.values()},
        wanted.procedure,
        len(wanted.seeds),
        wanted.reporter,
        behind={name: wanted.behind(name, architecture) for name, architecture in networks.items()},
    )
    for one in foreseen:
        if one.missing:
            trainings = f"{one.missing} trainings of {one.epochs} epochs each"
            wanted.reporter.say(f"before:  {trainings}, to choose the ratio of each attention")
