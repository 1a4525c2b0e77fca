import subprocess
import sys

import numpy as np
import pytest

from sk_autoencoder import (
    InterpolationDisplay,
    LatentDisplay,
    LatentGridDisplay,
    LossCurveDisplay,
    ReconstructionDisplay,
    TraversalDisplay,
)

DISPLAYS = {
    "LossCurveDisplay": LossCurveDisplay([1.0]),
    "LatentDisplay": LatentDisplay(np.zeros((2, 2))),
    "LatentGridDisplay": LatentGridDisplay(np.zeros((4, 3)), [0, 1], [0, 1]),
    "TraversalDisplay": TraversalDisplay(np.zeros((1, 2, 3)), [0, 1]),
    "InterpolationDisplay": InterpolationDisplay(np.zeros((1, 2, 3))),
    "ReconstructionDisplay": ReconstructionDisplay(np.zeros((2, 4)), np.zeros((2, 4))),
}


@pytest.mark.parametrize("name", DISPLAYS)
def test_without_matplotlib_the_error_says_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=f"{name} needs matplotlib; install it with: pip install matplotlib"):
        DISPLAYS[name].plot()


def test_importing_the_package_does_not_import_matplotlib():
    code = "import sys, sk_autoencoder.displays; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
