"""skorch callbacks of the user, and interrupts."""

import signal

import numpy as np
import pytest
import skorch.callbacks
from sklearn.base import clone

from sk_autoencoder import AutoencoderOutlierDetector, AutoencoderTransformer, Gaussian


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
        self.sizes_ += [len(batch[0])] if training else []

    def on_batch_end(self, net, batch=None, training=None, loss=None, y_pred=None, **kwargs):
        assert y_pred.shape == batch[1].shape
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

    still = model.set_params(callbacks=[Stopped()], shuffle=False, learning_rate="constant", alpha=0.0)
    curve = still.fit(rows).loss_curve_
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
    with pytest.warns(UserWarning, match=f"hold LRScheduler, .*; learning_rate='{schedule}' is not followed") as caught:
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
    model = AutoencoderTransformer(2, callbacks=[Frozen()], max_iter=6, precision="float64", random_state=0)
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
    model = AutoencoderTransformer(2, max_iter=2, tol=1e-9, callbacks=[callback])
    with pytest.warns(match="before the train loss had ceased to fall"):
        model.fit(rows)


def test_named_callback(model, rows):
    assert isinstance(dict(model.set_params(callbacks=[("own", Counter())]).fit(rows).net_.callbacks_)["own"], Counter)


@pytest.mark.parametrize("other", ["LRScheduler", 3, Gaussian, ("name", None)])
def test_what_is_no_callback_is_refused_before_training(other, model, rows):
    with pytest.raises(ValueError, match=r"callbacks\[1\]=.* is no skorch callback; write for example callbacks=\["):
        model.set_params(callbacks=[Counter(), other]).fit(rows)
    assert not hasattr(model, "net_")


def test_callback_given_as_a_class(model, rows):
    assert _found(model.set_params(callbacks=[Counter]).fit(rows), Counter).calls_["epoch"] == 4


def test_no_callback_of_two_fits_is_shared(model, rows):
    model.set_params(callbacks=[Counter()])
    first = _found(model.fit(rows), Counter)
    assert _found(model.fit(rows), Counter) is not first
    assert first.calls_["epoch"] == 4


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
