"""Memory: rows on a disk stay there."""

import subprocess
import sys

import numpy as np
import pytest

# Runs in a process of its own, whose private memory may grow by 200 MB after a small warm-up fit.
_SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
from sk_autoencoder import AutoencoderTransformer

model = AutoencoderTransformer(2, hidden_layer_sizes=(16,), batch_size=1024, max_iter=1, device="cpu", random_state=0)
model.fit(np.ones((100, 1000), dtype=np.float32))
status = Path("/proc/self/status").read_text(encoding="ascii")
used = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData"))
limit = (used << 10) + (200 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

X = np.load(sys.argv[1], mmap_mode="r")
codes = model.fit(X).transform(X)
assert codes.shape == (100_000, 2) and np.isfinite(codes).all()
try:
    np.array(X)
except MemoryError:
    print("no room for a copy")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit a process's data")
def test_memory_map_larger_than_memory(tmp_path):
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (100_000, 1000))  # 400 MB, mostly a hole
    X[::5000] = np.random.default_rng(0).normal(size=X[::5000].shape)
    X.flush()
    command = [sys.executable, "-c", _SCRIPT, str(tmp_path / "X.npy")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "no room for a copy\n"


# Windows of 64 steps of 100,000 x 10 are 512 MB. The private memory may grow by 200 MB, most of which is for training.
_SERIES = """
import resource
from pathlib import Path
import numpy as np
from sk_autoencoder import AutoencoderOutlierDetector, TimeSeriesOutlierDetector

quick = AutoencoderOutlierDetector(
    2, hidden_layer_sizes=(16,), max_iter=1, n_estimators=2, outlier_score="reconstruction", device="cpu"
)
detector = TimeSeriesOutlierDetector(quick, window_size=64, max_samples=5000, random_state=0)
X = np.random.default_rng(0).normal(size=(100_000, 10))
detector.fit(X[:2000])
status = Path("/proc/self/status").read_text(encoding="ascii")
used = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData"))
limit = (used << 10) + (200 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

scores = detector.fit(X).score_samples(X)
assert np.isfinite(scores).all()
try:
    np.lib.stride_tricks.sliding_window_view(X, 64, axis=0).copy()
except MemoryError:
    print("no room for the windows")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit a process's data")
def test_windows_larger_than_memory():
    run = subprocess.run([sys.executable, "-c", _SERIES], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "no room for the windows\n"
