"""mixreg (arXiv:2010.10814): what a minibatch of an agent becomes, and that PPO learns from it as from any other."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("stable_baselines3")

from stable_baselines3.common.type_aliases import RolloutBufferSamples

from search_space.families.impala.equal import impala
from search_space.network import build
from tasks.control.gridworld import worlds
from tasks.control.head import PolicyHead
from tasks.control.levels import Levels
from training.acting.agent import Agent, agent
from training.acting.mixing import MixingBuffer, coefficients, mixed, shifted
from training.acting.settings import PPOSettings
from training.recipe import Recipe

RECIPE = Recipe(epochs=1, batch_size=32, learning_rate=1e-3, clip_norm=0.5)
SMALL = {"worlds": 4, "horizon": 16, "passes": 1, "rollouts": 1}


def samples(count: int, seed: int = 0, *, equal: bool = False) -> RolloutBufferSamples:
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randint(256, (count, 3, 4, 4), generator=generator, dtype=torch.uint8)]
    drawn.append(torch.randint(4, (count, 1), generator=generator).float())
    drawn += [torch.randn(count, generator=generator) for _ in range(4)]
    return RolloutBufferSamples(*(values[:1].expand_as(values) if equal else values for values in drawn))


def made(settings: PPOSettings, seed: int = 0) -> Agent:
    """An agent of a very small encoder, after one rollout that it has not learnt from."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    network = build(impala(0.125, 1, 32), PolicyHead(4))
    here = worlds(Levels("train", 4), settings.worlds, 0)
    one = agent(here, network, 32, (0.4,) * 3, (0.3,) * 3, RECIPE, settings)
    _, callback = one._setup_learn(64, None)
    callback.on_training_start({}, {})
    one.collect_rollouts(here, callback, one.rollout_buffer, settings.horizon)
    return one


def learnt(one: Agent) -> list[torch.Tensor]:
    """The gradients of the last minibatch and the weights after an update."""
    torch.manual_seed(1)
    np.random.seed(1)
    one.train()
    return [tensor for weight in one.policy.parameters() for tensor in (weight.detach().clone(), weight.grad)]


def test_the_share_is_the_dominants_and_most_often_nearly_all() -> None:
    share = coefficients(0.2, 400_000, np.random.default_rng(0))
    assert share.min() >= 0.5
    assert share.max() <= 1
    assert share.mean() == pytest.approx(0.8988, abs=1e-3)
    assert (share > 0.9).float().mean() == pytest.approx(0.673, abs=3e-3)


@settings(deadline=None)
@given(st.floats(0, 1, width=32), st.integers(0, 2**31))
def test_swapping_the_two_with_the_shares_swapped_gives_the_same_mix(c: float, seed: int) -> None:
    two = samples(2, seed)
    other = torch.tensor([1, 0])
    share = torch.tensor([c, c])
    one, swapped = mixed(two, share, other), mixed(two, 1 - share, other)
    for own, theirs in zip(one, swapped, strict=True):
        if abs(c - 0.5) > 1e-6:  # where neither is dominant the action is the first's
            assert torch.allclose(own[0].float(), theirs[1].float(), atol=1e-4)


def test_a_mix_is_of_floats_and_the_dominants_action() -> None:
    two = samples(2)
    found = mixed(two, torch.tensor([0.75, 0.25]), torch.tensor([1, 0]))
    assert found.observations.dtype == torch.float32
    assert torch.equal(found.observations[0], 0.75 * two.observations[0].float() + 0.25 * two.observations[1].float())
    assert torch.equal(found.observations[0], found.observations[1])  # of both the first dominates
    assert torch.equal(found.actions, two.actions[[0, 0]])
    for name in ("returns", "advantages", "old_values", "old_log_prob"):
        values = getattr(two, name)
        assert torch.allclose(getattr(found, name)[0], 0.75 * values[0] + 0.25 * values[1])


def test_mixobs_leaves_what_is_taught_the_dominants() -> None:
    two = samples(2)
    found = mixed(two, torch.tensor([0.75, 0.25]), torch.tensor([1, 0]), observations_alone=True)
    assert not torch.equal(found.observations[0], two.observations[0].float())
    for name in ("actions", "returns", "advantages", "old_values", "old_log_prob"):
        assert torch.equal(getattr(found, name), getattr(two, name)[[0, 0]])


def test_of_equal_samples_a_mix_is_what_they_are() -> None:
    alike = samples(64, equal=True)
    share = coefficients(0.2, 64, np.random.default_rng(1))
    found = mixed(alike, share, torch.arange(64).flip(0))
    for own, theirs in zip(found, alike, strict=True):
        assert torch.equal(own.float(), theirs.float())


@pytest.fixture
def plain() -> list[torch.Tensor]:
    return learnt(made(PPOSettings(**SMALL)))


def share_of(value: float, _alpha: float, count: int, _rng: object) -> torch.Tensor:
    return torch.full((count,), value)


def test_a_share_of_one_is_plain_ppo_bit_for_bit(plain: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.acting.mixing.coefficients", partial(share_of, 1.0))
    mixing = learnt(made(PPOSettings(mixreg=0.2, **SMALL)))
    assert all(torch.equal(own, theirs) for own, theirs in zip(plain, mixing, strict=True))


def test_a_mix_is_another_update_and_a_finite_one(plain: list[torch.Tensor]) -> None:
    mixing = learnt(made(PPOSettings(mixreg=0.2, **SMALL)))
    assert any(not torch.equal(own, theirs) for own, theirs in zip(plain, mixing, strict=True))
    assert all(torch.isfinite(tensor).all() for tensor in mixing)


def test_partners_that_are_the_samples_themselves_leave_a_finite_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    one = made(PPOSettings(mixreg=0.2, **SMALL))
    buffer = one.rollout_buffer
    assert isinstance(buffer, MixingBuffer)
    monkeypatch.setattr(buffer, "rng", _Identity())
    assert all(torch.isfinite(tensor).all() for tensor in learnt(one))


class _Identity:
    def beta(self, a: float, b: float, count: int) -> np.ndarray:
        return np.random.default_rng(0).beta(a, b, count)

    def permutation(self, count: int) -> np.ndarray:
        return np.arange(count)


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(0, 2**31))
def test_a_shifted_picture_holds_what_was_there(most: int, seed: int) -> None:
    pictures = samples(3, seed).observations
    found = shifted(pictures, most, np.random.default_rng(seed))
    assert found.shape == pictures.shape
    inner = pictures.float()[:, :, most:-most, most:-most] if most < 2 else None
    for own, whole in zip(found, pictures.float(), strict=True):
        assert set(own.unique().tolist()) <= set(whole.unique().tolist())
    assert inner is None or inner.numel() > 0


def test_an_interquartile_mean_is_of_the_middle_half() -> None:
    from benchmarks.control import interquartile_mean, interval
    from benchmarks.control import settings as of_arm

    assert interquartile_mean([-100, 1, 2, 3, 100, 2, 2, 2]) == pytest.approx(2.0)
    low, high = interval([0.1, 0.2, 0.15, 0.12, 0.18])
    assert 0.1 <= low < 0.15 < high <= 0.2
    assert interval([0.3] * 5) == pytest.approx((0.3, 0.3))
    assert of_arm("mixreg", 0.2, 4) == PPOSettings(mixreg=0.2)
    assert of_arm("crop", 0.2, 4).mixreg == 0.0
