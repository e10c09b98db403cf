/* fuzz_pickle.c - any bytes as what follows the head of a legacy file of torch.save: the object's pickle, the list of keys, the storages.
 * Refused, or every byte of every tensor can be read.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "store/torch_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n_bytes, size_t max_bytes, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t n_bytes, size_t max_bytes);

static const uint8_t head[] =
    "\x80\x02\x8A\x0Al\xFC\x9C\x46\xF9 j\xA8P\x19.\x80\x02M\xE9\x03.\x80\x02}(X\x0D\x00\x00\x00little_endian\x88u.";

typedef struct snippet {
    const char *bytes;
    size_t n;
} snippet;

#define SNIPPET(literal)                                                                                                                   \
    { literal, sizeof(literal) - 1 }

/* What pickles of tensors are made of. */
static const snippet snippets[] = {
    SNIPPET("("),
    SNIPPET("t"),
    SNIPPET("l"),
    SNIPPET("d"),
    SNIPPET("e"),
    SNIPPET("u"),
    SNIPPET("a"),
    SNIPPET("s"),
    SNIPPET("b"),
    SNIPPET("0"),
    SNIPPET("1"),
    SNIPPET("."),
    SNIPPET("N"),
    SNIPPET(")"),
    SNIPPET("]"),
    SNIPPET("}"),
    SNIPPET("R"),
    SNIPPET("Q"),
    SNIPPET("\x85"),
    SNIPPET("\x86"),
    SNIPPET("\x87"),
    SNIPPET("\x88"),
    SNIPPET("\x8F"),
    SNIPPET("\x90"),
    SNIPPET("\x91"),
    SNIPPET("\x93"),
    SNIPPET("\x94"),
    SNIPPET("h\x00"),
    SNIPPET("h\x01"),
    SNIPPET("h\x05"),
    SNIPPET("q\x00"),
    SNIPPET("q\x01"),
    SNIPPET("j\x02\x00\x00\x00"),
    SNIPPET("r\x03\x00\x00\x00"),
    SNIPPET("K\x00"),
    SNIPPET("K\x01"),
    SNIPPET("K\x02"),
    SNIPPET("M\x00\x01"),
    SNIPPET("J\xFF\xFF\xFF\xFF"),
    SNIPPET("\x8A\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"),
    SNIPPET("\x8A\x09\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x00"),
    SNIPPET("I01\n"),
    SNIPPET("L12345678901L\n"),
    SNIPPET("G\x00\x00\x00\x00\x00\x00\x00\x00"),
    SNIPPET("U\x01"
            "a"),
    SNIPPET("X\x01\x00\x00\x00"
            "0"),
    SNIPPET("X\x01\x00\x00\x00"
            "b"),
    SNIPPET("X\x07\x00\x00\x00storage"),
    SNIPPET("C\x01"
            "a"),
    SNIPPET("X\xFF\xFF\xFF\x7F"),
    SNIPPET("\x95\x00\x00\x00\x00\x00\x00\x00\x00"),
    SNIPPET("ccollections\nOrderedDict\n"),
    SNIPPET("ctorch\nSize\n"),
    SNIPPET("ctorch\nFloatStorage\n"),
    SNIPPET("ctorch\nHalfStorage\n"),
    SNIPPET("ctorch\nLongStorage\n"),
    SNIPPET("ctorch.storage\nUntypedStorage\n"),
    SNIPPET("ctorch\nfloat32\n"),
    SNIPPET("ctorch\nTensor\n"),
    SNIPPET("ctorch._utils\n_rebuild_tensor\n"),
    SNIPPET("ctorch._utils\n_rebuild_tensor_v2\n"),
    SNIPPET("ctorch._utils\n_rebuild_tensor_v3\n"),
    SNIPPET("ctorch._utils\n_rebuild_parameter\n"),
    SNIPPET("ctorch._tensor\n_rebuild_from_type_v2\n"),
    SNIPPET("c_codecs\nencode\n"),
    SNIPPET("X\x01\x00\x00\x00"
            "cctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00"
            "0NK\x02NtQK\x00K\x02\x85K\x01\x85\x89}tRs"),
    SNIPPET("K\x02K\x02\x86K\x01K\x00\x86"),
    SNIPPET("\x02\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04\x05\x06\x07\x08"),
};

/* Half of the changes put a snippet in, or over what is there. */
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n_bytes, size_t max_bytes, unsigned seed) {
    const snippet *it = &snippets[(seed >> 2) % (sizeof snippets / sizeof snippets[0])];
    const size_t at = n_bytes ? (seed >> 10) % (n_bytes + 1) : 0;
    if (seed % 4 == 0 && n_bytes + it->n <= max_bytes) {
        memmove(bytes + at + it->n, bytes + at, n_bytes - at);
        memcpy(bytes + at, it->bytes, it->n);
        return n_bytes + it->n;
    }
    if (seed % 4 == 1 && at + it->n <= n_bytes) {
        memcpy(bytes + at, it->bytes, it->n);
        return n_bytes;
    }
    return LLVMFuzzerMutate(bytes, n_bytes, max_bytes);
}

static void require(bool is_so) {
    if (!is_so) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    const size_t n_head = sizeof head - 1;
    uint8_t *whole = malloc(n_head + n_bytes);
    if (!whole) return 0;
    memcpy(whole, head, n_head);
    if (n_bytes > 0) memcpy(whole + n_head, bytes, n_bytes);
    tern_torch_file *file;
    tern_error err;
    const tern_status status = tern__torch_parse(&file, whole, n_head + n_bytes, "fuzz", &err);
    if (status != TERN_OK) {
        require((status == TERN_E_FORMAT || status == TERN_E_UNSUPPORTED) && err.code == status && strncmp(err.message, "fuzz: ", 6) == 0 &&
                !file);
        free(whole);
        return 0;
    }
    for (size_t i = 0; i < tern__torch_count(file); i++) {
        const tern_tensor *tensor = tern__torch_get(file, i);
        const uint8_t *data = tensor->data;
        const size_t size = (size_t)tern_tensor_elements(tensor) * tern_dtype_bytes(tensor->dtype);
        require(tern__torch_find(file, tensor->name) == tensor);
        require(data != NULL);
        size_t n_zero = 0;
        for (size_t j = 0; j < size; j++) n_zero += data[j] == 0;
        require(n_zero <= size);
    }
    tern__torch_close(file);
    free(whole);
    return 0;
}
