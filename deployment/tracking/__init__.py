"""People followed through a video: boxes of frames become tracks, and joints are smoothed along them."""
