"""Learning by acting: proximal policy optimisation of stable-baselines3, with a network of this project as the agent.

Its files but the settings import stable-baselines3 and gymnasium, which are an extra, so each is imported when it is
needed.
"""
