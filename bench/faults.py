"""Kill commands at random moments (-9), run them again to their end, and compare with undisturbed runs.

    python bench/faults.py [--kills 1000] [--commands index,mine,mine-chat,pretrain,train,adds] [--chat-calls 2000]
                           [--seed 0] [--folder DIR]

The kills are spread evenly over the commands. A command is begun in an empty folder, killed at a random moment, begun
again there, killed again as often as chance decides, and then run to its end. Its output is compared with that of an
undisturbed run, and the next round begins. `adds` is `triptych serve`, killed while pictures are sent to it: what it
acknowledged must be in the catalog. `mine-chat` asks a server on this machine; no call whose reply is in the ledger may
be made again. With --chat-calls, as many calls are made to a server that fails 30 % of the time.

Inputs are tiny and commits frequent, so that a kill costs a second or two. Each run is a process of its own, forked
from one that has the libraries loaded. One core is used; the commands can be divided between two such runs. Exits with
1 if anything differs, is lost, or is paid for twice.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before the libraries: a process with threads does not fork well
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import hostile
from kills.processes import load_libraries
from kills.rounds import COMMANDS, HEADER, kill_commands


def main() -> int:
    """Print the table; return 1 if something is wrong."""
    parser = argparse.ArgumentParser(description="Kill commands at random moments and compare what comes of them.")
    parser.add_argument("--kills", type=int, default=1000, help="over all commands")
    parser.add_argument("--commands", default=",".join(COMMANDS))
    parser.add_argument("--chat-calls", type=int, default=0, help="calls to a server that fails 30 %% of the time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    given = parser.parse_args()
    commands = [name for name in given.commands.split(",") if name]
    if unknown := [name for name in commands if name not in COMMANDS]:
        parser.error(f"--commands: {', '.join(unknown)}; there are {', '.join(COMMANDS)}")
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        if commands and given.kills:
            load_libraries(training=bool({"pretrain", "train"} & set(commands)))
            print(HEADER, flush=True)
            counts = kill_commands(folder / "kills", commands, given.kills, given.seed)
            wrong += sum(count.wrong for count in counts)
            print(f"{sum(count.kills for count in counts)} kills, {wrong} rounds wrong", flush=True)
        if given.chat_calls:
            (folder / "chat").mkdir(parents=True)
            calls = hostile.measure(folder / "chat", -(-given.chat_calls // 3), killing=False)
            print("\n".join(calls.lines()), flush=True)
            wrong += calls.wrong
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
