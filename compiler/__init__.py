"""The compiler: a trained network in, a core image out."""

from .options import CompileOptions
from .pipeline import compile_network
from .report import CompileReport

__all__ = ["CompileOptions", "CompileReport", "compile_network"]
