/* random_checkpoint.c - a full folder with random weights for any config, so that speed can be measured where no hub is reachable.
 * Matrices and tables are drawn from a normal distribution of initializer_range, norms are 1, biases 0, as Hugging Face initialises.
 * The numbers come from integer arithmetic alone (splitmix64 of Steele, Lea, Flood 2014; the sum of 12 uniforms has variance 1), each
 * weight from a stream of its own: the same bytes on any machine, whatever the order.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text_builder.h"
#include "model/model.h"

/* ---- Numbers ---- */

static uint64_t splitmix64(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* A stream for a weight: FNV-1a of its name, mixed with the seed. */
static uint64_t stream_of(const char *name, uint64_t seed) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name != '\0'; name++) hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash ^ splitmix64(&seed);
}

/* About normal, mean 0, variance 1: the sum of 12 uniform 16-bit numbers, centred. Exact in float. */
static float draw_normal(uint64_t *state) {
    int32_t sum = 0;
    for (int i = 0; i < 3; i++) {
        const uint64_t bits = splitmix64(state);
        sum += (int32_t)((bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48));
    }
    return (float)(sum - 6 * 65535) / 65536.0f;
}

static bool ends_with_weight(const char *name) {
    const size_t n = strlen(name);
    return n >= 7 && strcmp(name + n - 7, ".weight") == 0;
}

static void fill(float *out, size_t n, const tern_weight *weight, float range, uint64_t seed) {
    uint64_t state = stream_of(weight->name, seed);
    const float constant = ends_with_weight(weight->name) ? 1.0f : 0.0f; /* of a norm, of a bias */
    for (size_t i = 0; i < n; i++) out[i] = weight->rank == 2 ? range * draw_normal(&state) : constant;
}

/* ---- Files ---- */

static tern_status write_weights(const char *folder, const tern_program *program, float range, uint64_t seed, tern_error *err) {
    tern_tensor *tensors = tern__alloc_zero((size_t)program->n_weights, sizeof *tensors);
    char *path = tern__path_join(folder, "model.safetensors");
    tern_status status = tensors != NULL && path != NULL ? TERN_OK : TERN_FAIL_MEMORY(err, sizeof *tensors);
    for (int32_t w = 0; w < program->n_weights && status == TERN_OK; w++) {
        const tern_weight *weight = &program->weights[w];
        tern_tensor *tensor = &tensors[w];
        *tensor = (tern_tensor){.name = weight->name, .dtype = TERN_DTYPE_F32};
        tensor->rank = tern__weight_shape(weight, tensor->shape);
        const size_t n = (size_t)tern_tensor_elements(tensor);
        float *data = tern__alloc(n, sizeof *data);
        tensor->data = data;
        if (data != NULL) fill(data, n, weight, range, seed);
        else status = TERN_FAIL_MEMORY(err, n * sizeof *data);
    }
    if (status == TERN_OK) status = tern_safetensors_save(path, tensors, (size_t)program->n_weights, err);
    for (int32_t w = 0; tensors != NULL && w < program->n_weights; w++) free((void *)(uintptr_t)tensors[w].data);
    free(tensors);
    free(path);
    return status;
}

static tern_status write_text(const char *folder, const char *name, const char *text, tern_error *err) {
    char *path = tern__path_join(folder, name);
    if (path == NULL) return TERN_FAIL_MEMORY(err, strlen(folder) + strlen(name) + 2);
    tern_writer writer;
    tern_status status = tern__writer_open(&writer, path, err);
    if (status == TERN_OK) {
        status = tern__writer_write(&writer, text, strlen(text), err);
        if (status == TERN_OK) status = tern__writer_commit(&writer, err);
        else tern__writer_discard(&writer);
    }
    free(path);
    return status;
}

static tern_status write_and_free(const char *folder, const char *name, char *text, tern_error *err) {
    if (text == NULL) return TERN_FAIL_MEMORY(err, 1);
    const tern_status status = write_text(folder, name, text, err);
    free(text);
    return status;
}

static tern_status write_tokenizer(const char *folder, const tern_arch_tokenizer *kind, const json_t *config, const tern_arch_facts *facts,
                                   tern_error *err) {
    const bool has_types = facts->type_vocab_size > 1;
    TERN_TRY(write_and_free(folder, "tokenizer_config.json", tern__random_tokenizer_config(kind, facts->max_tokens, has_types), err));
    return write_and_free(folder, "tokenizer.json", tern__random_tokenizer(kind, config, facts->vocab_size, has_types), err);
}

static tern_status write_config(const char *folder, const json_t *config, tern_error *err) {
    char *text = NULL;
    TERN_TRY(tern__json_dump(&text, config, JSON_INDENT(2), err));
    return write_and_free(folder, "config.json", text, err);
}

/* The folder, made when it is not there; one that holds a checkpoint is left alone. */
static tern_status prepare_folder(const char *folder, tern_error *err) {
    static const char *const files[] = {"config.json",       "model.safetensors", "model.safetensors.index.json",
                                        "pytorch_model.bin", "tokenizer.json",    "pytorch_model.bin.index.json",
                                        "vocab.txt",         "modules.json",      "tokenizer_config.json"};
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) return TERN_FAIL(err, TERN_E_IO, "%s: cannot be made: %s", folder, strerror(errno));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = tern__path_join(folder, files[i]);
        if (path == NULL) return TERN_FAIL_MEMORY(err, strlen(folder) + strlen(files[i]) + 2);
        const bool exists = tern__file_exists(path);
        free(path);
        if (exists) return TERN_FAIL(err, TERN_E_IO, "%s: already holds %s; choose an empty or a new folder", folder, files[i]);
    }
    return TERN_OK;
}

static bool every_weight(void *context, const char *name) { return (void)context, (void)name, true; }

static tern_status write_checkpoint(const json_t *json, const tern_arch *arch, const tern_arch_class *arch_class, tern_program *program,
                                    const char *config_path, uint64_t seed, const char *folder, tern_error *err) {
    const char *architecture = json_string_value(json_array_get(json_object_get(json, "architectures"), 0));
    const tern_config config = {
        .json = json, .program = program, .head = tern__arch_head(arch_class, architecture), .has_weight = every_weight};
    tern_arch_facts facts;
    arch->build(program, &config, &facts);
    const tern_status status = tern__program_finish(program, err);
    if (status != TERN_OK) return tern__fail_prefix(err, status, config_path);
    if (facts.vocab_size < TERN_RANDOM_TOKENIZER_MIN)
        return TERN_FAIL(err, TERN_E_CONFIG, "%s: \"vocab_size\" %lld is too small for the special tokens; it must be at least %d",
                         config_path, (long long)facts.vocab_size, TERN_RANDOM_TOKENIZER_MIN);
    TERN_TRY(prepare_folder(folder, err));
    TERN_TRY(write_weights(folder, program, facts.initializer_range, seed, err));
    TERN_TRY(write_tokenizer(folder, arch_class->tokenizer, json, &facts, err));
    return write_config(folder, json, err);
}

/* A config file's, or that of a built-in name. */
static tern_status load_config(json_t **config, const tern_arch **arch, const tern_arch_class **arch_class, const char *name,
                               tern_error *err) {
    TERN_TRY(tern__builtin_config_load(config, name, err));
    if (*config == NULL) return tern__config_load(config, arch, arch_class, name, err);
    const tern_status status = tern__config_find_arch(arch, arch_class, *config, name, err);
    if (status != TERN_OK) json_decref(*config);
    return status;
}

tern_status tern_checkpoint_init(const char *config_name, uint64_t seed, const char *folder, tern_error *err) {
    json_t *config = NULL;
    const tern_arch *arch;
    const tern_arch_class *arch_class;
    TERN_TRY(load_config(&config, &arch, &arch_class, config_name, err));
    tern_program *program = NULL;
    tern_status status = tern__program_new(&program, err);
    if (status == TERN_OK) status = write_checkpoint(config, arch, arch_class, program, config_name, seed, folder, err);
    tern__program_free(program);
    json_decref(config);
    return status;
}
