"""The task `control`: networks that act are trained, judged, searched and retrained like any other."""

import dataclasses
import json
import tempfile
from functools import partial
from pathlib import Path

import pytest
import torch

from tasks.control.games import LevelSplit
from training.diverged import DivergedError

pytest.importorskip("stable_baselines3")

from commands import retrain, search
from evaluators import forecast
from evaluators.proxy.evaluator import ProxyEvaluator
from evaluators.proxy.settings import ProxySettings
from foundation.errors import InputError
from foundation.progress import Reporter
from search_space.families.impala.equal import impala
from search_space.network import build
from search_space.spaces import priced_space
from tasks.choice import task
from tasks.control import games, room
from tasks.control.levels import UNSEEN
from tests.saying import Saying
from training.acting.settings import PPOSettings
from training.data.dataset import Dataset
from training.loop import fit
from training.methods.choice import METHODS, Training
from training.methods.settings import OWN, ChosenMethod
from training.recipe import Recipe
from training.task import Acting, Task, on

CPU = torch.device("cpu")
SMALL = partial(PPOSettings, rollouts=1, worlds=4, horizon=8, passes=1)
ENCODER = impala(0.125, 1, 32)
RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=1e-3, clip_norm=0.5)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OWN, "ppo", SMALL)
    for split, count in (("validation", 3), ("test", 5)):
        monkeypatch.setitem(UNSEEN, split, count)


@pytest.fixture
def control() -> tuple[Task, Dataset]:
    data = task("control").data("gridworld:4", 32, CPU)
    return on(task("control"), data), data


def trained(
    folder: Path, control: tuple[Task, Dataset], parts: tuple[int | None, ...] = (None,), **own: float
) -> dict[str, torch.Tensor]:
    """The weights of a short training that is given up after each of these epochs."""
    what_for, data = control
    for until in parts:
        torch.manual_seed(5)
        network = build(ENCODER, what_for.head(4, ENCODER))
        method = METHODS["ppo"](Training(network, 32, RECIPE, what_for, data, own=SMALL(**own)))
        fit(
            method,
            data.train,
            RECIPE,
            seed=3,
            checkpoint=folder / "checkpoint",
            identity={},
            reporter=Reporter(quiet=True),
            what="agent",
            until=until,
        )
    return network.state_dict()


def test_a_killed_training_ends_with_the_same_bits(tmp_path: Path, control: tuple[Task, Dataset]) -> None:
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = trained(tmp_path / "whole", control, mixreg=0.2, crop=2)
    parts = trained(tmp_path / "parts", control, (1, None), mixreg=0.2, crop=2)
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
    (tmp_path / "plain").mkdir()
    plain = trained(tmp_path / "plain", control)
    assert any(not torch.equal(value, plain[name]) for name, value in whole.items())


def test_a_return_is_measured_on_unseen_levels_and_is_the_same_each_time(control: tuple[Task, Dataset]) -> None:
    what_for, data = control
    network = build(ENCODER, what_for.head(4, ENCODER))
    first, again = (what_for.measure(network, data.test.batches(2)) for _ in range(2))
    assert first.measured == again.measured
    assert first.pictures == 5
    assert first.predictions["return"].mean() == pytest.approx(first.measured.value)
    numbers = first.measured.numbers()
    assert list(numbers) == ["return", "training_return", "gap"]
    assert numbers["gap"] == pytest.approx(numbers["training_return"] - numbers["return"])
    other = what_for.measure(network, data.validation.batches(2))
    assert (other.pictures, other.measured.value) != (5, first.measured.value)


def test_the_batch_statistics_of_a_found_network_follow_what_it_sees(control: tuple[Task, Dataset]) -> None:
    what_for, data = control
    architecture = priced_space("mobile-32").smallest
    network = build(architecture, what_for.head(4, architecture))
    before = {name: value.clone() for name, value in network.state_dict().items() if "running_mean" in name}
    method = METHODS["ppo"](Training(network, 32, RECIPE, what_for, data, own=SMALL()))
    method.practise(0, 0, lambda note: None)
    after = network.state_dict()
    assert before
    assert all(not torch.equal(value, after[name]) for name, value in before.items())


def test_the_proxy_ranks_by_the_return_on_unseen_levels(tmp_path: Path, control: tuple[Task, Dataset]) -> None:
    what_for, data = control
    settings = ProxySettings(recipe=RECIPE, pictures=1.0)
    evaluators = [ProxyEvaluator(data, settings, seed=0, folder=tmp_path / name, task=what_for) for name in "ab"]
    for each in evaluators:
        each.folder.mkdir()
        each.prepare()
    first, again = (each.rung(ENCODER, 0) for each in evaluators)
    assert first == again
    assert first.metric.name == "return"
    assert "pictures" not in evaluators[0].about()
    evaluators[0].prepare()
    assert evaluators[0].rung(ENCODER, 0) == first


def test_a_forecast_plays_few_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(UNSEEN, "validation", 3 * forecast.LEVELS)
    data = task("control").data("gridworld:4", 32, CPU)
    counts: list[int] = []

    def played(network: object, game: object, levels: object, count: int, *others: object) -> torch.Tensor:
        counts.append(count)
        return torch.zeros(count)

    monkeypatch.setattr(room, "played", played)
    method = ChosenMethod("ppo", SMALL())
    forecast.epoch_seconds(ENCODER, 32, data, data.train, RECIPE, task=on(task("control"), data), method=method)
    assert counts == 2 * [room.EPISODES * forecast.LEVELS]  # unseen levels, and those trained on


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("digits", "`data` digits: unknown to task control; known: gridworld"),
        ("gridworld:0", "`data` gridworld:0: expected 1 to 100000 training levels"),
        ("gridworld:x", "expected 1 to 100000 training levels"),
    ],
)
def test_other_data_are_refused(spec: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        task("control").data(spec, 32, CPU)


@pytest.mark.parametrize(
    ("spec", "missing", "remedy"),
    [
        ("gridworld", "stable_baselines3", "pip install 'coordnas"),
        ("procgen:coinrun", "envpool", r"pip install 'coordnas\[procgen"),
    ],
)
def test_what_is_not_installed_is_named(spec: str, missing: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = games.find_spec
    monkeypatch.setattr(games, "find_spec", lambda name: None if name == missing else real(name))
    with pytest.raises(InputError, match=f"`data` {spec}: needs {missing}; {remedy}"):
        task("control").data(spec, 32, CPU)


def test_a_method_of_other_tasks_and_settings_without_use_are_refused(control: tuple[Task, Dataset]) -> None:
    what_for, data = control
    network = build(ENCODER, what_for.head(4, ENCODER))

    def refused(recipe: Recipe = RECIPE, of: Task = what_for, method: str = "ppo") -> str:
        with pytest.raises(InputError) as raised:
            METHODS[method](Training(network, 32, recipe, of, data, own=OWN["ppo"]() if method == "ppo" else None))
        return str(raised.value)

    assert refused(of=task("classification")) == (
        "`method` ppo: for tasks that act, such as control, not task classification; leave it out"
    )
    assert "`mixup` 0.2: of no use to method ppo" in refused(dataclasses.replace(RECIPE, mixup=0.2))
    assert "`batch_size` 5: a rollout has 32 steps" in refused(dataclasses.replace(RECIPE, batch_size=5))
    assert isinstance(what_for, Acting)
    with pytest.raises(InputError, match=r"`mixobs` 0\.1: not with `mixreg` 0\.2"):
        PPOSettings(mixreg=0.2, mixobs=0.1)
    with pytest.raises(InputError, match="ppo: `mixreg`: expected 0"):
        PPOSettings(mixreg=-1.0)
    assert ChosenMethod("ppo").own == SMALL()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--evaluator", "supernet"), "`evaluator` supernet: knows pictures alone"),
        (("--evaluator", "tabular"), "use proxy or zero-cost"),
        (("--finalists", "3"), "`finalists` 3: not for task control"),
        (("--evaluator", "zero-cost", "--score", "synflow", "--data", "digits"), "unknown to task control"),
    ],
)
def test_what_makes_no_sense_for_a_search_is_refused(tmp_path: Path, flags: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        search.main(["--task", "control", "--quiet", "--out", str(tmp_path / "run"), *flags])
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("control") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OWN, "ppo", SMALL)
        for split in UNSEEN:
            patch.setitem(UNSEEN, split, 3)
        flags = ["--trials", "3", "--startup", "3", "--generation", "3", "--proxy-epochs", "1,2", "--quiet"]
        search.main(["--task", "control", "--data", "gridworld:4", "--out", str(folder), *flags])
    return folder


def test_a_search_and_a_retraining_walk_the_whole_way(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(UNSEEN, "test", 3)
    best = json.loads((searched / "best.json").read_text())
    assert best["task"] == "control"
    flags = [str(searched), "--mixreg", "0.2", "--epochs", "1", "--compare", "--quiet"]
    retrain.main(flags)
    out = searched / "retrain"
    for name in ("found", "impala"):
        assert json.loads((out / f"{name}-0" / "recipe.json").read_text())["method_settings"]["mixreg"] == 0.2
        test = json.loads((out / f"{name}-0" / "test.json").read_text())
        assert [entry["name"] for entry in test["entries"]] == ["return", "training_return", "gap"]
        assert (out / f"{name}-0" / "examples.png").stat().st_size > 1000
    assert "never trained on" in (searched / "report.html").read_text()
    before = (out / "results.json").read_bytes()
    retrain.main(flags)
    assert (out / "results.json").read_bytes() == before


def test_a_zero_cost_score_looks_at_first_pictures(tmp_path: Path) -> None:
    flags = ["--evaluator", "zero-cost", "--score", "progressivity", "--trials", "2", "--startup", "2", "--quiet"]
    search.main(["--task", "control", "--data", "gridworld:4", "--out", str(tmp_path / "run"), *flags])
    assert json.loads((tmp_path / "run" / "best.json").read_text())["task"] == "control"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--momentum", "0.5"), "--momentum 0.5: of no use to method ppo; leave it out"),
        (("--mixreg", "0.2", "--method", "core-tuning"), "--mixreg 0.2: it is for --method ppo alone"),
        (("--method", "core-tuning"), "core-tuning"),
        (("--mixreg", "0.2", "--mixobs", "0.2"), "`mixobs` 0.2: not with `mixreg` 0.2"),
        (("--export", "onnx"), "task control"),
        (("--teacher", "torchvision:resnet18"), "`teacher` torchvision"),
    ],
)
def test_what_makes_no_sense_for_a_retraining_is_refused(searched: Path, flags: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        retrain.main([str(searched), "--quiet", "--out", str(searched / "other"), *flags])
    assert not (searched / "other").exists()


def test_mixreg_is_refused_for_pictures(tmp_path: Path) -> None:
    best = tmp_path / "best.json"
    best.write_text(priced_space("mobile-32").smallest.to_json())
    with pytest.raises(
        InputError, match="`mixreg`, `mixobs` and `crop` are for networks that act, not for task classification; leave"
    ):
        retrain.main([str(best), "--data", "digits", "--mixreg", "0.2", "--quiet", "--out", str(tmp_path / "out")])


def test_several_processes_are_refused(
    tmp_path: Path, control: tuple[Task, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.practice.distributed.world", lambda: 2)
    with pytest.raises(InputError, match="2 processes cannot share a training by episodes; start one"):
        trained(tmp_path, control)


def test_another_trainings_checkpoint_is_refused(tmp_path: Path, control: tuple[Task, Dataset]) -> None:
    trained(tmp_path, control, (1,))
    told = Saying()
    what_for, data = control
    network = build(ENCODER, what_for.head(4, ENCODER))
    method = METHODS["ppo"](Training(network, 32, RECIPE, what_for, data, own=SMALL()))
    with pytest.raises(InputError, match="belongs to another training"):
        fit(
            method,
            data.train,
            RECIPE,
            seed=4,
            checkpoint=tmp_path / "checkpoint",
            identity={},
            reporter=told,
            what="agent",
        )


def test_no_clipping_is_none(control: tuple[Task, Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A norm of 0 would take all gradients away."""
    data = control[1]
    assert isinstance(data.train, LevelSplit)
    network = build(ENCODER, control[0].head(4, ENCODER))
    recipe = dataclasses.replace(RECIPE, clip_norm=0.0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    method = METHODS["ppo"](Training(network, 32, recipe, control[0], data, own=SMALL()))
    first = {name: value.clone() for name, value in network.state_dict().items()}
    method.practise(0, 3, lambda note: None)
    assert any(not torch.equal(value, first[name]) for name, value in network.named_parameters())
    assert not list(tmp_path.iterdir())


def test_a_network_that_is_no_number_any_more_is_told(tmp_path: Path, control: tuple[Task, Dataset]) -> None:
    what_for, data = control
    network = build(ENCODER, what_for.head(4, ENCODER))
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    method = METHODS["ppo"](Training(network, 32, RECIPE, what_for, data, own=SMALL()))
    given = {"seed": 3, "checkpoint": tmp_path / "checkpoint", "identity": {}, "reporter": Reporter(quiet=True)}
    with pytest.raises(DivergedError, match=r"agent: the network became nan in epoch 1; .* lower the learning rate"):
        fit(method, data.train, RECIPE, **given, what="agent")


def test_a_policy_has_no_channels() -> None:
    with pytest.raises(InputError, match="`head` policy/64: policy has no channels to choose"):
        task("control", "policy/64")
