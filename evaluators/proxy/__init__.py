"""Candidates scored by short trainings of their own."""
