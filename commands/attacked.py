"""How `evaluate.py` tests networks under attack: what its flags ask for, and what it tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from commands.settings import EvaluateSettings
from deployment.model_source import Model
from deployment.robustness import Robustness, attacked, gated
from foundation.errors import InputError
from foundation.progress import Reporter
from reports.terminal.deployed_tables import masking_line, robustness_table
from training.attacks.epsilon import EPSILON, read_epsilon
from training.attacks.registry import PGD, Adaptive, Attack, read_attack
from training.data.datasets import Dataset


@dataclass(frozen=True)
class AttackPlan:
    """What the flags ask for.

    Attributes:
        attacks: by what was typed, such as `pgd` or `square:5000`.
        epsilon: of a value from 0 to 1.
        bound: the same as it was typed.
    """

    attacks: Mapping[str, Attack]
    epsilon: float
    bound: str


def planned(settings: EvaluateSettings) -> AttackPlan | None:
    """What is asked for; None for no attack.

    Raises InputError for an unknown attack, an epsilon that is none, and flags that have nothing to do.
    """
    if settings.attack is None:
        for name in ("epsilon", "pictures"):
            if getattr(settings, name) is not None and not (name == "pictures" and settings.neurons):
                raise InputError(f"`{name}` {getattr(settings, name)}: for a test under attack; add `attack`")
        return None
    if settings.latency:
        raise InputError("`attack`: a test, and `latency` measures times without one; leave one of them out")
    bound = settings.epsilon or EPSILON
    return AttackPlan({text: read_attack(text) for text in settings.attack}, read_epsilon(bound), bound)


def under_attack(
    name: str, model: Model, data: Dataset, attacking: AttackPlan, settings: EvaluateSettings, reporter: Reporter
) -> Robustness:
    """What the network makes of attacked pictures.

    Where gates go by probes `pgd` alone may be misled, so the attack against these is added to it.
    """
    attacks = dict(attacking.attacks)
    descents = {text: attack for text, attack in attacks.items() if isinstance(attack, PGD)}
    if gated(model) and descents and not any(isinstance(attack, Adaptive) for attack in attacks.values()):
        text, attack = max(descents.items(), key=lambda one: one[1].steps)
        attacks[text.replace("pgd", "adaptive")] = Adaptive(attack.steps)
        reporter.say(f"{name}: has gates that go by probes, so `attack` adaptive is added to pgd")
    return attacked(
        model,
        data,
        getattr(data, settings.split),
        attacks,
        attacking.epsilon,
        name=name,
        pictures=settings.pictures,
        batch_size=settings.batch_size,
        reporter=reporter,
    )


def show_robustness(
    robust: Sequence[tuple[str, Robustness]],
    of: str,
    attacking: AttackPlan,
    settings: EvaluateSettings,
    reporter: Reporter,
) -> None:
    """The table, and a line on each network's gradients.

    Args:
        of: the data's name.
    """
    counts = ", ".join(dict.fromkeys(str(found.pictures) for _, found in robust))
    title = f"{of}: {counts} {settings.split} pictures, each value changed by at most {attacking.bound}"
    reporter.show(robustness_table(robust, title))
    for name, found in robust:
        reporter.say(masking_line(found) if len(robust) == 1 else f"{name}: {masking_line(found)}")
