"""What a dry run of a retraining says."""

from commands.compare import Foreseen
from commands.retrain_setup import Retraining
from reports.terminal.plan import show_retraining


def say_plan(wanted: Retraining) -> None:
    """What the trainings of the networks cost, and how long what is left of them takes here."""
    foreseen = Foreseen(wanted.contested())
    networks = wanted.compared(foreseen)
    show_retraining(
        networks,
        {architecture.resolution: wanted.pictures(architecture) for architecture in networks.values()},
        wanted.procedure,
        len(wanted.seeds),
        wanted.reporter,
        behind={name: wanted.behind(name, architecture) for name, architecture in networks.items()},
    )
    if foreseen.missing:
        trainings = f"{foreseen.missing} trainings of {foreseen.epochs} epochs each"
        wanted.reporter.say(f"before:  {trainings}, to choose the ratio of each attention")
