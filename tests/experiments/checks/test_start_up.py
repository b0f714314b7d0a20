"""CPU seconds are those of the process that was started, and one that fails is no measurement."""

import pytest

from experiments.checks.start_up import EXPLAINED, cpu
from models import names


def test_the_seconds_are_those_the_process_counts_itself():
    work = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', time.process_time())"
    seconds, last = cpu(["-c", work])
    assert float(last) <= seconds < float(last) + 0.3


def test_a_process_that_fails_is_told():
    with pytest.raises(RuntimeError, match="exit code 3"):
        cpu(["-c", "raise SystemExit(3)"])


def test_the_models_are_there():
    assert set(EXPLAINED) <= set(names())
