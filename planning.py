"""What is planned from the number of training pictures: a search's trainings, and a retraining's."""

from dataclasses import dataclass, fields, replace

from evaluators.proxy import ProxySettings
from evaluators.supernet import SupernetRecipe
from presets import Preset, SearchSettings, proxy_settings
from recipes import MADE_FOR, RetrainSettings, recipe
from training.recipe import Recipe
from training.sizing import planned, told


@dataclass(frozen=True)
class SearchPlan:
    """How a search trains what it scores by, and a line on what of that was planned, if anything was."""

    supernet: SupernetRecipe
    anchor: Recipe
    proxy: ProxySettings
    said: str | None


def plan_search(chosen: Preset, settings: SearchSettings, pictures: int) -> SearchPlan:
    """The preset's trainings for so many training pictures; what flags say stays as they say it."""
    given = {"epochs": settings.supernet_epochs, "batch_size": settings.batch_size}
    given = {name: value for name, value in given.items() if value is not None}
    usual = replace(chosen.recipe, **given)
    supernet = planned(usual, chosen.pictures, pictures, given)
    proxy = _proxy(proxy_settings(chosen, settings), chosen.pictures, pictures, settings.proxy_epochs is not None)
    said = None
    if settings.evaluator == "supernet":
        said = told(usual, chosen.pictures, supernet, pictures, "--supernet-epochs and --batch-size")
    return SearchPlan(supernet, planned(chosen.anchor, chosen.pictures, pictures, given), proxy, said)


def _proxy(settings: ProxySettings, own: int, pictures: int, given: bool) -> ProxySettings:
    """The rungs, each lengthened alike, unless they are given."""
    if given:
        return settings
    halving, share = settings.halving, settings.pictures
    last = settings.recipe.lasting(halving.epochs[-1])
    fitted = planned(last, round(share * own), round(share * pictures))
    rungs = tuple(epochs * fitted.epochs // last.epochs for epochs in halving.epochs)
    return replace(settings, recipe=fitted.lasting(settings.recipe.epochs), halving=replace(halving, epochs=rungs))


def plan_retraining(settings: RetrainSettings, pictures: int) -> tuple[Recipe, str | None]:
    """The recipe for so many training pictures, flags overriding it, and a line on what was planned, if anything."""
    usual, own = recipe(settings), MADE_FOR[settings.recipe]
    given = [field.name for field in fields(usual) if getattr(settings, field.name) is not None]
    chosen = planned(usual, own, pictures, given)
    return chosen, told(usual, own, chosen, pictures, "--epochs and --batch-size")
