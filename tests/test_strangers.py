import numpy as np

from triptych.training.data.triplets import mingle

IDS = np.array([[5, 6, 7, 0, 0, 0, 0], [5, 6, 5, 6, 5, 6, 5], [9, 0, 0, 0, 0, 0, 0]], np.int64)
STRANGERS = np.arange(100, 200)


def mingled(seed: int) -> np.ndarray:
    return mingle(IDS, STRANGERS, np.random.default_rng(seed))


def test_what_was_said_stays_in_order_and_whole():
    for seed in range(200):
        for before, after in zip(IDS, mingled(seed), strict=True):
            assert [number for number in after if 0 < number < 100] == [number for number in before if number]


def test_strangers_come_anywhere_and_the_padding_stays_at_the_end():
    places, counts = set(), set()
    for seed in range(200):
        row = mingled(seed)[0]
        length = int((row != 0).sum())
        assert not row[length:].any()
        places |= set(np.flatnonzero(row >= 100).tolist())
        counts.add(length - 3)
    assert places == set(range(6))
    assert counts == {0, 1, 2, 3}


def test_a_full_text_stays_as_it_is():
    assert all((mingled(seed)[1] == IDS[1]).all() for seed in range(50))


def test_it_follows_from_the_seed():
    assert (mingled(3) == mingled(3)).all()
    assert any((mingled(3) != mingled(seed)).any() for seed in range(4, 8))
