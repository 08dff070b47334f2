"""From a trained spiking network to an FPGA, proved equal at every step."""

__version__ = "0.1.0"
