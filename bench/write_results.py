"""Write measured tables into docs/results.md, between the two markers of a section.

python bench/write_results.py docs/results.md SECTION stages.jsonl results.json…
python bench/write_results.py --print results.json…

The second form only prints the tables of the results.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

from triptych.evaluation.results.reading import group_runs, read_rows
from triptych.evaluation.results.row import ResultRow

METRICS = ("R@1", "R@5", "R@10", "R@50", "mAP@10")


def main() -> None:
    if sys.argv[1] == "--print":
        print(tables([row for file in sys.argv[2:] for row in read_rows(Path(file))]))
        return
    page, section, log, *results = (sys.argv[1], sys.argv[2], *map(Path, sys.argv[3:]))
    rows = [row for file in results for row in read_rows(file)]
    stages = [json.loads(text) for text in log.read_text(encoding="utf-8").splitlines()]
    put(Path(page), section, f"{tables(rows)}\n{stage_table(stages)}")


def put(page: Path, section: str, text: str) -> None:
    """Set the text between the section's markers."""
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    head, rest = page.read_text(encoding="utf-8").split(begin)
    tail = rest.split(end)[1]
    page.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


def tables(rows: list[ResultRow]) -> str:
    """One table a task; rows of the same method (other seeds) become mean ± standard deviation."""
    by_task: dict[str, list[ResultRow]] = defaultdict(list)
    for row in rows:
        by_task[row.task].append(row)
    parts = []
    for task, every in by_task.items():
        asked, shown = (span([getattr(row, field) for row in every]) for field in ("queries", "gallery"))
        parts.append(f"**{task}**, {every[0].split} split, {asked} queries, {shown} pictures\n")
        choice = "weight, prompt" if any(row.prompt is not None for row in every) else "weight"
        parts.append(f"| method | {choice} | " + " | ".join(METRICS) + " |\n|---|--:|" + "--:|" * len(METRICS))
        for line in group_runs(every):
            weight = span([row.weight for row in line.rows if row.weight is not None])
            prompts = sorted({f"`{row.prompt}`" for row in line.rows if row.prompt is not None})
            figures = [line.figure(metric) for metric in METRICS]
            cells = ["" if figure is None else figure.text() for figure in figures]
            parts.append(f"| {line.method} | {weight or ', '.join(prompts)} | " + " | ".join(cells) + " |")
        parts.append("")
    return "\n".join(parts)


def span(values: list[float]) -> str:
    """The one value, or the least and the greatest."""
    return " to ".join(str(value) for value in sorted({min(values), max(values)})) if values else ""


def stage_table(stages: list[dict]) -> str:
    """Time and memory of every stage."""
    table = ["| stage | wall, s | processor, s | peak memory, MiB |", "|---|--:|--:|--:|"]
    table += [f"| {s['stage']} | {s['wall_s']} | {s['processor_s']} | {s['peak_mib']} |" for s in stages]
    return "\n".join(table) + "\n"


if __name__ == "__main__":
    main()
