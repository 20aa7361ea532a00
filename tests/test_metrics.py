import numpy as np
import pytest

from triptych.core.errors import FailureError
from triptych.metrics.measures import average_precision_at, per_query, recall_at, summarise
from triptych.metrics.ranking import ranks_of_targets

BLOCKS = [(1, 1), (3, 7), (256, 8192), (5, 64)]


def unit(vectors):
    vectors = np.asarray(vectors, dtype=np.float32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def circle(*cosines):
    """Vectors in the plane with these cosines to the first axis."""
    return unit([(cosine, (1 - cosine**2) ** 0.5) for cosine in cosines])


AXIS = np.array([[1.0, 0.0]], dtype=np.float32)


def ranks(gallery, targets, excluded=(), candidates=None):
    (found,) = ranks_of_targets(AXIS, gallery, [targets], [excluded], [candidates])
    return found.tolist()


def test_ranks_by_hand():
    gallery = circle(0.9, 0.1, 0.7, 0.5, 0.3)  # ranked 1, 5, 2, 3, 4
    assert ranks(gallery, [0]) == [1]
    assert ranks(gallery, [1]) == [5]
    assert ranks(gallery, [4, 2]) == [2, 4]
    assert ranks(gallery, [3], excluded=[0]) == [2]
    assert ranks(gallery, [4], candidates=[1, 4, 2]) == [2]
    assert ranks(gallery, [4], excluded=[2, 1], candidates=[1, 4, 2]) == [1]
    assert ranks(gallery, np.array([2], np.uint64), excluded=np.array([])) == [2]


def test_ties_count_against_the_method():
    gallery = circle(0.5, 0.9, 0.5, 0.5, 0.5, 0.2)
    assert ranks(gallery, [0]) == [5]
    assert ranks(gallery, [0, 3]) == [4, 5]  # two of the four equal items, and 1, are before them
    assert ranks(gallery, [0, 2, 3, 4]) == [2, 3, 4, 5]  # no rival left among the equal ones
    assert ranks(gallery, [0, 1]) == [1, 5]
    assert ranks(gallery, [0], excluded=[2], candidates=[0, 2, 3]) == [2]


def test_a_constant_method_scores_nothing():
    gallery = np.repeat(unit([[0.3, 0.4, 0.5]]), 20, axis=0)
    (found,) = ranks_of_targets(unit([[1, 2, 3]]), gallery, [[7]], [[]], [None])
    assert found.tolist() == [20]


def world(seed, n=23, m=150, d=6):
    """Small integer vectors tie often; some queries have exclusions, some a closed list."""
    random = np.random.default_rng(seed)
    gallery = random.integers(-1, 2, (m, d))
    gallery[(gallery == 0).all(axis=1)] = 1
    queries = random.integers(-1, 2, (n, d))
    queries[(queries == 0).all(axis=1)] = 1
    targets, excluded, candidates = [], [], []
    for number in range(n):
        rows = random.permutation(m)
        targets.append(rows[: 1 + number % 4])
        excluded.append(rows[4 : 4 + number % 9])
        closed = random.permutation(np.concatenate([rows[:4], rows[5:30]]))
        candidates.append(closed if number % 3 == 0 else None)
    return unit(queries), unit(gallery), targets, excluded, candidates


def brute_force(queries, gallery, targets, excluded, candidates):
    answers = []
    for query, wanted, out, closed in zip(queries, targets, excluded, candidates, strict=True):
        allowed = range(len(gallery)) if closed is None else closed
        # Six decimals tell the scores of these few directions apart, and equal ones not.
        scored = [
            (-round(float(np.dot(query.astype(float), gallery[row].astype(float))), 6), row in wanted)
            for row in allowed
            if row not in out
        ]
        order = sorted(scored)  # False, a rival, before True, a target, where scores are equal
        answers.append([place for place, (_, hit) in enumerate(order, start=1) if hit])
    return answers


@pytest.mark.parametrize("seed", range(4))
def test_ranks_agree_with_brute_force_whatever_the_blocks(seed):
    case = world(seed)
    expected = brute_force(*case)
    for query_block, gallery_block in BLOCKS:
        found = ranks_of_targets(*case, query_block=query_block, gallery_block=gallery_block)
        assert [ranks.tolist() for ranks in found] == expected


def test_near_ties_do_not_depend_on_the_blocks():
    # Equal vectors, to which a float32 BLAS may give scores that differ in the last bits.
    random = np.random.default_rng(0)
    gallery = unit(random.normal(size=(40, 512)))[random.integers(0, 40, 700)]
    queries = unit(random.normal(size=(19, 512)))
    targets = [[number] for number in range(19)]
    copies = [np.flatnonzero((gallery == gallery[number]).all(axis=1)) for number in range(19)]
    rest = [[]] * 19, [None] * 19
    found = [ranks_of_targets(queries, gallery, targets, *rest, query_block=a, gallery_block=b) for a, b in BLOCKS]
    for others in found[1:]:
        assert [ranks.tolist() for ranks in others] == [ranks.tolist() for ranks in found[0]]
    for number, rows in enumerate(copies):
        # Every copy of the target is before it, so naming the copies as targets cannot move the last of them.
        (among,) = ranks_of_targets(queries[number : number + 1], gallery, [rows], [[]], [None])
        assert among[-1] == found[0][number][0]
        assert np.diff(among).tolist() == [1] * (len(rows) - 1)


def in_integers(queries, gallery, targets, excluded, candidates):
    """What the ranks are by definition: vectors on the grid of 2⁻²⁶, products and sums in 64-bit integers."""
    scores = np.rint(queries * 2.0**26).astype(np.int64) @ np.rint(gallery * 2.0**26).astype(np.int64).T
    answers = []
    for row, wanted, out, closed in zip(scores, targets, excluded, candidates, strict=True):
        rivals = np.setdiff1d(np.arange(len(gallery)) if closed is None else closed, [*wanted, *out])
        bars = sorted(row[np.unique(wanted)], reverse=True)
        answers.append([int((row[rivals] >= bar).sum()) + place for place, bar in enumerate(bars, start=1)])
    return answers


def nudged(vectors, random, components):
    """The same vectors with some components moved to a neighbouring float32."""
    moved = vectors.copy()
    for row in moved:
        some = random.choice(len(row), components, replace=False)
        row[some] = np.nextafter(row[some], random.choice(np.float32([-2, 2]), components))
    return moved


@pytest.mark.parametrize("dim", [2, 33, 512])
def test_ranks_are_exact_where_float32_cannot_tell(dim):
    random = np.random.default_rng(dim)
    few = unit(random.normal(size=(6, dim)))
    # Copies of six vectors, to the last bit or but for the last bits: a float32 product orders them at random.
    gallery = np.concatenate([few[random.integers(6, size=60)], nudged(few[random.integers(6, size=240)], random, 2)])
    queries = np.concatenate([unit(random.normal(size=(12, dim))), nudged(gallery[::30], random, 1)])
    rows = [random.permutation(len(gallery)) for _ in queries]
    targets = [row[: 1 + 3 * (number % 4)] for number, row in enumerate(rows)]
    excluded = [row[10 : 10 + number % 5] for number, row in enumerate(rows)]
    candidates = [row if number % 5 == 0 else None for number, row in enumerate(rows)]
    candidates = [None if row is None else np.concatenate([row[:10], row[20:90]]) for row in candidates]
    case = queries, gallery, targets, excluded, candidates
    expected = in_integers(*case)
    for query_block, gallery_block in BLOCKS:
        found = ranks_of_targets(*case, query_block=query_block, gallery_block=gallery_block)
        assert [ranks.tolist() for ranks in found] == expected


def test_a_few_near_ties_among_many_are_told_apart_too():
    # Little of the gallery is in doubt here, much of it in the test above: they are scored in different ways.
    random = np.random.default_rng(3)
    gallery = unit(random.normal(size=(4000, 64)))
    gallery[100:110] = nudged(np.repeat(gallery[7:8], 10, axis=0), random, 3)
    queries = nudged(unit(gallery[7:8] + random.normal(size=(40, 64)) / 20), random, 1)
    case = queries, gallery, [[7, 100, 2000]] * 40, [[101]] * 40, [None] * 40
    assert [ranks.tolist() for ranks in ranks_of_targets(*case)] == in_integers(*case)


def test_order_of_the_gallery_does_not_matter():
    queries, gallery, targets, excluded, candidates = world(9)
    order = np.random.default_rng(1).permutation(len(gallery))
    place = np.argsort(order)
    moved = ranks_of_targets(
        queries,
        gallery[order],
        [place[rows] for rows in targets],
        [place[rows] for rows in excluded],
        [None if rows is None else place[rows] for rows in candidates],
    )
    still = ranks_of_targets(queries, gallery, targets, excluded, candidates)
    assert [ranks.tolist() for ranks in moved] == [ranks.tolist() for ranks in still]


@pytest.mark.parametrize("bad", [[[0.0, 0.0]], [[2.0, 0.0]], [[np.nan, 0.0]], [[np.inf, 0.0]]])
def test_vectors_that_are_not_unit_are_refused(bad):
    bad = np.array(bad, dtype=np.float32)
    with pytest.raises(FailureError, match="unit length"):
        ranks_of_targets(bad, AXIS, [[0]], [[]], [None])


def test_a_target_must_be_allowed():
    gallery = circle(0.5, 0.9)
    with pytest.raises(ValueError, match="excluded"):
        ranks(gallery, [0], excluded=[0])
    with pytest.raises(ValueError, match="candidate"):
        ranks(gallery, [0], candidates=[1])
    for row in (-1, 2):
        with pytest.raises(ValueError, match="outside of the gallery of 2"):
            ranks(gallery, [row])
    with pytest.raises(ValueError, match="as many"):
        ranks_of_targets(AXIS, gallery, [[0], [1]], [[]], [None])


def test_recall_and_average_precision_by_hand():
    found = np.array([2, 3, 7])
    assert [recall_at(found, k) for k in (1, 2, 10)] == [0, 1, 1]
    assert average_precision_at(found, 10, 3) == pytest.approx((1 / 2 + 2 / 3 + 3 / 7) / 3)
    assert average_precision_at(found, 5, 3) == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert average_precision_at(found, 2, 3) == pytest.approx((1 / 2) / 2)  # at most two can be within 2
    assert average_precision_at(found, 1, 3) == 0
    assert average_precision_at(np.arange(1, 16), 10, 15) == 1


def test_summary_is_the_mean_in_percent():
    summary = summarise([np.array([1, 4]), np.array([6]), np.array([60])], recall=(1, 5, 50), map_at=(5,))
    assert list(summary) == ["R@1", "R@5", "R@50", "mAP@5"]
    assert summary == pytest.approx(
        {"R@1": 100 / 3, "R@5": 100 / 3, "R@50": 200 / 3, "mAP@5": 100 * ((1 + 2 / 4) / 2) / 3}
    )
    with pytest.raises(ValueError, match="no queries"):
        summarise([])


def test_values_of_each_query():
    values = per_query([np.array([1, 4]), np.array([3]), np.array([60])], recall=(1,), map_at=(5,), ndcg=(3, 5))
    assert list(values) == ["R@1", "mAP@5", "nDCG@3", "nDCG@5"]
    assert values["R@1"].tolist() == [1, 0, 0]
    assert values["mAP@5"] == pytest.approx([(1 + 2 / 4) / 2, 1 / 3, 0])
    best = 1 + 1 / np.log2(3)
    assert values["nDCG@3"] == pytest.approx([1 / best, 1 / 2, 0])
    assert values["nDCG@5"] == pytest.approx([(1 + 1 / np.log2(5)) / best, 1 / 2, 0])


def test_a_list_that_was_cut_still_counts_all_positives():
    # Four targets, of which the list of 10 names one; and none of three.
    values = per_query([np.array([2]), np.array([], np.int64)], recall=(10,), map_at=(3, 10), positives=[4, 3])
    assert values["R@10"].tolist() == [1, 0]
    assert values["mAP@3"] == pytest.approx([1 / 2 / 3, 0])
    assert values["mAP@10"] == pytest.approx([1 / 2 / 4, 0])


@pytest.mark.parametrize("seed", range(6))
def test_agreement_with_ir_measures(seed):
    """Success@k is our recall@k. AP@k divides by all positives, as CIRCO does while there are at most k."""
    ir_measures = pytest.importorskip("ir_measures")
    random = np.random.default_rng(seed)
    count, size = 25, int(random.integers(30, 120))
    gallery, queries = unit(random.normal(size=(size, 8))), unit(random.normal(size=(count, 8)))
    targets = [random.choice(size, size=1 + number % 5, replace=False) for number in range(count)]
    found = ranks_of_targets(queries, gallery, targets, [[]] * count, [None] * count)

    judged = [ir_measures.Qrel(f"{n:03}", f"d{row}", 1) for n, rows in enumerate(targets) for row in rows]
    scores = queries.astype(float) @ gallery.astype(float).T
    run = [ir_measures.ScoredDoc(f"{n:03}", f"d{row}", scores[n, row]) for n in range(count) for row in range(size)]
    theirs = {"R": "Success", "mAP": "AP", "nDCG": "nDCG"}
    measures = {ir_measures.parse_measure(f"{theirs[name]}@{k}"): f"{name}@{k}" for name in theirs for k in (5, 10, 50)}
    ours = per_query(found, recall=(5, 10, 50), map_at=(5, 10, 50), ndcg=(5, 10, 50))
    measured = {name: np.full(count, np.nan) for name in ours}
    for value in ir_measures.iter_calc(list(measures), judged, run):
        measured[measures[value.measure]][int(value.query_id)] = value.value
    for name, values in ours.items():
        assert values == pytest.approx(measured[name], abs=1e-12), name
    means = ir_measures.calc_aggregate(list(measures), judged, run)
    summary = summarise(found, recall=(5, 10, 50), map_at=(5, 10, 50), ndcg=(5, 10, 50))
    assert summary == pytest.approx({measures[measure]: 100 * mean for measure, mean in means.items()})
