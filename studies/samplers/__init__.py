"""Who proposes architectures."""

from studies.samplers import evolution, optuna_samplers, predicted, uniform  # register themselves
from studies.samplers.base import Goal, Proposal, Sampler, Told, make_sampler, register, sampler_class, sampler_names

__all__ = ["Goal", "Proposal", "Sampler", "Told", "make_sampler", "register", "sampler_class", "sampler_names"]
__all__ += ["evolution", "optuna_samplers", "predicted", "uniform"]
