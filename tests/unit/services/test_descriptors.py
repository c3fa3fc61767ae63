from __future__ import annotations

import subprocess
import sys

import pytest

RAISES = """
import resource, sys
from provisioner.services.descriptors import raise_limit
soft, hard = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
raised = raise_limit()
assert (raised, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)
print(raised)
"""


@pytest.mark.parametrize(("soft", "hard", "raised"), [(128, 1024, 1024), (128, 128, 128), (900, 901, 901)])
def test_a_process_takes_what_it_may(soft: int, hard: int, raised: int) -> None:
    argv = [sys.executable, "-c", RAISES, str(soft), str(hard)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert int(done.stdout) == raised
