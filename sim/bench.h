// A Verilated model with seeded random content at power-up, and a waveform file on request.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

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

// Verilator's: what depends on inputs, which clocks rose, and what happens at their rise.
void Vtop___024root___eval_ico(Vtop___024root* root);
void Vtop___024root___eval_triggers_vec__act(Vtop___024root* root);
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

    struct Clock {
        CData* level;
        uint64_t triggers;
    };
    std::vector<Clock> clocks_;

    void lower() {
        for (const Clock& one : clocks_) *one.level = 0;
    }

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

    // Let the inputs and clocks take effect. A rise of a clock samples what settled before it.
    void eval() {
        top.eval();
#if VM_TRACE
        if (trace_) trace_->dump(context_.time());
        context_.timeInc(HALF_CYCLE_NS);
#endif
    }

    // Take over a clock; returns what it is called for rise(), the bits of Verilator's triggers.
    template <typename Top = Vtop>
    uint64_t clock(CData& level) {
        auto& root = *static_cast<Top&>(top).rootp;
        for (const CData now : {0, 1}) {
            level = now;
            Vtop___024root___eval_triggers_vec__act(&root);
        }
        clocks_.push_back({&level, root.__VactTriggered[0]});
        lower();
        return clocks_.back().triggers;
    }

    // Let inputs that changed take effect before the next rise().
    template <typename Top = Vtop>
    void settle() {
        Top& clocked = top;
#if VM_TRACE
        lower();
        clocked.eval();
#else
        auto& root = *clocked.rootp;
        root.__VicoTriggered[0] = 1;
        Vtop___024root___eval_ico(&root);
#endif
    }

    // A rise of some of the clocks at once. Without a waveform this does what Verilator's own
    // evaluation would come to: move every register. The fall would change nothing, and finding
    // out which clocks rose costs more than a small model itself.
    template <typename Top = Vtop>
    void rise(uint64_t clocks) {
        Top& clocked = top;
#if VM_TRACE
        lower();
        eval();
        for (const Clock& one : clocks_) *one.level = (one.triggers & clocks) != 0;
        eval();
#else
        auto& root = *clocked.rootp;
        root.__VnbaTriggered[0] = clocks;
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
