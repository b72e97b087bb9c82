"""The task runner: `python3 tasks.py TASK`. Needs Python 3.11+ and nothing else; it makes its own environment."""

import hashlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent
LOCK = ROOT / "requirements.lock"
#: the other implementations that counts are held against have an environment of their own: they are large
ORACLE = "oracle"

#: a lock file carries no addresses
QUIET = "--no-emit-index-url --no-emit-find-links --no-emit-options --no-header"
#: one line a task: commands that run one after another
TASKS = {
    "compile": ["costc compile specs/deepseek_r1.yaml"],
    "test": ["pytest"],
    "check": [
        "ruff check .",
        "ruff format --check .",
        "mypy",
        "lint-imports",
        "costc compile specs/deepseek_r1.yaml --check",
        "costc validate --check",
    ],
    "fix": ["ruff check --fix .", "ruff format ."],
    "golden": ["costc compile specs/deepseek_r1.yaml", "pytest tests/golden tests/errors --update-golden"],
    "bench": ["python -m tests.bench"],
    ORACLE: ["pytest tests/oracle"],
    "coverage": ["python -m tests.oracle.coverage"],
    "accuracy": ["costc validate --write"],
    "lock": [
        f"pip-compile -q --extra dev {QUIET} --generate-hashes --strip-extras --output-file requirements.lock pyproject.toml"
    ],
}


def environment(oracle: bool = False) -> Path:
    """Make the environment from the lock file, once for each state of the lock and of pyproject.toml; its programs' folder.

    `oracle`: with the optional extra of that name, whose large wheels differ by platform and are pinned by version alone.
    """
    venv = ROOT / (".venv-oracle" if oracle else ".venv")
    programs, stamp = venv / ("Scripts" if os.name == "nt" else "bin"), venv / "stamp"
    state = hashlib.sha256(LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == state:
        return programs
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
    pip = [str(programs / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", str(LOCK)], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT)], check=True)
    if oracle:
        wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][ORACLE]
        subprocess.run([*pip, *wanted], check=True)
    stamp.write_text(state)
    return programs


def main(arguments: list[str]) -> int:
    """Run a task; further words go to its last command."""
    if not arguments or arguments[0] not in TASKS:
        print(f"usage: python3 tasks.py {{{','.join(TASKS)}}} [words for the command]", file=sys.stderr)
        return 2
    programs = environment(arguments[0] in (ORACLE, "coverage", "accuracy"))
    commands = TASKS[arguments[0]]
    path = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    for place, command in enumerate(commands):
        words = [*command.split(), *(arguments[1:] if place == len(commands) - 1 else [])]
        code = subprocess.run([str(programs / words[0]), *words[1:]], cwd=ROOT, env=path, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
