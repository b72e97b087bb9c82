"""Times of products, attention and copies on this machine's GPU, for `costc calibrate`: `python measure_kernels.py > mine.csv`.

Needs torch alone, not costc. Every shape is timed as a model runs it: several launches captured in one CUDA graph, each with
operands of its own, so many that together they exceed the cache; the median of some replays, over the launches. So what is
timed is kernels without the host. A note on stderr names device, driver and torch: keep it with the table. `--device cpu` tries
the program where there is no GPU; such times mean nothing for a profile.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn import functional

BF16 = torch.bfloat16
BYTE = 2
#: operands of one graph's launches are at least this large together: no device's cache holds them
ENOUGH = 512e6
MOST = 64
REPLAYS = 7
Run = Callable[[int], Any]
Row = dict[str, Any]

ROWS = (1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
#: columns and depth of weights of Llama-3.1-8B and 70B on one to eight devices, DeepSeek-R1 and Qwen3-32B
WEIGHTS = ((6144, 4096), (4096, 4096), (28672, 4096), (4096, 14336), (1280, 8192), (8192, 1024), (7168, 8192), (8192, 3584),
           (2112, 7168), (24576, 1536), (5120, 25600))  # fmt: skip
#: KV heads and query heads of each; elements of a head
HEADS = ((8, 4, 128), (1, 8, 128), (2, 4, 128), (8, 8, 128))
PROMPTS = ((1, 512), (1, 2048), (1, 8192), (4, 1024), (4, 4096), (16, 1024))
CONTEXTS = ((1, 1024), (1, 8192), (1, 65536), (8, 2048), (32, 1024), (32, 8192), (128, 2048), (256, 1024))
STREAMS = tuple(2**k for k in range(12, 30))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--every", type=int, default=1, help="take each so-manieth shape")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device; --device cpu tries the program without one")
    name = torch.cuda.get_device_name() if given.device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, CUDA {torch.version.cuda}", file=sys.stderr)
    found = list(measured(given.device, given.every))
    columns = dict.fromkeys(key for row in found for key in row)
    writer = csv.DictWriter(sys.stdout, list(columns))
    writer.writeheader()
    writer.writerows(found)


def measured(device: str, every: int) -> Iterator[Row]:
    """A row for each shape: form, format, demands and microseconds."""
    shapes = [*products(), *prefills(), *decodes(), *copies()]
    for sizes, make in shapes[::every]:
        copies_ = max(2, min(MOST, round(ENOUGH / sizes["byte"])))
        try:
            took = seconds(make(device, copies_), copies_, device)
        except torch.OutOfMemoryError:
            print(f"left out, no memory for it: {sizes}", file=sys.stderr)
            continue
        yield {**sizes, "time_us": f"{took * 1e6:.4f}"}


def seconds(run: Run, launches: int, device: str) -> float:
    """Seconds of one launch: the median replay of a graph of all of them."""
    run(0)
    if device == "cpu":
        start = time.perf_counter()
        for at in range(launches):
            run(at)
        return (time.perf_counter() - start) / launches
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for at in range(launches):
            run(at)
    times = []
    for _ in range(REPLAYS):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / launches)
    return statistics.median(times)


def several(number: int, device: str, *shape: int) -> list[torch.Tensor]:
    """As many tensors of a shape."""
    return [torch.randn(*shape, dtype=BF16, device=device) for _ in range(number)]


def products() -> Iterator[tuple[Row, Callable[[str, int], Run]]]:
    """Matrix products of plain layers."""
    for columns, depth in WEIGHTS:
        for rows in ROWS:

            def make(device: str, number: int, rows: int = rows, columns: int = columns, depth: int = depth) -> Run:
                x, weight = several(number, device, rows, depth), several(number, device, columns, depth)
                return lambda at: functional.linear(x[at], weight[at])

            byte = BYTE * (rows * depth + columns * depth + rows * columns)
            sizes = {"rows": rows, "columns": columns, "depth": depth, "groups": 1, "converted": 0}
            yield {"form": "gemm", "dtype": "bf16", **sizes, "flop": 2 * rows * columns * depth, "byte": byte}, make


def prefills() -> Iterator[tuple[Row, Callable[[str, int], Run]]]:
    """Causal attention of whole prompts."""
    for kv_heads, group, head_dim in HEADS:
        for sequences, seq in PROMPTS:
            heads = kv_heads * group
            activations = 2 * BYTE * sequences * seq * heads * head_dim
            byte = activations + 2 * BYTE * sequences * seq * kv_heads * head_dim
            flop = 4 * sequences * seq * (seq + 1) // 2 * heads * head_dim
            sizes = {"sequences": sequences, "kv_heads": kv_heads, "group": group, "head_dim": head_dim, "seq": seq}
            make = attention(sequences, (heads, kv_heads, head_dim), seq, seq)
            yield (
                {
                    "form": "prefill_attention",
                    "dtype": "bf16",
                    **sizes,
                    "activation_byte": activations,
                    "flop": flop,
                    "byte": byte,
                },
                make,
            )


def decodes() -> Iterator[tuple[Row, Callable[[str, int], Run]]]:
    """Attention of one token of each sequence over its context."""
    for kv_heads, group, head_dim in HEADS:
        for sequences, context in CONTEXTS:
            heads = kv_heads * group
            byte = 2 * BYTE * sequences * head_dim * (context * kv_heads + heads)
            sizes = {"sequences": sequences, "kv_heads": kv_heads, "flop": 4 * sequences * context * heads * head_dim}
            make = attention(sequences, (heads, kv_heads, head_dim), 1, context)
            yield {"form": "decode_attention", "dtype": "bf16", **sizes, "byte": byte}, make


def attention(sequences: int, of: tuple[int, int, int], seq: int, context: int) -> Callable[[str, int], Run]:
    """Grouped-query attention; causal where the queries are the whole context."""
    heads, kv_heads, head_dim = of

    def make(device: str, number: int) -> Run:
        query = several(number, device, sequences, heads, seq, head_dim)
        key = several(number, device, sequences, kv_heads, context, head_dim)
        value = several(number, device, sequences, kv_heads, context, head_dim)
        return lambda at: functional.scaled_dot_product_attention(
            query[at], key[at], value[at], is_causal=seq > 1, enable_gqa=heads > kv_heads
        )

    return make


def copies() -> Iterator[tuple[Row, Callable[[str, int], Run]]]:
    """Streams through memory; the smallest ones are launches alone."""
    for elements in STREAMS:

        def make(device: str, number: int, elements: int = elements) -> Run:
            source, target = several(number, device, elements), several(number, device, elements)
            return lambda at: target[at].copy_(source[at])

        yield {"form": "elementwise", "dtype": "bf16", "byte": 2 * BYTE * elements}, make


if __name__ == "__main__":
    main()
