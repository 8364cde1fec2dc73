"""What every training shares: data, recipes, the loop, checkpoints."""
