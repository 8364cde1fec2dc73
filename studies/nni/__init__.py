"""NNI: its tuners as samplers, and its experiments as an engine."""
