import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color
from sklearn.decomposition import PCA

from sk_autoencoder import ReconstructionDisplay
from sk_autoencoder.displays.style import DATA, LEARNT, OUTLIER, REFERENCE


def test_pictures_show_rows_above_their_reconstruction(fitted, digits, drawn):
    X, _ = digits
    display = ReconstructionDisplay.from_estimator(fitted[5], X, image_shape=(8, 8), n_samples=6)
    assert display.axes_.shape == (2, 6)
    shown = display.axes_[1, 3].images[0].get_array()
    np.testing.assert_allclose(shown, fitted[5].reconstruct(X[:6])[3].reshape(8, 8))
    assert [row[0].get_ylabel() for row in display.axes_] == ["input", "reconstruction"]
    assert {cell.images[0].get_interpolation() for cell in display.axes_.ravel()} == {"nearest"}
    drawn(display.figure_)


def test_a_target_is_a_third_row_and_sets_the_range(fitted, digits, drawn):
    X, _ = digits
    noisy = X + np.random.default_rng(0).normal(scale=9, size=X.shape)
    names = ("noisy", "cleaned", "clean")
    display = ReconstructionDisplay.from_estimator(fitted[5], noisy, target=X, image_shape=(1, 8, 8), names=names)
    assert display.axes_.shape == (3, 8)
    assert tuple(row[0].get_ylabel() for row in display.axes_) == names
    assert {cell.images[0].get_clim() for cell in display.axes_.ravel()} == {(0.0, 16.0)}
    drawn(display.figure_)


def test_colours_are_read_channel_by_channel(drawn):
    rows = np.random.default_rng(0).random((2, 3 * 4 * 5)) * 200 - 100
    rows[0] = np.arange(60) / 59 * 200 - 100
    display = ReconstructionDisplay(rows, rows * 2, image_shape=(3, 4, 5)).plot()
    picture = display.axes_[0, 0].images[0].get_array()
    assert picture.shape == (4, 5, 3)
    expected = (rows[0].reshape(3, 4, 5)[:, 1, 2] + 100) / 200  # matplotlib takes colours from 0 to 1
    np.testing.assert_allclose(picture[1, 2], expected, atol=1e-12)
    assert display.axes_[1, 0].images[0].get_array().max() <= 1
    drawn(display.figure_)


def test_constant_pictures_can_be_drawn(drawn):
    display = ReconstructionDisplay(np.zeros((2, 12)), np.ones((2, 12)), image_shape=(3, 2, 2)).plot()
    display.figure_.canvas.draw()


def test_lines_show_one_panel_a_row_with_its_error(fitted, digits, drawn):
    X, _ = digits
    display = ReconstructionDisplay.from_estimator(fitted[5], X, target=X * 2, n_samples=6)
    assert display.axes_.shape == (6,)
    assert [len(cell.lines) for cell in display.axes_] == [3] * 6
    np.testing.assert_array_equal(display.axes_[2].lines[0].get_ydata(), X[2])
    error = np.sqrt(np.mean((fitted[5].reconstruct(X[:6])[2] - 2 * X[2]) ** 2))
    assert display.axes_[2].get_title() == f"error {error:.3g}"
    assert len(display.figure_.legends) == 1
    drawn(display.figure_)


def test_lines_are_laid_out_to_be_compared():
    rows = np.arange(1.0, 7)[:, None] * np.arange(5)
    display = ReconstructionDisplay(rows, rows / 2, target=rows).plot()
    cells = display.axes_
    assert cells[0].get_gridspec().get_geometry() == (2, 4)
    assert len(display.figure_.axes) == 6  # no empty panels
    assert len({cell.get_ylim() for cell in cells}) == 1
    assert [cell.get_xlabel() for cell in cells] == ["", "", *["Feature"] * 4]  # below the lowest of each column
    for line, colour in zip(cells[0].lines, (DATA, LEARNT, REFERENCE), strict=True):
        assert same_color(line.get_color(), colour)
        assert line.get_marker() == "."
    assert len({DATA, LEARNT, REFERENCE, OUTLIER}) == 4
    assert not cells[0].spines["top"].get_visible()
    assert ReconstructionDisplay(np.eye(64), np.eye(64)).plot().axes_[0].lines[0].get_marker() == "None"


def test_any_transformer_with_an_inverse_can_be_drawn(digits):
    X, _ = digits
    pca = PCA(2).fit(X)
    display = ReconstructionDisplay.from_estimator(pca, X, n_samples=1)
    np.testing.assert_allclose(display.axes_[0].lines[1].get_ydata(), pca.inverse_transform(pca.transform(X[:1]))[0])


@pytest.mark.parametrize(("image_shape", "error"), [(None, ": error 0"), ((8, 8), "")])
def test_samples_of_a_table_are_called_by_their_labels(digits, image_shape, error, drawn):
    table = pd.DataFrame(digits[0][:3], index=["a", 7, "c"])
    display = ReconstructionDisplay(table, table.to_numpy(), image_shape=image_shape).plot()
    titles = [cell.get_title() for cell in display.axes_.ravel()[:3]]
    assert titles == [f"{label}{error}" for label in ("sample 'a'", "sample 7", "sample 'c'")]
    drawn(display.figure_)


@pytest.mark.parametrize("image_shape", [None, (8, 8)])
def test_panels_fill_a_given_subplot(fitted, digits, image_shape, drawn):
    figure, (left, _) = plt.subplots(1, 2, layout="constrained")
    shape = {"image_shape": image_shape, "n_samples": 3}
    display = ReconstructionDisplay.from_estimator(fitted[5], digits[0], ax=left, **shape)
    assert display.bounding_ax_ is left
    assert not left.axison
    assert display.figure_ is figure
    drawn(figure)
    edges = [cell.get_position() for cell in display.axes_.ravel()]
    assert max(edge.x1 for edge in edges) < 0.55


def test_style_goes_to_matplotlib(digits):
    X, _ = digits
    pictures = ReconstructionDisplay(X[:2], X[:2], image_shape=(8, 8)).plot(cmap="gray_r", vmin=-1)
    assert pictures.axes_[0, 0].images[0].get_cmap().name == "gray_r"
    assert pictures.axes_[0, 0].images[0].get_clim()[0] == -1
    assert ReconstructionDisplay(X[:2], X[:2]).plot(linewidth=5).axes_[0].lines[0].get_linewidth() == 5


def test_what_cannot_be_drawn_is_named(digits):
    X, _ = digits
    for width, n_values in ((7, 56), (9, 72)):
        with pytest.raises(ValueError, match=rf"\(8, {width}\) holds {n_values} values, but samples have 64"):
            ReconstructionDisplay(X, X, image_shape=(8, width)).plot()
    with pytest.raises(ValueError, match="X holds infinity"):
        ReconstructionDisplay([[np.inf]], [[1.0]]).plot()
    for wrong in [(64,), (2, 4, 8), (1, 1, 8, 8), (0, 8)]:
        with pytest.raises(ValueError, match="must be \\(height, width\\)"):
            ReconstructionDisplay(X, X, image_shape=wrong).plot()
    with pytest.raises(ValueError, match=r"The reconstruction has shape \(300, 63\)"):
        ReconstructionDisplay(X, X[:, 1:]).plot()
    with pytest.raises(ValueError, match="The target has shape"):
        ReconstructionDisplay(X, X, target=X[:1]).plot()
    with pytest.raises(ValueError, match="X must be 2-D"):
        ReconstructionDisplay(X[0], X[0]).plot()
    with pytest.raises(ValueError, match="no samples"):
        ReconstructionDisplay(X[:0], X[:0]).plot()
    figure = plt.figure()
    with pytest.raises(ValueError, match="must be a subplot"):
        ReconstructionDisplay(X, X).plot(ax=figure.add_axes((0, 0, 1, 1)))
