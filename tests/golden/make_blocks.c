// Blocks as llama.cpp's reference quantisers write them, and every eighth number that it reads out of them again, for crates/model/src/formats/gguf/quantize.rs. Build beside llama.cpp:
//
//   cc -Iggml/include make_blocks.c build/ggml/src/libggml-base.a -lm -lstdc++ -lgomp -lpthread -o make_blocks && ./make_blocks > gguf/blocks.json
#include "ggml.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { COUNT = 2048, EVERY = 8 };

static unsigned int bits(float x) {
    unsigned int bits;
    memcpy(&bits, &x, 4);
    return bits;
}

// Every kind of block: spread out, all of one sign, mostly zero, tiny, equal, one large number.
static float number(int i) {
    double wave = sin(0.37 * i) + 0.5 * sin(1.93 * i + 1.0) + 0.1 * sin(17.0 * i);
    switch (i / 256) {
        case 0: return (float)wave;
        case 1: return (float)(wave * 0.02);
        case 2: return (float)(wave + 3.0);
        case 3: return (float)(wave - 3.0);
        case 4: return i % 7 == 0 ? (float)wave : 0.0f;
        case 5: return (float)(wave * 1e-4);
        case 6: return 0.25f;
        default: return i % 256 == 99 ? 40.0f : (float)(wave * 0.1);
    }
}

int main(void) {
    static float x[COUNT], read[COUNT];
    static unsigned char out[COUNT * 4];
    for (int i = 0; i < COUNT; ++i) x[i] = number(i);
    const enum ggml_type types[] = {GGML_TYPE_Q8_0, GGML_TYPE_Q5_0, GGML_TYPE_Q5_1, GGML_TYPE_Q2_K,
                                    GGML_TYPE_Q3_K, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K};
    printf("{\n  \"numbers\": [");
    for (int i = 0; i < COUNT; ++i) printf("%s%u", i ? "," : "", bits(x[i]));
    printf("]");
    for (int t = 0; t < (int)(sizeof types / sizeof *types); ++t) {
        const size_t size = ggml_quantize_chunk(types[t], x, out, 0, COUNT / 256, 256, NULL);
        printf(",\n  \"%s\": \"", ggml_type_name(types[t]));
        for (size_t i = 0; i < size; ++i) printf("%02x", out[i]);
        printf("\",\n  \"%s read\": [", ggml_type_name(types[t]));
        ggml_get_type_traits(types[t])->to_float(out, read, COUNT);
        for (int i = 0; i < COUNT; i += EVERY) printf("%s%u", i ? "," : "", bits(read[i]));
        printf("]");
    }
    printf("\n}\n");
    return 0;
}
