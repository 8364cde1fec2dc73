"""The task `adapted`: labelled pictures to learn from, others without labels to adapt to and to be judged on."""
