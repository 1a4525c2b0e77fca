"""The ablation study of the default detector."""

import numpy as np
import pandas as pd
import torch

from benchmarks import ablation


def test_default_is_what_the_detector_says(monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda n_threads: None)
    rng = np.random.default_rng(0)
    train = rng.normal(size=(120, 3))
    test = np.concatenate([rng.normal(size=(60, 3)), 2 * rng.normal(size=(20, 3))])
    found = ablation.run(0, "odd", "normal", train, test, np.repeat([0, 1], [60, 20]))
    rows = pd.DataFrame(found).set_index("detector")
    assert list(rows.index) == [*ablation.COMPOSITIONS, *ablation.TRAININGS, ablation.PEER]
    for metric in ("auroc", "ap"):
        assert rows.loc["default", metric] == rows.loc["the detector itself", metric]
    assert rows["auroc"].nunique() > len(rows) / 2
