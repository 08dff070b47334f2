"""Formal proofs of the link's blocks: checkers around them, mutants of them, and SymbiYosys."""
