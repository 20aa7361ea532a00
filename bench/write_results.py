"""Write what `bench/fashion_products.sh` measured into docs/results.md, between the two markers.

python bench/write_results.py RUN docs/results.md
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

BEGIN, END = "<!-- fashion-products: begin -->", "<!-- fashion-products: end -->"
METRICS = ("R@1", "R@5", "R@10", "R@50", "mAP@10")


def main() -> None:
    run, page = Path(sys.argv[1]), Path(sys.argv[2])
    rows = json.loads((run / "results.json").read_text(encoding="utf-8"))["rows"]
    stages = [json.loads(line) for line in (run / "stages.jsonl").read_text(encoding="utf-8").splitlines()]
    text = page.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    page.write_text(f"{head}{BEGIN}\n{tables(rows)}\n{stage_table(stages)}\n{END}{tail}", encoding="utf-8")


def tables(rows: list[dict]) -> str:
    """One table a task; rows of the same method (other seeds) become mean ± standard deviation."""
    by_task: dict[str, dict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_task[row["task"]][row["method"]].append(row)
    parts = []
    for task, methods in by_task.items():
        first = next(iter(methods.values()))[0]
        parts.append(f"**{task}**, {first['split']} split, {first['queries']} queries, {first['gallery']} pictures\n")
        parts.append("| method | weight | " + " | ".join(METRICS) + " |\n|---|--:|" + "--:|" * len(METRICS))
        for method, same in methods.items():
            weight = same[0].get("weight", "")
            cells = [figure([row["metrics"][metric] for row in same]) for metric in METRICS]
            parts.append(f"| {method} | {weight} | " + " | ".join(cells) + " |")
        parts.append("")
    return "\n".join(parts)


def figure(values: list[float]) -> str:
    """A percentage, with its spread where there are several."""
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def stage_table(stages: list[dict]) -> str:
    """Time and memory of every stage."""
    lines = ["| stage | wall, s | processor, s | peak memory, MiB |", "|---|--:|--:|--:|"]
    lines += [f"| {s['stage']} | {s['wall_s']} | {s['processor_s']} | {s['peak_mib']} |" for s in stages]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
