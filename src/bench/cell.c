/* cell.c - a configuration is called, checked and told. See cell.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "bench/cell.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/corpus.h"
#include "bench/json_row.h"
#include "bench/statistics.h"

#define DISTURBED_ABOVE 1.25 /* times the quiet probe */
#define SPOILED_ABOVE   0.25 /* of the iterations disturbed */

bool tern__cell_open(tern_cell *cell, int64_t chars, int64_t batch, size_t n_warmups, size_t n_iterations, size_t width) {
    *cell = (tern_cell){.chars = chars, .batch = batch, .reference_error = -1, .peak_memory_bytes = -1};
    cell->texts = calloc((size_t)batch, sizeof *cell->texts);
    cell->vectors = calloc((size_t)batch * width + 1, sizeof *cell->vectors);
    cell->warmups = calloc(n_warmups + 1, sizeof *cell->warmups);
    cell->iterations = calloc(n_iterations, sizeof *cell->iterations);
    return cell->texts != NULL && cell->vectors != NULL && cell->warmups != NULL && cell->iterations != NULL &&
           tern__corpus_cut(cell->texts, &cell->storage, (size_t)batch, (size_t)chars);
}

void tern__cell_close(tern_cell *cell) {
    free(cell->texts);
    free(cell->storage);
    free(cell->vectors);
    free(cell->warmups);
    free(cell->iterations);
    tern_profile_free(&cell->profile);
    *cell = (tern_cell){0};
}

void tern__cell_fail(tern_cell *cell, tern_status status, const char *message) {
    cell->status = status;
    snprintf(cell->message, sizeof cell->message, "%s", message);
}

bool tern__cell_is_running(const tern_cell *cell) { return cell->status == TERN_OK && !cell->is_wrong; }

bool tern__cell_call(tern_cell *cell, tern_model *model, tern_sample *sample) {
    tern_stage_times times = {0};
    tern_embed_options options = tern_embed_options_default();
    options.max_batch_tokens = SIZE_MAX; /* a batch is one run */
    options.times = &times;
    tern_error err;
    const int64_t start_ns = tern__clock_ns();
    const tern_status status = tern_model_embed(model, cell->texts, (size_t)cell->batch, &options, cell->vectors, NULL, &err);
    const int64_t end_ns = tern__clock_ns();
    if (status != TERN_OK) {
        tern__cell_fail(cell, status, err.message);
        return false;
    }
    *sample = (tern_sample){.ms = 1e-6 * (double)(end_ns - start_ns),
                            .stage_ms = {[TERN_STAGE_TOKENIZE] = 1e-6 * (double)times.tokenize_ns,
                                         [TERN_STAGE_PACK] = 1e-6 * (double)times.pack_ns,
                                         [TERN_STAGE_COMPUTE] = 1e-6 * (double)times.compute_ns,
                                         [TERN_STAGE_RESULT] = 1e-6 * (double)times.result_ns}};
    return true;
}

/* Of float32 kernels the relative distance of a vector was below 2e-6 for the models of the grid, and of 16 bits some units of their last
 * place; a kernel that computes something else is off by far more than these. */
static double reference_bound(const char *dtype) {
    static const char *const of_4_bits[] = {"float8_e4m3fn", "affine4-g64", "affine4-g32", "mxfp4"};
    static const char *const of_8_bits[] = {"bfloat16", "int8", "affine8-g64", "affine8-g32"};
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(dtype, of_4_bits[i]) == 0) return 3e-1;
        if (strcmp(dtype, of_8_bits[i]) == 0) return 1e-1;
    }
    return strcmp(dtype, "float16") == 0 || strcmp(dtype, "tf32") == 0 ? 2e-2 : 1e-4;
}

void tern__cell_check(tern_cell *cell, size_t width, const char *dtype) {
    double difference = 0, length = 0;
    bool is_finite = true;
    for (size_t i = 0; i < (size_t)cell->batch * width; i++) is_finite &= isfinite(cell->vectors[i]) != 0;
    if (!is_finite) {
        cell->is_wrong = true;
        snprintf(cell->message, sizeof cell->message, "a vector holds an infinite value or no number");
        return;
    }
    if (cell->reference == NULL) return;
    for (size_t i = 0; i < width; i++) {
        const double r = (double)cell->reference[i], d = (double)cell->vectors[i] - r;
        difference += d * d;
        length += r * r;
    }
    cell->reference_error = length > 0 ? sqrt(difference / length) : sqrt(difference);
    cell->reference_bound = reference_bound(dtype);
    if (cell->reference_error <= cell->reference_bound) return;
    cell->is_wrong = true;
    snprintf(cell->message, sizeof cell->message, "the vector of text 0 is off by %.2g of its length from the reference, more than %.0g",
             cell->reference_error, cell->reference_bound);
}

/* ---- The row ---- */

static const char *status_of(const tern_cell *cell) {
    if (cell->is_wrong) return "wrong";
    return cell->is_interrupted ? "interrupted" : tern__row_status(cell->status);
}

static double whole_ms(const tern_sample *sample, int stage) { return stage < 0 ? sample->ms : sample->stage_ms[stage]; }

/* stage -1: of the whole call. */
static json_t *list_ms(const tern_sample *samples, size_t n, int stage) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_real(whole_ms(&samples[i], stage)));
    return list;
}

static void add_samples(json_t *row, const tern_cell *cell, double quiet_ms) {
    static const char *const names[TERN_N_STAGES] = {"tokenize_ms", "pack_ms", "compute_ms", "result_ms"};
    json_object_set_new(row, "first_ms", json_real(cell->first.ms));
    json_object_set_new(row, "warmup_ms", list_ms(cell->warmups, cell->n_warmups, -1));
    json_object_set_new(row, "iterations_ms", list_ms(cell->iterations, cell->n_iterations, -1));
    json_t *stages = json_object(), *probes = json_array();
    size_t n_disturbed = 0;
    for (int s = 0; s < TERN_N_STAGES; s++) json_object_set_new(stages, names[s], list_ms(cell->iterations, cell->n_iterations, s));
    for (size_t i = 0; i < cell->n_iterations; i++) {
        json_array_append_new(probes, json_real(cell->iterations[i].probe_ms));
        n_disturbed += cell->iterations[i].probe_ms > DISTURBED_ABOVE * quiet_ms;
    }
    json_t *energies = json_array();
    for (size_t i = 0; i < cell->n_iterations && cell->iterations[i].energy_j >= 0; i++)
        json_array_append_new(energies, json_real(cell->iterations[i].energy_j));
    if (json_array_size(energies) > 0) json_object_set(row, "energy_j", energies);
    json_decref(energies);
    json_object_set_new(row, "stages", stages);
    json_object_set_new(row, "probe_ms", probes);
    json_object_set_new(row, "quiet_probe_ms", json_real(quiet_ms));
    json_object_set_new(row, "n_disturbed", json_integer((json_int_t)n_disturbed));
    json_object_set_new(row, "is_spoiled", json_boolean((double)n_disturbed > SPOILED_ABOVE * (double)cell->n_iterations));
}

/* Of the first call and the warm-ups: the first that is as fast as nine in ten iterations. */
static size_t settled_call(const tern_cell *cell, double p90_ms) {
    if (cell->first.ms <= p90_ms) return 1;
    for (size_t i = 0; i < cell->n_warmups; i++)
        if (cell->warmups[i].ms <= p90_ms) return i + 2;
    return 0;
}

static bool add_statistics(json_t *row, const tern_cell *cell) {
    if (cell->n_iterations == 0) return true;
    double *ms = malloc(cell->n_iterations * sizeof *ms), *compute_ms = malloc(cell->n_iterations * sizeof *compute_ms);
    tern_summary whole, compute;
    bool ok = ms != NULL && compute_ms != NULL;
    for (size_t i = 0; i < cell->n_iterations && ok; i++) {
        ms[i] = cell->iterations[i].ms;
        compute_ms[i] = cell->iterations[i].stage_ms[TERN_STAGE_COMPUTE];
    }
    ok = ok && tern__summarize(&whole, ms, cell->n_iterations) && tern__summarize(&compute, compute_ms, cell->n_iterations);
    free(ms);
    free(compute_ms);
    if (!ok) return false;
    tern__row_add_summary(row, &whole);
    const size_t settled = settled_call(cell, whole.p90);
    json_object_set_new(row, "settled_call", settled > 0 ? json_integer((json_int_t)settled) : json_null());
    const double per_s = whole.median > 0 ? 1e3 / whole.median : 0;
    json_object_set_new(row, "texts_per_s", json_real(per_s * (double)cell->batch));
    json_object_set_new(row, "tokens_per_s", json_real(per_s * (double)cell->profile.n_tokens));
    const double limit_ms = tern__row_number(row, "limit_ms", 0);
    if (limit_ms > 0 && compute.median > 0) json_object_set_new(row, "share", json_real(limit_ms / compute.median));
    json_object_set_new(row, "flop_per_s", json_real(compute.median > 0 ? 1e3 * cell->profile.flops / compute.median : 0));
    return true;
}

/* Weights come from where all of them fit, since a run passes through all; the rest from where the activations of the run do. */
static void add_work(tern_work *work, const tern_op_profile *op, const tern_profile *profile) {
    work->flops += op->flops;
    work->weight_bytes += op->weight_bytes;
    work->other_bytes += op->bytes - op->weight_bytes;
    work->weight_set = (double)profile->packed_bytes;
    work->other_set = (double)profile->workspace_bytes;
}

/* Is there such an op among first ... i - 1? */
static bool is_named(const tern_profile *profile, size_t first, size_t i) {
    for (size_t j = first; j < i; j++)
        if (strcmp(profile->ops[j].op, profile->ops[i].op) == 0) return true;
    return false;
}

/* What the run costs: per op name; those that ran in one pass together, each named once. */
static json_t *list_ops(const tern_profile *profile, const tern_peaks *peaks) {
    json_t *list = json_array();
    char name[256] = "";
    tern_work work = {0};
    size_t first = 0;
    for (size_t i = 0; i < profile->n_ops; i++) {
        const tern_op_profile *op = &profile->ops[i];
        const size_t length = strlen(name);
        if (!is_named(profile, first, i)) snprintf(name + length, sizeof name - length, "%s%s", length > 0 ? "+" : "", op->op);
        add_work(&work, op, profile);
        if (op->ns < 0) continue;
        tern__row_add_op(list, name, 1e-6 * (double)op->ns, &work, peaks);
        name[0] = '\0';
        work = (tern_work){0};
        first = i + 1;
    }
    return list;
}

/* The least time of the run: the sum over what runs in one pass. */
static double limit_ms_of(const json_t *ops) {
    double sum = 0;
    for (size_t i = 0; i < json_array_size(ops); i++) sum += tern__row_number(json_array_get(ops, i), "limit_ms", 0);
    return sum;
}

static void add_costs(json_t *row, const tern_cell *cell, const tern_peaks *peaks) {
    const tern_profile *profile = &cell->profile;
    const double padded = (double)(profile->n_texts * profile->longest);
    json_object_set_new(row, "tokens", json_integer((json_int_t)profile->n_tokens));
    json_object_set_new(row, "longest_tokens", json_integer((json_int_t)profile->longest));
    json_object_set_new(row, "padding_waste", json_real(padded > 0 ? 1 - (double)profile->n_tokens / padded : 0));
    json_object_set_new(row, "flops", json_real(profile->flops));
    json_object_set_new(row, "bytes", json_real(profile->bytes));
    json_object_set_new(row, "packed_bytes", json_integer((json_int_t)profile->packed_bytes));
    json_object_set_new(row, "workspace_bytes", json_integer((json_int_t)profile->workspace_bytes));
    if (!profile->is_timed) return;
    json_t *ops = list_ops(profile, peaks);
    if (peaks->flop_per_s > 0) json_object_set_new(row, "limit_ms", json_real(limit_ms_of(ops)));
    json_object_set_new(row, "ops", ops);
}

json_t *tern__cell_row(const tern_cell *cell, const json_t *common, const tern_peaks *peaks, double quiet_ms) {
    json_t *row = json_object();
    json_object_update(row, (json_t *)(uintptr_t)common);
    json_object_set_new(row, "status", json_string(status_of(cell)));
    json_object_set_new(row, "message", cell->message[0] != '\0' ? json_string(cell->message) : json_null());
    json_object_set_new(row, "chars", json_integer((json_int_t)cell->chars));
    json_object_set_new(row, "batch", json_integer((json_int_t)cell->batch));
    json_object_set_new(row, "reference_error", cell->reference_error >= 0 ? json_real(cell->reference_error) : json_null());
    json_object_set_new(row, "reference_bound", cell->reference_error >= 0 ? json_real(cell->reference_bound) : json_null());
    if (!tern__cell_is_running(cell)) return row;
    json_object_set_new(row, "peak_memory_bytes", json_integer((json_int_t)cell->peak_memory_bytes));
    if (cell->profile.n_ops > 0) add_costs(row, cell, peaks);
    add_samples(row, cell, quiet_ms);
    if (add_statistics(row, cell)) return row;
    json_decref(row);
    return NULL;
}
