/* fuzz_zip.c - any bytes as a zip file: refused, or every entry lies inside it, apart from the others, and can be found by its name; and
 * the same bytes as a file of torch.save. SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "store/torch_file.h"
#include "store/zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n_bytes, size_t max_bytes, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t n_bytes, size_t max_bytes);

/* The n-th record of a zip file, counted round: what begins with PK and a small number. n_bytes when there is none. */
static size_t find_record(const uint8_t *bytes, size_t n_bytes, unsigned n) {
    size_t found = n_bytes, n_found = 0;
    for (int pass = 0; pass < 2; pass++) {
        size_t k = 0;
        for (size_t i = 0; i + 4 <= n_bytes; i++) {
            if (bytes[i] != 'P' || bytes[i + 1] != 'K' || bytes[i + 2] > 8) continue;
            if (pass == 0) n_found++;
            else if (k++ == n % n_found) found = i;
        }
        if (n_found == 0) break;
    }
    return found;
}

/* Most changes are made to a field of a record, in place, so that the offsets in the directory stay right. */
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t n_bytes, size_t max_bytes, unsigned seed) {
    static const uint64_t values[] = {0, 1, 2, 8, 46, 64, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, INT64_MAX, UINT64_MAX};
    const size_t record = find_record(bytes, n_bytes, seed >> 3), n_left = n_bytes - record;
    if (seed % 8 == 0 || n_left < 4) return LLVMFuzzerMutate(bytes, n_bytes, max_bytes);
    const size_t at = record + (seed >> 11) % (n_left < 64 ? n_left : 64), width = (size_t)1 << (seed >> 17) % 4;
    if (seed % 8 < 4) {
        const size_t room = n_bytes - at < 8 ? n_bytes - at : 8;
        LLVMFuzzerMutate(bytes + at, room, room);
        return n_bytes;
    }
    uint64_t value = values[(seed >> 19) % (sizeof values / sizeof values[0])];
    if (seed % 8 == 7) value = bytes[at] + (seed & 1024 ? 1U : 255U);
    for (size_t i = 0; i < width && at + i < n_bytes; i++) bytes[at + i] = (uint8_t)(value >> (8 * i));
    return n_bytes;
}

static void require(bool is_so) {
    if (!is_so) abort();
}

static void check_entries(const tern_zip *zip, const uint8_t *bytes, size_t n_bytes) {
    for (size_t i = 0; i < zip->n_entries; i++) {
        const tern_zip_entry *entry = &zip->entries[i];
        require(entry->data >= bytes && entry->data <= bytes + n_bytes && entry->n_bytes <= (size_t)(bytes + n_bytes - entry->data));
        require((const uint8_t *)entry->name >= bytes && (const uint8_t *)entry->name + entry->n_name <= bytes + n_bytes);
        require(tern__zip_find(zip, entry->name, entry->n_name) == entry);
        for (size_t j = 0; j < i; j++) {
            const tern_zip_entry *other = &zip->entries[j];
            require(other->data + other->n_bytes <= bytes + entry->begin || entry->data + entry->n_bytes <= bytes + other->begin);
        }
    }
}

static void check_torch(const uint8_t *bytes, size_t n_bytes) {
    tern_torch_file *file;
    tern_error err;
    const tern_status status = tern__torch_parse(&file, bytes, n_bytes, "fuzz", &err);
    if (status != TERN_OK) {
        require((status == TERN_E_FORMAT || status == TERN_E_UNSUPPORTED) && err.code == status && strncmp(err.message, "fuzz: ", 6) == 0 &&
                !file);
        return;
    }
    for (size_t i = 0; i < tern__torch_count(file); i++) {
        const tern_tensor *tensor = tern__torch_get(file, i);
        const uint8_t *data = tensor->data;
        const size_t size = (size_t)tern_tensor_elements(tensor) * tern_dtype_bytes(tensor->dtype);
        size_t n_zero = 0;
        for (size_t j = 0; j < size; j++) n_zero += data[j] == 0;
        require(n_zero <= size);
    }
    tern__torch_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
    tern_zip zip;
    tern_error err;
    const tern_status status = tern__zip_open(&zip, bytes, n_bytes, "fuzz", &err);
    if (status == TERN_OK) {
        check_entries(&zip, bytes, n_bytes);
        tern__zip_close(&zip);
    } else {
        require((status == TERN_E_FORMAT || status == TERN_E_UNSUPPORTED) && err.code == status && err.message[0] != '\0' && !zip.entries);
    }
    check_torch(bytes, n_bytes);
    return 0;
}
