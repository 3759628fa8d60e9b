"""Pyodide's package loader, left out: the calculator's one package lies in an archive on the path."""

from pyodide_js import loadedPackages  # noqa: F401


class Folder:
    def __init__(self, path):
        self.path = path

    def __str__(self):
        return self.path


SITE_PACKAGES = Folder("/lib/python3.14/site-packages")
DSO_DIR = Folder("/usr/lib")


def init_loaded_packages():
    """Nothing is loaded."""
