/* weights.c - names meet tensors: finding a weight under the checkpoint's prefixes and aliases, the load report, binding.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *text, const char *ending) {
    const size_t n_text = strlen(text), n_ending = strlen(ending);
    return n_text >= n_ending && memcmp(text + n_text - n_ending, ending, n_ending) == 0;
}

static bool starts_with(const char *text, const char *beginning) { return strncmp(text, beginning, strlen(beginning)) == 0; }

/* prefix + name, its ending replaced by the alias when there is one. */
static const tern_tensor *find_as(const tern_checkpoint *checkpoint, const char *prefix, const char *name, const tern_weight_alias *alias) {
    char full[768];
    const size_t n_kept = strlen(name) - (alias != NULL ? strlen(alias->name) : 0);
    const int n = snprintf(full, sizeof full, "%s%.*s%s", prefix, (int)n_kept, name, alias != NULL ? alias->in_checkpoint : "");
    return n > 0 && (size_t)n < sizeof full ? tern__checkpoint_find(checkpoint, full) : NULL;
}

const tern_tensor *tern__weight_find(const tern_arch *arch, const tern_checkpoint *checkpoint, const char *name) {
    for (const char *const *prefix = arch->prefixes; *prefix != NULL; prefix++) {
        const tern_tensor *tensor = find_as(checkpoint, *prefix, name, NULL);
        for (const tern_weight_alias *alias = arch->aliases; tensor == NULL && alias->name != NULL; alias++)
            if (ends_with(name, alias->name)) tensor = find_as(checkpoint, *prefix, name, alias);
        if (tensor != NULL) return tensor;
    }
    return NULL;
}

/* ---- The report ---- */

const char *tern_weight_state_name(tern_weight_state state) {
    static const char *const names[] = {"used", "missing", "absent", "unexpected", "ignored", "misshapen"};
    return (unsigned)state < sizeof names / sizeof *names ? names[state] : NULL;
}

static bool is_float(tern_dtype dtype) {
    return dtype == TERN_DTYPE_F32 || dtype == TERN_DTYPE_F16 || dtype == TERN_DTYPE_BF16 || dtype == TERN_DTYPE_F64;
}

static bool fits(const tern_weight *weight, const tern_tensor *tensor, const tern_quantized_tensors *quantized) {
    tern_quantized how;
    if (quantized->scales != NULL) return tern__quantized_describe(&how, weight, tensor, quantized);
    if (!is_float(tensor->dtype)) return false;
    int64_t shape[TERN_MAX_RANK];
    const int rank = tern__weight_shape(weight, shape);
    return tensor->rank == rank && memcmp(tensor->shape, shape, (size_t)rank * sizeof *shape) == 0;
}

static void entry_found(tern_weight_entry *entry, const tern_tensor *tensor) {
    entry->checkpoint_name = tensor->name;
    entry->found_rank = tensor->rank;
    entry->found_dtype = tensor->dtype;
    memcpy(entry->found_shape, tensor->shape, sizeof entry->found_shape);
}

static bool is_ignored(const tern_arch *arch, const char *name) {
    for (const char *const *ignored = arch->ignored; *ignored != NULL; ignored++)
        if (starts_with(name, *ignored)) return true;
    return false;
}

/* The source of a weight of the program; *name becomes its name there. */
static const tern_weight_source *source_of(const tern_folder *folder, const char **name) {
    for (size_t s = 1; s < folder->n_sources; s++)
        if (starts_with(*name, folder->sources[s].prefix)) {
            *name += strlen(folder->sources[s].prefix);
            return &folder->sources[s];
        }
    return &folder->sources[0];
}

/* The tensor of a weight of the program, NULL when there is none, and what belongs to it where MLX quantized it. */
static const tern_tensor *find_in_sources(const tern_folder *folder, const char *name, tern_quantized_tensors *quantized) {
    const tern_weight_source *source = source_of(folder, &name);
    const tern_tensor *tensor = tern__weight_find(source->arch, source->checkpoint, name);
    *quantized = tensor != NULL ? tern__quantized_find(source->checkpoint, tensor) : (tern_quantized_tensors){0};
    return tensor;
}

static bool own_name(const char **name, tern_arena *arena, const char *prefix) {
    if (*name != NULL) *name = tern__arena_format(arena, "%s%s", prefix, *name);
    return *name != NULL;
}

/* The names still are the program's and the checkpoint's, these without the prefix of their source: copy them. */
static bool own_names(tern_load_report *report, tern_arena *arena, const char *const *prefixes) {
    for (size_t i = 0; i < report->n_entries; i++) {
        tern_weight_entry *entry = &report->entries[i];
        const bool is_of_program = entry->state != TERN_WEIGHT_UNEXPECTED && entry->state != TERN_WEIGHT_IGNORED;
        if (!own_name(&entry->name, arena, is_of_program ? "" : prefixes[i])) return false;
        if (entry->checkpoint_name != NULL && !own_name(&entry->checkpoint_name, arena, prefixes[i])) return false;
    }
    return true;
}

/* One entry a weight of the program. */
static void report_program(tern_load_report *report, const tern_folder *folder, const char **prefixes) {
    const tern_program *program = folder->program;
    for (int32_t w = 0; w < program->n_weights; w++) {
        const tern_weight *weight = &program->weights[w];
        const char *name = weight->name;
        prefixes[report->n_entries] = source_of(folder, &name)->prefix;
        tern_weight_entry *entry = &report->entries[report->n_entries++];
        *entry = (tern_weight_entry){.name = weight->name, .state = TERN_WEIGHT_MISSING};
        entry->expected_rank = tern__weight_shape(weight, entry->expected_shape);
        tern_quantized_tensors quantized;
        const tern_tensor *tensor = find_in_sources(folder, weight->name, &quantized);
        if (tensor == NULL) continue;
        entry_found(entry, tensor);
        entry->state = fits(weight, tensor, &quantized) ? TERN_WEIGHT_USED : TERN_WEIGHT_MISSHAPEN;
    }
}

/* One entry a tensor of the source that no weight of the program is; `used` has a flag a tensor. */
static tern_status report_source(tern_load_report *report, const tern_folder *folder, const tern_weight_source *source,
                                 const char **prefixes, tern_error *err) {
    const size_t n_tensors = tern__checkpoint_count(source->checkpoint);
    bool *used = tern__alloc_zero(n_tensors, sizeof *used);
    if (used == NULL) return TERN_FAIL_MEMORY(err, n_tensors);
    for (int32_t w = 0; w < folder->program->n_weights; w++) {
        const char *name = folder->program->weights[w].name;
        if (source_of(folder, &name) != source) continue;
        tern_quantized_tensors quantized;
        const tern_tensor *tensor = find_in_sources(folder, folder->program->weights[w].name, &quantized);
        const tern_tensor *const all[] = {tensor, quantized.scales, quantized.biases};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            if (all[i] != NULL) used[tern__checkpoint_index(source->checkpoint, all[i])] = true;
    }
    for (size_t i = 0; i < n_tensors; i++) {
        const tern_tensor *tensor = tern__checkpoint_get(source->checkpoint, i);
        if (used[i]) continue;
        prefixes[report->n_entries] = source->prefix;
        tern_weight_entry *entry = &report->entries[report->n_entries++];
        *entry = (tern_weight_entry){.name = tensor->name,
                                     .state = is_ignored(source->arch, tensor->name) ? TERN_WEIGHT_IGNORED : TERN_WEIGHT_UNEXPECTED};
        entry_found(entry, tensor);
    }
    free(used);
    return TERN_OK;
}

static tern_status fill_report(tern_load_report *report, const tern_folder *folder, const char *const *absent, size_t n_absent,
                               const char **prefixes, tern_error *err) {
    report_program(report, folder, prefixes);
    for (size_t i = 0; i < n_absent; i++) {
        prefixes[report->n_entries] = "";
        report->entries[report->n_entries++] = (tern_weight_entry){.name = absent[i], .state = TERN_WEIGHT_ABSENT};
    }
    for (size_t s = 0; s < folder->n_sources; s++) TERN_TRY(report_source(report, folder, &folder->sources[s], prefixes, err));
    if (own_names(report, report->storage, prefixes)) return TERN_OK;
    return TERN_FAIL(err, TERN_E_MEMORY, "out of memory for a load report of %zu tensors", report->n_entries);
}

tern_status tern__weights_report(tern_load_report *out, const tern_folder *folder, const char *const *absent, size_t n_absent,
                                 tern_error *err) {
    size_t n = (size_t)folder->program->n_weights + n_absent;
    for (size_t s = 0; s < folder->n_sources; s++) n += tern__checkpoint_count(folder->sources[s].checkpoint);
    *out = (tern_load_report){.entries = tern__alloc_zero(n, sizeof *out->entries), .storage = tern__alloc_zero(1, sizeof(tern_arena))};
    const char **prefixes = tern__alloc(n, sizeof *prefixes); /* of the sources that the entries are of */
    tern_status status = TERN_OK;
    if (out->entries == NULL || out->storage == NULL || prefixes == NULL) status = TERN_FAIL_MEMORY(err, n * sizeof *out->entries);
    else status = fill_report(out, folder, absent, n_absent, prefixes, err);
    free(prefixes);
    if (status != TERN_OK) tern_load_report_free(out);
    return status;
}

void tern_load_report_free(tern_load_report *report) {
    if (report->storage != NULL) tern__arena_free(report->storage);
    free(report->storage);
    free(report->entries);
    *report = (tern_load_report){0};
}

static void format_shape(char *out, size_t n_bytes, const int64_t *shape, int rank) {
    size_t used = (size_t)snprintf(out, n_bytes, "[");
    for (int i = 0; i < rank && used < n_bytes; i++)
        used += (size_t)snprintf(out + used, n_bytes - used, "%s%lld", i > 0 ? ", " : "", (long long)shape[i]);
    if (used < n_bytes) snprintf(out + used, n_bytes - used, "]");
}

static void format_entry(char *out, size_t n_bytes, const tern_weight_entry *entry) {
    char expected[256], found[256];
    format_shape(expected, sizeof expected, entry->expected_shape, entry->expected_rank);
    format_shape(found, sizeof found, entry->found_shape, entry->found_rank);
    switch (entry->state) {
    case TERN_WEIGHT_MISSING:
        snprintf(out, n_bytes, "\n  missing     %s %s", entry->name, expected);
        break;
    case TERN_WEIGHT_UNEXPECTED:
        snprintf(out, n_bytes, "\n  unexpected  %s %s", entry->name, found);
        break;
    default:
        snprintf(out, n_bytes, "\n  misshapen   %s is %s %s, not a float %s%s", entry->checkpoint_name, tern_dtype_name(entry->found_dtype),
                 found, expected,
                 entry->found_dtype == TERN_DTYPE_U32 ? ", nor that quantized by MLX, affine or mxfp4, with .scales and .biases" : "");
    }
}

static bool is_fault(tern_weight_state state) {
    return state == TERN_WEIGHT_MISSING || state == TERN_WEIGHT_UNEXPECTED || state == TERN_WEIGHT_MISSHAPEN;
}

tern_status tern__weights_check(const tern_load_report *report, const char *folder, tern_error *err) {
    char list[sizeof err->message - 512] = "";
    size_t counts[TERN_WEIGHT_MISSHAPEN + 1] = {0}, used = 0, n_faults = 0, n_listed = 0;
    for (size_t i = 0; i < report->n_entries; i++) {
        const tern_weight_entry *entry = &report->entries[i];
        counts[entry->state]++;
        if (!is_fault(entry->state)) continue;
        n_faults++;
        char line[1024];
        format_entry(line, sizeof line, entry);
        if (used + strlen(line) + 1 > sizeof list) continue;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s", line);
        n_listed++;
    }
    if (n_faults == 0) return TERN_OK;
    char rest[96] = "";
    if (n_listed < n_faults) snprintf(rest, sizeof rest, "\n  and %zu more; the load report has them all", n_faults - n_listed);
    return TERN_FAIL(err, TERN_E_WEIGHTS, "%.200s: the weights do not fit config.json: %zu missing, %zu unexpected, %zu misshapen%s%s",
                     folder, counts[TERN_WEIGHT_MISSING], counts[TERN_WEIGHT_UNEXPECTED], counts[TERN_WEIGHT_MISSHAPEN], list, rest);
}

/* ---- Binding ---- */

static bool is_mapped(const tern_folder *folder, const void *data) {
    for (size_t s = 0; s < folder->n_sources; s++)
        if (tern__checkpoint_is_mapped(folder->sources[s].checkpoint, data)) return true;
    return false;
}

/* The tensor's data, or where the file does not align it to its dtype a copy of it; NULL: out of memory. */
static const void *aligned_data(const tern_tensor *tensor, tern_arena *copies) {
    if ((uintptr_t)tensor->data % tern_dtype_bytes(tensor->dtype) == 0) return tensor->data;
    const size_t bytes = (size_t)tern_tensor_elements(tensor) * tern_dtype_bytes(tensor->dtype);
    void *copy = tern__arena_alloc(copies, bytes);
    return copy != NULL ? memcpy(copy, tensor->data, bytes) : NULL;
}

static tern_status bind_quantized(tern_weight *weight, const tern_tensor *tensor, const tern_quantized_tensors *tensors, tern_arena *copies,
                                  tern_error *err) {
    tern__quantized_describe(&weight->quantized, weight, tensor, tensors);
    weight->quantized.scales = aligned_data(tensors->scales, copies);
    if (tensors->biases != NULL) weight->quantized.biases = aligned_data(tensors->biases, copies);
    if (weight->quantized.scales == NULL || (tensors->biases != NULL && weight->quantized.biases == NULL))
        return TERN_FAIL(err, TERN_E_MEMORY, "out of memory for the scales of %s", weight->name);
    return TERN_OK;
}

tern_status tern__weights_bind(tern_folder *folder, tern_arena *copies, tern_error *err) {
    for (int32_t w = 0; w < folder->program->n_weights; w++) {
        tern_weight *weight = &folder->program->weights[w];
        tern_quantized_tensors quantized;
        const tern_tensor *tensor = find_in_sources(folder, weight->name, &quantized);
        weight->data = aligned_data(tensor, copies);
        if (weight->data == NULL) return TERN_FAIL(err, TERN_E_MEMORY, "out of memory for a copy of %s", weight->name);
        weight->dtype = tensor->dtype;
        weight->is_mapped = weight->data == tensor->data && is_mapped(folder, tensor->data);
        if (quantized.scales != NULL) TERN_TRY(bind_quantized(weight, tensor, &quantized, copies, err));
    }
    return TERN_OK;
}

size_t tern__weights_bytes(const tern_folder *folder) {
    size_t bytes = 0;
    for (size_t s = 0; s < folder->n_sources; s++) bytes += tern__checkpoint_bytes(folder->sources[s].checkpoint);
    return bytes;
}
