// The core's driver: host accesses, and whole timesteps per call. LANES, UPDATE_LANES, GROUP_BITS,
// READ_LATENCY, STATE_LATENCY, PLASTIC and RANDOM_REGION come from the compiler's command line.
#include <algorithm>
#include <cstring>
#include <utility>

#include "bench.h"

namespace {

// How a call ended; sim/verilator.py has the words.
enum Outcome : int { OK, HUNG, REFUSED, STRAY_SPIKES, WRONG_CYCLES };

// A field in consecutive words of a memory: word k goes to values[timestep * stride + k * step].
struct Column {
    const uint8_t* words;
    uint32_t word_size, count;
    uint32_t offset, width, is_signed;
    uint32_t step;
    uint64_t stride;
    int32_t* values;

    void record(uint64_t timestep) const {
        const uint32_t skipped = offset / 8;
        const size_t bytes = std::min<size_t>(word_size - skipped, sizeof(uint64_t));
        const uint64_t sign = is_signed ? uint64_t{1} << (width - 1) : 0;
        const uint8_t* word = words + skipped;
        int32_t* value = values + timestep * stride;
        for (uint32_t k = 0; k < count; ++k, word += word_size, value += step) {
            uint64_t raw = 0;
            std::memcpy(&raw, word, bytes);
            raw = raw >> offset % 8 & ((uint64_t{1} << width) - 1);
            *value = static_cast<int32_t>((raw ^ sign) - sign);
        }
    }
};

struct Run {
    uint64_t timesteps;
    const uint32_t* counts;  // [timesteps] axon spikes
    const uint16_t* axons;   // of all timesteps, one after the other
    uint64_t neurons;
    uint64_t cycle_limit;  // of every wait
    uint64_t stall_seed;   // 0 for no stalls
    const uint8_t* learn;  // [timesteps] each, of a core that learns
    const int8_t* rewards;
    uint8_t* spikes;  // [timesteps][neurons], zeroed
    int64_t* cycles;       // [timesteps] each
    int64_t* synapses;
    int64_t* saturations;
    const Column* columns;  // recorded after every timestep
    uint64_t column_count;
    uint32_t* random;   // [timesteps] the random register after each, read; or null
    uint64_t timestep;  // out: finished timesteps
};

// Source: G. Marsaglia, Xorshift RNGs, Journal of Statistical Software 8(14), 2003.
struct Random {
    uint64_t state;
    uint32_t below(uint32_t bound) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return static_cast<uint32_t>((state >> 32) * bound >> 32);
    }
};

class Core : public Bench {
    const uint64_t clk_ = clock(top.clk);
    const uint64_t neurons_clk_ = clock(top.neurons_clk);
    const uint64_t host_clk_ = clock(top.host_clk);
    uint64_t always_ = clk_ | host_clk_;  // clocks that rise whatever the core does
    uint64_t cycle_ = 0;
    bool changed_ = true;  // inputs, since they last took effect

    // Axon spikes that are offered, one a cycle but for gaps, whatever else goes on.
    const uint16_t* axon_ = nullptr;
    uint32_t axons_left_ = 0;
    uint32_t gap_odds_ = 0;  // of 256
    bool hold_ = false;
    uint64_t refused_ = 0;  // cycles since the last was offered
    Random random_{1};

    // What the timestep in progress has shown.
    uint8_t* spikes_ = nullptr;
    int64_t cycles_ = 0, synapses_ = 0, saturations_ = 0;
    int next_group_ = 0;
    bool stray_ = false;

    void observe() {
        const auto& spikes = top.spikes;
        if (bits(spikes, 0, 1)) {
            const int group = bits(spikes, 1, GROUP_BITS);
            if (!spikes_ || group < next_group_) stray_ = true;
            next_group_ = group + 1;
            if (spikes_)
                for (uint32_t mask = bits(spikes, 1 + GROUP_BITS, LANES); mask; mask &= mask - 1)
                    spikes_[group * LANES + __builtin_ctz(mask)] = 1;
        }
        const auto& events = top.events;
        cycles_ += bits(events, 0, 1);
        if (const uint32_t lanes = bits(events, 1, LANES)) synapses_ += __builtin_popcount(lanes);
        if (const uint32_t lanes = bits(events, 1 + LANES, UPDATE_LANES))
            saturations_ += __builtin_popcount(lanes);
    }

    void offer() {
        auto& valid = top.i_spikes___05Fvalid;
        if (valid || !axons_left_ || hold_) return;
        if (gap_odds_ && random_.below(256) < gap_odds_) return;
        drive(valid, 1);
        top.i_spikes___05Fpayload = *axon_;
    }

    template <typename Port>
    void drive(Port& port, uint32_t value) {
        port = value;
        changed_ = true;
    }

    // Inputs change while the clocks are low, outputs settle, then everything moves on at the rise.
    void cycle() {
        offer();
        if (changed_) settle();
        changed_ = false;
        observe();
        const bool offered = top.i_spikes___05Fvalid;
        const bool taken = offered && top.i_spikes___05Fready;
        refused_ = offered && !taken ? refused_ + 1 : 0;
        rise(always_ | (top.awake ? neurons_clk_ : 0));
        ++cycle_;
        if (taken) {
            drive(top.i_spikes___05Fvalid, 0);
            ++axon_;
            --axons_left_;
        }
    }

    void select(uint32_t region, uint32_t index) {
        drive(top.host___05Fregion, region);
        drive(top.host___05Findex, index);
    }

    Outcome wait_while_busy(uint64_t limit) {
        for (; top.busy; --limit) {
            if (!limit) return HUNG;
            cycle();
        }
        return OK;
    }

    Outcome timestep(const Run& run, uint64_t t) {
        hold_ = false;
        while (axons_left_) {
            if (refused_ > run.cycle_limit) return REFUSED;
            cycle();
        }
        if (run.stall_seed)
            for (uint32_t idle = random_.below(4); idle; --idle) cycle();
        if (cycles_) return WRONG_CYCLES;
        spikes_ = run.spikes + t * run.neurons;
        synapses_ = saturations_ = next_group_ = 0;
        const uint64_t start = cycle_;
        drive(top.step, 1);
#if PLASTIC
        drive(top.learn, run.learn[t]);
        drive(top.reward, static_cast<uint8_t>(run.rewards[t]));
#endif
        cycle();
        drive(top.step, 0);
#if PLASTIC
        // Only the cycle of the step counts.
        drive(top.learn, !run.learn[t]);
        drive(top.reward, static_cast<uint8_t>(~run.rewards[t]));
#endif
        if (t + 1 < run.timesteps) axons_left_ = run.counts[t + 1];
        if (run.stall_seed) {
            static constexpr uint32_t ODDS[] = {0, 64, 192, 250};
            hold_ = random_.below(2);
            gap_odds_ = ODDS[random_.below(4)];
        }
        if (const Outcome outcome = wait_while_busy(run.cycle_limit)) return outcome;
        spikes_ = nullptr;
        if (cycles_ != static_cast<int64_t>(cycle_ - start)) return WRONG_CYCLES;
        run.cycles[t] = std::exchange(cycles_, 0);
        run.synapses[t] = synapses_;
        run.saturations[t] = saturations_;
        if (run.column_count)
            for (int i = 0; i < STATE_LATENCY; ++i) cycle();
        for (uint64_t i = 0; i < run.column_count; ++i) run.columns[i].record(t);
        if (run.random)
            read(RANDOM_REGION, 0, 1, sizeof *run.random, reinterpret_cast<uint8_t*>(run.random + t));
        return stray_ ? STRAY_SPIKES : OK;
    }

  public:
    explicit Core(uint32_t seed) : Bench(seed) {
        top.i_spikes___05Fvalid = 0;
        top.step = top.clear = 0;
        top.host___05Fw_en = top.host___05Fr_en = 0;
        top.rst = top.neurons_rst = top.host_rst = 1;
        eval();
        for (int i = 0; i < 4; ++i) cycle();
        top.rst = top.neurons_rst = top.host_rst = 0;
        changed_ = true;
        cycle();
        always_ = clk_;
        stray_ = false;
    }

    uint64_t cycles() const { return cycle_; }

    void write(uint32_t region, uint32_t first, uint32_t count, size_t size, const uint8_t* data) {
        auto& port = top.host___05Fw_data;
        std::memset(&port, 0, sizeof port);
        always_ = clk_ | host_clk_;
        drive(top.host___05Fw_en, 1);
        for (uint32_t i = 0; i < count; ++i, data += size) {
            select(region, first + i);
            std::memcpy(&port, data, size);
            cycle();
        }
        drive(top.host___05Fw_en, 0);
        for (int rest = 0; rest < READ_LATENCY; ++rest) cycle();
        always_ = clk_;
    }

    void read(uint32_t region, uint32_t first, uint32_t count, size_t size, uint8_t* data) {
        always_ = clk_ | host_clk_;
        for (uint32_t i = 0; i < count; ++i, data += size) {
            select(region, first + i);
            drive(top.host___05Fr_en, 1);
            cycle();
            drive(top.host___05Fr_en, 0);
            for (int wait = 1; wait < READ_LATENCY; ++wait) cycle();
            std::memcpy(data, &top.host___05Fr_data, size);
        }
        always_ = clk_;
    }

    Outcome clear(uint64_t cycles) {
        drive(top.clear, 1);
        cycle();
        drive(top.clear, 0);
        const uint64_t start = cycle_;
        if (const Outcome outcome = wait_while_busy(cycles)) return outcome;
        return cycle_ - start + 1 == cycles ? OK : WRONG_CYCLES;
    }

    Outcome run(Run& run) {
        axon_ = run.axons;
        axons_left_ = run.timesteps ? run.counts[0] : 0;
        gap_odds_ = 0;
        cycles_ = 0;
        stray_ = false;
        // An odd factor spreads small seeds over all bits and keeps them from becoming zero.
        random_.state = run.stall_seed * 0x9e3779b97f4a7c15;
        Outcome outcome = OK;
        for (run.timestep = 0; run.timestep < run.timesteps && !outcome;)
            if (!(outcome = timestep(run, run.timestep))) ++run.timestep;
        spikes_ = nullptr;
        axons_left_ = 0;
        return outcome;
    }
};

}  // namespace

EXPORT Core* bench_open(uint32_t seed) { return new Core(seed); }

EXPORT void bench_close(Core* core) { delete core; }

EXPORT uint64_t core_cycles(const Core* core) { return core->cycles(); }

EXPORT void core_write(Core* core, uint32_t region, uint32_t first, uint32_t count, uint32_t size,
                       const uint8_t* data) {
    core->write(region, first, count, size, data);
}

EXPORT void core_read(Core* core, uint32_t region, uint32_t first, uint32_t count, uint32_t size,
                      uint8_t* data) {
    core->read(region, first, count, size, data);
}

EXPORT void core_record(Core*, const Column* columns, uint64_t count) {
    for (; count; --count) columns++->record(0);
}

EXPORT int core_clear(Core* core, uint64_t cycles) { return core->clear(cycles); }

EXPORT int core_run(Core* core, Run* run) { return core->run(*run); }
