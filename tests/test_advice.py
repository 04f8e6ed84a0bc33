import pytest

from wavegen.advice import advise
from wavegen.config import CONFIGS


@pytest.mark.parametrize("family", CONFIGS)
def test_more_sound_never_takes_less_time(family):
    model = CONFIGS[family]()
    lengths = [1, 5, 20, 90, 400, 1200, 5000, 40000]
    advised = [advise(length, 5000, model, "small") for length in lengths]
    times = [one.seconds for one in advised]
    assert times == sorted(times) and times[0] == 300 and all(time % 300 == 0 for time in times)
    assert len({one.expectation for one in advised}) == 5


def test_a_wider_range_is_advised_where_there_is_one():
    model = CONFIGS["wavenet"]()
    assert advise(600, 8000, model, "small").remark == ""
    assert "--preset fullband" in advise(600, 16000, model, "small").remark
    assert advise(600, 16000, model, "fullband").remark == ""
