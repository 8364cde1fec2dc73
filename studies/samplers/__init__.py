"""Who proposes architectures: each file of this folder registers its samplers itself."""

import importlib
from pathlib import Path

from studies.samplers.base import Goal, Proposal, Sampler, Told, make_sampler, register, sampler_class, sampler_names

for _file in sorted(Path(__file__).parent.glob("[a-z]*.py")):
    importlib.import_module(f"studies.samplers.{_file.stem}")

__all__ = ["Goal", "Proposal", "Sampler", "Told", "make_sampler", "register", "sampler_class", "sampler_names"]
