"""Classification by networks that are judged by how well their features predict simulated neurons."""
