"""The wall page of the service park: what the archive and the fleet file say, live in a browser.

Reads only. `wall` makes the facts, `app` serves them; the page is in the folder `page`. Fails with
UsageError (an address that cannot be used, a library that is not installed).
"""
