import numpy as np

from triptych.training.data.triplets import insert_distractors

IDS = np.array([[5, 6, 7, 0, 0, 0, 0], [5, 6, 5, 6, 5, 6, 5], [9, 0, 0, 0, 0, 0, 0]], np.int64)
DISTRACTORS = np.arange(100, 200)


def inserted(seed: int) -> np.ndarray:
    return insert_distractors(IDS, DISTRACTORS, np.random.default_rng(seed))


def test_a_texts_words_stay_in_order_and_whole():
    for seed in range(200):
        for before, after in zip(IDS, inserted(seed), strict=True):
            assert [number for number in after if 0 < number < 100] == [number for number in before if number]


def test_distractors_come_anywhere_and_the_padding_stays_at_the_end():
    places, counts = set(), set()
    for seed in range(200):
        row = inserted(seed)[0]
        length = int((row != 0).sum())
        assert not row[length:].any()
        places |= set(np.flatnonzero(row >= 100).tolist())
        counts.add(length - 3)
    assert places == set(range(6))
    assert counts == {0, 1, 2, 3}


def test_a_full_text_stays_as_it_is():
    assert all((inserted(seed)[1] == IDS[1]).all() for seed in range(50))


def test_it_follows_from_the_seed():
    assert (inserted(3) == inserted(3)).all()
    assert any((inserted(3) != inserted(seed)).any() for seed in range(4, 8))
