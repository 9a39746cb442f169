"""Write the figures of README, docs/ and the recipes from the csv files in benchmarks/results.

python benchmarks/table.py
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
from ladder import LARGER, OWN, RESULTS

from birdfast import RUNGS, ablation
from birdfast.evaluation.gains import gain_words, ladder_markdown, ladder_table
from birdfast.studies.rungs import compared_with

ROOT = Path(__file__).parents[1]
RECIPES = ["baseline", "improved", "improved, lr=auto", "small", "first_place", "first_place + pseudo-labels"]
SCRIPTS = {
    "baseline": "baseline",
    "improved": "improved, lr=auto",
    "first_place": "first_place",
    "pseudo_labels": "small + pseudo-labels",
}
LADDERS = {
    "ladder_mini": "mini BirdCLEF (real)",
    "ladder60": "60 synthetic species",
    "ladder206": "206 synthetic species",
}
SYNTH = {
    "accuracy": "accuracy",
    "roc_auc": "macro ROC-AUC",
    "rare_accuracy": "accuracy on the rare third",
    "soundscape_roc_auc": "macro ROC-AUC on soundscapes",
}
# csv, column, heading
ROWS = [
    ("esc10", "accuracy", "ESC-10 (real), accuracy, {n} official folds"),
    ("ladder_mini", "soundscape_roc_auc", "mini BirdCLEF (real), macro ROC-AUC on soundscapes, {n} seeds"),
    *(("ladder206", column, f"206 synthetic species, {what}, {{n}} seeds") for column, what in SYNTH.items()),
]
# Rungs that a command measures, in the order of the tables.
KNOWN = RUNGS | {rung.name: rung for rung in ablation("small")[1:]} | OWN
NOT_YET = "not measured yet"


def cell(values: pd.Series, percent: bool, wanted: int) -> str:
    """Mean and spread, and how many runs they are of where that is fewer than `wanted`."""
    scale, digits = (100, 1) if percent else (1, 3)
    spread = f" ± {values.std() * scale:.{digits}f}" if len(values) > 1 else ""
    fewer = f" ({len(values)} of {wanted})" if len(values) < wanted else ""
    return f"{values.mean() * scale:.{digits}f}{' %' if percent else ''}{spread}{fewer}"


def results(name: str) -> pd.DataFrame:
    """The rows of a csv or of a ladder; none where it was not measured."""
    path, rungs = RESULTS / f"{name}.csv", ladder_rows(name)
    if rungs is not None:
        return rungs.rename(columns={"rung": "variant"})
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["variant", "seconds", "device"])


def found(name: str, column: str) -> dict[str, pd.Series]:
    """The values of a column by variant."""
    rows = results(name)
    return dict(list(rows.groupby("variant")[column])) if len(rows) else {}


def table() -> str:
    """The markdown table: a row a measure, a column a recipe."""
    lines = ["| | " + " | ".join(f"`{name}`" for name in RECIPES) + " |", "|---" * (len(RECIPES) + 1) + "|"]
    for name, column, heading in ROWS:
        values = found(name, column)
        n = max(map(len, values.values()), default=0)
        cells = [cell(values[recipe], "accuracy" in column, n) if recipe in values else "not run" for recipe in RECIPES]
        lines.append("| " + " | ".join([heading.format(n=n), *cells]) + " |")
    return "\n".join([*lines, "", difficulty(), "", three_spectrograms(), *together(), *as_scripts()])


def three_spectrograms() -> str:
    """What three models of `small` reach together that look at different spectrograms, in words."""
    folds = results("esc10").pivot(columns="variant", index="fold")["accuracy"]
    together = folds["small, 3 spectrograms together"]
    three, one = (cell(values.dropna(), True, 5) for values in (together, folds["small"]))
    again = folds["small, 3 spectrograms together, again"].dropna()
    before = together[again.index]
    return (
        'On ESC-10 three models of `small` that look at three spectrograms (the default one, `normalize="minmax"`, and that\n'
        f"with `n_fft=1024, win_length=1024, hop_length=320`) reach {three} together, one {one} (people reach 95.7 %).\n"
        f"Chance is as large: trained again, with two threads, folds {', '.join(map(str, again.index))} "
        f"gave {again.mean():.1%} in place of {before.mean():.1%}."
    )


def as_scripts() -> list[str]:
    """What the scripts of recipes/ reach on real soundscapes, in a sentence; nothing where they were not run."""
    rows = results("recipes")
    said = ", ".join(
        f"`{row.variant}.py` {row.roc_auc:.3f} in {time_of(rows[rows['variant'] == row.variant])}"
        for row in rows.itertuples()
    )
    of_all = "one model each; the last two: five folds together, `first_place.py` in shifted windows"
    return ["", f"The scripts in recipes/ on mini BirdCLEF, once each ({of_all}): {said}."] if len(rows) else []


def difficulty() -> str:
    """How hard the synthetic sets are, in a sentence."""
    rows = pd.read_csv(RESULTS / "synth_difficulty.csv").groupby("method").mean(numeric_only=True)
    near, baseline = rows.loc["nearest mean spectrum"], rows.loc["baseline"]
    return (
        "The synthetic sets have `synth`'s default difficulty. It was set before any recipe but `baseline` was scored on it, "
        "and stays:\nsongs drawn at -4 ± 6 dB of signal to noise, in soundscapes at -6 ± 4. "
        f"Of its 20 species a nearest mean spectrum calls {near['accuracy']:.0%} of held-out recordings right, the commonest "
        f"class is {near['commonest_class']:.0%}, `baseline` reaches {baseline['accuracy']:.0%}\n"
        "(`python benchmarks/synth_difficulty.py FOLDER --baseline`)."
    )


def together() -> list[str]:
    """What seeds that predict together reach on real soundscapes, in a sentence; nothing where it was not measured."""
    path = RESULTS / "postprocess.csv"
    if not path.exists():
        return []
    rows = pd.read_csv(path, dtype={"model": str})
    scores = rows[rows["data"] == "mini_birdclef"].pivot_table("roc_auc", "switch", "model")
    n, both = len(scores.columns) - 1, scores["together"]
    alone = scores.drop(columns="together").mean(axis=1)
    said = (
        f"`birdfast predict --shift 2.5` lifts `small` on mini BirdCLEF from {alone['none']:.3f} to {alone['shift 2.5']:.3f} "
        f"(mean of {n} seeds); {n} seeds that predict together reach {both['none']:.3f}, and {both['shift 2.5']:.3f} with it."
    )
    return ["", said]


def time_of(rows: pd.DataFrame) -> str:
    """The median time of a training, in words."""
    seconds = rows["seconds"].median()
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def script(name: str) -> list[str]:
    """What a script of recipes/ printed last, in a line; none where it was not run."""
    rows = results("recipes")
    rows = rows[rows["variant"] == name]
    return [
        f"- this script with {row.options}, on mini BirdCLEF (real): {row.roc_auc:.3f} in {time_of(rows)}"
        for row in rows.itertuples()
    ]


def figures(file: str, recipe: str) -> str:
    """What a script reached, and one model of its recipe, a line a measure; and how long a run took."""
    lines = script(file)
    for name, column, heading in ROWS:
        values = found(name, column).get(recipe)
        if values is not None:
            lines.append(f"- one model, {heading.format(n=len(values))}: {cell(values, 'accuracy' in column, 0)}")
    for name in dict.fromkeys(name for name, _, _ in ROWS):
        rows = results(name)
        rows = rows[rows["variant"] == recipe]
        if len(rows):
            lines.append(f"- {time_of(rows)} a model of {name} ({rows['device'].iloc[-1]})")
    return "\n".join(lines) or NOT_YET


def ladder_rows(name: str) -> pd.DataFrame | None:
    """What a ladder measured of the rungs that there are, in their order; None where it did not yet.

    Of a rung that changed, the last recipe.
    """
    path = RESULTS / name / "ladder.csv"
    if not path.exists():
        return None
    rows = pd.read_csv(path).fillna({"adds": "", "over": ""})
    last = rows.groupby("rung")[["recipe", "source"]].transform("last")
    rows = rows[(last == rows[["recipe", "source"]]).all(axis=1) & rows["rung"].isin(KNOWN)]
    rows["adds"] = rows["rung"].map({name: rung.adds for name, rung in KNOWN.items()})
    order = {rung: place for place, rung in enumerate(KNOWN)}
    return rows.sort_values("rung", key=lambda names: names.map(order), kind="stable")


def gains(rows: pd.DataFrame) -> pd.DataFrame:
    """The table of a ladder: each rung over its own or the one below it, of those measured."""
    measured = set(rows["rung"])
    return ladder_table(rows, compared_with([rung for name, rung in KNOWN.items() if name in measured]))


def over_baseline(rows: pd.DataFrame) -> pd.DataFrame:
    """A cell a rung: what it scores above baseline, by the seeds that both have; what a whole ladder comes to."""
    rungs = [rung for rung in rows["rung"].unique() if rung != "baseline"]
    table = ladder_table(rows.assign(removes=False), dict.fromkeys(rungs, "baseline"))
    cells = [gain_words(row) for _, row in table.iterrows()]
    return pd.DataFrame({"over `baseline`": cells}, index=table.index)


def ladders() -> str:
    """The table of each ladder."""
    parts = []
    for name, heading in LADDERS.items():
        rows = ladder_rows(name)
        body = f"{NOT_YET}." if rows is None else ladder_markdown(gains(rows), more=over_baseline(rows))
        parts.append(f"**{heading}** (`python benchmarks/ladder.py {name} FOLDER`):\n\n{body}")
    return "\n\n".join(parts)


def ladder_times() -> str:
    """How long the ladders took, a line each."""
    lines = []
    for name, heading in LADDERS.items():
        rows = ladder_rows(name)
        if rows is not None:
            device = rows["device"].iloc[-1]
            lines.append(f"- {heading}: {len(rows)} trainings, {time_of(rows)} each ({device})")
    return "\n".join([*lines, "- gains: docs/remedies.md"]) if lines else NOT_YET


def gain_of(rung: str) -> str:
    """What a rung gained in each ladder that has it, in words."""
    said = []
    for name, heading in LADDERS.items():
        rows = ladder_rows(name)
        table = pd.DataFrame(columns=["gain"]) if rows is None else gains(rows)
        if rung in table.index and pd.notna(table.loc[rung, "gain"]):
            row = table.loc[rung]
            seeds = f", {row['n']} seeds" if row["n"] > 1 else ""
            said.append(f"{gain_words(row)} on {heading} ({row['verdict']}{seeds})")
    return f"Here, `{rung}`: {'; '.join(said) or NOT_YET}.{_on_esc10(rung)}"


def _on_esc10(rung: str) -> str:
    """The accuracy of a rung on the folds that `small` has, too, in words; nothing where it was not measured."""
    folds = results("esc10").pivot(columns="variant", index="fold")["accuracy"]
    if rung not in folds:
        return ""
    both = folds[[rung, "small"]].dropna()
    ours, small = (cell(both[name], True, len(both)) for name in both)
    return f" On ESC-10 (real), {len(both)} folds: {ours}, `small`: {small}."


def backbones() -> str:
    """What B3 costs beside B0, and what both learn, in words."""
    rows = pd.read_csv(RESULTS / "backbones" / "ladder.csv").set_index("rung")
    b0, b3 = rows.loc["B0"], rows.loc["B3"]
    times = b3["seconds_per_epoch"] / b0["seconds_per_epoch"]
    return (
        f"`tf_efficientnet_b3` takes {b3['seconds_per_epoch']:.1f} s an epoch of 60 synthetic species, `tf_efficientnet_b0` "
        f"{b0['seconds_per_epoch']:.1f} s: {times:.1f} times ({b0['device']}). Both begin from random weights, for want of\n"
        f"others offline: in {b0['epochs']} epochs neither learns much (accuracy {b3['accuracy']:.1%} and "
        f"{b0['accuracy']:.1%}), so the time is all that this compares\n"
        "(`python benchmarks/ladder.py backbones FOLDER --seeds 1`)."
    )


def larger() -> str:
    """What larger backbones from ImageNet weights gain over lite0, in words."""
    return "\n".join(gain_of(rung.name) for rung in LARGER)


def throughput() -> str:
    """Clips a second by way and backbone, and their share of the model alone."""
    path = RESULTS / "train_throughput.csv"
    if not path.exists():
        return NOT_YET
    rows = pd.read_csv(path)
    rows["way"] += rows["workers"].map(lambda n: f", {n} worker" if n else "")
    speeds = rows.pivot_table("clips_s", "way", "backbone", sort=False)
    lines = [f"| | {' | '.join(f'`{name}`' for name in speeds)} |", "|---" * (len(speeds.columns) + 1) + "|"]
    for way, row in speeds.iterrows():
        cells = [f"{value:.1f} ({value / speeds.loc['model alone', name]:.2f})" for name, value in row.items()]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    device, torch = rows[["device", "torch"]].iloc[-1]
    return "\n".join([*lines, "", f"On {device}, torch {torch}."])


def switches() -> str:
    """What the switches of prediction gain, over single models and over all of them together."""
    path = RESULTS / "postprocess.csv"
    if not path.exists():
        return NOT_YET
    parts = []
    for data, rows in pd.read_csv(path, dtype={"model": str}).groupby("data", sort=False):
        scores = rows.pivot_table("roc_auc", "switch", "model", sort=False)
        alone = scores.drop(columns="together", errors="ignore")
        gains = alone.sub(alone.loc["none"])
        lines = [
            f"| {data} | each of {len(alone.columns)} models: mean, gain ± standard error | together |",
            "|---|---|---|",
        ]
        for switch, row in gains.iterrows():
            gain = "" if switch == "none" else f", {row.mean():+.3f} ± {row.std() / len(row) ** 0.5:.3f}"
            both = f"{scores.loc[switch, 'together']:.3f}" if "together" in scores else ""
            lines.append(f"| {switch} | {alone.loc[switch].mean():.3f}{gain} | {both} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def fill(path: Path, name: str, text: str) -> None:
    """Put `text` between the markers of that name."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name.partition(':')[0]} -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.S)
    before = path.read_text()
    if not pattern.search(before):
        raise SystemExit(f"{path} has no place for {name}: write {start} and {end} there")
    path.write_text(pattern.sub(lambda _: f"{start}\n{text}\n{end}", before))


def main() -> None:
    """Fill every place."""
    fill(ROOT / "README.md", "results", table())
    for file, variant in SCRIPTS.items():
        fill(ROOT / "recipes" / f"{file}.py", f"figures: {file}", figures(file, variant))
    fill(ROOT / "recipes" / "ladder.py", "figures: ladder", ladder_times())
    fill(ROOT / "docs" / "speed.md", "throughput", throughput())
    fill(ROOT / "docs" / "predict.md", "switches", switches())
    remedies = ROOT / "docs" / "remedies.md"
    fill(remedies, "ladders", ladders())
    fill(remedies, "backbones", backbones())
    fill(remedies, "three spectrograms", three_spectrograms())
    fill(remedies, "larger", larger())
    for rung in re.findall(r"<!-- gain: (.+?) -->", remedies.read_text()):
        fill(remedies, f"gain: {rung}", gain_of(rung))


if __name__ == "__main__":
    main()
