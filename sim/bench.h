// A Verilated model with seeded random content at power-up, and a waveform file on request.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>

#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
#elif VM_TRACE_VCD
#include "verilated_vcd_c.h"
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ports are copied as little-endian bytes");

// Verilator's: what depends on inputs, and what happens at the clock.
void Vtop___024root___eval_ico(Vtop___024root* root);
void Vtop___024root___eval_nba(Vtop___024root* root);

// Drivers derive from it: the C functions below take its address and theirs as the same.
class Bench {
    static constexpr uint64_t HALF_CYCLE_NS = 5;

    VerilatedContext context_;
#if VM_TRACE_FST
    std::unique_ptr<VerilatedFstC> trace_;
#elif VM_TRACE_VCD
    std::unique_ptr<VerilatedVcdC> trace_;
#endif

    static VerilatedContext* prepare(VerilatedContext& context, uint32_t seed) {
        context.randReset(2);
        context.randSeed(static_cast<int>(seed % 0x7fffffffU) + 1);
        context.fatalOnError(false);
        context.traceEverOn(VM_TRACE);
        return &context;
    }

  public:
    Vtop top;

    explicit Bench(uint32_t seed) : top{prepare(context_, seed)} {}
    ~Bench() { stop_trace(); }

    // Let the inputs take effect. A rise of the clock samples what settled before it.
    void eval() {
        top.eval();
#if VM_TRACE
        if (trace_) trace_->dump(context_.time());
        context_.timeInc(HALF_CYCLE_NS);
#endif
    }

    // A rise of the clock, for tops that have one and call it `clk`, after inputs changed that no
    // output follows without one. Without a waveform this does what Verilator's own evaluation
    // would come to: let the inputs in, then move every register. The fall would change nothing,
    // and finding out which clock rose costs more than a small model itself.
    template <typename Top = Vtop>
    void rise() {
        Top& clocked = top;
#if VM_TRACE
        clocked.clk = 0;
        eval();
        clocked.clk = 1;
        eval();
#else
        clocked.clk = 1;
        auto& root = *clocked.rootp;
        root.__VicoTriggered[0] = 1;
        Vtop___024root___eval_ico(&root);
        root.__VnbaTriggered[0] = 1;
        Vtop___024root___eval_nba(&root);
        root.__VnbaTriggered[0] = 0;
#endif
    }

    bool start_trace([[maybe_unused]] const char* path) {
#if VM_TRACE
        stop_trace();
        trace_.reset(new typename decltype(trace_)::element_type);
        top.trace(trace_.get(), 99);
        trace_->open(path);
        if (trace_->isOpen()) return true;
        trace_.reset();
#endif
        return false;
    }

    void stop_trace() {
#if VM_TRACE
        if (trace_) trace_->close();
        trace_.reset();
#endif
    }
};

// `width` <= 32 bits of a port of any width from bit `offset` upward.
template <typename Port>
inline uint32_t bits(const Port& port, unsigned offset, unsigned width) {
    uint64_t value;
    if constexpr (std::is_integral_v<Port>) {
        value = static_cast<uint64_t>(port) >> offset;
    } else {
        const unsigned word = offset / 32;
        value = port[word];
        if (4 * (word + 1) < sizeof(Port)) value |= static_cast<uint64_t>(port[word + 1]) << 32;
        value >>= offset % 32;
    }
    return static_cast<uint32_t>(value & ((uint64_t{1} << width) - 1));
}

// Where the words of a memory begin, and the bytes of each; null if there is no such memory.
// memories.inc is made from the model's header.
EXPORT const void* bench_memory(Bench* bench, const char* name, uint32_t* word_size) {
#define MEMORY(member, path)                             \
    if (!std::strcmp(name, path)) {                      \
        *word_size = sizeof bench->top.rootp->member[0]; \
        return &bench->top.rootp->member[0];             \
    }
#include "memories.inc"
#undef MEMORY
    return nullptr;
}

EXPORT int bench_start_trace(Bench* bench, const char* path) { return bench->start_trace(path); }

EXPORT void bench_stop_trace(Bench* bench) { bench->stop_trace(); }
