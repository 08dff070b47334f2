import math
from typing import Any

import pytest

from spikewright.compiler import CompileOptions
from spikewright.errors import ModelError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dt": 0.0}, r"dt must be a positive time \[s\], not 0\.0"),
        ({"dt": math.nan}, r"dt must be a positive time \[s\], not nan"),
        ({"dt": math.inf}, r"dt must be a positive time \[s\], not inf"),
        ({"reset": "none"}, r"reset must be one of 'subtract', 'zero', None, not 'none'"),
        ({"reset_delay": "no"}, r"reset_delay must be one of True, False, None, not 'no'"),
        ({"discretization": "rk4"}, r"discretization must be one of 'euler', 'exact', not 'rk4'"),
        ({"scaling": "max"}, r"scaling must be one of 'percentile', 'mse', not 'max'"),
        ({"scaling": "mse", "percentile": 99.0}, r"99\.0 is for scaling='percentile' alone"),
        ({"bits": (4, 1)}, r"bits must be 2 to 16, not 1"),
        ({"bits": {"n": 17}}, r"bits must be 2 to 16, not 17"),
        ({"bits": (4.5,)}, r"bits must be 2 to 16, not 4\.5"),
        ({"percentile": 0.0}, r"percentile must be above 0 and at most 100, not 0\.0"),
        ({"percentile": math.nan}, r"percentile must be above 0 and at most 100, not nan"),
    ],
)
def test_out_of_range(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        CompileOptions(**given)
    assert caught.value.hint


def test_faults_are_reported_together() -> None:
    with pytest.raises(ModelError) as caught:
        CompileOptions(dt=-1.0, percentile=101.0)
    assert len(caught.value.reasons) == 2
