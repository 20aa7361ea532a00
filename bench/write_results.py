"""Write measured tables into docs/results.md, between the two markers of a section.

python bench/write_results.py docs/results.md SECTION stages.jsonl results.json…
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

METRICS = ("R@1", "R@5", "R@10", "R@50", "mAP@10")


def main() -> None:
    page, section, log, *results = (sys.argv[1], sys.argv[2], *map(Path, sys.argv[3:]))
    rows = [row for file in results for row in json.loads(file.read_text(encoding="utf-8"))["rows"]]
    stages = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    head, rest = Path(page).read_text(encoding="utf-8").split(begin)
    tail = rest.split(end)[1]
    text = f"{head}{begin}\n{tables(rows)}\n{stage_table(stages)}\n{end}{tail}"
    Path(page).write_text(text, encoding="utf-8")


def tables(rows: list[dict]) -> str:
    """One table a task; rows of the same method (other seeds) become mean ± standard deviation."""
    by_task: dict[str, dict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_task[row["task"]][row["method"]].append(row)
    parts = []
    for task, methods in by_task.items():
        every = [row for same in methods.values() for row in same]
        asked, shown = (span([row[field] for row in every]) for field in ("queries", "gallery"))
        parts.append(f"**{task}**, {every[0]['split']} split, {asked} queries, {shown} pictures\n")
        parts.append("| method | weight | " + " | ".join(METRICS) + " |\n|---|--:|" + "--:|" * len(METRICS))
        for method, same in methods.items():
            weight = span([row["weight"] for row in same if "weight" in row])
            cells = [figure([row["metrics"][metric] for row in same]) for metric in METRICS]
            parts.append(f"| {method} | {weight} | " + " | ".join(cells) + " |")
        parts.append("")
    return "\n".join(parts)


def span(values: list[float]) -> str:
    """The one value, or the least and the greatest."""
    return " to ".join(str(value) for value in sorted({min(values), max(values)})) if values else ""


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
