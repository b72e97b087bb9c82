"""The emitted module's `evaluate`: shapes, blocks, inputs, extremes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from costc.emit.targets.numpy import emit, load
from tests.property.compiled import FAMILIES, degrees, model, platform

NAME = "deepseek-r1"


def _inputs(name: str = NAME, **given: Any) -> dict[str, Any]:
    work = {"batch": 4, "isl": 100, "osl": 10, "microbatches": 1}
    point = {**platform(name, "h200"), **degrees((8, 1, 1, 1)), **work, **given}
    return {k: point[k] for k in model(name).evaluator.inputs}


def _evaluate(block: int | None = None, name: str = NAME, **given: Any) -> dict[str, Any]:
    return model(name).evaluator._evaluate(**({} if block is None else {"block": block}), **_inputs(name, **given))


def test_numbers_give_floats() -> None:
    found = _evaluate()
    assert all(type(v) is float for v in found.values())
    assert list(found) == list(model(NAME).evaluator.outputs)


@pytest.mark.parametrize("block", [1, 7, 8192])
def test_blocks_do_not_change_a_result(block: int) -> None:
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {"batch": rng.integers(1, 300, 53), "isl": rng.integers(1, 5000, 53)}
    columns["tp"] = rng.choice([1, 2, 3, 8], 53)
    found, whole = _evaluate(block, **columns), _evaluate(10**6, **columns)
    for name in whole:
        assert found[name].shape == (53,)
        np.testing.assert_array_equal(found[name], whole[name])


@pytest.mark.parametrize("block", [1, 7, 30, 8192])
def test_a_grid_of_many_axes_equals_its_points(block: int) -> None:
    batch = np.array([1, 16, 200]).reshape(3, 1, 1, 1)
    isl = np.array([100, 1000, 3000, 5000, 9999]).reshape(5, 1, 1)
    tp = np.array([1, 3, 8, 16]).reshape(4, 1)
    bandwidth = np.array([1e12, 4e12])
    grid = _evaluate(block, batch=batch, isl=isl, tp=tp, memory_bandwidth=bandwidth)
    flat = [a.ravel() for a in np.broadcast_arrays(batch, isl, tp, bandwidth)]
    points = _evaluate(batch=flat[0], isl=flat[1], tp=flat[2], memory_bandwidth=flat[3])
    for name, values in grid.items():
        assert values.shape == (3, 5, 4, 2)
        np.testing.assert_array_equal(values.ravel(), points[name])
    assert np.isnan(grid["ttft"][:, :, 1]).all()
    assert np.isfinite(grid["ttft"][:, :, [0, 2, 3]]).all()


def test_an_axis_that_only_a_rate_has_reaches_every_output() -> None:
    found = _evaluate(memory_bandwidth=np.array([1e12, 2e12]))
    assert {v.shape for v in found.values()} == {(2,)}
    assert found["tpot"][0] > found["tpot"][1]


def test_empty_columns_give_empty_results() -> None:
    assert all(v.shape == (0,) for v in _evaluate(batch=np.array([])).values())


def test_inputs_are_left_as_they_were() -> None:
    batch = np.array([1.0, 2.0, -1.0])
    _evaluate(batch=batch)
    assert batch.tolist() == [1.0, 2.0, -1.0]


def test_unknown_and_missing_inputs_are_named() -> None:
    evaluate = model(NAME).evaluator._evaluate
    with pytest.raises(TypeError, match=r"unknown inputs: \['bach'\]; missing inputs: \[\]"):
        evaluate(bach=1, **_inputs())
    with pytest.raises(TypeError, match=r"missing inputs: \['batch'\]"):
        evaluate(**{k: v for k, v in _inputs().items() if k != "batch"})


def test_shapes_that_do_not_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        _evaluate(batch=np.ones(2), isl=np.ones(3))


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.float64])
def test_large_counts_do_not_overflow(kind: type) -> None:
    # batch x pairs x heads x layers x hidden passes 2^63 on the way
    found = _evaluate(batch=np.array([4096], dtype=kind), isl=np.array([131072], dtype=kind), osl=np.array([32768], dtype=kind))
    for name, (value,) in found.items():
        assert math.isfinite(value), name
        assert value > 0 or name in ("fits", "max_batch", "bound_prefill", "bound_decode") or name.startswith("scale_out"), name
    assert found["flop_prefill"][0] > 2**63


@pytest.mark.parametrize("name", FAMILIES)
def test_emission_is_the_same_text_every_time_and_stands_alone(name: str) -> None:
    from costc.emit import Artifact

    compiled = model(name)
    text = emit(Artifact(compiled.fast_program, compiled.model.title, "digest"))
    assert text == emit(Artifact(compiled.fast_program, compiled.model.title, "digest"))
    assert [line for line in text.splitlines() if line.startswith(("import", "from"))] == ["import numpy as np"]
    assert load(text)["DIGEST"] == "digest"


def test_a_column_equals_its_points_to_the_last_bit() -> None:
    compiled = model("llama-3.1-8b")
    frame = compiled.evaluate(["h100-sxm", "mi300x", "h100-sxm"], batch=[1, 7, 64], tp=[1, 2, 8], isl=1000)
    for row in frame.to_dict("records"):
        point = compiled.point(row["hardware"], batch=row["batch"], tp=row["tp"], isl=1000)
        assert all(row[k] == v for k, v in point.items() if v is not None)


def test_a_missing_fact_is_none_at_a_point_and_touches_nothing_else() -> None:
    compiled = model("llama-3.1-8b")
    values = _inputs("llama-3.1-8b", price=math.nan)
    found = compiled.evaluator._evaluate(**values)
    assert {k for k, v in found.items() if math.isnan(v)} == {"cost_per_million_tokens", "cost_per_million_total_tokens"}
