"""What is planned from the number of training pictures: a search's trainings, and a retraining's."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from commands.presets import PRESETS, Preset, SearchSettings, overridden
from commands.recipes import MADE_FOR, RetrainSettings, recipe
from commands.values import typed
from evaluators.proxy.settings import ProxySettings
from evaluators.supernet.anchored import AnchorSettings
from evaluators.supernet.room import SupernetSettings
from evaluators.supernet.settings import SupernetRecipe
from training.recipe import Recipe
from training.sizing import PLANNED, planned, told


@dataclass(frozen=True)
class SearchPlan:
    """How a search trains what it scores by, and a line on what of that was planned, if anything was."""

    supernet: SupernetRecipe
    anchor: Recipe
    proxy: ProxySettings
    said: str | None


def plan_search(chosen: Preset, settings: SearchSettings, pictures: int) -> SearchPlan:
    """The preset's trainings for so many training pictures; what flags say stays as they say it."""
    flags = {"epochs": settings.supernet_epochs, "batch_size": settings.batch_size}
    given = [name for name, value in flags.items() if value is not None]
    usual = overridden(chosen, settings)
    supernet = planned(usual.recipe, chosen.pictures, pictures, given)
    proxy, said = _proxy(usual.proxy, chosen.pictures, pictures, settings.proxy_epochs is not None)
    if settings.evaluator != "proxy":
        trains = settings.evaluator == "supernet"
        override = "--supernet-epochs and --batch-size"
        said = told(usual.recipe, chosen.pictures, supernet, pictures, override) if trains else None
    return SearchPlan(supernet, planned(chosen.anchor, chosen.pictures, pictures, given), proxy, said)


def own_settings(settings: SearchSettings, chosen: Preset, plan: SearchPlan) -> Any:
    """What the chosen evaluator's room wants to know, from flags, preset and plan; None for a plugin's evaluator."""

    def supernet() -> SupernetSettings:
        given = Path(settings.supernet) if settings.supernet else None
        if given is not None and settings.engine == "ray":  # whose actors have folders of their own
            given = given.resolve()
        anchors = AnchorSettings(settings.anchors, plan.anchor)
        return SupernetSettings(plan.supernet, chosen.scoring, settings.prior, anchors, given)

    made: dict[str, Callable[[], Any]] = {
        "supernet": supernet,
        "proxy": lambda: plan.proxy,
        "zero-cost": lambda: settings.score,
        "tabular": lambda: settings.table,
    }
    return made[settings.evaluator]() if settings.evaluator in made else None


def _proxy(settings: ProxySettings, own: int, pictures: int, given: bool) -> tuple[ProxySettings, str | None]:
    """The rungs, each lengthened alike unless they are given, and a line on the last."""
    if given:
        return settings, None
    halving = settings.halving
    own, pictures = (max(1, round(settings.pictures * count)) for count in (own, pictures))
    last = settings.recipe.lasting(halving.epochs[-1])
    fitted = planned(last, own, pictures)
    rungs = tuple(epochs * fitted.epochs // last.epochs for epochs in halving.epochs)
    recipe = fitted.lasting(settings.recipe.epochs)
    found = replace(settings, recipe=recipe, halving=replace(halving, epochs=rungs))
    return found, told(last, own, fitted, pictures, "--proxy-epochs")


def plan_retraining(settings: RetrainSettings, pictures: int) -> tuple[Recipe, str | None]:
    """The recipe for so many training pictures, flags overriding it, and a line on what was planned, if anything."""
    usual, own = recipe(settings), MADE_FOR[settings.recipe or "quick"]
    given = [field.name for field in fields(usual) if getattr(settings, field.name) is not None]
    chosen = planned(usual, own, pictures, given)
    return chosen, told(usual, own, chosen, pictures, "--epochs and --batch-size")


def suits(preset: str | None) -> str:
    """The recipe for what a search with that preset found."""
    return PRESETS[preset].retraining if preset in PRESETS else "quick"


def flags_of_search(recorded: dict[str, Any], identity: dict[str, Any]) -> str:
    """What to type so that a search goes on that was planned otherwise, or whose preset is not the pictures'.

    Args:
        recorded: what the search is, as its folder says.
        identity: what the command line asks for now.
    """
    there, here = (_scored_by(plain) for plain in (recorded, identity))
    if _at(there, "name") != _at(here, "name"):
        return ""
    words: list[Any] = []
    space = _at(recorded, "space", "name")
    if space != _at(identity, "space", "name"):
        words += [name for name, preset in PRESETS.items() if preset.settings.space == space][:1]
    if any(_at(there, "recipe", name) != _at(here, "recipe", name) for name in PLANNED):
        words += ["--supernet-epochs", _at(there, "recipe", "epochs")]
        words += ["--batch-size", _at(there, "recipe", "batch_size")]
    rungs = _at(there, "settings", "halving", "epochs")
    if isinstance(rungs, list) and rungs != _at(here, "settings", "halving", "epochs"):
        words += ["--proxy-epochs", ",".join(map(str, rungs))]
    if _at(there, "init") != _at(here, "init"):
        words += ["--init", _at(there, "init")]
    return " ".join(map(str, words))


def _scored_by(identity: dict[str, Any]) -> Any:
    return _at(identity, "evaluator", "supernet") or _at(identity, "evaluator")


def _at(plain: Any, *names: str) -> Any:
    """What stands there in a plain value from a file; None for nothing."""
    for name in names:
        plain = plain.get(name) if isinstance(plain, dict) else None
    return plain


def flags_of_retraining(recorded: dict[str, Any], identity: dict[str, Any]) -> str:
    """What to type so that a retraining goes on whose recipe was planned otherwise, or that found other weights."""
    was, now = recorded.get("recipe"), identity["recipe"]
    if not isinstance(was, dict):
        return ""
    words: list[str] = []
    if any(was.get(name) != now[name] for name in PLANNED):
        for name in PLANNED:
            words += [f"--{name.replace('_', '-')}", typed(was.get(name))]
    if recorded.get("init") != identity["init"]:
        words += ["--init", str(recorded.get("init"))]
    return " ".join(words)
