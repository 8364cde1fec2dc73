"""Candidates looked up in a table of trained networks."""
