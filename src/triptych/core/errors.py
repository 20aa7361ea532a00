"""What can go wrong, as one tree.

TriptychError            anything that ends a command with one clear line
├── UsageError           wrong arguments or options                   (exit code 2)
└── FailureError         right arguments, but the work failed         (exit code 1)
    ├── BusyError        another run works in the same folder
    ├── StoreError       the store of vectors does not answer
    ├── PictureError     one picture cannot be used
    ├── MismatchError    two artefacts do not belong together
    └── DataError        a file or folder does not hold what it should
        └── CatalogError that of a catalog: it is gone or damaged

Every message says what, where and what to do.
"""


class TriptychError(Exception):
    """The base of all errors of this package. Commands show its message as one line, without a traceback."""

    exit_code = 1


class UsageError(TriptychError):
    """Wrong arguments or options. Commands end with exit code 2."""

    exit_code = 2


class FailureError(TriptychError):
    """The arguments were right, but the work could not be done. Commands end with exit code 1."""


class BusyError(FailureError):
    """Another run works in the same folder."""


class StoreError(FailureError):
    """The store of vectors, such as a database, does not answer."""


class PictureError(FailureError):
    """One picture cannot be used. The message is the reason, without the picture's path."""


class MismatchError(FailureError):
    """Two artefacts do not belong together, such as a catalog and an encoder."""


class DataError(FailureError):
    """A file or folder does not hold what it should."""


class CatalogError(DataError):
    """A catalog is missing or damaged."""
