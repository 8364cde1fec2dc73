"""What a user chooses from: frameworks, storages, engines. Without Optuna, for a command's help shows it."""

FRAMEWORKS = ("optuna", "nni")
STORAGES = "sqlite:///FILE, journal:FILE, postgresql://USER@HOST/DATABASE, grpc://HOST:PORT"
ENGINES = ("processes", "ray", "nni")
FRONT_SHARE = 0.5
"""Of a sampler's proposals: those that are for the front, see `studies.samplers.base.Goal`."""
