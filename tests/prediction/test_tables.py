"""Scores as one csv."""

import pandas as pd

from birdfast.prediction.outputs.tables import write_csv


def test_csv_holds_the_index_as_columns(tmp_path):
    index = pd.MultiIndex.from_tuples([("a,b.wav", 0.0, 5.0)], names=["path", "start_time", "end_time"])
    table = pd.DataFrame({"1491113": [0.25]}, index=index)
    path = write_csv(table, tmp_path / "new" / "scores.csv")
    assert path.read_text() == 'path,start_time,end_time,1491113\n"a,b.wav",0.0,5.0,0.25\n'
    pd.testing.assert_frame_equal(pd.read_csv(path, index_col=[0, 1, 2]), table)
