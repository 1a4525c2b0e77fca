"""Training that goes on after its process was killed, and files that must not be used."""

import errno
import json
import os
import pickle
import signal
import stat
import subprocess
import sys
import tracemalloc
from contextlib import nullcontext

import numpy as np
import pytest
import skorch.callbacks
import torch
from sklearn.utils import check_random_state

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer, Custom, Reconstruction
from sk_autoencoder.training import files


class Killed(skorch.callbacks.Callback):
    """End training in the midst of an epoch, the fourth unless told otherwise."""

    def __init__(self, epochs=3):
        self.epochs = epochs

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == self.epochs + 1:
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
    assert [path.name for path in tmp_path.iterdir()] == ["training.checkpoint"]


REFUSED = r"The checkpoint .*training.checkpoint .*Delete it to train from the start, or name another directory"
UNREADABLE = REFUSED.replace("checkpoint .*Delete", r"checkpoint cannot be read \(.+\)\. Delete")
OTHER_ARRAYS = "belongs to another training: names, types or shapes of its arrays differ"


def read_notes(path):
    return files.read_notes(path)[0]


def arrays_of(path):
    """The bytes behind the notes."""
    return path.read_bytes()[files.read_notes(path)[1] :]


def write_notes(path, text, arrays=b""):
    """Write a file whose head is right."""
    head = files._HEAD.pack(files._MAGIC, len(text), files._digest([text]))
    path.write_bytes(head + text + arrays)


class TestRefused:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "training.checkpoint"

    @pytest.fixture
    def model(self, rows, tmp_path):
        return AutoencoderTransformer(2, **parameters(checkpoint=tmp_path)).fit(rows)

    @pytest.mark.parametrize(
        ("choice", "name"), [({"alpha": 0.3}, "alpha"), ({"random_state": 1}, "random_state"), ({"max_iter": 7}, "max")]
    )
    def test_other_parameters(self, choice, name, model, rows, tmp_path):
        with pytest.raises(
            ValueError, match=f"{tmp_path}.*training.checkpoint belongs to another training: {name}.* differ"
        ):
            model.set_params(**choice).fit(rows)

    def test_other_rows(self, model, rows):
        changed = rows.copy()
        changed[3, 1] += 1e-6
        with pytest.raises(ValueError, match="belongs to another training: X differ"):
            model.fit(changed)
        with pytest.raises(ValueError, match="belongs to another training: X_val differ"):
            model.fit(rows, X_val=rows)

    @pytest.mark.parametrize("damage", ["cut", "text", "empty", "longer", "one bit of the notes", "one bit of arrays"])
    def test_damaged(self, damage, model, rows, path):
        content = path.read_bytes()
        first, last = content.index(b'"train_loss": 0.') + 17, len(content) - 1  # a digit of a loss
        flipped = [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in (first, last)]
        damaged = dict(zip(["one bit of the notes", "one bit of arrays"], flipped, strict=True))
        damaged |= {"cut": content[: last // 2], "text": b"hello", "empty": b"", "longer": content + b"0"}
        path.write_bytes(damaged[damage])
        with pytest.raises(ValueError, match=UNREADABLE):
            model.fit(rows)
        assert path.read_bytes() == damaged[damage]

    @pytest.mark.parametrize("kind", ["npz", "npy", "compressed", "objects"])
    def test_files_of_numpy(self, kind, model, rows, path):
        writers = {"npz": np.savez, "npy": np.save, "compressed": np.savez_compressed, "objects": np.save}
        with open(path, "wb") as file:
            writers[kind](file, np.array([{}], dtype=object) if kind == "objects" else np.zeros(100))
        with pytest.raises(ValueError, match=UNREADABLE):
            model.fit(rows)

    def test_another_beginning(self, model, rows, path):
        path.write_bytes(b"S" + path.read_bytes()[1:])
        with pytest.raises(ValueError, match="does not begin as such a file does"):
            model.fit(rows)

    @pytest.mark.parametrize(
        "text", [b"", b"[]", b"null", b"3", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000]
    )
    def test_notes_that_are_no_dict(self, text, model, rows, path):
        write_notes(path, text)
        with pytest.raises(ValueError, match=UNREADABLE):
            model.fit(rows)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("identity", value) for value in (None, [], ["alpha"], "alpha", 3)),
            *(("seed", value) for value in (None, -1, True, "3", 0.5, 2**31, 2**70, [3])),
            *(("history", value) for value in (None, 3, {}, "ab", [3], [[]], [{"train_loss": "low"}])),
            *(("history", [{"valid_loss": value}]) for value in (None, [0.5], {})),
        ],
    )
    def test_notes_with_wrong_values(self, name, value, model, rows, path):
        write_notes(path, json.dumps(read_notes(path) | {name: value}).encode(), arrays_of(path))
        with pytest.raises(ValueError, match=UNREADABLE):
            model.fit(rows)

    @pytest.mark.parametrize("name", ["format", "identity", "arrays", "digest", "seed", "history"])
    def test_missing_notes(self, name, model, rows, path):
        notes = read_notes(path)
        del notes[name]
        write_notes(path, json.dumps(notes).encode(), arrays_of(path))
        with pytest.raises(ValueError, match=REFUSED):
            model.fit(rows)

    def test_identity_with_other_values(self, model, rows, path):
        notes = read_notes(path)
        notes["identity"]["alpha"] = [0.1]
        write_notes(path, json.dumps(notes).encode(), arrays_of(path))
        with pytest.raises(ValueError, match="belongs to another training: alpha differ"):
            model.fit(rows)

    @pytest.mark.parametrize("value", [None, [], {}, {"weights/encoder_biases.0": ["<f4", [2**40]]}])
    def test_other_arrays(self, value, model, rows, path):
        write_notes(path, json.dumps(read_notes(path) | {"arrays": value}).encode(), arrays_of(path))
        with pytest.raises(ValueError, match=OTHER_ARRAYS):
            model.fit(rows)

    @pytest.mark.parametrize(
        "name", ["weights/encoder_biases.0", "optimizer/0/exp_avg", "stopping/stale_", "best/decoder_weights.1"]
    )
    @pytest.mark.parametrize(
        "kind", [None, "<f4", [], ["<f4", [2**40]], ["<f4", [-1]], ["|O", [3]], ["<c16", [3]], [[], {}]]
    )
    @pytest.mark.filterwarnings("ignore:Training ended after max_iter")
    def test_an_array_of_another_kind(self, kind, name, rows, tmp_path, path):
        """It is refused before any array is read."""
        model = AutoencoderTransformer(2, **parameters(early_stopping=True, n_iter_no_change=9, checkpoint=tmp_path))
        model.fit(rows)
        notes = read_notes(path)
        assert name in notes["arrays"]
        notes["arrays"][name] = kind
        write_notes(path, json.dumps(notes).encode())
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match=OTHER_ARRAYS):
                model.fit(rows)
            assert tracemalloc.get_traced_memory()[1] < 1 << 24
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("name", ["weights/encoder_biases.0", "optimizer/0/exp_avg", "more"])
    def test_arrays_that_are_missing_or_too_many(self, name, model, rows, path):
        notes = read_notes(path)
        if notes["arrays"].pop(name, None) is None:
            notes["arrays"][name] = ["<f4", [1]]
        write_notes(path, json.dumps(notes).encode(), arrays_of(path))
        with pytest.raises(ValueError, match=OTHER_ARRAYS):
            model.fit(rows)

    def test_a_weight_without_slots(self, rows, tmp_path, path):
        """It counts as one that was never used."""
        model = AutoencoderTransformer(2, **parameters(max_iter=2, checkpoint=tmp_path))
        with pytest.raises(ZeroDivisionError):
            model.set_params(callbacks=[Killed(1)]).fit(rows)
        notes, start = files.read_notes(path)
        arrays = files.read_arrays(path, start, notes["arrays"], notes["digest"])
        slots = [name for name in arrays if name.startswith("optimizer/0/")]
        files.write(path, notes, {name: array for name, array in arrays.items() if name not in slots})
        assert model.set_params(callbacks=None).fit(rows).n_iter_ == 2
        assert len(slots) == 3
        files.write(path, notes, {name: array for name, array in arrays.items() if name != slots[0]})
        with pytest.raises(ValueError, match=OTHER_ARRAYS):
            model.fit(rows)

    @pytest.mark.parametrize("length", [2**40, 2**63])
    def test_a_length_beyond_the_end_and_a_file_with_a_hole(self, length, model, rows, path):
        path.write_bytes(files._HEAD.pack(files._MAGIC, length, b"0" * 16))
        with pytest.raises(ValueError, match=UNREADABLE):
            model.fit(rows)
        os.truncate(path, 2**41)  # takes no space where files may have holes
        with pytest.raises(ValueError, match=UNREADABLE):
            model.fit(rows)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the platform has no named pipes")
    def test_a_pipe_does_not_block(self, model, rows, path):
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(ValueError, match=r"cannot be read \(it is no regular file\)\. Delete it"):
            model.fit(rows)

    def test_a_folder_or_a_link(self, model, rows, path, tmp_path):
        kept = path.rename(tmp_path / "kept")
        path.symlink_to(kept)
        with pytest.raises(ValueError, match=UNREADABLE):
            model.fit(rows)
        path.unlink()
        path.mkdir()
        with pytest.raises(ValueError, match=UNREADABLE):
            model.fit(rows)

    @pytest.mark.parametrize("other", [{"warm_start": True}, {"layerwise_pretraining": True}, {"trim": 0.1}])
    def test_trainings_that_are_more_than_one_net(self, other, rows, tmp_path):
        with pytest.raises(ValueError, match=f"use it with {next(iter(other))}=(False|0.0)"):
            AutoencoderOutlierDetector(2, **parameters(checkpoint=tmp_path, **other)).fit(rows)


def test_full_disk(rows, tmp_path, monkeypatch):
    """The file of the epoch before stays whole."""
    model = AutoencoderTransformer(2, **parameters(checkpoint=tmp_path))
    expected = model.fit(rows).transform(rows)
    (tmp_path / "training.checkpoint").unlink()
    with pytest.raises(ZeroDivisionError):
        model.set_params(callbacks=[Killed()]).fit(rows)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    model = AutoencoderTransformer(2, **parameters(checkpoint=tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(OSError, match=r"could not be written.*No space left on device.*training.checkpoint"):
            model.fit(rows)
    assert [path.name for path in tmp_path.iterdir()] == ["training.checkpoint"]
    np.testing.assert_array_equal(model.fit(rows).transform(rows), expected)


class TestWriting:
    def test_an_error_leaves_no_unfinished_file(self, rows, tmp_path, monkeypatch):
        monkeypatch.setattr(files.os, "fsync", lambda file: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            AutoencoderTransformer(2, **parameters(checkpoint=tmp_path)).fit(rows)
        assert list(tmp_path.iterdir()) == []

    def test_names_cannot_be_foreseen(self, tmp_path, monkeypatch):
        replaced, names = os.replace, []
        monkeypatch.setattr(files.os, "replace", lambda old, new: names.append(old.name) or replaced(old, new))
        for _ in "ab":
            files.write(tmp_path / "file", {}, {})
        assert len(set(names)) == 2
        assert all(len(name) > 16 for name in names)

    def test_a_planted_link_is_not_followed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(files.secrets, "token_hex", lambda n: "guessed")
        for target in ("other", "missing"):
            link = tmp_path / "file.guessed.tmp"
            (tmp_path / "other").write_bytes(b"untouched")
            link.symlink_to(tmp_path / target)
            with pytest.raises(OSError, match="guessed"):
                files.write(tmp_path / "file", {}, {})
            assert link.is_symlink()
            link.unlink()
        assert [path.name for path in tmp_path.iterdir()] == ["other"]
        assert (tmp_path / "other").read_bytes() == b"untouched"

    def test_a_link_in_place_of_the_file_is_replaced(self, tmp_path):
        (tmp_path / "other").write_bytes(b"untouched")
        (tmp_path / "file").symlink_to(tmp_path / "other")
        files.write(tmp_path / "file", {}, {})
        assert not (tmp_path / "file").is_symlink()
        assert (tmp_path / "other").read_bytes() == b"untouched"

    @pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="folders cannot be opened")
    def test_file_and_folder_are_synchronized(self, tmp_path, monkeypatch):
        """The file before it gets its name, the folder after that."""
        replaced, synchronized, events = os.replace, os.fsync, []

        def replace(old, new):
            events.append("replace")
            replaced(old, new)

        def fsync(opened):
            events.append("folder" if stat.S_ISDIR(os.fstat(opened).st_mode) else "file")
            synchronized(opened)

        monkeypatch.setattr(files.os, "replace", replace)
        monkeypatch.setattr(files.os, "fsync", fsync)
        files.write(tmp_path / "file", {}, {})
        assert events == ["file", "replace", "folder"]

    @pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="folders cannot be opened")
    @pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
    def test_folders_that_cannot_be_synchronized(self, number, tmp_path, monkeypatch):
        """Some drives refuse that, which is no error; others fail."""

        def fsync(opened):
            if stat.S_ISDIR(os.fstat(opened).st_mode):
                raise OSError(number, "refused")

        monkeypatch.setattr(files.os, "fsync", fsync)
        with nullcontext() if number == errno.EINVAL else pytest.raises(OSError, match="refused"):
            files.write(tmp_path / "file", {}, {})


class Records(skorch.callbacks.Callback):
    """Record one value in each epoch."""

    def __init__(self, value):
        self.value = value

    def on_epoch_end(self, net, **kwargs):
        net.history.record("mine", self.value)


RECORDED = {
    "scalar": (np.float32(0.5), 0.5),
    "integer": (np.int64(3), 3),
    "truth": (np.bool_(True), True),
    "array": (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
    "tensor": (torch.ones(2, requires_grad=True), [1.0, 1.0]),
    "zero-dimensional": (torch.tensor(2.0), 2.0),
    "nested": ({"a": [np.float64(1.5), (torch.tensor(1),)]}, {"a": [1.5, [1]]}),
    "plain": ("text", "text"),
}


@pytest.mark.parametrize("kind", RECORDED)
def test_recorded_values(kind, rows, tmp_path):
    """They become plain numbers and lists, in a checkpoint as in a stored model."""
    value, plain = RECORDED[kind]
    model = AutoencoderTransformer(2, **parameters(checkpoint=tmp_path, callbacks=[Records(value)]))
    with pytest.raises(ZeroDivisionError):
        model.set_params(callbacks=[Records(value), Killed()]).fit(rows)
    model = AutoencoderTransformer(2, **parameters(checkpoint=tmp_path)).fit(rows)
    whole = AutoencoderTransformer(2, **parameters(callbacks=[Records(value)])).fit(rows)
    found = [epoch.get("mine", "not recorded") for epoch in model.net_.history]
    assert found == [plain] * 3 + ["not recorded"] * 3
    assert [epoch["mine"] for epoch in whole.__getstate__()["_net_state"]["history"]] == [plain] * 6
    assert type(found[0]) is type(plain)


def test_records_that_no_file_can_hold(rows, tmp_path):
    model = AutoencoderTransformer(2, **parameters(checkpoint=tmp_path, callbacks=[Records(object())]))
    with pytest.raises(ValueError, match=r"cannot hold net.history .*object.*Let callbacks record numbers"):
        model.fit(rows)


class HalfUsed(torch.nn.Module):
    """A module that has a weight before, and one behind, those that it uses."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.before, self.behind = (torch.nn.Parameter(torch.ones(3)) for _ in "ab")
        self.layer = torch.nn.Linear(n_in, n_out)

    def forward(self, rows):
        return self.layer(rows)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_weights_that_are_never_used(solver, rows, tmp_path):
    """The optimizer's state goes back to the weights that it belongs to."""
    choice = {"network": Custom(encoder=HalfUsed, decoder=HalfUsed), "solver": solver}
    whole = AutoencoderTransformer(2, **parameters(**choice)).fit(rows)
    model = AutoencoderTransformer(2, **parameters(**choice, checkpoint=tmp_path, callbacks=[Killed()]))
    with pytest.raises(ZeroDivisionError):
        model.fit(rows)
    model = AutoencoderTransformer(2, **parameters(**choice, checkpoint=tmp_path)).fit(rows)
    np.testing.assert_array_equal(model.transform(rows), whole.transform(rows))

    going_on = AutoencoderTransformer(2, **parameters(**choice, warm_start=True)).fit(rows)
    copy = pickle.loads(pickle.dumps(going_on))
    np.testing.assert_array_equal(copy.fit(rows).transform(rows), going_on.fit(rows).transform(rows))
