"""Zero-cost scores: the contract that all of them hold, each against its formula, and the evaluator made of them."""

import copy
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evaluators.base import Score
from evaluators.titles import title_of
from evaluators.zero_cost import AGGREGATES, Scorer, ZeroCostEvaluator, names, scores, single_scores
from evaluators.zero_cost.az_nas import _entropy
from evaluators.zero_cost.registry import OF_CLASS_LABELS, SCORES, components, register
from evaluators.zero_cost.scoring import Batch
from foundation.metric import ACCURACY, metric
from foundation.progress import Reporter
from reports.terminal.tables import front_table, front_title
from search_space import Attention, Budget, InputError, build
from search_space.architecture import Architecture
from search_space.attention import kinds, takes_reduction
from search_space.cost.priced_space import PricedSpace
from search_space.families.mobile.blocks import attend
from search_space.head import Head
from search_space.spaces import named_space
from studies.front import pareto_front
from studies.loop import search
from studies.runs import run_folder
from studies.samplers import Goal, make_sampler
from studies.storage.optuna_study import OptunaStudy
from tasks.choice import task
from tasks.classification.bottleneck import BottleneckHead
from training.data.datasets import Dataset, load_data

QUIET = Reporter(quiet=True)
NEED_CLASSES = {name for name in names() if any(SCORES[one] in OF_CLASS_LABELS for one in components(name))}
COMPUTED = [name for name in single_scores() if name not in ("macs", "params")]


@pytest.fixture(scope="module")
def data(picture_folder: Path) -> Dataset:
    return load_data(f"folder:{picture_folder}", 24, torch.device("cpu"))


@pytest.fixture
def scorer(tiny_space: PricedSpace, data: Dataset) -> Scorer:
    return Scorer(tiny_space, data, seed=3, batch=Batch(size=16, reference=3))


@pytest.mark.parametrize("name", names())
def test_contract(scorer: Scorer, tiny_space: PricedSpace, name: str) -> None:
    torch.manual_seed(11)
    state = torch.get_rng_state()
    value = scorer.score(tiny_space.largest, name)
    assert type(value) is float
    assert math.isfinite(value)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(12)
    again = Scorer(tiny_space, scorer.data, seed=3, batch=scorer.batch)
    assert again.score(tiny_space.smallest, name) != value
    assert again.score(tiny_space.largest, name) == value
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("activation", ["relu6", "silu"])
def test_every_score_of_every_attention_and_activation(
    tiny_space: PricedSpace, scorer: Scorer, activation: str
) -> None:
    for kind in kinds():
        attention = Attention(kind, 4) if takes_reduction(kind) else Attention(kind)
        stages = attend(
            tiny_space.smallest.stages, 8, activation, lambda _index, _stage, attention=attention: attention
        )
        architecture = Architecture(
            resolution=17, stem_width=8, stem_stride=2, stages=stages, head_width=16, activation=activation
        )
        for name in COMPUTED:
            assert math.isfinite(scorer.score(architecture, name)), (kind, name)


def test_counts_are_those_of_the_cost_table(scorer: Scorer, tiny_space: PricedSpace) -> None:
    for architecture in scorer.sample():
        cost = tiny_space.cost(architecture)
        assert scorer.score(architecture, "macs") == cost.macs
        assert scorer.score(architecture, "params") == cost.params


def test_seeds_and_pictures_matter(scorer: Scorer, tiny_space: PricedSpace) -> None:
    other = Scorer(tiny_space, scorer.data, seed=4, batch=scorer.batch)
    for name in COMPUTED:
        assert other.score(tiny_space.largest, name) != scorer.score(tiny_space.largest, name)


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_cannot_be_computed_is_an_error(
    scorer: Scorer, tiny_space: PricedSpace, monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    def broken(architecture: Architecture, head: Head) -> nn.Module:
        network = build(architecture, head)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.fill_(value)
        return network

    monkeypatch.setattr("evaluators.zero_cost.scoring.build", broken)
    digest = tiny_space.largest.digest()[:12]
    with pytest.raises(InputError, match=f"^score {name} of architecture {digest} cannot be computed: .*; use another"):
        scorer.score(tiny_space.largest, name)


def _plain(tiny_space: PricedSpace) -> nn.Module:
    """No skip, no attention: a chain of convolutions and a linear layer."""
    architecture = tiny_space.smallest
    assert all(stage.depth == 1 and stage.stride == 2 for stage in architecture.stages)
    assert all(attention.kind == "none" for stage in architecture.stages for attention in stage.attention)
    return build(architecture, 4).train()


def test_synflow_of_a_chain(tiny_space: PricedSpace) -> None:
    network = _plain(tiny_space)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    (linear,) = [module for module in network.modules() if isinstance(module, nn.Linear)]
    x = torch.ones(1, 3, 16, 16, dtype=torch.float64)
    for conv in convolutions:
        weight = conv.weight.detach().double().abs()
        x = nn.functional.conv2d(x, weight, stride=conv.stride, padding=conv.padding, groups=conv.groups)
    total = (linear.weight.detach().double().abs() @ x.mean((0, 2, 3))).sum()
    # R is of degree one in every layer's weights: by Euler each layer's sum is R itself.
    expected = math.log((len(convolutions) + 1) * float(total))
    images, labels = torch.randn(4, 3, 16, 16), torch.zeros(4, dtype=torch.int64)
    assert SCORES.get("synflow")(network, images, labels) == pytest.approx(expected, rel=1e-9)


def test_synflow_sees_magnitudes_only(tiny_space: PricedSpace) -> None:
    images, labels = torch.randn(4, 3, 16, 16), torch.zeros(4, dtype=torch.int64)
    found = []
    for factor in (1.0, -1.0, 8.0):
        torch.manual_seed(5)
        network = _plain(tiny_space)
        with torch.no_grad():
            network.stem.conv.weight *= factor
        found.append(SCORES.get("synflow")(network, images, labels))
    assert found[0] == pytest.approx(found[1])
    assert found[0] + math.log(8) == pytest.approx(found[2])


def test_naswot_counts_equal_units() -> None:
    network: Any = nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.ReLU(), nn.Linear(7, 5), nn.ReLU6(inplace=True))
    images = torch.randn(4, 3, 2, 2)
    first, second = network[1], network[3]
    x = images.flatten(1).double().numpy()
    before = x @ first.weight.detach().double().numpy().T + first.bias.detach().double().numpy()
    after = before.clip(0) @ second.weight.detach().double().numpy().T + second.bias.detach().double().numpy()
    codes = np.concatenate([before > 0, after > 0], axis=1)
    kernel = [[12 - sum(a != b for a, b in zip(one, other, strict=True)) for other in codes] for one in codes]
    expected = math.log(np.linalg.det(np.array(kernel, dtype=float) + np.eye(4)))
    assert SCORES.get("naswot")(network, images, torch.zeros(4)) == pytest.approx(expected)


def test_naswot_of_pictures_that_are_not_told_apart() -> None:
    """Folders hold copies: one adds the logarithm of its pattern's count over that without it, which is little."""
    network: Any = nn.Sequential(nn.Flatten(), nn.Linear(12, 700), nn.ReLU())
    images = torch.randn(4, 3, 2, 2)

    def score(*chosen: int) -> float:
        return SCORES.get("naswot")(copy.deepcopy(network), images[list(chosen)], torch.zeros(len(chosen)))

    assert score(0, 1, 2) < score(0, 1, 2, 0) < score(0, 1, 2) + 1.1 < score(0, 1, 2, 3)
    assert score(0, 0, 0, 0) == pytest.approx(math.log(4 * 700 + 1))


def _softmax_regression() -> tuple[Any, Tensor, Tensor, np.ndarray, np.ndarray]:
    """A network of one linear layer, a batch, its weights, and each picture's gradient by hand."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    images, labels = torch.randn(8, 3, 2, 2), torch.arange(8) % 4
    x = images.flatten(1).double().numpy()
    weight, bias = (parameter.detach().double().numpy() for parameter in network[1].parameters())
    logits = x @ weight.T + bias
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    gradients = (shares - np.eye(4)[labels.numpy()])[:, :, None] * x[:, None, :]
    return network, images, labels, weight, gradients


def test_scores_of_gradients_by_hand() -> None:
    network, images, labels, weight, gradients = _softmax_regression()
    mean = gradients.mean(0)
    assert SCORES.get("grad_norm")(network, images, labels) == pytest.approx(np.linalg.norm(mean), rel=1e-5)
    assert SCORES.get("snip")(network, images, labels) == pytest.approx(math.log(np.abs(weight * mean).sum()), rel=1e-5)
    parts = gradients.reshape(4, 2, 4, 12).mean(1)
    expected = math.log((np.abs(parts).mean(0) / parts.std(0)).sum())
    assert SCORES.get("zico")(network, images, labels) == pytest.approx(expected, rel=1e-4)


def _with_plain_hypothesis(network: Any) -> Any:
    """A copy whose hypothesis is the linear layer of the same weight."""
    plain = copy.deepcopy(network)
    before = plain.classifier.hypothesis
    plain.classifier.hypothesis = nn.Linear(before.weight.shape[1], before.weight.shape[0])
    with torch.no_grad():
        plain.classifier.hypothesis.weight.copy_(before.weight)
        plain.classifier.hypothesis.bias.copy_(before.bias)
    return plain


@pytest.mark.parametrize("name", ["synflow", "snip", "grad_norm", "zico"])
def test_a_weight_normalised_layer_counts_as_the_linear_layer_that_it_is(tiny_space: PricedSpace, name: str) -> None:
    torch.manual_seed(2)
    network = build(tiny_space.smallest, BottleneckHead(4, 16)).train()
    plain = _with_plain_hypothesis(network)
    images, labels = torch.randn(16, 3, 16, 16), torch.arange(16) % 4
    expected = SCORES.get(name)(plain, images, labels)
    assert SCORES.get(name)(network, images, labels) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("count", [4, 5, 13, 16])
def test_no_part_of_a_batch_is_one_picture(tiny_space: PricedSpace, count: int) -> None:
    """Which the bottleneck's batch normalisation, after the mean, cannot take."""
    network = build(tiny_space.smallest, BottleneckHead(4, 16)).train()
    images, labels = torch.randn(count, 3, 16, 16), torch.arange(count) % 4
    assert math.isfinite(SCORES.get("zico")(network, images, labels))


def test_entropy_of_features() -> None:
    assert _entropy(torch.randn(64, 6, 16, 16)) == pytest.approx(math.log(6), rel=1e-3)
    one = torch.randn(64, 1, 16, 16)
    assert _entropy(torch.cat([one, 2 * one, -one], 1)) == pytest.approx(0, abs=1e-6)


class _Scaled(nn.Module):
    def __init__(self, factor: float, stride: int = 1):
        super().__init__()
        self.factor = factor
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x[:, :, :: self.stride, :: self.stride]


@pytest.mark.parametrize(("factor", "stride"), [(1.0, 1), (3.0, 1), (0.25, 1), (3.0, 2)])
def test_trainability_of_a_known_jacobian(factor: float, stride: int) -> None:
    network: Any = SimpleNamespace(stemmed=nn.Identity(), blocks=lambda: [_Scaled(factor, stride)])
    value = SCORES.get("trainability")(network, torch.randn(64, 3, 33, 33), torch.zeros(64))
    assert value == pytest.approx(2 - factor - 1 / factor, abs=0.03 * (factor + 1 / factor))


def test_an_aggregate_is_made_of_ranks(scorer: Scorer, tiny_space: PricedSpace) -> None:
    architecture = scorer.sample()[2]
    expected = 0.0
    for component in AGGREGATES["az_nas"]:
        reference = [scorer.score(other, component) for other in scorer.sample()]
        value = scorer.score(architecture, component)
        rank = 1 + sum(other < value for other in reference) + sum(other == value for other in reference) / 2
        expected += math.log(rank / (1 + len(reference)))
    assert scorer.score(architecture, "az_nas") == pytest.approx(expected)


def test_scores_of_many(scorer: Scorer) -> None:
    architectures = scorer.sample()[:3]
    found = scores(architectures, ["params", "synflow", "az_nas"], scorer)
    for name, (values, seconds) in found.items():
        assert values == [scorer.score(architecture, name) for architecture in architectures]
        assert seconds > 0


def test_registry() -> None:
    with pytest.raises(ValueError, match="score 'synflow' is registered already"):
        register("synflow")(lambda network, images, labels: 0.0)
    for name in single_scores():
        assert SCORES.get(name).__doc__
    with pytest.raises(InputError, match="`score` oracle: unknown; known: az_nas, consensus, macs, params"):
        ZeroCostEvaluator(None, "oracle", Path(), QUIET)  # type: ignore[arg-type]


def test_the_evaluator_keeps_its_reference(
    scorer: Scorer, tiny_space: PricedSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = ZeroCostEvaluator(scorer, "az_nas", tmp_path, QUIET)
    evaluator.prepare()
    score = evaluator.evaluate(tiny_space.largest)
    assert score == Score("az_nas", scorer.score(tiny_space.largest, "az_nas"))
    later = Scorer(tiny_space, scorer.data, seed=3, batch=scorer.batch)
    again = ZeroCostEvaluator(later, "az_nas", tmp_path, QUIET)
    again.prepare()
    monkeypatch.setattr(Scorer, "sample", lambda self: pytest.fail("scored again"))
    assert again.evaluate(tiny_space.largest, thorough=True) == score
    for broken in ([], {}, {"macs": [1.0]}, {name: ["1"] * 3 for name in AGGREGATES["az_nas"]}):
        (tmp_path / "reference.json").write_text(json.dumps(broken))
        with pytest.raises(InputError, match=r"reference.json: not the scores of the reference networks; remove it"):
            again.prepare()


def test_identity_tells_scores_apart(scorer: Scorer) -> None:
    identities = [ZeroCostEvaluator(scorer, name, Path(), QUIET).identity() for name in names()]
    assert len({json.dumps(identity) for identity in identities}) == len(names())
    assert "reference" in identities[0]["batch"]
    assert "reference" not in identities[-1]["batch"]


@pytest.mark.parametrize("name", ["synflow", "macs"])
def test_a_score_goes_through_a_search(scorer: Scorer, tiny_space: PricedSpace, tmp_path: Path, name: str) -> None:
    def opened() -> OptunaStudy:
        storage = f"sqlite:///{tmp_path}/study.db"
        goal = Goal(tiny_space, seed=0, startup=3, metric=metric(name))
        return OptunaStudy(make_sampler("tpe", goal), storage)

    evaluator = ZeroCostEvaluator(scorer, name, tmp_path, QUIET)
    candidates = search(opened(), evaluator, trials=5, reporter=QUIET)
    assert opened().candidates() == candidates
    assert all(candidate.measured == evaluator.evaluate(candidate.architecture) for candidate in candidates)
    front, told = pareto_front(candidates), (Budget(), scorer.data, QUIET)
    run_folder.write_results(tmp_path, front, 5, *told[:2])
    assert run_folder.finished_front(tmp_path, candidates, metric(name), *told) == front
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["metrics"] == {name: max(candidate.score for candidate in candidates)}
    assert run_folder.finished_front(tmp_path, candidates, ACCURACY, *told) is None
    scored = title_of({"name": "zero-cost"}, metric(name)).scored
    table = front_table(candidates, front_title(5, Budget(), scored))
    assert table.columns[0].header == name
    assert str(table.title).endswith(f"ranked untrained by {name}")


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("kind", ["segmentation", "detection:ssdlite/16"])
def test_other_tasks_have_a_score_or_one_line(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.scenes.SIZES", {"train": 16, "validation": 8, "test": 8})
    space = named_space("mobile-96").at(48)
    of = task(kind)
    data = of.data("scenes", 48, torch.device("cpu"))
    priced = PricedSpace(space, of.head(data.num_classes, space.widest(own_kernels=False)[0][1]))
    scorer = Scorer(priced, data, seed=3, batch=Batch(size=4, reference=2), task=of)
    if name in NEED_CLASSES:
        with pytest.raises(InputError, match=f"for class labels alone, which task {kind} does not have"):
            scorer.score(priced.smallest, name)
    else:
        assert math.isfinite(scorer.score(priced.smallest, name))
