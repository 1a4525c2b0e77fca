import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import same_color
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from sk_autoencoder import AutoencoderTransformer, LossCurveDisplay
from sk_autoencoder.displays.style import LEARNT, REFERENCE


def test_it_reads_both_curves_and_marks_the_best_validation_epoch(fitted, drawn):
    model = fitted[2]
    display = LossCurveDisplay.from_estimator(model)
    assert [line.get_label() for line in display.lines_] == ["training", "validation"]
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), model.loss_curve_)
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), model.validation_loss_curve_)
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), [1, 2, 3])
    assert display.best_epoch == np.argmin(model.validation_loss_curve_) + 1
    assert display.figure_ is display.ax_.figure
    drawn(display.figure_)


def test_without_validation_rows_it_marks_the_best_training_epoch(digits):
    model = AutoencoderTransformer(2, hidden_layer_sizes=(8,), max_iter=2, random_state=0).fit(digits[0])
    display = LossCurveDisplay.from_estimator(model)
    assert len(display.lines_) == 1
    assert display.best_epoch == np.argmin(model.loss_curve_) + 1


def test_it_draws_on_given_axes_with_given_style():
    _, ax = plt.subplots()
    display = LossCurveDisplay([3.0, 2.0]).plot(ax=ax, color="red", linewidth=4)
    assert display.ax_ is ax
    assert display.lines_[0].get_color() == "red"
    assert display.lines_[0].get_linewidth() == 4


@pytest.mark.parametrize(
    ("losses", "scale"),
    [([5.0, 0.49], "log"), ([5.0, 0.51], "linear"), ([5.0, -1.0], "linear"), ([5.0, 0.0], "linear")],
)
def test_losses_over_a_wide_range_get_a_logarithmic_axis(losses, scale):
    assert LossCurveDisplay(losses).plot().ax_.get_yscale() == scale
    assert LossCurveDisplay(losses).plot(yscale="linear").ax_.get_yscale() == "linear"


def test_the_best_epoch_is_named_with_its_loss():
    display = LossCurveDisplay([3.0, 1.0, 2.0], best_epoch=2).plot()
    assert display.ax_.get_legend().get_texts()[1].get_text() == "best epoch: 2 (1)"
    assert display.ax_.lines[-1].get_xydata().tolist() == [[2, 1]]


def test_a_single_epoch_is_visible(drawn):
    display = LossCurveDisplay([1.0], [2.0], best_epoch=1).plot()
    assert display.lines_[0].get_marker() == "o"
    assert same_color(display.lines_[0].get_color(), LEARNT)
    assert same_color(display.lines_[1].get_color(), REFERENCE)
    drawn(display.figure_)


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(ValueError, match=r"loss_curve must be a 1-D .* \(0,\)"):
        LossCurveDisplay([]).plot()
    with pytest.raises(ValueError, match="validation_loss_curve must be a 1-D"):
        LossCurveDisplay([1.0], [[1.0]]).plot()
    for outside in (0, 3):
        with pytest.raises(ValueError, match=f"best_epoch={outside} lies outside the 2 epochs"):
            LossCurveDisplay([1.0, 2.0], best_epoch=outside).plot()
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(AutoencoderTransformer())
    with pytest.raises(ValueError, match="PCA has no loss_curve_"):
        LossCurveDisplay.from_estimator(PCA().fit(np.eye(3)))
