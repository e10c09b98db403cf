/* unit_cuda_algorithm_cache.c - the file of measured algorithms (src/device/cuda/algorithm_cache.c), over the host's CUDA (runtime.cpp,
 * cublaslt.cpp): what one opening of the device measures a later one does not, and whatever is wrong with the file or its folder costs a
 * measurement and no more.
 * SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <time.h>

#include "find_host.h"

enum { WIDTH = 64, N_WORDS = 50, MAX_TOKENS = 64, FIRST_TOKENS = 8, OUT_OF_MEMORY = 2 /* cudaErrorMemoryAllocation */ };
/* Of the file, as algorithm_cache.c writes it. */
enum { HEADER_BYTES = 304, AT_N_ENTRIES = 288, AT_CHECKSUM = 296, ENTRY_BYTES = 152, MAX_ENTRIES = 4096 };

static const tern_device_record *record;
static host_state *host, whole;
static tern_program *program;
static float weights[N_WORDS * WIDTH];

/* Two linears of as many rows as there are tokens, of different epilogues. */
static tern_program *build(void) {
    tern_program *p;
    tern_error err;
    assert_int_equal(tern__program_new(&p, NULL), TERN_OK);
    const tern_value x = tern__embedding(p, tern__input(p, TERN_INPUT_IDS), N_WORDS, WIDTH, "words");
    const tern_value wide = tern__activation(p, tern__linear(p, x, WIDTH / 2, "up"), TERN_OP_RELU);
    tern__output(p, tern__linear(p, wide, WIDTH, "down"), "last");
    if (tern__program_finish(p, &err) != TERN_OK) fail_msg("%s", err.message);
    for (int32_t w = 0; w < p->n_weights; w++) p->weights[w].data = weights, p->weights[w].dtype = TERN_DTYPE_F32;
    assert_int_equal(tern__program_fuse(p, record->supports, NULL, NULL), TERN_OK);
    return p;
}

static int find_device(void **state) {
    (void)state;
    if (!find_host(&record, &host)) return -1;
    whole = *host;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) weights[i] = (float)(i * 37 % 101) / 100 - 0.5f;
    program = build();
    return 0;
}

static int free_all(void **state) {
    (void)state;
    tern__program_free(program);
    return 0;
}

static int teardown(void **state) {
    *host = whole;
    return test_folder_teardown(state);
}

/* ---- A process ---- */

typedef struct process {
    void *device, *compiled;
} process;

static process start(const char *folder) {
    process p;
    tern_error err;
    if (record->open(&p.device, &(tern_device_options){.cache_folder = folder}, &err) != TERN_OK) fail_msg("%s", err.message);
    if (record->compile(&p.compiled, p.device, program, "float32", &err) != TERN_OK) fail_msg("%s", err.message);
    return p;
}

static tern_status run(void *compiled, int n_tokens, float *out, tern_error *err) {
    int32_t ids[MAX_TOKENS];
    for (int i = 0; i < n_tokens; i++) ids[i] = 7 * i % N_WORDS;
    const tern_batch batch = {
        .n_sequences = 1, .n_tokens = n_tokens, .row_start = (const int64_t[]){0, n_tokens}, .inputs = {[TERN_INPUT_IDS] = ids}};
    return record->run(compiled, &batch, &(tern_run_output){.output = 0, .data = out}, 1, err);
}

static void run_tokens(const process *p, int n_tokens) {
    float out[MAX_TOKENS * WIDTH];
    tern_error err;
    if (run(p->compiled, n_tokens, out, &err) != TERN_OK) fail_msg("%s", err.message);
}

static void end(process *p) {
    record->release(p->compiled);
    record->close(p->device);
    assert_int_equal(host->used, 0);
}

/* A whole process: how often cuBLASLt was asked what to measure. */
static long suggestions_of(const char *folder, int n_tokens) {
    const long before = host->n_suggestions;
    process p = start(folder);
    run_tokens(&p, n_tokens);
    end(&p);
    return host->n_suggestions - before;
}

/* ---- Its file ---- */

typedef struct contents {
    unsigned char bytes[HEADER_BYTES + (MAX_ENTRIES + 1) * ENTRY_BYTES];
    size_t n;
} contents;

/* The only file there is. */
static test_path file_in(const test_folder *folder) {
    test_path path = {.text = ""};
    DIR *stream = opendir(folder->path);
    assert_non_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        if (entry->d_name[0] != '.') {
            if (path.text[0] != '\0') fail_msg("%s beside %s", entry->d_name, path.text);
            path = test_path_of(folder, entry->d_name);
        }
    closedir(stream);
    if (path.text[0] == '\0') fail_msg("no file");
    return path;
}

static contents *read_file(const char *path) {
    contents *c = calloc(1, sizeof *c);
    FILE *stream = fopen(path, "rb");
    assert_non_null(c);
    assert_non_null(stream);
    c->n = fread(c->bytes, 1, sizeof c->bytes, stream);
    fclose(stream);
    return c;
}

static void write_file(const char *path, const void *bytes, size_t n) {
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, n, stream), n);
    assert_int_equal(fclose(stream), 0);
}

static void expect_file(const char *path, const contents *expected) {
    contents *c = read_file(path);
    assert_int_equal(c->n, expected->n);
    assert_memory_equal(c->bytes, expected->bytes, c->n);
    free(c);
}

/* As many entries as are wanted: the first one's, for other numbers of rows. */
static void fill(contents *c, uint64_t n) {
    uint64_t sum = 0xCBF29CE484222325u;
    for (uint64_t i = 1; i < n; i++) {
        const int64_t rows = 1000000 + (int64_t)i;
        memcpy(c->bytes + HEADER_BYTES + i * ENTRY_BYTES, c->bytes + HEADER_BYTES, ENTRY_BYTES);
        memcpy(c->bytes + HEADER_BYTES + i * ENTRY_BYTES, &rows, sizeof rows);
    }
    c->n = HEADER_BYTES + n * ENTRY_BYTES;
    for (size_t i = HEADER_BYTES; i < c->n; i++) sum = (sum ^ c->bytes[i]) * 0x100000001B3u;
    memcpy(c->bytes + AT_N_ENTRIES, &n, sizeof n);
    memcpy(c->bytes + AT_CHECKSUM, &sum, sizeof sum);
}

/* ---- Tests ---- */

/* The faster one is kept, and used by a process for which the other would be faster: it does not measure. */
static void test_kept(void **state) {
    const test_folder *folder = *state;
    struct stat first, second;
    host->fastest = 1;
    assert_int_equal(suggestions_of(folder->path, FIRST_TOKENS), 2);
    assert_int_equal(stat(file_in(folder).text, &first), 0);
    assert_int_equal(first.st_size, HEADER_BYTES + 2 * ENTRY_BYTES);
    host->fastest = 0, host->n_products[0] = host->n_products[1] = 0;
    assert_int_equal(suggestions_of(folder->path, FIRST_TOKENS), 0);
    assert_int_equal(host->n_products[0], 0);
    assert_int_equal(host->n_products[1], 4); /* each tried once, and captured */
    assert_int_equal(stat(file_in(folder).text, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino); /* nothing is new, nothing is written */
    assert_int_equal(suggestions_of(NULL, FIRST_TOKENS), 2);
    assert_int_equal(suggestions_of(folder->path, MAX_TOKENS), 2); /* another kind */
    assert_int_equal(suggestions_of(folder->path, FIRST_TOKENS), 0);
    assert_int_equal(suggestions_of(folder->path, MAX_TOKENS), 0);
}

/* Within one opening, what another program has measured is there too. */
static void test_programs_share(void **state) {
    const test_folder *folder = *state;
    process first = start(folder->path), second = {.device = first.device};
    run_tokens(&first, FIRST_TOKENS);
    const long n = host->n_suggestions;
    assert_int_equal(record->compile(&second.compiled, second.device, program, "float32", NULL), TERN_OK);
    run_tokens(&second, FIRST_TOKENS);
    assert_int_equal(host->n_suggestions, n);
    record->release(second.compiled);
    end(&first);
}

static void expect_renewed(const test_folder *folder, const char *path, const contents *right) {
    if (suggestions_of(folder->path, FIRST_TOKENS) != 2) fail_msg("a wrong file is believed");
    expect_file(path, right);
}

/* Cut short, longer, of other bytes: ignored and written anew. */
static void test_wrong_files(void **state) {
    const test_folder *folder = *state;
    assert_int_equal(suggestions_of(folder->path, FIRST_TOKENS), 2);
    const test_path path = file_in(folder);
    contents *right = read_file(path.text), *wrong = read_file(path.text);
    for (size_t n = 0; n < right->n; n += n < 8 ? 1 : 53) {
        write_file(path.text, right->bytes, n);
        expect_renewed(folder, path.text, right);
        wrong->bytes[n] ^= 0x10;
        write_file(path.text, wrong->bytes, wrong->n);
        expect_renewed(folder, path.text, right);
        wrong->bytes[n] = right->bytes[n];
    }
    write_file(path.text, right->bytes, right->n + 1);
    expect_renewed(folder, path.text, right);
    write_file(path.text, right->bytes, HEADER_BYTES + ENTRY_BYTES);
    expect_renewed(folder, path.text, right);
    const uint64_t wraps = 2 + ((uint64_t)1 << 60); /* times ENTRY_BYTES: the bytes of 2 */
    memcpy(wrong->bytes + AT_N_ENTRIES, &wraps, sizeof wraps);
    write_file(path.text, wrong->bytes, wrong->n);
    expect_renewed(folder, path.text, right);
    uint32_t random = 1;
    for (size_t i = 0; i < sizeof wrong->bytes; i++) wrong->bytes[i] = (unsigned char)((random = random * 1664525u + 1013904223u) >> 24);
    for (size_t n = 1; n < sizeof wrong->bytes; n *= 8) {
        write_file(path.text, wrong->bytes, n);
        expect_renewed(folder, path.text, right);
    }
    free(right);
    free(wrong);
}

/* Another GPU, driver or cuBLASLt has a file of its own, and is not misled by one under its name. */
static void test_foreign_files(void **state) {
    const test_folder *folder = *state;
    const int driver = host->driver;
    for (int i = 0; i < 4; i++) {
        *host = whole;
        assert_int_equal(suggestions_of(folder->path, FIRST_TOKENS), 2);
        const test_path path = file_in(folder);
        contents *right = read_file(path.text);
        assert_int_equal(unlink(path.text), 0);
        if (i == 0) host->gpu = "another / host";
        if (i == 1) host->driver = driver + 10;
        if (i == 2) host->cublaslt = 130100;
        if (i == 3) host->capability = 89;
        assert_int_equal(suggestions_of(folder->path, FIRST_TOKENS), 2);
        const test_path other = file_in(folder);
        assert_string_not_equal(path.text, other.text);
        contents *own = read_file(other.text);
        write_file(other.text, right->bytes, right->n);
        expect_renewed(folder, other.text, own);
        assert_int_equal(unlink(other.text), 0);
        free(right);
        free(own);
    }
}

/* A file may not be read or even be none: a folder, a pipe that nobody writes to. */
static void test_unreadable(void **state) {
    const test_folder *folder = *state;
    assert_int_equal(suggestions_of(folder->path, FIRST_TOKENS), 2);
    const test_path path = file_in(folder);
    contents *right = read_file(path.text);
    if (geteuid() != 0) {
        assert_int_equal(chmod(path.text, 0), 0);
        expect_renewed(folder, path.text, right);
    }
    free(right);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(remove(path.text), 0);
        assert_int_equal(i == 0 ? mkdir(path.text, 0755) : mkfifo(path.text, 0644), 0);
        for (int j = 0; j < 2; j++) assert_int_equal(suggestions_of(folder->path, FIRST_TOKENS), 2);
    }
    assert_int_equal(test_folder_entries(folder), 1);
}

/* A folder is made; where none can be, nothing is kept. */
static void test_folders(void **state) {
    const test_folder *folder = *state;
    const test_path deep = test_path_of(folder, "a/b"), file = test_file_write(folder, "file", "", 0);
    assert_int_equal(suggestions_of(deep.text, FIRST_TOKENS), 2);
    assert_int_equal(suggestions_of(deep.text, FIRST_TOKENS), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(suggestions_of(file.text, FIRST_TOKENS), 2);
        assert_int_equal(suggestions_of(test_path_of(folder, "file/a").text, FIRST_TOKENS), 2);
    }
}

/* What wants too much scratch memory, adds up in another way, is refused by cuBLASLt or does not run is measured again and replaced. */
static void test_checked(void **state) {
    const test_folder *folder = *state;
    for (int i = 0; i < 4; i++) {
        if (i > 0) assert_int_equal(unlink(file_in(folder).text), 0);
        host->workspace = i == 0 ? ((size_t)32 << 20) + 1 : 0;
        host->reduction = i == 1 ? 1 /* CUBLASLT_REDUCTION_SCHEME_INPLACE */ : 0;
        assert_int_equal(suggestions_of(folder->path, FIRST_TOKENS), 2);
        host->workspace = 0, host->reduction = 0;
        host->refuses = i == 2, host->n_failing = i == 3;
        assert_int_equal(suggestions_of(folder->path, FIRST_TOKENS), i == 3 ? 1 : 2);
        host->refuses = 0;
        assert_int_equal(suggestions_of(folder->path, FIRST_TOKENS), 0);
    }
}

/* Two processes at once: the second to end keeps what the first has written. */
static void test_merged(void **state) {
    const test_folder *folder = *state;
    process first = start(folder->path), second = start(folder->path);
    run_tokens(&first, FIRST_TOKENS);
    run_tokens(&first, 2 * FIRST_TOKENS);
    run_tokens(&second, FIRST_TOKENS);
    run_tokens(&second, MAX_TOKENS);
    record->release(first.compiled);
    record->release(second.compiled);
    record->close(first.device);
    record->close(second.device);
    assert_int_equal(suggestions_of(folder->path, 2 * FIRST_TOKENS), 0);
    assert_int_equal(suggestions_of(folder->path, MAX_TOKENS), 0);
    contents *c = read_file(file_in(folder).text);
    assert_int_equal(c->n, HEADER_BYTES + 6 * ENTRY_BYTES);
    free(c);
}

static void test_bounded(void **state) {
    const test_folder *folder = *state;
    assert_int_equal(suggestions_of(folder->path, FIRST_TOKENS), 2);
    const test_path path = file_in(folder);
    contents *right = read_file(path.text), *full = read_file(path.text);
    fill(full, MAX_ENTRIES);
    write_file(path.text, full->bytes, full->n);
    assert_int_equal(suggestions_of(folder->path, FIRST_TOKENS), 1); /* the second had to go for the copies */
    contents *c = read_file(path.text);
    assert_int_equal(c->n, full->n);
    assert_memory_equal(c->bytes + HEADER_BYTES, full->bytes + HEADER_BYTES + ENTRY_BYTES, (MAX_ENTRIES - 1) * ENTRY_BYTES);
    free(c);
    fill(full, MAX_ENTRIES + 1);
    write_file(path.text, full->bytes, full->n);
    expect_renewed(folder, path.text, right);
    free(right);
    free(full);
}

/* Each call of CUDA fails in turn, with an empty cache and with a full one: a run fails as without, and what is kept is right. */
static void test_faults(void **state) {
    const test_folder *folder = *state;
    float expected[FIRST_TOKENS * WIDTH], out[FIRST_TOKENS * WIDTH];
    process right = start(NULL);
    assert_int_equal(run(right.compiled, FIRST_TOKENS, expected, NULL), TERN_OK);
    end(&right);
    bool is_reached = true;
    for (long call = 0; is_reached; call++) {
        process p = {0};
        tern_error err = {.code = TERN_OK};
        if (call % 2 == 0 && test_folder_entries(folder) > 0) assert_int_equal(unlink(file_in(folder).text), 0);
        host->fail_with = OUT_OF_MEMORY;
        host->fail_at = host->n_calls + call / 2;
        tern_status status = record->open(&p.device, &(tern_device_options){.cache_folder = folder->path}, &err);
        if (status == TERN_OK) status = record->compile(&p.compiled, p.device, program, "float32", &err);
        if (status == TERN_OK) status = run(p.compiled, FIRST_TOKENS, out, &err);
        is_reached = host->n_calls > host->fail_at;
        host->fail_at = -1;
        if (status == TERN_OK) assert_memory_equal(out, expected, sizeof expected);
        if (status != TERN_OK && status != TERN_E_MEMORY && status != TERN_E_DEVICE) fail_msg("call %ld: %s", call, err.message);
        if (p.compiled != NULL) record->release(p.compiled);
        if (p.device != NULL) record->close(p.device);
        assert_int_equal(host->used, 0);
        suggestions_of(folder->path, FIRST_TOKENS);
        if (call % 2 == 0) assert_int_equal(suggestions_of(folder->path, FIRST_TOKENS), 0);
    }
}

static void *end_in_thread(void *process_to_end) {
    end(process_to_end);
    return NULL;
}

/* A process that ends while another one writes waits for it, and then keeps what that has written. */
static void test_locked(void **state) {
    const test_folder *folder = *state;
    pthread_t thread;
    suggestions_of(folder->path, FIRST_TOKENS);
    const test_path path = file_in(folder);
    contents *first = read_file(path.text), *both;
    assert_int_equal(unlink(path.text), 0);
    process p = start(folder->path);
    run_tokens(&p, MAX_TOKENS);
    const int lock = open(folder->path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_int_equal(pthread_create(&thread, NULL, end_in_thread, &p), 0);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    assert_int_equal(test_folder_entries(folder), 0);
    write_file(path.text, first->bytes, first->n);
    close(lock);
    pthread_join(thread, NULL);
    both = read_file(path.text);
    assert_int_equal(both->n, 2 * first->n - HEADER_BYTES);
    free(first);
    free(both);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, test_folder_setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {TEST(test_kept),       TEST(test_programs_share), TEST(test_wrong_files), TEST(test_foreign_files),
                                       TEST(test_unreadable), TEST(test_folders),        TEST(test_checked),     TEST(test_merged),
                                       TEST(test_bounded),    TEST(test_locked),         TEST(test_faults)};
    return cmocka_run_group_tests_name("CUDA's file of algorithms", tests, find_device, free_all);
}
