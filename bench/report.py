"""Samples by arm and measure, and how they are shown: JSON for machines, Markdown for people."""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
from collections import defaultdict
from pathlib import Path


class Samples:
    """Milliseconds by (measure, arm), in the order they were taken."""

    def __init__(self) -> None:
        self.taken: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.load_before = os.getloadavg()[0]

    def add(self, measure: str, arm: str, seconds: float) -> None:
        """Keep one sample."""
        self.taken[measure][arm].append(seconds * 1000)

    def median(self, measure: str, arm: str) -> float:
        """Return the median of one arm, in ms."""
        return statistics.median(self.taken[measure][arm])

    def ratio(self, measure: str, arm: str, base: str) -> tuple[float, float, float]:
        """Return the ratio of two medians with its bootstrap 95 % interval."""
        ours, other = self.taken[measure][arm], self.taken[measure][base]
        draw = random.Random(1)
        ratios = sorted(
            statistics.median(draw.choices(ours, k=len(ours)))
            / statistics.median(draw.choices(other, k=len(other)))
            for _ in range(2000)
        )
        return self.median(measure, arm) / self.median(measure, base), ratios[50], ratios[1949]

    def markdown(self) -> str:
        """Show every measure as a table row per arm."""
        lines = [
            f"{platform.machine()}, {os.cpu_count()} cores. Milliseconds.",
            f"Load {self.load_before:.1f} before and {os.getloadavg()[0]:.1f} after.",
            "",
            "| measure | arm | n | median | min | max |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for measure, arms in self.taken.items():
            for arm, values in arms.items():
                lines.append(
                    f"| {measure} | {arm} | {len(values)} | {statistics.median(values):.1f} | "
                    f"{min(values):.1f} | {max(values):.1f} |"
                )
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """Write all samples as JSON."""
        path.write_text(json.dumps(self.taken, indent=1))
