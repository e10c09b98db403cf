/* algorithm_cache.c - the algorithms of products that were measured, in a file that later processes read.
 *
 * A file is of one GPU, driver and cuBLASLt, which its name and its header tell. The header is followed by entries, in the order in which
 * they came, and by nothing else. One that is not just as this code writes it is as good as none and is written anew; what an entry says is
 * checked where it is used (product.c).
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "device/cuda/cuda.h"

#define FORMAT      1 /* another number whenever the kind of a product or what is asked of algorithms changes */
#define MAX_ENTRIES 4096

typedef struct file_header {
    char magic[8];
    uint32_t format, entry_bytes;
    char gpu[sizeof((struct cudaDeviceProp *)NULL)->name];
    int32_t capability, driver;
    uint64_t cublaslt;
    uint64_t n_entries, checksum; /* of the entries */
} file_header;

struct tern_cuda_algorithm_cache {
    char *path;
    file_header header; /* without n_entries and checksum */
    tern_cuda_algorithms known;
    bool has_new;
};

/* FNV-1a. */
static uint64_t checksum_of(const void *entries, size_t n) {
    const unsigned char *bytes = entries;
    uint64_t sum = 0xCBF29CE484222325u;
    for (size_t i = 0; i < n * sizeof(tern_cuda_algorithm); i++) sum = (sum ^ bytes[i]) * 0x100000001B3u;
    return sum;
}

static tern_cuda_algorithm *find(const tern_cuda_algorithm_cache *cache, const tern_cuda_product_kind *kind) {
    for (size_t i = 0; i < cache->known.n; i++)
        if (memcmp(&cache->known.entries[i].kind, kind, sizeof *kind) == 0) return &cache->known.entries[i];
    return NULL;
}

/* ---- The file ---- */

/* Entries of bytes that may be anything; none when they are not a file of this GPU, driver and cuBLASLt. */
static size_t entries_in(const tern_cuda_algorithm_cache *cache, const char *bytes, size_t n_bytes) {
    file_header header;
    if (n_bytes < sizeof header) return 0;
    memcpy(&header, bytes, sizeof header);
    const uint64_t n = header.n_entries, checksum = header.checksum;
    header.n_entries = header.checksum = 0;
    if (memcmp(&header, &cache->header, sizeof header) != 0) return 0;
    if (n > MAX_ENTRIES || n_bytes != sizeof header + (size_t)n * sizeof(tern_cuda_algorithm)) return 0;
    return checksum_of(bytes + sizeof header, (size_t)n) == checksum ? (size_t)n : 0;
}

/* What the file has of kinds that are not known, as far as there is room. */
static void read_file(tern_cuda_algorithm_cache *cache) {
    char *bytes;
    size_t n_bytes;
    if (tern__file_read(&bytes, &n_bytes, cache->path, sizeof(file_header) + MAX_ENTRIES * sizeof(tern_cuda_algorithm), NULL) != TERN_OK)
        return;
    const size_t n = entries_in(cache, bytes, n_bytes), n_known = cache->known.n;
    for (size_t i = 0; i < n && cache->known.n < MAX_ENTRIES; i++) {
        tern_cuda_algorithm entry;
        memcpy(&entry, bytes + sizeof(file_header) + i * sizeof entry, sizeof entry);
        if (n_known > 0 && find(cache, &entry.kind) != NULL) continue;
        if (!tern__grow(&cache->known.entries, &cache->known.capacity, cache->known.n + 1, sizeof entry)) break;
        cache->known.entries[cache->known.n++] = entry;
    }
    free(bytes);
}

static tern_status write_file(const tern_cuda_algorithm_cache *cache, tern_error *err) {
    file_header header = cache->header;
    header.n_entries = cache->known.n;
    header.checksum = checksum_of(cache->known.entries, cache->known.n);
    tern_writer writer;
    TERN_TRY(tern__writer_open(&writer, cache->path, err));
    tern_status status = tern__writer_write(&writer, &header, sizeof header, err);
    if (status == TERN_OK) status = tern__writer_write(&writer, cache->known.entries, cache->known.n * sizeof *cache->known.entries, err);
    if (status == TERN_OK) return tern__writer_commit(&writer, err);
    tern__writer_discard(&writer);
    return status;
}

/* The folder's descriptor, locked, so that what one process adds is not lost to another's file. -1: as good without, where there are no
 * locks. */
static int lock_folder(const tern_cuda_algorithm_cache *cache) {
    char *folder = strdup(cache->path), *end = folder != NULL ? strrchr(folder, '/') : NULL;
    if (end != NULL) *end = '\0';
    const int descriptor = end != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(folder);
    if (descriptor >= 0) (void)flock(descriptor, LOCK_EX);
    return descriptor;
}

/* ---- The cache ---- */

/* "<folder>/cuda-<GPU>-sm_90-driver-13000-cublaslt-130000"; of the GPU's name letters and digits. */
static char *path_of(const file_header *header, const char *folder) {
    char name[256];
    const int n = snprintf(name, sizeof name, "cuda-%.100s-sm_%d-driver-%d-cublaslt-%llu", header->gpu, (int)header->capability,
                           (int)header->driver, (unsigned long long)header->cublaslt);
    for (int i = 0; i < n; i++) {
        const char c = name[i];
        const bool is_kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        if (!is_kept) name[i] = '-';
    }
    return tern__path_join(folder, name);
}

/* A pipe would be waited for. */
static bool is_other_than_file(const char *path) {
    struct stat facts;
    return stat(path, &facts) == 0 && !S_ISREG(facts.st_mode);
}

tern_status tern__cuda_algorithm_cache_open(tern_cuda_algorithm_cache **out, const tern_cuda_device *device, const char *folder,
                                            tern_error *err) {
    struct cudaDeviceProp properties;
    int driver = 0;
    *out = NULL;
    if (folder == NULL) return TERN_OK;
    TERN_CUDA_TRY(device, cudaGetDeviceProperties(&properties, device->index), "opening it", err);
    TERN_CUDA_TRY(device, cudaDriverGetVersion(&driver), "opening it", err);
    tern_cuda_algorithm_cache *cache = tern__alloc_zero(1, sizeof *cache);
    if (cache == NULL) return TERN_FAIL_MEMORY(err, sizeof *cache);
    file_header *header = &cache->header;
    memcpy(header->magic, "TERNALGO", sizeof header->magic);
    header->format = FORMAT, header->entry_bytes = sizeof *cache->known.entries;
    snprintf(header->gpu, sizeof header->gpu, "%s", properties.name);
    header->capability = device->capability, header->driver = driver, header->cublaslt = cublasLtGetVersion();
    cache->path = path_of(header, folder);
    if (cache->path == NULL || is_other_than_file(cache->path)) {
        const bool is_short_of_memory = cache->path == NULL;
        tern__cuda_algorithm_cache_close(cache);
        return is_short_of_memory ? TERN_FAIL_MEMORY(err, strlen(folder) + 1) : TERN_OK;
    }
    read_file(cache);
    *out = cache;
    return TERN_OK;
}

const cublasLtMatmulAlgo_t *tern__cuda_algorithm_cache_find(const tern_cuda_algorithm_cache *cache, const tern_cuda_product_kind *kind) {
    const tern_cuda_algorithm *entry = cache != NULL ? find(cache, kind) : NULL;
    return entry != NULL ? &entry->algorithm : NULL;
}

void tern__cuda_algorithm_cache_add(tern_cuda_algorithm_cache *cache, const tern_cuda_algorithm *entry) {
    if (cache == NULL) return;
    tern_cuda_algorithms *known = &cache->known;
    tern_cuda_algorithm *old = find(cache, &entry->kind);
    if (old == NULL && known->n == MAX_ENTRIES) memmove(known->entries, known->entries + 1, --known->n * sizeof *known->entries);
    if (old == NULL) {
        if (!tern__grow(&known->entries, &known->capacity, known->n + 1, sizeof *known->entries)) return;
        old = &known->entries[known->n++];
    }
    *old = *entry;
    cache->has_new = true;
}

void tern__cuda_algorithm_cache_write(tern_cuda_algorithm_cache *cache) {
    if (cache == NULL || !cache->has_new || tern__file_make_folders(cache->path, NULL) != TERN_OK) return;
    const int lock = lock_folder(cache);
    read_file(cache);
    if (write_file(cache, NULL) == TERN_OK) cache->has_new = false;
    if (lock >= 0) close(lock);
}

void tern__cuda_algorithm_cache_close(tern_cuda_algorithm_cache *cache) {
    if (cache == NULL) return;
    free(cache->known.entries);
    free(cache->path);
    free(cache);
}
