"""What every room stands on: errors, files, progress, seeds, devices, processes that work together."""
