"""Studies in Optuna's storages."""
