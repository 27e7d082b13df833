from __future__ import annotations

from tests.support.bug_sample import SAMPLE_SIZE, evaluate


def test_whether_enough_bugs_are_found_does_not_depend_on_the_seed() -> None:
    """With 26 survivors of 539, every third sample of 60 has more than three of them."""
    tried = set()
    for seed in range(50):
        judged = evaluate(range(539), lambda bug: bug < 26, seed)

        assert judged.is_enough, seed
        tried.add(judged.tried)
    assert min(tried) == SAMPLE_SIZE
    assert max(tried) > SAMPLE_SIZE


def test_where_every_second_bug_survives_all_are_tried_and_not_enough_are_found() -> None:
    judged = evaluate(range(100), lambda bug: bug % 2 == 0, 1)

    assert not judged.is_enough
    assert judged.tried == 100
    assert sorted(judged.survivors) == list(range(0, 100, 2))


def test_all_bugs_are_tried_on_request() -> None:
    assert evaluate(range(100), lambda bug: False, 1, is_all=True) == (100, [])
