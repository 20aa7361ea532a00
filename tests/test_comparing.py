"""Result files beside each other: compared, and set as tables."""

import csv
import importlib.util
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

import triptych
from made_benchmarks import evaluate
from triptych.core.errors import DataError, MismatchError, UsageError
from triptych.evaluation.options import CompareOptions
from triptych.evaluation.results.reading import MeanSpread
from triptych.evaluation.results.row import ResultRow, without_none
from triptych.metrics.resampling import bootstrap_intervals, sign_flip_test

QUERIES = 200


def row(method="sum", values=None, **fields):
    """A row as `evaluate` writes it; `values` are each query's R@10."""
    values = [1, 0] * (QUERIES // 2) if values is None else values
    return {
        "benchmark": "cirr",
        "task": "composed",
        "split": "val",
        "method": method,
        "encoder": "clip",
        "metrics": {"R@10": 100 * sum(values) / len(values)},
        "queries": len(values),
        "gallery": 50,
        "unreadable": 0,
        "queries_sha256": "q" * 64,
        "gallery_sha256": "g" * 64,
        "per_query": {"R@10": list(values)},
    } | fields


@pytest.fixture
def write(tmp_path: Path):
    numbers = itertools.count()

    def result(*rows):
        path = tmp_path / f"{next(numbers)}.json"
        path.write_text(json.dumps({"rows": rows}))
        return path

    return result


def test_intervals_are_those_of_the_normal_law_where_it_holds():
    random = np.random.default_rng(0)
    values = random.normal(size=(400, 3)) * [1, 2, 0] + [0, 1, 5]
    low, high = bootstrap_intervals(values, resamples=4000).T
    spread = values.std(axis=0) / math.sqrt(400)
    assert low == pytest.approx(values.mean(axis=0) - 1.96 * spread, abs=0.02)
    assert high == pytest.approx(values.mean(axis=0) + 1.96 * spread, abs=0.02)
    again, other = (bootstrap_intervals(values, resamples=100, seed=seed) for seed in (3, 4))
    assert np.array_equal(again, bootstrap_intervals(values, resamples=100, seed=3))
    assert not np.array_equal(again, other)


def test_the_randomisation_test_agrees_with_all_sign_flips():
    differences = np.array([3, 1, 4, -1, 5, -2, 6, 2, 0, 1.5])[:, None]
    flips = np.array(list(itertools.product((1, -1), repeat=10)))
    exact = (np.abs(flips @ differences) >= abs(differences.sum())).mean()
    assert sign_flip_test(differences, resamples=200_000)[0] == pytest.approx(exact, abs=0.003)
    assert sign_flip_test(np.zeros((10, 1)))[0] == 1
    assert sign_flip_test(np.ones((30, 1)), resamples=999)[0] == pytest.approx(1 / 1000)


def test_p_values_are_level_where_nothing_differs():
    random = np.random.default_rng(1)
    chances = sign_flip_test(random.normal(size=(60, 400)), resamples=500)
    assert 0.02 < (chances <= 0.05).mean() < 0.09
    assert 0.4 < (chances <= 0.5).mean() < 0.6


def test_a_clear_difference_and_none(write, tmp_path):
    better = [1, 1, 1, 0] * (QUERIES // 4)
    output = tmp_path / "out.json"
    result = triptych.compare(write(row()), write(row(values=better)), output=output)
    assert json.loads(output.read_text()) == without_none(result)
    (comparison,) = result.comparisons
    assert vars(comparison.first) == {"method": "sum", "encoder": "clip", "runs": 1}
    found = comparison.metrics["R@10"]
    assert (found.first, found.second, found.difference) == (50, 75, 25)
    assert found.first_interval[0] < 50 < found.first_interval[1]
    assert 0 < found.difference_interval[0] < 25 < found.difference_interval[1]
    assert found.p < 0.001
    # The same values on other queries: the means are apart by nothing, however the queries differ.
    (same,) = triptych.compare(write(row()), write(row(values=[0, 1] * (QUERIES // 2)))).comparisons
    assert same.metrics["R@10"].difference == 0
    assert same.metrics["R@10"].p == 1
    assert triptych.compare(write(row()), write(row(values=better)), CompareOptions(seed=1)) != result


def test_without_values_the_means_are_compared_and_no_more(write):
    bare = row(method="text")
    del bare["per_query"]
    (comparison,) = triptych.compare(write(row()), write(bare)).comparisons
    assert without_none(comparison.metrics["R@10"]) == {"first": 50, "second": 50, "difference": 0}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"protocol": {"split": "val", "captions": "both"}}, r"'captions' differs \(first in .*both in "),
        ({"protocol": {"split": "val"}}, r"'captions' differs \(first in .*not stated in "),
        ({"protocol": {"split": "val", "captions": "first"}, "gallery": 49}, "number of pictures differs"),
        ({"protocol": {"split": "val", "captions": "first"}, "queries_sha256": "x" * 64}, "the queries differs"),
        ({"protocol": {"split": "val", "captions": "first"}, "gallery_sha256": "x" * 64}, "the gallery differs"),
    ],
)
def test_what_was_measured_otherwise_is_refused_by_name(write, fields, named):
    stated = row(protocol={"split": "val", "captions": "first"})
    with pytest.raises(MismatchError, match=named):
        triptych.compare(write(stated), write(row(**fields)))
    with pytest.raises(MismatchError, match=r"protocol|same queries") as refused:
        triptych.table([write(stated), write(row(method="text", **fields))])
    assert "\n" not in str(refused.value)


def test_an_unknown_protocol_is_told_and_no_more(write, capfd):
    stated, silent = write(row(protocol={"split": "val"})), write(row())
    (comparison,) = triptych.compare(stated, silent).comparisons
    assert comparison.metrics["R@10"].difference == 0
    assert f"{silent} does not state its protocol" in capfd.readouterr().err
    assert triptych.table([silent, stated]).count("50.00") == 1
    assert f"{silent} does not state its protocol" in capfd.readouterr().err
    triptych.compare(silent, silent, CompareOptions(method="sum"))
    assert "protocol" not in capfd.readouterr().err


def test_methods_are_paired_by_name_or_as_told(write):
    both = write(row("picture"), row("sum"))
    found = triptych.compare(both, write(row("sum"), row("text"), row("picture"))).comparisons
    assert [(each.first.method, each.second.method) for each in found] == [
        ("picture", "picture"),
        ("sum", "sum"),
    ]
    (within,) = triptych.compare(both, options=CompareOptions(method="picture", against="sum")).comparisons
    assert (within.first.method, within.second.method) == ("picture", "sum")
    (lone,) = triptych.compare(write(row("sum")), write(row("combiner"))).comparisons
    assert (lone.first.method, lone.second.method) == ("sum", "combiner")
    with pytest.raises(UsageError, match="several methods could be compared"):
        triptych.compare(both, write(row("combiner")))
    with pytest.raises(UsageError, match="no method 'magic'"):
        triptych.compare(both, both, CompareOptions(method="magic"))
    with pytest.raises(UsageError, match="one result file: choose"):
        triptych.compare(both)
    with pytest.raises(UsageError, match="no benchmark, task and split is in both"):
        triptych.compare(both, write(row(split="test")))


def test_runs_of_a_method_are_averaged(write):
    always, never = [1] * QUERIES, [0] * QUERIES
    (found,) = triptych.compare(
        write(row()), write(row("combiner", always), row("combiner", never), row("combiner", always))
    ).comparisons
    assert found.second.runs == 3
    assert found.metrics["R@10"].second == pytest.approx(200 / 3, abs=1e-4)
    assert found.metrics["R@10"].second_interval == pytest.approx([200 / 3] * 2, abs=1e-3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nonsense", "not a readable result file"),
        ("[]", 'it has no "rows"'),
        ('{"rows": []}', 'it has no "rows"'),
        ('{"rows": [7]}', "row 1: not an object"),
        (json.dumps({"rows": [row(), row(method=None)]}), 'row 2: "method" must be a string'),
        (json.dumps({"rows": [row(queries="many")]}), '"queries" must be a number'),
        (json.dumps({"rows": [row(metrics={"R@10": "high"})]}), '"metrics" must be an object of numbers'),
        (json.dumps({"rows": [row(per_query={"R@10": [1]})]}), '"per_query" must be an object of lists of 200'),
        (json.dumps({"rows": [row(protocol="common")]}), '"protocol" must be an object'),
    ],
)
def test_what_is_no_result_file_is_one_line(tmp_path, write, content, message):
    path = tmp_path / "bad.json"
    path.write_text(content)
    for use in (lambda: triptych.compare(path, write(row())), lambda: triptych.table([path])):
        with pytest.raises(DataError, match=message) as refused:
            use()
        assert "\n" not in str(refused.value)
        assert str(path) in str(refused.value)


def several(write):
    """Two methods over two tasks, one of them in three runs."""
    first = [row("sum & so", [1, 0, 0, 0]), row("combiner", [1, 1, 0, 0])]
    runs = [row("combiner", values) for values in ([1, 1, 1, 0], [1, 1, 0, 0])]
    other = [row("sum & so", [1, 0], split="test"), row("text|only", [1, 0], split="test")]
    return [write(*first), write(runs[0]), write(runs[1]), write(*other)]


def test_a_table_in_markdown(write):
    assert triptych.table(several(write), decimals=1).splitlines() == [
        "| method | cirr · composed · val: R@10 | cirr · composed · test: R@10 |",
        "| --- | --: | --: |",
        "| sum & so | 25.0 | **50.0** |",
        "| combiner | **58.3 ± 14.4** | – |",
        "| text\\|only | – | **50.0** |",
    ]


def test_a_table_in_latex(write):
    text = triptych.table(several(write), format="latex", decimals=1)
    assert text.splitlines() == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r" & \multicolumn{1}{c}{cirr $\cdot$ composed $\cdot$ val}"
        r" & \multicolumn{1}{c}{cirr $\cdot$ composed $\cdot$ test} \\",
        r"\cmidrule(lr){2-2} \cmidrule(lr){3-3}",
        r"method & R@10 & R@10 \\",
        r"\midrule",
        r"sum \& so & 25.0 & \textbf{50.0} \\",
        r"combiner & \textbf{58.3 $\pm$ 14.4} & -- \\",
        r"text|only & -- & \textbf{50.0} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_a_table_in_csv_keeps_what_was_measured(write):
    lines = list(csv.DictReader(triptych.table(several(write), format="csv", decimals=0).splitlines()))
    column = "cirr · composed · val: R@10"
    assert [line["method"] for line in lines] == ["sum & so", "combiner", "text|only"]
    assert [line[column] for line in lines] == ["25.0000", "58.3333", ""]
    assert [line[f"{column}, deviation"] for line in lines] == ["", "14.4338", ""]
    assert [line[f"{column}, runs"] for line in lines] == ["1", "3", ""]
    assert [line["cirr · composed · test: R@10"] for line in lines] == ["50.0000", "", "50.0000"]


def test_the_encoder_is_a_column_where_it_differs(write):
    text = triptych.table([write(row(), row(encoder="siglip"))])
    assert text.splitlines()[0].startswith("| method | encoder |")
    assert len(text.splitlines()) == 4


def test_runs_over_several_worlds_share_a_column_if_all_methods_have_them(write):
    worlds = [{"queries_sha256": letter * 64} for letter in "ab"]
    whole = [write(row("sum", **world), row("text", **world)) for world in worlds]
    assert "50.00 ± 0.00" in triptych.table(whole)
    with pytest.raises(MismatchError, match="not measured on the same queries"):
        triptych.table([*whole, write(row("picture", **worlds[0]))])


def test_what_makes_no_table(write):
    with pytest.raises(UsageError, match="no format 'word'"):
        triptych.table([write(row())], format="word")
    with pytest.raises(UsageError, match="at least one"):
        triptych.table([])


def test_a_figure_says_its_spread():
    assert MeanSpread.of([1.0]).text() == "1.0"
    assert MeanSpread.of([1.0, 2.0, 3.0]).text(2) == "2.00 ± 1.00"


def test_the_page_of_results_averages_alike(write):
    path = Path(__file__).parents[1] / "bench" / "write_results.py"
    spec = importlib.util.spec_from_file_location("write_results", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    metrics = dict.fromkeys(module.METRICS, 10.0)
    rows = [row("sum", metrics=metrics, weight=0.4), row("sum", metrics=metrics | {"R@1": 12.0}, weight=0.5)]
    rows.append(row("text", metrics=metrics, gallery=60))
    assert module.tables([ResultRow.from_json(each) for each in rows]).splitlines() == [
        "**composed**, val split, 200 queries, 50 to 60 pictures",
        "",
        "| method | weight | R@1 | R@5 | R@10 | R@50 | mAP@10 |",
        "|---|--:|--:|--:|--:|--:|--:|",
        "| sum | 0.4 to 0.5 | 11.0 ± 1.4 | 10.0 ± 0.0 | 10.0 ± 0.0 | 10.0 ± 0.0 | 10.0 ± 0.0 |",
        "| text |  | 10.0 | 10.0 | 10.0 | 10.0 | 10.0 |",
    ]


def test_from_eval_to_comparison(wardrobe_world, tiny_encoder, tiny_composer, vocabulary_file, tmp_path):
    output = tmp_path / "result.json"
    result = evaluate(
        "wardrobe",
        root=wardrobe_world,
        encoder=str(tiny_encoder),
        methods=["picture", "text", "sum"],
        composers=[tiny_composer],
        vocabulary=vocabulary_file,
        per_query=True,
        output=output,
        threads=1,
    )
    picture, text, blend, composer = result.rows
    for each in result.rows:
        assert {name: 100 * np.mean(values) for name, values in each.per_query.items()} == pytest.approx(
            each.metrics, abs=1e-3
        )
        assert each.queries_sha256 == picture.queries_sha256
        assert (each.picture_only, each.text_only) == (picture.metrics, text.metrics)
        for name, value in each.metrics.items():
            best = max(picture.metrics[name], text.metrics[name])
            assert each.gap[name] == pytest.approx(value - best, abs=1e-3)
    (comparison,) = triptych.compare(output, options=CompareOptions(method="sum", against="combiner")).comparisons
    found = comparison.metrics["R@10"]
    assert found.difference == pytest.approx(composer.metrics["R@10"] - blend.metrics["R@10"], abs=1e-3)
    assert found.difference_interval[0] <= found.difference <= found.difference_interval[1]
    # Another split is other queries.
    other = evaluate(
        "wardrobe", root=wardrobe_world, encoder=str(tiny_encoder), methods=["text"], split="val", gap=False, threads=1
    ).rows[0]
    assert other.queries_sha256 != picture.queries_sha256
    assert other.gap is None
    assert other.per_query is None
