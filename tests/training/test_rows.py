"""Batches: every row once an epoch, shuffled, scaled without loss, and how memory maps are read."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sk_autoencoder import AutoencoderTransformer
from sk_autoencoder.corruptions import Gaussian, Masking
from sk_autoencoder.scaling import Affine
from sk_autoencoder.training import rows as engine
from sk_autoencoder.training.rows import RowDataset, Scaler, TrainingBatches, ValidationBatches

CPU = torch.device("cpu")


def scaler(center, scale, dtype=torch.float64):
    return Scaler(Affine(np.array(center), np.array(scale)), CPU, dtype)


def numbered(n_rows, n_features=2, positions=None):
    """Rows that carry their position."""
    X = np.arange(float(n_rows))[:, None] * np.ones(n_features)
    return RowDataset(X, scaler(np.zeros(n_features), np.ones(n_features)), positions)


def test_weights_and_labels_belong_to_the_rows_of_x():
    positions = np.array([[3, 1, 0], [2, 0, 1]])
    dataset = numbered(4, positions=positions)
    dataset.weight, dataset.labels = torch.arange(4.0), torch.arange(8).view(4, 2)
    found = dataset.batch(np.array([[2, 0], [1, 2]]), 2)
    assert found.clean[..., 0].tolist() == found.weight.tolist() == [[0, 3], [0, 1]]
    assert found.labels.tolist() == [[[0, 1], [6, 7]], [[0, 1], [2, 3]]]


def batches(dataset, batch_size=4, n_members=1, **options):
    return TrainingBatches(dataset, batch_size, n_members, seed=3, epoch=0, **options)


def order(batches):
    """Positions in the order in which they come, (n_rows, n_members)."""
    return torch.cat([batch.clean[..., 0] for batch in batches], dim=1).T.long().numpy()


class TestScaler:
    @pytest.mark.parametrize("source", [np.float32, np.float64])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_scales(self, source, dtype):
        X = np.array([[1.0, 20.0], [3.0, 40.0]], dtype=source)
        found = scaler([1.0, 30.0], [2.0, 10.0], dtype)(X[:])
        assert found.dtype == dtype
        np.testing.assert_allclose(found, [[0, -1], [1, 1]], rtol=1e-6)
        np.testing.assert_array_equal(X, [[1, 20], [3, 40]])

    @pytest.mark.parametrize("source", [np.float32, np.float64])
    def test_large_offset_costs_no_digit(self, source):
        X = (1.7e9 + np.arange(0.0, 2000.0, 128.0))[:, None].astype(source)
        center = X.astype(np.float64).mean() + 0.3
        found = scaler([center], [500.0], torch.float32)(X[:])
        np.testing.assert_allclose(found, (X.astype(np.float64) - center) / 500, rtol=1e-5, atol=1e-7)

    @pytest.mark.parametrize(("center", "scale"), [(1e38, 1.0), (0.0, 1e-38), (-1e300, 1e290)])
    def test_constants_beyond_float32(self, center, scale):
        X = np.array([[0.0], [1.0]], dtype=np.float32)
        found = scaler([center], [scale], torch.float64)(X[:])
        np.testing.assert_allclose(found, (X.astype(np.float64) - center) / scale, rtol=1e-12)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("shape", [(500, 3), (40, 300), (1, 1), (7, 2, 5)])
    def test_equal_numbers_give_equal_bits(self, shape, dtype):
        rng = np.random.default_rng(0)
        X = (rng.normal(size=shape) * 10.0 ** rng.integers(-20, 20, size=shape)).astype(np.float32)
        constants = scaler(rng.normal(size=shape[-1]), 10.0 ** rng.uniform(-20, 20, size=shape[-1]), dtype)
        found, expected = constants(X), constants(X.astype(np.float64))
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)

    def test_views_and_read_only_rows_are_not_written_to(self):
        X = np.ones((4, 2))
        X.setflags(write=False)
        scaler([1.0, 1.0], [1.0, 1.0])(X[1:3])
        np.testing.assert_array_equal(X, 1)


class TestTraining:
    @pytest.mark.parametrize("n_rows", [1, 3, 4, 5, 13])
    @pytest.mark.parametrize("single_steps", [False, True])
    def test_every_row_once_for_every_member(self, n_rows, single_steps):
        found = order(batches(numbered(n_rows), n_members=3, single_steps=single_steps))
        for member in found.T:
            assert sorted(member) == list(range(n_rows))

    def test_order_changes_with_member_epoch_and_seed(self):
        epochs = batches(numbered(50), n_members=2)
        first, second = order(epochs), order(epochs)
        assert not np.array_equal(first[:, 0], first[:, 1])
        assert not np.array_equal(first, second)
        np.testing.assert_array_equal(order(batches(numbered(50), n_members=2)), first)
        other = TrainingBatches(numbered(50), 4, 2, seed=4, epoch=0)
        assert not np.array_equal(order(other), first)

    def test_resumes_in_any_epoch(self):
        epochs = batches(numbered(50))
        order(epochs)
        second = order(epochs)
        np.testing.assert_array_equal(order(TrainingBatches(numbered(50), 4, 1, seed=3, epoch=1)), second)

    def test_members_do_not_depend_on_their_number(self):
        np.testing.assert_array_equal(
            order(batches(numbered(50), n_members=3))[:, :1], order(batches(numbered(50), n_members=1))
        )

    @pytest.mark.parametrize(("n_rows", "expected"), [(1, 1), (4, 1), (5, 2), (13, 4)])
    def test_length_counts_mini_batches(self, n_rows, expected):
        assert len(batches(numbered(n_rows))) == expected
        assert len(list(batches(numbered(n_rows), single_steps=True))) == expected

    def test_chunks_are_whole_mini_batches(self, monkeypatch):
        monkeypatch.setattr(engine, "CHUNK_BATCHES", 2)
        assert [len(batch) for batch in batches(numbered(21))] == [8, 8, 5]
        monkeypatch.setattr(engine, "CHUNK_CELLS", 1)
        assert [len(batch) for batch in batches(numbered(9))] == [4, 4, 1]

    @pytest.mark.parametrize("positions", [np.array([5, 1, 7]), np.array([[5, 1, 7], [2, 3, 4]])])
    def test_chosen_rows(self, positions):
        n_members = len(np.atleast_2d(positions))
        found = order(batches(numbered(9, positions=positions), n_members=n_members))
        assert [sorted(member) for member in found.T] == [sorted(member) for member in np.atleast_2d(positions)]

    def test_noise_is_on_the_input_only(self):
        for batch in batches(numbered(10), n_members=2, corruption=Gaussian(0.1)):
            assert (batch.corrupted != batch.clean).all()
            np.testing.assert_array_equal(batch.clean, batch.clean.round())

    def test_noise_does_not_depend_on_single_steps(self):
        whole, cut = (
            torch.cat([b.corrupted for b in batches(numbered(10), corruption=Gaussian(), single_steps=single)], dim=1)
            for single in (False, True)
        )
        torch.testing.assert_close(whole, cut, rtol=0, atol=0)


class TestManyRows:
    """More cells than are put into any order, wherever they lie."""

    @pytest.fixture(params=["array", "memory map", "csr"])
    def dataset(self, request, tmp_path, monkeypatch):
        monkeypatch.setattr(engine, "SHUFFLED_CELLS", 999)
        monkeypatch.setattr(engine, "RUN_ROWS", 16)
        monkeypatch.setattr(engine, "WINDOW_ROWS", 128)
        X = np.arange(1000.0)[:, None]
        if request.param == "memory map":
            np.save(tmp_path / "X.npy", X)
            X = np.load(tmp_path / "X.npy", mmap_mode="r")
        return RowDataset(sparse.csr_array(X) if request.param == "csr" else X, scaler([0.0], [1.0]))

    def test_every_row_once(self, dataset):
        found = order(batches(dataset, n_members=2))
        for member in found.T:
            assert sorted(member) == list(range(1000))
        assert not np.array_equal(found[:, 0], found[:, 1])

    def test_reads_runs(self, dataset):
        found = order(batches(dataset))[:, 0]
        for first in range(0, 896, 128):
            runs = np.unique(found[first : first + 128] // 16)
            assert len(runs) <= 10

    def test_order_depends_on_the_shape_only(self, dataset, monkeypatch):
        expected = order(batches(numbered(1000, n_features=1)))
        np.testing.assert_array_equal(order(batches(dataset)), expected)
        monkeypatch.setattr(engine, "SHUFFLED_CELLS", 1000)
        whole = order(batches(dataset))
        assert not np.array_equal(whole, expected)
        np.testing.assert_array_equal(whole, order(batches(numbered(1000, n_features=1))))
        assert np.abs(np.corrcoef(whole[:, 0], np.arange(1000))[0, 1]) < 0.2


def test_validation_rows_come_in_order_and_for_every_member(monkeypatch):
    monkeypatch.setattr(engine, "CHUNK_CELLS", 12)
    chunks = list(ValidationBatches(numbered(7), n_members=2))
    assert [chunk.clean.shape for chunk in chunks] == [(2, 3, 2), (2, 3, 2), (2, 1, 2)]
    assert torch.cat([chunk.clean[1, :, 0] for chunk in chunks]).tolist() == list(range(7))
    assert all(chunk.corrupted is chunk.clean for chunk in chunks)


def test_validation_rows_of_a_single_chunk_are_scaled_once():
    batches = ValidationBatches(numbered(7), n_members=2)
    (first,), (second,) = batches, batches
    assert first is second
    assert first.clean[1, :, 0].tolist() == list(range(7))


def test_data_set_as_skorch_reads_it():
    dataset = numbered(7)
    row, target = dataset[3]
    assert len(dataset) == 7
    assert row.tolist() == [3, 3]
    assert target.item() == 0


class TestResident:
    """A device with room for the rows, played by the CPU."""

    @pytest.fixture(autouse=True)
    def memory(self, monkeypatch):
        monkeypatch.setattr(engine, "free_memory", lambda device: 2000)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_rows_on_the_device_change_no_bit(self, dtype, monkeypatch):
        X = np.random.default_rng(0).normal(size=(20, 3)).astype(dtype)
        X.setflags(write=False)
        monkeypatch.setattr(engine, "CHUNK_CELLS", 12)  # copied in pieces
        source = engine.resident(X, CPU)
        assert isinstance(source, torch.Tensor)
        np.testing.assert_array_equal(source, X)
        constants = scaler([1.0, 2.0, 3.0], [0.5, 1.0, 2.0])
        for positions in (None, np.arange(5, 15), np.array([np.arange(10), np.arange(10, 20)])):
            here, there = (RowDataset(X, constants, positions, where) for where in (None, source))
            for index in (np.array([[3, 1], [4, 9]]), *([slice(2, 5)] if np.ndim(positions) < 2 else [])):
                assert torch.equal(here.take(index), there.take(index))

    def test_large_and_sparse_rows_stay(self):
        for X in (np.zeros((200, 3)), sparse.csr_array(np.eye(3))):
            assert engine.resident(X, CPU) is X

    def test_fit(self, rows, monkeypatch):
        monkeypatch.setattr(engine, "free_memory", lambda device: 1 << 30)
        model = AutoencoderTransformer(
            2, max_iter=2, early_stopping=True, n_iter_no_change=3, device="cpu", random_state=0
        )
        with pytest.warns(ConvergenceWarning):
            codes = model.fit_transform(rows)
        monkeypatch.undo()
        with pytest.warns(ConvergenceWarning):
            np.testing.assert_array_equal(model.fit_transform(rows), codes)


def labelled(n_rows, every):
    """Numbered rows, of which each ``every``-th has its number as label."""
    dataset = numbered(n_rows)
    known = torch.arange(n_rows) % every == 0
    dataset.labels = torch.stack([known.double(), torch.arange(n_rows).double()], dim=1)
    return dataset.in_two_streams()


@pytest.mark.parametrize("single_steps", [False, True])
def test_each_step_takes_labelled_samples_of_their_own_stream(single_steps):
    dataset = labelled(20, every=5)
    assert dataset.labels is None
    assert len(dataset.labelled) == 4
    found = list(batches(dataset, batch_size=3, single_steps=single_steps))
    steps = [step for chunk in found for step in chunk.split(3)] if not single_steps else found
    assert [len(step) for step in steps] == [3] * 6 + [2]
    drawn = [step.labelled.labels[0, :, 1].int().tolist() for step in steps]
    assert [len(numbers) for numbers in drawn] == [3] * 7
    orders = [number for numbers in drawn for number in numbers]
    assert all(sorted(orders[i : i + 4]) == [0, 5, 10, 15] for i in range(0, 20, 4))
    for step in steps:
        assert (step.labelled.clean[0, :, 0] == step.labelled.labels[0, :, 1]).all()


def test_chunks_and_steps_take_the_same_labelled_samples():
    runs = [
        [
            step.labelled.labels[0, :, 1].tolist()
            for chunk in batches(labelled(20, every=5), batch_size=3, single_steps=single)
            for step in ([chunk] if single else chunk.split(3))
        ]
        for single in (False, True)
    ]
    assert runs[0] == runs[1]


def test_the_order_of_all_samples_does_not_depend_on_labels():
    np.testing.assert_array_equal(order(batches(labelled(20, every=5))), order(batches(numbered(20))))


def test_samples_that_all_have_labels_are_one_stream():
    dataset = labelled(6, every=1)
    assert dataset.labelled is None
    assert next(iter(batches(dataset))).labels.shape == (1, 6, 2)


def test_inputs_without_corruption_come_on_request():
    kept = next(iter(batches(numbered(6), corruption=Gaussian(1.0), keeps_uncorrupted=True)))
    assert torch.equal(kept.uncorrupted, kept.clean)
    assert not torch.equal(kept.corrupted, kept.clean)
    assert next(iter(batches(numbered(6), corruption=Gaussian(1.0)))).uncorrupted is None


class TestInputsOfSamplesWithGaps:
    """``refine`` gets the filled input of a whole chunk, and says what the network gets."""

    @staticmethod
    def gaps(**options):
        X = np.random.default_rng(0).normal(size=(40, 3))
        X[::3, 1] = np.nan
        dataset = RowDataset(X, scaler(np.zeros(3), np.ones(3)), fill=torch.full((3,), 9.0, dtype=torch.float64))
        return batches(dataset, batch_size=10, **options)

    @pytest.mark.parametrize("single_steps", [False, True])
    def test_are_completed_once_a_chunk(self, single_steps):
        calls = []

        def refine(inputs, known):
            calls.append(known)
            return torch.where(known, inputs, 7.0)

        found = list(self.gaps(refine=refine, single_steps=single_steps))
        assert len(found) == (4 if single_steps else 1)
        assert [known.shape for known in calls] == [(1, 40, 3)]
        for batch in found:
            assert (batch.corrupted[~batch.observed] == 7).all()
            assert (batch.clean[~batch.observed] == 9).all()
            assert torch.equal(batch.corrupted[batch.observed], batch.clean[batch.observed])

    def test_what_masking_hides_is_missing_but_stays_in_the_loss(self):
        def refine(inputs, known):
            assert torch.equal(known, inputs != 9)
            return inputs

        (batch,) = self.gaps(refine=refine, corruption=Masking(0.5))
        hidden = (batch.corrupted == 9) & batch.observed
        assert 0.3 < hidden.double().mean() < 0.6
        assert torch.equal(batch.corrupted[~hidden], batch.clean[~hidden])

    def test_uncorrupted_samples_are_completed_too(self):
        def refine(inputs, known):
            return torch.where(known, inputs, 7.0)

        (batch,) = self.gaps(refine=refine, corruption=Gaussian(), keeps_uncorrupted=True)
        assert torch.equal(batch.uncorrupted[~batch.observed], batch.corrupted[~batch.observed])
        assert (batch.uncorrupted[~batch.observed] == 7).all()
