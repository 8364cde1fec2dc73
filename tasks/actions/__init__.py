"""The task `actions`: what each person of a video does."""
