"""Formal proofs of the link's blocks: checkers around them, mutants of them, and SymbiYosys.

A checker (:class:`formal.blocks.Checker`) instantiates a block as it is synthesized, leaves its
inputs free and asserts what is claimed of it. Induction makes a claim hold in every cycle after
reset; invariants, which name the block's registers, are proved with it. A mutant is caught by a
trace from reset, and by the claim alone: invariants are left out there.

Proofs lean on each other. Where a checker assumes something of a block's surroundings, the checker
of those asserts it: frames and bytes between ``FrameReceiver`` and ``CommandDecoder``, the course
of a load between ``CommandDecoder`` and ``ImageLoad``, when numbers are judged between it and
``SequenceCheck``, order in the queues by the FIFO's. A part that a claim does not lean on has a
stand-in with free outputs, so it holds whatever that part does.

Not claimed: that replies are encoded right (the benches compare them), what a line does to
metastability, and sizes other than those that :mod:`formal.claims` lists.
"""
