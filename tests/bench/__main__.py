"""How fast an emitted module evaluates, and how long the command line takes: `python -m tests.bench`."""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from time import perf_counter

import numpy as np

from costc.emit.evaluator import Evaluator
from tests.property.compiled import model, platform

#: configs with the longest lists, and those whose programs have the most steps
LARGEST = ("nvidia--MiniMax-M3-NVFP4", "deepseek-ai--DeepSeek-V4-Pro", "moonshotai--Kimi-K3")

ROOT = Path(__file__).resolve().parents[2]
POINTS = 200_000
BLOCKS = (1024, 2048, 4096, 8192, 16384, 32768, 131072)
RUNS = 5
WORKLOAD = {"batch": (1, 4096), "isl": (1, 32768), "osl": (2, 8192)}
PLANS = ((1, 1, 1, 1), (8, 1, 1, 8), (4, 2, 2, 8), (1, 1, 16, 16), (8, 2, 1, 1), (2, 4, 4, 8))


def columns(kind: str) -> dict[str, np.ndarray | float]:
    """Inputs of all points: those that `kind` names as columns, the rest as numbers."""
    rng = np.random.default_rng(0)
    values: dict[str, np.ndarray | float] = dict(platform("deepseek-r1", "h200"))
    values |= {"tp": 8, "pp": 1, "dp": 1, "ep": 8, "microbatches": 1}
    values |= {k: rng.integers(*span, POINTS).astype(float) for k, span in WORKLOAD.items()}
    if kind == "workload":
        return values
    plans = np.array(PLANS, dtype=float)[rng.integers(0, len(PLANS), POINTS)]
    values |= {k: np.ascontiguousarray(plans[:, i]) for i, k in enumerate(("tp", "pp", "dp", "ep"))}
    values["microbatches"] = values["pp"]
    if kind == "workload and plan":
        return values
    return {k: v if isinstance(v, np.ndarray) else np.full(POINTS, v) for k, v in values.items()}


def evaluation() -> None:
    """Points per second of deepseek-r1's emitted module, best of several runs at each block size."""
    evaluator: Evaluator = model("deepseek-r1").evaluator
    evaluate, taken = evaluator._evaluate, set(evaluator.inputs)
    print(f"deepseek-r1, {POINTS:,} points, {len(evaluator.outputs)} outputs, points/s (best of {RUNS})")
    print("columns".ljust(20) + "".join(f"{b:>12,}" for b in BLOCKS) + "        best")
    for kind in ("workload", "workload and plan", "everything"):
        values = {k: v for k, v in columns(kind).items() if k in taken}
        rates = []
        for block in BLOCKS:
            times = []
            for _ in range(RUNS):
                start = perf_counter()
                evaluate(block=block, **values)
                times.append(perf_counter() - start)
            rates.append(POINTS / min(times))
        print(kind.ljust(20) + "".join(f"{r:>12,.0f}" for r in rates) + f"{max(rates):>12,.0f}", flush=True)


def seconds(command: Sequence[str], runs: int) -> float:
    """Median wall time of a command; its output is dropped, its failure is not."""
    times = []
    for _ in range(runs):
        start = perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        times.append(perf_counter() - start)
    return statistics.median(times)


def configs() -> None:
    """Reading and compiling the largest published configs, where the wheel that has them is installed."""
    if importlib.util.find_spec("aiconfigurator_core") is None:
        print("configs: aiconfigurator-core is not installed")
        return
    folder = files("aiconfigurator_core").joinpath("model_configs")
    costc = [sys.executable, "-m", "costc"]
    nothing = seconds([sys.executable, "-c", "pass"], 9)
    with tempfile.TemporaryDirectory() as out:
        for name in LARGEST:
            path = str(folder.joinpath(f"{name}_config.json"))
            read, compiled = seconds([*costc, "import", path], 5), seconds([*costc, "compile", path, "--out", out], 3)
            print(f"{name:32}import {read:6.3f} s ({read / nothing:.0f} x python -c pass)  compile {compiled:6.2f} s")


def commands() -> None:
    """The command line beside an interpreter that does nothing."""
    nothing = seconds([sys.executable, "-c", "pass"], 9)
    costc = [sys.executable, "-m", "costc"]
    study = "specs/deepseek_r1.yaml"
    found = {"python -c pass": nothing, "costc --help": seconds([*costc, "--help"], 7)}
    cold, repeated = [], []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            compiling = [*costc, "compile", study, "--out", folder]
            cold.append(seconds(compiling, 1))
            repeated.append(seconds(compiling, 1))
    found |= {"compile, cold": statistics.median(cold), "compile, nothing changed": statistics.median(repeated)}
    print("\ncommand".ljust(29) + "  median s   x python -c pass")
    for name, time in found.items():
        print(f"{name:<28}{time:>10.3f}{time / nothing:>19.1f}")


if __name__ == "__main__":
    evaluation()
    commands()
    configs()
