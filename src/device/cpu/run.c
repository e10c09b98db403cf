/* run.c - one batch through a compiled program: one parallel region, in which all threads work off the tasks of phase after phase.
 * Which thread does a task, and how rows are cut into tasks, changes no bit of any result.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/half.h"
#include "device/cpu/cpu.h"

#define GEMM_ROWS_BYTES ((size_t)384 << 10) /* of x that one task keeps in the L2 cache while panels pass */
#define CHUNK_QUERIES   256                 /* most queries of one attention task */
#define MIN_CHUNK       32

/* Where everything is in the workspace, in bytes. */
typedef struct workspace_layout {
    size_t chunks, scratch, scratch_bytes; /* scratch_bytes: of one thread */
    size_t total;
    size_t chunk_queries;
} workspace_layout;

typedef struct cpu_run {
    tern_cpu_compiled *compiled;
    const tern_kernels *kernels;
    const tern_batch *batch;
    const tern_run_output *outputs;
    size_t n_outputs, n_threads;
    tern_rows rows;
    workspace_layout layout;
    int64_t *chunk_start; /* [n_sequences + 1]: chunks of queries before a sequence */
} cpu_run;

/* ---- Memory ---- */

static bool reserve(size_t *total, size_t *offset, size_t count, size_t size) {
    size_t bytes;
    *offset = *total;
    return tern__size_multiply(count, size, &bytes) && bytes <= SIZE_MAX - TERN_ALIGNMENT &&
           tern__size_add(*total, tern__align_up(bytes, TERN_ALIGNMENT), total);
}

static int64_t count_chunks(const tern_batch *batch, size_t chunk_queries) {
    int64_t n = 0;
    for (int64_t s = 0; s < batch->n_sequences; s++)
        n += (batch->row_start[s + 1] - batch->row_start[s] + (int64_t)chunk_queries - 1) / (int64_t)chunk_queries;
    return n;
}

/* Long chunks pack keys and values less often; short ones give every thread something to do. */
static size_t choose_chunk(const tern_batch *batch, size_t longest, int32_t n_heads, size_t n_threads) {
    size_t chunk = longest < CHUNK_QUERIES ? longest : CHUNK_QUERIES;
    while (chunk > MIN_CHUNK && (size_t)count_chunks(batch, chunk) * (size_t)n_heads < 4 * n_threads) chunk = (chunk + 1) / 2;
    return chunk;
}

static bool is_attention(const tern_node *node) {
    return node->op == TERN_OP_SCALED_DOT_PRODUCT_ATTENTION || node->op == TERN_OP_DISENTANGLED_ATTENTION;
}

/* Of the table of distances of disentangled attention; 0: it has none. */
static size_t table_rows(const tern_cpu_compiled *c, int32_t n) {
    return c->steps[n].folded != NULL ? (size_t)c->program->weights[c->program->nodes[n].weights[0]].shape[0] : 0;
}

static bool lay_out_attention(const tern_cpu_compiled *c, const tern_batch *batch, size_t n_threads, workspace_layout *layout) {
    size_t longest = 1, floats = 0;
    int32_t fewest_heads = INT32_MAX;
    for (int64_t s = 0; s < batch->n_sequences; s++) {
        const size_t length = (size_t)(batch->row_start[s + 1] - batch->row_start[s]);
        if (length > longest) longest = length;
    }
    for (int32_t n = 0; n < c->program->n_nodes; n++) {
        const tern_node *node = &c->program->nodes[n];
        if (is_attention(node) && node->attention.n_heads < fewest_heads) fewest_heads = node->attention.n_heads;
    }
    layout->chunk_queries = choose_chunk(batch, longest, fewest_heads, n_threads);
    for (int32_t n = 0; n < c->program->n_nodes; n++) {
        const tern_node *node = &c->program->nodes[n];
        if (!is_attention(node)) continue;
        const size_t needed =
            c->device->kernels.attention_scratch((size_t)node->attention.head_dim, longest, layout->chunk_queries, table_rows(c, n));
        if (needed > floats) floats = needed;
    }
    return tern__size_multiply(tern__align_up(floats, 16), sizeof(float), &layout->scratch_bytes) &&
           reserve(&layout->total, &layout->scratch, n_threads, layout->scratch_bytes);
}

static tern_rows rows_of(const tern_batch *batch) {
    return (tern_rows){
        .rows = {[TERN_SPACE_TOKENS] = batch->n_tokens, [TERN_SPACE_SEQUENCES] = batch->n_sequences, [TERN_SPACE_PICKS] = batch->n_picks}};
}

/* slot_offsets may be NULL. */
static tern_status lay_out(const tern_cpu_compiled *c, const tern_plan *plan, const tern_batch *batch, workspace_layout *layout,
                           size_t *slot_offsets, tern_error *err) {
    const size_t n_threads = (size_t)tern__thread_pool_size(c->device->pool);
    const tern_rows rows = rows_of(batch);
    bool fits = true;
    *layout = (workspace_layout){0};
    for (int32_t s = 0; s < plan->n_slots && fits; s++) {
        size_t bytes;
        if (slot_offsets != NULL) slot_offsets[s] = layout->total;
        fits = tern__plan_slot_bytes(plan, s, &rows, &bytes) && tern__size_add(layout->total, bytes, &layout->total);
    }
    fits = fits && reserve(&layout->total, &layout->chunks, (size_t)batch->n_sequences + 1, sizeof(int64_t)) &&
           lay_out_attention(c, batch, n_threads, layout);
    if (fits) return TERN_OK;
    return TERN_FAIL(err, TERN_E_MEMORY, "cpu: a batch of %lld tokens needs more than any memory", (long long)batch->n_tokens);
}

tern_status tern__cpu_workspace_bytes(const void *compiled, const tern_batch *batch, size_t *bytes, tern_error *err) {
    const tern_cpu_compiled *c = compiled;
    workspace_layout layout;
    *bytes = 0;
    TERN_TRY(lay_out(c, &c->encoder_plan, batch, &layout, NULL, err));
    *bytes = layout.total;
    return TERN_OK;
}

static tern_status hold_workspace(tern_cpu_compiled *c, size_t bytes, tern_error *err) {
    if (bytes <= c->workspace_bytes) return TERN_OK;
    free(c->workspace);
    c->workspace_bytes = 0;
    c->workspace = tern__cpu_alloc(bytes);
    if (c->workspace == NULL) return TERN_FAIL_MEMORY(err, bytes);
    c->workspace_bytes = bytes;
    return TERN_OK;
}

/* ---- Values ---- */

/* A float value's rows. */
typedef struct row_view {
    float *data;
    size_t ld, width;
} row_view;

static row_view view_of(const cpu_run *run, tern_value value) {
    const tern_cpu_compiled *c = run->compiled;
    const tern_placement *place = &c->plan.placements[value.index];
    float *slot = (float *)(void *)(c->workspace + c->slot_offsets[place->slot]);
    return (row_view){slot + place->column, (size_t)place->row_stride, (size_t)tern__value(c->program, value)->width};
}

static const tern_node *producer_of(const cpu_run *run, tern_value value) {
    const tern_program *program = run->compiled->program;
    return &program->nodes[tern__value(program, value)->producer];
}

static bool is_output(const cpu_run *run, const tern_node *node) {
    for (size_t i = 0; i < run->n_outputs; i++)
        if (run->compiled->program->outputs[run->outputs[i].output].value.index == node->output.index) return true;
    return false;
}

/* Rows first ... end - 1 of a node's output to wherever they were asked for. */
static void copy_outputs(const cpu_run *run, const tern_node *node, size_t first, size_t end) {
    for (size_t i = 0; i < run->n_outputs; i++) {
        if (run->compiled->program->outputs[run->outputs[i].output].value.index != node->output.index) continue;
        const row_view from = view_of(run, node->output);
        for (size_t r = first; r < end; r++)
            memcpy(run->outputs[i].data + r * from.width, from.data + r * from.ld, from.width * sizeof(float));
    }
}

/* ---- Phases of rows ---- */

static const int32_t *integers_of(const cpu_run *run, tern_value value) { return run->batch->inputs[producer_of(run, value)->input]; }

static void embed_rows(const cpu_run *run, const tern_node *node, row_view y, size_t first, size_t end) {
    const tern_weight *table = &run->compiled->program->weights[node->weights[0]];
    const int32_t *ids = integers_of(run, node->inputs[0]);
    for (size_t r = first; r < end; r++)
        tern__elements_to_f32(y.data + r * y.ld, table->data, table->dtype, (size_t)ids[r] * y.width, y.width);
}

static void pool_sequences(const cpu_run *run, const tern_node *node, row_view y, size_t first, size_t end) {
    const row_view x = view_of(run, node->inputs[0]);
    const int64_t *start = run->batch->row_start;
    for (size_t s = first; s < end; s++) {
        const size_t n_rows = (size_t)(start[s + 1] - start[s]), n_prompt = node->skips_prompt ? (size_t)run->batch->n_prompt_rows : 0;
        size_t n_before = n_prompt < n_rows ? n_prompt : n_rows;
        if (n_before == n_rows && node->pool == TERN_POOL_CLS) n_before = 0;
        run->kernels->pool(y.data + s * y.ld, x.data + ((size_t)start[s] + n_before) * x.ld, x.ld, n_rows - n_before, y.width, node->pool,
                           n_before);
    }
}

static void concat_rows(const cpu_run *run, const tern_node *node, row_view y, size_t first, size_t end) {
    const row_view a = view_of(run, node->inputs[0]), b = view_of(run, node->inputs[1]);
    for (size_t r = first; r < end; r++) {
        memcpy(y.data + r * y.ld, a.data + r * a.ld, a.width * sizeof(float));
        memcpy(y.data + r * y.ld + a.width, b.data + r * b.ld, b.width * sizeof(float));
    }
}

static void unfold_rows(const cpu_run *run, const tern_node *node, row_view y, size_t first, size_t end) {
    const row_view x = view_of(run, node->inputs[0]);
    const int32_t *columns = integers_of(run, node->inputs[1]);
    const int64_t *start = run->batch->row_start;
    const size_t n = (size_t)node->kernel_size;
    int64_t s = 0;
    for (size_t r = first; r < end; r++) {
        while (start[s + 1] <= (int64_t)r) s++;
        float *to = y.data + r * y.ld;
        for (size_t i = 0; i < n; i++) {
            const int64_t row = tern__row_at(columns, start[s], start[s + 1], (int64_t)r, (int64_t)i - (int64_t)n / 2);
            for (size_t c = 0; c < x.width; c++) to[c * n + i] = row < 0 ? 0.0f : x.data[(size_t)row * x.ld + c];
        }
    }
}

static void take_rows(const cpu_run *run, const tern_node *node, row_view y, size_t first, size_t end) {
    const row_view x = view_of(run, node->inputs[0]);
    for (size_t r = first; r < end; r++) memcpy(y.data + r * y.ld, x.data + (size_t)run->batch->picks[r] * x.ld, y.width * sizeof(float));
}

static void rope_rows(const cpu_run *run, const tern_node *node, const float *table, row_view y, size_t first, size_t end) {
    const row_view x = view_of(run, node->inputs[0]);
    const int32_t *positions = integers_of(run, node->inputs[1]);
    const size_t head_dim = (size_t)node->rope.head_dim;
    for (size_t r = first; r < end; r++)
        run->kernels->rope(y.data + r * y.ld, x.data + r * x.ld, table + (size_t)positions[r] * head_dim, (size_t)node->rope.n_heads,
                           head_dim);
}

static void run_rows(const cpu_run *run, int32_t n, size_t first, size_t end) {
    const tern_node *node = &run->compiled->program->nodes[n];
    const tern_cpu_step *step = &run->compiled->steps[n];
    if (node->op == TERN_OP_INPUT || node->op == TERN_OP_SLICE) return;
    const row_view y = view_of(run, node->output);
    if (node->op == TERN_OP_EMBEDDING) {
        embed_rows(run, node, y, first, end);
        return;
    }
    if (node->op == TERN_OP_POOL) {
        pool_sequences(run, node, y, first, end);
        return;
    }
    if (node->op == TERN_OP_CONCAT) {
        concat_rows(run, node, y, first, end);
        return;
    }
    if (node->op == TERN_OP_UNFOLD) {
        unfold_rows(run, node, y, first, end);
        return;
    }
    if (node->op == TERN_OP_TAKE) {
        take_rows(run, node, y, first, end);
        return;
    }
    if (node->op == TERN_OP_ROPE) {
        rope_rows(run, node, step->weight, y, first, end);
        return;
    }
    const row_view a = view_of(run, node->inputs[0]), b = node->n_inputs > 1 ? view_of(run, node->inputs[1]) : a;
    for (size_t r = first; r < end; r++) {
        float *to = y.data + r * y.ld;
        const float *x = a.data + r * a.ld;
        if (node->op == TERN_OP_ADD || node->op == TERN_OP_ADD_LAYER_NORM) run->kernels->add(to, x, b.data + r * b.ld, y.width);
        if (node->op == TERN_OP_LAYER_NORM) run->kernels->layer_norm(to, x, step->weight, step->bias, y.width, node->eps);
        else if (node->op == TERN_OP_ADD_LAYER_NORM) run->kernels->layer_norm(to, to, step->weight, step->bias, y.width, node->eps);
        else if (node->op == TERN_OP_NORMALIZE) run->kernels->normalize(to, x, y.width);
        else if (node->op == TERN_OP_SCALE) run->kernels->scale(to, x, y.width, step->factor);
        else if (node->op == TERN_OP_MULTIPLY) run->kernels->multiply(to, x, b.data + r * b.ld, y.width);
        else if (node->op != TERN_OP_ADD) run->kernels->activation(to, x, y.width, node->op);
    }
}

static void run_rows_phase(const cpu_run *run, const tern_cpu_phase *phase, tern_tasks *tasks) {
    const size_t n_rows = (size_t)run->rows.rows[phase->space];
    size_t n_blocks = 4 * run->n_threads, task;
    if (n_blocks < n_rows / 32) n_blocks = n_rows / 32;
    if (n_blocks > n_rows) n_blocks = n_rows;
    tern__tasks_start(tasks, n_blocks);
    while (tern__tasks_take(tasks, &task)) {
        const size_t first = n_rows * task / n_blocks, end = n_rows * (task + 1) / n_blocks;
        for (int32_t n = phase->first; n < phase->end; n++) {
            if (!run->compiled->needed[n]) continue;
            run_rows(run, n, first, end);
            copy_outputs(run, &run->compiled->program->nodes[n], first, end);
        }
    }
}

/* ---- Phases of a product ---- */

/* Tiles of rows in one task: what fits the L2 cache beside a panel, less when there would be too few tasks. */
static size_t choose_tiles(size_t mr, size_t n_tiles, size_t k, size_t n_panels, size_t n_threads) {
    size_t tiles = GEMM_ROWS_BYTES / (k * sizeof(float) * mr);
    if (tiles < 1) tiles = 1;
    if (tiles > n_tiles) tiles = n_tiles;
    while (tiles > 1 && (n_tiles + tiles - 1) / tiles * n_panels < 4 * n_threads) tiles = (tiles + 1) / 2;
    return tiles;
}

void tern__cpu_gemm(const tern_kernels *kernels, const tern_gemm *g, size_t n_rows, tern_tasks *tasks) {
    const size_t n_panels = (g->n + kernels->nr - 1) / kernels->nr, n_tiles = (n_rows + kernels->mr - 1) / kernels->mr;
    const size_t tiles = choose_tiles(kernels->mr, n_tiles, g->k, n_panels, tasks->n_threads), n_blocks = (n_tiles + tiles - 1) / tiles;
    size_t task;
    tern__tasks_start(tasks, n_blocks * n_panels);
    while (tern__tasks_take(tasks, &task)) {
        const size_t block = task / n_panels;
        const size_t first = n_rows * (n_tiles * block / n_blocks) / n_tiles, end = n_rows * (n_tiles * (block + 1) / n_blocks) / n_tiles;
        kernels->gemm(g, first, end - first, task % n_panels, 1);
    }
}

static void run_gemm_phase(const cpu_run *run, const tern_cpu_phase *phase, tern_tasks *tasks) {
    const tern_node *node = &run->compiled->program->nodes[phase->first];
    const tern_cpu_step *step = &run->compiled->steps[phase->first];
    const row_view x = view_of(run, node->inputs[0]), y = view_of(run, node->output);
    tern_gemm g = {.x = x.data,
                   .ldx = x.ld,
                   .panels = step->panels,
                   .bias = step->bias,
                   .k = x.width,
                   .n = y.width,
                   .y = y.data,
                   .ldy = y.ld,
                   .activation = TERN_OP_INPUT};
    if (node->op == TERN_OP_LINEAR_ACTIVATION) g.activation = node->activation;
    if (node->op == TERN_OP_LINEAR_ADD) {
        const row_view residual = view_of(run, node->inputs[1]);
        g.residual = residual.data;
        g.ld_residual = residual.ld;
    }
    tern__cpu_gemm(run->kernels, &g, (size_t)run->rows.rows[phase->space], tasks);
}

/* ---- Phases of attention ---- */

/* The sequence that a chunk belongs to. */
static int64_t find_sequence(const cpu_run *run, int64_t chunk) {
    int64_t low = 0, high = run->batch->n_sequences - 1;
    while (low < high) {
        const int64_t middle = (low + high + 1) / 2;
        if (run->chunk_start[middle] <= chunk) low = middle;
        else high = middle - 1;
    }
    return low;
}

/* A head's relative bias, at distance 0; NULL: none. */
static const float *bias_of(const tern_cpu_step *step, size_t head) {
    if (step->reach == 0 || step->folded != NULL) return NULL;
    return step->weight + head * (2 * (size_t)step->reach + 1) + (size_t)step->reach;
}

static void run_attention_phase(const cpu_run *run, const tern_cpu_phase *phase, tern_tasks *tasks) {
    const tern_node *node = &run->compiled->program->nodes[phase->first];
    const row_view q = view_of(run, node->inputs[0]), k = view_of(run, node->inputs[1]), v = view_of(run, node->inputs[2]);
    const row_view y = view_of(run, node->output);
    const tern_cpu_step *step = &run->compiled->steps[phase->first];
    const int32_t *columns = node->n_inputs > 3 ? integers_of(run, node->inputs[3]) : NULL;
    const size_t n_heads = (size_t)node->attention.n_heads, head_dim = (size_t)node->attention.head_dim;
    unsigned char *scratch = run->compiled->workspace + run->layout.scratch + tasks->thread * run->layout.scratch_bytes;
    size_t task;
    tern__tasks_start(tasks, (size_t)run->chunk_start[run->batch->n_sequences] * n_heads);
    while (tern__tasks_take(tasks, &task)) {
        const int64_t chunk = (int64_t)(task / n_heads), s = find_sequence(run, chunk);
        const size_t first = (size_t)run->batch->row_start[s], n_tokens = (size_t)run->batch->row_start[s + 1] - first;
        const size_t n_chunks = (size_t)(run->chunk_start[s + 1] - run->chunk_start[s]), at = (size_t)(chunk - run->chunk_start[s]);
        const size_t query = n_tokens * at / n_chunks, column = task % n_heads * head_dim;
        const tern_attention_head head = {.q = q.data + first * q.ld + column,
                                          .k = k.data + first * k.ld + column,
                                          .v = v.data + first * v.ld + column,
                                          .y = y.data + first * y.ld + column,
                                          .ldq = q.ld,
                                          .ldk = k.ld,
                                          .ldv = v.ld,
                                          .ldy = y.ld,
                                          .n_tokens = n_tokens,
                                          .head_dim = head_dim,
                                          .scale = node->attention.scale,
                                          .columns = columns != NULL ? columns + first : NULL,
                                          .window = node->attention.window,
                                          .bias = bias_of(step, task % n_heads),
                                          .reach = step->reach,
                                          .table_keys = step->table_keys != NULL ? step->table_keys + column : NULL,
                                          .table_queries = step->table_queries != NULL ? step->table_queries + column : NULL,
                                          .ld_table = y.width,
                                          .n_table_rows = table_rows(run->compiled, phase->first),
                                          .table_row = step->folded != NULL ? step->rows_by_distance + step->reach : NULL,
                                          .scratch = (float *)(void *)scratch};
        run->kernels->attention(&head, query, n_tokens * (at + 1) / n_chunks - query);
    }
}

/* ---- The region ---- */

/* A view or an input is work only where it is copied out. */
static bool has_work(const cpu_run *run, const tern_cpu_phase *phase) {
    for (int32_t n = phase->first; n < phase->end; n++) {
        const tern_node *node = &run->compiled->program->nodes[n];
        if (!run->compiled->needed[n]) continue;
        if ((node->op != TERN_OP_INPUT && node->op != TERN_OP_SLICE) || is_output(run, node)) return true;
    }
    return false;
}

static void run_copy_phase(const cpu_run *run, const tern_cpu_phase *phase, tern_tasks *tasks) {
    const tern_node *node = &run->compiled->program->nodes[phase->first];
    const size_t n_rows = (size_t)run->rows.rows[phase->space];
    size_t task;
    tern__tasks_start(tasks, run->n_threads);
    while (tern__tasks_take(tasks, &task)) copy_outputs(run, node, n_rows * task / run->n_threads, n_rows * (task + 1) / run->n_threads);
    tern__tasks_wait(tasks);
}

/* A thread that the system holds up may come here long after the others did the phase and those after it: the first to come tells when it
 * was over. */
static void note_end(const cpu_run *run, int32_t phase) {
    _Atomic int64_t *end_ns = &run->compiled->phase_end_ns[phase];
    const int64_t now_ns = tern__clock_ns();
    int64_t noted_ns = atomic_load_explicit(end_ns, memory_order_relaxed);
    while (now_ns < noted_ns &&
           !atomic_compare_exchange_weak_explicit(end_ns, &noted_ns, now_ns, memory_order_relaxed, memory_order_relaxed)) {}
}

/* The time of a phase is that of its last node. */
static void tell_times(const cpu_run *run) {
    int64_t start_ns = run->compiled->phase_end_ns[run->compiled->n_phases];
    for (int32_t p = 0; p < run->compiled->n_phases; p++) {
        const tern_cpu_phase *phase = &run->compiled->phases[p];
        if (!has_work(run, phase)) continue;
        int32_t last = phase->first;
        for (int32_t n = phase->first; n < phase->end; n++) {
            const tern_op op = run->compiled->program->nodes[n].op;
            if (!run->compiled->needed[n] || op == TERN_OP_INPUT || op == TERN_OP_SLICE) continue;
            run->batch->node_ns[n] = -1;
            last = n;
        }
        run->batch->node_ns[last] = run->compiled->phase_end_ns[p] - start_ns;
        start_ns = run->compiled->phase_end_ns[p];
    }
}

static void run_region(void *argument, int thread) {
    const cpu_run *run = argument;
    const tern_cpu_compiled *c = run->compiled;
    if (run->batch->node_ns != NULL) note_end(run, c->n_phases);
    tern_tasks tasks = tern__tasks_begin(c->device->pool, thread);
    for (int32_t p = 0; p < c->n_phases; p++) {
        const tern_cpu_phase *phase = &c->phases[p];
        if (!has_work(run, phase)) continue;
        if (phase->kind == TERN_CPU_ROWS) run_rows_phase(run, phase, &tasks);
        else if (phase->kind == TERN_CPU_GEMM) run_gemm_phase(run, phase, &tasks);
        else run_attention_phase(run, phase, &tasks);
        tern__tasks_wait(&tasks);
        if (phase->kind != TERN_CPU_ROWS && is_output(run, &c->program->nodes[phase->first])) run_copy_phase(run, phase, &tasks);
        if (run->batch->node_ns != NULL) note_end(run, p);
    }
}

static void prepare(cpu_run *run) {
    unsigned char *workspace = run->compiled->workspace;
    const int64_t chunk = (int64_t)run->layout.chunk_queries;
    run->chunk_start = (int64_t *)(void *)(workspace + run->layout.chunks);
    run->chunk_start[0] = 0;
    for (int64_t s = 0; s < run->batch->n_sequences; s++)
        run->chunk_start[s + 1] = run->chunk_start[s] + (run->batch->row_start[s + 1] - run->batch->row_start[s] + chunk - 1) / chunk;
}

static void mark_needed(const cpu_run *run) {
    tern_cpu_compiled *c = run->compiled;
    size_t n_wanted = 0;
    for (int32_t o = 0; o < c->program->n_outputs; o++) {
        bool is_wanted = false;
        for (size_t i = 0; i < run->n_outputs; i++) is_wanted |= run->outputs[i].output == o;
        if (is_wanted) c->wanted[n_wanted++] = o;
    }
    tern__program_mark_needed(c->program, c->wanted, n_wanted, c->needed);
}

tern_status tern__cpu_run(void *compiled, const tern_batch *batch, const tern_run_output *outputs, size_t n_outputs, tern_error *err) {
    tern_cpu_compiled *c = compiled;
    cpu_run run = {.compiled = c,
                   .kernels = &c->device->kernels,
                   .batch = batch,
                   .outputs = outputs,
                   .n_outputs = n_outputs,
                   .n_threads = (size_t)tern__thread_pool_size(c->device->pool),
                   .rows = rows_of(batch)};
    mark_needed(&run);
    tern__plan_needed_strides(&c->plan, c->program, c->needed, c->run_plan.slot_strides);
    TERN_TRY(lay_out(c, &c->run_plan, batch, &run.layout, c->slot_offsets, err));
    TERN_TRY(hold_workspace(c, run.layout.total, err));
    prepare(&run);
    tern__cpu_pack_needed(c);
    for (int32_t p = 0; p <= c->n_phases && batch->node_ns != NULL; p++) c->phase_end_ns[p] = INT64_MAX;
    tern__thread_pool_run(c->device->pool, run_region, &run);
    if (batch->node_ns != NULL) tell_times(&run);
    return TERN_OK;
}
