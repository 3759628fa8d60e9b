"""Foreign descriptions of a model → `gauge.model.Model`."""
