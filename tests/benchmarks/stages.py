"""``make stages``: the CPU time of each stage of a row's way, over the program's own functions.

    make stages ARGS="--rows 20000 --batch 500 --json FILE"

CPU microseconds a row, the least of several runs, in one process and one thread. Stages that contain others
(*what* says so) make the sum of all larger than a row's way; the last line is what an embedded import takes a
row in all, its start-up left out.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from pathlib import Path

from tests.benchmarks.rig import EMBEDDED, Rig
from tests.benchmarks.server import Case
from tests.benchmarks.stage_calls import Stage, Way


def measured(stage: Stage, rows: int, runs: int) -> float:
    """Return the least CPU microseconds a row of several runs, what they need being made before each."""
    taken = []
    for _ in range(runs):
        given = stage.prepare()
        gc.collect()
        began = time.process_time()
        stage.work(given)
        taken.append(time.process_time() - began)
    return min(taken) * 1e6 / rows


def whole(rig: Rig, rows: int, batch: int) -> float:
    """Return the CPU microseconds that each further row costs an embedded import."""
    options = ["--batch-size", str(batch)]
    small, large = (rig.measure(EMBEDDED, rig.roster(n), Case(), *options) for n in (rows, 3 * rows))
    return (large.cpu - small.cpu) * 1e6 / (2 * rows)


def main() -> None:
    """Print a line for each stage."""
    parser = argparse.ArgumentParser(prog="make stages", description="The CPU time of each stage.")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write them to this file, too")
    given = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="siproster-stages-") as folder:
        rig = Rig(Path(folder))
        way = Way(Path(folder), rig.roster(given.rows), given.batch, rig.service.url)
        try:
            print(f"CPU \u00b5s a row, {given.rows:,} rows, batches of {given.batch}")
            for stage in way.stages():
                figures[stage.name] = measured(stage, given.rows, given.runs)
                print(f"{stage.name:<12} {figures[stage.name]:7.2f}   {stage.what}", flush=True)
            figures["import"] = whole(rig, given.rows, given.batch)
            print(f"{'import':<12} {figures['import']:7.2f}   an embedded import, without its start-up")
        finally:
            way.close()
            rig.close()
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
