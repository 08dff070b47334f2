// Any Verilated model by port number; ports.inc is made from the model's header.
#include <algorithm>
#include <cstring>

#include "bench.h"

namespace {

struct Port {
    const char* name;
    uint32_t width;
    uint32_t input;
};

constexpr Port PORTS[] = {
#define PORT(member, name, width, input) {name, width, input},
#include "ports.inc"
#undef PORT
};
constexpr uint32_t PORT_COUNT = sizeof PORTS / sizeof PORTS[0];

struct Model : Bench {
    void* values[PORT_COUNT];

    explicit Model(uint32_t seed) : Bench(seed), values{
#define PORT(member, name, width, input) &top.member,
#include "ports.inc"
#undef PORT
    } {}
};

size_t size_of(uint32_t port) { return (PORTS[port].width + 7) / 8; }

}  // namespace

EXPORT uint32_t model_port_count() { return PORT_COUNT; }
EXPORT const char* model_port_name(uint32_t port) { return PORTS[port].name; }
EXPORT uint32_t model_port_width(uint32_t port) { return PORTS[port].width; }
EXPORT uint32_t model_port_input(uint32_t port) { return PORTS[port].input; }

EXPORT Model* bench_open(uint32_t seed) {
    auto* model = new Model(seed);
    model->eval();
    return model;
}

EXPORT void bench_close(Model* model) {
    model->top.final();
    delete model;
}

EXPORT void model_get(Model* model, uint32_t port, uint8_t* bytes) {
    std::memcpy(bytes, model->values[port], size_of(port));
}

EXPORT void model_set(Model* model, uint32_t port, const uint8_t* bytes) {
    std::memcpy(model->values[port], bytes, size_of(port));
    model->eval();
}

EXPORT void model_tick(Model* model, uint32_t clock, uint64_t cycles) {
    auto* level = static_cast<CData*>(model->values[clock]);
    for (; cycles; --cycles) {
        *level = 1;
        model->eval();
        *level = 0;
        model->eval();
    }
}
