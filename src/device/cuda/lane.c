/* lane.c - what a run has to itself: a stream, memory, the graphs that were captured over it. There are two lanes, so that one batch is
 * copied and packed while another is computed. The second one takes memory only when two runs come at once, and where there is none to be
 * had its run waits for the first.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "device/cuda/cuda.h"

#define MAX_GRAPHS 128

/* ---- Graphs ---- */

static void drop_graph(tern_cuda_lane *lane, size_t g) {
    if (lane->graphs[g].exec != NULL) cudaGraphExecDestroy(lane->graphs[g].exec);
    free(lane->graphs[g].outputs);
    lane->graphs[g] = lane->graphs[--lane->n_graphs];
}

void tern__cuda_graph_drop_last(tern_cuda_lane *lane) { drop_graph(lane, lane->n_graphs - 1); }

static void drop_graphs(tern_cuda_lane *lane) {
    if (lane->queue.stream != NULL) cudaStreamSynchronize(lane->queue.stream);
    while (lane->n_graphs > 0) tern__cuda_graph_drop_last(lane);
}

tern_cuda_graph *tern__cuda_graph_find(const tern_cuda_lane *lane, const tern_cuda_bucket *bucket, const tern_run_output *outputs,
                                       size_t n_outputs) {
    for (size_t g = 0; g < lane->n_graphs; g++) {
        tern_cuda_graph *graph = &lane->graphs[g];
        bool is_same = graph->n_outputs == n_outputs && memcmp(&graph->bucket, bucket, sizeof *bucket) == 0;
        for (size_t o = 0; o < n_outputs && is_same; o++) is_same = graph->outputs[o] == outputs[o].output;
        if (is_same) return graph;
    }
    return NULL;
}

tern_status tern__cuda_graph_add(tern_cuda_graph **out, tern_cuda_lane *lane, const tern_cuda_bucket *bucket,
                                 const tern_run_output *outputs, size_t n_outputs, tern_error *err) {
    if (lane->n_graphs == MAX_GRAPHS) {
        size_t oldest = 0;
        for (size_t g = 1; g < lane->n_graphs; g++)
            if (lane->graphs[g].last_run < lane->graphs[oldest].last_run) oldest = g;
        drop_graph(lane, oldest);
    }
    tern_cuda_graph graph = {.bucket = *bucket, .n_outputs = n_outputs, .outputs = tern__alloc(n_outputs, sizeof *graph.outputs)};
    if (graph.outputs == NULL || !tern__grow(&lane->graphs, &lane->graphs_capacity, lane->n_graphs + 1, sizeof *lane->graphs)) {
        free(graph.outputs);
        return TERN_FAIL_MEMORY(err, sizeof graph);
    }
    for (size_t o = 0; o < n_outputs; o++) graph.outputs[o] = outputs[o].output;
    lane->graphs[lane->n_graphs] = graph;
    *out = &lane->graphs[lane->n_graphs++];
    return TERN_OK;
}

/* ---- Memory ---- */

tern_status tern__cuda_lane_hold(tern_cuda_lane *lane, size_t workspace_bytes, size_t host_bytes, tern_error *err) {
    if (lane->queue.stream == NULL) TERN_TRY(tern__cuda_queue_open(&lane->queue, err));
    if (workspace_bytes > lane->workspace_bytes) {
        drop_graphs(lane);
        if (lane->workspace != NULL) cudaFree(lane->workspace);
        lane->workspace = NULL, lane->workspace_bytes = 0;
        void *memory;
        TERN_TRY(tern__cuda_alloc(&lane->queue, &memory, workspace_bytes, "the activations of a batch", err));
        lane->workspace = memory, lane->workspace_bytes = workspace_bytes;
    }
    if (host_bytes > lane->host_bytes) {
        drop_graphs(lane);
        if (lane->host != NULL) cudaFreeHost(lane->host);
        lane->host = NULL, lane->host_bytes = 0;
        void *memory;
        TERN_TRY(tern__cuda_pin(lane->queue.device, &memory, host_bytes, "a batch", err));
        lane->host = memory, lane->host_bytes = host_bytes;
    }
    return TERN_OK;
}

/* All but the queue. */
static void free_memory(tern_cuda_lane *lane) {
    drop_graphs(lane);
    if (lane->workspace != NULL) cudaFree(lane->workspace);
    if (lane->host != NULL) cudaFreeHost(lane->host);
    lane->workspace = lane->host = NULL;
    lane->workspace_bytes = lane->host_bytes = 0;
}

static void close_second(tern_cuda_compiled *c) {
    free_memory(&c->lanes[1]);
    tern__cuda_queue_close(&c->lanes[1].queue);
}

/* While no run measures or captures. */
static void close_second_alone(tern_cuda_compiled *c) {
    pthread_rwlock_wrlock(&c->running);
    close_second(c);
    pthread_rwlock_unlock(&c->running);
}

/* ---- Of a compiled program ---- */

static bool make_locks(tern_cuda_compiled *c) {
    const bool has_lock = pthread_mutex_init(&c->lock, NULL) == 0;
    const bool has_condition = pthread_cond_init(&c->freed, NULL) == 0;
    const bool has_running = pthread_rwlock_init(&c->running, NULL) == 0;
    c->has_locks = has_lock && has_condition && has_running;
    if (c->has_locks) return true;
    if (has_lock) pthread_mutex_destroy(&c->lock);
    if (has_condition) pthread_cond_destroy(&c->freed);
    if (has_running) pthread_rwlock_destroy(&c->running);
    return false;
}

tern_status tern__cuda_lanes_init(tern_cuda_compiled *c, tern_error *err) {
    const size_t n_nodes = (size_t)c->program->n_nodes;
    c->n_lanes = TERN_CUDA_N_LANES;
    c->lanes[0].queue = c->device->queue;
    c->lanes[1].queue.device = c->device;
    for (int i = 0; i < TERN_CUDA_N_LANES; i++) {
        tern_cuda_lane *lane = &c->lanes[i];
        lane->needed = tern__alloc_zero(n_nodes, sizeof *lane->needed);
        lane->wanted = tern__alloc_zero((size_t)c->program->n_outputs, sizeof *lane->wanted);
        lane->slot_offsets = tern__alloc_zero((size_t)c->plan.n_slots, sizeof *lane->slot_offsets);
        if (lane->needed == NULL || lane->wanted == NULL || lane->slot_offsets == NULL) return TERN_FAIL_MEMORY(err, n_nodes);
    }
    return make_locks(c) ? TERN_OK : TERN_FAIL(err, TERN_E_MEMORY, "%s: locks could not be made", c->device->name);
}

void tern__cuda_lanes_free(tern_cuda_compiled *c) {
    free_memory(&c->lanes[0]);
    close_second(c);
    for (int i = 0; i < TERN_CUDA_N_LANES; i++) {
        free(c->lanes[i].graphs);
        free(c->lanes[i].needed);
        free(c->lanes[i].wanted);
        free(c->lanes[i].slot_offsets);
    }
    if (!c->has_locks) return;
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->freed);
    pthread_rwlock_destroy(&c->running);
}

/* ---- Taking turns ---- */

tern_cuda_lane *tern__cuda_lane_take(tern_cuda_compiled *c) {
    tern_cuda_lane *lane = NULL;
    pthread_mutex_lock(&c->lock);
    while (lane == NULL) {
        for (int i = 0; i < c->n_lanes && lane == NULL; i++)
            if (!c->lanes[i].is_taken) lane = &c->lanes[i];
        if (lane == NULL) pthread_cond_wait(&c->freed, &c->lock);
    }
    lane->is_taken = true;
    pthread_mutex_unlock(&c->lock);
    return lane;
}

void tern__cuda_lane_give(tern_cuda_compiled *c, tern_cuda_lane *lane) {
    pthread_mutex_lock(&c->lock);
    lane->is_taken = false;
    pthread_cond_broadcast(&c->freed);
    pthread_mutex_unlock(&c->lock);
}

/* From the second lane, whose memory could not be had, to the first. */
static void move_to_first(tern_cuda_compiled *c, tern_cuda_lane **lane) {
    close_second_alone(c);
    pthread_mutex_lock(&c->lock);
    c->n_lanes = 1;
    c->lanes[1].is_taken = false;
    pthread_cond_broadcast(&c->freed);
    while (c->lanes[0].is_taken) pthread_cond_wait(&c->freed, &c->lock);
    *lane = &c->lanes[0];
    (*lane)->is_taken = true;
    pthread_mutex_unlock(&c->lock);
}

/* What the second lane has, for the first; false when it has nothing. */
static bool reclaim_second(tern_cuda_compiled *c) {
    tern_cuda_lane *second = &c->lanes[1];
    pthread_mutex_lock(&c->lock);
    const bool has_memory = second->is_taken || second->queue.stream != NULL;
    if (has_memory) c->n_lanes = 1;
    while (second->is_taken) pthread_cond_wait(&c->freed, &c->lock);
    pthread_mutex_unlock(&c->lock);
    if (has_memory) close_second_alone(c);
    return has_memory;
}

bool tern__cuda_lane_fall_back(tern_cuda_compiled *c, tern_cuda_lane **lane) {
    if (*lane == &c->lanes[0]) return reclaim_second(c);
    move_to_first(c, lane);
    return true;
}
