"""The wheel that build.py writes by itself: the same bytes every time, and what an ordinary backend would install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import wheel

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel") / wheel.filename()
    wheel.write(target)
    return target


def test_same_bytes_every_time(made: Path, tmp_path: Path) -> None:
    again = tmp_path / wheel.filename()
    wheel.write(again)
    assert made.read_bytes() == again.read_bytes()


def test_holds_what_the_declared_backend_would_ship(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    names = ["gauge", "pyproject.toml", "README.md", "LICENSE"]
    copy.mkdir()
    for name in names:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            (copy / name).write_bytes(source.read_bytes())
    code = "from setuptools import build_meta; import sys; print(build_meta.build_wheel(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    theirs = tmp_path / done.stdout.strip().splitlines()[-1]
    assert theirs.name == made.name
    assert package_files(made) == package_files(theirs)


def package_files(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name.startswith("gauge/")}


def test_installs_and_answers(made: Path, tmp_path: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", tmp_path, made]
    subprocess.run(install, check=True)
    done = subprocess.run(
        [sys.executable, "-m", "gauge", "model=openai-community/gpt2", "--json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},  # Windows starts no Python without its own variables
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert '"pools"' in done.stdout
