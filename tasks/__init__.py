"""What networks are trained for and judged by: a room for each task."""
