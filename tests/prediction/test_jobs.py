import warnings

from birdfast.prediction.jobs import hours_bar


def test_the_bar_ends_at_its_end(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # tqdm warns of a bar beyond its end
        with hours_bar(3600.0, 2, progress=True) as bar:
            bar.update(0.6)
            bar.update(0.6)
            assert bar.n == 1.0
            bar.refresh()
    said = capsys.readouterr().err
    assert "100%" in said and "-00" not in said
    with hours_bar(3600.0, 2, progress=False) as bar:
        bar.update(2)
