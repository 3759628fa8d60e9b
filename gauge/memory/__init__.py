"""One file per component of memory: small functions from a model and a plan to explained items."""
