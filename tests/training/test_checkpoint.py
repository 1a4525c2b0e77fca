"""Training that goes on after its process was killed, and files that must not be used."""

import errno
import json
import os
import pickle
import re
import signal
import stat
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from contextlib import nullcontext

import numpy as np
import pytest
import skorch.callbacks
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state

from sk_autoencoder import AutoencoderClassifier, AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.networks import Custom, Dense
from sk_autoencoder.objectives import Reconstruction
from sk_autoencoder.training import checkpoint, files


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
        {"n_iter_no_change": 2},
        {"n_iter_no_change": 10, "objective": Reconstruction(sparsity="kl")},
    ],
)
@pytest.mark.filterwarnings("ignore:Training ended after max_iter")
def test_goes_on_to_the_same_bits(choice, estimator, rows, tmp_path):
    if estimator is AutoencoderTransformer and "n_iter_no_change" in choice:
        choice = {**choice, "early_stopping": True}
    whole = estimator(2, **parameters(**choice)).fit(rows)
    model = estimator(2, **parameters(**choice, checkpoint=tmp_path))
    with pytest.raises(ZeroDivisionError):
        model.set_params(callbacks=[Killed()]).fit(rows)
    for _ in "ab":  # goes on, and then is there already
        model = estimator(2, **parameters(**choice, checkpoint=tmp_path)).fit(rows)
        np.testing.assert_array_equal(model.reconstruct(rows), whole.reconstruct(rows))
        assert model.loss_curve_ == whole.loss_curve_
    assert [path.name for path in tmp_path.iterdir()] == ["training.npz"]


def test_a_file_that_numpy_rewrote(rows, tmp_path):
    """It is as good as the file that was written here."""
    whole = AutoencoderTransformer(2, **parameters()).fit(rows)
    model = AutoencoderTransformer(2, **parameters(checkpoint=tmp_path))
    with pytest.raises(ZeroDivisionError):
        model.set_params(callbacks=[Killed()]).fit(rows)
    path = tmp_path / "training.npz"
    np.savez(path, **members_of(path))
    resumed = model.set_params(callbacks=[Counted()]).fit(rows)
    np.testing.assert_array_equal(resumed.transform(rows), whole.transform(rows))
    assert dict(resumed.net_.callbacks_)["Counted"].epochs_ == 3


def test_the_file_is_a_plain_npz(rows, tmp_path):
    model = AutoencoderTransformer(2, **parameters(checkpoint=tmp_path)).fit(rows)
    members, notes = members_of(tmp_path / "training.npz"), notes_of(tmp_path / "training.npz")
    assert {name.partition("/")[0] for name in members} == {"notes", "weights", "optimizer"}
    np.testing.assert_array_equal(members[BIASES], model.net_.module_.state_dict()[BIASES.removeprefix("weights/")])
    assert notes.keys() == {"format", "identity", "seed", "history", "frozen"}
    assert [epoch["train_loss"] for epoch in notes["history"]] == model.loss_curve_


REFUSED = r"The checkpoint .*training.npz .*Delete it to train from the start, or name another directory"
UNREADABLE = REFUSED.replace("npz .*Delete", r"npz cannot be read \(.+\)\. Delete")
OTHER_ARRAYS = "belongs to another training: names, dtypes or shapes of its arrays differ"
BIASES, MOMENTS = "weights/encoder_biases.0", "optimizer/0/exp_avg"


def members_of(path):
    with np.load(path) as stored:
        return dict(stored)


def notes_of(path):
    return json.loads(members_of(path)["notes"].item())


def write_notes(path, text):
    np.savez(path, **members_of(path) | {"notes": np.array(text)})


def write_member(path, name, content):
    """Replace or add a member, with a right checksum."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | {name: content}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def npy(text, content=b"", version=1):
    """Return the bytes of a .npy file with any text as header."""
    return b"\x93NUMPY" + struct.pack("<BBH", version, 0, len(text)) + text.encode() + content


def header(kind, shape):
    return f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}}}"


def patch_directory(path, name, offset, value):
    """Change the entry of a member in the zip's directory."""
    content = bytearray(path.read_bytes())
    entry = content.rindex(name.encode()) - 46  # the fixed part of an entry comes before the name
    assert content[entry : entry + 4] == b"PK\1\2"
    content[entry + offset : entry + offset + len(value)] = value
    path.write_bytes(content)


class TestRefused:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "training.npz"

    @pytest.fixture
    def model(self, rows, tmp_path):
        return AutoencoderTransformer(2, **parameters(checkpoint=tmp_path)).fit(rows)

    @pytest.fixture
    def refused(self, model, rows, path):
        """Check that a file is refused, takes little memory and stays as it is."""

        def check(match=UNREADABLE):
            content = path.read_bytes()
            tracemalloc.start()
            try:
                with pytest.raises(ValueError, match=match) as raised:
                    model.fit(rows)
                assert tracemalloc.get_traced_memory()[1] < 1 << 24
            finally:
                tracemalloc.stop()
            assert re.search(REFUSED, str(raised.value), re.DOTALL)
            assert path.read_bytes() == content

        return check

    @pytest.mark.parametrize(
        ("choice", "name"), [({"alpha": 0.3}, "alpha"), ({"random_state": 1}, "random_state"), ({"max_iter": 7}, "max")]
    )
    def test_other_parameters(self, choice, name, model, rows, tmp_path):
        with pytest.raises(ValueError, match=f"{tmp_path}.*training.npz belongs to another training: {name}.* differ"):
            model.set_params(**choice).fit(rows)

    def test_another_score_which_decides_the_number_of_epochs(self, rows, tmp_path):
        model = AutoencoderOutlierDetector(max_iter=2, checkpoint=tmp_path, random_state=0).fit(rows)
        with pytest.raises(ValueError, match="outlier_score differ"):
            model.set_params(outlier_score="reconstruction").fit(rows)

    def test_another_frozen_autoencoder(self, rows, tmp_path):
        labels = np.arange(len(rows)) % 2
        for seed, refusal in ((0, nullcontext()), (1, pytest.raises(ValueError, match="weights of the fitted"))):
            encoder = AutoencoderTransformer(2, max_iter=2, random_state=seed).fit(rows).set_params(random_state=None)
            model = AutoencoderClassifier(FrozenEstimator(encoder), max_iter=2, checkpoint=tmp_path, random_state=0)
            with refusal:
                model.fit(rows, labels)

    def test_other_rows(self, model, rows):
        changed = rows.copy()
        changed[3, 1] += 1e-6
        with pytest.raises(ValueError, match="belongs to another training: X differ"):
            model.fit(changed)
        with pytest.raises(ValueError, match="belongs to another training: X_val differ"):
            model.fit(rows, X_val=rows)

    @pytest.mark.parametrize("damage", ["cut", "cut at the end", "text", "empty", "longer", "another beginning"])
    def test_damaged(self, damage, refused, path):
        content = path.read_bytes()
        damaged = {"cut": content[: len(content) // 2], "cut at the end": content[:-1], "longer": content + b"0"}
        damaged |= {"text": b"hello", "empty": b"", "another beginning": b"S" + content[1:]}
        path.write_bytes(damaged[damage])
        refused()

    def test_one_bit(self, refused, path):
        """A digit of a loss, the first and last byte of an array, and the last byte of the last array."""
        content, array = path.read_bytes(), members_of(path)[MOMENTS].tobytes()
        loss = content.index('"train_loss": 0.'.encode("utf-32-le")) + 4 * 17
        first = content.index(array)
        for at in (loss, first, first + len(array) - 1, content.index(b"PK\1\2") - 1):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            refused("Bad CRC-32")

    @pytest.mark.parametrize("writer", ["save", "savez", "savez_compressed"])
    @pytest.mark.parametrize("content", [np.zeros(100), np.array([{}], dtype=object)], ids=["numbers", "objects"])
    def test_other_files_of_numpy(self, writer, content, refused, path):
        with open(path, "wb") as file:
            getattr(np, writer)(file, content)
        refused()

    def test_compressed(self, refused, path):
        np.savez_compressed(path, **members_of(path))
        refused("notes.npy is compressed or encrypted")

    @pytest.mark.parametrize("name", ["notes.npy", f"{BIASES}.npy"])
    @pytest.mark.parametrize(
        ("offset", "value", "match"),
        [
            (8, 1, "is compressed or encrypted"),  # encrypted
            (10, 99, "is compressed or encrypted"),  # by a method that zipfile does not know
            (8, 1 << 5, "compressed patched data"),
            (6, 100, "zip file version 10"),
        ],
    )
    def test_what_zipfile_does_not_read(self, offset, value, match, name, refused, path):
        patch_directory(path, name, offset, struct.pack("<H", value))
        refused(match)

    @pytest.mark.parametrize("name", ["notes.npy", f"{BIASES}.npy"])
    def test_a_member_that_begins_near_the_end(self, name, refused, path):
        patch_directory(path, name, 42, struct.pack("<I", path.stat().st_size - 10))
        refused("Truncated file header")

    def test_a_member_that_ends_behind_the_file(self, refused, path):
        patch_directory(path, f"{list(members_of(path))[-1]}.npy", 20, struct.pack("<II", *[path.stat().st_size] * 2))
        refused()

    @pytest.mark.parametrize("text", ["", "[]", "null", "3", "{", "[" * 100_000, '{"a":' * 100_000, "9" * 10_000])
    def test_notes_that_are_no_dict(self, text, refused, path):
        write_notes(path, text)
        refused()

    @pytest.mark.parametrize("value", [3, b"{}", ["{}"], [], {}], ids=repr)
    def test_notes_that_are_no_text(self, value, refused, path):
        write_notes(path, value)
        refused("not a string, or too long|does not match its dtype")

    @pytest.mark.parametrize("order", "<>")
    def test_notes_with_letters_that_do_not_exist(self, order, refused, path):
        write_member(path, "notes.npy", npy(header(f"{order}U1", "()"), struct.pack(f"{order}I", 0x110000)))
        refused("can't decode")

    def test_notes_of_another_order_of_bytes(self, model, rows, path):
        expected, notes = model.transform(rows), members_of(path)["notes"]
        write_notes(path, notes.astype(notes.dtype.newbyteorder(">")))
        np.testing.assert_array_equal(model.fit(rows).transform(rows), expected)

    def test_notes_that_are_longer_than_the_file(self, refused, path):
        content = npy(header("<U60000000", "()"))
        write_member(path, "notes.npy", content)
        patch_directory(path, "notes.npy", 20, struct.pack("<II", *[len(content) + 240_000_000] * 2))
        refused("notes.npy is larger than the file")

    def test_notes_that_are_too_long(self, refused, path, monkeypatch):
        monkeypatch.setattr(files, "_LONGEST_NOTES", 4 * 1000)
        write_notes(path, "{}" + " " * 997 + "\n")
        refused("its notes have no identity of the training")
        write_notes(path, "{}" + " " * 998 + "\n")
        refused("not a string, or too long")
        with pytest.raises(ValueError, match=r"its notes have \d+ bytes, more than"):
            files.write(path, {"history": [0.5] * 1000}, {})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("identity", value) for value in (None, [], ["alpha"], "alpha", 3)),
            *(("seed", value) for value in (None, -1, True, "3", 0.5, 2**31, 2**70, [3])),
            *(("history", value) for value in (None, 3, {}, "ab", [3], [[]], [{"train_loss": "low"}])),
            *(("frozen", value) for value in (None, 3, "ab", {}, [3], [["weights"]])),
            *(("history", [{"valid_loss": value}]) for value in (None, [0.5], {})),
        ],
    )
    def test_notes_with_wrong_values(self, name, value, refused, path):
        write_notes(path, json.dumps(notes_of(path) | {name: value}))
        refused()

    @pytest.mark.parametrize("name", ["format", "identity", "seed", "history", "frozen"])
    def test_missing_notes(self, name, refused, path):
        notes = notes_of(path)
        del notes[name]
        write_notes(path, json.dumps(notes))
        refused("format differ" if name == "format" else UNREADABLE)

    def test_identity_with_other_values(self, refused, path):
        notes = notes_of(path)
        notes["identity"]["alpha"] = [0.1]
        write_notes(path, json.dumps(notes))
        refused("belongs to another training: alpha differ")

    def test_notes_are_judged_before_arrays(self, refused, path):
        write_notes(path, json.dumps(notes_of(path) | {"format": 2}))
        write_member(path, f"{BIASES}.npy", b"no array")
        refused("belongs to another training: format differ")

    @pytest.mark.parametrize("name", [BIASES, MOMENTS, "stopping/stale_", "best/decoder_weights.1"])
    @pytest.mark.parametrize("change", ["kind", "order of bytes", "shape", "large"])
    @pytest.mark.filterwarnings("ignore:Training ended after max_iter")
    def test_an_array_of_another_kind(self, change, name, model, rows, path, refused, monkeypatch):
        """It is refused before any array is read."""
        path.unlink()
        model.set_params(early_stopping=True, n_iter_no_change=9).fit(rows)
        members = members_of(path)
        array = members[name]
        changed = {"kind": array.astype("<c16"), "shape": np.stack([array] * 2), "large": np.zeros(1 << 22, "<f4")}
        changed["order of bytes"] = array.astype(array.dtype.newbyteorder(">"))
        np.savez(path, **members | {name: changed[change]})
        monkeypatch.setattr(checkpoint, "read_arrays", None)
        refused(OTHER_ARRAYS)

    @pytest.mark.parametrize(
        ("kind", "shape"), [("<f4", (2**40,)), ("<f4", (-1,)), ("|O", (1,)), ("<f4", ()), ("<f4", (2**70, 2**70))]
    )
    @pytest.mark.parametrize("name", ["notes.npy", f"{BIASES}.npy"])
    def test_a_header_that_does_not_fit(self, kind, shape, name, refused, path):
        write_member(path, name, npy(header(kind, shape), b"1234567"))
        refused(f"{name} has .* bytes, which does not match its dtype and shape")

    def test_bytes_behind_an_array(self, refused, path):
        with zipfile.ZipFile(path) as archive:
            content = archive.read(f"{BIASES}.npy")
        write_member(path, f"{BIASES}.npy", content + b"0")
        refused("does not match its dtype and shape")

    @pytest.mark.parametrize(
        "text",
        [
            *("", "(", "\0", "x y", "[1]", "{[]: 1}", "{1: 2, 'a': 3}", "  1\n 2", "'''", " " * 20_000),
            *("-" * 9000 + "1", "~" * 3000 + "1", header("O8", "[3]"), header((), "(3,)"), header("<f4", "(2**40,)")),
        ],
        ids=lambda text: repr(text[:20]),
    )
    @pytest.mark.parametrize("name", ["notes.npy", f"{BIASES}.npy"])
    def test_a_header_that_numpy_does_not_understand(self, text, name, refused, path):
        write_member(path, name, npy(text))
        refused(f"{name} has an invalid header")

    @pytest.mark.parametrize("content", [b"", b"\x93NUMPY", npy(header("<f4", "()"), b"1234", version=9)])
    def test_a_member_without_a_header(self, content, refused, path):
        write_member(path, f"{BIASES}.npy", content)
        refused("has an invalid header")

    def test_a_header_of_version_2(self, model, rows, path):
        biases, expected = members_of(path)[BIASES], model.transform(rows)
        content = npy(header(biases.dtype.str, biases.shape), biases.tobytes(), version=2)
        write_member(path, f"{BIASES}.npy", content[:10] + b"\0\0" + content[10:])  # the length has four bytes
        np.testing.assert_array_equal(model.fit(rows).transform(rows), expected)

    @pytest.mark.parametrize("name", ["notes", BIASES, MOMENTS, "more"])
    def test_members_that_are_missing_or_too_many(self, name, refused, path):
        members = members_of(path)
        if members.pop(name, None) is None:
            members[name] = np.zeros(1)
        np.savez(path, **members)
        refused("it has no notes" if name == "notes" else OTHER_ARRAYS)

    def test_notes_alone(self, refused, path):
        np.savez(path, notes=members_of(path)["notes"])
        refused(OTHER_ARRAYS)

    @pytest.mark.parametrize("name", ["notes.npy", f"{BIASES}.npy"])
    def test_members_with_the_same_name(self, name, refused, path):
        with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(name, archive.read(name))
        refused("two of its members have the same name")

    @pytest.mark.parametrize("name", ["notes", BIASES, "more.txt", "folder/"])
    def test_members_that_are_no_arrays(self, name, refused, path):
        write_member(path, name, b"")
        refused("or one is not an array")

    def test_replaced_while_it_was_read(self, model, rows, path, monkeypatch):
        """Weights and history must not come from two files."""
        filled, notes = checkpoint._filled_arrays, notes_of(path)

        def replace(net):
            write_notes(path, json.dumps(notes | {"history": notes["history"][:-1]}))
            return filled(net)

        monkeypatch.setattr(checkpoint, "_filled_arrays", replace)
        with pytest.raises(ValueError, match="it was replaced in the meantime"):
            model.fit(rows)

    def test_a_weight_without_slots(self, rows, tmp_path, path):
        """It counts as one that was never used."""
        model = AutoencoderTransformer(2, **parameters(max_iter=2, checkpoint=tmp_path))
        with pytest.raises(ZeroDivisionError):
            model.set_params(callbacks=[Killed(1)]).fit(rows)
        members = members_of(path)
        slots = [name for name in members if name.startswith("optimizer/0/")]
        np.savez(path, **{name: array for name, array in members.items() if name not in slots})
        assert model.set_params(callbacks=None).fit(rows).n_iter_ == 2
        assert len(slots) == 3
        np.savez(path, **{name: array for name, array in members.items() if name != slots[0]})
        with pytest.raises(ValueError, match=OTHER_ARRAYS):
            model.fit(rows)

    def test_a_file_with_a_hole(self, model, rows, path):
        os.truncate(path, 2**41)  # takes no space where files may have holes
        with pytest.raises(ValueError, match=UNREADABLE):
            model.fit(rows)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the platform has no named pipes")
    def test_a_pipe_does_not_block(self, model, rows, path):
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(ValueError, match=r"cannot be read \(it is not a regular file\)\. Delete it"):
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

    @pytest.mark.parametrize(
        ("other", "without"),
        [
            ({"warm_start": True}, "warm_start=False"),
            ({"network": Dense(layerwise_pretraining=True)}, "layerwise_pretraining=False in the network"),
            ({"objective": Reconstruction(trim=0.1)}, "trim=0.0 in the objective"),
        ],
    )
    def test_trainings_that_are_more_than_one_net(self, other, without, rows, tmp_path):
        with pytest.raises(ValueError, match=f"checkpoint requires {without}; change it, or"):
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
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(OSError, match=r"could not be written.*No space left on device.*training.npz"):
            model.fit(rows)
    assert [path.name for path in tmp_path.iterdir()] == ["training.npz"]
    np.testing.assert_array_equal(model.fit(rows).transform(rows), expected)


class TestWriting:
    def test_an_error_leaves_no_unfinished_file(self, rows, tmp_path, monkeypatch):
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        monkeypatch.setattr(files.os, "fsync", lambda file: signal.raise_signal(signal.SIGINT))
        try:
            with pytest.raises(KeyboardInterrupt):
                AutoencoderTransformer(2, **parameters(checkpoint=tmp_path)).fit(rows)
        finally:
            signal.signal(signal.SIGINT, before)
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
    with pytest.raises(ValueError, match=r"cannot store net.history .*object.*Let callbacks record numbers"):
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
