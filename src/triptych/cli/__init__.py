"""The command line: commands that call the public functions."""

import os
import sys
from io import TextIOWrapper

import typer
import typer.exceptions

# Importing a module adds its commands.
from triptych.cli import catalogs, demonstration, evaluation, mining, serving, sharing, training, triplets
from triptych.cli.app import app
from triptych.core.errors import TriptychError
from triptych.core.text import clean

__all__ = [
    "app",
    "catalogs",
    "demonstration",
    "evaluation",
    "main",
    "mining",
    "serving",
    "sharing",
    "training",
    "triplets",
]

_INTERRUPTED = 130  # the exit status that shells use: 128 plus the number of the signal


def _print_every_character() -> None:
    """Write UTF-8 to files and programs, and replace what a terminal cannot show. Windows' own encoding lacks most."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.encoding.lower() != "utf-8":
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")


def main() -> None:
    """Run the program. It ends with 0, 1 (failed), 2 (wrong usage) or 130 (interrupted), and never with a traceback."""
    _print_every_character()
    try:
        code = typer.main.get_command(app).main(prog_name="triptych", standalone_mode=False)
    except typer.exceptions.TyperException as error:
        message = error.format_message()
        if "\n" in message:  # the help, for a command without arguments
            print(message)
            sys.exit(error.exit_code)
        where = getattr(getattr(error, "ctx", None), "command_path", "triptych")
        code = _complain(f"{message.rstrip('.')}. See {where} --help.", error.exit_code)
    except TriptychError as error:
        code = _complain(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except BrokenPipeError:
        # The reader has gone, as in `triptych … | head`. This is not an error, and a message would have no reader.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        code = _complain(f"{error.filename or 'system'}: {error.strerror or error}", 1)
    except Exception as error:
        if os.environ.get("TRIPTYCH_DEBUG"):
            raise
        what = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        code = _complain(f"a bug in triptych ({what}); please report it with the output under TRIPTYCH_DEBUG=1", 1)
    if code == _INTERRUPTED:  # Typer may have turned the interrupt into this code itself
        _complain("interrupted; the same command goes on where it stopped", code)
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str, code: int) -> int:
    print(f"triptych: {clean(message)}", file=sys.stderr)
    return code
