"""Run a command and append its wall time, processor time and peak memory to a JSON Lines file.

python bench/measure.py stages.jsonl NAME COMMAND…
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    log, name, *command = sys.argv[1:]
    started = time.monotonic()
    code = subprocess.run(command, check=False).returncode
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code:
        sys.exit(code)
    record = {
        "stage": name,
        "command": " ".join(command),
        "wall_s": round(time.monotonic() - started, 1),
        "processor_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": round(usage.ru_maxrss / 1024),
    }
    with Path(log).open("a", encoding="utf-8") as out:
        out.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
