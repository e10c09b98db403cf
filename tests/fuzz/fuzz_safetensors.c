/* fuzz_safetensors.c - any bytes as a .safetensors file: refused, or every tensor lies inside them and can be found again.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "store/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n_bytes, size_t max_bytes, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t n_bytes, size_t max_bytes);

/* Most changes are made to the JSON header, with the length before it kept right: others seldom get past the first check. */
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n_bytes, size_t max_bytes, unsigned seed) {
    uint64_t n_header = 0;
    for (size_t i = 8; n_bytes >= 8 && i-- > 0;) n_header = n_header << 8 | bytes[i];
    if (seed % 8 == 0 || n_bytes < 8 || n_header > n_bytes - 8) return LLVMFuzzerMutate(bytes, n_bytes, max_bytes);
    size_t n_data = n_bytes - 8 - (size_t)n_header;
    uint8_t *data = malloc(n_data + 1);
    if (!data) return n_bytes;
    memcpy(data, bytes + 8 + n_header, n_data);
    n_header = LLVMFuzzerMutate(bytes + 8, (size_t)n_header, max_bytes - 8 - n_data);
    memcpy(bytes + 8 + n_header, data, n_data);
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(n_header >> (8 * i));
    free(data);
    return 8 + (size_t)n_header + n_data;
}

static void require(bool is_so) {
    if (!is_so) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    tern_safetensors *file;
    tern_error err;
    tern_status status = tern__safetensors_parse(&file, bytes, n_bytes, "fuzz", &err);
    if (status != TERN_OK) {
        require(status == TERN_E_FORMAT && err.code == status && err.message[0] != '\0' && !file);
        return 0;
    }
    const uint8_t *next = NULL;
    for (size_t i = 0; i < tern_safetensors_count(file); i++) {
        const tern_tensor *tensor = tern_safetensors_get(file, i);
        const uint8_t *data = tensor->data;
        size_t size = (size_t)tern_tensor_elements(tensor) * tern_dtype_bytes(tensor->dtype);
        require(tern_safetensors_find(file, tensor->name) == tensor);
        require(data >= bytes + 8 && data <= bytes + n_bytes && size <= (size_t)(bytes + n_bytes - data));
        require(!next || data == next);
        next = data + size;
    }
    require(!next || next == bytes + n_bytes);
    tern_safetensors_close(file);
    return 0;
}
