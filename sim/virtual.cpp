// The whole Verilated device behind its UART pins: bytes go in and come out as bits, 8N1.
#include <algorithm>
#include <cstddef>

#include "bench.h"

#if !defined(DIVISOR) || !defined(BITS_A_BYTE)
#error "DIVISOR: clock cycles a bit; BITS_A_BYTE: bits that a byte takes on the line"
#endif

namespace {

constexpr unsigned RESET_CYCLES = 4;
constexpr unsigned STOP_BIT = 1U << (BITS_A_BYTE - 1);
// After this long without anything going on, a start bit has passed the design's synchronizers.
constexpr unsigned QUIET_CYCLES = 4 * DIVISOR + 16;

struct Board {
    Bench bench;
    const uint64_t clk = bench.clock(bench.top.clk);
    uint64_t cycles = 0;
    unsigned quiet = 0;
    double bit_cycles = DIVISOR;         // of the host, whose rate may be a little off
    unsigned driven = 0, driven_bits = 0;    // byte on rx, from its start bit
    unsigned sampled = 0, sampled_bits = 0;  // byte on tx
    double driven_cycles = 0, sampled_cycles = 0;  // left of the bit, and to the next sample
    uint64_t held_cycles = 0;  // of rx at a level, whatever the host sends
    bool held_level = true;

    explicit Board(uint32_t seed) : bench(seed) {
        bench.top.rx = 1;
        bench.top.rst = 1;
        bench.eval();
        for (unsigned n = 0; n < RESET_CYCLES; n++) clock();
        bench.top.rst = 0;
        bench.settle();
    }

    void clock() {
        bench.rise(clk);
        cycles++;
    }

    // Whether the line can take the next byte.
    bool can_send() const { return driven_bits == 0; }

    void send(uint8_t byte) {
        driven = STOP_BIT | static_cast<unsigned>(byte) << 1;
        driven_bits = BITS_A_BYTE;
        driven_cycles = bit_cycles;
    }

    // One clock cycle; whether `byte` came out.
    bool step(uint8_t& byte) {
        const bool rx = held_cycles ? held_level : driven_bits ? driven & 1 : 1;
        if (held_cycles) held_cycles--;
        if (rx != bench.top.rx) {
            bench.top.rx = rx;
            bench.settle();
        }
        if (driven_bits && --driven_cycles < 0.5) {
            driven_cycles += bit_cycles;
            driven >>= 1;
            driven_bits--;
        }
        clock();
        const bool busy = held_cycles || driven_bits || sampled_bits || bench.top.active || !bench.top.tx;
        quiet = busy ? 0 : quiet + 1;
        return sample(bench.top.tx, byte);
    }

    // Sample each bit in its middle; a byte without its stop bit is noise.
    bool sample(bool tx, uint8_t& byte) {
        if (!sampled_bits) {
            if (tx) return false;
            sampled_bits = BITS_A_BYTE;
            sampled_cycles = bit_cycles / 2;
        }
        if (--sampled_cycles >= -0.5) return false;
        sampled_cycles += bit_cycles;
        sampled = (sampled >> 1) | (tx ? STOP_BIT : 0);
        if (--sampled_bits) return false;
        byte = static_cast<uint8_t>(sampled >> 1);
        return (sampled & STOP_BIT) && !(sampled & 1);
    }
};

}  // namespace

EXPORT Board* board_open(uint32_t seed) { return new Board(seed); }
EXPORT void board_close(Board* board) { delete board; }
EXPORT uint64_t board_cycles(const Board* board) { return board->cycles; }

// Whether anything may happen without another byte.
EXPORT int board_active(const Board* board) { return board->quiet < QUIET_CYCLES; }

// Let the host's bits be so many times as long as the device's, from now on.
EXPORT void board_rate(Board* board, double bits) { board->bit_cycles = bits * DIVISOR; }

// Hold rx at a level for some cycles.
EXPORT void board_hold(Board* board, int level, uint64_t cycles) {
    board->held_level = level;
    board->held_cycles = cycles;
    board->quiet = 0;
}

// Send `size` bytes, then go on for `cycles` or until nothing is going on. Bytes that come out
// meanwhile go to `out`, which has room for two and for one more in the cycles of a byte; returns
// how many.
EXPORT size_t board_run(
    Board* board, const uint8_t* data, size_t size, uint64_t cycles, uint8_t* out
) {
    size_t count = 0;
    for (const uint8_t* end = data + size; data != end || cycles;) {
        if (data != end && board->can_send()) board->send(*data++);
        if (board->step(out[count])) count++;
        if (data == end) {
            if (!board_active(board)) break;
            cycles--;
        }
    }
    return count;
}
