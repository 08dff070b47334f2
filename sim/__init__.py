"""The golden model, the Verilated core and the comparison of both."""
