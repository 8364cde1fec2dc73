"""What plugins import from here; it stands in the mobile networks' room."""

from search_space.families.mobile.stage_options import StageOptions
from search_space.families.mobile.stage_program import ATTENTION_PER, StageProgram

__all__ = ["ATTENTION_PER", "StageOptions", "StageProgram"]
