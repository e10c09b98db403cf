/* grid.c - the paper's grid: one block for each model on a device in a dtype, in which every configuration is called once, warmed up, and
 * then all are iterated in turns, so that a drift of the machine hits all alike.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/cell.h"
#include "bench/corpus.h"
#include "bench/json_row.h"
#include "bench/machine.h"
#include "bench/peaks.h"
#include "bench/scaling.h"

typedef struct block {
    const tern_bench_grid *grid;
    const tern_bench_model *checkpoint;
    tern_model_options options;
    tern_model *model;
    size_t width;
    tern_cell *cells;    /* [n_cells], by chars, then batch, as asked for */
    tern_cell **by_size; /* the same, smallest first */
    size_t n_cells;
    float *references; /* [n_chars][width]; NULL: none */
    tern_peaks peaks;  /* of the host, when it computes */
    double load_ms;
    double *probes; /* all of the block */
    size_t n_probes;
    double work_done, work; /* of all blocks, in characters */
} block;

static bool is_stopped(const block *b) { return b->grid->is_interrupted != NULL && *b->grid->is_interrupted != 0; }

static void work_on(block *b, const tern_cell *cell, const char *what) {
    b->work_done += (double)(cell->chars * cell->batch);
    if (b->grid->progress != NULL) b->grid->progress(b->grid->user, b->work_done / b->work, what);
}

/* ---- References: the scalar kernels, which share no arithmetic with the others ---- */

static const char reference_name[] = "cpu scalar float32";

static tern_status compute_references(block *b, tern_model *model, tern_error *err) {
    const size_t width = tern_model_embedding_size(model);
    b->references = calloc(b->grid->n_chars * width, sizeof *b->references);
    if (b->references == NULL) return TERN_E_MEMORY;
    tern_status status = TERN_OK;
    for (size_t c = 0; c < b->grid->n_chars && status == TERN_OK && !is_stopped(b); c++) {
        tern_text text;
        char *storage = NULL;
        if (b->grid->progress != NULL) b->grid->progress(b->grid->user, b->work_done / b->work, "reference");
        if (!tern__corpus_cut(&text, &storage, 1, (size_t)b->grid->chars[c])) status = TERN_E_MEMORY;
        if (status == TERN_OK) status = tern_model_embed(model, &text, 1, NULL, b->references + c * width, NULL, err);
        free(storage);
    }
    return status;
}

/* Without vectors to compare with when the reference itself is measured, or when it does not run: the measured model then says why. */
static void find_references(block *b) {
    tern_model_options options = tern_model_options_default();
    options.isa = "scalar";
    options.threads = b->options.threads;
    if (b->options.isa != NULL && strcmp(b->options.isa, "scalar") == 0) return;
    tern_model *model = NULL;
    tern_error err;
    tern_status status = tern_model_load(&model, b->checkpoint->folder, &options, &err);
    if (status == TERN_OK) status = compute_references(b, model, &err);
    tern_model_free(model);
    if (status == TERN_OK) return;
    free(b->references);
    b->references = NULL;
}

/* ---- The block's cells ---- */

static int by_characters(const void *left, const void *right) {
    const tern_cell *a = *(tern_cell *const *)left, *b = *(tern_cell *const *)right;
    const int64_t x = a->chars * a->batch, y = b->chars * b->batch;
    return x != y ? (x > y) - (x < y) : (a->batch > b->batch) - (a->batch < b->batch);
}

static tern_status open_cells(block *b, tern_error *err) {
    const tern_bench_grid *g = b->grid;
    b->n_cells = g->n_chars * g->n_batches;
    b->cells = calloc(b->n_cells, sizeof *b->cells);
    b->by_size = calloc(b->n_cells, sizeof *b->by_size);
    b->probes = calloc(b->n_cells * (g->n_iterations + 1) + 1, sizeof *b->probes);
    bool ok = b->cells != NULL && b->by_size != NULL && b->probes != NULL;
    for (size_t i = 0; i < b->n_cells && ok; i++) {
        const size_t c = i / g->n_batches;
        ok = tern__cell_open(&b->cells[i], g->chars[c], g->batches[i % g->n_batches], g->n_warmups, g->n_iterations, b->width);
        b->by_size[i] = &b->cells[i];
        if (b->references != NULL) b->cells[i].reference = b->references + c * b->width;
    }
    if (!ok) {
        *err = (tern_error){.code = TERN_E_MEMORY, .message = "out of memory for the texts and samples of the grid"};
        return TERN_E_MEMORY;
    }
    qsort(b->by_size, b->n_cells, sizeof *b->by_size, by_characters);
    return TERN_OK;
}

static void fail_all(block *b, tern_status status, const char *message) {
    for (size_t i = 0; i < b->n_cells; i++) tern__cell_fail(&b->cells[i], status, message);
}

/* Tokens of the cell's longest text. */
static tern_status longest_of(const block *b, const tern_cell *cell, int64_t *longest, tern_error *err) {
    const tern_tokenizer *tokenizer = tern_model_get_tokenizer(b->model);
    tern_encode_options options = tern_encode_options_default();
    options.max_length = (size_t)tern_model_get_info(b->model).max_seq_length;
    *longest = 1;
    for (int64_t i = 0; i < cell->batch && tokenizer != NULL; i++) {
        tern_encoding encoding;
        const tern_status status = tern_tokenizer_encode(&encoding, tokenizer, cell->texts[i], NULL, &options, err);
        if (status != TERN_OK) return status;
        if ((int64_t)encoding.n > *longest) *longest = (int64_t)encoding.n;
        tern_encoding_free(&encoding);
    }
    return TERN_OK;
}

/* A system that promises more memory than it has ends the process that takes it at its word: what is known beforehand not to fit is not
 * tried. */
static bool fits_memory(const block *b, tern_cell *cell) {
    const int64_t available = tern__available_memory_bytes();
    int64_t longest;
    tern_memory_plan plan;
    tern_error err;
    if (longest_of(b, cell, &longest, &err) != TERN_OK || tern_model_plan_memory(b->model, cell->batch, longest, &plan, &err) != TERN_OK) {
        tern__cell_fail(cell, err.code, err.message);
        return false;
    }
    if (available < 0 || plan.workspace_bytes <= available) return true;
    char message[160];
    snprintf(message, sizeof message, "a run needs %.1f GB for activations, and %.1f GB of memory are left",
             1e-9 * (double)plan.workspace_bytes, 1e-9 * (double)available);
    tern__cell_fail(cell, TERN_E_MEMORY, message);
    return false;
}

/* ---- Calls ---- */

static double probe(block *b) {
    const double ms = tern__probe_ms(tern_model_get_info(b->model).threads);
    b->probes[b->n_probes++] = ms;
    return ms;
}

/* The first calls, smallest first, so that what the peak of memory grows by is the cell's own. */
static void call_first(block *b) {
    for (size_t i = 0; i < b->n_cells && !is_stopped(b); i++) {
        tern_cell *cell = b->by_size[i];
        if (!fits_memory(b, cell)) continue;
        tern__peak_memory_reset();
        work_on(b, cell, "first call");
        if (!tern__cell_call(cell, b->model, &cell->first)) continue;
        cell->peak_memory_bytes = tern__peak_memory_bytes();
        tern__cell_check(cell, b->width, b->options.dtype);
    }
}

/* Warm-up calls follow each other; the run that times the ops apart is one more. */
static void warm_up(block *b) {
    for (size_t i = 0; i < b->n_cells && !is_stopped(b); i++) {
        tern_cell *cell = &b->cells[i];
        for (size_t n = 0; n < b->grid->n_warmups && tern__cell_is_running(cell) && !is_stopped(b); n++) {
            work_on(b, cell, "warm-up");
            if (tern__cell_call(cell, b->model, &cell->warmups[n])) cell->n_warmups++;
        }
        if (!tern__cell_is_running(cell)) continue;
        tern_error err;
        work_on(b, cell, "ops");
        const tern_status status = tern_model_profile(&cell->profile, b->model, cell->texts, (size_t)cell->batch, NULL, &err);
        if (status != TERN_OK) tern__cell_fail(cell, status, err.message);
    }
}

static void iterate(block *b) {
    if (is_stopped(b)) return;
    double before_ms = probe(b);
    for (size_t n = 0; n < b->grid->n_iterations; n++)
        for (size_t i = 0; i < b->n_cells && !is_stopped(b); i++) {
            tern_cell *cell = &b->cells[(i + n) % b->n_cells];
            if (!tern__cell_is_running(cell)) continue;
            tern_sample *sample = &cell->iterations[cell->n_iterations];
            work_on(b, cell, "iterations");
            tern_energy before, after;
            const bool has_energy = tern__energy_read(&before, TERN_POWERCAP);
            if (!tern__cell_call(cell, b->model, sample)) continue;
            sample->energy_j = has_energy && tern__energy_read(&after, TERN_POWERCAP) ? tern__energy_joules(&before, &after) : -1;
            const double after_ms = probe(b);
            sample->probe_ms = fmax(before_ms, after_ms);
            before_ms = after_ms;
            cell->n_iterations++;
        }
}

/* ---- Rows ---- */

static json_t *describe_block(const block *b) {
    json_t *row = tern__row_begin("embed");
    json_object_set_new(row, "model", json_string(b->checkpoint->name));
    json_object_set_new(row, "is_random", json_boolean(b->checkpoint->is_random));
    json_object_set_new(row, "device", json_string(b->options.device));
    json_object_set_new(row, "dtype", json_string(b->options.dtype));
    json_object_set_new(row, "n_warmups", json_integer((json_int_t)b->grid->n_warmups));
    json_object_set_new(row, "n_iterations", json_integer((json_int_t)b->grid->n_iterations));
    json_object_set_new(row, "reference", b->references != NULL ? json_string(reference_name) : json_null());
    if (b->model == NULL) return row;
    const tern_model_info info = tern_model_get_info(b->model);
    tern_device_info devices[16];
    const size_t n_devices = tern_device_list(devices, 16);
    for (size_t i = 0; i < n_devices && i < 16; i++)
        if (strcmp(devices[i].name, info.device) == 0) json_object_set_new(row, "processor", json_string(devices[i].description));
    json_object_set_new(row, "device", json_string(info.device)); /* the one that ran */
    json_object_set_new(row, "dtype", json_string(info.dtype));
    json_object_set_new(row, "isa", json_string(info.isa));
    json_object_set_new(row, "threads", json_integer(info.threads));
    json_object_set_new(row, "load_ms", json_real(b->load_ms));
    if (b->peaks.flop_per_s > 0) json_object_set_new(row, "peaks", tern__peaks_describe(&b->peaks));
    json_object_set_new(row, "model_type", json_string(info.model_type));
    json_object_set_new(row, "n_parameters", json_integer((json_int_t)info.n_parameters));
    json_object_set_new(row, "num_hidden_layers", json_integer((json_int_t)info.num_hidden_layers));
    json_object_set_new(row, "hidden_size", json_integer((json_int_t)info.hidden_size));
    json_object_set_new(row, "checkpoint_bytes", json_integer((json_int_t)info.checkpoint_bytes));
    return row;
}

/* The probe when nothing disturbs: the shortest one, since a disturbance only lengthens it. 0: there was none. */
static double quiet_probe(const block *b) {
    double shortest = b->n_probes > 0 ? b->probes[0] : 0;
    for (size_t i = 1; i < b->n_probes; i++) shortest = fmin(shortest, b->probes[i]);
    return shortest;
}

static void write_rows(block *b, tern_bench_sink *sink) {
    json_t *common = describe_block(b), *rows = json_array();
    const double quiet_ms = quiet_probe(b);
    for (size_t i = 0; i < b->n_cells; i++) {
        tern_cell *cell = &b->cells[i];
        cell->is_interrupted = tern__cell_is_running(cell) && cell->n_iterations < b->grid->n_iterations;
        json_t *row = tern__cell_row(cell, common, &b->peaks, quiet_ms);
        json_array_append(rows, row);
        tern__sink_row(sink, row);
    }
    tern__scaling_write(sink, rows, common);
    json_decref(rows);
    json_decref(common);
}

static tern_status load(block *b, tern_error *err) {
    const int64_t start_ns = tern__clock_ns();
    const tern_status status = tern_model_load(&b->model, b->checkpoint->folder, &b->options, err);
    b->load_ms = 1e-6 * (double)(tern__clock_ns() - start_ns);
    if (status != TERN_OK) return status;
    b->width = tern_model_embedding_size(b->model);
    const tern_model_info info = tern_model_get_info(b->model);
    const bool is_ours = strcmp(info.device, "cpu") == 0; /* whose loops measure the peaks */
    if (is_ours && tern__peaks_measure(&b->peaks, info.isa, info.threads, err) != TERN_OK) b->peaks = (tern_peaks){0};
    return TERN_OK;
}

static tern_status run_block(block *b, tern_bench_sink *sink, tern_error *err) {
    tern_error why;
    find_references(b);
    const tern_status loaded = load(b, &why), status = open_cells(b, err);
    if (status == TERN_OK) {
        if (loaded != TERN_OK) fail_all(b, loaded, why.message);
        else {
            call_first(b);
            warm_up(b);
            iterate(b);
        }
        write_rows(b, sink);
    }
    tern_model_free(b->model);
    for (size_t i = 0; b->cells != NULL && i < b->n_cells; i++) tern__cell_close(&b->cells[i]);
    free(b->cells);
    free(b->by_size);
    free(b->probes);
    free(b->references);
    return status;
}

/* Characters that a block runs. */
static double work_of(const tern_bench_grid *g) {
    double characters = 0;
    for (size_t i = 0; i < g->n_chars * g->n_batches; i++)
        characters += (double)(g->chars[i / g->n_batches] * g->batches[i % g->n_batches]);
    return characters * (double)(2 + g->n_warmups + g->n_iterations);
}

tern_status tern__bench_run_grid(const tern_bench_grid *grid, tern_bench_sink *sink, tern_error *err) {
    const size_t n_blocks = grid->n_models * grid->n_devices * grid->n_dtypes;
    const double work = work_of(grid);
    for (size_t i = 0; i < n_blocks && (grid->is_interrupted == NULL || *grid->is_interrupted == 0); i++) {
        block b = {.grid = grid,
                   .checkpoint = &grid->models[i / (grid->n_devices * grid->n_dtypes)],
                   .options = tern_model_options_default(),
                   .work_done = (double)i * work,
                   .work = (double)n_blocks * work};
        b.options.device = grid->devices[i / grid->n_dtypes % grid->n_devices];
        b.options.dtype = grid->dtypes[i % grid->n_dtypes];
        b.options.isa = grid->isa;
        b.options.threads = grid->threads;
        b.options.cache_folder = grid->cache_folder;
        const tern_status status = run_block(&b, sink, err);
        if (status != TERN_OK) return status;
    }
    return TERN_OK;
}
