"""Packing a cell: what travels, and every refusal in its one sentence."""

from __future__ import annotations

import base64
import io
import json
import pickle
import socket
import threading
import zlib
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from jupyter_kube.errors import InvalidInput
from jupyter_kube.train import cell, frameworks
from jupyter_kube.train.cell import pack
from jupyter_kube.train.frameworks import (
    check_keras,
    connects_workers,
    detect_framework,
    uses_legacy_keras,
)
from jupyter_kube.train.sizes import size_text


def notebook(source: str = "", **values: Any) -> dict[str, Any]:
    """Run a notebook's earlier cell."""
    namespace: dict[str, Any] = {"__name__": "__main__", **values}
    exec(source, namespace)
    return namespace


def content(bundle: cell.Bundle) -> dict[str, Any]:
    opened: dict[str, Any] = json.loads(zlib.decompress(bundle.payload))
    return opened


def loaded(bundle: cell.Bundle, main: dict[str, Any] | None = None) -> dict[str, Any]:
    class Unpickler(pickle.Unpickler):
        def persistent_load(self, _mark: Any) -> Any:
            return main if main is not None else {}

    values = base64.b64decode(content(bundle)["values"])
    out: dict[str, Any] = Unpickler(io.BytesIO(values)).load()
    return out


def refused(source: str, namespace: dict[str, Any] | None = None, **more: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        pack(source, namespace or {}, **more)
    return str(caught.value)


def test_exactly_what_the_cell_reads_travels() -> None:
    space = notebook("def helper(x): return x * scale", scale=3, data=np.zeros(4), unused=1)
    bundle = pack("y = helper(data)", space, outputs=["y"])
    assert [(item.name, item.kind) for item in bundle.travels] == [
        ("data", "ndarray"),
        ("helper", "function"),
    ]
    assert all(item.bytes > 0 for item in bundle.travels)
    assert content(bundle)["outputs"] == ["y"]
    main: dict[str, Any] = {}
    assert loaded(bundle, main)["helper"](5) == 15
    assert main["scale"] == 3


def test_a_name_in_use_travels_although_nothing_mentions_it() -> None:
    bundle = pack("x = 1", notebook(quiet=2), use=["quiet"])
    assert loaded(bundle) == {"quiet": 2}


def test_the_same_object_under_two_names_stays_one() -> None:
    shared: list[int] = []
    values = loaded(pack("a, b", notebook(a=shared, b=shared)))
    assert values["a"] is values["b"]


def test_installed_modules_travel_by_name() -> None:
    (item,) = pack("np.zeros(1)", notebook(np=np)).travels
    assert (item.kind, item.bytes < 100) == ("module", True)


def test_a_name_that_the_cell_perhaps_binds_stays_when_it_cannot_travel() -> None:
    source = "for i in range(3):\n  model = i\nprint(model)"
    bundle = pack(source, notebook(model=threading.Lock()))
    assert bundle.travels == ()
    assert [item.name for item in bundle.left] == ["model"]


@pytest.mark.parametrize("source", ["", "\n  \n", "# only words\n"])
def test_an_empty_cell(source: str) -> None:
    assert refused(source) == "the cell has no code to run"


def test_a_syntax_error_shows_line_and_caret() -> None:
    text = refused("ok = 1\nx = = 2")
    assert text.startswith("SyntaxError in line 2: ")
    assert text.splitlines()[1:] == ["    x = = 2", "        ^"]


@pytest.mark.parametrize(
    ("line", "shown"),
    [("!pip install x", "!pip"), ("%time f()", "%time"), ("a = !ls", "!ls"), ("f?", "f?"),
     ("a, b = %timeit -o x", "%timeit"), ("%%bash", "%%bash")],
)  # fmt: skip
def test_ipython_syntax(line: str, shown: str) -> None:
    text = refused(f"x = 1\n{line}")
    assert text.startswith(f'line 2: "{shown}" is IPython syntax and cannot run in workers')


def test_a_modulo_at_a_lines_start_is_python() -> None:
    assert pack("x = (7\n % 3)", {}).travels == ()


def test_undefined_names_are_refused_with_a_suggestion() -> None:
    text = refused("print(dta)", notebook(data=1))
    assert (
        text == '"dta" is not defined, neither in the cell nor in the notebook; did you mean data?'
    )
    assert "zz" in refused("x = 1", use=["zz"])


def test_the_notebooks_own_shell_is_refused() -> None:
    assert "get_ipython" in refused("get_ipython()", notebook(get_ipython=print))


def test_values_that_cannot_travel_are_named_with_their_type() -> None:
    with socket.socket() as sock:
        text = refused("sock.send(b'')", notebook(sock=sock))
    assert text == 'cannot send "sock" (socket): open it inside the cell'
    text = refused("lock", notebook(lock=threading.Lock()))
    assert text == 'cannot send "lock" (lock): make it inside the cell'


def test_a_helper_that_uses_what_cannot_travel_says_so() -> None:
    space = notebook("def helper(): return lock", lock=threading.Lock())
    assert 'cannot send "helper" (function)' in refused("helper()", space)


def test_values_above_the_limit_are_named_with_their_size() -> None:
    text = refused("df.sum()", notebook(df=np.zeros(54_000_000)))
    assert text == (
        '"df" is 412 MiB; up to 4 MiB can travel with a cell. '
        "Save it to shared storage and load it in the cell."
    )
    text = refused("f()", notebook("def f(): return big", big=bytes(5 << 20)))
    assert text.startswith('"f" (function), with what it uses, is ')


def test_values_above_the_limit_together_are_named_by_size() -> None:
    text = refused("a, b, c", notebook(a=bytes(3 << 20), b=bytes(2 << 20), c=1))
    assert '5.0 MiB together ("a" 3 MiB, "b" 2 MiB' in text.replace("5 MiB", "5.0 MiB")


def test_outputs_must_be_assigned_in_the_cell() -> None:
    text = refused("history = 1", outputs=["histroy"])
    assert text == (
        'the cell never assigns "histroy", so it cannot come back; did you mean history?'
    )


def test_too_many_outputs_are_refused() -> None:
    names = [f"x{number}" for number in range(41)]
    assert "too many" in refused("; ".join(f"{n} = 1" for n in names), outputs=names)
    assert "too many" in refused(f"{'é' * 400} = 1", outputs=["é" * 400])


def test_nothing_of_the_notebook_is_changed_by_packing() -> None:
    space = notebook("def f(): return a", a=[1])
    before = dict(space)
    pack("f()", space)
    assert space == before


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (2100, "2.1 kB"), (1_500_000, "1.4 MiB"),
     (4 << 20, "4 MiB"), (412 << 20, "412 MiB"), (10 << 20, "10 MiB"), (100 << 20, "100 MiB")],
)  # fmt: skip
def test_sizes_for_people(size: int, text: str) -> None:
    assert size_text(size) == text


# frameworks


def module(name: str) -> ModuleType:
    return ModuleType(name)


TF = module("tensorflow")


@pytest.mark.parametrize(
    ("source", "space", "framework"),
    [
        ("import tensorflow as tf", {}, "tensorflow"),
        ("from tf_keras import layers", {}, "tensorflow"),
        ("import keras", {}, "tensorflow"),
        ("tf.zeros(1)", {"tf": TF}, "tensorflow"),
        ("build()", notebook("def build(): return tf.zeros(1)", tf=TF), "tensorflow"),
        ("build()", notebook("def build():\n  import tensorflow"), "tensorflow"),
        ("from torch import nn", {}, "pytorch"),
        ("build()", notebook("def build():\n  import torch.nn as nn"), "pytorch"),
        ("import paddle.nn", {}, "paddle"),
        ("import torch, tensorflow", {}, "tensorflow"),
        ("import numpy", {}, "python"),
        ("tensorflow = 1", {}, "python"),
    ],
)
def test_the_framework_is_what_the_cell_uses(
    source: str, space: dict[str, Any], framework: str
) -> None:
    assert detect_framework(source, space) == framework


def versions(**installed: str) -> Any:
    def version(name: str) -> str:
        if name not in installed:
            raise frameworks.metadata.PackageNotFoundError(name)
        return installed[name]

    return version


NEW = versions(tensorflow="2.21.0", keras="3.15.1")
OLD = versions(tensorflow="2.15.1", keras="2.15.0")

KERAS_3 = [
    ("tf.keras.Sequential().fit(x)", notebook(tf=TF, x=1)),
    ("from tensorflow import keras\nkeras.Sequential().fit(1)", {}),
    ("import keras\nkeras.Sequential().fit(1)", {}),
    ("build().fit(1)", notebook("def build(): return tf.keras.Sequential()", tf=TF)),
    ("build().fit(1)", notebook("def build(): return keras.Sequential()", keras=module("keras"))),
    ("train()", notebook("def train(): keras.Sequential().fit(1)", keras=module("keras"))),
]
FINE = [
    ("import tf_keras as keras\nkeras.Sequential().fit(1)", {}),
    ("build().fit(1)", notebook("def build(): return k.Sequential()", k=module("tf_keras"))),
    ("tf.keras.Sequential()", notebook(tf=TF)),
    ("model.fit(1)", notebook(model=1)),
    ("import os\nos.environ['TF_USE_LEGACY_KERAS'] = '1'\ntf.keras.fit(1)", notebook(tf=TF)),
]


@pytest.mark.parametrize(("source", "space"), KERAS_3)
def test_keras_3_cannot_fit_on_several_workers(source: str, space: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="import tf_keras as keras"):
        check_keras(source, space, version=NEW)
    check_keras(source, space, version=OLD)


@pytest.mark.parametrize(("source", "space"), FINE)
def test_other_models_may(source: str, space: dict[str, Any]) -> None:
    check_keras(source, space, version=NEW)


def test_tf_keras_makes_the_workers_use_it_too() -> None:
    assert content(pack("import tf_keras", {}))["env"] == {"TF_USE_LEGACY_KERAS": "1"}
    assert content(pack("import tensorflow", {}))["env"] == {}
    assert not uses_legacy_keras("x = 1", {})


def test_a_cell_that_connects_the_workers_itself_is_left_alone() -> None:
    assert connects_workers("torch.distributed.init_process_group()", {"torch": module("torch")})
    assert connects_workers("s = tf.distribute.MultiWorkerMirroredStrategy()", notebook(tf=TF))
    assert not connects_workers("kube.strategy.num_replicas_in_sync", {})
