"""A task with the vectors of its pictures, on which methods are measured."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych.benchmarks.pictures import Key, load_task_pictures, picture_key, require_folder
from triptych.benchmarks.task import Query, Task
from triptych.catalog.catalog import Catalog
from triptych.composers.patches import Patches, ReadsPatches, in_batches, reads_pixels
from triptych.composers.protocol import Composer, ReadsPictures, ScoresPictures
from triptych.core.cluster import HERE, Workers
from triptych.core.errors import DataError, PictureError, UsageError
from triptych.core.limits import DEFAULT_LIMITS, Limits
from triptych.core.progress import say
from triptych.core.remote import RemotePath
from triptych.core.vectors import Vectors, require_finite_rows, unit
from triptych.encoders.protocol import Encoder
from triptych.evaluation.answers import Answers, ScoreAnswers, VectorAnswers, excluding
from triptych.evaluation.encoding_elsewhere import encode_by_workers
from triptych.evaluation.joint import compose_jointly
from triptych.evaluation.results.row import ResultRow
from triptych.evaluation.rows import Ranks, by_aspect, by_family, digests, listed, percents, values
from triptych.metrics.measures import Values, per_query
from triptych.metrics.ranking import Rows, ranks_of_targets

_BATCH = 256


@dataclass(frozen=True)
class TaskRows:
    """Rows of the gallery for each query, ascending."""

    targets: list[Rows]
    single: list[Rows]
    """The single target for which the text was written; all targets if there is none."""
    groups: list[Rows]
    excluded: list[Rows]
    """The rows that are not ranked, including the reference unless the protocol ranks it."""
    candidates: list[Rows | None]
    """The candidates to rank; None for the whole gallery."""
    negatives: list[Rows]
    """Rows that are labelled as wrong."""

    @classmethod
    def of(cls, task: Task, queries: Sequence[Query], row_of: Mapping[str, int]) -> "TaskRows":
        """Look up the rows of `queries` in a gallery with row numbers `row_of`. Missing names are left out."""
        return cls(
            targets=[_rows(query.targets, row_of) for query in queries],
            single=[_rows({query.target} if query.target else query.targets, row_of) for query in queries],
            groups=[_rows(query.group, row_of) for query in queries],
            excluded=[_rows(_excluded(task, query), row_of) for query in queries],
            candidates=_candidates(queries, row_of),
            negatives=[_rows(query.negatives - _excluded(task, query), row_of) for query in queries],
        )


class EncodedTask:
    """A task with the vectors of its pictures.

    Pictures that cannot be read are left out and counted, and so are queries that need them. `encoded` holds vectors by
    picture. New vectors are added to it, so that tasks that share it encode each picture once. `workers` encode.

    Raises:
        DataError: no query is left.
    """

    def __init__(
        self,
        task: Task,
        encoder: Encoder,
        encoded: dict[Key, Any] | None = None,
        limits: Limits = DEFAULT_LIMITS,
        workers: Workers = HERE,
    ) -> None:
        require_folder(task)
        self.task = task
        self._encoder = encoder
        self._limits = limits
        vector_of = _picture_vectors(task, encoder, {} if encoded is None else encoded, limits, workers)
        self.gallery_names = [name for name in task.gallery if name in vector_of]
        row_of = {name: row for row, name in enumerate(self.gallery_names)}
        self.queries = [query for query in task.queries if _can_be_asked(query, vector_of, row_of)]
        self.unreadable = len(task.names) - len(vector_of)
        if not self.queries:
            raise DataError(
                f"{task.root}: none of the {len(task.queries)} queries of {task.name} has readable pictures"
            )
        if self.unreadable:
            lost = len(task.queries) - len(self.queries)
            say(f"{task.name}: {self.unreadable} pictures cannot be read; {lost} queries need them and are left out")
        self.gallery = np.stack([vector_of[name] for name in self.gallery_names])
        self.references = np.stack([_reference(query, vector_of) for query in self.queries])
        self._rows = TaskRows.of(task, self.queries, row_of)

    def compose(self, method: Composer) -> Vectors:
        """Compute the method's query vectors. If a query has several wordings, it is their mean."""
        return mean_vectors(self.compose_wordings(method))

    def compose_wordings(self, method: Composer) -> list[Vectors]:
        """Compute the method's query vectors for each set of wordings."""
        texts = [(query.modification, *query.other_wordings) for query in self.queries]
        changes = [query.change for query in self.queries]
        wordings = zip(*texts, strict=True)
        if isinstance(method, ReadsPictures):
            several = compose_jointly(self.task, self.queries, method, self._encoder, self._limits)
        elif reads_pixels(method):
            patches = self._patches(method)
            several = [method.compose(self.references, wording, changes, patches) for wording in wordings]
        else:
            several = [method.compose(self.references, wording, changes) for wording in wordings]
        for vectors in several:
            require_finite_rows(vectors, lambda row: f"query {self.queries[row].id}", method.name)
        return several

    def gallery_for(self, method: Composer) -> Vectors:
        """Compute the gallery in the method's space.

        Raises:
            FailureError: a vector is not finite; the message names the picture.
        """
        gallery = method.gallery(self.gallery)
        require_finite_rows(gallery, self.gallery_names.__getitem__, method.name)
        return gallery

    def _patches(self, method: ReadsPatches) -> Patches:
        """Compute the patches of each query's reference picture.

        Raises:
            DataError: a picture is gone.
        """
        names = sorted({query.reference for query in self.queries})
        what = f"patches of {self.task.name}"
        loaded = load_task_pictures(self.task, names, prepare=self._encoder.prepare, what=what, limits=self._limits)
        patches = np.concatenate([method.look(pixels) for pixels in in_batches(loaded, self.task.file)])
        row_of = {name: row for row, name in enumerate(names)}
        return patches[[row_of[query.reference] for query in self.queries]]

    def ranks(self, queries: Vectors, gallery: Vectors) -> list[Rows]:
        """The ranks of each query's targets by the protocol. A reference is not ranked unless the task says so."""
        return ranks_of_targets(queries, gallery, self._rows.targets, self._rows.excluded, self._rows.candidates)

    def answers(self, method: Composer) -> Answers:
        """A method's ranking of the gallery for each query."""
        queries, gallery = self.compose(method), self.gallery_for(method)
        if isinstance(method, ScoresPictures):
            return ScoreAnswers(method.scorer(gallery), self.references, queries)
        return VectorAnswers(queries, gallery)

    def all_ranks(self, answers: Answers) -> Ranks:
        """Compute all ranks that the task's metrics need."""
        rows, measures = self._rows, self.task.measures
        single = subset = negatives = clean = None
        if measures.single:
            single = answers.ranks(rows.single, rows.excluded, rows.candidates)
        if measures.subset:
            subset = answers.ranks(rows.targets, rows.excluded, list(rows.groups))
        if measures.negatives:
            negatives = answers.ranks(rows.negatives, rows.excluded, rows.candidates)
            left = [np.setdiff1d(targets, out) for targets, out in zip(rows.targets, rows.negatives, strict=True)]
            clean = answers.ranks(left, excluding(rows.excluded, rows.negatives), rows.candidates)
        targets = answers.ranks(rows.targets, rows.excluded, rows.candidates)
        listed = [query.listed for query in self.queries if query.listed]
        return Ranks(targets, single, subset, negatives, clean, listed if len(listed) == len(self.queries) else None)

    def first(self, answers: Answers, k: int, *, group: bool = False) -> dict[str, list[str]]:
        """The names of the `k` best pictures by query id, from the gallery or from the query's group."""
        candidates = list(self._rows.groups) if group else self._rows.candidates
        found = answers.best(k, self._rows.excluded, candidates)
        return {
            query.id: [self.gallery_names[row] for row in rows] for query, rows in zip(self.queries, found, strict=True)
        }

    def first_rows(self, answers: Answers, k: int) -> list[Rows]:
        """The `k` best rows of the gallery for each query."""
        return answers.best(k, self._rows.excluded, self._rows.candidates)

    def best(self, queries: Vectors, gallery: Vectors, k: int) -> dict[str, list[str]]:
        """The names of the `k` best pictures by query id. Equal scores are in the gallery's order."""
        return self.first(VectorAnswers(queries, gallery), k)

    def values(self, method: Composer, answers: Answers | None = None) -> dict[str, Values]:
        """The metrics of each query for a method, or for its `answers` if they are given."""
        return values(self.task.measures, self.all_ranks(answers or self.answers(method)))

    def solved(self, answers: Answers, k: int) -> Values:
        """1 for each query with a target among the first `k`, else 0."""
        rows = self._rows
        return per_query(answers.ranks(rows.single, rows.excluded, rows.candidates), (k,), ())[f"R@{k}"]

    def row(
        self, method: Composer, encoder: Encoder, *, per_query: bool = False, answers: Answers | None = None
    ) -> ResultRow:
        """Make a row of a result file."""
        found = self.values(method, answers)
        protocol = self.task.protocol or None
        return ResultRow(
            benchmark=self.task.benchmark,
            task=self.task.name,
            split=self.task.split,
            method=method.name,
            encoder=encoder.name,
            metrics=percents(found) | by_family(self.task.measures, self.queries, found),
            aspects=by_aspect(self.task.measures, self.queries, found),
            queries=len(self.queries),
            gallery=len(self.gallery_names),
            unreadable=self.unreadable,
            **digests(self.queries, self.gallery_names),
            per_query=listed(found) if per_query else None,
            lost_queries=len(self.task.queries) - len(self.queries) if protocol else None,
            protocol=protocol,
        )


def _picture_vectors(
    task: Task, encoder: Encoder, known: dict[Key, Any], limits: Limits, workers: Workers
) -> dict[str, Any]:
    """The vectors of readable pictures by name. Missing ones are encoded and added to `known`."""
    key_of = {name: picture_key(task, name) for name in task.names}
    missing = {key: name for name, key in key_of.items() if key not in known}
    if missing:
        names = sorted(missing.values())
        if workers is HERE:
            fresh = encode_pictures(encoder, task, names, limits)
        else:
            fresh = encode_by_workers(workers, encoder, task, names, limits)
        known.update((key_of[name], vector) for name, vector in fresh.items())
    return {name: known[key] for name, key in key_of.items() if key in known}


def mean_vectors(several: Sequence[Vectors]) -> Vectors:
    """The normalised mean of several vectors for each query. A single vector is unchanged."""
    return several[0] if len(several) == 1 else unit(np.mean(several, axis=0))


def encode_pictures(
    encoder: Encoder, task: Task, names: Sequence[str], limits: Limits = DEFAULT_LIMITS
) -> dict[str, Any]:
    """Encode every readable picture, by name. A line is printed for each of the others."""
    vector_of: dict[str, Any] = {}
    waiting: dict[str, Any] = {}

    def flush() -> None:
        if waiting:
            vectors = encoder.encode_pictures(np.stack(list(waiting.values())))
            require_finite_rows(vectors, list(waiting).__getitem__, f"encoder {encoder.name}")
            vector_of.update(zip(waiting, vectors, strict=True))
            waiting.clear()

    what = f"encode {task.name}"
    for name, pixels in load_task_pictures(task, names, prepare=encoder.prepare, what=what, limits=limits):
        if isinstance(pixels, PictureError):
            say(f"skipped {name!r}: {pixels}")
            continue
        waiting[name] = pixels
        if len(waiting) == _BATCH:
            flush()
    flush()
    return vector_of


def _can_be_asked(query: Query, vector_of: Mapping[str, Any], row_of: Mapping[str, int]) -> bool:
    answerable = not query.targets or any(target in row_of for target in query.targets)
    return answerable and all(name in vector_of for name in query.references)


def _reference(query: Query, vector_of: Mapping[str, Any]) -> Any:
    """The vector of the query's reference, or the normalised mean of several references."""
    vectors = [vector_of[name] for name in query.references]
    return vectors[0] if len(vectors) == 1 else unit(np.mean(vectors, axis=0))


def _candidates(queries: Sequence[Query], row_of: Mapping[str, int]) -> list[Rows | None]:
    """The rows of the queries' candidates. A list that several queries share is looked up once."""
    known: dict[int, Rows] = {}
    found: list[Rows | None] = []
    for query in queries:
        if query.candidates is None:
            found.append(None)
            continue
        key = id(query.candidates)
        if key not in known:
            known[key] = _rows(query.candidates, row_of)
        found.append(known[key])
    return found


def _excluded(task: Task, query: Query) -> set[str]:
    return {*query.exclude} if task.reference_answers else {*query.exclude, query.reference}


def _rows(names: Iterable[str], row_of: Mapping[str, int]) -> Rows:
    return np.array(sorted(row_of[name] for name in names if name in row_of), np.int64)


def known_vectors(catalog: Catalog, tasks: Sequence[Task]) -> dict[Key, Any]:
    """Take the vectors of the tasks' pictures from a catalog of their folder or of a folder above it.

    Vectors of cropped or padded pictures are not taken.

    Raises:
        UsageError: the catalog contains none of the tasks' folders.
    """
    known: dict[Key, Any] = {}
    root = catalog.root
    inside = [task for task in tasks if isinstance(root, Path) and task.root.resolve().is_relative_to(root)]
    if not inside or isinstance(root, RemotePath):
        raise UsageError(f"{catalog.folder}: is a catalog of {catalog.root}, which does not contain {tasks[0].root}")
    for task in inside:
        base = task.root.resolve().relative_to(root)
        for name in task.names:
            key = picture_key(task, name)
            row = catalog.row_of.get((base / task.files.get(name, name)).as_posix())
            if row is not None and key[1:] == (None, None):
                known[key] = catalog.vectors[row]
    return known
