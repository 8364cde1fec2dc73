"""What a command says where a folder holds another run: which flag differs, and what to type to go on there."""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from commands.adaptations import AdaptSettings
from commands.planning import BEFORE
from commands.presets import PRESETS
from commands.pretraining import PretrainSettings
from commands.recipes import RetrainSettings
from commands.search_settings import SearchSettings, settings_of
from commands.values import typed
from studies.runs.identity import Asked
from training.adaptation.settings import Adaptation
from training.methods.settings import OWN
from training.recipe import Recipe
from training.sizing import PLANNED


def _of_evaluators() -> dict[str, str]:
    """Places in an evaluator's identity by what a preset calls them: `recipe.epochs`, `proxy.pictures`."""
    places = {field.metadata.get("place"): field.name for field in fields(SearchSettings)}
    return {place.replace("proxy.", "settings.", 1): name for place, name in places.items() if place is not None} | {
        "name": "evaluator",
        "count": "anchors",
        "weights": "supernet",
        **{name: name for name in ("score", "table", "prior", "init")},
    }


def _same(names: Mapping[str, Any] | set[str], within: str = "") -> dict[str, str]:
    return {f"{within}{name}": name for name in names}


def _of(settings: type) -> set[str]:
    return {field.name for field in fields(settings)}


_METHODS = {f"method_settings.{name}": name for own in OWN.values() for name in _of(own)}

OF_SEARCH = {
    **_same({"space", "data", "seed", "task"}),
    "latency": "latency_table",
    **_same({"max_macs", "max_params"}, "budget."),
    "budget.max_latency_ns": "max_latency_ms",
    "sampler.name": "sampler",
    **_same({"startup", "objectives", "front_share"}, "sampler."),
    **{f"evaluator.{place}": name for place, name in _of_evaluators().items()},
    **{f"evaluator.supernet.{place}": name for place, name in _of_evaluators().items()},
}
OF_RETRAINING = {**_same({"data", "task", "init", "teacher", "method"}), **_same(_of(Recipe), "recipe."), **_METHODS}
OF_PRETRAINING = {**OF_RETRAINING, "seed": "seed"}
OF_ADAPTATION = {
    **_same({"data", "seed"}),
    **_same(_of(Recipe), "recipe."),
    **_same(_of(Adaptation), "adaptation."),
}


def called(place: str, settings: type, names: Mapping[str, str]) -> str:
    """What messages call a place in an identity: the setting that says it, in backquotes, and what is below that.

    What no flag sets is said in words: a preset or a recipe sets it.

    Args:
        settings: the command's.
        names: of these by place.
    """
    steps = re.split(r"(?=[.\[])", place)
    for count in range(len(steps), 0, -1):
        name = names.get("".join(steps[:count]))
        if name in _of(settings):
            below = "".join(steps[count:]).lstrip(".")
            return f"`{name}`: {below}" if below and below[0] != "[" else f"`{name}`"
    return "'s ".join(place.replace("_", " ").split("."))


def flags_of_search(recorded: dict[str, Any], identity: dict[str, Any]) -> str:
    """What to type so that a search goes on that was planned otherwise, or whose preset is not the pictures'.

    Args:
        recorded: what the search is, as its folder says.
        identity: what the command line asks for now.
    """
    there, here = (_scored_by(plain) for plain in (recorded, identity))
    if _at(there, "name") != _at(here, "name"):
        return ""
    if _at(recorded, "evaluator", "name") != _at(identity, "evaluator", "name"):  # one is corrected by anchors
        return f"--anchors {_at(recorded, 'evaluator', 'count') or 0}"
    words: list[Any] = []
    space = _at(recorded, "space", "name")
    if space != _at(identity, "space", "name"):
        words += [name for name in PRESETS if settings_of(name).space == space][:1]
    if any(_at(there, "recipe", name) != _at(here, "recipe", name) for name in PLANNED):
        words += ["--supernet-epochs", _at(there, "recipe", "epochs")]
        words += ["--batch-size", _at(there, "recipe", "batch_size")]
    rungs = _at(there, "settings", "halving", "epochs")
    if isinstance(rungs, list) and rungs != _at(here, "settings", "halving", "epochs"):
        words += ["--proxy-epochs", ",".join(map(str, rungs))]
    if (share := _at(recorded, "sampler", "front_share")) != _at(identity, "sampler", "front_share"):
        words += ["--front-share", BEFORE if share is None else share]
    if _at(there, "init") != _at(here, "init"):
        words += _init_flag(_at(there, "init"))
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
        words += _init_flag(recorded.get("init"))
    return " ".join(words)


def _init_flag(name: object) -> list[str]:
    """What to type for first weights of that name; nothing for those that only their digest names."""
    return [] if " " in str(name) else ["--init", str(name)]


SEARCHED = Asked(flags_of_search, lambda place: called(place, SearchSettings, OF_SEARCH))
RETRAINED = Asked(flags_of_retraining, lambda place: called(place, RetrainSettings, OF_RETRAINING))
PRETRAINED = Asked(flags_of_retraining, lambda place: called(place, PretrainSettings, OF_PRETRAINING))
ADAPTED = Asked(named=lambda place: called(place, AdaptSettings, OF_ADAPTATION))
