"""What `scripts/gpu-check` is made of: checks, the processes that they need, and the report.

``report`` and ``environment`` need the standard library alone. JAX is imported by
``workers`` and ``speed_worker`` only, which are processes of their own: the one that runs
the checks must take no memory of the device.
"""
