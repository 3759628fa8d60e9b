"""A machine with Python alone: Node and npm come from a pinned wheel, and work."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import steps
import toolchain


def test_node_and_npm_without_any_on_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(steps, "WORK", tmp_path)
    monkeypatch.setattr(toolchain, "VENV", tmp_path / "venv")
    monkeypatch.setattr("shutil.which", lambda name: None)
    node = toolchain.ensure_node()
    assert node.is_relative_to(tmp_path)
    for command in ([node], toolchain.npm_command(node)):
        done = subprocess.run([*command, "--version"], env=toolchain.path_with(node), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout.lstrip("v").split(".")[0]) >= 10
