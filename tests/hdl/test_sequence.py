from amaranth.sim import Simulator, SimulatorContext

from spikewright.frames import SEQUENCES, LinkSpec
from spikewright.hdl.sequence import SequenceCheck, Turn

WINDOW = 4
FAR = (256, 1 << 16, 1 << 31, SEQUENCES - 256)
NEW, AGAIN, REFUSED = (1, 0), (0, 1), (0, 0)


def test_numbers_of_some_sessions() -> None:
    """Past the last number too; the session's own HELLO is never executed again."""
    dut = SequenceCheck(LinkSpec(window=WINDOW))
    checked = 0

    async def turn(ctx: SimulatorContext, kind: int, number: int = 0) -> int:
        """Four turns, with pauses; the expected number that they show."""
        shown = b""
        for byte in (number % SEQUENCES).to_bytes(4, "little"):
            ctx.set(dut.turn, 1)
            ctx.set(dut.kind, kind)
            ctx.set(dut.i, byte)
            shown += bytes([ctx.get(dut.expected)])
            await ctx.tick()
            ctx.set(dut.turn, 0)
            ctx.set(dut.i, 0x55)
            await ctx.tick()
        return int.from_bytes(shown, "little")

    async def judge(ctx: SimulatorContext, sequence: int, hello: int = 0) -> tuple[int, int]:
        await turn(ctx, Turn.TAKE, sequence)
        ctx.set(dut.hello, hello)
        await ctx.delay(1e-9)
        return ctx.get(dut.execute), ctx.get(dut.again)

    async def bench(ctx: SimulatorContext) -> None:
        nonlocal checked
        expected = 0
        for sequence in (0, 1, 77, SEQUENCES - 1):
            assert await judge(ctx, sequence) == REFUSED
        for opening in (0, SEQUENCES - 20, 1, 0xABCD_1234):
            assert await judge(ctx, opening, hello=1) == NEW
            expected = (expected + opening) % SEQUENCES
            assert await turn(ctx, Turn.OPEN) == expected
            assert await turn(ctx, Turn.SHOW) == expected
            for n in range(40):
                for back in range(1, WINDOW + 3):
                    wanted = AGAIN if back <= min(n, WINDOW) else REFUSED
                    assert await judge(ctx, expected + n - back) == wanted
                for far in (1, 2, *FAR):
                    assert await judge(ctx, expected + n + far) == REFUSED
                assert await judge(ctx, opening, hello=1) == (REFUSED if n else AGAIN)
                assert await judge(ctx, opening + 1, hello=1) == NEW
                assert await judge(ctx, expected + n) == NEW
                assert await turn(ctx, Turn.NEXT) == (expected + n + 1) % SEQUENCES
                checked += 1
            expected = (expected + 40) % SEQUENCES

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run_until(0.1)
    assert checked == 160
