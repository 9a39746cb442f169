"""Scores meet their truth, and the figures are scikit-learn's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from birdfast.commands.evaluating.evaluate import _windows_of, evaluate
from birdfast.commands.evaluating.evaluation import Evaluation
from birdfast.commands.evaluating.truth import read_solution, read_truth
from birdfast.errors import BirdfastError

RATE = 8000
CLASSES = ["ash", "bee", "cow"]
STEMS = ["BC2026_Test_0000_S01_20260401_050000", "BC2026_Test_0001_S02_20260401_050000"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def bundle(tiny_recipe, tmp_path_factory) -> Path:
    """An untrained model of three classes that hears 5 s."""
    import torch

    from birdfast.models import create_model
    from birdfast.scoring.bundle import Bundle, save_bundle
    from birdfast.spectrogram.logmel import LogMel

    recipe = tiny_recipe.with_(duration=5.0)
    torch.manual_seed(0)
    model = create_model(recipe, 3)
    torch.nn.init.normal_(model.head[-1].weight, std=3)
    made = Bundle(
        model.eval(), LogMel.from_recipe(recipe), CLASSES, recipe, extra={"train_counts": {"ash": 3, "bee": 1}}
    )
    return save_bundle(made, tmp_path_factory.mktemp("bundle") / "birds.safetensors")


@pytest.fixture
def birdclef(tmp_path, rng) -> Path:
    """Two test soundscapes of 20 s with a solution, one labelled soundscape, two recordings."""
    for stem in STEMS:
        write(tmp_path / "test_soundscapes" / f"{stem}.ogg", 20, rng)
    ids = [f"{stem}_{end}" for stem in STEMS for end in (5, 10, 15, 20)]
    truth = pd.DataFrame(np.resize([[1, 0, 0], [0, 1, 1], [0, 0, 0]], (8, 3)), columns=CLASSES)
    truth.insert(0, "row_id", ids)
    truth.to_csv(tmp_path / "solution.csv", index=False)
    write(tmp_path / "train_soundscapes" / "a.ogg", 30, rng)
    rows = [("a.ogg", "00:00:05", "00:00:10", "ash;bee")] * 2 + [("a.ogg", "00:00:15", "00:00:20", "bee")]
    labels = pd.DataFrame(rows, columns=["filename", "start", "end", "primary_label"])
    labels.to_csv(tmp_path / "train_soundscapes_labels.csv", index=False)
    for label in CLASSES[:2]:
        write(tmp_path / "train_audio" / label / "x.ogg", 6, rng)
    pd.DataFrame({"filename": ["ash/x.ogg", "bee/x.ogg"], "primary_label": CLASSES[:2]}).to_csv(
        tmp_path / "train.csv", index=False
    )
    pd.DataFrame({"primary_label": CLASSES}).to_csv(tmp_path / "taxonomy.csv", index=False)
    return tmp_path


def write(path: Path, seconds: float, rng) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(round(seconds * RATE)) / RATE
    sweep = np.sin(2 * np.pi * (500 + 100 * rng.random() * t) * t) * np.sin(t)
    soundfile.write(path, 0.3 * sweep + 0.02 * rng.standard_normal(len(t)), RATE)


def test_figures_equal_sklearn(rng):
    truth, scores = rng.random((200, 3)) < 0.3, rng.random((200, 3))
    result = Evaluation("x", truth.astype(float), scores, CLASSES)
    assert result.summary["roc_auc"] == pytest.approx(roc_auc_score(truth, scores, average="macro"))
    assert result.summary["cmap"] == pytest.approx(average_precision_score(truth, scores, average="macro"))
    assert result.summary["macro_f1"] == pytest.approx(f1_score(truth, scores >= 0.5, average="macro"))
    ones = np.ones((5, 3))
    padded = average_precision_score(np.vstack([truth, ones]), np.vstack([scores, ones]), average="macro")
    assert result.summary["padded_cmap"] == pytest.approx(padded)
    np.testing.assert_allclose(result.per_class["auc"], roc_auc_score(truth, scores, average=None))


def test_a_submission_against_its_solution_equals_sklearn(birdclef, tmp_path, rng):
    solution = pd.read_csv(birdclef / "solution.csv")
    submission = solution.assign(**{name: rng.random(8) for name in CLASSES}).sample(frac=1, random_state=0)
    submission[["row_id", *CLASSES[::-1]]].to_csv(tmp_path / "submission.csv", index=False)
    result = evaluate(tmp_path / "submission.csv", birdclef / "solution.csv")
    expected = submission.set_index("row_id").loc[solution["row_id"], CLASSES].to_numpy()
    assert result.summary["roc_auc"] == pytest.approx(roc_auc_score(solution[CLASSES], expected, average="macro"))
    assert result.summary["cmap"] == pytest.approx(
        average_precision_score(solution[CLASSES], expected, average="macro")
    )
    assert "8 rows" in result.what
    assert evaluate(tmp_path / "submission.csv", birdclef).summary == result.summary


def test_a_submission_that_does_not_fit(birdclef, tmp_path):
    solution = pd.read_csv(birdclef / "solution.csv")
    wrong = {
        "lacks 7 rows": solution[:1],
        "lacks 1 classes": solution.drop(columns="bee"),
        "twice": pd.concat([solution, solution[:1]]),
        "missing values in 'ash'": solution.assign(ash=np.nan),
        "holds decisions": solution[["row_id"]].assign(birds="ash bee"),
        "no column row_id": solution.rename(columns={"row_id": "id"}),
    }
    for message, table in wrong.items():
        table.to_csv(tmp_path / "submission.csv", index=False)
        with pytest.raises(BirdfastError, match=message):
            read_solution(tmp_path / "submission.csv") if "lacks" not in message else evaluate(
                tmp_path / "submission.csv", birdclef
            )


def test_a_model_on_test_soundscapes_and_its_scores_as_csv(bundle, birdclef, tmp_path):
    from birdfast.commands.predicting.score import predict

    result = evaluate(bundle, birdclef)
    assert result.what.startswith("8 windows of 2 soundscapes against")
    assert result.targets.tolist() == pd.read_csv(birdclef / "solution.csv")[CLASSES].to_numpy().tolist()
    for out in (
        evaluate(bundle, birdclef / "solution.csv"),
        evaluate(bundle, birdclef, truth=birdclef / "solution.csv"),
    ):
        np.testing.assert_array_equal(out.probabilities, result.probabilities)
    predict(bundle, [birdclef / "test_soundscapes"], tmp_path / "scores.csv")
    written = evaluate(tmp_path / "scores.csv", birdclef)
    assert written.summary == pytest.approx(result.summary, abs=1e-6)
    (tmp_path / "elsewhere").mkdir()
    moved = (birdclef / "solution.csv").rename(tmp_path / "elsewhere" / "truth.csv")
    apart = evaluate(tmp_path / "scores.csv", birdclef / "test_soundscapes", truth=moved)
    assert apart.summary == written.summary, "truth that does not lie beside its soundscapes"
    assert result.per_class["train_recordings"].tolist() == [3, 1, 0]


def test_bundles_and_ensembles_score_as_their_paths_do(bundle, birdclef):
    from birdfast.prediction.ensemble import Ensemble
    from birdfast.scoring.bundle import load_bundle

    first, second = load_bundle(bundle), load_bundle(bundle)
    second.model.head[-1].weight.data *= -1
    alone = [evaluate(model, birdclef).probabilities for model in (bundle, second)]
    np.testing.assert_array_equal(evaluate(first, birdclef).probabilities, alone[0])
    assert np.abs(alone[0] - alone[1]).max() > 0.01
    expected = 0.75 * alone[0] + 0.25 * alone[1]
    both = Ensemble([first, second], weights=[3, 1], device="cpu")
    for result in (evaluate(both, birdclef), evaluate([bundle, second], birdclef, weights=[3, 1])):
        np.testing.assert_allclose(result.probabilities, expected, atol=1e-5)
        assert result.train_counts == {"ash": 3, "bee": 1, "cow": 0}
    ranked = evaluate(Ensemble([bundle, second], blend="rank", device="cpu"), birdclef)
    listed = evaluate([bundle, second], birdclef, blend="rank")
    np.testing.assert_allclose(ranked.probabilities, listed.probabilities, atol=1e-6)
    assert np.abs(ranked.probabilities - expected).max() > 0.01
    with pytest.raises(BirdfastError, match="make another"):
        evaluate(both, birdclef, weights=[1, 2])
    with pytest.raises(BirdfastError, match="needs a model or more"):
        evaluate([], birdclef)


def test_labelled_soundscapes_count_unlabelled_windows_as_no_call(bundle, birdclef):
    (birdclef / "solution.csv").unlink()
    result = evaluate(bundle, birdclef)
    assert result.what.startswith("the windows of 1 labelled soundscapes")
    wanted = [[0, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert result.targets.tolist() == wanted
    by_csv = evaluate(bundle, birdclef, truth=birdclef / "train_soundscapes_labels.csv")
    np.testing.assert_array_equal(by_csv.targets, result.targets)


SITES = ["S01", "S02", "S03", "S04"]


@pytest.fixture
def sites(birdclef, rng) -> Path:
    """In place of the truth above: a labelled soundscape of 10 s at each of four sites, a window with a call, one without."""
    (birdclef / "solution.csv").unlink()
    names = [f"BC2026_Train_000{i}_{site}_20250227_010002.ogg" for i, site in enumerate(SITES)]
    for name in names:
        write(birdclef / "train_soundscapes" / name, 10, rng)
    spans = [("00:00:00", "00:00:05", "ash"), ("00:00:05", "00:00:10", "nocall")]
    table = pd.DataFrame([(name, *span) for name in names for span in spans],
                         columns=["filename", "start", "end", "primary_label"])  # fmt: skip
    table.to_csv(birdclef / "train_soundscapes_labels.csv", index=False)
    return birdclef


def trained_with(bundle, place, **knobs) -> Path:
    from birdfast.scoring.bundle import Bundle, load_bundle, save_bundle

    old = load_bundle(bundle)
    return save_bundle(Bundle(old.model, old.logmel, CLASSES, old.recipe.with_(**knobs)), place)


def scored_sites(result) -> set[str]:
    return {path.split("_")[-3] for path in result.rows["path"]}


def test_soundscapes_that_a_model_trained_on_do_not_judge_it(bundle, sites, tmp_path):
    assert scored_sites(evaluate(bundle, sites)) == set(SITES)  # it trains on recordings alone
    seen, models = [], []
    for fold in (0, 1):
        for knobs in ({"soundscape_share": 0.25}, {"soundscape_mix": 0.5}):
            model = trained_with(bundle, tmp_path / f"{fold}.safetensors", n_folds=2, fold=fold, **knobs)
            result = evaluate(model, sites)
            assert result.what == f"the windows of 2 of 4 labelled soundscapes ({sites}), which the model held out"
        seen.append(scored_sites(result))
        models.append(model)
    assert len(seen[0]) == 2 and seen[0] | seen[1] == set(SITES)
    both = evaluate(models, sites)
    assert scored_sites(both) == set(SITES) and "on all of which the model was trained" in both.what
    by_csv = evaluate(models[0], sites, truth=sites / "train_soundscapes_labels.csv")
    assert scored_sites(by_csv) == set(SITES) and "if on these, the figures are too good" in by_csv.what


def test_what_a_run_wrote_is_believed_whatever_files_came_or_went(sites, bundle, tmp_path, tiny_recipe):
    """The split of the recipe is dealt anew from the files that are there; that of the run is not."""
    from birdfast.commands.evaluating.heard import heard_soundscapes
    from birdfast.sources.read import read_source

    knobs, source = {"n_folds": 2, "fold": 0, "soundscape_mix": 0.5}, read_source(sites)
    files = sorted(set(source.soundscapes["path"]))
    model = trained_with(bundle, tmp_path / "run" / "birds.safetensors", **knobs)
    by_recipe = heard_soundscapes(source, tiny_recipe.with_(**knobs))
    for trained in (set(files[:2]), set(files[2:])):  # one of them is not what the recipe would deal
        split = pd.DataFrame({"path": files[:3], "is_valid": [file not in trained for file in files[:3]]})
        split.to_csv(tmp_path / "run" / "split.csv", index=False)
        wanted = (trained & set(files[:3])) | ({files[3]} & by_recipe)
        assert heard_soundscapes(source, tiny_recipe.with_(**knobs), model) == wanted
        assert scored_sites(evaluate(model, sites)) == {Path(file).stem.split("_")[3] for file in set(files) - wanted}


def test_what_training_validates_is_what_evaluate_scores(sites, tiny_recipe, rng):
    """The split of the evaluation is that of ``bird_dls``."""
    from birdfast.commands.evaluating.heard import heard_soundscapes
    from birdfast.sources.read import read_source
    from birdfast.training.dataloaders import bird_dls

    for label in CLASSES[:2]:
        for i in range(4):
            write(sites / "train_audio" / label / f"{i}.ogg", 6, rng)
    rows = [(f"{label}/{i}.ogg", label, f"{label}{i}") for label in CLASSES[:2] for i in range(4)]
    pd.DataFrame(rows, columns=["filename", "primary_label", "author"]).to_csv(sites / "train.csv", index=False)
    source = read_source(sites)
    for knobs in ({"soundscape_share": 0.25}, {"no_call": True}, {"soundscape_share": 0.25, "no_call": True}):
        recipe = tiny_recipe.with_(n_folds=2, batch_size=4, activation="sigmoid", **knobs)
        clips = bird_dls(source, recipe, num_workers=0, device="cpu").plan.clips
        trained = set(clips.loc[~clips["is_valid"], "path"]) & set(source.soundscapes["path"])
        assert 0 < len(trained) < 4
        assert heard_soundscapes(source, recipe) == trained


def test_labels_the_model_does_not_know_are_left_out_and_named(bundle, birdclef, capsys):
    rows = [("a.ogg", "00:00:05", "00:00:10", "ash;dodo")]
    table = pd.DataFrame(rows, columns=["filename", "start", "end", "primary_label"])
    table.to_csv(birdclef / "train_soundscapes_labels.csv", index=False)
    result = evaluate(bundle, birdclef, truth=birdclef / "train_soundscapes_labels.csv")
    assert result.targets.sum() == 1
    assert "dodo" in capsys.readouterr().err


def test_a_model_of_other_window_length_is_scored_around_the_middle(bundle, birdclef, tmp_path, tiny_recipe, capsys):
    from birdfast.scoring.bundle import Bundle, load_bundle, save_bundle

    short = load_bundle(bundle)
    made = Bundle(short.model, short.logmel, CLASSES, short.recipe.with_(duration=10.0))
    save_bundle(made, tmp_path / "long.safetensors")
    result = evaluate(tmp_path / "long.safetensors", birdclef)
    assert len(result.targets) == 8
    assert "the model hears 10 s" in capsys.readouterr().err


SWITCHES = {"none": {}, "smooth": {"smooth": (0.2, 0.6, 0.2)}, "file_top": {"file_top": 1}, "shift": {"shift": 2.5}}


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("seconds", [3.0, 5.0, 10.0])
def test_a_model_scores_as_its_submission_does(bundle, birdclef, tmp_path, rng, capsys, seconds, switch):
    """Also where the truth leaves out a window, and where a file ends within one or before it."""
    from birdfast.prediction.postprocess import PostProcess
    from birdfast.prediction.predictor import Predictor

    model = trained_with(bundle, tmp_path / "model.safetensors", duration=seconds)
    write(birdclef / "test_soundscapes" / f"{STEMS[0]}.ogg", 13, rng)
    solution = pd.read_csv(birdclef / "solution.csv").drop(index=5)
    solution.to_csv(birdclef / "solution.csv", index=False)
    post = PostProcess(**SWITCHES[switch])
    Predictor(model).submission(
        birdclef / "test_soundscapes", birdclef / "solution.csv", tmp_path / "submission.csv", post=post
    )
    mine, handed_in = evaluate(model, birdclef, post=post), evaluate(tmp_path / "submission.csv", birdclef)
    np.testing.assert_array_equal(mine.targets, handed_in.targets)
    np.testing.assert_allclose(mine.probabilities, handed_in.probabilities, atol=1e-6)
    assert len(np.unique(mine.probabilities[:, 0])) > 4
    assert "1 rows of the truth lie beyond their file's end" in capsys.readouterr().err


def test_recordings_when_a_csv_is_given(bundle, birdclef):
    result = evaluate(bundle, birdclef / "train.csv", columns={"audio_root": str(birdclef / "train_audio")})
    assert "all 2 recordings" in result.what
    assert "including any the model was trained on" in result.what
    assert result.targets.tolist() == [0, 1]
    assert result.probabilities.shape == (2, 3)


@pytest.fixture
def folded(tmp_path, rng) -> Path:
    """A csv of eight recordings, four of a species and of a fold."""
    rows = [(f"{label}{i}.wav", label, i % 2) for label in CLASSES[:2] for i in range(4)]
    for name, *_ in rows:
        write(tmp_path / "birds" / name, 6, rng)
    pd.DataFrame(rows, columns=["file", "label", "fold"]).to_csv(tmp_path / "birds" / "birds.csv", index=False)
    return tmp_path / "birds" / "birds.csv"


def wrote_split(model, folded) -> None:
    """What the run of the model trained on, beside it."""
    rows = pd.read_csv(folded)
    paths = [str(folded.parent / name) for name in rows["file"]]
    pd.DataFrame({"path": paths, "is_valid": rows["fold"] == 0}).to_csv(model.parent / "split.csv", index=False)


HELD_OUT, TOO_GOOD = "which the model held out", "of which the model was trained"


def test_a_fold_is_held_out_where_the_run_says_so(bundle, folded, tmp_path):
    model = trained_with(bundle, tmp_path / "birds.safetensors", n_folds=2)
    assert evaluate(model, folded, fold=0).what.endswith(
        f"{HELD_OUT} if it was trained on these recordings and columns"
    )
    assert f"on all {TOO_GOOD}, by its recipe: " in evaluate(model, folded, fold=1).what
    wrote_split(model, folded)
    assert evaluate(model, folded, fold=0).what == f"4 recordings of fold 0 of {folded.parent}, {HELD_OUT}"
    rows = pd.read_csv(tmp_path / "split.csv")
    rows[1:].to_csv(tmp_path / "split.csv", index=False)  # one came since
    assert evaluate(model, folded, fold=0).what == f"4 recordings of fold 0 of {folded.parent}, {HELD_OUT}"
    rows.to_csv(tmp_path / "split.csv", index=False)
    other = evaluate(model, folded, fold=0, columns={"fold": "none"})
    trained = pd.read_csv(tmp_path / "split.csv").query("~is_valid")["path"]
    n = other.rows["path"].isin(trained).sum()
    assert 0 < n < 4 and other.what.endswith(f"on {n} {TOO_GOOD}: the figures are too good")


def test_a_fold_of_an_ensemble_is_held_out_by_all_members(bundle, folded, tmp_path):
    models = [trained_with(bundle, tmp_path / f"{k}.safetensors", n_folds=2, fold=k) for k in (0, 1)]
    for pair in (models, models[::-1]):
        assert f"on all {TOO_GOOD}, by its recipe" in evaluate(pair, folded, fold=0).what
    assert HELD_OUT in evaluate([models[0]] * 2, folded, fold=0).what


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_an_exported_ensemble_was_trained_as_all_its_members(bundle, folded, tmp_path, suffix):
    from birdfast.scoring.export import export_model

    pytest.importorskip("openvino" if suffix == ".xml" else "onnxruntime")
    models = [trained_with(bundle, tmp_path / f"{k}.safetensors", n_folds=2, fold=k) for k in (0, 1)]
    export_model(models, both := tmp_path / f"both{suffix}")
    assert f"on all {TOO_GOOD}, by its recipe" in evaluate(both, folded, fold=0).what


def test_a_run_on_other_files_tells_nothing(bundle, folded, tmp_path, rng):
    """Where the data were moved, say."""
    model = trained_with(bundle, tmp_path / "birds.safetensors", n_folds=2)
    wrote_split(model, folded)
    moved = folded.parent.rename(tmp_path / "moved") / folded.name
    assert evaluate(model, moved, fold=0).what.endswith(f"{HELD_OUT} if it was trained on these recordings and columns")


def test_windows_belong_to_the_stretch_they_overlap_most():
    starts = np.arange(0, 20, 5.0)
    index = pd.MultiIndex.from_arrays([["a"] * 4, starts, starts + 5], names=["path", "start_time", "end_time"])
    windows = pd.DataFrame(0.0, index=index, columns=CLASSES)
    rows = pd.DataFrame({"path": "a", "start_time": [np.nan, 0, 6, 14], "end_time": [np.nan, 5, 8, 20]})
    row, column = _windows_of(rows, windows)
    assert list(zip(row.tolist(), column.tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (0, 2),
        (0, 3),
        (1, 0),
        (2, 1),
        (3, 3),
    ]


@pytest.fixture
def annotated(tmp_path, rng) -> Path:
    """A recording of 18 s with overlapping annotations of two species, and an unknown one."""
    folder = tmp_path / "annotated"
    write(folder / "a.wav", 18, rng)
    rows = [("ash", 1.0, 3.0), ("bee", 2.0, 7.0), ("bee", 9.9, 10.1), ("ash", 4.9, 12.0), ("dodo", 16.0, 17.0)]
    lines = ["Selection\tBegin Time (s)\tEnd Time (s)\tSpecies"]
    lines += [f"{i}\t{start}\t{end}\t{label}" for i, (label, start, end) in enumerate(rows, start=1)]
    (folder / "a.Table.1.selections.txt").write_text("\n".join(lines))
    return folder


def test_windows_of_annotated_recordings_have_the_species_of_all_annotations(bundle, annotated, capsys):
    """The one of 4.9 s reaches 0.1 s into the first window, which is not heard; that of 0.2 s lies half in each."""
    result = evaluate(bundle, annotated)
    assert result.targets.tolist() == [[1, 1, 0], [1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert result.rows["start_time"].tolist() == [0, 5, 10, 15]
    assert result.what.startswith("the 4 windows of 1 annotated recordings; all 5 annotations of")
    assert "1 labelled species that the model does not know are left out: dodo" in capsys.readouterr().err
    from birdfast.prediction.predictor import Predictor

    np.testing.assert_allclose(result.probabilities, Predictor(bundle).predict(annotated / "a.wav"), atol=1e-6)


def test_only_what_reaches_into_a_window_counts():
    from birdfast.commands.evaluating.truth import _heard

    def heard(*rows):
        table = pd.DataFrame(rows, columns=["start_time", "end_time", "primary_label"])
        return _heard(table, np.array([0.0, 5, 10]), 5.0)

    assert heard((4.0, 5.2, "a")) == [("a",), (), ()]
    assert heard((4.0, 5.25, "a"), (0.0, 1.0, "a")) == [("a",), ("a",), ()]
    assert heard((4.8, 14.9, "a"), (6, 7, "b")) == [(), ("a", "b"), ("a",)]
    assert heard((20, 21, "a")) == [(), (), ()]


def test_annotations_of_foreign_species_alone(bundle, annotated):
    table = annotated / "a.Table.1.selections.txt"
    table.write_text("Selection\tBegin Time (s)\tEnd Time (s)\tSpecies\n1\t1\t2\tdodo")
    with pytest.raises(BirdfastError, match=r"none of the labels \(dodo, ...\) is a class"):
        evaluate(bundle, annotated)


def test_what_holds_no_truth_about_windows(tiny_birds, birdclef, tmp_path):
    assert read_truth(tiny_birds) is None
    assert read_truth(birdclef / "train.csv") is None
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BirdfastError, match="neither a submission"):
        evaluate(tmp_path / "odd.csv", birdclef)
    with pytest.raises(BirdfastError, match="has not the columns of soundscape labels"):
        read_truth(birdclef, tmp_path / "odd.csv")


def test_everything_is_written(rng, tmp_path):
    truth, scores = rng.random((50, 3)) < 0.3, rng.random((50, 3))
    folder = Evaluation("x", truth.astype(float), scores, CLASSES, {"ash": 1, "bee": 20, "cow": 3}).write(
        tmp_path / "a/b"
    )
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "index.html",
        "summary.json",
        "per_class.csv",
        "per_class.png",
        "worst_pairs.csv",
        "worst_pairs.png",
        "confusion.png",
        "reliability.png",
    }


@pytest.mark.parametrize("name", ["train_soundscapes/bad.ogg", f"test_soundscapes/{STEMS[1]}.ogg"])
def test_soundscapes_that_cannot_be_read_are_named(birdclef, bundle, name, capsys):
    (birdclef / name).write_bytes(b"broken")
    source = birdclef
    if name.startswith("train"):
        (birdclef / "solution.csv").unlink()
        labels = pd.read_csv(birdclef / "train_soundscapes_labels.csv")
        more = labels.tail(1).assign(filename="bad.ogg")
        pd.concat([labels, more]).to_csv(birdclef / "train_soundscapes_labels.csv", index=False)
    result = evaluate(bundle, source)
    said = capsys.readouterr().err
    assert "1 of 2 recordings cannot be read" in said and Path(name).name in said
    assert result.targets.shape[0] in (4, 6)
