"""skorch callbacks of the user, and interrupts."""

import copy
import pickle
import signal
import threading
import warnings

import numpy as np
import pytest
import skorch.callbacks
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer
from sk_autoencoder.corruptions import Gaussian
from sk_autoencoder.networks import Dense
from tests.contracts.variants import without_validation


class Silent(skorch.callbacks.Callback):
    def on_batch_end(self, net, **kwargs):
        pass


class Counter(skorch.callbacks.Callback):
    def initialize(self):
        self.calls_ = {"begin": 0, "end": 0, "grad": 0, "epoch": 0, "train": 0}
        self.losses_, self.sizes_, self.norms_ = [], [], []
        return self

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        self.calls_["begin"] += training
        self.sizes_ += [len(batch)] if training else []

    def on_batch_end(self, net, batch=None, training=None, loss=None, y_pred=None, **kwargs):
        assert y_pred.shape == batch.clean.transpose(0, 1).shape
        self.calls_["end"] += training
        self.losses_ += [float(loss)] if training else []

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.calls_["grad"] += 1
        self.norms_.append(max(float(parameter.grad.abs().max()) for _, parameter in named_parameters))

    def on_epoch_end(self, net, **kwargs):
        self.calls_["epoch"] += 1

    def on_train_end(self, net, **kwargs):
        self.calls_["train"] += 1


@pytest.fixture
def model():
    return AutoencoderTransformer(2, batch_size=50, max_iter=4, random_state=0)


def _found(fitted, kind):
    (callback,) = [callback for _, callback in fitted.net_.callbacks_ if isinstance(callback, kind)]
    return callback


@pytest.mark.parametrize("choice", [{}, {"corruption": Gaussian()}, {"solver": "sgd"}, {"learning_rate": "constant"}])
def test_listening_to_batches_changes_no_bit(choice, model, rows):
    plain = clone(model).set_params(**choice).fit(rows)
    heard = clone(model).set_params(**choice, callbacks=[Silent()]).fit(rows)
    np.testing.assert_array_equal(heard.transform(rows), plain.transform(rows))
    np.testing.assert_allclose(heard.loss_curve_, plain.loss_curve_, rtol=1e-6)


def test_own_callback_sees_every_batch(model, rows):
    own = Counter()
    counter = _found(model.set_params(callbacks=[own]).fit(rows, X_val=rows), Counter)
    assert counter.calls_ == {"begin": 12, "end": 12, "grad": 12, "epoch": 4, "train": 1}
    assert counter.sizes_ == [50, 50, 20] * 4
    assert min(counter.norms_) > 0
    epochs = np.average(np.reshape(counter.losses_, (4, 3)), axis=1, weights=[50, 50, 20])
    np.testing.assert_allclose(epochs, model.loss_curve_, rtol=1e-5)
    assert not hasattr(own, "calls_")  # a copy was used


def test_gradients_can_be_changed(model, rows):
    class Stopped(skorch.callbacks.Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            for _, parameter in named_parameters:
                parameter.grad.zero_()

    still = model.set_params(callbacks=[Stopped()], learning_rate="constant", alpha=0.0)
    curve = still.set_params(corruption=None).fit(rows).loss_curve_
    np.testing.assert_allclose(curve, curve[0])


def test_gradient_clipping(model, rows):
    clip = skorch.callbacks.GradientNormClipping(1e-6)
    plain = clone(model).set_params(solver="sgd").fit(rows)
    clipped = clone(model).set_params(solver="sgd", callbacks=[clip]).fit(rows)
    assert clipped.loss_curve_[-1] > plain.loss_curve_[-1]


def test_early_stopping(rows, capfd):
    stop = skorch.callbacks.EarlyStopping(patience=2, threshold=1e9, threshold_mode="abs", load_best=True)
    stop.sink = _swallow
    model = AutoencoderTransformer(2, max_iter=50, callbacks=[stop], random_state=0).fit(rows, X_val=rows)
    assert model.n_iter_ == 3
    assert np.isfinite(model.transform(rows)).all()
    assert capfd.readouterr().out == ""


def _swallow(text):
    del text


@pytest.mark.parametrize(
    ("estimator", "choice"),
    [
        (AutoencoderTransformer, {}),
        (AutoencoderTransformer, {"early_stopping": 0.25, "n_iter_no_change": 400}),
        (AutoencoderOutlierDetector, {}),
        (AutoencoderOutlierDetector, {"n_iter_no_change": 400}),
        (AutoencoderOutlierDetector, {"restore_best": False}),
    ],
)
def test_stops_when_the_training_loss_no_longer_decreases(estimator, choice, rows, capfd):
    """The model is that of a training of so many epochs, also if the best weights are restored; nothing is warned."""
    rule = {"monitor": "train_loss", "patience": 10, "threshold": 1e-3, "threshold_mode": "abs", "sink": _swallow}
    stop = skorch.callbacks.EarlyStopping(**rule, lower_is_better=True)
    settings = {"max_iter": 500, "learning_rate": "constant", "random_state": 0}
    model = estimator(2, callbacks=[stop], **settings, **choice).fit(rows)
    curve = model.loss_curve_
    assert 11 < model.n_iter_ == len(curve) < 500
    assert min(curve[-10:]) >= min(curve[:-10]) - 1e-3
    assert capfd.readouterr() == ("", "")
    shorter = clone(model).set_params(callbacks=None, max_iter=model.n_iter_)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        shorter.fit(rows)
    np.testing.assert_array_equal(model.reconstruct(rows), shorter.reconstruct(rows))


def test_learning_rate_scheduler(model, rows):
    schedule = skorch.callbacks.LRScheduler("StepLR", step_size=1, gamma=0.1)
    fitted = model.set_params(callbacks=[schedule], learning_rate="constant", learning_rate_init=0.01).fit(rows)
    np.testing.assert_allclose(fitted.net_.history[:, "event_lr"], [1e-2, 1e-3, 1e-4, 1e-5])
    assert fitted.net_.optimizer_.param_groups[0]["lr"] == pytest.approx(1e-6)


@pytest.mark.parametrize("estimator", [AutoencoderTransformer, AutoencoderOutlierDetector])
@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_learning_rate_scheduler_takes_the_place_of_a_schedule(estimator, schedule, rows):
    falling = skorch.callbacks.LRScheduler("StepLR", step_size=1, gamma=0.1)
    model = estimator(2, callbacks=[falling], max_iter=4, learning_rate_init=0.01, random_state=0)
    with pytest.warns(UserWarning, match=f"contains LRScheduler, .*; learning_rate='{schedule}' is ignored") as caught:
        ruled = clone(model).set_params(learning_rate=schedule).fit(rows)
    assert [warning.filename for warning in caught] == [__file__]
    np.testing.assert_allclose(ruled.net_.history[:, "event_lr"], [1e-2, 1e-3, 1e-4, 1e-5])
    assert ruled.loss_curve_ == clone(model).set_params(learning_rate="constant").fit(rows).loss_curve_


class Frozen(skorch.callbacks.Callback):
    """Let nothing move from the third epoch on."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 3:
            net.optimizer_.param_groups[0]["lr"] = 1e-12


def test_rate_of_a_callback_stays(rows):
    settings = {"corruption": None, "max_iter": 6, "precision": "float64", "random_state": 0}
    model = AutoencoderTransformer(2, callbacks=[Frozen()], **settings)
    with pytest.warns(
        UserWarning, match="A callback set the learning rate to 1e-12; from then on .*'onecycle' was"
    ) as w:
        curve = model.fit(rows).loss_curve_
    assert [warning.filename for warning in w] == [__file__]
    assert curve[0] > curve[1] > curve[2]
    np.testing.assert_allclose(curve[3:], curve[3], rtol=1e-6)


def test_base_rate_of_a_callback_is_followed_by_the_schedule(rows):
    class Halved(skorch.callbacks.Callback):
        def on_train_begin(self, net, **kwargs):
            net.set_params(lr=0.005)

    model = AutoencoderTransformer(2, max_iter=3, learning_rate="cosine", random_state=0)
    curve = clone(model).set_params(callbacks=[Halved()], learning_rate_init=0.01).fit(rows).loss_curve_
    assert curve == model.set_params(learning_rate_init=0.005).fit(rows).loss_curve_


def test_checkpoint(model, rows, tmp_path):
    keep = skorch.callbacks.Checkpoint(
        monitor="valid_loss_best", dirname=str(tmp_path), f_pickle=None, f_criterion=None
    )
    model.set_params(callbacks=[keep]).fit(rows, X_val=rows)
    assert {path.name for path in tmp_path.iterdir()} >= {"params.pt", "optimizer.pt", "history.json"}
    expected = model.transform(rows)
    model.net_.load_params(checkpoint=_found(model, skorch.callbacks.Checkpoint))
    np.testing.assert_array_equal(model.transform(rows), expected)


def test_progress_bar(model, rows, capfd):
    model.set_params(callbacks=[skorch.callbacks.ProgressBar(detect_notebook=False)]).fit(rows)
    assert "/3 [" in capfd.readouterr().err  # three batches an epoch


@pytest.mark.parametrize("callback", [skorch.callbacks.PrintLog(sink=_swallow), ("log", skorch.callbacks.PrintLog())])
def test_print_log_keeps_the_convergence_warning(callback, rows, capfd):
    """skorch runs PrintLog after all others, and so after our stopping rule."""
    model = AutoencoderTransformer(2, max_iter=2, early_stopping=True, callbacks=[callback])
    with pytest.warns(match="before the validation loss stopped decreasing"):
        model.fit(rows)


def test_named_callback(model, rows):
    assert isinstance(dict(model.set_params(callbacks=[("own", Counter())]).fit(rows).net_.callbacks_)["own"], Counter)


@pytest.mark.parametrize("other", ["LRScheduler", 3, Gaussian, ("name", None)])
def test_what_is_no_callback_is_refused_before_training(other, model, rows):
    with pytest.raises(ValueError, match=r"callbacks\[1\]=.* is not a skorch callback; write for example callbacks=\["):
        model.set_params(callbacks=[Counter(), other]).fit(rows)
    assert not hasattr(model, "net_")


def _constant(net, X, y=None):
    return 1.0


@pytest.mark.parametrize(
    ("callback", "advice"),
    [
        (skorch.callbacks.EpochScoring(_constant, name="own"), r"EpochScoring\(\.\.\.\) reads .* use_caching=False"),
        (("own", skorch.callbacks.BatchScoring(_constant)), r"BatchScoring\(\.\.\.\) reads .* use_caching=False"),
        (skorch.callbacks.Checkpoint(load_best=True), r"use f_criterion=None, or early_stopping=True"),
    ],
    ids=["epochs", "batches", "checkpoint"],
)
def test_callbacks_of_skorch_that_cannot_work(callback, advice, model, rows):
    with pytest.raises(ValueError, match=advice):
        model.set_params(callbacks=[callback]).fit(rows)
    assert not hasattr(model, "net_")


def test_what_is_advised_instead(model, rows, tmp_path):
    scoring = skorch.callbacks.EpochScoring(_constant, name="own", on_train=True, use_caching=False)
    best = skorch.callbacks.Checkpoint(dirname=tmp_path, monitor="train_loss_best", load_best=True, f_criterion=None)
    history = model.set_params(callbacks=[scoring, best]).fit(rows).net_.history
    assert history[:, "own"] == [1.0] * len(history)
    assert (tmp_path / "params.pt").exists()


def test_callback_given_as_a_class(model, rows):
    assert _found(model.set_params(callbacks=[Counter]).fit(rows), Counter).calls_["epoch"] == 4


def test_no_callback_of_two_fits_is_shared(model, rows):
    model.set_params(callbacks=[Counter()])
    first = _found(model.fit(rows), Counter)
    assert _found(model.fit(rows), Counter) is not first
    assert first.calls_["epoch"] == 4


class Writing(skorch.callbacks.Callback):
    """What a TensorBoard callback is: it holds a writer, which has a lock and an open file."""

    def __init__(self, writer, step=1):
        self.writer = writer
        self.step = step

    def on_epoch_end(self, net, **kwargs):
        self.writer["seen"].append(self.step)


@pytest.fixture
def writer():
    with open(__file__, encoding="utf-8") as file:
        yield {"lock": threading.Lock(), "file": file, "seen": []}


@pytest.mark.parametrize("estimator", [AutoencoderTransformer, AutoencoderOutlierDetector])
@pytest.mark.parametrize("entry", [lambda callback: callback, lambda callback: ("own", callback)])
class TestCallbacksThatCannotBeCopied:
    def test_fit_shares_what_they_hold(self, entry, estimator, writer, rows):
        own = Writing(writer)
        fitted = estimator(max_iter=2, callbacks=[entry(own)]).fit(rows)
        assert writer["seen"] == [1, 1]
        assert _found(fitted, Writing) is not own
        fitted.set_params(warm_start=True).fit(rows)
        assert writer["seen"] == [1] * 4

    def test_clone_and_search(self, entry, estimator, writer, rows):
        own = Writing(writer)
        model = estimator(max_iter=2, callbacks=[entry(own)])
        cloned = clone(make_pipeline(model))[-1]
        (held,) = (entry[-1] if isinstance(entry, tuple) else entry for entry in cloned.callbacks)
        assert held is not own
        assert (held.writer, held.step) == (writer, 1)
        cross_val_score(model, rows, cv=2, scoring=_error, error_score="raise")
        assert writer["seen"] == [1] * 4

    def test_storing_names_the_callback(self, entry, estimator, writer, rows):
        model = estimator(max_iter=1, callbacks=[Silent(), entry(Writing(writer))]).fit(rows)
        for way in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match=r"callbacks\[1\]=.*Writing.* cannot be stored \(cannot pickle"):
                way(model)
        stored = pickle.dumps(model.set_params(callbacks=None))
        np.testing.assert_array_equal(pickle.loads(stored).reconstruct(rows), model.reconstruct(rows))


def _error(model, X, y=None):
    return -model.reconstruction_error(X).mean()


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("estimator", [AutoencoderTransformer, AutoencoderOutlierDetector])
class TestFreezing:
    """Frozen weights stay, whatever the solver does with weights (decay, momentum), and may be set free again."""

    @pytest.fixture
    def fitted(self, estimator, solver, rows):
        def fit(n_epochs, *callbacks, **choices):
            plain = {"alpha": 0.1, "learning_rate": "constant", "learning_rate_init": 0.01}
            model = estimator(2, solver=solver, max_iter=n_epochs, batch_size=50, random_state=0, **(plain | choices))
            return model.set_params(callbacks=list(callbacks), **without_validation(model)).fit(rows)

        return fit

    # backpropagation that is written out, and autograd's
    NETWORKS = pytest.mark.parametrize("choice", [{}, {"network": Dense(dropout=0.1)}, {"network": "convolutional"}])

    @NETWORKS
    def test_freezer(self, choice, fitted):
        start = self._weights(fitted(1, skorch.callbacks.Freezer("*"), **choice))  # nothing moves at all
        for n_epochs in (1, 3):
            found = self._weights(fitted(n_epochs, skorch.callbacks.Freezer(["encoder*", "*biases*"]), **choice))
            for name, weight in found.items():
                assert torch.equal(weight, start[name]) == (name.startswith("encoder") or "biases" in name), name

    def test_freezer_in_a_later_epoch(self, fitted):
        two = self._weights(fitted(2))
        four = self._weights(fitted(4, skorch.callbacks.Freezer("encoder*", at=3)))
        for name, weight in four.items():
            assert torch.equal(weight, two[name]) == name.startswith("encoder"), name

    @NETWORKS
    def test_unfreezer(self, choice, fitted):
        callbacks = skorch.callbacks.Freezer("encoder*"), skorch.callbacks.Unfreezer("encoder*", at=3)
        one, two, three = (self._weights(fitted(n, *callbacks, **choice)) for n in (1, 2, 3))
        for name in one:
            assert torch.equal(one[name], two[name]) == name.startswith("encoder"), name
            assert not torch.equal(two[name], three[name]), name

    def test_param_mapper(self, fitted):
        mapper = skorch.callbacks.ParamMapper("decoder_weights*", fn=_zero, at=2)
        mapped = fitted(2, mapper, skorch.callbacks.Freezer("decoder_weights*", at=2))
        for name, weight in self._weights(mapped).items():
            assert (not weight.any()) == name.startswith("decoder_weights"), name

    def test_stored_models_stay_frozen(self, fitted, estimator, rows, tmp_path):
        freezer, options = skorch.callbacks.Freezer("encoder*"), {"learning_rate": "cosine"}
        model = pickle.loads(pickle.dumps(fitted(2, freezer, warm_start=True)))
        before = self._weights(model)
        after = self._weights(model.fit(rows))
        assert {name for name in before if torch.equal(before[name], after[name])} == {
            name for name in before if name.startswith("encoder")
        }
        with pytest.raises(ZeroDivisionError):
            fitted(4, freezer, Dying(3), checkpoint=tmp_path, **options)
        resumed, whole = fitted(4, freezer, checkpoint=tmp_path, **options), fitted(4, freezer, **options)
        assert all(torch.equal(w, self._weights(whole)[name]) for name, w in self._weights(resumed).items())

    def _weights(self, model):
        return {name: weight.detach().clone() for name, weight in model.net_.module_.named_parameters()}


def _zero(parameter):
    parameter.data.zero_()


class Dying(skorch.callbacks.Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise ZeroDivisionError


def test_clone_keeps_all_else(model):
    model.set_params(callbacks=[Silent(), ("own", Counter)]).set_output(transform="pandas").fit(np.eye(5))
    cloned = clone(model)
    assert {n: v for n, v in cloned.get_params(deep=False).items() if n != "callbacks"} == {
        n: v for n, v in model.get_params(deep=False).items() if n != "callbacks"
    }
    assert cloned.callbacks[1] == ("own", Counter)
    assert cloned._sklearn_output_config == {"transform": "pandas"}
    assert not hasattr(cloned, "net_")
    for odd in ("EarlyStopping", None, [], 3):  # refused by fit only
        assert clone(model.set_params(callbacks=odd)).callbacks == odd


def test_callbacks_of_a_function_are_stored_where_they_can_be(model, rows):
    class Local(skorch.callbacks.Callback):
        pass

    fitted = model.set_params(callbacks=[Local()]).fit(rows)
    np.testing.assert_array_equal(copy.deepcopy(fitted).transform(rows), fitted.transform(rows))


class TestParametersOfCallbacks:
    """As ``callbacks__<name>__<parameter>``, with the names that skorch gives."""

    @pytest.fixture
    def model(self, model):
        schedule = skorch.callbacks.LRScheduler("StepLR", step_size=1, gamma=0.1)
        clip = skorch.callbacks.GradientNormClipping
        return model.set_params(callbacks=[("lr", schedule), clip(1.0), Silent(), clip], learning_rate="constant")

    def test_names_are_those_of_skorch(self, model, rows):
        fitted = model.fit(rows)
        names = {name.split("__")[1] for name in fitted.get_params() if name.startswith("callbacks__")}
        assert names == {"lr", "GradientNormClipping_1"}  # a class has no parameters yet, Silent has none at all
        assert names | {"GradientNormClipping_2", "Silent"} <= dict(fitted.net_.callbacks_).keys()
        assert fitted.get_params()["callbacks__lr__gamma"] == 0.1
        assert not any(name.startswith("callbacks__") for name in fitted.get_params(deep=False))

    def test_set_params(self, model, rows):
        before = model.callbacks
        changed = model.set_params(callbacks__lr__gamma=0.5, callbacks__GradientNormClipping_1__gradient_clip_value=2.0)
        changed.set_params(callbacks__GradientNormClipping_2__gradient_clip_value=3.0, max_iter=2)
        assert before[3] is skorch.callbacks.GradientNormClipping  # the user's list stays
        fitted = changed.fit(rows)
        clips = [c for _, c in fitted.net_.callbacks_ if isinstance(c, skorch.callbacks.GradientNormClipping)]
        assert [clip.gradient_clip_value for clip in clips] == [2.0, 3.0]
        np.testing.assert_allclose(fitted.net_.history[:, "event_lr"], [5e-3, 2.5e-3])

    def test_set_with_the_callbacks(self, model):
        model.set_params(callbacks__Writing__step=5, callbacks=[Writing({})])
        assert model.callbacks[0].step == 5

    @pytest.mark.parametrize("n_jobs", [None, 2])
    def test_search(self, n_jobs, model, rows):
        model.set_params(callbacks=model.callbacks[:2])  # workers import what they are sent
        search = GridSearchCV(model, {"callbacks__lr__gamma": [0.1, 1.0]}, cv=2, n_jobs=n_jobs).fit(rows)
        assert search.best_params_ == {"callbacks__lr__gamma": 1.0}
        np.testing.assert_allclose(search.best_estimator_.net_.history[:, "event_lr"], 5e-3)
        assert model.callbacks[0][1].gamma == 0.1  # that of the user stays

    @pytest.mark.parametrize("name", ["callbacks__schedule__gamma", "callbacks__lr", "callbacks__LRScheduler__gamma"])
    def test_wrong_name(self, name, model):
        choices = r"\['GradientNormClipping_1', 'GradientNormClipping_2', 'Silent', 'lr'\]"
        message = rf"{name}=0.5 is not a parameter of a callback; write callbacks__<name>__<parameter> .* {choices}"
        with pytest.raises(ValueError, match=message):
            model.set_params(**{name: 0.5})

    def test_wrong_parameter(self, model):
        with pytest.raises(ValueError, match=r"Invalid parameter 'rate'.*Valid parameters are: \['policy'"):
            model.set_params(callbacks__lr__rate=0.5)

    def test_without_callbacks(self):
        with pytest.raises(ValueError, match=r"callbacks__lr__gamma=0.5 .* with a name among \[\]"):
            AutoencoderTransformer().set_params(callbacks__lr__gamma=0.5)


@pytest.fixture
def ctrl_c():
    """Let Ctrl-C raise, also in a shell's background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Interrupting(Gaussian):
    """Raise as Ctrl-C does, in the midst of training."""

    calls = 0

    def __call__(self, rows, generator):
        type(self).calls += 1
        if type(self).calls == 3:
            signal.raise_signal(signal.SIGINT)
        return super().__call__(rows, generator)


@pytest.mark.usefixtures("ctrl_c")
def test_interrupt_is_raised_again_and_leaves_a_usable_model(monkeypatch, rows):
    monkeypatch.setattr(Interrupting, "calls", 0)
    model = AutoencoderTransformer(2, max_iter=50, corruption=Interrupting(), random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(rows)
    assert len(model.loss_curve_) == 2
    assert np.isfinite(model.transform(rows)).all()


@pytest.mark.usefixtures("ctrl_c")
def test_interrupt_restores_the_best_weights(monkeypatch, rows):
    class RisingOnes(skorch.callbacks.Callback):
        """Make the third epoch the worst, then interrupt in the fourth."""

        def on_epoch_begin(self, net, **kwargs):
            net.lr = 10.0 if len(net.history) > 2 else 1e-3

    monkeypatch.setattr(Interrupting, "calls", -1)
    model = AutoencoderTransformer(2, max_iter=50, early_stopping=True, corruption=Interrupting(1e-9), random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(callbacks=[RisingOnes()], learning_rate="cosine", precision="float64").fit(rows, X_val=rows)
    curve = model.validation_loss_curve_
    assert len(curve) == 3
    assert curve[2] > curve[1]
    scaled = (model.reconstruct(rows) - rows) / rows.std(axis=0)
    assert (scaled**2).mean() == pytest.approx(min(curve))


class Pressed(skorch.callbacks.Callback):
    """Be hit by Ctrl-C inside a hook, in the second epoch."""

    def __init__(self, hook):
        self.hook = hook

    def on_epoch_begin(self, net, **kwargs):
        if self.hook == "on_epoch_begin" and len(net.history) == 2:
            signal.raise_signal(signal.SIGINT)

    def on_epoch_end(self, net, **kwargs):
        if self.hook == "on_epoch_end" and len(net.history) == 2:
            signal.raise_signal(signal.SIGINT)

    def on_batch_end(self, net, **kwargs):
        if self.hook == "on_batch_end" and len(net.history) == 2:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", "on_batch_end"])
@pytest.mark.usefixtures("ctrl_c")
def test_interrupt_inside_a_callback_is_raised_again(hook, rows):
    model = AutoencoderTransformer(2, max_iter=50, callbacks=[Pressed(hook)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(rows)
    assert np.isfinite(model.transform(rows)).all()


def test_callback_may_stop_training(rows):
    class Enough(skorch.callbacks.Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise KeyboardInterrupt

    assert AutoencoderTransformer(2, max_iter=50, callbacks=[Enough()]).fit(rows).n_iter_ == 2


def test_error_in_a_callback_reaches_the_user(model, rows):
    class Broken(skorch.callbacks.Callback):
        def on_epoch_end(self, net, **kwargs):
            raise ZeroDivisionError("the callback's own")

    with pytest.raises(ZeroDivisionError, match="the callback's own"):
        model.set_params(callbacks=[Broken()]).fit(rows)
