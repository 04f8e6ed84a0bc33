"""wavegen learns from a musician's own recordings and plays on."""

__version__ = "0.1.0"
