"""From the bytes of an executable to runs of it; the devices."""
