"""Running an experiment on machines that are lent for minutes and may be taken away at any moment."""
