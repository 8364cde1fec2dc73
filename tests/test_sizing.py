"""Trainings planned from the number of pictures: of a recipe's own number it stays, bit for bit."""

from dataclasses import replace

import pytest

from commands.planning import plan_retraining, plan_search
from commands.presets import PRESETS
from commands.recipes import MADE_FOR, RECIPES, RetrainSettings
from commands.search_settings import SearchSettings, settings_of
from evaluators.supernet.settings import SupernetRecipe
from training.recipe import Recipe
from training.sizing import FEWEST_STEPS, MOST_EPOCHS, SMALLEST_BATCH, epoch_steps, planned, told, told_apart

DIGITS = PRESETS["digits"]


def _steps(recipe: Recipe, pictures: int) -> int:
    return recipe.epochs * epoch_steps(pictures, recipe.batch_size)


def test_the_digits_own_recipe_is_todays() -> None:
    plan = plan_search(DIGITS, settings_of("digits"), 12_000)
    assert (plan.own.recipe.epochs, plan.own.recipe.batch_size, plan.own.recipe.largest_epochs) == (10, 64, 0)
    assert _steps(plan.own.recipe, 12_000) == 1870


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("more", [0, 1, 100_000])
def test_a_preset_stays_on_its_own_pictures_and_on_more(name: str, more: int) -> None:
    preset, settings = PRESETS[name], settings_of(name)
    if settings.evaluator == "supernet":
        plan = plan_search(preset, settings, preset.pictures + more)
        assert (plan.own.recipe, plan.own.anchors.recipe) == (preset.recipe, preset.anchor)
        assert plan.said is None
    plan = plan_search(preset, replace(settings, evaluator="proxy"), preset.pictures + more)
    assert (plan.own, plan.said) == (preset.proxy, None)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_stays_on_its_own_pictures(name: str) -> None:
    assert plan_retraining(RetrainSettings("x", recipe=name), MADE_FOR[name]) == (RECIPES[name], None)


def test_imagenet_less_some_files_is_imagenet_still() -> None:
    for name in ("paper", "modern"):
        chosen, _ = plan_retraining(RetrainSettings("x", recipe=name), 1_271_000)
        assert chosen == replace(RECIPES[name], ema_decay=chosen.ema_decay)
        assert chosen.ema_decay == pytest.approx(RECIPES[name].ema_decay, abs=1e-6)


def test_every_recipe_says_what_it_is_for() -> None:
    assert MADE_FOR.keys() == RECIPES.keys()


@pytest.mark.parametrize("recipe", [DIGITS.recipe, RECIPES["quick"], RECIPES["modern"], RECIPES["paper"]])
@pytest.mark.parametrize("own", [12_000, 1_271_167])
def test_steps_follow_the_pictures_gently(recipe: Recipe, own: int) -> None:
    numbers = [1, 10, 42, 150, 600, 5000, own - 1]
    plans = [planned(recipe, own, pictures) for pictures in numbers]
    for pictures, plan in zip(numbers, plans, strict=True):
        steps = _steps(plan, pictures)
        assert plan.epochs >= recipe.epochs
        assert plan.batch_size >= SMALLEST_BATCH
        assert steps <= 1.05 * _steps(recipe, own)
        assert steps >= 0.9 * FEWEST_STEPS or plan.epochs == max(MOST_EPOCHS, recipe.epochs)
    batches = [plan.batch_size for plan in plans]
    assert batches == sorted(batches)
    epochs = [plan.epochs for plan in plans]
    assert epochs == sorted(epochs, reverse=True) or epochs[0] == max(MOST_EPOCHS, recipe.epochs)


def test_what_is_given_stays() -> None:
    epochs = plan_search(DIGITS, replace(settings_of("digits"), supernet_epochs=5), 600).own.recipe
    assert (epochs.epochs, epochs.largest_epochs) == (5, DIGITS.recipe.largest_epochs)
    batch = plan_search(DIGITS, replace(settings_of("digits"), batch_size=32), 600).own.recipe
    assert (batch.batch_size, batch.learning_rate) == (32, DIGITS.recipe.learning_rate)
    assert batch.epochs > 10
    both = plan_search(DIGITS, replace(settings_of("digits"), supernet_epochs=10, batch_size=64), 600)
    assert (both.own.recipe, both.own.anchors.recipe, both.said) == (DIGITS.recipe, DIGITS.anchor, None)
    rungs = plan_search(DIGITS, SearchSettings(evaluator="proxy", proxy_epochs=(1, 3, 9)), 600).own
    assert rungs == DIGITS.proxy
    chosen, said = plan_retraining(RetrainSettings("x", epochs=12, batch_size=128), 600)
    assert (chosen, said) == (RECIPES["quick"], None)
    chosen, _ = plan_retraining(RetrainSettings("x", recipe="modern", learning_rate=0.2, ema_decay=0.5), 600)
    assert (chosen.learning_rate, chosen.ema_decay) == (0.2, 0.5)


def test_a_moving_average_forgets_in_the_same_share_of_the_steps() -> None:
    own, pictures = MADE_FOR["modern"], 5000
    recipe = RECIPES["modern"]
    plan = planned(recipe, own, pictures)
    share = (1 - recipe.ema_decay) * _steps(recipe, own)
    assert (1 - plan.ema_decay) * _steps(plan, pictures) == pytest.approx(share)


def test_the_largest_network_keeps_its_share_of_the_epochs() -> None:
    recipe = SupernetRecipe(epochs=18, largest_epochs=3)
    assert recipe.lasting(84).largest_epochs == 14
    assert recipe.lasting(18) == recipe


def test_rungs_grow_alike() -> None:
    plan = plan_search(DIGITS, SearchSettings(evaluator="proxy"), 600)
    rungs = plan.own.halving.epochs
    assert plan.said
    assert plan.said.startswith(f"300 training pictures: {rungs[-1]} epochs of ")
    assert plan.said.endswith("(planned: the usual 9 epochs are for 6,000); override with `proxy_epochs`")
    assert rungs[0] > 1
    assert [epochs / rungs[0] for epochs in rungs] == pytest.approx([1, 3, 9], rel=0.2)


def test_a_plan_is_said() -> None:
    plan = planned(DIGITS.recipe, 12_000, 600)
    steps = epoch_steps(600, plan.batch_size)
    assert told(DIGITS.recipe, 12_000, plan, 600, "--a and --b") == (
        f"600 training pictures: {plan.epochs} epochs of {steps} steps, {plan.epochs * steps} in all, of "
        f"{plan.batch_size} pictures each (planned: the usual 10 epochs are for 12,000); override with --a and --b"
    )
    assert told(DIGITS.recipe, 12_000, DIGITS.recipe, 12_000, "") is None
    given = planned(DIGITS.recipe, 12_000, 60, ["epochs"])
    said = told(DIGITS.recipe, 12_000, given, 60, "--a")
    assert said is not None
    assert said.endswith(
        f"(planned: the usual batches of {DIGITS.recipe.batch_size} are for 12,000); override with --a"
    )


def test_few_pictures_are_said_with_their_standard_error() -> None:
    assert told_apart(90, "validation") == (
        "90 validation pictures are few: an accuracy of 90 % is known to ± 3.2 points (standard error), so networks "
        "less than 6 points apart are a draw"
    )
    assert told_apart(399, "test")
    assert told_apart(400, "test") is None
