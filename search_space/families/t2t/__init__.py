"""T2T-ViT: tokens that are gathered step by step, a deep and narrow transformer, a class token."""
