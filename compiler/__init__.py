"""The compiler: a trained network in, a core image out."""

from .options import CompileOptions
from .pipeline import compile_network

__all__ = ["CompileOptions", "compile_network"]
