"""Property tests take the time they take: none fails because the machine is busy. Tests import
the helpers beside them, such as `hand_table`.
"""

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.append(str(Path(__file__).parent))
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
