"""Models of devices, free of I/O: time and inputs come as arguments, outputs are returned."""
