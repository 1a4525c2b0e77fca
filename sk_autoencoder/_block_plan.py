"""How many samples are evaluated at once."""

from __future__ import annotations

from dataclasses import dataclass

from sk_autoencoder.blocks import BLOCK_ROWS

# Samples of a block. On the CPU the number of blocks changes no bit; other devices choose kernels by it, and always get
# the same number.
_BLOCK_ROWS = {"cpu": BLOCK_ROWS, "cuda": 4 * BLOCK_ROWS}
# Cells of a layer that exist at once, for all members together, and for a single network without a score (CPU).
_CELLS = {"cpu": 1 << 20, "cuda": 1 << 22}
_CELLS_NETWORK_ONLY, _ROWS_NETWORK_ONLY = 1 << 22, 1 << 15
_CELLS_IN_CACHE = 1 << 18  # of scaled samples
_FEWEST_COLUMNS = 128  # lower limit of the width, since scores compare samples with thousands of references


@dataclass
class BlockPlan:
    """Sizes in which arrays go through a network.

    An array is cut into parts of ``n_blocks`` blocks for each member. A block has ``block_rows`` samples; the last ones
    are padded. All sizes are powers of two, which keep two or four threads equally busy.

    Parameters
    ----------
    block_rows : int
        Samples of a block.
    n_blocks : int
        Blocks of a part.
    n_blocks_network_only : int
        Blocks of a part where only the network runs, without objective and references, and needs less memory.
    rows_scored : int
        Samples whose scores are computed at once, unless they are compared with references: then those of one part.
    rows_scaled : int
        Samples that each thread scales at once.
    """

    block_rows: int
    n_blocks: int
    n_blocks_network_only: int
    rows_scored: int
    rows_scaled: int

    @classmethod
    def of(cls, device: str, n_members: int, n_features: int, widest: int, batched: bool) -> BlockPlan:
        """Choose sizes for networks whose widest layer has so many units.

        ``batched`` says that all blocks of a single network are computed as one product.
        """
        block_rows = _BLOCK_ROWS.get(device, BLOCK_ROWS)
        cells, widest = _CELLS.get(device, _CELLS["cpu"]) // n_members, max(widest, _FEWEST_COLUMNS)
        n_blocks = _power_of_two(cells // (block_rows * widest))
        blocks_that_fit = min(_ROWS_NETWORK_ONLY, _CELLS_NETWORK_ONLY // widest) // (n_blocks * block_rows)
        return cls(
            block_rows=block_rows,
            n_blocks=n_blocks,
            n_blocks_network_only=n_blocks * (_power_of_two(blocks_that_fit) if batched and device == "cpu" else 1),
            rows_scored=max(block_rows, _power_of_two(cells // n_features)),
            rows_scaled=_power_of_two(_CELLS_IN_CACHE // n_features),
        )

    def blocks(self, network_only: bool) -> int:
        """Return the blocks of a part."""
        return self.n_blocks_network_only if network_only else self.n_blocks

    def rows(self, network_only: bool = False) -> int:
        """Return the samples of a part."""
        return self.blocks(network_only) * self.block_rows

    def halve(self) -> bool:
        """Let fewer samples at once onto the device, which is no CPU; return whether that was possible."""
        if self.n_blocks_network_only > 1:
            self.n_blocks = max(1, self.n_blocks // 2)
            self.n_blocks_network_only //= 2
        elif self.block_rows > 1:
            self.block_rows //= 2
        else:
            return False
        return True


def _power_of_two(most: int) -> int:
    """Return the largest power of two that is at most ``most``, and at least 1."""
    return 1 << max(0, most.bit_length() - 1)
