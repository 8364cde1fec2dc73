"""Families of networks, a room each."""
