"""Spaces of several families under one budget: no family of networks, but a first decision among families."""
