"""BirdNET's windows a second, in every way to run its file, and how far each lies from the raw interpreter.

    python benchmarks/embed_speed.py SOUNDSCAPES [--threads 2] [--windows 64] [--rounds 5]

The ways take turns, round after round, on the same windows of real sound, because a machine that others use is slower
one minute than the next: `ratio` is the median over rounds of a way's windows a second over the raw interpreter's on one
thread in the same round. Differences are the largest, against the raw interpreter, of scores (sigmoid of the logits),
logits and embeddings; on the real windows, on noise (white, loud and faint), and on windows with digital silence in them.
"recordings to Parquet" reads SOUNDSCAPES anew each round, as `birdfast embed` does.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from common import RESULTS, versions

from birdfast.audio.listing import get_audio_files
from birdfast.audio.read import read_clip
from birdfast.embedders.birdnet import MODEL, BirdNet, birdnet_file
from birdfast.embedders.job import embed_into
from birdfast.embedders.lanes import Lanes
from birdfast.embedders.tflite import Graph, interpret, tflite_runner
from birdfast.embedders.tflite_faster import faster, freeze

N = 144_000
FILE = birdnet_file(MODEL)
CONTENT = FILE.read_bytes()
Run = Callable[[np.ndarray], list[np.ndarray]]  # windows to [embeddings,] logits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("soundscapes", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    sets = {"real": real_windows(given.soundscapes, given.windows), "noise": noise(), "silence": silence()}
    ways = all_ways(given.threads)
    wanted = {name: reference(windows) for name, windows in sets.items()}
    differences = {way: compare(run, sets, wanted) for way, (_, run) in ways.items()}
    speeds: dict[str, list[float]] = {way: [] for way in [*ways, "recordings to Parquet"]}
    for _ in range(given.rounds):
        for way, (_, run) in ways.items():
            speeds[way].append(speed(run, sets["real"]))
        speeds["recordings to Parquet"].append(job_speed(given.soundscapes, given.threads))
    raw = speeds["raw"]
    rows = [
        {
            "way": way,
            "threads": ways[way][0] if way in ways else given.threads,
            "windows_per_s": round(statistics.median(found), 1),
            "ratio": round(statistics.median(a / b for a, b in zip(found, raw)), 2),
            **differences.get(way, {}),
        }
        for way, found in speeds.items()
    ]
    about = {"ai_edge_litert": version("ai-edge-litert"), **versions()}
    command = f"python benchmarks/embed_speed.py SOUNDSCAPES --threads {given.threads} --windows {given.windows}"
    table = pd.DataFrame(rows).assign(**about, command=f"{command} --rounds {given.rounds}")
    table.to_csv(RESULTS / "embed_speed.csv", index=False)
    print(table.iloc[:, :13].to_string(index=False))


def all_ways(threads: int) -> dict[str, tuple[int, Run]]:
    """Each way with its threads."""
    one, many = BirdNet(threads=1), BirdNet(threads=threads)
    pool, weights, bias = Graph(CONTENT, FILE).dense(int(Graph(CONTENT, FILE).main.outputs[0]))
    whole = [pool, int(Graph(CONTENT, FILE).main.outputs[0])]
    ways = {
        "raw": (1, raw(1)),
        "raw, its own threads": (threads, raw(threads)),
        "raw, batches of 8": (threads, raw(threads, batch=8)),
        "raw, an interpreter a thread": (threads, Lanes(lambda: raw(1), threads)),
        "shapes fixed": (1, tflite_runner(frozen(whole), FILE, N)),
        "shapes fixed, spectrograms one matrix": (1, tflite_runner(faster(CONTENT, FILE, whole, N), FILE, N)),
        "birdfast (the last layer outside the graph)": (1, one.run),
        "birdfast, embeddings alone": (1, lambda windows: [one.embed(windows)]),
        "birdfast, an interpreter a thread": (threads, many.run),
    }
    return ways | openvino_ways(faster(CONTENT, FILE, [pool], N), weights, bias, threads)


def raw(threads: int, batch: int = 1) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(FILE), num_threads=threads)
    interpreter.resize_tensor_input(0, [batch, N])
    interpreter.allocate_tensors()
    logits = interpreter.get_output_details()[0]["index"]

    def run(windows: np.ndarray) -> list[np.ndarray]:
        found = []
        for i in range(0, len(windows) - batch + 1, batch):
            interpreter.set_tensor(0, windows[i : i + batch])
            interpreter.invoke()
            found.append(interpreter.get_tensor(logits))
        return [np.concatenate(found)] if found else [np.zeros((0, 6522), np.float32)]

    return run


def frozen(outputs: list[int]) -> bytes:
    graph = Graph(CONTENT, FILE)
    graph.set_outputs(outputs)
    freeze(graph, CONTENT, N)
    graph.set_outputs(outputs)
    return graph.to_bytes()


def openvino_ways(content: bytes, weights: np.ndarray, bias: np.ndarray, threads: int) -> dict[str, tuple[int, Run]]:
    """The changed graph in OpenVINO, which refuses the file as it is (RFFT2D); none where it is not installed."""
    try:
        import openvino
    except ImportError:
        return {}
    with tempfile.TemporaryDirectory() as folder:  # it reads files only; gone with the function
        file = Path(folder, "changed.tflite")
        file.write_bytes(content)
        model = openvino.Core().read_model(file)
        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = {
            n: openvino.Core().compile_model(model, "CPU", {**settings, "INFERENCE_NUM_THREADS": n})
            for n in (1, threads)
        }

    def runner(n: int) -> Run:
        def run(windows: np.ndarray) -> list[np.ndarray]:
            embeddings = np.concatenate([compiled[n](window[None])[0].copy() for window in windows])
            return [embeddings, embeddings @ weights.T + bias]

        return run

    return {f"the same graph in OpenVINO{', its own threads' if n > 1 else ''}": (n, runner(n)) for n in compiled}


def reference(windows: np.ndarray) -> list[np.ndarray]:
    """Embeddings and logits of the file as it is."""
    interpreter = interpret(CONTENT, FILE, keep_all=True)
    interpreter.resize_tensor_input(0, [1, N])
    interpreter.allocate_tensors()
    graph = Graph(CONTENT, FILE)
    outputs = [graph.find("model/GLOBAL_AVG_POOL/Mean"), int(graph.main.outputs[0])]
    rows = []
    for window in windows:
        interpreter.set_tensor(0, window[None])
        interpreter.invoke()
        rows.append([interpreter.get_tensor(output) for output in outputs])
    return [np.concatenate(found) for found in zip(*rows)]


def compare(run: Run, sets: dict[str, np.ndarray], wanted: dict[str, list[np.ndarray]]) -> dict[str, float]:
    """The largest differences of scores on each set, and of logits and embeddings on the real one."""
    found: dict[str, float] = {}
    for name, windows in sets.items():
        outputs = list(run(windows))
        embeddings, logits = wanted[name]
        if outputs[-1].shape[1] == logits.shape[1]:
            n = len(outputs[-1])
            found[f"score_{name}"] = float(np.abs(sigmoid(outputs[-1]) - sigmoid(logits[:n])).max()) if n else np.nan
            if name == "real":
                found["logit_real"] = float(np.abs(outputs[-1] - logits[:n]).max())
        if name == "real" and outputs[0].shape[1] == embeddings.shape[1]:
            found["embedding_real"] = float(np.abs(outputs[0] - embeddings).max())
    return {name: float(f"{value:.1e}") for name, value in found.items()}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def speed(run: Run, windows: np.ndarray) -> float:
    started = time.perf_counter()
    run(windows)
    return len(windows) / (time.perf_counter() - started)


def job_speed(soundscapes: Path, threads: int) -> float:
    embedder = BirdNet(threads=threads)
    embedder.embed(noise()[:1])  # the graph is changed once in a process
    with tempfile.TemporaryDirectory() as out:
        started = time.perf_counter()
        result = embed_into(out, embedder, soundscapes, workers=threads, progress=False)
        seconds = time.perf_counter() - started
        return len(result.read().starts) / seconds


def real_windows(folder: Path, n: int) -> np.ndarray:
    """Windows spread over the recordings of a folder."""
    files = get_audio_files(folder)
    spread = [(files[k % len(files)], 3.0 * (k // len(files))) for k in range(n)]
    return np.stack([read_clip(file, start_time=at, duration=3.0, sample_rate=48_000) for file, at in spread])


def noise() -> np.ndarray:
    rng = np.random.default_rng(0)
    levels = np.array([0.3, 0.1, 1e-2, 1e-3, 1e-4, 1e-2, 0.1, 0.3])
    return (levels[:, None] * rng.standard_normal((8, N))).clip(-1, 1).astype(np.float32)


def silence() -> np.ndarray:
    """Noise that ends in digital silence earlier and earlier, and nothing else at last."""
    windows = noise()
    for k, window in enumerate(windows):
        window[round(N * (1 - (k + 1) / 8)) :] = 0
    return windows


if __name__ == "__main__":
    main()
