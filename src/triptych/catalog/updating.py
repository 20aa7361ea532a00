"""`update`: refresh the metadata of a catalog's pictures from a CSV; vectors are unchanged."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triptych.catalog.catalog import Catalog
from triptych.catalog.metadata import metadata_of
from triptych.catalog.options import UpdateOptions
from triptych.catalog.tables import read_table
from triptych.core.files import locked


@dataclass(frozen=True)
class UpdateResult:
    """The result of `update`."""

    total: int
    """Pictures in the catalog."""
    updated: tuple[str, ...]
    """The columns of the CSV."""
    kept: tuple[str, ...]
    """The other columns, which are unchanged."""
    metadata: Mapping[str, int]
    """How many pictures have a row, how many have none, and which rows were left out."""


def update(catalog: Path | str, metadata: Path | str, options: UpdateOptions = UpdateOptions()) -> UpdateResult:
    """Update the metadata of a catalog from a CSV, such as prices and stock. Nothing is encoded.

    A picture with a row gets all values of that row, including empty ones. Columns that the CSV lacks are kept, and so
    are all metadata of pictures without a row. A running service uses the new values within seconds.

    Args:
        catalog: its folder, made by `index`.
        metadata: a CSV as for `index`: a column names the picture, by path, by file name, or by file name without
            suffix.
        options: which column names the picture, and the types of the others.

    Returns:
        Counts of pictures and columns.

    Raises:
        DataError: there is no catalog, the CSV cannot be read, or none of its rows names a picture.
        BusyError: another run is writing to the catalog.
    """
    folder, table = Path(catalog), read_table(Path(metadata), options.name_column, options.types)
    Catalog(folder)  # before a lock would make the folder
    with locked(folder):
        opened = Catalog(folder)
        before = opened.metadata
        columns, counts = metadata_of(table, opened.names, root=opened.root, before=before)
        given = [name for place, name in enumerate(table.columns.column_names) if place != table.key]
        kept = [name for name in before.column_names if name != "name" and name not in given]
        for name in kept:
            if name in columns.column_names:
                columns = columns.set_column(columns.column_names.index(name), name, before.column(name))
            else:
                columns = columns.append_column(name, before.column(name))
        opened.keep_metadata(columns)
    return UpdateResult(len(opened.names), tuple(given), tuple(kept), counts)
