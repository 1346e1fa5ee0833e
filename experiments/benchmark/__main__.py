"""Times the geometry functions and a network against their named peers.

Command: pip install -e '.[bench]' && python experiments/benchmark
Hardware and time: one pinned CPU core, about three minutes. Processor time, medians of
paired rounds; a ratio above 1 means that ours is faster.
Expected: the table in README, section "Speed". Exits with 1 when a bar is missed.
"""

import sys
import warnings

import timing

timing.pin_to_one_core()

import jax  # noqa: E402
import torch  # noqa: E402
from network_rows import network_rows, warp_temporaries  # noqa: E402
from rows import ALL_ROWS  # noqa: E402

import volhuman.geometry.warp as warp  # noqa: E402

_TEMPORARIES = 20  # megabytes that the warp may take


def _vmap_against_loop() -> float:
    """Seconds of a vmapped warp of two examples over those of a loop over them."""
    from volume_rows import limbs

    masks, maps = limbs(64, 1.8)
    volume = jax.random.normal(jax.random.key(0), (64, 64, 64, 16))
    pair = [jax.numpy.stack([x, x]) for x in (volume, masks, maps)]
    batched, single = jax.jit(jax.vmap(warp.warp_parts)), jax.jit(warp.warp_parts)
    seconds, loop, _ = timing.compare(
        lambda: batched(*pair),
        lambda: jax.numpy.stack([single(*(x[i] for x in pair)) for i in range(2)]),
        finish=jax.block_until_ready,
    )
    return seconds / loop


def main() -> int:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    wanted = sys.argv[1:]
    missed = 0
    print(f"{'operation':48s} {'ours ms':>9s} {'peer ms':>9s} {'ratio':>7s}  bar")
    for make_rows in (*ALL_ROWS, network_rows):
        if wanted and make_rows.__name__.removesuffix("_rows") not in wanted:
            continue
        for row in make_rows():
            ours, peer, ratio = timing.compare(
                row.ours, row.peer, finish=jax.block_until_ready
            )
            held = row.bar is None or ratio >= row.bar
            missed += not held
            print(
                f"{row.name:48s} {ours * 1e3:9.2f} {peer * 1e3:9.2f} {ratio:7.2f}  "
                f">= {row.bar} {row.peer_name}{'' if held else '  MISSED'}",
                flush=True,
            )
    if not wanted or "warp" in wanted:
        print(
            f"warp of 2 examples, vmap over loop: {_vmap_against_loop():.2f} x the time"
        )
        for name, megabytes in warp_temporaries().items():
            missed += megabytes >= _TEMPORARIES
            print(
                f"{name}, 64^3 x 16, mask 1 %: {megabytes:.1f} MB of temporary buffers "
                f"< {_TEMPORARIES}"
            )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
