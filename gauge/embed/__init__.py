"""Compute Gauge in other people's documentation: extensions for Sphinx and MkDocs.

Both turn fields written by an author into the `<compute-gauge>` element with a static table inside, which is what
print, readers without scripts and search engines see. Neither framework is imported unless its module is.
"""
