"""Training that goes on after its process was killed, and files that must not be used."""

import errno
import signal
import subprocess
import sys

import numpy as np
import pytest
import skorch.callbacks
from sklearn.utils import check_random_state

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer, Reconstruction
from sk_autoencoder.training import checkpoint as engine


class Killed(skorch.callbacks.Callback):
    """End training in the midst of the fourth epoch."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 4:
            raise ZeroDivisionError


def parameters(**choice):
    return {"max_iter": 6, "batch_size": 16, "random_state": 0, **choice}


KILLED = """
import os, signal
import numpy as np
import skorch.callbacks
from sklearn.utils import check_random_state
from sk_autoencoder import AutoencoderTransformer

class Killed(skorch.callbacks.Callback):
    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 4:
            os.kill(os.getpid(), signal.SIGKILL)

model = AutoencoderTransformer(2, max_iter=6, batch_size=16, random_state=check_random_state(3))
model.set_params(checkpoint={path!r}, callbacks=[Killed()]).fit(np.load({rows!r}))
"""


def test_a_killed_process(rows, tmp_path):
    """Even a seed that was drawn comes back."""
    np.save(tmp_path / "rows.npy", rows)
    script = KILLED.format(path=str(tmp_path / "kept"), rows=str(tmp_path / "rows.npy"))
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=300)
    assert ended.returncode == -signal.SIGKILL, ended.stderr

    expected = AutoencoderTransformer(2, **parameters(random_state=check_random_state(3))).fit(rows).transform(rows)
    model = AutoencoderTransformer(2, **parameters(random_state=check_random_state(4), checkpoint=tmp_path / "kept"))
    resumed = model.set_params(callbacks=[Counted()]).fit(rows)
    np.testing.assert_array_equal(resumed.transform(rows), expected)
    assert dict(resumed.net_.callbacks_)["Counted"].epochs_ == 3  # the fourth was lost


class Counted(skorch.callbacks.Callback):
    def initialize(self):
        self.epochs_ = 0
        return self

    def on_epoch_end(self, net, **kwargs):
        self.epochs_ += 1


@pytest.mark.parametrize("estimator", [AutoencoderTransformer, AutoencoderOutlierDetector])
@pytest.mark.parametrize(
    "choice",
    [
        {"solver": "sgd"},
        {"early_stopping": True, "n_iter_no_change": 2, "tol": 1e-3},
        {"tol": 0.0, "n_iter_no_change": 10, "objective": Reconstruction(sparsity="kl")},
    ],
)
@pytest.mark.filterwarnings("ignore:Training ended after max_iter")
def test_goes_on_to_the_same_bits(choice, estimator, rows, tmp_path):
    whole = estimator(2, **parameters(**choice)).fit(rows)
    model = estimator(2, **parameters(**choice, checkpoint=tmp_path))
    with pytest.raises(ZeroDivisionError):
        model.set_params(callbacks=[Killed()]).fit(rows)
    for _ in "ab":  # goes on, and then is there already
        model = estimator(2, **parameters(**choice, checkpoint=tmp_path)).fit(rows)
        np.testing.assert_array_equal(model.reconstruct(rows), whole.reconstruct(rows))
        assert model.loss_curve_ == whole.loss_curve_
    assert [path.name for path in tmp_path.iterdir()] == ["training.npz"]


class TestRefused:
    @pytest.fixture
    def model(self, rows, tmp_path):
        return AutoencoderTransformer(2, **parameters(checkpoint=tmp_path)).fit(rows)

    @pytest.mark.parametrize(
        ("choice", "name"), [({"alpha": 0.3}, "alpha"), ({"random_state": 1}, "random_state"), ({"max_iter": 7}, "max")]
    )
    def test_other_parameters(self, choice, name, model, rows, tmp_path):
        with pytest.raises(ValueError, match=f"{tmp_path}.*training.npz belongs to another training: {name}.* differ"):
            model.set_params(**choice).fit(rows)

    def test_other_rows(self, model, rows):
        changed = rows.copy()
        changed[3, 1] += 1e-6
        with pytest.raises(ValueError, match="belongs to another training: X differ"):
            model.fit(changed)
        with pytest.raises(ValueError, match="belongs to another training: X_val differ"):
            model.fit(rows, X_val=rows)

    @pytest.mark.parametrize("damage", ["cut", "text", "empty", "one bit"])
    def test_damaged(self, damage, model, rows, tmp_path):
        path = tmp_path / "training.npz"
        content = path.read_bytes()
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"cut": content[:middle], "text": b"hello", "empty": b"", "one bit": flipped}[damage])
        with pytest.raises(ValueError, match=r"training.npz cannot be read .*Delete it to train from the start"):
            model.fit(rows)

    def test_objects(self, model, rows, tmp_path):
        np.savez(tmp_path / "training.npz", notes=np.array([{}], dtype=object))
        with pytest.raises(ValueError, match="cannot be read"):
            model.fit(rows)

    @pytest.mark.parametrize("other", [{"warm_start": True}, {"layerwise_pretraining": True}, {"trim": 0.1}])
    def test_trainings_that_are_more_than_one_net(self, other, rows, tmp_path):
        with pytest.raises(ValueError, match=f"use it with {next(iter(other))}=(False|0.0)"):
            AutoencoderOutlierDetector(2, **parameters(checkpoint=tmp_path, **other)).fit(rows)


def test_full_disk(rows, tmp_path, monkeypatch):
    """The file of the epoch before stays whole."""
    model = AutoencoderTransformer(2, **parameters(checkpoint=tmp_path))
    expected = model.fit(rows).transform(rows)
    (tmp_path / "training.npz").unlink()
    with pytest.raises(ZeroDivisionError):
        model.set_params(callbacks=[Killed()]).fit(rows)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    model = AutoencoderTransformer(2, **parameters(checkpoint=tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(engine.os, "fsync", full)
        with pytest.raises(OSError, match=r"could not be written.*No space left on device.*training.npz"):
            model.fit(rows)
    assert [path.name for path in tmp_path.iterdir()] == ["training.npz"]
    np.testing.assert_array_equal(model.fit(rows).transform(rows), expected)
