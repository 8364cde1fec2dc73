"""Changes to pictures, too small for a person to mind, that a network is to get wrong."""
