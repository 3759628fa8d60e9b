"""Answers as HTML: pure functions from an answer dict to fragments, the same at build time, in worker and notebook.

One file for each thing on the page. Everything is escaped by construction: text becomes markup only through `html.tag`.
"""
