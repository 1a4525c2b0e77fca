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
