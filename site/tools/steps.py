"""Named build steps: one progress line each, skipped when their inputs are unchanged, and a remedy when they fail."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "site"
DIST = ROOT / "dist"
WORK = ROOT / ".build"


class BuildError(Exception):
    """A step that cannot go on: what happened, and what the person can do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def say(text: str) -> None:
    print(text, flush=True)


def step(label: str, inputs: str, outputs: Iterable[Path], action: Callable[[], None]) -> bool:
    """Run ``action`` unless it ran before with the same ``inputs`` digest and its ``outputs`` still exist.

    Returns whether it ran. ``inputs`` is a digest as ``digest`` makes it.
    """
    stamp = WORK / "stamps" / label.replace(" ", "-")
    if stamp.exists() and stamp.read_text() == inputs and all(path.exists() for path in outputs):
        say(f"  = {label} (unchanged)")
        return False
    say(f"  > {label} ...")
    started = time.monotonic()
    action()
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(inputs)
    say(f"    {label}: {time.monotonic() - started:.1f} s")
    return True


def digest(*parts: Path | str | bytes) -> str:
    """SHA-256 over files, whole folders and literal values, in the order given."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            for path in files_below(part):
                total.update(path.relative_to(part.parent).as_posix().encode() + b"\0")
                total.update(hashlib.sha256(path.read_bytes()).digest())
        else:
            data = part.encode() if isinstance(part, str) else part
            total.update(hashlib.sha256(data).digest())
    return total.hexdigest()


def files_below(path: Path) -> list[Path]:
    """The file itself, or every file of a folder except caches, sorted so that every machine agrees."""
    if path.is_file():
        return [path]
    ignored = {"__pycache__", "node_modules", ".mypy_cache", ".pytest_cache"}
    found = (p for p in path.rglob("*") if p.is_file() and not ignored.intersection(p.relative_to(path).parts))
    return sorted(found, key=lambda p: p.as_posix())


def run(command: Sequence[str | Path], *, remedy: str, cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
    """Run a command, its output shown only when it fails.

    Raises BuildError with ``remedy`` when the command is missing or exits non-zero.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    except OSError as error:
        raise BuildError(f"{words[0]} could not be started: {error}", remedy) from error
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-40:])
        raise BuildError(f"`{' '.join(words)}` failed with exit code {done.returncode}\n{tail}", remedy)


def show(command: Sequence[str | Path], *, env: dict[str, str] | None = None) -> int:
    """Run a command with its output shown as it comes; returns its exit code."""
    sys.stdout.flush()
    return subprocess.run([str(word) for word in command], cwd=ROOT, env=env).returncode
