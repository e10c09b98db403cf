/* run.c - one batch through a compiled program. Row counts are rounded up to a bucket. The first batch of a bucket chooses kernels and is
 * captured into a graph; later ones copy their ids and starts of sequences over the first one's and launch it.
 *
 * Rows between the batch's and the bucket's are computed like others, from ids 0, and belong to no sequence.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "device/cuda/cuda.h"
#include "device/cuda/launch.h"

#define MAX_GRAPHS 128
#define MAX_ROWS   ((int64_t)1 << 28)
#define NEAR_BYTES ((size_t)1 << 20) /* results up to this size are written to pinned host memory by the kernels */

/* One captured bucket. */
struct tern_cuda_graph {
    tern_cuda_bucket bucket;
    int32_t *outputs; /* [n_outputs]: those that it computes, in order */
    size_t n_outputs;
    cudaGraphExec_t exec;
    uint64_t last_run;
};

/* ---- Buckets ---- */

/* Steps of an eighth or less, so that few graphs serve all batches and few rows are computed in vain. */
static int64_t round_tokens(int64_t n) {
    const int64_t step = n <= 64 ? 8 : n <= 256 ? 16 : n <= 1024 ? 64 : 128;
    return (n + step - 1) / step * step;
}

static int64_t round_power(int64_t n) {
    int64_t power = 1;
    while (power < n) power *= 2;
    return n == 0 ? 0 : power;
}

static int64_t tiles_of(int64_t n_tokens, int64_t n_sequences, int64_t tile) { return (n_tokens + tile - 1) / tile + n_sequences; }

static tern_status bucket_of(tern_cuda_bucket *out, const tern_cuda_compiled *c, const tern_batch *batch, tern_error *err) {
    memset(out, 0, sizeof *out); /* compared as bytes */
    if (batch->n_tokens > MAX_ROWS || batch->n_picks > MAX_ROWS)
        return TERN_FAIL(err, TERN_E_MEMORY, "%s: a batch of %lld tokens needs more than any memory", c->device->name,
                         (long long)batch->n_tokens);
    out->rows[TERN_SPACE_TOKENS] = round_tokens(batch->n_tokens);
    out->rows[TERN_SPACE_SEQUENCES] = round_power(batch->n_sequences);
    out->rows[TERN_SPACE_PICKS] = round_power(batch->n_picks);
    out->n_prompt_rows = batch->n_prompt_rows < INT32_MAX ? batch->n_prompt_rows : INT32_MAX;
    if (c->uses_simt) out->n_tiles[0] = tiles_of(out->rows[TERN_SPACE_TOKENS], out->rows[TERN_SPACE_SEQUENCES], TERN_CUDA_TILE);
    if (c->uses_mma) out->n_tiles[1] = tiles_of(out->rows[TERN_SPACE_TOKENS], out->rows[TERN_SPACE_SEQUENCES], TERN_CUDA_TILE_MMA);
    return TERN_OK;
}

/* ---- Where everything is ---- */

/* Byte offsets in the workspace. The batch's integers come first; their offsets hold for the pinned copy too. */
typedef struct layout {
    size_t row_start, tiles[2], inputs[TERN_N_INPUTS], picks, integers_bytes;
    size_t outputs; /* dense float rows of the outputs asked for: in the workspace, or in pinned memory */
    bool is_near;   /* the latter */
    size_t total, host_total;
} layout;

static bool reserve(size_t *total, size_t *offset, int64_t count, size_t size) {
    size_t bytes;
    *offset = *total;
    return tern__size_multiply((size_t)count, size, &bytes) && bytes <= SIZE_MAX - 256 &&
           tern__size_add(*total, tern__align_up(bytes, 256), total);
}

static bool lay_out_integers(const tern_cuda_bucket *bucket, layout *l) {
    bool fits = reserve(&l->total, &l->row_start, bucket->rows[TERN_SPACE_SEQUENCES] + 1, sizeof(int32_t));
    for (int i = 0; i < 2; i++) fits = fits && reserve(&l->total, &l->tiles[i], bucket->n_tiles[i], sizeof(tern_cuda_tile));
    for (int i = 0; i < TERN_N_INPUTS; i++)
        fits = fits && reserve(&l->total, &l->inputs[i], bucket->rows[TERN_SPACE_TOKENS], sizeof(int32_t));
    fits = fits && reserve(&l->total, &l->picks, bucket->rows[TERN_SPACE_PICKS], sizeof(int32_t));
    l->integers_bytes = l->total;
    return fits;
}

/* slot_offsets may be NULL. */
static tern_status lay_out(const tern_cuda_compiled *c, const tern_cuda_bucket *bucket, const tern_run_output *outputs, size_t n_outputs,
                           layout *l, size_t *slot_offsets, tern_error *err) {
    tern_rows rows = {0};
    size_t ignored;
    memcpy(rows.rows, bucket->rows, sizeof rows.rows);
    *l = (layout){0};
    bool fits = lay_out_integers(bucket, l);
    for (int32_t s = 0; s < c->plan.n_slots && fits; s++) {
        size_t bytes;
        fits = tern__plan_slot_bytes(&c->plan, s, &rows, &bytes) &&
               reserve(&l->total, slot_offsets != NULL ? &slot_offsets[s] : &ignored, (int64_t)(bytes / sizeof(float)),
                       tern__cuda_element_bytes(c->type));
    }
    size_t output_bytes = 0;
    for (size_t o = 0; o < n_outputs && fits; o++) {
        const tern_value_info *info = tern__value(c->program, c->program->outputs[outputs[o].output].value);
        fits = reserve(&output_bytes, &ignored, bucket->rows[info->space], (size_t)info->width * sizeof(float));
    }
    l->is_near = output_bytes <= NEAR_BYTES;
    l->outputs = l->is_near ? l->integers_bytes : l->total;
    l->host_total = l->integers_bytes + (l->is_near ? output_bytes : 0);
    fits = fits && (l->is_near || tern__size_add(l->total, output_bytes, &l->total));
    if (fits) return TERN_OK;
    return TERN_FAIL(err, TERN_E_MEMORY, "%s: a batch of %lld rows needs more than any memory", c->device->name,
                     (long long)bucket->rows[TERN_SPACE_TOKENS]);
}

tern_status tern__cuda_workspace_bytes(const void *compiled, const tern_batch *batch, size_t *bytes, tern_error *err) {
    const tern_cuda_compiled *c = compiled;
    tern_cuda_bucket bucket;
    layout l;
    *bytes = 0;
    TERN_TRY(bucket_of(&bucket, c, batch, err));
    TERN_TRY(lay_out(c, &bucket, NULL, 0, &l, NULL, err));
    *bytes = l.total;
    return TERN_OK;
}

/* ---- Graphs ---- */

static void drop_graph(tern_cuda_compiled *c, size_t g) {
    if (c->graphs[g].exec != NULL) cudaGraphExecDestroy(c->graphs[g].exec);
    free(c->graphs[g].outputs);
    c->graphs[g] = c->graphs[--c->n_graphs];
}

static void drop_graphs(tern_cuda_compiled *c) {
    cudaStreamSynchronize(c->device->stream);
    while (c->n_graphs > 0) drop_graph(c, c->n_graphs - 1);
}

void tern__cuda_run_release(tern_cuda_compiled *c) {
    drop_graphs(c);
    free(c->graphs);
    if (c->workspace != NULL) cudaFree(c->workspace);
    if (c->host != NULL) cudaFreeHost(c->host);
}

static struct tern_cuda_graph *find_graph(const tern_cuda_compiled *c, const tern_cuda_bucket *bucket, const tern_run_output *outputs,
                                          size_t n_outputs) {
    for (size_t g = 0; g < c->n_graphs; g++) {
        struct tern_cuda_graph *graph = &c->graphs[g];
        bool is_same = graph->n_outputs == n_outputs && memcmp(&graph->bucket, bucket, sizeof *bucket) == 0;
        for (size_t o = 0; o < n_outputs && is_same; o++) is_same = graph->outputs[o] == outputs[o].output;
        if (is_same) return graph;
    }
    return NULL;
}

/* Room for one more; the one that was not run for longest goes. */
static tern_status new_graph(tern_cuda_compiled *c, struct tern_cuda_graph **out, const tern_cuda_bucket *bucket,
                             const tern_run_output *outputs, size_t n_outputs, tern_error *err) {
    if (c->n_graphs == MAX_GRAPHS) {
        size_t oldest = 0;
        for (size_t g = 1; g < c->n_graphs; g++)
            if (c->graphs[g].last_run < c->graphs[oldest].last_run) oldest = g;
        drop_graph(c, oldest);
    }
    struct tern_cuda_graph graph = {.bucket = *bucket, .n_outputs = n_outputs, .outputs = tern__alloc(n_outputs, sizeof *graph.outputs)};
    if (graph.outputs == NULL || !tern__grow(&c->graphs, &c->graphs_capacity, c->n_graphs + 1, sizeof *c->graphs)) {
        free(graph.outputs);
        return TERN_FAIL_MEMORY(err, sizeof graph);
    }
    for (size_t o = 0; o < n_outputs; o++) graph.outputs[o] = outputs[o].output;
    c->graphs[c->n_graphs] = graph;
    *out = &c->graphs[c->n_graphs++];
    return TERN_OK;
}

static tern_status copy_integers(const tern_cuda_compiled *c, const layout *l, tern_error *err) {
    TERN_CUDA_TRY(c->device, cudaMemcpyAsync(c->workspace, c->host, l->integers_bytes, cudaMemcpyHostToDevice, c->device->stream),
                  "copying a batch", err);
    return TERN_OK;
}

static tern_status capture(tern_cuda_compiled *c, const layout *l, const tern_cuda_launch *launch, cudaGraphExec_t *exec, tern_error *err) {
    const tern_cuda_device *device = c->device;
    cudaGraph_t graph = NULL;
    TERN_CUDA_TRY(device, cudaStreamBeginCapture(device->stream, cudaStreamCaptureModeThreadLocal), "capturing", err);
    tern_status status = copy_integers(c, l, err);
    if (status == TERN_OK) status = tern__cuda_launch(launch, err);
    cudaError_t error = cudaStreamEndCapture(device->stream, &graph);
    if (status == TERN_OK && error == cudaSuccess) error = cudaGraphInstantiate(exec, graph, 0);
    if (graph != NULL) cudaGraphDestroy(graph);
    if (status != TERN_OK) return status;
    return error == cudaSuccess ? TERN_OK : tern__cuda_fail(device, error, "capturing a graph", err);
}

/* ---- A run ---- */

static tern_status hold_workspace(tern_cuda_compiled *c, const layout *l, tern_error *err) {
    if (l->total > c->workspace_bytes) {
        drop_graphs(c);
        if (c->workspace != NULL) cudaFree(c->workspace);
        c->workspace = NULL, c->workspace_bytes = 0;
        void *memory;
        TERN_TRY(tern__cuda_alloc(c->device, &memory, l->total, "the activations of a batch", err));
        c->workspace = memory, c->workspace_bytes = l->total;
    }
    if (l->host_total > c->host_bytes) {
        drop_graphs(c);
        if (c->host != NULL) cudaFreeHost(c->host);
        c->host = NULL, c->host_bytes = 0;
        void *memory;
        TERN_CUDA_TRY(c->device, cudaHostAlloc(&memory, l->host_total, cudaHostAllocDefault), "pinning host memory", err);
        c->host = memory, c->host_bytes = l->host_total;
    }
    return TERN_OK;
}

static void fill_tiles(tern_cuda_tile *tiles, int64_t n_tiles, const tern_batch *batch, int32_t tile) {
    int64_t n = 0;
    for (int64_t s = 0; s < batch->n_sequences && n_tiles > 0; s++) {
        const int64_t start = batch->row_start[s], n_rows = batch->row_start[s + 1] - start;
        for (int64_t first = 0; first < n_rows; first += tile)
            tiles[n++] = (tern_cuda_tile){(int32_t)start, (int32_t)n_rows, (int32_t)first};
    }
    for (; n < n_tiles; n++) tiles[n] = (tern_cuda_tile){0};
}

static void fill_integers(const tern_cuda_compiled *c, const tern_cuda_bucket *bucket, const layout *l, const tern_batch *batch) {
    const size_t n_tokens = (size_t)bucket->rows[TERN_SPACE_TOKENS];
    int32_t *row_start = (int32_t *)(void *)(c->host + l->row_start);
    for (int64_t s = 0; s <= bucket->rows[TERN_SPACE_SEQUENCES]; s++)
        row_start[s] = (int32_t)batch->row_start[s < batch->n_sequences ? s : batch->n_sequences];
    fill_tiles((tern_cuda_tile *)(void *)(c->host + l->tiles[0]), bucket->n_tiles[0], batch, TERN_CUDA_TILE);
    fill_tiles((tern_cuda_tile *)(void *)(c->host + l->tiles[1]), bucket->n_tiles[1], batch, TERN_CUDA_TILE_MMA);
    for (int i = 0; i < TERN_N_INPUTS; i++) {
        unsigned char *to = c->host + l->inputs[i];
        const size_t used = batch->inputs[i] != NULL ? (size_t)batch->n_tokens * sizeof(int32_t) : 0;
        if (used > 0) memcpy(to, batch->inputs[i], used);
        memset(to + used, 0, n_tokens * sizeof(int32_t) - used);
    }
    const size_t used = (size_t)batch->n_picks * sizeof(int32_t);
    if (used > 0) memcpy(c->host + l->picks, batch->picks, used);
    memset(c->host + l->picks + used, 0, (size_t)bucket->rows[TERN_SPACE_PICKS] * sizeof(int32_t) - used);
}

static void mark_needed(tern_cuda_compiled *c, const tern_run_output *outputs, size_t n_outputs) {
    size_t n_wanted = 0;
    for (int32_t o = 0; o < c->program->n_outputs; o++) {
        bool is_wanted = false;
        for (size_t i = 0; i < n_outputs; i++) is_wanted |= outputs[i].output == o;
        if (is_wanted) c->wanted[n_wanted++] = o;
    }
    tern__program_mark_needed(c->program, c->wanted, n_wanted, c->needed);
}

static tern_cuda_launch launch_of(tern_cuda_compiled *c, const tern_cuda_bucket *bucket, const layout *l, const tern_run_output *outputs,
                                  size_t n_outputs) {
    tern_cuda_launch launch = {.compiled = c,
                               .bucket = bucket,
                               .row_start = (const int32_t *)(void *)(c->workspace + l->row_start),
                               .picks = (const int32_t *)(void *)(c->workspace + l->picks),
                               .outputs = outputs,
                               .n_outputs = n_outputs,
                               .output_data = (float *)(void *)((l->is_near ? c->host : c->workspace) + l->outputs)};
    for (int i = 0; i < 2; i++) launch.tiles[i] = (const tern_cuda_tile *)(void *)(c->workspace + l->tiles[i]);
    for (int i = 0; i < TERN_N_INPUTS; i++) launch.inputs[i] = (const int32_t *)(void *)(c->workspace + l->inputs[i]);
    return launch;
}

/* The bucket's graph, made now when it is new. */
static tern_status prepare_graph(tern_cuda_compiled *c, const layout *l, const tern_cuda_launch *launch, struct tern_cuda_graph **out,
                                 tern_error *err) {
    *out = find_graph(c, launch->bucket, launch->outputs, launch->n_outputs);
    if (*out != NULL) return TERN_OK;
    mark_needed(c, launch->outputs, launch->n_outputs);
    TERN_TRY(tern__cuda_choose_products(launch, err));
    TERN_TRY(new_graph(c, out, launch->bucket, launch->outputs, launch->n_outputs, err));
    const tern_status status = capture(c, l, launch, &(*out)->exec, err);
    if (status != TERN_OK) drop_graph(c, c->n_graphs - 1);
    return status;
}

/* Without a graph, each node timed. */
static tern_status run_timed(tern_cuda_compiled *c, const layout *l, const tern_cuda_launch *launch, int64_t *node_ns, tern_error *err) {
    const int32_t n_nodes = c->program->n_nodes;
    tern_cuda_launch timed = *launch;
    mark_needed(c, launch->outputs, launch->n_outputs);
    TERN_TRY(tern__cuda_choose_products(launch, err));
    TERN_TRY(copy_integers(c, l, err));
    timed.events = tern__alloc_zero((size_t)n_nodes + 1, sizeof *timed.events);
    if (timed.events == NULL) return TERN_FAIL_MEMORY(err, ((size_t)n_nodes + 1) * sizeof *timed.events);
    tern_status status = tern__cuda_launch(&timed, err);
    const cudaError_t error = cudaStreamSynchronize(c->device->stream);
    if (status == TERN_OK && error != cudaSuccess) status = tern__cuda_fail(c->device, error, "timing a batch", err);
    cudaEvent_t before = timed.events[n_nodes];
    for (int32_t n = 0; n < n_nodes && status == TERN_OK; n++) {
        float milliseconds = 0;
        if (c->needed[n] && c->steps[n].is_folded) node_ns[n] = -1;
        if (timed.events[n] == NULL) continue;
        cudaEventElapsedTime(&milliseconds, before, timed.events[n]);
        node_ns[n] = (int64_t)((double)milliseconds * 1e6);
        before = timed.events[n];
    }
    for (int32_t n = 0; n <= n_nodes; n++)
        if (timed.events[n] != NULL) cudaEventDestroy(timed.events[n]);
    free(timed.events);
    return status;
}

static int64_t rows_in(const tern_batch *batch, tern_space space) {
    return space == TERN_SPACE_TOKENS ? batch->n_tokens : space == TERN_SPACE_PICKS ? batch->n_picks : batch->n_sequences;
}

static tern_status fetch_outputs(const tern_cuda_launch *launch, const layout *l, const tern_batch *batch, tern_error *err) {
    const tern_cuda_compiled *c = launch->compiled;
    if (l->is_near) TERN_CUDA_TRY(c->device, cudaStreamSynchronize(c->device->stream), "running a batch", err);
    const unsigned char *from = (const unsigned char *)launch->output_data;
    for (size_t o = 0; o < launch->n_outputs; o++) {
        const tern_run_output *output = &launch->outputs[o];
        const tern_value_info *info = tern__value(c->program, c->program->outputs[output->output].value);
        const size_t row_bytes = (size_t)info->width * sizeof(float), bytes = (size_t)rows_in(batch, info->space) * row_bytes;
        if (l->is_near) memcpy(output->data, from, bytes);
        else
            TERN_CUDA_TRY(c->device, cudaMemcpyAsync(output->data, from, bytes, cudaMemcpyDeviceToHost, c->device->stream),
                          "copying results", err);
        from += tern__align_up((size_t)launch->bucket->rows[info->space] * row_bytes, 256);
    }
    if (!l->is_near) TERN_CUDA_TRY(c->device, cudaStreamSynchronize(c->device->stream), "running a batch", err);
    return TERN_OK;
}

tern_status tern__cuda_run(void *compiled, const tern_batch *batch, const tern_run_output *outputs, size_t n_outputs, tern_error *err) {
    tern_cuda_compiled *c = compiled;
    struct tern_cuda_graph *graph;
    tern_cuda_bucket bucket;
    layout l;
    TERN_CUDA_TRY(c->device, cudaSetDevice(c->device->index), "running a batch", err);
    TERN_TRY(bucket_of(&bucket, c, batch, err));
    TERN_TRY(lay_out(c, &bucket, outputs, n_outputs, &l, c->slot_offsets, err));
    TERN_TRY(hold_workspace(c, &l, err));
    const tern_cuda_launch launch = launch_of(c, &bucket, &l, outputs, n_outputs);
    fill_integers(c, &bucket, &l, batch);
    if (batch->node_ns != NULL) {
        TERN_TRY(run_timed(c, &l, &launch, batch->node_ns, err));
    } else {
        TERN_TRY(prepare_graph(c, &l, &launch, &graph, err));
        graph->last_run = ++c->n_runs;
        TERN_CUDA_TRY(c->device, cudaGraphLaunch(graph->exec, c->device->stream), "running a batch", err);
    }
    return fetch_outputs(&launch, &l, batch, err);
}
