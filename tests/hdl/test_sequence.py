from amaranth.sim import Simulator, SimulatorContext

from spikewright.frames import LinkSpec
from spikewright.hdl.sequence import SequenceCheck

WINDOW = 4


def test_numbers_over_more_than_a_session_of_256() -> None:
    """Also the session's own HELLO, each time its number comes round: never executed again."""
    dut = SequenceCheck(LinkSpec(window=WINDOW))
    first, nonce = 250, 0x1234
    checked = 0

    async def judge(ctx: SimulatorContext, sequence: int, hello: int, own: int) -> tuple[int, int]:
        ctx.set(dut.sequence, sequence % 256)
        ctx.set(dut.hello, hello)
        ctx.set(dut.nonce, nonce if own else nonce + 1)
        await ctx.tick()
        await ctx.tick()
        return ctx.get(dut.execute), ctx.get(dut.again)

    async def pulse(ctx: SimulatorContext, *, opens: bool) -> None:
        ctx.set(dut.opened, opens)
        await ctx.tick()
        ctx.set(dut.opened, 0)
        ctx.set(dut.executed, 1)
        await ctx.tick()
        ctx.set(dut.executed, 0)

    async def bench(ctx: SimulatorContext) -> None:
        nonlocal checked
        for sequence in (0, first):
            assert await judge(ctx, sequence, 0, 1) == (0, 0)
        assert await judge(ctx, first, 1, 1) == (1, 0)
        await pulse(ctx, opens=True)
        for n in range(1, 600):
            kept = min(n, WINDOW)
            for back in range(1, WINDOW + 3):
                assert await judge(ctx, first + n - back, 0, 1) == (0, back <= kept)
            is_stored = 0 < n % 256 <= WINDOW
            assert await judge(ctx, first, 1, 1) == (0, is_stored)
            assert await judge(ctx, first, 1, 0) == (1, is_stored)
            for own in (0, 1):
                assert await judge(ctx, first + n, 0, own) == (1, 0)
            await pulse(ctx, opens=False)
            checked += 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run_until(0.1)
    assert checked == 599
