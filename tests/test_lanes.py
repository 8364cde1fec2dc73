"""Two lanes: works side by side, with results that are the same bits as those of one lane."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from evaluators.supernet.sandwich import Sandwich
from evaluators.supernet.settings import SupernetRecipe
from evaluators.supernet.store import WeightStore
from search_space.cost.priced_space import PricedSpace
from search_space.network import build
from tasks.classification.room import CLASSIFICATION
from training.lanes import available, current, each_batch, side_by_side, use_threads
from training.methods.drop_path import add_drop_path
from training.methods.label_step import LabelStep
from training.recipe import Recipe


@pytest.fixture(autouse=True)
def _two_lanes() -> Iterator[None]:
    use_threads(2)
    yield
    use_threads(1)


def _on_each(count: Callable[[], object]) -> list[object]:
    """What is made with one lane, and what with two."""
    made = []
    for threads in (1, 2):
        use_threads(threads)
        torch.manual_seed(0)
        made.append(count())
    return made


def test_works_run_at_the_same_time_and_answer_in_order() -> None:
    met = threading.Barrier(2, timeout=30)

    def work(number: int) -> tuple[int, int | None]:
        if number < 2:
            met.wait()  # breaks unless another work is running
        return number, current()

    found = side_by_side([partial(work, number) for number in range(5)])
    assert [number for number, _ in found] == [0, 1, 2, 3, 4]
    assert {lane for _, lane in found} == {0, 1}
    assert current() is None


def test_works_within_works_run_one_after_the_other() -> None:
    def work() -> list[int | None]:
        assert available() == 1
        return side_by_side([current, current, current])

    for inner in side_by_side([work, work]):
        assert len(set(inner)) == 1
    assert available() == 2


def test_what_ends_the_command_goes_before_an_error() -> None:
    met = threading.Barrier(2, timeout=30)

    def failing(error: BaseException) -> None:
        met.wait()
        raise error

    with pytest.raises(KeyboardInterrupt):
        side_by_side([partial(failing, ValueError("first")), partial(failing, KeyboardInterrupt())])


def test_the_first_error_in_order_is_raised_and_the_lanes_go_on() -> None:
    met = threading.Barrier(2, timeout=30)

    def fails(name: str) -> None:
        met.wait()
        raise ValueError(name)

    with pytest.raises(ValueError, match="first"):
        side_by_side([partial(fails, "first"), partial(fails, "second")])
    assert side_by_side([lambda: 1, lambda: 2]) == [1, 2]


@pytest.mark.parametrize("gradients", [False, True])
def test_every_lane_has_the_callers_setting_of_gradients(gradients: bool) -> None:
    met = threading.Barrier(2, timeout=30)

    def work() -> tuple[bool, bool]:
        met.wait()
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    with torch.set_grad_enabled(gradients):
        assert side_by_side([work, work]) == [(gradients, False)] * 2
    with torch.inference_mode():
        assert [inference for _, inference in side_by_side([work, work])] == [True, True]


def test_each_operation_has_its_lanes_part_of_the_threads() -> None:
    met = threading.Barrier(2, timeout=30)

    def work() -> int:
        met.wait()
        return torch.get_num_threads()

    for threads, part in ((2, 1), (6, 3), (5, 2), (2, 1)):
        use_threads(threads)
        assert side_by_side([work, work]) == [part, part]
    use_threads(3, lanes=False)
    assert (available(), torch.get_num_threads()) == (1, 3)


def test_batches_come_in_order() -> None:
    batches = ((torch.tensor(number), torch.tensor(number)) for number in range(5))
    assert list(each_batch(lambda images, labels: int(images + labels), batches)) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize(
    "recipe",
    [
        SupernetRecipe(random_networks=2, within_budget=False),
        SupernetRecipe(random_networks=1, distillation=False, within_budget=False),
        SupernetRecipe(random_networks=3, largest=False, smallest=False, within_budget=False),
    ],
)
def test_shared_weights_learn_the_same_bits(tiny_space: PricedSpace, recipe: SupernetRecipe) -> None:
    images = torch.randn(8, 3, 24, 24).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(4, (8,))

    def trained() -> tuple[list[float], list[Tensor]]:
        store = WeightStore(tiny_space.space, tiny_space.num_classes, own_kernels=True)
        step = Sandwich(store, recipe, seed=1)
        optimizer = torch.optim.SGD(store.parameters(), lr=0.1, momentum=0.9)
        losses = []
        for number in range(4):
            optimizer.zero_grad()
            losses.append(step(images, labels, number))
            optimizer.step()
        return losses, [parameter.detach().clone() for parameter in store.parameters()]

    (losses, weights), (other_losses, other_weights) = _on_each(trained)
    assert losses == other_losses
    assert all(torch.equal(one, two) for one, two in zip(weights, other_weights, strict=True))


def test_a_network_on_leaves_gives_the_store_the_gradients_of_its_views(tiny_space: PricedSpace) -> None:
    architecture = replace(tiny_space.smallest, resolution=16)
    store = WeightStore(tiny_space.space, tiny_space.num_classes, own_kernels=True)
    images = torch.randn(4, 3, 16, 16)
    store(architecture, images).square().sum().backward()
    expected = [parameter.grad for parameter in store.parameters()]
    store.zero_grad()
    made = store.sub_network(architecture)
    made.network(images).square().sum().backward()
    assert all(parameter.grad is None for parameter in store.parameters())
    store.add_gradients(made.leaves)
    for parameter, gradient in zip(store.parameters(), expected, strict=True):
        if gradient is None:
            assert parameter.grad is None
        else:
            assert torch.equal(parameter.grad, gradient)


@pytest.mark.parametrize("drop_path", [0.0, 0.5])
def test_a_training_on_halves_learns_the_same_bits(tiny_space: PricedSpace, drop_path: float) -> None:
    images, labels = torch.randn(65, 3, 24, 24), torch.randint(4, (65,))

    def trained() -> list[Tensor]:
        network = build(tiny_space.largest, 4)
        add_drop_path(network, drop_path)
        network.train()
        step = LabelStep(network, 24, Recipe(drop_path=drop_path), CLASSIFICATION, 4)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        for number in range(3):
            optimizer.zero_grad()
            step(images, labels, number)
            optimizer.step()
        return [tensor.detach().clone() for tensor in network.state_dict().values()]

    one, two = _on_each(trained)
    assert all(torch.equal(first, second) for first, second in zip(one, two, strict=True))


class TestHalves:
    """A batch in two halves, each normalised by itself."""

    def _network(self) -> nn.Module:
        torch.manual_seed(1)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5)).double().train()

    def test_gradient_and_statistics_are_the_means_of_the_halves(self) -> None:
        images, labels = torch.randn(64, 3, 4, 4, dtype=torch.float64), torch.randint(5, (64,))
        network = self._network()
        loss = LabelStep(network, 4, Recipe(), CLASSIFICATION, 5)(images, labels, 0)
        losses, gradients, means = [], [], []
        for half in (slice(0, 32), slice(32, 64)):
            alone = self._network()
            losses.append(LabelStep(alone, 4, Recipe(micro_batch=32), CLASSIFICATION, 5)(images[half], labels[half], 0))
            gradients.append([parameter.grad for parameter in alone.parameters()])
            means.append(alone[1].running_mean)
        assert loss == pytest.approx(sum(losses) / 2)
        for parameter, one, two in zip(network.parameters(), *gradients, strict=True):
            torch.testing.assert_close(parameter.grad, (one + two) / 2)
        torch.testing.assert_close(network[1].running_mean, (means[0] + means[1]) / 2)

    def test_an_epoch_begins_with_the_network_s_own_statistics(self) -> None:
        """Several processes average them at an epoch's end, and one that goes on after a kill has no others."""
        images, labels = torch.randn(64, 3, 4, 4, dtype=torch.float64), torch.randint(5, (64,))
        found = []
        for killed in (False, True):
            network = self._network()
            step = LabelStep(network, 4, Recipe(), CLASSIFICATION, 5)
            step(images, labels, 0)
            network[1].running_mean.fill_(0.25)  # averaged
            step = LabelStep(network, 4, Recipe(), CLASSIFICATION, 5) if killed else step
            step.begin_epoch(1)
            step(images, labels, 1)
            found.append(network[1].running_mean.clone())
        assert torch.equal(*found)

    @pytest.mark.parametrize(
        ("recipe", "count"),
        [(Recipe(), 31), (Recipe(micro_batch=64), 64), (Recipe(sync_batch_norm=True), 64)],
    )
    def test_no_halves_of_few_pictures_or_where_the_recipe_says_otherwise(self, recipe: Recipe, count: int) -> None:
        images, labels = torch.randn(count, 3, 4, 4, dtype=torch.float64), torch.randint(5, (count,))
        network, whole = self._network(), self._network()
        LabelStep(network, 4, recipe, CLASSIFICATION, 5)(images, labels, 0)
        nn.functional.cross_entropy(whole(images), labels).backward()
        for parameter, expected in zip(network.parameters(), whole.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, expected.grad)
        torch.testing.assert_close(network[1].running_mean, whole[1].running_mean)

    def test_out_of_memory_in_a_half_leaves_no_gradient(self) -> None:
        network = self._network()
        step = LabelStep(network, 4, Recipe(), CLASSIFICATION, 5, adapt=True)
        images, labels = torch.randn(64, 3, 4, 4, dtype=torch.float64), torch.randint(5, (64,))
        step(images, labels, 0)
        network.zero_grad()
        (twin,) = step._twins
        hook = twin[3].register_forward_pre_hook(_no_memory)
        step(images, labels, 1)
        hook.remove()
        assert step.micro_batch == 32
        assert all(parameter.grad is None for parameter in twin.parameters())


def _no_memory(module: nn.Module, inputs: object) -> None:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


def test_an_examination_is_the_same(tiny_space: PricedSpace) -> None:
    network = build(tiny_space.largest, 4)
    batches = [(torch.randn(16, 3, 16, 16), torch.randint(4, (16,))) for _ in range(5)]
    one, two = _on_each(lambda: CLASSIFICATION.measure(network, batches))
    assert one.measured == two.measured
    assert torch.equal(one.predictions["predicted"], two.predictions["predicted"])
    assert torch.equal(one.predictions["labels"], torch.cat([labels for _, labels in batches]))
