"""CIRCUS' labels, i-CIR, PinPoint and CIRCLED: read as they are distributed, measured by their authors' rules."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from made_benchmarks import write, write_circo, write_cirr, write_fashioniq
from planted import measured, write_squares
from triptych.benchmarks.checking import check_benchmark
from triptych.benchmarks.registry import load_tasks
from triptych.core.errors import DataError, UsageError


def lines(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


def mbeir(reference: str, text: str) -> dict[str, Any]:
    """A query of CIRR or FashionIQ as M-BEIR has it: text capitalised, with a full stop."""
    path = f"mbeir_images/cirr_images/dev/{reference}.jpg"
    return {
        "qid": "8:3",
        "query_txt": f"{text[:1].upper()}{text[1:]}.",
        "query_img_path": path,
        "pos_cand_list": ["8:1"],
    }


def test_circus_filters_cirr_by_reference_and_text(tmp_path, capsys):
    root = write_cirr(tmp_path)
    folder = root / "CIRCUS" / "shortcut_free_subsets" / "cirr" / "shortcut_free"
    asked = [mbeir("dev-1-0-img0", "show 0 dogs in group 1"), mbeir("dev-9-9-img9", "nothing here")]
    lines(folder / "mbeir_cirr_task7_test_multimodal.jsonl", asked)
    lines(folder / "mbeir_cirr_task7_test_multimodal.trace.jsonl", [{"dataset": "cirr"}])
    (task,) = load_tasks("cirr", root, "val", ["subset=shortcut-free"])
    assert [query.reference for query in task.queries] == ["dev-1-0-img0"]
    assert "cirr shortcut-free: 1 of 2 labelled queries are not in the benchmark's files" in capsys.readouterr().err
    assert task.protocol["subset"] == "shortcut-free"
    # Rows of before have no such setting: where all queries are asked, neither has a new one.
    assert "subset" not in load_tasks("cirr", root, "val")[0].protocol


def test_circus_filters_fashioniq_and_leaves_out_a_category_without_queries(tmp_path):
    root = write_fashioniq(tmp_path)
    for label in ("validated_solved", "validated_unsolved"):
        number = int(label == "validated_unsolved")
        text = f"is redder than {number}? and has {number} buttons"
        file = root / "CIRCUS" / "final_dataset" / "query_jsonl" / "fashioniq" / label / f"{label}.jsonl"
        lines(file, [mbeir(f"BSHIRT{number:02}", text)])
    (task,) = load_tasks("fashioniq", root, "val", ["subset=validated"])
    assert task.name == "shirt"
    assert [query.reference for query in task.queries] == ["BSHIRT00", "BSHIRT01"]
    (half,) = load_tasks("fashioniq", root, "val", ["subset=validated-solved", "captions=both-orders"])
    assert [query.reference for query in half.queries] == ["BSHIRT00"]


def test_circus_filters_circo_by_its_numbers(tmp_path):
    root = write_circo(tmp_path)
    file = root / "CIRCUS" / "final_dataset" / "query_jsonl" / "circo" / "validated_solved" / "circo.jsonl"
    lines(file, [{"query_id": "circo_q_test_2", "query_text": "x", "pos_cand_list": ["circo_img_43"]}])
    (task,) = load_tasks("circo", root, "val", ["subset=validated-solved"])
    assert [query.id for query in task.queries] == ["2"]
    with pytest.raises(UsageError, match="CIRCUS labels queries of val, not of test"):
        load_tasks("circo", root, "test", ["subset=validated"])


def test_circus_filters_lasco_by_its_numbers(tmp_path):
    names = [f"COCO_val2014_{number:012d}.jpg" for number in range(3)]
    write(tmp_path / "lasco_val_corpus.json", [{"id": n, "path": f"val2014/{name}"} for n, name in enumerate(names)])
    pairs = [[n, f"val2014/{name}"] for n, name in enumerate(names)]
    asked = [
        {"qid": 700 + n, "query-image": pairs[n], "query-text": "x", "target-image": pairs[n + 1]} for n in range(2)
    ]
    write(tmp_path / "lasco_val.json", asked)
    file = tmp_path / "CIRCUS" / "shortcut_free_subsets" / "lasco" / "unresolved" / "a.jsonl"
    lines(file, [{"query_id": "lasco_q_test_701"}])
    (task,) = load_tasks("lasco", tmp_path, "val", ["subset=unresolved"])
    assert [query.id for query in task.queries] == ["701"]


def test_circus_says_what_is_missing(tmp_path):
    root = write_cirr(tmp_path)
    with pytest.raises(DataError, match=r"no file of queries here; clone github\.com/matteoattimonelli/CIRCUS"):
        load_tasks("cirr", root, "val", ["subset=unresolved"])
    lines(root / "CIRCUS" / "shortcut_free_subsets" / "cirr" / "unresolved" / "a.jsonl", [mbeir("other", "text")])
    with pytest.raises(DataError, match="none of its 1 queries is in this folder"):
        load_tasks("cirr", root, "val", ["subset=unresolved"])


def test_other_annotations_word_the_same_queries_anew(tmp_path):
    root = write_cirr(tmp_path)
    content = json.loads((root / "captions" / "cap.rc2.val.json").read_text())
    write(root / "captions" / "refined.json", [entry | {"caption": f"refined {entry['caption']}"} for entry in content])
    (task,) = load_tasks("cirr", root, "val", ["annotations=refined.json"])
    assert task.queries[0].modification == "refined show 0 dogs in group 0"
    assert task.protocol["annotations"] == "refined.json"
    with pytest.raises(DataError, match="leads outside"):
        load_tasks("cirr", root, "val", ["annotations=../../secret.json"])
    shop = write_fashioniq(tmp_path / "fashion-iq")
    for category in ("dress", "shirt", "toptee"):
        content = json.loads((shop / "captions" / f"cap.{category}.val.json").read_text())
        write(shop / "captions" / f"new.{category}.json", content[:2])
    assert [
        len(task.queries) for task in load_tasks("fashioniq", shop, "val", ["annotations=new.{category}.json"])
    ] == [2] * 3


def test_refined_annotations_say_how_many_queries_are_worded_anew(tmp_path, capsys):
    """As chuonghm/Refined-CIRR and chuonghm/Refined-FashionIQ at huggingface.co: `is_refined`, one file for all."""
    root = write_cirr(tmp_path)
    content = json.loads((root / "captions" / "cap.rc2.val.json").read_text())
    refined = [entry | {"is_refined": number < 2} for number, entry in enumerate(content)]
    write(root / "captions" / "refined_cirr.val.json", refined)
    (task,) = load_tasks("cirr", root, "val", ["annotations=refined_cirr.val.json"])
    assert len(task.queries) == len(content)
    assert f"2 of {len(content)} queries are refined; all are measured" in capsys.readouterr().err
    shop = write_fashioniq(tmp_path / "fashion-iq")
    names = ("dress", "shirt", "toptee")
    official = {
        name: json.loads((shop / "captions" / f"cap.{name}.val.json").read_text())[: 1 + place]
        for place, name in enumerate(names)
    }
    whole = [
        entry | {"captions": ["is longer and blue"], "is_refined": True} for each in official.values() for entry in each
    ]
    write(shop / "captions" / "refined.json", whole)
    tasks = load_tasks("fashioniq", shop, "val", ["annotations=refined.json", "captions=both-orders"])
    assert [len(task.queries) for task in tasks] == [1, 2, 3]
    assert {(query.modification, query.other_wordings) for task in tasks for query in task.queries} == {
        ("is longer and blue", ())
    }
    assert [next(iter(task.queries)).reference for task in tasks] == [official[name][0]["candidate"] for name in names]
    write(shop / "captions" / "refined.json", whole[:1])
    with pytest.raises(DataError, match="no entry has its pictures in the image split of shirt"):
        load_tasks("fashioniq", shop, "val", ["annotations=refined.json"])


@pytest.fixture
def icir(tmp_path):
    shown = [("a/1.jpg", "at night"), ("a/2.jpg", "at night"), ("a/3.jpg", "in snow"), ("a/4.jpg", "no")]
    other = [("b/1.jpg", "at night"), ("b/2.jpg", "as a toy")]
    rows = [f"database/{path},{text},temple" for path, text in shown] + [f"database/{p},{t},bridge" for p, t in other]
    (tmp_path / "database_files.csv").write_text("\n".join(rows) + "\n")
    asked = ["query/q1.jpg,at night,temple", "query/q2.jpg,in snow,temple", "query/q3.jpg,as a toy,bridge"]
    (tmp_path / "query_files.csv").write_text("\n".join(asked) + "\n")
    write_squares(tmp_path / "database", [path for path, _ in shown + other])
    write_squares(tmp_path / "query", ["q1.jpg", "q2.jpg", "q3.jpg"])
    return tmp_path


def test_icir_ranks_within_an_instance_by_the_trapezoidal_rule(icir):
    (task,) = load_tasks("icir", icir, "test")
    assert task.queries[0].targets == {"database/a/1.jpg", "database/a/2.jpg"}
    assert set(task.queries[2].candidates) == {"database/b/1.jpg", "database/b/2.jpg"}
    # Whatever is of another instance is not ranked, though it comes first here.
    orders = {
        "0": ["database/b/2.jpg", "database/a/1.jpg", "database/a/3.jpg", "database/a/2.jpg"],
        "1": ["database/a/1.jpg", "database/a/3.jpg"],
        "2": ["database/b/2.jpg"],
    }
    found = measured(task, orders)
    # Places from 0: 0 and 2; 1; 0. By hand from compute_ap: sum of (before + at) / 2, over targets + 1e-5.
    first = ((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2) / (2 + 1e-5)
    second, third = ((0 / 1 + 1 / 2) / 2) / (1 + 1e-5), 1 / (1 + 1e-5)
    assert next(iter(found)) == "mAP"
    assert found["mAP"] == pytest.approx(100 * (first + second + third) / 3, abs=1e-3)
    assert found["mmAP"] == pytest.approx(100 * ((first + second) / 2 + third) / 2, abs=1e-3)
    assert found["R@1"] == pytest.approx(100 * 2 / 3, abs=1e-3)
    assert check_benchmark("icir", root=icir).tasks["instances"].pictures == 9


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("query_files.csv", "query/q1.jpg,at night\n", "line 1 has 2 values instead of 3"),
        ("query_files.csv", "query/q1.jpg,at night,palace\n", "no picture of the database is of the instance 'palace'"),
        ("query_files.csv", "query/q1.jpg,never,temple\n", "no query has an answer in the database"),
        ("database_files.csv", "", "it is empty"),
        ("database_files.csv", "/etc/passwd,a,temple\n", "leads outside"),
    ],
)
def test_wrong_icir_files(icir, file, content, message):
    (icir / file).write_text(content)
    with pytest.raises(DataError, match=message):
        load_tasks("icir", icir, "test")


def signature(number: int) -> str:
    return f"{number:032x}"[::-1]


def pinpoint_rows() -> list[dict[str, Any]]:
    right, wrong = [signature(n) for n in (1, 2, 3, 1)], [signature(n) for n in (4, 5, 3)]
    shared = {"query_image_signature": signature(0), "query_image_signature2": "None", "query_category": "Context Fit"}
    answers = {"positive_candidates": right, "negative_candidates": [*wrong, None, wrong[0]]}
    two = {
        "query_image_signature2": signature(9),
        "positive_candidates": [signature(6)],
        "negative_candidates": [right[0]],
    }
    return [
        {"query_id": "query_00001", "instruction": "a dress for this place"} | shared | answers,
        {"query_id": "query_00002", "instruction": "show a dress for here"} | shared | answers,
        {"query_id": "query_00003", "instruction": "both of these"} | shared | two,
    ]


@pytest.fixture
def pinpoint(tmp_path):
    pq.write_table(pa.Table.from_pylist(pinpoint_rows()), tmp_path / "pinpoint_licensed.parquet")
    (tmp_path / "index_signatures.txt").write_text("\n".join(signature(n) for n in range(1, 9)) + "\n")
    write_squares(tmp_path / "images", [f"{signature(n)}.jpg" for n in range(10)])
    return tmp_path


def theirs(retrieved: list[str], right: list[Any], wrong: list[Any], k: int) -> dict[str, float]:
    """PinPoint's evaluate.py in plain words, for one query."""
    top = retrieved[:k]
    hits = [item in right for item in top]

    def precision(items):
        found = total = 0.0
        for place, item in enumerate(items[:k], 1):
            if item in right:
                found += 1
                total += found / place
        return total / min(len(right), k)

    return {
        f"P@{k}": sum(hits) / k,
        f"PosRecall@{k}": sum(hits) / len(right),
        f"mAP@{k}": precision(retrieved),
        f"NegRecall@{k}": sum(item in wrong for item in top) / min(len(wrong), k),
        f"mAP@{k}_noNeg": precision([item for item in retrieved if item not in wrong]),
    }


def test_pinpoint_is_measured_as_its_authors_do(pinpoint, capsys):
    (task,) = load_tasks("pinpoint", pinpoint, "test")
    assert len(task.gallery) == 8
    assert task.queries[2].more_references == (signature(9),)
    assert "2 empty entries of candidates" in capsys.readouterr().err
    order = [signature(n) for n in (4, 1, 7, 5, 2, 3, 6, 8)]
    other = [signature(n) for n in (1, 2, 3, 4, 5, 6, 7, 8)]
    found = measured(task, {"query_00001": order, "query_00002": other, "query_00003": other})
    asked = zip((order, other, other), pinpoint_rows(), strict=True)
    judged = [(ranked, row["positive_candidates"], row["negative_candidates"]) for ranked, row in asked]
    for k in (1, 5, 10):
        rows = [theirs(*query, k) for query in judged]
        for name in rows[0]:
            assert found[name] == pytest.approx(100 * np.mean([row[name] for row in rows]), abs=1e-3), name
    # The first two ask the same in other words; the third has no second wording, and does not count.
    assert found["P@10_range"] == pytest.approx(0)
    assert set(found) >= {"P@10_std", "mAP@50_noNeg"}


def test_wordings_that_do_differently_are_told_apart(pinpoint):
    rows = pinpoint_rows()[:2]
    rows[1]["query_image_signature2"] = None
    fillers = [signature(n) for n in range(20, 60)]
    pq.write_table(pa.Table.from_pylist(rows), pinpoint / "pinpoint_licensed.parquet")
    (pinpoint / "index_signatures.txt").write_text("\n".join([*(signature(n) for n in range(1, 9)), *fillers]))
    write_squares(pinpoint / "images", [f"{name}.jpg" for name in fillers])
    (task,) = load_tasks("pinpoint", pinpoint, "test")
    good, bad = [signature(n) for n in (1, 2, 3)], fillers[:20]
    found = measured(task, {"query_00001": good, "query_00002": bad})
    assert found["P@10_range"] == pytest.approx(30)
    assert found["P@10_std"] == pytest.approx(15)


def test_two_references_are_averaged(pinpoint):
    from planted import Squares
    from triptych.core.vectors import unit
    from triptych.evaluation.encoded_task import EncodedTask

    encoder: Any = Squares()
    task = EncodedTask(load_tasks("pinpoint", pinpoint, "test")[0], encoder, {})
    from triptych.core.images import open_picture

    both = [open_picture(pinpoint / "images" / f"{signature(n)}.jpg") for n in (0, 9)]
    vectors = encoder.encode_pictures(np.stack([encoder.prepare(picture) for picture in both]))
    np.testing.assert_allclose(task.references[2], unit(vectors.mean(axis=0)), atol=1e-6)


def test_pinpoints_pictures_may_lie_as_their_host_has_them(pinpoint):
    (pinpoint / "images").rename(pinpoint / "other")
    name = signature(1)
    write_squares(pinpoint / "736x", [f"{name[:2]}/{name[2:4]}/{name[4:6]}/{name}.jpg"])
    (task,) = load_tasks("pinpoint", pinpoint, "test")
    assert task.file(name).is_file()


def test_pinpoint_without_its_gallery_takes_what_the_queries_name(pinpoint, capsys):
    (pinpoint / "index_signatures.txt").unlink()
    (task,) = load_tasks("pinpoint", pinpoint, "test")
    assert len(task.gallery) == 6
    assert (
        "index_signatures.txt is missing; the gallery is the 6 pictures that the queries name"
        in capsys.readouterr().err
    )
    (pinpoint / "pinpoint_licensed.parquet").write_bytes(b"spoilt")
    with pytest.raises(DataError, match="not readable as Parquet"):
        load_tasks("pinpoint", pinpoint, "test")


@pytest.fixture
def circled(tmp_path):
    write_cirr(tmp_path / "cirr")
    write_circo(tmp_path / "CIRCO")
    turns = [("dev-0-0-img0", "Two dogs."), ("dev-0-1-img0", "add a cat"), ("dev-0-2-img0", "darker")]

    def session(name: str, truths: list[Any], asked: list[tuple[Any, str]]) -> dict[str, Any]:
        listed = [
            {"turn": n, "reference_image_id": reference, "relative_caption": text}
            for n, (reference, text) in enumerate(asked, 1)
        ]
        count = len(asked)
        return {
            "session_id": name,
            "ground_truth_ids": truths,
            "num_turns": count,
            "turns": listed,
            "subset": "cirr_val",
        }

    write(
        tmp_path / "cirr_val.json",
        [session("cirr_val_0000", ["dev-0-5-img0"], turns), session("cirr_val_0001", ["dev-0-5-img0"], turns[:2])],
    )
    write(tmp_path / "circo_val.json", [session("circo_val_0000", [10, 13], [(7, "a"), (10, "b")])])
    return tmp_path


def test_circled_has_a_task_for_each_turn_and_one_for_the_last(circled, capsys):
    tasks = {task.name: task for task in load_tasks("circled", circled, "val")}
    assert list(tasks)[:4] == ["cirr_val turn 1", "cirr_val turn 2", "cirr_val turn 3", "cirr_val last turn"]
    assert [len(tasks[f"cirr_val turn {n}"].queries) for n in (1, 2, 3)] == [2, 2, 1]
    last = tasks["cirr_val last turn"].queries
    assert [query.reference for query in last] == ["dev-0-2-img0", "dev-0-1-img0"]
    assert last[0].modification == "Two dogs. add a cat. darker"
    # One of two answers is the reference of the second turn: the other stays.
    (query,) = tasks["circo_val turn 2"].queries
    assert query.targets == {f"{13:012d}"}
    assert "not measured, since sessions or dataset are missing: fashioniq_dress_val" in capsys.readouterr().err
    alone = {task.name: task for task in load_tasks("circled", circled, "val", ["history=last"])}
    assert alone["cirr_val turn 3"].queries[0].modification == "darker"


def test_wrong_circled_files(circled):
    path = circled / "cirr_val.json"
    sessions = json.loads(path.read_text())
    for change, message in [
        ({"num_turns": 5}, '"num_turns" is 5, but there are 3'),
        ({"ground_truth_ids": ["dev-9-9-img0"]}, "'dev-9-9-img0' is not in the gallery of cirr_val"),
    ]:
        write(path, [sessions[0] | change])
        with pytest.raises(DataError, match=message):
            load_tasks("circled", circled, "val")
    for name in ("cirr_val.json", "circo_val.json"):
        (circled / name).unlink()
    with pytest.raises(DataError, match="there is no subset of val with its dataset's folder beside it"):
        load_tasks("circled", circled, "val")


def test_triplets_of_any_format_are_imported_by_the_names_of_their_fields(tmp_path, noise):
    import triptych
    from triptych.triplets.file import read_triplets

    records = [
        {
            "image": "0001.png",
            "target_image": "0002.png",
            "modifications": ["in red", "make it red"],
            "hard": ["0003.png"],
        },
        {"image": "0004.png", "target_image": ["0005.png", "0006.png"], "modifications": "in blue"},
        {"image": "0007.png", "target_image": "elsewhere.png", "modifications": "in blue"},
    ]
    lines(tmp_path / "source.jsonl", records)
    named = {"reference": "image", "text": "modifications", "target": "target_image", "negatives": "hard"}
    found = triptych.triplets_import(tmp_path / "source.jsonl", tmp_path / "t.parquet", catalog=noise, names=named)
    assert (found.triplets, found.missing_pictures, found.format) == (2, 1, "fields")
    first, second = read_triplets(tmp_path / "t.parquet")[0]
    assert (first.reference, first.target, first.negatives) == ("0001.png", "0002.png", ("0003.png",))
    assert [wording.text for wording in first.modifications] == ["in red", "make it red"]
    assert second.other_targets == ("0006.png",)
    with pytest.raises(UsageError, match="say which field holds the target"):
        triptych.triplets_import("a", tmp_path / "t", catalog=noise, names={"reference": "a", "text": "b"})
    with pytest.raises(DataError, match="not a triplet with reference in 'ref'"):
        triptych.triplets_import(
            tmp_path / "source.jsonl", tmp_path / "t", catalog=noise, names=named | {"reference": "ref"}
        )
    with pytest.raises(DataError, match="with --field reference=NAME"):
        triptych.triplets_import(tmp_path / "source.jsonl", tmp_path / "t", catalog=noise)
