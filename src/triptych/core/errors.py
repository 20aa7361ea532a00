"""What can go wrong, as one tree.

TriptychError            anything that ends a command with one clear line
├── UsageError           what was asked for makes no sense            (exit code 2)
└── FailureError         it made sense, and could not be done         (exit code 1)
    ├── BusyError        another run is at work in the same folder
    ├── StoreError       where vectors are searched does not answer
    ├── PictureError     one picture cannot be used
    ├── MismatchError    two artefacts do not belong together
    └── DataError        a file or folder does not hold what it should
        └── CatalogError that of a catalog: it is gone or damaged

Every message says what, where and what to do.
"""


class TriptychError(Exception):
    """Shown to a user as one line, never as a traceback."""

    exit_code = 1


class UsageError(TriptychError):
    """What was asked for makes no sense."""

    exit_code = 2


class FailureError(TriptychError):
    """It made sense, and could not be done."""


class BusyError(FailureError):
    """Another run is at work in the same folder."""


class StoreError(FailureError):
    """Where vectors are searched does not answer."""


class PictureError(FailureError):
    """One picture cannot be used; the message is the reason, without its path."""


class MismatchError(FailureError):
    """Two artefacts do not belong together, such as a catalog and an encoder."""


class DataError(FailureError):
    """A file or folder does not hold what it should."""


class CatalogError(DataError):
    """A catalog is gone or damaged."""
