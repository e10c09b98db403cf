/* run.c - one batch through a compiled program, on one of its lanes. Row counts are rounded up to a bucket. The first batch of a bucket
 * chooses kernels and is captured into a graph; later ones copy their ids and starts of sequences over the first one's and launch it.
 *
 * Rows between the batch's and the bucket's are computed like others, from ids 0, and belong to no sequence.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include <nvtx3/nvToolsExt.h>

#include "device/cuda/cuda.h"
#include "device/cuda/launch.h"

#define MAX_ROWS   ((int64_t)1 << 28)
#define NEAR_BYTES ((size_t)1 << 20) /* results up to this size are written to pinned host memory by the kernels */

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
    size_t row_start, tiles[2], inputs[TERN_N_INPUTS], picks, barrier, integers_bytes;
    size_t narrow, narrow_scales, sums; /* scratch memory of linears with 8-bit operands, of one at a time */
    size_t exchange;                    /* of the encoder's kernel */
    size_t outputs;                     /* dense float rows of the outputs asked for: in the workspace, or in pinned memory */
    bool is_near;                       /* the latter */
    bool has_encoder;                   /* one kernel does the layers */
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
    fits = fits && reserve(&l->total, &l->picks, bucket->rows[TERN_SPACE_PICKS], sizeof(int32_t)) &&
           reserve(&l->total, &l->barrier, l->has_encoder, sizeof(uint32_t));
    l->integers_bytes = l->total;
    return fits;
}

static bool lay_out_narrow(const tern_cuda_compiled *c, int64_t n_tokens, layout *l) {
    if (c->narrow_k == 0) return true;
    return reserve(&l->total, &l->narrow, n_tokens, (size_t)c->narrow_k) &&
           reserve(&l->total, &l->narrow_scales, n_tokens, sizeof(float)) &&
           reserve(&l->total, &l->sums, n_tokens, (size_t)c->narrow_n * sizeof(float));
}

static bool lay_out_encoder(const tern_cuda_compiled *c, layout *l) {
    if (!l->has_encoder) return true;
    const int32_t width = tern__value(c->program, c->program->nodes[c->encoder_last].output)->width;
    return reserve(&l->total, &l->exchange, (int64_t)tern__cuda_encoder_exchange_bytes(width), 1);
}

/* slot_offsets may be NULL. */
static tern_status lay_out(const tern_cuda_compiled *c, const tern_cuda_bucket *bucket, const tern_run_output *outputs, size_t n_outputs,
                           layout *l, size_t *slot_offsets, tern_error *err) {
    tern_rows rows = {0};
    size_t ignored;
    memcpy(rows.rows, bucket->rows, sizeof rows.rows);
    *l = (layout){.has_encoder = tern__cuda_encoder_serves(c, bucket, outputs, n_outputs)};
    bool fits = lay_out_integers(bucket, l) && lay_out_narrow(c, bucket->rows[TERN_SPACE_TOKENS], l) && lay_out_encoder(c, l);
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

static tern_status copy_integers(const tern_cuda_lane *lane, const layout *l, tern_error *err) {
    TERN_CUDA_TRY(lane->queue.device,
                  cudaMemcpyAsync(lane->workspace, lane->host, l->integers_bytes, cudaMemcpyHostToDevice, lane->queue.stream),
                  "copying a batch", err);
    return TERN_OK;
}

static tern_status capture(const layout *l, const tern_cuda_launch *launch, cudaGraphExec_t *exec, tern_error *err) {
    const tern_cuda_device *device = launch->compiled->device;
    const cudaStream_t stream = launch->lane->queue.stream;
    cudaGraph_t graph = NULL;
    TERN_CUDA_TRY(device, cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing", err);
    tern_status status = copy_integers(launch->lane, l, err);
    if (status == TERN_OK) status = tern__cuda_launch(launch, err);
    cudaError_t error = cudaStreamEndCapture(stream, &graph);
    if (status == TERN_OK && error == cudaSuccess) error = cudaGraphInstantiate(exec, graph, 0);
    if (graph != NULL) cudaGraphDestroy(graph);
    if (status != TERN_OK) return status;
    return error == cudaSuccess ? TERN_OK : tern__cuda_fail(device, error, "capturing a graph", err);
}

/* ---- A run ---- */

/* One batch and the lane that it is on. */
typedef struct work {
    tern_cuda_compiled *compiled;
    tern_cuda_lane *lane;
    const tern_batch *batch;
    tern_cuda_bucket bucket;
    layout layout;
    const tern_run_output *outputs;
    size_t n_outputs;
} work;

static void fill_tiles(tern_cuda_tile *tiles, int64_t n_tiles, const tern_batch *batch, int32_t tile) {
    int64_t n = 0;
    for (int64_t s = 0; s < batch->n_sequences && n_tiles > 0; s++) {
        const int64_t start = batch->row_start[s], n_rows = batch->row_start[s + 1] - start;
        for (int64_t first = 0; first < n_rows; first += tile)
            tiles[n++] = (tern_cuda_tile){(int32_t)start, (int32_t)n_rows, (int32_t)first};
    }
    for (; n < n_tiles; n++) tiles[n] = (tern_cuda_tile){0};
}

static void fill_integers(const work *w) {
    const tern_cuda_bucket *bucket = &w->bucket;
    const tern_batch *batch = w->batch;
    const layout *l = &w->layout;
    unsigned char *host = w->lane->host;
    const size_t n_tokens = (size_t)bucket->rows[TERN_SPACE_TOKENS];
    int32_t *row_start = (int32_t *)(void *)(host + l->row_start);
    for (int64_t s = 0; s <= bucket->rows[TERN_SPACE_SEQUENCES]; s++)
        row_start[s] = (int32_t)batch->row_start[s < batch->n_sequences ? s : batch->n_sequences];
    fill_tiles((tern_cuda_tile *)(void *)(host + l->tiles[0]), bucket->n_tiles[0], batch, TERN_CUDA_TILE);
    fill_tiles((tern_cuda_tile *)(void *)(host + l->tiles[1]), bucket->n_tiles[1], batch, TERN_CUDA_TILE_MMA);
    for (int i = 0; i < TERN_N_INPUTS; i++) {
        unsigned char *to = host + l->inputs[i];
        const size_t used = batch->inputs[i] != NULL ? (size_t)batch->n_tokens * sizeof(int32_t) : 0;
        if (used > 0) memcpy(to, batch->inputs[i], used);
        memset(to + used, 0, n_tokens * sizeof(int32_t) - used);
    }
    const size_t used = (size_t)batch->n_picks * sizeof(int32_t);
    if (used > 0) memcpy(host + l->picks, batch->picks, used);
    memset(host + l->picks + used, 0, (size_t)bucket->rows[TERN_SPACE_PICKS] * sizeof(int32_t) - used);
    if (l->has_encoder) memset(host + l->barrier, 0, sizeof(uint32_t));
}

static void mark_needed(tern_cuda_lane *lane, const tern_program *program, const tern_run_output *outputs, size_t n_outputs) {
    size_t n_wanted = 0;
    for (int32_t o = 0; o < program->n_outputs; o++) {
        bool is_wanted = false;
        for (size_t i = 0; i < n_outputs; i++) is_wanted |= outputs[i].output == o;
        if (is_wanted) lane->wanted[n_wanted++] = o;
    }
    tern__program_mark_needed(program, lane->wanted, n_wanted, lane->needed);
}

static tern_cuda_launch launch_of(const work *w) {
    const tern_cuda_lane *lane = w->lane;
    const layout *l = &w->layout;
    tern_cuda_launch launch = {.compiled = w->compiled,
                               .lane = lane,
                               .bucket = &w->bucket,
                               .row_start = (const int32_t *)(void *)(lane->workspace + l->row_start),
                               .picks = (const int32_t *)(void *)(lane->workspace + l->picks),
                               .narrow = lane->workspace + l->narrow,
                               .narrow_scales = (float *)(void *)(lane->workspace + l->narrow_scales),
                               .sums = lane->workspace + l->sums,
                               .has_encoder = l->has_encoder,
                               .barrier = (uint32_t *)(void *)(lane->workspace + l->barrier),
                               .exchange = lane->workspace + l->exchange,
                               .outputs = w->outputs,
                               .n_outputs = w->n_outputs,
                               .output_data = (float *)(void *)((l->is_near ? lane->host : lane->workspace) + l->outputs)};
    for (int i = 0; i < 2; i++) launch.tiles[i] = (const tern_cuda_tile *)(void *)(lane->workspace + l->tiles[i]);
    for (int i = 0; i < TERN_N_INPUTS; i++) launch.inputs[i] = (const int32_t *)(void *)(lane->workspace + l->inputs[i]);
    return launch;
}

/* A graph of the bucket. */
static tern_status make_graph(tern_cuda_lane *lane, const layout *l, const tern_cuda_launch *launch, tern_cuda_graph **out,
                              tern_error *err) {
    TERN_TRY(tern__cuda_choose_products(launch, err));
    TERN_TRY(tern__cuda_graph_add(out, lane, launch->bucket, launch->outputs, launch->n_outputs, err));
    const tern_status status = capture(l, launch, &(*out)->exec, err);
    if (status != TERN_OK) tern__cuda_graph_drop_last(lane);
    return status;
}

/* Without a graph, each node timed. */
static tern_status run_timed(const layout *l, const tern_cuda_launch *launch, int64_t *node_ns, tern_error *err) {
    const tern_cuda_compiled *c = launch->compiled;
    const int32_t n_nodes = c->program->n_nodes;
    tern_cuda_launch timed = *launch;
    TERN_TRY(tern__cuda_choose_products(launch, err));
    TERN_TRY(copy_integers(launch->lane, l, err));
    timed.events = tern__alloc_zero((size_t)n_nodes + 1, sizeof *timed.events);
    if (timed.events == NULL) return TERN_FAIL_MEMORY(err, ((size_t)n_nodes + 1) * sizeof *timed.events);
    tern_status status = tern__cuda_launch(&timed, err);
    const cudaError_t error = cudaStreamSynchronize(launch->lane->queue.stream);
    if (status == TERN_OK && error != cudaSuccess) status = tern__cuda_fail(c->device, error, "timing a batch", err);
    cudaEvent_t before = timed.events[n_nodes];
    for (int32_t n = 0; n < n_nodes && status == TERN_OK; n++) {
        float milliseconds = 0;
        if (launch->lane->needed[n] && tern__cuda_is_folded(launch, n)) node_ns[n] = -1;
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
    const cudaStream_t stream = launch->lane->queue.stream;
    if (l->is_near) TERN_CUDA_TRY(c->device, cudaStreamSynchronize(stream), "running a batch", err);
    const unsigned char *from = (const unsigned char *)launch->output_data;
    for (size_t o = 0; o < launch->n_outputs; o++) {
        const tern_run_output *output = &launch->outputs[o];
        const tern_value_info *info = tern__value(c->program, c->program->outputs[output->output].value);
        const size_t row_bytes = (size_t)info->width * sizeof(float), bytes = (size_t)rows_in(batch, info->space) * row_bytes;
        if (l->is_near) memcpy(output->data, from, bytes);
        else TERN_CUDA_TRY(c->device, cudaMemcpyAsync(output->data, from, bytes, cudaMemcpyDeviceToHost, stream), "copying results", err);
        from += tern__align_up((size_t)launch->bucket->rows[info->space] * row_bytes, 256);
    }
    if (!l->is_near) TERN_CUDA_TRY(c->device, cudaStreamSynchronize(stream), "running a batch", err);
    return TERN_OK;
}

/* What wants the GPU for itself: memory and a graph for the batches of a bucket, or a batch that is timed. */
static tern_status run_alone(const work *w, tern_cuda_graph **graph, tern_error *err) {
    TERN_TRY(tern__cuda_lane_hold(w->lane, w->layout.total, w->layout.host_total, err));
    mark_needed(w->lane, w->compiled->program, w->outputs, w->n_outputs);
    const tern_cuda_launch launch = launch_of(w);
    if (w->batch->node_ns == NULL) return make_graph(w->lane, &w->layout, &launch, graph, err);
    fill_integers(w);
    TERN_TRY(run_timed(&w->layout, &launch, w->batch->node_ns, err));
    return fetch_outputs(&launch, &w->layout, w->batch, err);
}

static tern_status run_graph(const work *w, tern_cuda_graph *graph, tern_error *err) {
    const tern_cuda_launch launch = launch_of(w);
    graph->last_run = ++w->lane->n_runs;
    TERN_CUDA_TRY(w->compiled->device, cudaGraphLaunch(graph->exec, w->lane->queue.stream), "running a batch", err);
    return fetch_outputs(&launch, &w->layout, w->batch, err);
}

static tern_status run_on_lane(work *w, tern_error *err) {
    tern_cuda_compiled *c = w->compiled;
    TERN_TRY(lay_out(c, &w->bucket, w->outputs, w->n_outputs, &w->layout, w->lane->slot_offsets, err));
    tern_status status = TERN_OK;
    const bool is_timed = w->batch->node_ns != NULL;
    tern_cuda_graph *graph = is_timed ? NULL : tern__cuda_graph_find(w->lane, &w->bucket, w->outputs, w->n_outputs);
    if (graph == NULL) {
        pthread_rwlock_wrlock(&c->running);
        status = run_alone(w, &graph, err);
        pthread_rwlock_unlock(&c->running);
    }
    if (status == TERN_OK && !is_timed) {
        fill_integers(w);
        pthread_rwlock_rdlock(&c->running);
        status = run_graph(w, graph, err);
        pthread_rwlock_unlock(&c->running);
    }
    /* Nothing of it is under way when the lane and the caller's memory are used again. */
    if (status != TERN_OK && w->lane->queue.stream != NULL) cudaStreamSynchronize(w->lane->queue.stream);
    return status;
}

static tern_status run_batch(tern_cuda_compiled *c, const tern_batch *batch, const tern_run_output *outputs, size_t n_outputs,
                             tern_error *err) {
    work w = {.compiled = c, .batch = batch, .outputs = outputs, .n_outputs = n_outputs};
    TERN_CUDA_TRY(c->device, cudaSetDevice(c->device->index), "running a batch", err);
    TERN_TRY(bucket_of(&w.bucket, c, batch, err));
    w.lane = tern__cuda_lane_take(c);
    tern_status status = run_on_lane(&w, err);
    if (status == TERN_E_MEMORY && tern__cuda_lane_fall_back(c, &w.lane)) status = run_on_lane(&w, err);
    tern__cuda_lane_give(c, w.lane);
    return status;
}

tern_status tern__cuda_run(void *compiled, const tern_batch *batch, const tern_run_output *outputs, size_t n_outputs, tern_error *err) {
    nvtxRangePushA("tern run");
    const tern_status status = run_batch(compiled, batch, outputs, n_outputs, err);
    nvtxRangePop();
    return status;
}
