"""Where loggers answer in the network, for `ports`: who knows sets `source`, as the command line
does with the addresses of the fleet file. Imports nothing heavy: it is set before each verb.
"""

from collections.abc import Callable, Mapping

source: Callable[[], Mapping[str, str]] = dict  # returns {port: device_id}
