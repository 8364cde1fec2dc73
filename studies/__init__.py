"""Who proposes candidates, and the one search loop."""
